"""Fixtures: a sealed home, real projects in real repositories, the real command, and a scripted model."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from forked import FORKS, Fork  # noqa: E402
from playground.serve import Body, ChatServer, said  # noqa: E402

# As the installed `lean-loop` starts it: with cached bytecode, a third quicker than the script, which has none.
START = f"import sys; sys.path[0] = {str(ROOT)!r}; import leanloop; sys.exit(leanloop.main())"
LEANLOOP = (sys.executable, "-c", START)
PATIENCE = float(os.environ.get("LEANLOOP_PATIENCE", "1"))  # for a machine that is busy with other things
CACHE = Path(os.environ.get("LEANLOOP_CACHE") or Path.home() / ".cache" / "lean-loop-tests")


# Tests of the loop let a fix have a diagnosis, the longer way. A scripted leaner or model reads no code: where a test
# does not ask for a trace, there is none.
DEFAULTS = '[defaults]\nsummarize_errors = true\ntrace = "{}"\n'


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--heavy", action="store_true", help="run what is heavy or slow, too")


def pytest_configure(config: pytest.Config) -> None:
    FORKS.wanted &= not config.getoption("--heavy")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Let three workers share two cores: some tests wait for a time limit."""
    return (os.cpu_count() or 2) * 3 // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what a plain run leaves out."""
    if config.getoption("--heavy"):
        return
    for item in items:
        for mark in ("heavy", "slow"):
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{mark}: run with --heavy"))


def few_of(cases: Iterable[Any], number: int = 1) -> list[Any]:
    """Mark all CASES slow but NUMBER of them, spread evenly: together they take long, and a few show the promise."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    step = -(-len(values) // number)
    return [pytest.param(*value, marks=[pytest.mark.slow] if at % step else []) for at, value in enumerate(values)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests were skipped: a line for each reason."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, number in reasons.most_common():
        terminalreporter.line(f"{number} {reason.replace('Skipped', 'skipped')}")


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave this process no LEAN_* variable, proxy or home folder of the machine."""
    for name in [name for name in os.environ if name.startswith("LEAN_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def cache() -> Path:
    """The folder outside the checkout where installed and compiled things are kept."""
    return CACHE


def working(program: str) -> str:
    """Find PROGRAM; nothing where it is missing, or a shim with nothing behind it."""
    found = shutil.which(program) or ""
    asked = [found, "version" if program == "go" else "--version"]
    return found if found and subprocess.run(asked, capture_output=True).returncode == 0 else ""


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@functools.cache
def new_repository() -> Path:
    """Let git make an empty repository, of which each project gets a copy; return its folder."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    subprocess.run(["git", "init", "-q", "-b", "main", "--template=", folder.name], check=True)
    return Path(folder.name, ".git")


@dataclass
class Bench:
    """A sealed place for one test: its own home and state, a project in a git repository, and the real command."""

    home: Path
    project: Path
    env: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, text: str | bytes, mode: int | None = None) -> Path:
        """Write a file of the project; text is dedented."""
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode())
        if mode is not None:
            file.chmod(mode)
        return file

    def read(self, path: str) -> str:
        return (self.project / path).read_text(encoding="utf-8")

    def git(self, *args: str) -> str:
        argv = ["git", *args]
        return subprocess.run(argv, cwd=self.project, env=self.env, capture_output=True, text=True, check=True).stdout

    def commit(self, message: str = "start") -> None:
        """Make the project a repository, if it is none, and commit everything."""
        if not (self.project / ".git").exists():
            shutil.copytree(new_repository(), self.project / ".git")
        self.git("add", "-A")
        self.git("-c", "maintenance.auto=false", "commit", "-q", "--allow-empty", "-m", message)

    def lean_loop(self, *args: str, timeout: float = 60 * PATIENCE, below: str = ".", **env: str) -> Ran:
        """Run the real command in the project, or in a folder BELOW it."""
        place, variables = self.project / below, {**self.env, **env}
        if FORKS.may(variables):
            done = FORKS.run(args, place, variables, timeout)
        else:
            argv, nothing = [*LEANLOOP, *args], subprocess.DEVNULL
            done = subprocess.run(argv, cwd=place, env=variables, stdin=nothing, capture_output=True, timeout=timeout)
        return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def start(self, *args: str, log: BinaryIO) -> Fork | subprocess.Popen[bytes]:
        """Start the real command in the project; what it prints goes to LOG."""
        if FORKS.may(self.env):
            return FORKS.start(args, self.project, self.env, (log.fileno(),) * 3)
        return subprocess.Popen([*LEANLOOP, *args], cwd=self.project, env=self.env, stdout=log, stderr=log)

    def runs(self) -> list[Path]:
        """List the run folders in the state folder, oldest first."""
        return sorted(self.home.glob("state/lean-loop/*/runs/*"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A sealed home and an empty project folder."""
    home, project, scratch = (tmp_path / name for name in ("home", "project", "scratch"))
    for folder in (home, project, scratch):
        folder.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])  # no slow shim before it
    env = {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # what else is installed here takes half of a pytest's start
    }
    return Bench(home, project, env)


CALC = '''
"""Small sums."""


def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left - right
'''
CALC_TEST = """
import unittest

from calc import add


class Add(unittest.TestCase):
    def test_two_and_three(self):
        self.assertEqual(add(2, 3), 5)


if __name__ == "__main__":
    unittest.main()
"""
LEANFILE = """
[runner]
command = "{python}"
args = ["-m", "unittest", "-q"]

[[tasks]]
name = "add"
prompt = "Mend add in calc.py: it must add."
files = ["calc.py"]
"""
RIGHT = "calc.py\n```python\n" + textwrap.dedent(CALC).lstrip("\n").replace("left - right", "left + right") + "```\n"
WRONG = RIGHT.replace("left + right", "left * right")


POINTS = """
import unittest
from score import POINTS

class Score(unittest.TestCase):
"""
for number in range(1, 5):
    POINTS += f"    def test_{number}(self): self.assertIn({number}, POINTS)\n"


@pytest.fixture
def scored(bench: Bench) -> Bench:
    """A project in which answers differ by how many of four tests they turn green."""
    bench.write("score.py", "POINTS = []\n")
    bench.write("test_score.py", POINTS)
    bench.commit()
    return bench


@pytest.fixture
def calc(bench: Bench) -> Bench:
    """A committed project with one fault, one red test and a leanfile with one task."""
    bench.write("calc.py", CALC)
    bench.write("test_calc.py", CALC_TEST)
    bench.write("leanfile.toml", LEANFILE)
    bench.commit()
    return bench


@dataclass
class Script:
    """A scripted model: edit requests get `edits` in order (the last one again and again), others the diagnosis."""

    edits: list[str]
    diagnosis: str = "add subtracts instead of adding."
    given: int = 0

    def __call__(self, body: Body) -> str:
        if is_ask(body):
            return self.diagnosis
        self.given += 1
        return self.edits[min(self.given, len(self.edits)) - 1]


def is_ask(body: Body) -> bool:
    """Tell whether a request is one for a diagnosis."""
    return "In one sentence" in said(body)


def prompt_of(body: dict[str, Any]) -> str:
    """The loop's own prompt in a request: its last message."""
    return str(body["messages"][-1]["content"])


Serve = Callable[..., ChatServer]


@pytest.fixture
def serve(bench: Bench) -> Iterator[Serve]:
    """Start a scripted model and point the static configuration at it; gives the server."""
    servers: list[ChatServer] = []

    def start(*edits: str, answer: Callable[[Body], str] | None = None, trace: str = "off") -> ChatServer:
        server = ChatServer(answer or Script(list(edits))).__enter__()
        servers.append(server)
        config = bench.home / "config.toml"
        config.write_text(f'{DEFAULTS.format(trace)}[lean]\nbinary = "direct"\nbase_url = "{server.base_url}"\n')
        bench.env["LEANLOOP_CONFIG"] = str(config)
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


Leaner = Callable[..., Path]


@pytest.fixture
def leaner(bench: Bench) -> Leaner:
    """Write a scripted leaner (a bash script's text) outside the project and make it the active one.

    It may change files of any kind, where SCOPE does not say otherwise; it has no sandbox without a first comment.
    """

    def make(script: str, scope: str = "any", trace: str = "off") -> Path:
        path = bench.home / "leaner.sh"
        path.write_text("#!/usr/bin/env bash\n" + textwrap.dedent(script))
        path.chmod(0o755)
        config = bench.home / "config.toml"
        guard = f'[guard]\nsandbox = "{"auto" if "# lean:" in script else "off"}"\nscope = "{scope}"\n'
        config.write_text(f'{DEFAULTS.format(trace)}[lean]\nbinary = "{path.as_posix()}"\nbase_url = ""\n{guard}')
        bench.env["LEANLOOP_CONFIG"] = str(config)
        return path

    return make
