"""What the tests of `direct` share: the module itself, the corpus of answers, and projects made of its trees."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import forked

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAM = ROOT / "leaners" / "direct.py"
CORPUS = HERE / "corpus"


def load(name: str, path: Path) -> ModuleType:
    """Import a module by its path: neither leaners nor playground is a package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


direct: Any = load("direct", PROGRAM)
server: Any = load("_server", PROGRAM.with_name("_server.py"))
answers: Any = load("_answers", PROGRAM.with_name("_answers.py"))
edits: Any = load("_edits", PROGRAM.with_name("_edits.py"))
serve: Any = load("serve", ROOT / "playground" / "serve.py")


@dataclass(frozen=True)
class Case:
    """One answer of the corpus: what a project holds before and after, and what the model said."""

    name: str
    before: dict[str, bytes]
    listed: tuple[str, ...]
    answer: str
    after: dict[str, bytes]
    refused: str = ""
    protect: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    task: str = "Change it."

    @property
    def prompt(self) -> str:
        """Show the listed files whole, or only a piece of them."""
        shown = []
        for path in self.listed:
            text = (
                self.before[path].decode("utf-16" if "utf-16" in self.marks else "utf-8", "replace")
                if path in self.before
                else ""
            )
            piece = "\n".join(text.split("\n")[2:6]) if "parts" in self.marks else text
            shown.append(f"{path}\n```\n{piece}\n```" if text else f"{path} (does not exist yet)")
        return f"# Task: change it\n{self.task}\n\n# Files\n" + "\n".join(shown)


@cache
def trees() -> dict[str, dict[str, str]]:
    """Read the little projects: `@@@@ NAME`, then `=== PATH` lines, each followed by that file's text."""
    found = {}
    for name, body in parts((CORPUS / "trees" / "trees.txt").read_text(encoding="utf-8"), "@@@@"):
        found[name] = dict(parts(body, "==="))
    return found


def tree(name: str) -> dict[str, str]:
    return trees()[name]


def parts(text: str, mark: str) -> list[tuple[str, str]]:
    """Cut a text at the lines that begin with a mark; return what they say and what follows."""
    pieces = re.split(rf"^{mark} (.*)\n", text, flags=re.MULTILINE)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


def read_cases(path: Path) -> Iterator[Case]:
    """Read the cases of a file; lines of `@@@@` begin a case, its `answer`, and what is `after PATH` or `deleted`."""
    found: list[list[tuple[str, str]]] = []
    for said, body in parts(path.read_text(encoding="utf-8"), "@@@@"):
        if said == "answer" or said.startswith(("after ", "deleted ")):
            found[-1].append((said, body))
        else:
            found.append([(said, body)])
    yield from map(read_case, found)


def read_case(told: list[tuple[str, str]]) -> Case:
    (name, head), (_, answer), *rest = told
    fields = [line.partition(": ")[::2] for line in head.strip().split("\n")]
    value = dict(fields)
    marks = tuple(filter(None, value.get("marks", "").split(", ")))
    before = {path: text for one in value["before"].split(", ") for path, text in tree(one).items()}
    after = {**before, **(tree(value["after"]) if "after" in value else {})}
    for said, text in rest:
        kind, _, path = said.partition(" ")
        after.pop(path, None) if kind == "deleted" else after.update({path: text})
    return Case(
        name,
        {path: stored(text, marks) for path, text in before.items()},
        tuple(value["listed"].split(", ")),
        answer.replace("\n", "\r\n") if "answer-crlf" in marks else answer,
        {path: stored(text, marks) for path, text in after.items()},
        value.get("refused", ""),
        tuple(text for key, text in fields if key == "protect"),
        marks,
        value.get("prompt", "Change it."),
    )


def stored(text: str, marks: tuple[str, ...]) -> bytes:
    """Write a text the way a case's files are stored."""
    if "trailing" in marks:
        text = text.replace("CHILD\n", "CHILD  \n")
    if "no-final-newline" in marks:
        text = text.removesuffix("\n")
    if "crlf" in marks:
        text = text.replace("\n", "\r\n")
    if "latin-1" in marks:
        return text.encode("latin-1") + b"# \xe4\xf6\xfc\n"
    if "utf-16" in marks:
        return b"\xff\xfe" + text.encode("utf-16-le")
    return (b"\xef\xbb\xbf" if "bom" in marks else b"") + text.encode()


@cache
def cases() -> tuple[Case, ...]:
    """Read the whole corpus: what was written for it, and below `real` what real models said."""
    paths = [*sorted(CORPUS.glob("*.txt")), *sorted(CORPUS.glob("real/*.txt"))]
    return tuple(case for path in paths for case in read_cases(path))


@dataclass
class Memory:
    """Files that are texts in memory, as the reading and placing of edits knows them."""

    texts: dict[str, str]
    listed: tuple[str, ...] = ()
    prompt: str = ""
    protect: tuple[str, ...] = ()
    root: str = ""

    def text(self, path: str) -> str | None:
        return self.texts.get(path)

    def protects(self, path: str) -> bool:
        return path.startswith(self.protect)


def applied(answer: str, files: Memory) -> dict[str, str | None]:
    """Return the new texts that an answer leads to; a Refusal where it leads to none."""
    found = answers.Reader(files).read(answer)
    plan: dict[str, str | None] = {}
    for _, refusal in edits.place_all(found, files, plan):
        raise refusal
    return plan


def lay(root: Path, files: dict[str, bytes]) -> None:
    """Write a project's files."""
    for path, raw in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(raw)


def holds(root: Path) -> dict[str, bytes]:
    """Read all files below a folder, links not followed."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


@dataclass
class Done:
    """What a call of the program left: exit code, both streams, and its usage file."""

    code: int
    out: str
    err: str
    usage: dict[str, Any]

    @property
    def reason(self) -> str:
        """The last line on standard error."""
        return self.err.strip().split("\n")[-1]


def call(root: Path, prompt: str, *options: str, **settings: object) -> Done:
    """Run the real program in a folder; settings become LEAN_* variables."""
    usage = root.parent / f"{root.name}.usage.json"
    usage.unlink(missing_ok=True)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(forked.OF_PYTHON)},
        **forked.USUAL,
        "LEAN_USAGE_FILE": str(usage),
        **{f"LEAN_{key.upper()}": str(value) for key, value in settings.items()},
    }
    args = ["-p", prompt, *options]
    if forked.FORKS.may(env):
        done = forked.FORKS.run(args, root, env, 60, "direct")
    else:
        argv = [sys.executable, str(PROGRAM), *args]
        done = subprocess.run(argv, cwd=root, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    return Done(done.returncode, out, err, json.loads(usage.read_text()) if usage.exists() else {})


class Scripted:
    """A loopback server that answers as `script(handler, body)` says; `seen` keeps (method, path, headers, body)."""

    def __init__(self, script: Callable[[Any, Any], None]) -> None:
        owner = self
        self.script, self.seen = script, list[tuple[str, str, dict[str, str], Any]]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(raw) if raw else None
                owner.seen.append((self.command, self.path, dict(self.headers), body))
                owner.script(self, body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True

    def __enter__(self) -> Scripted:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    @property
    def asked(self) -> list[Any]:
        """The bodies of the completion requests."""
        return [body for _, path, _, body in self.seen if path.endswith("/chat/completions")]


def reply(handler: Any, data: object, status: int = 200, **headers: str) -> None:
    """Send JSON, or text as it is."""
    raw = data.encode() if isinstance(data, str) else json.dumps(data).encode()
    kind = "text/html" if isinstance(data, str) else "application/json"
    handler.send_response(status)
    for name, value in {"Content-Type": kind, **headers, "Content-Length": str(len(raw))}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(raw)


def stream(handler: Any, *events: object, done: bool = True) -> None:
    """Send server-sent events; a number is a pause in seconds, bytes go out as they are."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    for event in events:
        if isinstance(event, int | float):
            time.sleep(event)
        else:
            handler.wfile.write(event if isinstance(event, bytes) else f"data: {json.dumps(event)}\n\n".encode())
            handler.wfile.flush()
    handler.wfile.write(b"data: [DONE]\n\n" if done else b"")


def piece(text: str = "", finish: str | None = None, **more: object) -> dict[str, object]:
    """Make one event of a streamed answer."""
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}
