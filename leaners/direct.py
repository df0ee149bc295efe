#!/usr/bin/env python3
# lean: overhead=607 idle=own check=own edits=told drafts=yes
"""Ask an OpenAI-compatible server for a change, and make it.

    prompt -> one streamed request -> answer -> edits -> new texts -> files, all or none

An answer holds edits as plain text, as models of any size write it best: a path and a fenced block with the file or the
definitions that change, SEARCH/REPLACE blocks, or a diff. What is not clear is refused, and asked for once more.

Settings come as LEAN_* variables (README.md) or as options. Exit codes: 0 done, 1 no usable edit,
2 wrongly set up, 75 trouble of the server.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

if (here := str(Path(__file__).resolve().parent)) not in sys.path:
    sys.path.insert(0, here)

from _answer_file import server_of
from _answers import (
    TOOL_CALL,
    Code,
    Edit,
    Plan,
    Reader,
    Refusal,
    Refused,
    below,
    first_line,
    repeats,
    spoken,
    tidy,
)
from _asking import Asking, fenced, last_section, repair_prompt
from _edits import place_all
from _encoding import Stored, decode
from _patterns import path_matcher
from _server import Call, Misconfigured, Server, Stop, Unusable, estimate

SYSTEM = "You are a careful programmer. You answer with code that can be put into the project as it stands."
DRAWN_AGAIN, HOTTER = ("no-edit", "unchanged", "repeats-prompt"), 0.8  # at which temperature
SENTENCE = (120, ("\n\n", "\n```"))  # what one sentence may take: tokens, and where it ends
ROOM_TO_ANSWER = 1024  # tokens
MASK = "[masked by lean-loop]"  # what the loop puts in the place of a secret in prompts


# --- files: names, bytes <-> text, and writing all or nothing ---------------------------------------------------------


class Project:
    """The files below a root, as the reading and placing of edits knows them."""

    def __init__(self, root: Path, call: Call) -> None:
        self.protects = path_matcher(call.protect)
        self.place_of, self.call, self.root = root.resolve(), call, root.resolve().as_posix()
        self.prompt, self.listed = call.prompt.replace("\r\n", "\n"), list[str]()
        self.asking = Asking(self, call.edit_format)
        for path in map(tidy, call.files):
            try:
                self.read(path)
                self.listed.append(path)
            except Refusal as refusal:
                if refusal.kind == "encoding":
                    raise Misconfigured(f"{refusal} Save it as UTF-8, or declare its encoding in it.") from None

    def place(self, path: str) -> Path:
        """Return where a path lies; Refusal where it, or what it links to, lies outside the root or in .git."""
        place = self.place_of / below(path, self)
        with suppress(OSError, RuntimeError, ValueError):
            inside = place.resolve().relative_to(self.place_of)
            if inside.parts and ".git" not in map(str.lower, inside.parts):
                return place
        raise Refusal("outside", f"{path!r} lies outside the project: it is not edited.")

    def read(self, path: str) -> Stored | None:
        """Read a file; None if there is none."""
        try:
            raw = self.place(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            raise Refusal("no-place", f"{path} is a folder: it is not edited.") from None
        except OSError as error:
            raise Refusal("no-place", f"{path[:200]} cannot be read: {error.strerror}.") from error
        if not (found := decode(raw)):
            binary = b"\0" in raw
            what = "is a binary file: it is not edited." if binary else "is in an encoding that cannot be told."
            raise Refusal("binary" if binary else "encoding", f"{path} {what}")
        return Stored(raw, found[1], found[0])

    def text(self, path: str) -> str | None:
        stored = self.read(path)
        return stored.text if stored else None


def write_all(project: Project, plan: Plan) -> None:
    """Write every new text, or none: stage all, put all in place, and take back what was done on an error."""
    before = {path: project.read(path) for path in plan}
    try:
        with ExitStack() as undo:
            texts = {path: text for path, text in plan.items() if text is not None}
            staged = {path: stage(project, path, before[path], text, undo) for path, text in texts.items()}
            for path, stored in before.items():
                target = project.place(path).resolve()
                back = partial(target.write_bytes, stored.raw) if stored else partial(target.unlink, missing_ok=True)
                undo.callback(back)
                staged[path].replace(target) if path in staged else target.unlink()
            undo.pop_all()
    except OSError as error:
        settled = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC)
        kind = Misconfigured if settled else Unusable
        raise kind(f"Cannot write {error.filename}: {error.strerror}. No file was changed.") from error


def stage(project: Project, path: str, stored: Stored | None, text: str, undo: ExitStack) -> Path:
    """Write a text to a new file beside its place, with the mode of the file that is there."""
    try:
        raw = stored.encode(text) if stored else text.encode()
    except UnicodeEncodeError:
        raise Unusable(
            f"{path} cannot hold the new text in its encoding ({stored and stored.encoding}).", "encoding"
        ) from None
    place = project.place(path).resolve()
    for folder in [parent for parent in reversed(place.parents) if not parent.exists()]:
        folder.mkdir()
        undo.callback(folder.rmdir)
    temporary = place.with_name(f".{place.name[:60]}.{os.getpid()}.lean")
    undo.callback(temporary.unlink, missing_ok=True)
    with temporary.open("xb") as file:
        file.write(raw)
    if stored:
        temporary.chmod(place.stat().st_mode & 0o7777)
    return temporary


# --- one call ---------------------------------------------------------------------------------------------------------


def run(call: Call, root: Path) -> str:
    """Do one call and return the words that tell what was done."""
    server, project, plan, kind = server_of(call), Project(root, call), Plan(), ""
    try:
        if call.mode == "ask":
            return spoken(server.ask("", call.prompt, *(SENTENCE if call.brief else ()))).strip()
        plan = make_plan(server, project)
        told = [tell(path, project.text(path) or "", text) for path, text in plan.items()]
        write_all(project, plan)
        return "\n".join(told)
    except (Refusal, Unusable) as refused:
        kind = refused.kind
        raise
    finally:
        write_usage(call, server, plan, kind)


def write_usage(call: Call, server: Server, plan: Plan, refused: str) -> None:
    """Write down what a call used, the files that it edits, and of what kind its answer is where it was REFUSED."""
    figures = {name: server.used[name] for name in ("requests", "input_tokens", "output_tokens", "cached_tokens")}
    about: dict[str, Any] = {"estimated": True} if server.used["estimated"] else {}
    about |= {"refused": refused} if refused else {}
    with suppress(OSError):
        if call.usage_file:
            text = json.dumps({"model": server.model, "files": list(plan), **figures, **about})
            Path(call.usage_file).write_text(text, encoding="utf-8")


def told_by_server(call: Call, url: str) -> str:
    """Return as JSON what the server tells of itself, or with a URL only that it answers there."""
    server = Server(replace(call, base_url=url or call.base_url))
    return json.dumps(server.probe() if not url else {"health": server.health("") and "ok"})


def make_plan(server: Server, project: Project) -> Plan:
    """Ask for edits until each has its place, at most `edit_retries` times more; Unusable where one still has none.

    What fitted stays, and only the rest is asked for again.
    """
    plan, prompt, heat = Plan(), f"{project.call.prompt.rstrip()}\n\n{project.asking.closing(project.call.prompt)}", 0.0
    left = project.call.edit_retries
    while True:
        refused: Refused = []
        try:
            enough = partial(is_enough, project)
            said = server.ask(SYSTEM, prompt, longest_answer(project), enough=enough, heat=heat)
            refused = place_all(understood(said, project), project, plan)
            if refused:
                edit, refusal = refused[0]
                where = f" ({edit.path})" if edit.path else ""
                raise Unusable(f"No edit was applied{where}: {refusal}.", refusal.kind)
            check_plan(plan, project)
            return plan
        except Unusable as unusable:
            if not left or not (refused or unusable.kind in DRAWN_AGAIN):
                raise
            why = unusable
        left -= 1
        prompt, heat = again(project, prompt, refused, why)


def again(project: Project, prompt: str, refused: Refused, why: Unusable) -> tuple[str, float]:
    """Return the prompt and the least temperature of a second try.

    What did not fit is asked for alone. A diagnosis without code is shown to the model, which then writes the code. An
    answer that changes nothing is drawn again, hotter: the same would be said once more.
    """
    if refused:
        return repair_prompt(refused), 0.0
    if last_section(project.call.prompt) == "Failing" and why.kind == "no-edit" and why.said:
        diagnosed = f"{project.call.prompt.rstrip()}\n\n# Diagnosis\n{why.said}"
        return f"{diagnosed}\n\n{project.asking.closing(diagnosed)}", 0.0
    return prompt, HOTTER


def check_plan(plan: Plan, project: Project) -> None:
    """Refuse a plan that changes nothing, or what it may not."""
    if not plan:
        raise Unusable("The answer changes nothing: every file would stay as it is.", "unchanged")
    for path, text in plan.items():
        if project.protects(path):
            raise Unusable(f"{path} is protected: it may be read, not changed.", "protected")
        if os.access(project.place(path), os.F_OK) and not os.access(project.place(path), os.W_OK):
            raise Unusable(f"{path} is read-only: it is not edited.", "protected")
        if MASK in (text or "") and MASK not in (project.text(path) or ""):
            raise Unusable(f"The answer for {path} holds {MASK} in the place of a secret: it is not written.", "masked")


def understood(text: str, project: Project) -> list[Edit]:
    """Read an answer's edits; Unusable if it has none."""
    said = spoken(text)
    try:
        edits = Reader(project).read(text)
    except Refusal as refusal:
        raise Unusable(str(refusal), refusal.kind) from None
    if repeats(said, project.prompt) and not (place_all(edits, project, trial := Plan()) or trial):
        raise Unusable("The answer repeats the prompt instead of answering it.", "repeats-prompt")
    if not edits and TOOL_CALL.search(text):
        raise Unusable("The model wrote a tool call instead of an edit, although no tools were offered.", "tool-call")
    if not edits:
        raise Unusable(f"The answer holds no edit: {first_line(said, 160)}", "no-edit", first_line(said, 400))
    return edits


def longest_answer(project: Project) -> int:
    """Return the tokens that an answer may have: what it could send back of the files, and room for new code."""
    shown = estimate(project.call.prompt)
    files = sum(estimate(project.text(path) or "") for path in project.listed)
    return ROOM_TO_ANSWER + min(shown, files or shown)


def is_enough(project: Project, said: str) -> bool:
    """Tell whether the one file that is asked for got all its code: tests and words follow."""
    if len(project.listed) != 1 or not said.rstrip().endswith("```") or project.listed[0].endswith(".md"):
        return False
    names = [name.split()[-1] for name in project.asking.targets(project.listed[0])] + project.asking.missing()
    if not names and not project.asking.is_whole(project.listed[0]):
        return False
    with suppress(Unusable):
        edits = understood(said, project)
        plan, sent = Plan(), " ".join(edit.text for edit in edits if isinstance(edit, Code))
        return not place_all(edits, project, plan) and project.listed[0] in plan and all(name in sent for name in names)
    return False


def tell(path: str, old: str, new: str | None) -> str:
    """Say what was done with a file."""
    if new is None:
        return f"deleted {path}"
    diff = [line[:1] for line in difflib.unified_diff(old.split("\n"), new.split("\n"), n=0)][2:]
    return f"wrote {path} (+{diff.count('+')} -{diff.count('-')})"


# --- the command line -------------------------------------------------------------------------------------------------


READERS: dict[type, tuple[Callable[[str], Any], str]] = {  # by the kind of the default: how to read, what it has to be
    str: (str, "a text"),
    bool: ("1".__eq__, "1"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    type(None): (float, "a number"),
    tuple: (lambda text: tuple(filter(None, text.split("\n"))), "lines"),
    list: (json.loads, "a JSON list"),
    dict: (json.loads, "a JSON object"),
}
CHOICES = {
    "thinking": ("off", "low", "medium", "high"),
    "mode": ("edit", "ask", "draft"),
    "edit_format": ("auto", "whole", "search"),
}


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="direct.py",
        description="Ask an OpenAI-compatible server for a change, and make it.",
        epilog="LEAN_BASE_URL names the server (else http://127.0.0.1:8080/v1), further LEAN_* variables the rest.",
    )
    options.add_argument("-p", dest="prompt", metavar="PROMPT", help="what is to be done")
    options.add_argument("--files", nargs="+", metavar="FILE", help="files to show and to change (else LEAN_FILES)")
    options.add_argument("--ask", action="store_true", help="print the answer, change nothing")
    options.add_argument(
        "--probe", nargs="?", const="", metavar="URL", help="tell what the server is; URL: if it is well"
    )
    options.add_argument("--record", metavar="FOLDER", help="keep each answer there, for serve.py to play")
    return options.parse_args(argv)


def read_call(given: argparse.Namespace, env: Mapping[str, str], root: Path) -> Call:
    """Read what is asked and how, from options and LEAN_* variables; files that are given are shown too."""
    file, call = env.get("LEAN_PROMPT_FILE"), Call("")
    try:
        prompt = Path(file).read_text(encoding="utf-8", errors="replace") if file else given.prompt or ""
    except OSError as error:
        raise Misconfigured(f"LEAN_PROMPT_FILE {file} cannot be read: {error.strerror}.") from error
    if not prompt.strip() and given.probe is None:
        raise Misconfigured("There is no prompt: give -p PROMPT.")
    told = {name: env.get(f"LEAN_{name.upper()}") for name in vars(call) if name != "prompt"}
    found = {name: setting(name, text, getattr(call, name)) for name, text in told.items() if text}
    chosen = {"mode": given.ask and "ask", "options": given.record and {"record": given.record}, "files": given.files}
    call = replace(call, prompt=prompt, **found | {name: value for name, value in chosen.items() if value})
    project, parts = Project(root, call), [prompt, "# Files"]
    for path in map(tidy, given.files or ()):
        text = project.text(path)
        parts.append(f"{path} (does not exist yet)" if text is None else f"{path}\n{fenced(text.rstrip(chr(10)))}")
    return replace(call, prompt="\n\n".join(parts)) if given.files else call


def setting(name: str, text: str, default: Any) -> Any:
    """Read a setting's text as its default is; Misconfigured where it is of another kind."""
    read, kind = READERS[type(default)]
    kind = " or ".join(CHOICES.get(name, (kind,)))
    with suppress(ValueError):
        value = read(text)
        if value in CHOICES.get(name, (value,)) and (default is None or type(value) is type(default)):
            return value
    raise Misconfigured(f"LEAN_{name.upper()} is {text!r}: it has to be {kind}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one call; the exit code is the contract's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    options = read_options(argv)
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the ordinary way, so that nothing half written stays
    try:
        call = read_call(options, os.environ, Path.cwd())
        print(run(call, Path.cwd()) if options.probe is None else told_by_server(call, options.probe), flush=True)
    except (Stop, Refusal) as stop:
        print(f"direct: {stop}", file=sys.stderr)
        return getattr(stop, "code", 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
