#!/usr/bin/env python3
"""Do the same small tasks by lean-loop with `direct` and by coding agents alone; print what goes over the wire.

The tasks are the demo's three, and one in a file of 1,500 lines. The model is scripted and makes the same edits for
all, one of them wrong at first; each agent really edits the files and runs the tests until they are green. Agents
get the task's words and the test command; where they look for themselves, the model reads only what it needs. Tokens
are cl100k's: of the messages' text, and of the requests' whole JSON, tool definitions included. The agents are
installed on first use.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from bench.wrappers import CACHE, DEMO, DIAGNOSIS, STEPS, Step, lay, loop, tokenizer, whole_lines  # noqa: E402
from e2e.clis import CLIS, FILE, NEW, OLD, TOUCH, Cli, Place, call, install  # noqa: E402
from e2e.wires import MODEL, Body, Request, Say, Server  # noqa: E402
from playground.serve import Recording, said  # noqa: E402

KEY = "sk-bench-0123456789"
Count = Callable[[str], int]

# ------------------------------------------------------------------------------------------------------------ the work


@dataclass(frozen=True)
class Errand:
    """One task as a person would say it: words, the test file that decides, and the model's edits, the last right.

    `lines` are those that an agent reads of the file, first and number of lines; without them it reads all.
    """

    name: str
    prompt: str
    path: str
    test: str
    edits: tuple[Step, ...]
    lines: tuple[int, int] | None = None

    @property
    def command(self) -> str:
        return f"python3 -m unittest {self.test}"


@dataclass(frozen=True)
class Work:
    """A project and the errands in it; `answers` are direct's recorded ones, where there are some."""

    name: str
    source: Path
    errands: tuple[Errand, ...]
    answers: Path | None = None


def demo() -> Work:
    """The demo's three tasks; the wrong first answer is that to the last one."""
    tasks = tomllib.loads((DEMO / "leanfile.toml").read_text())["tasks"]
    board, boat, fix, wrong = STEPS
    edits = ((board,), (boat,), (wrong, fix))
    errands = (
        Errand(task["name"], task["prompt"].strip(), task["files"][0], task["test_files"][0], steps)
        for task, steps in zip(tasks, edits, strict=True)
    )
    return Work("the demo's three tasks", DEMO, tuple(errands), DEMO / "answers")


THINGS = ("berth", "buoy", "crane", "dock", "ferry", "gauge", "hull", "jetty", "keel", "lock", "mast", "pier", "quay")
DOINGS = ("charge", "weigh", "moor", "tow", "paint", "inspect", "rent", "survey")
PLAIN = '''def {name}({thing}s: list[int], limit: int = {limit}) -> int:
    """Add up what it takes to {doing} every {thing} up to a limit."""
    total = 0
    for {thing} in {thing}s:
        if {thing} > limit:
            total += limit * {rate}
        elif {thing} > {step}:
            total += {thing} * {rate} + {step}
        else:
            total += {thing}
    return total


def {name}_each({thing}s: list[int]) -> list[int]:
    """List what each {thing} takes alone."""
    return [{name}([{thing}]) for {thing} in {thing}s]
'''
RATE = '''def nightly_rate(length: int) -> int:
    """Return what a boat of this length in metres pays a night, in cents."""
    return 900 + 150 * max(0, length - 6)
'''
FEE = '''def mooring_fee(length: int, nights: int) -> int:
    """Return the fee of a stay, in cents."""
    return nightly_rate(length) * nights
'''
FEE_LINE = "    return nightly_rate(length) * nights\n"
FEE_TEST = """import unittest

from harbour import mooring_fee


class MooringFee(unittest.TestCase):
    def test_a_short_stay_pays_every_night(self):
        self.assertEqual(mooring_fee(8, 6), 7200)

    def test_the_seventh_night_is_free(self):
        self.assertEqual(mooring_fee(8, 7), 7200)

    def test_two_weeks_have_two_free_nights(self):
        self.assertEqual(mooring_fee(6, 15), 11700)
"""
FEE_PROMPT = """In harbour.py, mooring_fee must let a boat stay every full seventh night for nothing: who stays 7 nights
pays for 6, who stays 15 for 13."""
FEE_LEANFILE = f"""
[runner]
command = "{{python}}"
args = ["-m", "unittest"]

[[tasks]]
name = "mooring fee"
prompt = \"\"\"
{FEE_PROMPT}
\"\"\"
files = ["harbour.py"]
test_files = ["test_harbour.py"]
"""


def harbour(seed: int, lines: int = 1500) -> str:
    """Write a module of at least LINES lines; the function that is to be changed stands in its middle."""
    dice, parts = random.Random(seed), ['"""The harbour: what its work costs, in cents."""\n']
    names = [(doing, thing) for doing in DOINGS for thing in THINGS]
    dice.shuffle(names)
    for number, (doing, thing) in enumerate(names):
        figures = {"limit": dice.randrange(40, 90), "rate": dice.randrange(2, 30), "step": dice.randrange(5, 30)}
        parts.append(PLAIN.format(name=f"{doing}_{thing}s", thing=thing, doing=doing, **figures))
        parts += [RATE, FEE] if number == len(names) // 2 else []
        if sum(part.count("\n") + 2 for part in parts) > lines + 2:
            break
    return "\n\n".join(parts)


def large(folder: Path) -> Work:
    """One task in a file of 1,500 lines, written into FOLDER."""
    source = folder / "harbour"
    source.mkdir()
    text = harbour(seed=3)
    for path, content in {"harbour.py": text, "test_harbour.py": FEE_TEST, "leanfile.toml": FEE_LEANFILE}.items():
        (source / path).write_text(content)
    wrong = FEE_LINE.replace("nights\n", "(nights - (nights > 6))\n")
    right = FEE_LINE.replace("nights\n", "(nights - nights // 7)\n")
    edits = (Step((), "harbour.py", FEE_LINE, wrong), Step((), "harbour.py", wrong, right))
    around = max(1, text[: text.index(FEE)].count("\n") - 10), 30
    errand = Errand("mooring fee", FEE_PROMPT, "harbour.py", "test_harbour.py", edits, around)
    return Work(f"one task in a file of {text.count(chr(10)):,} lines", source, (errand,))


# ----------------------------------------------------------------------------------------------------- the other hands

MINI = Cli(
    "mini-swe-agent",
    "mini-swe-agent",
    "2.4.6",
    0,
    (call("bash", command="cat calc.py"), call("bash", command=OLD)),
    call("bash", command=TOUCH),
    call("bash", command=TOUCH),
    own_env={"OPENAI_API_BASE": "$ORIGIN/v1", "OPENAI_API_KEY": KEY, "MSWEA_CONFIGURED": "true"}
    | {"MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_SILENT_STARTUP": "1"},
)
SWAP = """python3 - <<'END'
from pathlib import Path
path = Path("{path}")
path.write_text(path.read_text().replace({old!r}, {new!r}))
END
"""
AIDER_QUIET = ("--yes-always", "--no-auto-commits", "--no-check-update", "--no-analytics", "--no-show-model-warnings")
COMMANDS: dict[str, tuple[str, ...]] = {
    "aider": ("aider", *AIDER_QUIET, "--no-show-release-notes", "--no-detect-urls", "--auto-test"),
    "mini-swe-agent": ("mini", "-y", "--exit-immediately", "-m", f"openai/{MODEL}"),
    "pi": ("pi",),
    "qwen": ("qwen", "--approval-mode", "yolo"),
    "claude": ("claude", "--permission-mode", "acceptEdits", "--allowedTools", "Bash"),
}
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PI_OFFLINE": "1", "QWEN_TELEMETRY_ENABLED": "false"}
SEALED = {"LANG": "C.UTF-8", "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1", "DISABLE_AUTOUPDATER": "1"}


def argv(cli: Cli, errands: Sequence[Errand], options: Sequence[str]) -> list[str]:
    """Say how a person starts CLI on ERRANDS; aider takes one at a time, as one test command serves a whole chat."""
    if cli.name == "aider":
        (errand,) = errands
        told = ["--test-cmd", errand.command, "--message", errand.prompt, errand.path]
    else:
        parts = [f"{errand.prompt}\nTo test it: {errand.command}" for errand in errands]
        told = ["-t" if cli is MINI else "-p", "\n\n".join([*parts, "Go on until the tests pass."])]
    return [*COMMANDS[cli.name], *options, *told]


def fit(value: Any, known: Mapping[str, str]) -> Any:
    """Put what is KNOWN into a tool's arguments, however deep they lie."""
    if isinstance(value, dict):
        return {name: fit(part, known) for name, part in value.items()}
    if isinstance(value, list):
        return [fit(part, known) for part in value]
    return known.get(value, value)


def tool_calls(cli: Cli, errands: Sequence[Errand], project: Path) -> Iterator[Say]:
    """What the model says to an agent: read each file once, then edit and test in turn, until all is done."""
    read, edit = cli.edit
    for at, errand in enumerate(errands):
        known = {FILE: str(project / errand.path), TOUCH: errand.command}
        if all(errand.path != other.path for other in errands[:at]):
            first, number = errand.lines or (0, 0)
            cut = {"offset": first, "limit": number} if number else {}
            seen = f"sed -n {first},{first + number}p {errand.path}" if number else f"cat {errand.path}"
            known["cat calc.py"] = seen
            yield replace(read, arguments=fit(read.arguments, known) | ({} if cli is MINI else cut))
        for step in errand.edits:
            known |= {OLD: step.old, NEW: step.new}
            if cli is MINI:
                swap = SWAP.format(path=step.path, old=step.old, new=step.new)
                yield call("bash", command=swap + errand.command)
                continue
            yield replace(edit, arguments=fit(edit.arguments, known))
            yield replace(cli.shell, arguments=fit(cli.shell.arguments, known))
    end = call("bash", command="echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
    yield end if cli is MINI else Say("All is done, and the tests pass.")


@dataclass
class InTurn:
    """A model that says the next thing of a script; requests on the side (a title, a summary) get a word."""

    script: Iterator[Say]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Say:
        with self.lock:
            return next(self.script, Say("There is no more to do.")) if request.tools else Say("ok")


@dataclass
class Writer:
    """A model that writes its next edit as text, in the form that the request asks for."""

    steps: list[Step]
    project: Path

    def __call__(self, request: Request) -> Say:
        text = request.raw.decode()
        if "In one sentence, " in text:
            return Say(DIAGNOSIS)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if "SEARCH/REPLACE" not in text and "<<<<<<< SEARCH" not in text:
            whole = (self.project / step.path).read_text().replace(step.old, step.new)
            return Say(f"{step.path}\n```python\n{whole}```\n")
        old, new = whole_lines(step, self.project)
        return Say(f"{step.path}\n```python\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n```\n")


# ----------------------------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Row:
    """What it took until green."""

    who: str
    version: str
    sessions: int
    green: bool
    requests: int
    size: int
    text: int
    whole: int
    output: int
    shares: tuple[float, ...] = ()

    def __str__(self) -> str:
        cells = (self.who, self.version, f"{self.sessions}", "yes" if self.green else "no", f"{self.requests}")
        return f"| {' | '.join(cells)} | {self.size:,} | {self.text:,} | {self.whole:,} | {self.output:,} |"


HEAD = """| who | version | sessions | green | requests | bytes | tokens of text | tokens of JSON | output tokens |
|---|---|---:|---|---:|---:|---:|---:|---:|"""
NAMES = {"role", "type", "id", "tool_call_id", "tool_use_id"}


def words(value: Any) -> Iterator[str]:
    """Find all text in messages, without what only names their parts."""
    if isinstance(value, str):
        yield value
    for part in value if isinstance(value, list) else ():
        yield from words(part)
    for name, part in value.items() if isinstance(value, dict) else ():
        yield from () if name in NAMES else words(part)


def text_of(body: Body) -> str:
    return "\n".join(words([body.get("system", ""), body.get("messages", [])]))


def summed(who: str, version: str, sessions: int, server: Server, green: bool, count: Count) -> Row:
    """Add up what SERVER was sent and what it answered."""
    texts = [count(text_of(request.body)) for request in server.requests]
    size, cost = sum(len(request.raw) for request in server.requests), server.cost
    return Row(who, version, sessions, green, len(texts), size, sum(texts), cost.sent, cost.got)


def passes(work: Work, project: Path) -> bool:
    """Tell whether the tests of all errands pass."""
    tests = [errand.test for errand in work.errands]
    argv = [sys.executable, "-m", "unittest", "-q", *tests]
    return subprocess.run(argv, cwd=project, capture_output=True).returncode == 0


def shares(server: Server, work: Work) -> tuple[float, ...]:
    """For each edit request but a task's first: the share that repeats the beginning of the one before it."""
    texts = [text for text in (said(request.body) for request in server.requests) if "In one sentence, " not in text]
    tasks = ([text for text in texts if f"# Task: {errand.name}" in text] for errand in work.errands)
    return tuple(repeated(one, other) for edits in tasks for one, other in pairwise(edits))


def repeated(before: str, after: str) -> float:
    """The share of AFTER that stands unchanged at its beginning since BEFORE."""
    same = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before))
    return min(same, len(after)) / len(after)


def by_direct(work: Work, count: Count, edit_format: str = "auto") -> Row:
    """Let lean-loop do the work with `direct`."""
    with tempfile.TemporaryDirectory() as folder:
        project = lay(Path(folder), work.source)
        (steps, recording) = ([step for errand in work.errands for step in errand.edits], work.answers)
        model: Callable[[Request], Say] = Writer(steps, project)
        if recording and edit_format == "auto":
            answers = Recording.read(recording)
            model = lambda request: Say(answers(request.body))  # noqa: E731
        with Server(model, count=count) as server:
            green, _ = loop("direct", server, project, os.environ["PATH"], edit_format=edit_format)
        named = {"auto": "lean-loop with direct", "search": "the same, SEARCH/REPLACE only"}[edit_format]
        row = summed(named, "–", len(server.requests), server, green and passes(work, project), count)
        return replace(row, shares=shares(server, work))


def alone(cli: Cli, work: Work, count: Count, each: bool, options: Sequence[str] = ()) -> Row:
    """Let an agent do the work by itself, all in one session or EACH task in its own."""
    sessions = [[errand] for errand in work.errands] if each else [list(work.errands)]
    with tempfile.TemporaryDirectory() as folder:
        project = lay(Path(folder), work.source)
        place = Place(Path(folder), cli, install(cli, CACHE))
        says = (say for errands in sessions for say in tool_calls(cli, errands, project))
        steps = [step for errand in work.errands for step in errand.edits]
        model = Writer(steps, project) if cli.name == "aider" else InTurn(says)
        with Server(model, count=count) as server:
            env = surroundings(place, server.origin)
            for errands in sessions:
                work_through(argv(cli, errands, options), project, env)
        who = " ".join([cli.name, *(word for word in options if not word.startswith("--"))])
        return summed(who, cli.version, len(sessions), server, passes(work, project), count)


def surroundings(place: Place, origin: str) -> dict[str, str]:
    """Make a sealed home with the agent's own configuration in it; give its environment."""
    prices = place.home / ".aider/caches/model_prices_and_context_window.json"  # else aider fetches them
    prices.parent.mkdir(parents=True)
    prices.write_text('{"-": {}}')
    place.scratch.mkdir()
    path = os.pathsep.join([str(place.bin), os.environ["PATH"]])
    own = {"PATH": path, "HOME": str(place.home), "TMPDIR": str(place.scratch)}
    return {**own, **SEALED, **OFFLINE, **place.login(origin)}


def work_through(command: Sequence[str], project: Path, env: Mapping[str, str]) -> None:
    """Run an agent to its end; what it says is shown only where it failed."""
    quiet = subprocess.DEVNULL
    done = subprocess.run(command, cwd=project, env=env, stdin=quiet, capture_output=True, text=True, timeout=300)
    if done.returncode:
        print(f"{command[0]}: {done.stdout[-1500:]}{done.stderr[-1500:]}", file=sys.stderr)


AGENTS = {cli.name: cli for cli in (*CLIS, MINI) if cli.name in COMMANDS}
DIFF = ("--edit-format", "diff")


def rows(work: Work, names: Sequence[str], count: Count) -> Iterator[Row]:
    """Let all do the work, one after the other."""
    yield by_direct(work, count)
    yield by_direct(work, count, "search")
    for name in COMMANDS:
        if name not in names:
            continue
        cli = AGENTS[name]
        many = len(work.errands) > 1
        if name != "aider":
            yield from (alone(cli, work, count, each) for each in ((False, True) if many else (True,)))
            continue
        for options in ((), DIFF) if many else (DIFF,):  # whole files are small ones
            yield alone(cli, work, count, True, options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"agents to run; all if none is given: {', '.join(COMMANDS)}")
    names = parser.parse_args().names or list(COMMANDS)
    green = True
    with tempfile.TemporaryDirectory() as folder:
        for work in (demo(), large(Path(folder))):
            print(f"\n{work.name}\n\n{HEAD}")
            for row in rows(work, names, tokenizer()):
                print(row, flush=True)
                green = green and row.green
                if row.shares:
                    told = ", ".join(f"{share:.0%}" for share in row.shares)
                    mean = sum(row.shares) / len(row.shares)
                    print(f"  (second edit requests repeat the first's beginning: {told}; on average {mean:.0%})")
    return 0 if green else 1


if __name__ == "__main__":
    sys.exit(main())
