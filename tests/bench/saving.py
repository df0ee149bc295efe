#!/usr/bin/env python3
"""Measure what lean-loop saves a cloud model: BANDEEZY's feature by Claude Code alone, and with lean-loop.

It is the real Claude Code CLI at its ordinary settings, in one session, with a model scripted by us. It gets the same
words of the user, reads the same files (those that a task lists, its tests, the modules that its words name), and comes
to the same code by the same answers, wrong ones included, in each of three ways:
- alone, step by step: it reads each task's files when it comes to the task, edits, runs the task's tests, sees what
  failed, and mends it;
- alone, all in one go: it reads everything, writes all tasks before it runs a test, and mends what failed in as few
  rounds as the answers allow; few sessions are as sure of themselves, so this is the least that "alone" can cost;
- with lean-loop: it reads `lean-loop --guide` and everything, writes the leanfile, starts lean-loop and reads the
  outcome; `direct` gets the same answers from a local server.
The recorded answers of playground/BANDEEZY are turned into calls of Claude's own tools mechanically. Calls that can go
side by side do, and nobody looks around or reads a file in vain. What would be unfair is left out: the edit of a test
file (alone, nobody would put it back). So is what all ways share: talking the feature over, and writing its tests.

Tokens are cl100k's of the requests' JSON (a quarter of the bytes where tiktoken is missing). The share that repeats
is what stood unchanged at the beginning of the request before: a prompt cache would take about a tenth for it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "direct")]

from bench.on_the_wire import InTurn, repeated, surroundings  # noqa: E402
from bench.wrappers import CACHE, lay, tokenizer  # noqa: E402
from e2e.clis import CLIS, Place, call, install  # noqa: E402
from e2e.wires import Body, Say, Server  # noqa: E402
from playground.serve import ChatServer, Recording, parse  # noqa: E402
from support import Memory, answers, edits  # noqa: E402

BANDEEZY = ROOT / "playground" / "BANDEEZY"
(CLAUDE,) = (cli for cli in CLIS if cli.name == "claude")
Count = Callable[[str], int]
UNCACHED = {"PYTEST_ADDOPTS": "-p no:cacheprovider"}
FEATURE = """Add notifications to BANDEEZY, as we talked it over: users are told of offers, bookings and cancellations
that concern them. The tests are written, in tests/notifications; do not change them. Bring to green, in this order:
{names}."""
ALONE = "Do it yourself, and run the tests of each step."
AT_ONCE = "Do it yourself: write it all, then run the tests."
LEAN = "Let the local model do the work: `lean-loop --guide` tells how. Write leanfile.toml, and start it."
DONE = "It is done: all {number} steps are green."
LEAN_LOOP = "lean-loop --check && lean-loop --quiet"


@dataclass(frozen=True)
class Task:
    """One task of BANDEEZY's leanfile: its words, how it is tested, and the recorded answers to it, in order."""

    name: str
    prompt: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    runner: tuple[str, ...]

    @property
    def reads(self) -> list[str]:
        """What one must know for it: the files that it lists, its tests, and the modules that its words name."""
        modules = re.findall(r"bandeezy(?:\.\w+)+", self.prompt)
        return [*self.files, *self.tests, *(f"{module.replace('.', '/')}.py" for module in modules)]

    @property
    def command(self) -> str:
        return " ".join(("python", *self.runner, *self.tests))

    @property
    def answers(self) -> list[Path]:
        """The recorded edits, each repair after the answer that it repairs."""
        pattern = re.compile(rf"(edit|repair)-\d\d-{self.name}(-\d.*)?")
        return [path for path in sorted((BANDEEZY / "answers").glob("*.md")) if pattern.fullmatch(path.stem)]


def read_tasks() -> list[Task]:
    leanfile = tomllib.loads((BANDEEZY / "leanfile.toml").read_text())
    args = leanfile["runner"]["args"]
    return [
        Task(
            table["name"],
            table["prompt"],
            tuple(table["files"]),
            tuple(table.get("test_files", ())),
            tuple(table.get("runner", {}).get("args", args)),
        )
        for table in leanfile["tasks"]
    ]


def leanfile(number: int) -> str:
    """The leanfile as a model writes it: the first NUMBER tasks, without the comments for its human readers."""
    lines = (BANDEEZY / "leanfile.toml").read_text().splitlines()
    text = "\n".join(line.partition("  # ")[0] for line in lines if not line.startswith("#")).strip()
    head, *tasks = re.split(r"\n+(?=\[\[tasks\]\])", text)
    return "\n\n".join([head, *tasks[:number]]) + "\n"


# -------------------------------------------------------------------------------------------------- the scripted model


@dataclass
class Hands:
    """What the model does with Claude's tools in PROJECT; `seen` are the files that the session knows."""

    project: Path
    seen: set[str] = field(default_factory=set)

    def read(self, paths: Sequence[str]) -> Iterator[Say]:
        """Read those of PATHS that are there and not known yet, in one answer."""
        new = [path for path in dict.fromkeys(paths) if path not in self.seen and (self.project / path).is_file()]
        self.seen |= set(new)
        yield from together(call("Read", file_path=str(self.project / path)) for path in new)

    def edit(self, task: Task, answer: Path) -> Iterator[Say]:
        """Make the edits of a recorded ANSWER, in one answer."""
        yield from together(self.calls(task, answer))

    def calls(self, task: Task, answer: Path) -> Iterator[Say]:
        """Turn the edits of a recorded ANSWER into calls of tools, but for those of tests."""
        there = {path: (self.project / path).read_text() for path in task.files if (self.project / path).is_file()}
        files = Memory(there, tuple(task.files))
        found = answers.Reader(files).read(parse(answer.read_text()).text)
        named = [(edit, edits.home_of(edit, files, {}, set())) for edit in found]
        return (self.tool(edit, path) for edit, path in named if not path.startswith("tests/"))

    def tool(self, edit: object, path: str) -> Say:
        """Turn one edit into a call of Edit or Write."""
        file, place = self.project / path, str(self.project / path)
        self.seen.add(path)
        if isinstance(edit, answers.Change):
            (old, new), *_ = edit.readings
            return call("Edit", file_path=place, old_string=old, new_string=new)
        assert isinstance(edit, answers.Code)
        before = file.read_text() if file.is_file() else ""
        after = edits.rewrite(path, before, edit)
        if not before or edit.text.strip() == after.strip():
            return call("Write", file_path=place, content=after)
        old, new = differing(before, after)
        return call("Edit", file_path=place, old_string=old, new_string=new)


def differing(before: str, after: str) -> tuple[str, str]:
    """The lines of BEFORE from the first to the last that differ, widened until they are unique, and those of AFTER."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    changes = [code for code in difflib.SequenceMatcher(None, old, new).get_opcodes() if code[0] != "equal"]
    first, last = changes[0][1], changes[-1][2]
    while before.count("".join(old[first:last])) != 1:
        first, last = max(0, first - 1), min(len(old), last + 1)
    return "".join(old[first:last]), "".join(new[first : last + len(new) - len(old)])


def together(calls: Iterator[Say]) -> Iterator[Say]:
    """Make calls side by side, in one answer."""
    first, more = next(calls, None), tuple(calls)
    if first:
        yield replace(first, more=more)


def alone(tasks: Sequence[Task], hands: Hands) -> Iterator[Say]:
    """Do the feature by oneself: for each task read, edit and test until it is green."""
    for task in tasks:
        yield from hands.read(task.reads)
        answers = task.answers
        for answer, after in zip(answers, [*answers[1:], None], strict=True):
            yield from hands.edit(task, answer)
            if not (after and after.stem.startswith("repair-")):
                yield call("Bash", command=task.command, description=f"Run the tests of {task.name}")
    yield Say(DONE.format(number=len(tasks)))


def in_one_go(tasks: Sequence[Task], hands: Hands) -> Iterator[Say]:
    """Do the feature by oneself, and all of it before a test runs."""
    scoped = all(task.tests for task in tasks)  # the last task has none: its judge is the whole suite
    tests = [path for task in tasks for path in task.tests if scoped and path.endswith(".py")]
    yield from hands.read([path for task in tasks for path in task.reads])
    for turn in zip_longest(*(task.answers for task in tasks)):
        given = [(task, answer) for task, answer in zip(tasks, turn, strict=True) if answer]
        yield from together(call for task, answer in given for call in hands.calls(task, answer))
        yield call("Bash", command=" ".join(("python -m pytest -q", *tests)), description="Run the tests")
    yield Say(DONE.format(number=len(tasks)))


def with_lean_loop(tasks: Sequence[Task], hands: Hands) -> Iterator[Say]:
    """Hand the feature to lean-loop."""
    yield call("Bash", command="lean-loop --guide", description="Read how lean-loop is used")
    yield from hands.read([path for task in tasks for path in task.reads])
    place = str(hands.project / "leanfile.toml")
    yield call("Write", file_path=place, content=leanfile(len(tasks)))
    yield call("Bash", command=LEAN_LOOP, timeout=600_000, description="Let lean-loop do the tasks")
    yield Say(DONE.format(number=len(tasks)))


# ----------------------------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Bill:
    """What went over a wire; `repeats` are those input tokens that the request before began with too.

    `reds` counts the commands that failed before the model's eyes.
    """

    requests: int
    sent: int
    repeats: int
    got: int
    green: bool = True
    reds: int = 0

    @property
    def total(self) -> int:
        return self.sent + self.got

    @property
    def cached(self) -> float:
        """The total where a repeat costs a tenth."""
        return self.total - 0.9 * self.repeats

    def __str__(self) -> str:
        share = f"{self.repeats / max(1, self.sent):.0%}"
        return f"{self.requests} | {self.sent:,} | {share} | {self.got:,} | {self.total:,}"


@dataclass(frozen=True)
class Row:
    """The same tasks done in all ways; `at_once` is alone too."""

    tasks: int
    alone: Bill
    at_once: Bill
    lean: Bill
    local: Bill

    @property
    def green(self) -> bool:
        return all(way.green for way in (self.alone, self.at_once, self.lean))

    def fewer(self, way: Bill) -> tuple[float, float]:
        """How many times fewer cloud tokens lean-loop takes than WAY, without a prompt cache and with one."""
        return way.total / self.lean.total, way.cached / self.lean.cached

    def __str__(self) -> str:
        told = [
            "**{:.1f}** ({:.1f} with a prompt cache)".format(*self.fewer(way)) for way in (self.alone, self.at_once)
        ]
        return "\n".join(
            (
                f"| {self.tasks} | Claude Code alone, step by step | {self.alone} | {told[0]} |",
                f"| | Claude Code alone, all in one go | {self.at_once} | {told[1]} |",
                f"| | Claude Code with lean-loop | {self.lean} | |",
                f"| | the local model | {self.local} | |",
            )
        )


HEAD = """| tasks | whose tokens | requests | input | of it repeated | output | both | times those with lean-loop |
|---:|---|---:|---:|---:|---:|---:|---|"""


def ordered(body: Body) -> str:
    """Write a request in the order in which a prompt cache reads it, without the marks that say what to cache."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items() if name != "cache_control"}
        return [plain(part) for part in value] if isinstance(value, list) else value

    return "".join(json.dumps(plain(body.get(name))) for name in ("tools", "system", "messages"))


def bill(bodies: Sequence[Body], raws: Sequence[str], answers: int, green: bool, count: Count) -> Bill:
    """Count requests, as JSON, and how much of each repeats the one before."""
    sent, texts = [count(raw) for raw in raws], [ordered(body) for body in bodies]
    shares = [0.0, *(repeated(*pair) for pair in pairwise(texts))]
    repeats = sum(round(tokens * share) for tokens, share in zip(sent, shares, strict=True))
    return Bill(len(sent), sum(sent), repeats, answers, green)


Script = Callable[[Sequence[Task], Hands], Iterator[Say]]


def session(tasks: Sequence[Task], script: Script, words: str, local: str, count: Count) -> Bill:
    """Let Claude Code work through TASKS in one session, as SCRIPT does, with lean-loop at hand on the LOCAL server."""
    asked = FEATURE.format(names=", ".join(task.name for task in tasks))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = lay(folder, BANDEEZY)
        (project / "leanfile.toml").unlink()
        place = Place(folder, CLAUDE, install(CLAUDE, CACHE))
        with Server(InTurn(script(tasks, Hands(project))), count=count) as server:
            env = surroundings(place, server.origin) | lean_loop_at_hand(folder, local)
            env["PATH"] = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), env["PATH"]])
            argv = ["claude", "-p", f"{asked}\n\n{words}", "--permission-mode", "acceptEdits", "--allowedTools", "Bash"]
            ran = subprocess.run(argv, cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
        said, green = ran.stdout.decode(), passes(tasks, project)
    if "It is done" not in said:
        print(said[-2000:], ran.stderr.decode()[-2000:], file=sys.stderr)
    raws = [request.raw.decode() for request in server.requests]
    bodies, got = [request.body for request in server.requests], server.cost.got
    cost = bill(bodies, raws, got, green and "It is done" in said, count)
    return replace(cost, reds=raws[-1].count('"Exit code '))


def lean_loop_at_hand(folder: Path, local: str) -> dict[str, str]:
    """Put the command lean-loop into FOLDER, and its configuration; give the variables that belong to it."""
    program, config = folder / "bin" / "lean-loop", folder / "config.toml"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "leanloop.py"}" "$@"\n')
    program.chmod(0o755)
    config.write_text(f'[lean]\nbinary = "direct"\nbase_url = "{local}"\n')
    return {"LEANLOOP_CONFIG": str(config), "BASH_DEFAULT_TIMEOUT_MS": "600000", **UNCACHED}


def passes(tasks: Sequence[Task], project: Path) -> bool:
    """Run the tests of TASKS, as a judge who trusts nobody."""
    commands, env = ([sys.executable, *task.runner, *task.tests] for task in tasks), {**os.environ, **UNCACHED}
    ended = (subprocess.run(command, cwd=project, env=env, capture_output=True) for command in commands)
    return all(done.returncode == 0 for done in ended)


def measure(number: int, count: Count) -> Row:
    """Do the first NUMBER tasks in all ways."""
    tasks = read_tasks()[:number]
    recording, said = Recording.read(BANDEEZY / "answers"), list[str]()

    def local(body: Body) -> str:
        said.append(recording(body))
        return said[-1]

    by_itself = session(tasks, alone, ALONE, "", count)
    at_once = session(tasks, in_one_go, AT_ONCE, "", count)
    with ChatServer(local) as server:
        handed = session(tasks, with_lean_loop, LEAN, server.base_url, count)
    bodies = server.requests
    at_home = bill(bodies, [json.dumps(body) for body in bodies], sum(map(count, said)), True, count)
    return Row(number, by_itself, at_once, handed, at_home)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", type=int, default=[1, 4, 12], help="how many of the tasks (1 4 12)")
    numbers = parser.parse_args().tasks
    if not {*numbers} <= {*range(1, len(read_tasks()) + 1)}:
        parser.error(f"there are {len(read_tasks())} tasks")
    print(HEAD)
    green = True
    for number in numbers:
        row = measure(number, tokenizer())
        print(row, flush=True)
        if not row.green:
            green = False
            print(f"not green: {[way.green for way in (row.alone, row.at_once, row.lean)]}", file=sys.stderr)
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
