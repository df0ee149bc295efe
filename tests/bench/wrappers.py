#!/usr/bin/env python3
"""Run the demo's three tasks, with one wrong first answer, through every wrapper and its real CLI; print a table.

The model is scripted and the same for all. Its server counts what it is sent: requests, bytes, and the tokens of the
requests' JSON (cl100k where tiktoken is there, else a quarter of the bytes). The CLIs are installed on first use.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from e2e.clis import CLIS, FILE, NEW, OLD, Cli, install  # noqa: E402
from e2e.wires import MODEL, Request, Say, Server, quarter  # noqa: E402
from playground.serve import Recording  # noqa: E402
from tokens import counter  # noqa: E402

CACHE = Path(os.environ.get("LEANLOOP_CACHE") or Path.home() / ".cache" / "lean-loop-tests")
DEMO = ROOT / "playground" / "demo"
DIAGNOSIS = "group_fare counts those who ride free among the five, so the free ticket is one that costs nothing."
IN_WORDS = """    if wait == 0:
        return "now"
    hours, rest = divmod(wait, 60)
    if hours == 0:
        return f"{rest} min"
    return f"{hours} h {rest:02d} min" if rest else f"{hours} h"
"""
FARE = """    if age < 15:
        return CHILD
    return ADULT
"""
ALL_TICKETS = "    tickets = sorted(fare(age) for age in ages)\n"
PAID_TICKETS = "    tickets = sorted(price for price in map(fare, ages) if price > 0)\n"
GROUP_FARE = f'''

def group_fare(ages: list[int]) -> int:
    """Return the fare of a group: for every full five passengers who pay, the cheapest ticket is free."""
{ALL_TICKETS}    return sum(tickets[len(tickets) // 5 :])
'''


@dataclass(frozen=True)
class Step:
    """One edit: when a request holds all of `when`, `old` becomes `new` in the file `path`."""

    when: tuple[str, ...]
    path: str
    old: str
    new: str


STEPS = (
    Step(("Task: board",), "timetable.py", "    raise NotImplementedError\n", IN_WORDS),
    Step(("Task: next boat",), "timetable.py", "minutes(clock) > minutes(now)", "minutes(clock) >= minutes(now)"),
    Step(("Task: group fares", "3200 != 2560"), "fares.py", ALL_TICKETS, PAID_TICKETS),
    Step(("Task: group fares",), "fares.py", FARE, FARE.replace("< 15", "<= 15") + GROUP_FARE),
)


@dataclass(frozen=True)
class Row:
    """What one leaner cost: as its server counted, and as the loop reported."""

    name: str
    version: str
    green: bool
    requests: int
    size: int
    counted: int
    reported: int
    estimated: bool

    def __str__(self) -> str:
        about, off = "about " if self.estimated else "", 100 * (self.reported - self.counted) / max(1, self.counted)
        cells = (self.name, self.version, "yes" if self.green else "no", f"{self.requests}", f"{self.size:,}")
        return f"| {' | '.join(cells)} | {self.counted:,} | {about}{self.reported:,} | {off:+.1f} % |"


HEAD = """| leaner | version | green | requests | bytes | tokens at the server | tokens reported | difference |
|---|---|---|---:|---:|---:|---:|---:|"""


def tokenizer() -> Callable[[str], int]:
    """Count by cl100k, whose table is fetched on first use; roughly where tiktoken is missing."""
    return counter(CACHE, fetch=True) if importlib.util.find_spec("tiktoken") else quarter


@dataclass(frozen=True)
class Player:
    """The scripted model as one CLI meets it: that CLI's own tools, the demo's edits."""

    cli: Cli
    project: Path

    def __call__(self, request: Request) -> Say:
        text = request.raw.decode()
        if "In one sentence, " in text:
            return Say(DIAGNOSIS)
        step = next(step for step in STEPS if all(words in text for words in step.when))
        calls = [self.made(say, step, text) for say in self.cli.edit]
        if not self.cli.edit[0].tool:
            return calls[0]
        return (*calls, Say("It is done."))[min(request.turn, len(calls))]

    def made(self, say: Say, step: Step, request: str) -> Say:
        """Turn a CLI's edit of calc.py into the edit of STEP."""
        if say.free:
            return replace(say, free=patch(step))
        return replace(say, arguments=self.fit(say.arguments, step)) if say.tool else Say(self.block(step, request))

    def fit(self, value: Any, step: Step) -> Any:
        """Put STEP's path and texts into a tool's arguments, however deep they lie."""
        if isinstance(value, dict):
            return {name: self.fit(part, step) for name, part in value.items()}
        if isinstance(value, list):
            return [self.fit(part, step) for part in value]
        known = {FILE: str(self.project / step.path), "calc.py": step.path, OLD: step.old, NEW: step.new}
        return known.get(value, value)

    def block(self, step: Step, request: str) -> str:
        """Write STEP as text: the block or the whole file, whichever the request asks for."""
        if "SEARCH/REPLACE" in request:
            old, new = (text if text.endswith("\n") else text + "\n" for text in whole_lines(step, self.project))
            return f"{step.path}\n```python\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n```\n"
        text = (self.project / step.path).read_text().replace(step.old, step.new)
        return f"{step.path}\n```python\n{text}```\n"


def whole_lines(step: Step, project: Path) -> tuple[str, str]:
    """Widen STEP's texts to whole lines of the file."""
    text = (project / step.path).read_text()
    begin, end = text.index(step.old), text.index(step.old) + len(step.old)
    first = text.rfind("\n", 0, begin) + 1
    last = end if step.old.endswith("\n") else text.index("\n", end) + 1
    return text[first:last], text[first:begin] + step.new + text[end:last]


def patch(step: Step) -> str:
    """Write STEP in codex's form."""
    lines = [("-", step.old), ("+", step.new)]
    if not step.old.endswith("\n"):  # a part of a line: the demo has one such line
        lines = [(sign, f"        if {text}:\n") for sign, text in lines]
    changes = "".join(sign + line for sign, text in lines for line in text.splitlines(keepends=True))
    return f"*** Begin Patch\n*** Update File: {step.path}\n@@\n{changes}*** End Patch\n"


def lay(folder: Path, source: Path = DEMO) -> Path:
    """Copy SOURCE into FOLDER and commit it there."""
    project = folder / "project"
    shutil.copytree(source, project, ignore=shutil.ignore_patterns("answers", "__pycache__"))
    person = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for argv in (["init", "-q"], ["add", "-A"], [*person, "commit", "-qm", "start"]):
        subprocess.run(["git", *argv], cwd=project, check=True)
    return project


def loop(name: str, server: Server, project: Path, path: str, **settings: str) -> tuple[bool, list[dict[str, Any]]]:
    """Run lean-loop on the project; tell whether all went green, and what it says that its calls used."""
    home = project.parent / "home"
    home.mkdir()
    config = home / "config.toml"
    lean = {"binary": name, "base_url": f"{server.origin}/v1", "api_key": "sk-bench-0123456789", "model": MODEL}
    lean |= settings
    config.write_text("[lean]\n" + "".join(f'{key} = "{value}"\n' for key, value in lean.items()))
    env = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "NO_PROXY": "*", "LEANLOOP_CONFIG": str(config)}
    argv = [sys.executable, str(ROOT / "leanloop.py"), "-c", "leanfile.toml"]
    done = subprocess.run(argv, cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        print(f"{name}: {done.stdout[-800:]}{done.stderr[-800:]}", file=sys.stderr)
    events = next(home.glob(".local/state/lean-loop/*/runs/*/events.jsonl")).read_text().splitlines()
    answered = [event for event in map(json.loads, events) if event["event"] == "answered"]
    return done.returncode == 0, [event["usage"] for event in answered]


def measure(name: str, cli: Cli | None, count: Callable[[str], int]) -> Row:
    """Run the demo through one leaner; without CLI it is direct, which gets the recorded answers."""
    with tempfile.TemporaryDirectory() as folder:
        project = lay(Path(folder))
        recording = Recording.read(DEMO / "answers")
        model = Player(cli, project) if cli else lambda request: Say(recording(request.body))
        path = os.pathsep.join([str(install(cli, CACHE)), os.environ["PATH"]]) if cli else os.environ["PATH"]
        with Server(model, count=count) as server:
            green, usages = loop(name, server, project, path)
        size = sum(len(request.raw) for request in server.requests)
        reported = sum(usage["input_tokens"] for usage in usages)
        estimated = any(usage["estimated"] for usage in usages)
        version = cli.version if cli else "–"
        return Row(name, version, green, len(server.requests), size, server.cost.sent, reported, estimated)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="leaners to run; all if none is given")
    wanted = parser.parse_args().names
    leaners: list[tuple[str, Cli | None]] = [("direct", None), *((cli.name, cli) for cli in CLIS)]
    print(HEAD)
    rows = []
    for name, cli in leaners:
        if not wanted or name in wanted:
            rows.append(measure(name, cli, tokenizer()))
            print(rows[-1], flush=True)
    return 0 if rows and all(row.green for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
