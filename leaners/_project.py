"""What kind of project this is: how it is tested, what a test command needs to start, and where its files lie.

--init, --guide, --check and --list-leaners load this file. What is known of a kind of project is a row of _runners.txt.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from leanloop import (
    GENERATED,
    Program,
    Runner,
    ask_git,
    load_beside,
    read_text,
    readable,
    run_process,
    table,
    test_argv,
    test_environment,
)

TRIAL = 60.0  # seconds that a test command is tried for


@dataclass(frozen=True)
class TestCommand:
    """How a project is tested: `hint` says what it was known by, `narrow` is an example of a task's test_files."""

    hint: str
    words: tuple[str, ...] = ("",)
    narrow: tuple[str, ...] = ("test_dates.py",)
    shell: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def runner(self) -> Runner:
        command, *args = self.words
        return Runner(command=command, args=tuple(args), shell=self.shell, env=self.env, timeout=TRIAL)


UNKNOWN = TestCommand("no test runner was recognized: put your own test command here")


def detect_runner(root: Path) -> TestCommand:
    """Find how the project in ROOT is tested; without a command where no row of the table fits."""
    rows = table("_runners.txt")
    for name, row in rows.items():
        if "run" in row and (mark := first_mark(row["file"], root)):
            words = launched(row["run"][0], rows, root).split()
            narrow = tuple(" ".join(row.get("narrow", ())).split())
            shell = "shell" in row
            known_by = f"{name}: {mark} is here"
            command = TestCommand(known_by, (" ".join(words),) if shell else tuple(words), narrow, shell)
            return replace(command, env={"PYTHONPATH": "src"}) if needs_src(words, root) else command
    return UNKNOWN


def first_mark(marks: Sequence[str], root: Path) -> str:
    """Name the first file of MARKS (a pattern, and words that stand in it) that lies in ROOT."""
    for mark in marks:
        pattern, _, words = mark.partition(" ")
        if any(path.is_file() and re.search(words, read_text(path)) for path in root.glob(pattern)):
            return pattern
    return ""


def launched(line: str, rows: Mapping[str, Mapping[str, Sequence[str]]], root: Path) -> str:
    """Let the tool that keeps the project's packages start LINE, where it starts such commands and is there."""
    if line.startswith("{python}") and any((root / name).is_dir() for name in (".venv", "venv")):
        return line
    for row in rows.values():
        for pair in row.get("launch", ()):
            plain, _, own = pair.partition(" = ")
            if line.startswith(plain) and first_mark(row["file"], root) and shutil.which(own.split()[0]):
                return own + line.removeprefix(plain)
    return line


def needs_src(words: Sequence[str], root: Path) -> bool:
    """Tell whether Python finds the project's own modules only where it is told that they lie in src/."""
    has_modules = any(root.glob("src/*.py")) or any(root.glob("src/*/*.py"))
    is_told = first_mark(("pyproject.toml pythonpath", "pytest.ini pythonpath", "setup.cfg pythonpath"), root)
    return words[0] == "{python}" and has_modules and not is_told


def try_command(command: TestCommand, root: Path) -> tuple[TestCommand, str]:
    """Run a test command once; say what was seen, and give the command with what it needs to find its own modules."""
    seen, output = run_once(command, root)
    if folder := missing_from_path(output, root):
        told = replace(command, env={**command.env, "PYTHONPATH": folder})
        again, output = run_once(told, root)
        if not missing_from_path(output, root):
            return told, f"{again}, with PYTHONPATH = {folder}"
    return command, seen


def run_once(command: TestCommand, root: Path) -> tuple[str, str]:
    """Run a test command; return in words how it ended, and its output."""
    argv = test_argv(command.runner, root)
    try:
        done = run_process(argv, root, env=test_environment(command.runner, ""), timeout=TRIAL)
    except OSError:
        return f"it does not start: is {argv[0]} installed?", ""
    reading = load_beside("_failures")
    said = reading.read_summary(done.output, " ".join(argv), green=done.code == 0)
    if done.cut:
        return f"it ran longer than {TRIAL:g} s", done.output
    if said.passed is not None and (said.passed or said.failed):
        return f"{said.passed} passed, {said.failed} failed", done.output
    if done.code == 0:
        return "it ended well, but names no test", done.output
    failure = reading.read_failure(done.output, root, 5, " ".join(argv))
    return f"it ran no test: {failure.summary or readable(failure.excerpt.encode()).strip()[-200:]}", done.output


def missing_from_path(output: str, root: Path) -> str:
    """Name the folder of the project that holds the Python module which OUTPUT says is missing."""
    found = re.search(r"No module named '([A-Za-z_]\w*)", output)
    if not found:
        return ""
    folders = set[str]()
    for path in git_files(root):
        parts = PurePosixPath(path).parts
        if found[1] in parts[1:-1]:
            folders.add("/".join(parts[: parts.index(found[1], 1)]))
        elif parts[-1] == f"{found[1]}.py" and len(parts) > 1:
            folders.add("/".join(parts[:-1]))
    return min(folders, key=lambda folder: (folder.count("/"), folder), default="")


def layout(root: Path, most: int = 8) -> str:
    """Tell where the most files of the project at ROOT lie, by folder and kind."""
    kinds = Counter(re.sub(r"[^/]+(?=\.\w+$)", "*", path) for path in git_files(root) if "." in path)
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(most)) or "empty"


def git_files(root: Path) -> list[str]:
    """List the project's own files that git does not ignore; without git those of the first two levels."""
    listed = ask_git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    paths = (path for pattern in ("*", "*/*") for path in islice(root.glob(pattern), 999) if path.is_file())
    listed = listed or [path.relative_to(root).as_posix() for path in paths]
    return [path for path in listed if {*GENERATED}.isdisjoint(path.split("/"))]


def readiness(program: Program) -> str:
    """Say where a leaner's program lies, its version, and the version that the wrapper was proven with."""
    found = shutil.which(program.needs) if program.needs else None
    if not found:
        return f"{program.needs} is not on PATH" if program.needs else "built in"
    with contextlib.suppress(OSError):
        done = run_process([found, "--version"], Path.cwd(), timeout=20)
        version = re.search(r"\d+\.\d[\w.]*", done.output) if done.code == 0 else None
        proven = f" (proven with {program.proven})" if program.proven else ""
        return f"{found} version {version[0] if version else 'unknown'}{proven}"
    return f"{found} does not start"
