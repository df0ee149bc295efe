"""The agent CLIs as the tests know them: how each is installed, what its tools are called, what it may send."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from e2e.wires import MODEL, Cost, Fail, Request, Say, Server

Made = TypeVar("Made")
LEANERS = Path(__file__).resolve().parents[2] / "leaners"
KEY = "sk-e2e-0123456789abcdef"
PROMPT = "# Task: add\nMend add in calc.py: it must add. Canary: chaffinch.\n"
CALC = "def add(left, right):\n    return left - right\n"
MENDED = CALC.replace("-", "+")
DONE = Say('add("left", right) adds — ünïcode and a \\ arrived.')
OLD, NEW = "return left - right", "return left + right"
BLOCK = f"calc.py\n```python\n{MENDED}```\n"  # whole files: what aider asks of a model that it does not know
PATCH = f"*** Begin Patch\n*** Update File: calc.py\n@@\n-    {OLD}\n+    {NEW}\n*** End Patch\n"
NEW_FILE = "VALUE = 1\n"
NEW_BLOCK = f"new.py\n```python\n{NEW_FILE}```\n"
NEW_PATCH = f"*** Begin Patch\n*** Add File: new.py\n+{NEW_FILE}*** End Patch\n"
HERE = "$PROJECT"  # stands for the project's folder in the arguments of a tool


@dataclass(frozen=True, eq=False)
class Cli:
    """One agent CLI. `limit`: bytes of a request that may be its own; `edit` mends calc.py, `create` makes new.py."""

    name: str
    package: str
    version: str
    limit: int
    edit: tuple[Say, ...]
    create: Say
    shell: Say
    context_file: str = ""
    own_login: Mapping[str, str] = field(default_factory=dict)
    own_env: Mapping[str, str] = field(default_factory=dict)
    reports: bool = True
    suffix: str = "/v1"


def call(tool: str, **arguments: Any) -> Say:
    return Say(tool=tool, arguments=arguments)


FILE, NEW_PATH = f"{HERE}/calc.py", f"{HERE}/new.py"
TOUCH = f"touch {HERE}/shell-was-here"
CODEX_HOME = """model = "gpt-5.5"
model_provider = "mine"
[model_providers.mine]
name = "mine"
base_url = "$ORIGIN/v1"
env_key = "MINE_KEY"
wire_api = "responses"
"""
OPENCODE_HOME = {
    "$schema": "https://opencode.ai/config.json",  # opencode adds it to a file that has none
    "model": f"mine/{MODEL}",
    "provider": {
        "mine": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": "$ORIGIN/v1", "apiKey": KEY},
            "models": {MODEL: {}},
        }
    },
}
PI_HOME = {
    "providers": {
        "mine": {"baseUrl": "$ORIGIN/v1", "api": "openai-completions", "apiKey": KEY, "models": [{"id": MODEL}]}
    }
}
QWEN_HOME = {
    "security": {"auth": {"selectedType": "openai"}},
    "model": {"name": MODEL},
    "env": {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "$ORIGIN/v1"},
    "$version": 4,  # else qwen rewrites the file to say so, whoever starts it
}
CLAUDE_LOGIN = {
    "claudeAiOauth": {
        "accessToken": KEY,
        "refreshToken": "none",
        "expiresAt": 4102444800000,
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }
}

CLIS = (
    Cli(
        "claude",
        "@anthropic-ai/claude-code",
        "2.1.332",
        3000,
        (call("Read", file_path=FILE), call("Edit", file_path=FILE, old_string=OLD, new_string=NEW)),
        call("Edit", file_path=NEW_PATH, old_string="", new_string=NEW_FILE),
        call("Bash", command=TOUCH, description="touch"),
        "CLAUDE.md",
        {".claude/.credentials.json": json.dumps(CLAUDE_LOGIN)},
        {"ANTHROPIC_BASE_URL": "$ORIGIN"},
    ),
    Cli(
        "qwen",
        "@qwen-code/qwen-code",
        "0.24.4",
        11000,
        (call("read_file", file_path=FILE), call("edit", file_path=FILE, old_string=OLD, new_string=NEW)),
        call("edit", file_path=NEW_PATH, old_string="", new_string=NEW_FILE),
        call("run_shell_command", command=TOUCH, description="touch", is_background=False),
        "QWEN.md",
        {".qwen/settings.json": json.dumps(QWEN_HOME)},
    ),
    Cli(
        "gemini",
        "@google/gemini-cli",
        "0.61.0",
        7000,
        (
            call("read_file", file_path=FILE),
            call("replace", file_path=FILE, old_string=OLD, new_string=NEW, instruction="mend"),
        ),
        call("write_file", file_path=NEW_PATH, content=NEW_FILE),
        call("run_shell_command", command=TOUCH, description="touch"),
        "GEMINI.md",
        {".gemini/settings.json": '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'},
        {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": "$ORIGIN", "GEMINI_MODEL": MODEL},
        suffix="",
    ),
    Cli(
        "aider",
        "aider-chat",
        "0.86.2",
        3700,
        (Say(BLOCK),),
        Say(NEW_BLOCK),
        Say(f"```bash\n{TOUCH}\n```\n"),
        own_login={".aider.conf.yml": f"model: openai/{MODEL}\nopenai-api-base: $ORIGIN/v1\nopenai-api-key: {KEY}\n"},
        reports=False,
    ),
    Cli(
        "opencode",
        "opencode-ai",
        "1.18.33",
        6000,
        (call("read", filePath=FILE), call("edit", filePath=FILE, oldString=OLD, newString=NEW)),
        call("write", filePath=NEW_PATH, content=NEW_FILE),
        call("bash", command=TOUCH, description="touch"),
        "AGENTS.md",
        {".config/opencode/opencode.json": json.dumps(OPENCODE_HOME)},
    ),
    Cli(
        "codex",
        "@openai/codex",
        "0.171.0",
        23000,
        (Say(tool="apply_patch", free=PATCH),),
        Say(tool="apply_patch", free=NEW_PATCH),
        call("exec_command", cmd=TOUCH),
        "AGENTS.md",
        {".codex/config.toml": CODEX_HOME},
        {"MINE_KEY": KEY},
    ),
    Cli(
        "pi",
        "@mariozechner/pi-coding-agent",
        "0.73.1",
        3000,
        (call("read", path=FILE), call("edit", path=FILE, edits=[{"oldText": OLD, "newText": NEW}])),
        call("write", path=NEW_PATH, content=NEW_FILE),
        call("bash", command=TOUCH),
        "AGENTS.md",
        {
            ".pi/agent/models.json": json.dumps(PI_HOME),
            ".pi/agent/settings.json": json.dumps({"defaultProvider": "mine", "defaultModel": MODEL}),
        },
    ),
)


# --- installing -------------------------------------------------------------------------------------------------------


# Packages of PyPI, and what they need besides; the others are npm's.
PYTHON: dict[str, tuple[str, ...]] = {"aider": (), "mini-swe-agent": ("litellm==1.106.2", "mcp")}


def install(cli: Cli, cache: Path) -> Path:
    """Install CLI in its version under CACHE, once for all workers; return the folder of its program."""
    home = cache / f"{cli.name}-{cli.version}"
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / ".lock"):
        if not (home / ".ready").exists():
            for argv in recipe(cli, home):
                subprocess.run(argv, check=True, capture_output=True, timeout=500)
            (home / ".ready").touch()
    return home / ("bin" if cli.name in PYTHON else "node_modules/.bin")


def recipe(cli: Cli, home: Path) -> list[list[str]]:
    """Say how CLI is installed into HOME: an npm package, or a Python package in its own environment."""
    if cli.name not in PYTHON:
        npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home)]
        return [[*npm, f"{cli.package}@{cli.version}"]]
    return [
        [python_below_313(), "-m", "venv", str(home)],
        [str(home / "bin" / "pip"), "install", "-q", f"{cli.package}=={cli.version}", *PYTHON[cli.name]],
    ]


def python_below_313() -> str:
    """Find a Python that aider runs on."""
    if sys.version_info < (3, 13):
        return sys.executable
    found = [shutil.which(f"python3.{minor}") for minor in (12, 11, 10)]
    return next(filter(None, found), sys.executable)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(folder: Path, name: str, make: Callable[[], Made]) -> Made:
    """Make a thing once for all workers that share FOLDER, whichever of them comes first."""
    kept = folder / f"{name}.pickle"
    with locked(folder / f"{name}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
    made: Made = pickle.loads(kept.read_bytes())
    return made


# --- scripts ----------------------------------------------------------------------------------------------------------


def placed(say: Say, project: Path) -> Say:
    """Put the project's folder where it belongs in a tool's arguments."""
    whole = json.dumps([say.text, say.arguments, say.free]).replace(HERE, str(project))
    text, arguments, free = json.loads(whole)
    return replace(say, text=text, arguments=arguments, free=free)


@dataclass
class Script:
    """A model that makes its calls one after the other, and then has done; it gives up a CLI that never ends."""

    calls: Sequence[Say]
    last: Say = DONE
    given: int = 0

    def __call__(self, request: Request) -> Say | Fail:
        self.given += 1
        if self.given > 12:
            return Fail(400, "this conversation never ends")
        return (*self.calls, self.last)[min(self.given - 1, len(self.calls))]


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """How a wrapper ended, and what it left."""

    code: int
    out: str
    err: str
    usage: dict[str, int]
    origin: str
    requests: tuple[Request, ...]
    others: tuple[str, ...]
    cost: Cost
    project: Path
    home: Path
    scratch: Path

    @property
    def reason(self) -> str:
        """The last line on standard error, without progress."""
        lines = [line for line in self.err.splitlines() if line and not line.startswith("progress: ")]
        return lines[-1] if lines else ""

    @property
    def calc(self) -> str:
        return (self.project / "calc.py").read_text()

    def share(self, prompt: str = PROMPT) -> int:
        """Bytes of the first request that are not the prompt's."""
        return len(self.requests[0].raw) - len(json.dumps(prompt.strip(), ensure_ascii=False).encode())

    def status(self) -> list[str]:
        """Paths of the project that are not as they were committed."""
        argv = ["git", "status", "--porcelain", "--ignored"]
        told = subprocess.run(argv, cwd=self.project, capture_output=True, text=True, check=True).stdout
        return [line[3:] for line in told.splitlines()]

    def leftovers(self) -> list[str]:
        """Files in the user's home and in the folder for temporary files."""
        return [str(path) for folder in (self.home, self.scratch) for path in folder.rglob("*") if path.is_file()]


@dataclass(frozen=True)
class Place:
    """A sealed place for one run of a wrapper: a home, a folder for temporary files, a committed project."""

    root: Path
    cli: Cli
    bin: Path
    leaners: Path = LEANERS

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def scratch(self) -> Path:
        return self.root / "tmp"

    def lay(self, files: Mapping[str, str]) -> None:
        """Make the folders, and the project with calc.py and FILES."""
        for folder in (self.project, self.home, self.scratch):
            folder.mkdir(parents=True)
        for path, text in {"calc.py": CALC, **files}.items():
            (self.project / path).write_text(text)
        commit = ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "start"]
        for argv in (["init", "-q"], ["add", "-A"], commit):
            subprocess.run(["git", *argv], cwd=self.project, check=True, capture_output=True)

    def login(self, origin: str) -> dict[str, str]:
        """Write the CLI's own configuration into the home; return the variables that belong to it."""
        for path, text in self.cli.own_login.items():
            file = self.home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("$ORIGIN", origin))
        return {name: value.replace("$ORIGIN", origin) for name, value in self.cli.own_env.items()}

    def environment(self, prompt: str, **settings: str) -> dict[str, str]:
        """The environment of a leaner call; a setting that is empty is not passed."""
        told = self.root / "prompt.md"
        told.write_text(prompt)
        lean = {
            "LEAN_MODE": "edit",
            "LEAN_APPROVAL_MODE": "yolo",
            "LEAN_API_KEY": KEY,
            "LEAN_MODEL": MODEL,
            "LEAN_LEAN_PROMPT": "1",
            "LEAN_CONTEXT_FILES": "0",
            "LEAN_TIMEOUT": "60",
            "LEAN_IDLE": "30",
            "LEAN_FILES": "calc.py",
            "LEAN_PROTECT": "test_*.py",
            "LEAN_PROMPT_FILE": str(told),
            "LEAN_USAGE_FILE": str(self.root / "usage.json"),
            "LEAN_PROGRESS": "1",
            **settings,
        }
        path = os.pathsep.join([str(self.bin), os.environ["PATH"]])
        sealed = {"PATH": path, "HOME": str(self.home), "TMPDIR": str(self.scratch), "LANG": "C.UTF-8", "NO_PROXY": "*"}
        return {**sealed, **{name: value for name, value in lean.items() if value}}

    def argv(self, prompt: str) -> list[str]:
        told = prompt if len(prompt) < 100_000 else f"Read the file {self.root / 'prompt.md'} and do what it says."
        return ["bash", str(self.leaners / f"{self.cli.name}.sh"), "-p", told]

    def run(self, server: Server, prompt: str = PROMPT, before: Sequence[str] = (), **settings: str) -> Ran:
        """Call the wrapper once; an empty LEAN_BASE_URL means that SERVER is behind the user's own account."""
        given = {"LEAN_BASE_URL": f"{server.origin}/v1", **settings}
        given = given if given["LEAN_BASE_URL"] else {**self.login(server.origin), **given}
        done = subprocess.run(
            [*before, *self.argv(prompt)],
            cwd=self.project,
            env=self.environment(prompt, **given),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=100,
        )
        out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        usage: dict[str, int] = {}
        with contextlib.suppress(OSError):
            usage = json.loads((self.root / "usage.json").read_text())
        asked, others = tuple(server.requests), tuple(server.others)
        left = (self.project, self.home, self.scratch)
        return Ran(done.returncode, out, err, usage, server.origin, asked, others, server.cost, *left)

    def start(self, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the wrapper in a session of its own and do not wait for it."""
        nothing = subprocess.DEVNULL
        return subprocess.Popen(
            self.argv(PROMPT),
            cwd=self.project,
            env=env,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
        )


def header(cli: Cli) -> dict[str, str]:
    """Read what a wrapper's first comment says of it."""
    told = re.search(r"^# lean: (.*)$", (LEANERS / f"{cli.name}.sh").read_text(), re.MULTILINE)
    assert told, "there is no '# lean:' line"
    return dict(item.split("=", 1) for item in told[1].split())
