#!/usr/bin/env python3
"""Drive an agent, or a bare model, through bite-sized tasks until the project's own tests pass.

    for each task:
        take a snapshot, run the task's tests: what fails goes into the first prompt
        ask the leaner: a fresh call with the task, its files, the failure and the diff, within a budget
        put protected files back, run the tests
        while they are red and attempts are left:
            read the failure: which tests, which lines, the assertion
            ask for a fix: what was tried, what fails (a diagnosis first, where that is set)
            put protected files back, run the tests
        green: run the after-commands, go on
        red: leave the best state that was reached, and stop (or go on without it, where that is set)

Nothing of the user's is lost: every state lies in a private repository outside the project. The pages below go from
nouns to verbs, from errors and data to the command line; their banners name them. What is particular to a test runner
(_runners.txt, _readers.txt), a language (_languages.txt) or a kind of protected file (_guard.txt) is a row in a table
in leaners/. There lies how a test run's output is read (_failures), how a state of the project is kept (_snapshots,
_shape), and the user's own repository (_repository), how a call is put in order (_workspace), what shows a run or looks
at earlier ones (_screen, _page, _html, _earlier, _stats), and the other verbs of the command line (_begin, _ready).
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):
    print(f"lean-loop: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
    sys.exit(3)

import argparse
import contextlib
import errno
import os
import re
import shlex
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from functools import cache, reduce
from importlib import import_module
from itertools import chain, groupby, islice, pairwise, repeat
from pathlib import Path, PurePosixPath
from types import FrameType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import IO, Any, NoReturn, TypeVar, dataclass_transform

    from _failures import Summary
    from _snapshots import Snapshots
    from _workspace import Workspace

    Built = TypeVar("Built")
else:  # `typing` and `dataclasses` would take a quarter of each start
    Any = object

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        return lambda made: made


__version__ = "0.2.0"

GREEN, RED, MISUSE, NOT_READY = 0, 1, 2, 3
LEANFILE, SCHEMA = Path("leanfile.toml"), "leanfile.schema.json"
SERVER_TROUBLE = 75
LARGEST_PROMPT = 8000  # in tokens
WINDOWS = os.name == "nt"

# ---------------------------------------------------------------------------------------------------------- errors


class LeanError(Exception):
    """Say what failed: which thing, and what to do next; `code` is the exit code."""

    code = MISUSE


class NotReady(LeanError):
    """Something outside the configuration is missing, or does not work."""

    code = NOT_READY


class Held(NotReady):
    """Another lean-loop holds the project."""


class Interrupted(BaseException):
    """A signal asked for the end; the exit code is 128 and its number."""

    def __init__(self, number: int) -> None:
        self.name, self.code = signal.Signals(number).name, 128 + number
        self.left = "the project is as the last finished step left it."

    def __str__(self) -> str:
        return f"ended by {self.name}; {self.left}"


# ------------------------------------------------------------------------------------------------------------ data

# The annotation of a configuration field names its kind; the kinds stand in KINDS, under "configuration".
Text = str
Prompt = str
Texts = tuple[str, ...]
Words = tuple[str, ...]
Addresses = str
Patterns = tuple[str, ...]
Flag = bool
Count = int
Positive = int
Seconds = float
Amount = float
Maybe = float | None
MaybeText = str | None
Size = int
Table = Mapping[str, Any]
Variables = Mapping[str, str]
REQUIRED = object()


class Field:
    """A field of a record: its default, or what makes one, and the choices that it has."""

    name = kind = ""

    def __init__(self, default: Any = REQUIRED, factory: Any = None, choices: Sequence[str] = ()) -> None:
        self.default, self.factory, self.choices = default, factory, choices

    def make(self) -> Any:
        return self.factory() if self.factory else self.default


def field(**how: Any) -> Any:
    """Make a field that is more than its default."""
    return Field(**how)


def choice(*values: str) -> Any:
    """Make a field that takes one of some VALUES; the first is the default."""
    return Field(values[0], choices=values)


def fields(kind: Any) -> tuple[Field, ...]:
    """List the fields of a record or of its class."""
    return tuple(kind.__fields__.values())


def replace(item: Built, **changes: Any) -> Built:
    """Return a copy of a record with other values in some fields."""
    return type(item)(**vars(item) | changes)


class Record:
    """The methods of a record: those of a dataclass, without compiling them for each class."""

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        parts = type(self).__fields__
        named.update(zip(parts, values, strict=False))
        found = {name: named[name] if name in named else part.make() for name, part in parts.items()}
        if named.keys() - found.keys() or REQUIRED in found.values():
            raise TypeError(f"{type(self).__name__}: something is missing, or unknown, among {', '.join(named)}")
        vars(self).update(found)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} does not change")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        told = [f"{name}={value!r}" for name, value in vars(self).items()]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass_transform(field_specifiers=(field,))
def state(cls: Any) -> Any:
    """Give CLS the fields that its annotations name; their values may change."""
    found = dict(getattr(cls, "__fields__", {}))
    for name, kind in cls.__annotations__.items():
        given = vars(cls).get(name, REQUIRED)
        found[name] = given if isinstance(given, Field) else Field(given)
        found[name].name, found[name].kind = name, kind
    cls.__fields__, cls.__init__ = found, Record.__init__
    return cls


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: Any) -> Any:
    """Give CLS fields whose values stay as they are; two of a kind are equal by them."""
    for name in ("__setattr__", "__eq__", "__hash__", "__repr__"):
        setattr(cls, name, vars(Record)[name])
    return state(cls)


class ServerUrl(str):
    """The base URL of the server that is asked, out of those that may be."""

    alternatives: tuple[str, ...]

    def __new__(cls, url: str, alternatives: Sequence[str]) -> ServerUrl:
        made = super().__new__(cls, url)
        made.alternatives = tuple(alternatives)
        return made


@record
class Leaner:
    """[lean]: the program that edits, and every setting that travels to it as LEAN_<KEY>."""

    binary: Text = "direct"
    base_url: Addresses = "http://127.0.0.1:8080/v1"
    api_key: Text = "not-needed"
    api_key_env: Text = ""
    model: Text = ""
    approval_mode: Text = "yolo"
    timeout: Seconds = 600
    idle: Seconds = 120
    context_tokens: Count = 0
    edit_format: Text = choice("auto", "whole", "search")
    edit_retries: Count = 1
    thinking: Text = choice("", "off", "low", "medium", "high")
    temperature: Maybe = None
    samples: Positive = 1
    sample_temperature: Maybe = 0.8
    parallel: Count = 0
    max_output_tokens: Count = 0
    stop: Texts = ()
    extra_body: Table = field(factory=dict)
    lean_prompt: Flag = True
    context_files: Flag = False
    options: Table = field(factory=dict)

    @property
    def name(self) -> str:
        """The program's name without folder and ending."""
        return PurePosixPath(self.binary.replace("\\", "/")).stem

    @property
    def servers(self) -> tuple[str, ...]:
        """All base URLs, in their order."""
        return self.base_url.alternatives if isinstance(self.base_url, ServerUrl) else (self.base_url,)

    @property
    def place(self) -> tuple[str, ...]:
        """Where it is asked, and what."""
        return self.binary, self.base_url, self.model, self.key

    @property
    def key(self) -> str:
        """The API key itself, from the environment where `api_key_env` names a variable."""
        return os.environ.get(self.api_key_env, "").strip() if self.api_key_env else self.api_key.strip()


@record
class Escalation(Leaner):
    """[[escalate]]: the leaner that takes over a task that is red after AFTER rounds."""

    after: Positive = 0


@record
class Health:
    """[health]: where the server is asked whether it is ready, and how long that may take."""

    check_url: MaybeText = None
    max_wait: Amount = 60


@record
class Runner:
    """[runner]: the test command."""

    command: Text = ""
    args: Texts = ()
    timeout: Seconds = 300
    shell: Flag = False
    env: Variables = field(factory=dict)


@record
class Defaults:
    """[defaults]: the loop's own settings."""

    project_root: Text = "."
    source_prefix: Words = ()
    test_prefix: Words = ()
    source_window: Count = 30
    error_tail_lines: Count = 40
    max_iters_per_task: Count = 5
    summarize_errors: Flag = False
    restart_after: Count = 2
    trace: Text = choice("auto", "on", "off")
    global_message: Text = ""
    after_command_timeout: Seconds = 600
    no_tests_ok: Flag = False
    commit: Flag = False
    checks: Texts = ()
    on_red: Text = choice("stop", "continue")


@record
class Prompts:
    """[prompts]: words that are sent."""

    summary: Prompt = "In one sentence, say what is wrong in the code and how to put it right."


@record
class Guard:
    """[guard]: what the agent may not change, and what happens to a tree that stays red."""

    protect: Texts = ()
    allow: Texts = ()
    protect_tests: Flag = True
    baseline: Flag = True
    confirm: Count = 0
    on_fail: Text = choice("best", "keep", "restore")
    keep_runs: Count = 20
    max_file: Size = 50_000_000
    max_ignored: Size = 100_000_000
    mask: Patterns = ()
    scope: Text = choice("source", "files", "any")
    sandbox: Text = choice("auto", "off")


@record
class Limits:
    """[limits]: for the whole run; 0 is none."""

    minutes: Amount = 0
    tokens: Count = 0
    calls: Count = 0


@record
class Pricing:
    """[pricing]: what a million tokens would have cost elsewhere."""

    input: Amount = 0
    output: Amount = 0


@record
class Notify:
    """[notify]: a command that is run at the end."""

    command: Text = ""


@record
class Task:
    """[[tasks]]: one step, its own test runner and the tasks that it depends on already resolved."""

    name: Text = ""
    prompt: Prompt = ""
    files: Texts = ()
    runner: Runner = Runner()
    test_files: Texts = ()
    context_tokens: Count = 0
    max_iters: Count = 5
    after: Texts = ()
    checks: Texts = ()
    depends_on: Texts = ()
    skip_tests: Flag = False


@record
class Config:
    """Everything that a run is told, checked and resolved."""

    path: Path
    root: Path
    lean: Leaner
    health: Health
    runner: Runner
    defaults: Defaults
    prompts: Prompts
    guard: Guard
    limits: Limits
    pricing: Pricing
    notify: Notify
    escalate: tuple[Escalation, ...]
    tasks: tuple[Task, ...]
    taskless: bool
    diagnose: Leaner | None = None

    @property
    def leaners(self) -> tuple[Leaner, ...]:
        """All that may be asked."""
        return (self.lean, *self.escalate, *filter(None, [self.diagnose]))


def signal_of(code: int) -> int:
    """Tell which signal ended a program, by its exit CODE or as a shell says it; 0 where none did."""
    number = -code if code < 0 else code - 128
    return number if 0 < number <= 64 else 0


def signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


@record
class Completed:
    """A process that has ended; `cut` says why lean-loop ended it ("time limit", "silence"), if it did."""

    argv: tuple[str, ...]
    code: int
    output: str
    errors: str
    seconds: float
    cut: str = ""

    @property
    def end(self) -> str:
        """Say how it ended."""
        if self.cut:
            return f"was ended after {self.seconds:.0f} s ({self.cut})"
        return f"died of {signal_name(-self.code)}" if self.code < 0 else f"ended with exit code {self.code}"


@record
class Frame:
    """A place in the project that a failure names; `path` is relative to the root, with forward slashes."""

    path: str
    line: int
    function: str = ""


@record
class Failure:
    """What a red test run said: the failing tests, the final error, the part worth reading, and its places.

    `others` are further failures with their errors; `reader` is empty where the excerpt is the raw end of the output.
    """

    tests: tuple[str, ...] = ()
    summary: str = ""
    excerpt: str = ""
    frames: tuple[Frame, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    reader: str = ""


@record
class Report:
    """The tests of a run by name, as pytest reports them; `times` are their seconds."""

    passing: frozenset[str]
    failing: frozenset[str]
    skipped: frozenset[str]
    times: tuple[tuple[str, float], ...] = ()


@record
class Verdict:
    """What a test run means; counts are None where the runner does not tell.

    `why` says why it is red where the tests do not, `note` what its reader should know of it; `check` is the command
    that failed though the tests are green.
    """

    green: bool
    failure: Failure
    passed: int | None = None
    seconds: float = 0.0
    why: str = ""
    skipped: int | None = None
    report: Report | None = None
    note: str = ""
    check: str = ""

    def seconds_of(self, file: str) -> float:
        """Tell how long the tests of a Python file took; all of them, where nobody counted."""
        start, times = f"{file.removesuffix('.py').replace('/', '.')}.", self.report.times if self.report else ()
        counted = [time for name, time in times if name.startswith(start)]
        return sum(counted) if counted else self.seconds

    @property
    def failing(self) -> tuple[str, ...]:
        """Name the failing tests."""
        return tuple(sorted(self.report.failing)) if self.report else self.failure.tests

    def vetoed(self, why: str) -> Verdict:
        """Make it red for a reason that the tests do not know; one that is red stays what it is."""
        return replace(self, green=False, why=why, failure=Failure(self.failing, why, why)) if self.green else self


@record
class Change:
    """What became of the tests between two runs: which pass newly, which broke, how many passed in both.

    `lost` passed, and were skipped or have vanished; `veto` says why the second, though it ended with 0, is not green.
    """

    fixed: tuple[str, ...] = ()
    broke: tuple[str, ...] = ()
    kept: int | None = None
    lost: tuple[str, ...] = ()
    veto: str = ""
    warnings: tuple[str, ...] = ()


@record
class Usage:
    """What calls cost on the wire; `estimated` where no one counted."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.estimated or other.estimated,
        )


@record
class Call:
    """One finished call of a leaner: what it answered, and the trees around it once it is settled.

    `put_back` are the paths that it was not allowed to change, `resists` names those that came back.
    """

    leaner: str
    answer: str
    code: int
    reason: str
    usage: Usage
    seconds: float
    before: str
    after: str
    put_back: tuple[str, ...] = ()
    resists: str = ""
    model: str = ""


USAGE_FILE, ANSWER_FILE = "usage.json", "said.txt"  # what a leaner may write down of its call
CALL_FACTS = ("leaner", "model", "code", "reason", "seconds", "usage", "before", "after")
RankKey = tuple[int, int, int, int]


@record
class Attempt:
    """One edit by a leaner and what the tests said of it.

    `tree` is the judged state, `rank` orders it (less is better). It is the answer number `sample` to the prompt of a
    `round`; where that is `fresh`, no round before it counts. `new` says that nothing before gave this tree.
    """

    leaner: str
    tree: str
    changed: tuple[str, ...]
    verdict: Verdict
    diagnosis: str = ""
    note: str = ""
    rank: RankKey = (0, 0, 0, 0)
    round: int = 1
    sample: int = 1
    fresh: bool = False
    new: bool = True

    @property
    def how(self) -> str:
        """Say what kind of attempt it was."""
        if self.sample > 1:
            return "another answer"
        return "first attempt" if self.round == 1 else "begun afresh" if self.fresh else "fix"


def touched(attempts: Iterable[Attempt]) -> set[str]:
    """List the paths that leaners changed."""
    return {path for attempt in attempts for path in attempt.changed}


@state
class TaskState:
    """A task under way: the tree that it began from, what its tests said there, and the attempts since.

    `here` is the state of its files on disk, `stage` tells which leaner is at work: 0 is `[lean]`, those of
    `[[escalate]]` follow. `others` are tests that were red before, and that it is not about.
    """

    task: Task
    start: str
    before: Verdict | None
    attempts: list[Attempt] = field(factory=list)
    here: str = ""
    stage: int = 0
    others: frozenset[str] = frozenset()

    def add(
        self, by: str, question: Question, sample: int, call: Call, changed: tuple[str, ...], verdict: Verdict
    ) -> None:
        """Add what a call brought to the attempts."""
        attempt = Attempt(
            leaner=by,
            tree=call.after,
            changed=changed,
            verdict=verdict,
            diagnosis=question.diagnosis,
            note=note_on(call),
            rank=rank_key(verdict, self.before),
            round=self.rounds + (sample == 1),
            sample=sample,
            fresh=question.fresh,
            new=call.after not in {self.start, *(earlier.tree for earlier in self.attempts)},
        )
        self.attempts.append(attempt)
        self.here = call.after

    @property
    def start_rank(self) -> RankKey:
        """The rank of the tree that it began from."""
        return rank_key(self.before, self.before)

    @property
    def rounds(self) -> int:
        """The number of prompts that were asked."""
        return self.attempts[-1].round if self.attempts else 0

    @property
    def samples(self) -> list[Attempt]:
        """The answers to the last prompt."""
        return [attempt for attempt in self.attempts if attempt.round == self.rounds]

    @property
    def has_drawn_enough(self) -> bool:
        """Tell whether no other answer to the last prompt is wanted: one is green, or two in a row gave nothing new."""
        last = self.samples[-2:]
        return last[-1].verdict.green or (len(last) > 1 and not any(attempt.new for attempt in last))

    @property
    def is_spent(self) -> bool:
        """Tell whether several answers to the last prompt were no use: all seen before, or all failing alike."""
        alike = {(attempt.rank, attempt.verdict.failing) for attempt in self.samples}
        better = any(attempt.rank < self.start_rank for attempt in self.samples)
        return len(self.samples) > 1 and not better and (len(alike) == 1 or not any(item.new for item in self.samples))

    @property
    def goes_on(self) -> bool:
        """Tell whether another attempt is due."""
        return not self.attempts or (not self.attempts[-1].verdict.green and self.rounds <= self.task.max_iters)

    @property
    def why_ended_red(self) -> str:
        """Say why a task whose attempts are spent is red; nothing where it is green."""
        last = self.attempts[-1]
        if last.verdict.green:
            return ""
        return ". ".join(filter(None, ("no attempt is left (max_iters_per_task)", last.verdict.why, last.note)))


@record
class Result:
    """How a task ended: `state` is green, untested or red."""

    task: Task
    state: str
    attempts: tuple[Attempt, ...] = ()
    before: Verdict | None = None
    reason: str = ""
    change: Change = Change()

    @property
    def ok(self) -> bool:
        return self.state in ("green", "untested")


# --------------------------------------------------------------------------------------------------- configuration

Document = dict[str, Any]
MOST = 10**9  # what is larger overflows somewhere


@record
class Kind:
    """A kind of configuration value: how it is called in messages, which values fit, and what is made of one."""

    called: str
    fits: Callable[[Any], bool]
    make: Callable[[Any], Any] = lambda value: value


def is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def is_amount(value: Any, least: float = 0) -> bool:
    return type(value) in (int, float) and least <= value <= MOST


def is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and is_amount(value, least)


def is_pattern(value: Any) -> bool:
    """Tell whether VALUE is a regular expression, and one that does not fit everywhere."""
    with contextlib.suppress(re.error):
        return is_text(value) and not re.search(value, "")
    return False


def is_environment(value: Any) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(r"[^=\0]+", name) and is_text(text) for name, text in value.items()
    )


SIZE = re.compile(r"(\d{1,9}) *(?:([kKmMgG])[bB]?|[bB])?")


def bytes_of(size: str) -> int:
    """Read a size such as "50MB" into bytes."""
    number, unit = SIZE.fullmatch(size).groups()  # type: ignore[union-attr]
    return int(number) * {"k": 10**3, "m": 10**6, "g": 10**9}.get((unit or "").lower(), 1)


def words_in(value: str | list[str]) -> tuple[str, ...]:
    """Take a string for a list of one; leave empty ones out."""
    return tuple(word for word in ([value] if isinstance(value, str) else value) if word)


KINDS: dict[str, Kind] = {
    "Text": Kind("a string", is_text),
    "MaybeText": Kind("a string", is_text),
    "Prompt": Kind("a text that says what is to be done", lambda value: is_text(value) and bool(value.strip())),
    "Texts": Kind("a list of strings", is_texts, tuple),
    "Words": Kind("a string or a list of strings", lambda value: is_text(value) or is_texts(value), words_in),
    "Addresses": Kind(
        "a string or a list of several",
        lambda value: is_text(value) or bool(value and is_texts(value) and all(value)),
        lambda value: value if isinstance(value, str) else ServerUrl(value[0], value),
    ),
    "Patterns": Kind(
        "a list of regular expressions that fit some text, but not an empty one",
        lambda value: isinstance(value, list) and all(map(is_pattern, value)),
        tuple,
    ),
    "Flag": Kind("true or false", lambda value: isinstance(value, bool)),
    "Count": Kind("a whole number from 0 to 10^9", is_count),
    "Positive": Kind("a whole number from 1 to 10^9", lambda value: is_count(value, 1)),
    "Seconds": Kind("a number of seconds above 0, to 10^9", lambda value: is_amount(value) and value > 0),
    "Amount": Kind("a number from 0 to 10^9", is_amount),
    "Maybe": Kind("a number", lambda value: is_amount(value, -MOST)),
    "Size": Kind('a size such as "50MB"', lambda value: is_text(value) and bool(SIZE.fullmatch(value)), bytes_of),
    "Table": Kind("a table", lambda value: isinstance(value, dict)),
    "Variables": Kind("a table of variables' names and strings", is_environment),
}

TABLES: dict[str, type] = {
    "lean": Leaner,
    "health": Health,
    "runner": Runner,
    "defaults": Defaults,
    "prompts": Prompts,
    "guard": Guard,
    "limits": Limits,
    "pricing": Pricing,
    "notify": Notify,
}
LISTS: dict[str, type] = {"tasks": Task, "escalate": Escalation}
NEEDED = {"tasks": "prompt", "escalate": "after"}


def build(cls: type[Built], table: Any, where: str) -> Built:
    """Make a CLS from a TOML table; WHERE names file and table in errors."""
    if not isinstance(table, dict):
        raise LeanError(f"{where}: this is a table, not {shown(table)}. Write it as [{where.split('[')[-1]}")
    known = {item.name: item for item in fields(cls)}
    for key in table:
        if key not in known:
            raise LeanError(f"{where}: there is no key '{key}'{nearest(key, known, tables_with(key))}")
    return cls(**{key: convert(value, known[key], where) for key, value in table.items()})


def convert(value: Any, item: Field, where: str) -> Any:
    """Check VALUE against the kind that a field's annotation names, and make it."""
    if item.kind == "Runner":
        return build(Runner, value, f"{where.removesuffix(']')}.runner]")
    kind, choices = KINDS[item.kind], item.choices
    if not kind.fits(value):
        raise LeanError(f"{where}: {item.name} is {kind.called}, not {shown(value)}. Change it there.")
    if choices and value not in choices:
        named = ", ".join(filter(None, choices))
        raise LeanError(f"{where}: {item.name} is one of {named}, not {shown(value)}. Choose one.")
    return kind.make(value)


LIKE_A_KEY = re.compile(r"(?=[\w/+=]*\d)(?=[\w/+=]*[A-Za-z])[\w/+=]{16,}|[0-9a-f-]{24,}|(?<=://)[^\s/@\"]+@")
READ = list[Any]()  # the TOML documents that were read: errors may show none of their keys


def shown(value: Any) -> str:
    """Show a TOML value in a message, shortened, without what may be a key."""
    import json

    text = LIKE_A_KEY.sub(MASKED, json.dumps(value, default=str)[:2000])
    return text if len(text) < 60 else f"{text[:57]}..."


def nearest(word: str, known: Iterable[str], places: Sequence[str] = ()) -> str:
    """End a message about an unknown WORD: the nearest known one, the PLACES where it belongs, or all known ones."""
    import difflib

    advice = [f"Did you mean '{near}'?" for near in difflib.get_close_matches(word, list(known), n=1)]
    if places:
        advice.append(f"Put '{word}' under {' or '.join(places)}.")
    return ". " + (" ".join(advice) or f"Known here: {', '.join(known)}.")


def tables_with(key: str) -> list[str]:
    """Name the tables in which KEY would stand."""
    tables = {**{f"[{name}]": cls for name, cls in TABLES.items()}, "[[tasks]]": Task}
    return [name for name, cls in tables.items() if key in {item.name for item in fields(cls)}]


def read_toml(path: Path) -> Document:
    """Read a TOML file (a byte order mark is allowed), with errors that name file and line."""
    import tomllib

    try:
        made = tomllib.loads(read_regular(path, follow=True).decode("utf-8-sig"))
        READ.append(made)
        return made
    except UnicodeDecodeError as error:
        raise LeanError(f"{path}: this is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise LeanError(f"{path}: this is not valid TOML: {error}. Mend that line.") from None
    except FileNotFoundError:
        advice = f"Write one with: lean-loop --init {shlex.quote(str(path))}"
        raise LeanError(f"{path}: there is no such file. {advice}") from None
    except IsADirectoryError:
        raise LeanError(f"{path}: this is a folder. Name the leanfile in it.") from None
    except OSError as error:
        raise LeanError(f"{path}: it cannot be read: {error.strerror}.") from None


def check(document: Document, path: Path) -> Document:
    """Check every table and key of one file by itself, so that an error names the file; hand it back."""
    known = {**TABLES, **LISTS, "leaners": Leaner, "diagnose": Leaner}
    for name, content in document.items():
        if name not in known:
            raise LeanError(f"{path}: there is no table or key '{name}'{nearest(name, known, tables_with(name))}")
        for header, table in iter_tables(name, content, path):
            build(known[name], table, f"{path}: {header}")
            if name in NEEDED and NEEDED[name] not in table:
                raise LeanError(f"{path}: {header}: {NEEDED[name]} is missing. Add it there.")
            if name == "leaners" and "binary" in table:
                advice = "the table's name says which leaner. Take it out."
                raise LeanError(f"{path}: {header}: binary does not belong here: {advice}")
    return document


def iter_tables(name: str, content: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Give header and content of each table that stands under NAME: of a list, of [leaners], or the one table."""
    if name in LISTS:
        if not isinstance(content, list):
            header = f"[[{name}]]"
            advice = f"this is a list of tables, not {shown(content)}. Begin each with {header}"
            raise LeanError(f"{path}: {header}: {advice}")
        yield from ((f"[[{name} {number}]]", table) for number, table in enumerate(content, 1))
    elif name == "leaners" and isinstance(content, dict):
        yield from ((f"[leaners.{leaner}]", table) for leaner, table in content.items())
    else:
        yield f"[{name}]", content


def expand_home(path: str) -> Path:
    """Expand ~ and ~user; what begins with ~ and names no user is taken as it stands."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises there)


def anchor(document: Document, folder: Path) -> Document:
    """Make the paths among the document's leaners absolute: they are relative to the file that names them."""
    for table in [document.get("lean"), document.get("diagnose"), *document.get("escalate", [])]:
        if table and re.search(r"[/\\]", table.get("binary", "")):
            table["binary"] = str(folder / expand_home(table["binary"]))
    return document


def merge(base: Document, over: Document) -> Document:
    """Lay OVER over BASE: tables merge, everything else replaces."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def read_config(path: Path) -> Document:
    """Read, check and anchor one configuration file."""
    return anchor(check(read_toml(path), path), path.resolve().parent)


LOCAL = "config.local.toml"


def read_static(path: Path) -> Document:
    """Read the static configuration at PATH, and over it LOCAL beside it, which git does not know."""
    own = path.with_name(LOCAL)
    return merge(read_config(path), read_config(own) if own.is_file() else {})


def load(path: Path, static: Path | None = None, over: Document | None = None) -> Config:
    """Read the leanfile at PATH over the STATIC configuration; OVER is laid over the active leaner's settings."""
    document = merge(read_static(static) if static else {}, read_config(path))
    tables: Document = {name: build(cls, document.get(name, {}), f"{path}: [{name}]") for name, cls in TABLES.items()}
    tables["lean"] = resolve_leaner(document, over or {}, Leaner)
    if not tables["runner"].command:
        raise LeanError(f'{path}: [runner] has no command. Say how the tests are run: [runner] command = "pytest"')
    root = (path.resolve().parent / expand_home(tables["defaults"].project_root)).resolve()
    if not root.is_dir():
        raise LeanError(f"{path}: [defaults] project_root: there is no folder {root}. Correct the path.")
    tasks = build_tasks(document, path, root)
    made = tasks or (whatever_is_red(tables["runner"], tables["defaults"]),)
    config = Config(path=path, root=root, escalate=(), tasks=made, taskless=not tasks, **tables)
    named = document.get("diagnose")
    diagnose = None if named is None else resolve_leaner(document, over or {}, Leaner, named)
    return replace(config, escalate=build_escalations(document, config, over or {}), diagnose=diagnose)


def resolve_leaner(document: Document, over: Document, cls: type[Built], named: Document | None = None) -> Built:
    """Lay [lean], [leaners.NAME] of the active leaner, the keys of an escalation (NAMED) and OVER upon each other."""
    base, named = document.get("lean", {}), named or {}
    name = Leaner(binary=(base | named).get("binary", Leaner.binary)).name
    layers = (document.get("leaners", {}).get(name, {}), named, over)
    return build(cls, reduce(merge, layers, base), "[lean]")


def build_escalations(document: Document, config: Config, over: Document) -> tuple[Escalation, ...]:
    """Resolve [[escalate]]; one that no task can ever reach is an error."""
    reach, tables = max(task.max_iters for task in config.tasks), document.get("escalate", [])
    for number, table in enumerate(tables, 1):
        if table["after"] > reach:
            raise LeanError(
                f"{config.path}: [[escalate {number}]]: after = {table['after']} is never reached: a task has at most"
                f" {reach} fix calls. Lower it, or raise max_iters_per_task."
            )
    built = [resolve_leaner(document, over, Escalation, table) for table in tables]
    return tuple(sorted(built, key=lambda item: item.after))


def build_tasks(document: Document, path: Path, root: Path) -> tuple[Task, ...]:
    """Make the tasks of a document; two of one name are an error."""
    tasks = [build_task(table, document, n, path, root) for n, table in enumerate(document.get("tasks", []), 1)]
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise LeanError(f"{path}: two tasks are named '{name}'. Give each its own name.")
    chosen = (table.get("depends_on") for table in document.get("tasks", []))
    return tuple(resolve_needs(tasks, number, names, path) for number, names in enumerate(chosen))


def resolve_needs(tasks: Sequence[Task], number: int, names: Sequence[str] | None, path: Path) -> Task:
    """Resolve what a task depends on: the tasks that it NAMES; else those before it that list one of its files."""
    task, before = tasks[number], tasks[:number]
    if names is None:
        return replace(task, depends_on=tuple(item.name for item in before if {*item.files} & {*task.files}))
    known = [item.name for item in before]
    for name in names:
        if name not in known:
            why = "does not stand before it" if name in [item.name for item in tasks] else "is no task"
            raise LeanError(
                f"{path}: task '{task.name}': depends_on: '{name}' {why}. Tasks run in their order: name only those"
                f" that stand before it: {', '.join(known) or 'there are none'}."
            )
    return task


def build_task(table: Document, document: Document, number: int, path: Path, root: Path) -> Task:
    """Make a task with its runner merged over [runner], its test files in place, and its name."""
    where = f"{path}: [[tasks {number}]]"
    runner = build(Runner, merge(document.get("runner", {}), table.get("runner", {})), where)
    task = build(Task, {key: value for key, value in table.items() if key != "runner"}, where)
    iters = table.get("max_iters", document.get("defaults", {}).get("max_iters_per_task", Defaults.max_iters_per_task))
    name, checks = task.name or f"task-{number}", (*document.get("defaults", {}).get("checks", ()), *task.checks)
    files = tuple(project_relative(file, root, f"{where} ({name}): files") for file in task.files)
    runner = insert_test_files(runner, task.test_files)
    return replace(task, name=name, files=files, max_iters=iters, checks=checks, runner=runner)


def whatever_is_red(runner: Runner, defaults: Defaults) -> Task:
    """Make the task of a leanfile without tasks: whatever the test command reports."""
    return Task(
        name="tests",
        prompt="Make the failing tests pass by mending the code.",
        runner=insert_test_files(runner, ()),
        max_iters=defaults.max_iters_per_task,
        checks=defaults.checks,
    )


def insert_test_files(runner: Runner, test_files: Sequence[str]) -> Runner:
    """Put TEST_FILES where {test_files} stands in the runner's arguments, else behind them."""
    args = list[str]()
    for arg in runner.args:
        args += test_files if arg == "{test_files}" else [arg]
    if "{test_files}" not in runner.args:
        args += test_files
    return replace(runner, args=tuple(args))


def project_relative(file: str, root: Path, where: str) -> str:
    """Make FILE relative to ROOT with forward slashes; refuse what lies outside or is a folder."""
    path = (root / expand_home(file)).resolve()
    if not path.is_relative_to(root):
        advice = "Name files in it, or set [defaults] project_root."
        raise LeanError(f"{where}: {file} lies outside the project {root}. {advice}")
    if path.is_dir() or (re.search(r"[*?]", file) and not path.exists()):
        what = "folder" if path.is_dir() else "pattern"
        raise LeanError(f"{where}: {file} is a {what}. List its files one by one.")
    return path.relative_to(root).as_posix()


# ----------------------------------------------------------------------------------------------- where things lie


def on_path(program: str) -> str | None:
    """Find a program on PATH."""
    import shutil

    return shutil.which(program)


def share() -> Path:
    """Find the folder with leaners, examples, playground and config.toml: beside this file, or where a wheel put it."""
    here = Path(__file__).resolve().parent
    for folder in (here, *(parent / "share" / "lean-loop" for parent in (*here.parents, here))):
        if (folder / "leaners").is_dir() and (folder / "config.toml").is_file():
            return folder
    raise NotReady(f"{here}: the folder 'leaners' and config.toml are not here. Install lean-loop again.")


@cache
def load_beside(name: str) -> ModuleType:
    """Import a file that lies beside the leaners, and that may import this module."""
    sys.modules.setdefault("leanloop", sys.modules[__name__])
    folder = str(share() / "leaners")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name)


def is_packaged() -> bool:
    """Tell whether the shared files were put there by an installer, and so are nobody's to write to."""
    return share() != Path(__file__).resolve().parent


def home() -> Path | None:
    """Find the user's home, if there is one."""
    with contextlib.suppress(RuntimeError):
        return Path.home() if os.environ.get("HOME", "set") else None
    return None


def own_folder(variable: str, usual: str) -> Path | None:
    """Name lean-loop's own folder of a kind: where an environment VARIABLE says, else in the USUAL place at home."""
    base, at_home = Path(os.environ.get(variable, "")), home()
    base = base if base.is_absolute() or not at_home else at_home / usual
    return base / "lean-loop" if base.is_absolute() else None


def user_config() -> Path | None:
    """Name the user's own static configuration file, which need not exist."""
    folder = own_folder("APPDATA" if WINDOWS else "XDG_CONFIG_HOME", ".config")
    return folder / "config.toml" if folder else None


def static_config(named: str | None) -> Path:
    """Find the active static configuration: the option, the variable, beside the clone, the user's, the packaged."""
    for path, origin in ((named, "--global-config"), (os.environ.get("LEANLOOP_CONFIG"), "$LEANLOOP_CONFIG")):
        if path:
            if not Path(path).is_file():
                raise LeanError(f"{origin}: there is no file {path}. Correct the path, or leave it out.")
            return Path(path)
    own, beside = user_config(), share() / "config.toml"
    return own if own and own.is_file() and (is_packaged() or not os.access(beside, os.W_OK)) else beside


STATE = ("LOCALAPPDATA" if WINDOWS else "XDG_STATE_HOME", ".local/state")


def state_folder() -> Path:
    """Name the folder for what lean-loop keeps of all projects; a temporary one where there is no home."""
    if usual := own_folder(*STATE):
        return usual
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"lean-loop-{user}"


def digest(content: bytes) -> str:
    """Give the SHA-256 of CONTENT in hexadecimal."""
    import hashlib

    return hashlib.sha256(content).hexdigest()


def project_folder(root: Path) -> Path:
    """Make the folder for what lean-loop keeps of the project at ROOT, private."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", root.name) or "root"
    folder = state_folder() / f"{name}-{digest(os.fsencode(root))[:12]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state_folder().chmod(0o700)
    except OSError as error:
        why = f"the state folder cannot be made: {error.strerror}"
        raise NotReady(f"{folder}: {why}. Set XDG_STATE_HOME to one that can be.") from None
    return folder


NO_WAIT, NO_LINK = getattr(os, "O_NONBLOCK", 0), getattr(os, "O_NOFOLLOW", 0)


def read_regular(path: Path, most: int = 1 << 40, follow: bool = False) -> bytes:
    """Read a file that an agent may have made; one that is no regular file, a link or larger than MOST is an OSError.

    To open a FIFO would be to wait for its other end.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NO_WAIT | NO_LINK * (not follow))) as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > most:
            raise OSError(errno.EINVAL, "this is no regular file, or too large", str(path))
        return file.read()


def read_json(path: Path) -> Any:
    """Read a JSON file that an agent may have made; an empty table where it holds none."""
    import json

    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads(read_regular(path, 2_000_000))
    return {}


# ------------------------------------------------------------------------------------------------------- processes

ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|\](?:[^\x07\x1b\n]*(?:\x07|\x1b\\|(?=\x1b)))?|[@-Z\\^_()][0-9A-B]?)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]"
)


def encodable(text: str) -> str:
    """Replace what no UTF-8 can hold: the bytes of a file name that is none."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


OVERWRITTEN = re.compile(r"^[^\n]*\r(?!\n)", re.MULTILINE)


def readable(raw: bytes) -> str:
    """Decode what a program printed: bad bytes replaced, terminal codes and overwritten progress lines taken out."""
    text = ESCAPES.sub("", raw.decode("utf-8", "replace")).replace("\r\n", "\n")
    return OVERWRITTEN.sub("", text).replace("\r", "\n")


class StreamReader(threading.Thread):
    """Read a stream to its end; keep its first and last bytes only, so that memory stays bounded.

    ON_CHUNK gets every piece as it comes, ON_LINES pieces of whole lines.
    """

    HEAD, TAIL, LINE = 1 << 18, 1 << 20, 1 << 16

    def __init__(
        self, stream: IO[bytes], on_chunk: Callable[[bytes], None], on_lines: Callable[[bytes], None] | None
    ) -> None:
        super().__init__(daemon=True)
        self.stream, self.on_chunk, self.on_lines, self.line = stream, on_chunk, on_lines, b""
        self.head, self.tail, self.dropped = bytearray(), deque[bytes](), 0
        self.kept = 0

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self.stream.fileno(), 1 << 16):
                self.on_chunk(chunk)
                self.keep(chunk)
                self.tell_lines(chunk)
        if self.line:
            self.tell_lines(b"\n")

    def tell_lines(self, chunk: bytes) -> None:
        """Hand on the lines that CHUNK completes."""
        whole, end, rest = (self.line + chunk).rpartition(b"\n")
        self.line = rest[-self.LINE :]
        if end and self.on_lines:
            self.on_lines(whole + end)

    def keep(self, chunk: bytes) -> None:
        """Put CHUNK into the head while there is room, then into the tail, whose oldest part goes."""
        room = self.HEAD - len(self.head)
        self.head += chunk[:room]
        if len(chunk) > room:
            self.tail.append(chunk[room:])
            self.kept += len(chunk) - room
        while self.kept > self.TAIL:
            gone = len(self.tail.popleft())
            self.kept, self.dropped = self.kept - gone, self.dropped + gone

    def text(self) -> str:
        """Join what was kept; a line says how much was left out between."""
        gap = f"\n[... {self.dropped:,} bytes left out ...]\n".encode() if self.dropped else b""
        return readable(bytes(self.head) + gap + b"".join(list(self.tail)))


class Deadline:
    """When a process has to end: TIMEOUT seconds in all, IDLE seconds without a sound."""

    def __init__(self, timeout: float | None, idle: float | None) -> None:
        self.timeout, self.idle = timeout, idle
        self.start = self.last = time.monotonic()

    def hear(self, chunk: bytes) -> None:
        self.last = time.monotonic()

    def cut(self) -> str:
        """Say which limit is reached, if one is."""
        now = time.monotonic()
        if self.timeout and now - self.start >= self.timeout:
            return "time limit"
        return "silence" if self.idle and now - self.last >= self.idle else ""

    def left(self) -> float:
        """Seconds until the next limit can be reached."""
        now = time.monotonic()
        ends = [start + limit for start, limit in ((self.start, self.timeout), (self.last, self.idle)) if limit]
        return max(0.0, min(ends, default=now + BEAT) - now)


def run_process(
    argv: Sequence[str],
    cwd: Path,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    idle: float | None = None,
    apart: bool = False,
    on_beat: Callable[[int], None] | None = None,
    on_lines: Callable[[bytes], None] | None = None,
) -> Completed:
    """Run ARGV to its end.

    Standard input is closed. TIMEOUT is in seconds, IDLE in seconds of silence. APART keeps standard error by itself,
    ON_LINES gets lines as they come. ON_BEAT is called with the process's number at once and then again and again; the
    process does not outlive lean-loop then. Raises OSError where ARGV cannot be started.
    """
    deadline = Deadline(timeout, idle)
    with under_way(argv, cwd, env, deadline, apart, on_lines, guarded=bool(on_beat)) as (process, outputs):
        cut = watch(process, outputs, deadline, on_beat or (lambda pid: None))
    return completed(argv, process, outputs, deadline, cut)


BESIDE = set[int]()  # processes that go on while others are run and ended: what the end of another spares


@contextlib.contextmanager
def under_way(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None,
    deadline: Deadline,
    apart: bool,
    on_lines: Callable[[bytes], None] | None,
    guarded: bool,
    beside: bool = False,
) -> Iterator[tuple[subprocess.Popen[bytes], list[StreamReader]]]:
    """Start ARGV: the one door for processes. Whatever way out, the whole tree of processes is ended.

    One that is GUARDED does not outlive lean-loop, one BESIDE goes on while others are run.
    """
    adopt_orphans()
    with contextlib.ExitStack() as ending:
        with defer_signals():
            process = spawn(argv, cwd, os.environ if env is None else env, apart)
            streams = filter(None, (process.stdout, process.stderr))
            outputs = [StreamReader(stream, deadline.hear, on_lines) for stream in streams]
            ending.callback(close, outputs)
            ending.callback(end_tree, process)
            pids = {process.pid}
            if guarded and not WINDOWS:
                guard = start_guard(process.pid)
                ending.callback(release, guard)
                pids.add(guard.pid)
            if beside:
                BESIDE.update(pids)
                ending.callback(BESIDE.difference_update, pids)
        yield process, outputs


def completed(
    argv: Sequence[str],
    process: subprocess.Popen[bytes],
    outputs: Sequence[StreamReader],
    deadline: Deadline,
    cut: str,
) -> Completed:
    """Say how a process ended, and what it printed."""
    texts = [output.text() for output in outputs] + [""]
    return Completed(tuple(argv), process.returncode, texts[0], texts[1], time.monotonic() - deadline.start, cut)


ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Hold back the signals that ask for the end: what is started meanwhile must be known, so that it can be ended."""
    heard = list[int]()
    before = {number: signal.signal(number, lambda number, frame: heard.append(number)) for number in ENDING}
    try:
        yield
    finally:
        for number, act in before.items():
            signal.signal(number, act)
    for number in heard[:1]:
        signal.raise_signal(number)


def spawn(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], apart: bool, fed: bool = False
) -> subprocess.Popen[bytes]:
    """Start a program in a group of its own; one that is FED has something to read. See `run_process`."""
    import subprocess

    return subprocess.Popen(
        as_command(argv),
        cwd=cwd,
        env={as_native(name): as_native(value) for name, value in env.items()},
        stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if apart else subprocess.STDOUT,
        start_new_session=not WINDOWS,
    )


def close(outputs: Sequence[StreamReader]) -> None:
    """Close the streams that have been read to their end."""
    for output in filter(StreamReader.is_alive, outputs):
        output.join(0.5)
    for output in outputs:
        if not output.is_alive():
            output.stream.close()


def as_command(argv: Sequence[str]) -> Any:
    """Give an argument list as the system takes it; cmd wants its line as it stands, between two quotes."""
    if WINDOWS and argv[0] == "cmd":
        return f'{" ".join(argv[:-1])} "{argv[-1]}"'
    return [as_native(word) for word in argv]


def as_native(text: str) -> Any:
    """Encode an argument as UTF-8 whatever the locale says; Windows takes text."""
    return text if WINDOWS else text.encode("utf-8", "surrogateescape")


BEAT = 0.25  # seconds


def start_guard(pid: int) -> subprocess.Popen[bytes]:
    """Start what ends the group of PID as soon as lean-loop is no more, however it ended."""
    import subprocess

    argv = ["/bin/sh", "-c", 'read -r _; kill -s KILL -- "-$0"', str(pid)]
    null = subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=null, stderr=null, process_group=0)


def release(guard: subprocess.Popen[bytes]) -> None:
    guard.kill()
    guard.communicate()


def watch(
    process: subprocess.Popen[bytes],
    outputs: Sequence[StreamReader],
    deadline: Deadline,
    on_beat: Callable[[int], None],
) -> str:
    """Wait for PROCESS to exit or for a limit of DEADLINE; say which limit, if one was reached."""
    exited = threading.Event()

    def wait() -> None:
        process.wait()
        exited.set()

    for thread in (*outputs, threading.Thread(target=wait, daemon=True)):
        thread.start()
    on_beat(process.pid)
    while not exited.wait(min(BEAT, deadline.left())):
        on_beat(process.pid)
        if cut := deadline.cut():
            return cut
    return ""


GRACE = 1.0


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End PROCESS and all that it started: asked first, forced after a second, given up after three."""
    if WINDOWS:
        import subprocess

        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True)
        return
    begun, asked = time.monotonic(), set[int]()
    try:
        while (left := still_running(process)) and (waited := time.monotonic() - begun) <= 3 * GRACE:
            for pid in sorted(left):  # the group first: a shell whose child alone is ended goes on to its next line
                if waited > GRACE or pid not in asked:
                    send_signal(pid, signal.SIGKILL if waited > GRACE else signal.SIGTERM)
            asked.update(left)
            time.sleep(0.01)
    except Interrupted:
        for pid in still_running(process):
            send_signal(pid, signal.SIGKILL)
        raise


def still_running(process: subprocess.Popen[bytes]) -> set[int]:
    """Return which processes that lean-loop started, but BESIDE, have not ended; a negative one is PROCESS's group."""
    left = descendants(os.getpid(), BESIDE) - {process.pid}
    for pid in left:
        with contextlib.suppress(OSError):
            os.waitpid(pid, os.WNOHANG)
    if process.poll() is None:
        left.add(process.pid)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, 0)
        left.add(-process.pid)
    return left


def send_signal(pid: int, number: int) -> None:
    """Send signal NUMBER to a process, or to a group where PID is negative; one that is gone is no error."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def descendants(pid: int, spared: Set[int] = frozenset()) -> set[int]:
    """List what PID started, and what that started, and so on; not what is SPARED, with all that it started."""
    found, todo = set[int](), [pid]
    family = children if Path("/proc/self/task").is_dir() else children_by_ps()
    while todo:
        fresh = set(family(todo.pop())) - found - spared
        found |= fresh
        todo += fresh
    return found


def children(pid: int) -> list[int]:
    """List the children of PID as Linux tells them."""
    pids: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                pids += map(int, (task / "children").read_text().split())
    return pids


def children_by_ps() -> Callable[[int], list[int]]:
    """Ask ps for all processes once; the answer tells the children of one."""
    import subprocess

    pairs: dict[int, list[int]] = {}
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True) as ps:
        listing = ps.communicate()[0]
    for line in listing.splitlines():
        child, parent = map(int, line.split())
        if child != ps.pid:  # it lists itself, and has ended
            pairs.setdefault(parent, []).append(child)
    return lambda pid: pairs.get(pid, [])


@cache
def adopt_orphans() -> None:
    """Become the parent of what the children leave behind (Linux), so that it can be ended too."""
    if sys.platform == "linux":
        import ctypes

        set_child_subreaper = 36  # linux/prctl.h
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def start_error(path: str, what: str, error: OSError) -> LeanError:
    """Say why a program could not be started, and what to do."""
    if isinstance(error, FileNotFoundError) and not Path(path).is_file():
        advice = "Put what stands behind the program into args" if " " in path else "Install it, or correct the name"
        return NotReady(f"{what}: '{path}' was not found. {advice}.")
    if Path(path).is_dir():
        return NotReady(f"{what}: '{path}' is a folder. Name a program.")
    if isinstance(error, PermissionError):
        return NotReady(f"{what}: '{path}' cannot be executed. Make it executable (chmod +x), or name a program.")
    return NotReady(
        f"{what}: '{path}' cannot be started: {error.strerror or error}. Look at its first line (#!) and its format."
    )


# ------------------------------------------------------------------------------------------------------------- git

GENERATED = ("node_modules", ".venv", "venv", "target", "__pycache__", ".tox", ".nox", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", ".gradle", "site-packages", ".git")  # fmt: skip
Side = tuple[str, str]  # what a tree holds at a path: mode and object, as git writes them
# The mode of what it does not hold, of a link, and of a file that is started.
GONE, LINK, PROGRAM = "000000", "120000", "100755"


def split(listing: str) -> list[str]:
    """Read paths that end in NUL."""
    return [path for path in listing.split("\0") if path]


def joined(paths: Iterable[str]) -> bytes:
    """Write paths so that each ends in NUL."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def as_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class GitError(NotReady):
    """A git command failed; the text is what it said."""


SEALED = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_LITERAL_PATHSPECS": "1"}
INERT = ("core.quotePath=false", "safe.directory=*", "core.fsmonitor=false", f"core.hooksPath={os.devnull}")


def start_git(args: Sequence[str], cwd: Path, places: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start git, out of the reach of the keyboard's signals.

    Where PLACES (variables that name a repository or an index) hold GIT_DIR, it is sealed against the user's
    configuration; else it asks the user's own repository.
    """
    env = {name: value for name, value in os.environ.items() if not re.match(r"GIT_(?!AUTHOR_|COMMITTER_)", name)}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    if places:
        env |= {**(SEALED if "GIT_DIR" in places else {}), **places}
    argv = ["git"]
    for setting in INERT:
        argv += ["-c", setting]
    try:
        return spawn([*argv, *args], cwd, env, apart=True, fed=True)
    except FileNotFoundError:
        raise NotReady("git was not found on PATH: lean-loop keeps its snapshots with it. Install git.") from None


def git(
    args: Sequence[str],
    cwd: Path,
    places: Mapping[str, str] | None = None,
    feed: bytes = b"",
    most: float = 600,
) -> str:
    """Run git for MOST seconds at most, with FEED to read; return what it printed, undecodable bytes as surrogates."""
    return finish(start_git(args, cwd, places), feed, most)


def finish(process: subprocess.Popen[bytes], feed: bytes = b"", most: float = 600) -> str:
    """Let a git that was started run to its end; see `git`."""
    from subprocess import TimeoutExpired

    try:
        out, errors = process.communicate(feed, most)
    except TimeoutExpired:
        send_signal(-process.pid, signal.SIGKILL)  # with the filter that it may be waiting for
        process.kill()
        raise GitError(f"git did not end within {most:g} s. Look at the repository's filters and files.") from None
    except BaseException:
        with contextlib.suppress(TimeoutExpired):
            process.wait(GRACE)  # it ends by itself, and leaves no lock
        process.kill()
        raise
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip()[-500:]
        advice = "Look at the repository, and at the space on the disk."
        raise GitError(f"git ended with {process.returncode}: {said}. {advice}")
    return as_text(out)


def ask_git(root: Path, *args: str, places: Mapping[str, str] | None = None, feed: bytes = b"") -> str:
    """Ask the user's own repository at ROOT; nothing where there is none, or it does not know."""
    try:
        return git(args, root, places, feed, most=60).strip("\n")
    except GitError:
        return ""


# ----------------------------------------------------------------------------------------------------- tables and texts


@cache
def table(name: str) -> dict[str, dict[str, list[str]]]:
    """Read a table of patterns that lies beside the leaners."""
    found: dict[str, dict[str, list[str]]] = load_beside("_patterns").read_table(read_text(share() / "leaners" / name))
    return found


@cache
def rx(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of lines when it is needed first."""
    return re.compile(pattern, re.MULTILINE)


def fits_name(name: str, tests: Sequence[str]) -> bool:
    """Tell whether a block's NAME stands for one of TESTS, whose names may be longer."""
    path, bracket, parameters = name.partition("[")
    as_node = path.replace(".", "::") + bracket + parameters
    return any(test.endswith((name, as_node)) for test in tests[:200])


def shorten(text: str, most: int, width: int = 400, mark: str = "") -> str:
    """Keep at most MOST lines of TEXT and a note: its begin, its end, those around MARK; WIDTH characters of each."""
    half = width // 2
    rows = [row if len(row) <= width else f"{row[:half]} [...] {row[-half:]}" for row in text.splitlines()]
    if len(rows) <= most:
        return "\n".join(rows)
    head, begin, middle = most // 3, mark[:60], range(0)
    marked = next((at for at, row in enumerate(rows) if begin and begin in " ".join(row.split())), 0)
    if head < marked < len(rows) - most + head:
        middle = range(marked - head // 2, marked + head // 2)
    rest = most - head - len(middle) - bool(middle)  # a second gap has a note too
    kept = sorted({*range(head), *middle, *range(len(rows) - rest, len(rows))})
    gaps = {at: at - before - 1 for before, at in pairwise([-1, *kept])}
    return "\n".join(f"[... {gaps[at]} lines left out ...]\n{rows[at]}" if gaps[at] else rows[at] for at in kept)


# --------------------------------------------------------------------------------------------- context and prompts

PIECES = re.compile(r"[A-Za-z]{1,6}|\d{1,3}|[^\w\s]{1,2}|_|\n\s*|[^\x00-\x7f]")
TEST_NAMES = (
    "test_*", "test.*", "tests.*", "test-*", "*-test.*", "*_test.*",
    "*.test.*", "*.spec.*", "*_spec.*", "*Test.*", "*Tests.*", "*Spec.*", "*-spec.*", "*.cy.*", "*.e2e.*", "*.bats",
    "*TestCase.*",
)  # fmt: skip
TEST_FOLDERS = (
    "test", "tests", "__tests__", "spec", "specs", "t", "e2e", "cypress", "golden", "fixtures", "__fixtures__",
    "expected", "__snapshots__", "features/steps", "features/step_definitions", "features/support", "integration_test",
    "test_driver", "src/it", "src/*Test", "src/testFixtures", "*Tests", "*_tests", "*-tests",
)  # fmt: skip
TEST_PATH = r"(?s:(?:.*/)?(?:(?:{})/.*|(?:{}))\Z)".format(
    *("|".join(re.escape(name).replace(r"\*", "[^/]*") for name in names) for names in (TEST_FOLDERS, TEST_NAMES))
)
TOKENS_PER_PIECE = (20, 23)


def tokens(text: str) -> int:
    """Estimate TEXT in tokens, within 15 % of cl100k on code and prose."""
    return len(PIECES.findall(text)) * TOKENS_PER_PIECE[0] // TOKENS_PER_PIECE[1]


# Ranks: what is left out last where a prompt would be too long, and what first.
ALWAYS, CORE, CONCERNED, ASIDE, CHANGES = range(5)


@record
class PromptSection:
    """A piece of a prompt. The highest rank is left out first where the budget is too small; ALWAYS never is.

    One that `shrinks` loses lines from its middle instead, and keeps its begin, its end and where MARK stands.
    """

    title: str
    body: str
    rank: int = ALWAYS
    shrinks: bool = False
    mark: str = ""

    def __str__(self) -> str:
        return f"# {self.title}\n{self.body.rstrip()}\n" if self.title else f"{self.body.rstrip()}\n"


def fit(parts: Sequence[PromptSection], budget: int) -> str:
    """Join PARTS, without those of high rank until they fit BUDGET tokens; say what was left out, and how large it is.

    What is ALWAYS there or has shrunk stays, even beyond the budget.
    """
    kept, gone = [part for part in parts if part.body.strip()], list[PromptSection]()
    while (over := sum(tokens(str(part)) for part in kept if part.body) - budget) > 0:
        last = max(kept, key=lambda part: part.rank)
        if last.rank == ALWAYS:
            break
        kept[kept.index(last)] = replace(last, body=shrunk(last, over) if last.shrinks else "", rank=ALWAYS)
        gone += [] if last.shrinks else [last]
    note = "".join(f"(left out: {part.title}, about {tokens(part.body)} tokens)\n" for part in gone)
    return "\n".join(str(part) for part in kept if part.body) + (f"\n{note}" if note else "")


def shrunk(part: PromptSection, over: int) -> str:
    """Take lines out of a part's middle until it has lost OVER tokens, or has few left."""
    lines, most = part.body.splitlines(), tokens(part.body)
    return shorten(part.body, max(8, len(lines) * (most - over) // most), mark=part.mark)


def is_test(path: str, defaults: Defaults) -> bool:
    """Tell whether PATH is a test file, by `test_prefix` or the usual names and folders."""
    return bool(rx(prefix_pattern(defaults.test_prefix) or TEST_PATH).match(path))


def prefix_pattern(prefixes: Sequence[str]) -> str:
    """Match paths that begin with one of PREFIXES, folder by folder or in a name; empty without any."""
    return f"(?:{'|'.join(re.escape(prefix.removeprefix('./')) for prefix in prefixes)})" if prefixes else ""


def read_text(path: Path, most: int = 2_000_000) -> str:
    """Read a file of the project as text; empty where it is none, is binary, or is larger than MOST bytes."""
    try:
        raw = read_regular(path, most, follow=True)
    except OSError:
        return ""
    return "" if b"\0" in raw else raw.decode("utf-8-sig", "replace").replace("\r\n", "\n")


# What a tracer recorded of one test; leaners/_trace.py tells its form.
Trace = Mapping[str, Any]
TRACED = (".py", ".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx")


def is_self_explanatory(failure: Failure, defaults: Defaults) -> bool:
    """Tell whether the traceback alone says what is at fault: a name that is not there, no valid code."""
    evident = "|".join(chain(*(row.get("evident", []) for row in table("_languages.txt").values())))
    in_tests = all(is_test(frame.path, defaults) for frame in failure.frames)
    return bool(rx(evident).match(failure.summary)) and not in_tests


LOCATING = 30  # seconds


@record
class Located:
    """What a prompt shows of the project, as `leaners/_locate.py` found it: texts with their fences.

    `files` are shown whole, `outlines` stand for large ones; `code` is what the failure concerns, beside the `test`.
    """

    test_files: tuple[str, ...] = ()
    files: str = ""
    outlines: str = ""
    code: str = ""
    test: str = ""


SKIPPED, MOST_FILES = (*GENERATED, "dist", "vendor"), 20_000


def project_files(root: Path) -> list[str]:
    """List the project's own files below ROOT; hidden, installed and generated folders are passed over."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name[:1] != "." and name not in SKIPPED)
        below = Path(folder).relative_to(root).as_posix()
        found += [name if below == "." else f"{below}/{name}" for name in sorted(names)]
        if len(found) > MOST_FILES:
            break
    return found[:MOST_FILES]


def location_request(
    root: Path,
    defaults: Defaults,
    task: Task,
    failure: Failure | None,
    prompt: str,
    budget: int,
    traces: Sequence[Trace],
) -> dict[str, Any]:
    """Write the request for the code of a PROMPT within BUDGET tokens, in the form that leaners/_locate.py tells."""
    failure = failure or Failure()
    frames = [(frame.path, frame.line) for frame in failure.frames]
    return {
        "root": str(root),
        "paths": project_files(root),
        "tests": prefix_pattern(defaults.test_prefix) or TEST_PATH,
        "sources": prefix_pattern(defaults.source_prefix),
        "window": defaults.source_window,
        "token": PIECES.pattern,
        "ratio": TOKENS_PER_PIECE,
        "failure": {"tests": failure.tests, "summary": failure.summary, "frames": frames},
        "traces": traces,
        "prompt": prompt,
        "files": task.files,
        "words": f"{task.name} {task.prompt}",
        "budgets": code_budgets(task, failure, prompt, budget, bool(traces)),
    }


LARGE_FILE = 1500
SMALL_FILE = 400
DEFINITIONS, BY_NAMES = 1250, 1400
TEST_BODY = 200
ALL_TOLD = 1700  # tokens of code and report together


def code_budgets(task: Task, failure: Failure, prompt: str, budget: int, traced: bool) -> dict[str, int]:
    """Share out the tokens of a PROMPT among the code, the test, and the listed files."""
    share = max(SMALL_FILE, min(LARGE_FILE, budget // (2 * len(task.files) or 1)))
    left = max(ALL_TOLD - tokens(failure.excerpt), DEFINITIONS // 2)
    return {
        "code": min(DEFINITIONS if traced else BY_NAMES, left),
        "test": TEST_BODY,
        "file": share if prompt == "first" else SMALL_FILE,
        "file_alone": LARGE_FILE,
        "outline": share // 2,
    }


def locate_code(request: Mapping[str, Any], reporter: Reporter) -> Located:
    """Let leaners/_locate.py answer REQUEST; where it fails nothing is found, and the run's record says why."""
    import json

    asked = reporter.path("locate.json")
    asked.write_text(json.dumps(request), encoding="utf-8")
    argv = [sys.executable, "-E", "-S", "-c", "import _locate; _locate.main()", str(asked)]  # bytecode is cached
    done = run_process(argv, share() / "leaners", timeout=LOCATING, apart=True)
    if done.code or done.cut:
        told = reporter.write("locate.txt", f"{done.errors}\n{done.end}\n")
        why = f"the prompt goes without code: finding it {done.end}. {told} says why; report it."
        reporter.emit("warning", text=why)
        return Located()
    asked.unlink()
    return read_location(done.output)


def read_location(reply: str) -> Located:
    """Read what leaners/_locate.py answered."""
    import json

    told = json.loads(reply)
    return Located(tuple(told.pop("test_files", ())), **{kind: show_passages(found) for kind, found in told.items()})


def show_passages(passages: Iterable[Mapping[str, str]]) -> str:
    """Put each passage's code into a fence below its title; one without code is its title alone."""
    shown = [
        fenced(item["title"], item["code"], item["path"]) if item["code"] else f"{item['title']}\n" for item in passages
    ]
    return "\n".join(shown)


def fenced(title: str, text: str, path: str) -> str:
    """Put TEXT into a fence that it does not hold itself, below its TITLE."""
    fence = max(re.findall(r"^`{3,}", text, re.MULTILINE), key=len, default="``") + "`"
    return f"{title}\n{fence}{PurePosixPath(path).suffix[1:]}\n{text.rstrip()}\n{fence}\n"


EDIT = "Do this task by editing files of the project. Its tests are run afterwards; test files must not be changed."


@record
class PromptBuilder:
    """What every prompt of a task draws on: its words, the code that was FOUND, and the tokens that it may have.

    OWN_FILES says that the leaner shows the files to the model itself.
    """

    defaults: Defaults
    task: Task
    budget: int
    own_files: bool = False
    found: Located = Located()

    def code(self, failed: bool, rank: int) -> list[PromptSection]:
        """Show the code that may change: what a failure concerns, and the listed files."""
        concerned = PromptSection("Code", self.found.code if failed else "", CONCERNED)
        return [
            PromptSection("Large files", self.found.outlines, ASIDE),
            concerned,
            PromptSection("Files", self.found.files, rank),
        ]

    def evidence(self, failure: Failure) -> list[PromptSection]:
        """Tell of a failure: the test's own code, and the report without what stands in that already."""
        code, body = self.found.code, self.found.test
        report = replace(failure, excerpt=without_runs(failure.excerpt, f"{code}{body}"))
        told = PromptSection("Failing tests", tell_failure(report), CORE, True, failure.summary)
        return [PromptSection("The test", body, ASIDE), told]

    def words(self, *parts: PromptSection) -> str:
        """Write the prompt of an edit."""
        own = ("Files", "Large files") if self.own_files else ()
        head = [PromptSection("", self.defaults.global_message), PromptSection("", EDIT)]
        return fit([*head, *(part for part in parts if part.title not in own)], self.budget)

    @property
    def asked(self) -> PromptSection:
        """The task's own words."""
        return PromptSection(f"Task: {self.task.name}", self.task.prompt)


def first_prompt(builder: PromptBuilder, red: Verdict | None, diff: str, attempts: Sequence[Attempt] = ()) -> str:
    """Write the prompt of a task's first call, or of a fresh start after ATTEMPTS.

    What a small model reads last is what it does: here the task, in a fix what fails. Tests that stand behind the code
    of a first call are sent back as code (tests/bench/README.md).
    """
    return builder.words(
        *(builder.evidence(red.failure) if red and not red.green else ()),
        PromptSection("Uncommitted changes", as_diff(diff), CHANGES),
        PromptSection("Tried before, and undone", tell_attempts(attempts), ASIDE),
        PromptSection("Note", attempts[-1].note if attempts else "", CORE),
        *builder.code(red is not None and not red.green, CORE),
        builder.asked,
    )


def diagnosis_prompt(builder: PromptBuilder, failure: Failure, question: str) -> str:
    """Write the request for a diagnosis: the failure and the definitions concerned, no whole files."""
    last = PromptSection("", builder.defaults.global_message)
    told = (*builder.code(True, ASIDE)[1:2], *builder.evidence(failure))
    return fit([PromptSection("", question), *told, last], builder.budget)


def without_runs(text: str, shown: str) -> str:
    """Drop runs of three lines or more that are SHOWN already."""
    known = {line.strip() for line in shown.splitlines()} - {""}
    runs = [(told, list(run)) for told, run in groupby(text.splitlines(), lambda line: line.strip() in known)]
    return "\n".join(line for told, run in runs if not told or len(run) < 3 for line in run)


def fix_prompt(builder: PromptBuilder, attempts: Sequence[Attempt], diagnosis: str, diff: str, note: str) -> str:
    """Write the prompt of a fix of the last of ATTEMPTS: what was tried, the code concerned, the task, what fails.

    NOTE is what was wrong with the latest answer.
    """
    last = attempts[-1]
    return builder.words(
        PromptSection("Changed since the task began", as_diff(diff), CHANGES),
        PromptSection("Tried before", tell_attempts(attempts[:-1]), ASIDE),
        PromptSection("Note", note, CORE),
        *builder.code(True, ASIDE),
        builder.asked,
        *builder.evidence(last.verdict.failure),
        PromptSection("Diagnosis", diagnosis, CORE),
    )


def as_diff(text: str) -> str:
    """Put a diff into a fence without the lines that only git needs."""
    kept = re.sub(r"^(?:index \S+\.\.\S+.*|diff --git .*)\n", "", text, flags=re.MULTILINE)
    return fenced("", kept, ".diff").lstrip() if kept.strip() else ""


def tell_failure(failure: Failure) -> str:
    """Show the first failure, then three of the others, by name and error, the same error once."""
    errors, grouped = dict(failure.others), dict[str, list[str]]()
    for name in failure.tests[1:] or filter(None, errors):
        error = next((error for other, error in errors.items() if other == name or fits_name(other, [name])), "")
        short = re.sub(r"^(\w+) \((\S+\.\1)\)$", r"\2", name)  # unittest's "test_a (tests.Case.test_a)"
        grouped.setdefault("the same error" if error == failure.summary else error, []).append(short)
    listed, most = ["Failing too:"] if grouped else [], 3
    for error, names in islice(grouped.items(), most):
        more = [f"{len(names) - most} more"] if len(names) > most else []
        ending = f": {shorten(error, 1, 160)}" if error and error != names[0] else ""
        listed.append(f"- {', '.join([*names[:most], *more])}{ending}")
    listed += [f"- and {len(grouped) - most} more errors"] if len(grouped) > most else []
    return "\n".join([fenced("", with_name(failure), "").strip(), *listed])


def with_name(failure: Failure) -> str:
    """Put the name of the first failing test above the excerpt, in the place of a title that is the end of it."""
    name, (title, _, rest) = "".join(failure.tests[:1]), failure.excerpt.partition("\n")
    if name in failure.excerpt:
        return failure.excerpt
    repeats = any(f"::{name}".endswith(f"::{end}") for end in (title, title.replace(".", "::")))
    return f"{name}\n{rest if repeats else failure.excerpt}"


def tell_attempts(attempts: Sequence[Attempt]) -> str:
    """Write the ledger: a line for each earlier attempt, with what it changed and what failed then."""
    lines = list[str]()
    for number, attempt in enumerate(attempts, 1):
        changed, failed = ", ".join(attempt.changed) or "nothing", attempt.verdict.failure.summary or "red"
        lines.append(f"{number}. {attempt.diagnosis or attempt.how} -> changed {changed}; then: {failed}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------- the leaner call

ARGUMENT_LIMIT = 30_000 if WINDOWS else 128_000  # bytes: Windows takes 32,767 characters in all, Linux 128 KiB each
MASKED = "[masked by lean-loop]"


@record
class Program:
    """A leaner on disk, and what the first comment of a wrapper says of it; without `writes` it has no sandbox."""

    path: Path
    needs: str = ""
    overhead: int = 0
    proven: str = ""
    own_files: bool = False
    own_idle: bool = False
    own_check: bool = False
    tells_edits: bool = False
    writes: tuple[str, ...] | None = None
    drafts: bool = False

    @property
    def name(self) -> str:
        return self.path.stem

    def argv(self) -> list[str]:
        """Say how it is started."""
        if self.path.suffix == ".py":
            return [sys.executable, str(self.path)]
        return [bash(), str(self.path)] if self.path.suffix == ".sh" else [str(self.path)]


def bash() -> str:
    """Find bash; on Windows the one that comes with Git, never the one in System32."""
    found = on_path("bash")
    if WINDOWS:
        beside = on_path("git")
        places = Path(beside).resolve().parent.parent.glob("**/bash.exe") if beside else ()
        found = next(map(str, places), None)
    if not found:
        raise NotReady("bash was not found: .sh leaners need it. Install bash (on Windows: Git for Windows).")
    return found


def leaner_programs() -> dict[str, Program]:
    """List all leaners by name: the user's own, and those of lean-loop that have no such name."""
    own = user_config()
    folders = [share() / "leaners", *([own.parent / "leaners"] if own else [])]
    paths = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    scripts = [path for path in paths if path.suffix in (".py", ".sh") and not path.name.startswith("_")]
    found = {path.stem: read_program(path) for path in scripts}
    return {name: found[name] for name in sorted(found)}


def read_program(path: Path) -> Program:
    """Read a leaner's line `# lean: program=NAME overhead=BYTES proven=V files|idle|check=own edits=told …`."""
    told = re.search(r"^# lean: (.*)$", read_text(path)[:4000], re.MULTILINE)
    said = dict(item.split("=", 1) for item in (told[1].split() if told else ()) if "=" in item)
    overhead = int(said.get("overhead", "0")) if said.get("overhead", "0").isdigit() else 0
    files, idle, check = (said.get(what) == "own" for what in ("files", "idle", "check"))
    writes = tuple(filter(None, said["writes"].split(","))) if "writes" in said else None
    return Program(
        path,
        needs=said.get("program", ""),
        overhead=overhead,
        proven=said.get("proven", ""),
        own_files=files,
        own_idle=idle,
        own_check=check,
        tells_edits=said.get("edits") == "told",
        writes=writes,
        drafts=said.get("drafts") == "yes",
    )


def find_program(leaner: Leaner) -> Program:
    """Find the program that a leaner's `binary` names."""
    if re.search(r"[/\\]", leaner.binary):
        path = Path(leaner.binary)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not there"
            raise NotReady(f"[lean] binary: {path} {what}. Name a program, or one of: {', '.join(leaner_programs())}.")
        return read_program(path)
    programs = leaner_programs()
    if leaner.name not in programs:
        raise NotReady(f"binary: there is no leaner '{leaner.binary}'{nearest(leaner.name, programs)}")
    return programs[leaner.name]


def check_leaner(leaner: Leaner) -> None:
    """Refuse a leaner that cannot work here: its program, or the variable with its key, is missing."""
    program = find_program(leaner)
    program.argv()  # for an .sh there has to be a bash
    if program.needs and not on_path(program.needs):
        raise NotReady(
            f"[lean] binary {program.name}: its program '{program.needs}' is not on PATH. Install it, or choose another"
            " leaner: lean-loop --list-leaners"
        )
    if not (leaner.key.isascii() and leaner.key.isprintable()):
        raise NotReady("[lean] api_key: it holds a character that cannot be sent, such as a line end. Correct it.")
    if leaner.api_key_env and not leaner.key:
        raise NotReady(
            f"[lean] api_key_env: the variable {shown(leaner.api_key_env)} is not set. Export it, or take the key out."
        )


NOT_PASSED = ("binary", "api_key_env", "samples", "sample_temperature", "parallel")  # settings that are the loop's own


def leaner_variables(leaner: Leaner) -> dict[str, str]:
    """Turn the settings into LEAN_<KEY>; what is empty is not passed, nor a zero that is the default."""
    found: dict[str, str] = {}
    for item in fields(Leaner):
        value = leaner.key if item.name == "api_key" else getattr(leaner, item.name)
        unset = value in ("", None, (), {}) or (value == 0 == item.default and not isinstance(value, bool))
        if item.name not in NOT_PASSED and not unset:
            found[f"LEAN_{item.name.upper()}"] = as_variable(value)
    return found


def as_variable(value: Any) -> str:
    import json

    if isinstance(value, tuple | list | dict):
        return json.dumps(value, default=str)  # TOML knows dates, JSON does not
    return str(value) if isinstance(value, str) else f"{value:.15g}"


def clean_environment() -> dict[str, str]:
    """Copy the environment without any LEAN_ variable."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEAN_")}


def read_usage(path: Path, program: Program, model: str, prompt: str, answer: str) -> tuple[Usage, str]:
    """Read what a leaner says it used, and which model it asked; MODEL where it does not say.

    Its use is estimated from the prompt and its overhead then.
    """
    told: Any = read_json(path) or None
    with contextlib.suppress(ValueError, TypeError, AttributeError, OverflowError):
        requests, sent, got = (int(told.get(key, 0)) for key in ("requests", "input_tokens", "output_tokens"))
        return Usage(requests, sent, got, bool(told.get("estimated"))), str(told.get("model") or model)
    return Usage(1, tokens(prompt) + program.overhead // 4, tokens(answer), estimated=True), model


def answer_record(words: str, leaner: str, answer: str, errors: str) -> str:
    """Return what the model said, where the leaner tells, and below it what the leaner printed."""
    printed = "\n".join(filter(None, ("" if answer in words else answer, errors)))
    if words and printed:
        printed = f"\n--- what {leaner} did with it ---\n{printed}"
    return "\n".join(filter(None, (words, printed))) + "\n"


# ------------------------------------------------------------------------------------------------------- the guard


def own_patterns(patterns: Sequence[str]) -> list[str]:
    """List the user's patterns: each counts for files and folders."""
    return [form for pattern in patterns for form in (pattern, f"{pattern.rstrip('/')}/")]


def protected_patterns(config: Config, task: Task) -> list[str]:
    """List the patterns of what decides over TASK: tests, what its runner reads, the leanfile, and what is set.

    `path_matcher` tells what they mean.
    """
    from glob import escape

    prefixes = [f"/{escape(prefix.removeprefix('./'))}*" for prefix in config.defaults.test_prefix]
    tests = prefixes or (*TEST_NAMES, *(f"{name}/" for name in TEST_FOLDERS))
    judges = [*tests, *load_beside("_judges").runner_files(config, task)] if config.guard.protect_tests else []
    leanfile = config.path.resolve()
    if leanfile.is_relative_to(config.root):
        judges.append(leanfile.relative_to(config.root).as_posix())
    free = [f"!{item}" for item in (*own_patterns(config.guard.allow), *(f"/{escape(path)}" for path in task.files))]
    return [*judges, *own_patterns(config.guard.protect), *free]


def path_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Make the question whether PATTERNS cover a path: the leaners ask it alike."""
    question: Callable[[str], bool] = load_beside("_patterns").path_matcher(patterns)
    return question


@cache
def source_endings() -> frozenset[str]:
    """List the endings of source code, templates and styles among them."""
    rows = table("_languages.txt").values()
    endings = [*table("_guard.txt")["shared"]["source"], *chain(*(row.get("suffixes", []) for row in rows))]
    return frozenset(" ".join(endings).split())


class ChangeRules:
    """What a leaner may change during a task: its files, what `[guard] allow` names, and source that does not judge."""

    def __init__(self, config: Config, task: Task) -> None:
        self.config, self.task = config, task
        self.is_allowed = path_matcher(own_patterns(config.guard.allow))
        self.patterns = protected_patterns(config, task)
        self.protects = path_matcher(self.patterns)  # what decides over the tests
        self.judges = path_matcher(self.patterns[: len(self.patterns) - len(task.files)])  # though the task lists it

    def is_listed(self, path: str) -> bool:
        return path in self.task.files or self.is_allowed(path)

    def may_drop(self, test: str) -> bool:
        """Tell whether a leaner may change the file of a TEST, named as pytest's report does."""
        parts = test.split(".")
        files = ["/".join(parts[:end]) + ".py" for end in range(1, len(parts))]
        return not self.config.guard.protect_tests or any(map(self.is_listed, files))

    def permits(self, path: str, sides: tuple[Side, Side] | None = None) -> bool:
        """Tell whether a leaner may change a path; SIDES say what it was and what it became."""
        scope = self.config.guard.scope
        if self.is_listed(path):
            return True
        if self.protects(path) or scope == "files":
            return False
        if scope == "any":
            return True
        is_link = sides is not None and sides[1][0] == LINK
        is_own = not re.search(r"(?:^|/)(?:\.|(?:node_modules|site-packages|vendor)/)", path)
        is_program = sides is not None and sides[0][0] == PROGRAM and "." not in PurePosixPath(path).name
        return (PurePosixPath(path).suffix in source_endings() or is_program) and is_own and not is_link


def check_test_files(config: Config, tasks: Sequence[Task]) -> None:
    """Refuse a task with a test file that is not there and that no task may write."""
    for task in tasks:
        for path in (PurePosixPath(name.split("::")[0]) for name in task.test_files):
            missing = path.suffix in source_endings() and not (config.root / path).exists()
            if missing and all(ChangeRules(config, other).protects(str(path)) for other in tasks):
                raise LeanError(
                    f"{config.path}: task '{task.name}': its test file {path} is not there, and no task may write it."
                    " Write it first, or correct the name."
                )


def green_warnings(snapshots: Snapshots, rules: ChangeRules, state: TaskState) -> Iterator[str]:
    """Give what makes the green of a task doubtful beside its tests."""
    edited, uses = touched(state.attempts), load_beside("_uses")
    judging = {path for path in edited if rules.judges(path)}
    yield from (f"{path} judges this task, which lists and changed it" for path in sorted(judging))
    sources = sorted(path for path in edited - judging if PurePosixPath(path).suffix in source_endings())
    for path, (old, new) in snapshots.texts(state.start, state.attempts[-1].tree, sources).items():
        if lost := uses.lost_inside(path, old, new):
            yield f"{path}: tests inside it were changed or removed ({len(lost)})"
        if fresh := sorted(uses.matches("runner", new) - uses.matches("runner", old)):
            yield f"{path} reaches for the test runner ({', '.join(fresh)}): read it before you believe it"


# --------------------------------------------------------------------------------------------------- running tests

QUICK = 20.0  # seconds; a test run that took longer is not traced
Limit = tuple[float, str]  # seconds, and the setting that says so


def shell_argv(line: str) -> list[str]:
    """Make the argument list that hands LINE to the system's shell."""
    return ["cmd", "/d", "/s", "/c", line] if WINDOWS else ["/bin/sh", "-c", line]


def quoted(word: str) -> str:
    """Quote a word for the system's shell: cmd knows double quotes alone."""
    if not WINDOWS:
        return shlex.quote(word)
    from subprocess import list2cmdline

    return list2cmdline([word])


def run_shell(
    root: Path, line: str, files: Sequence[str], env: Mapping[str, str], limit: Limit, on_beat: Callable[[int], None]
) -> Completed:
    """Hand a command of the user's to the shell; {files} in it are FILES that are there, else all of the project."""
    there = [quoted(path) for path in files if (root / path).exists()]
    line = line.replace("{python}", python_of(root)).replace("{files}", " ".join(there) or ".")
    done = run_process(shell_argv(line), root, env=env, timeout=limit[0], on_beat=on_beat)
    return replace(done, cut=done.cut and f"{done.cut}: {limit[1]}")


@cache
def python_of(root: Path) -> str:
    """Find the Python of the project's virtual environment, else the one on PATH; once, before an agent makes one."""
    program = "Scripts/python.exe" if WINDOWS else "bin/python"
    for folder in (".venv", "venv"):
        if (root / folder / program).is_file():
            return str(root / folder / program)
    return on_path("python3") or on_path("python") or sys.executable


def test_argv(runner: Runner, root: Path) -> list[str]:
    """Make the test command's argument list; {python} is the project's own Python, else the one on PATH."""
    words = [word.replace("{python}", python_of(root)) for word in (runner.command, *runner.args)]
    if not runner.shell:
        return words
    return shell_argv(" ".join([words[0], *map(quoted, words[1:])]))


def words_of(*command: str) -> list[str]:
    """Take a command apart into words, a shell line in it too."""
    return re.findall(r"[^\s;|&()'\"]+", " ".join(command))


def spell_out(argv: Sequence[str], root: Path) -> str:
    """Give the words of a test command, and of the scripts and recipes of the project that they name."""
    said: str = load_beside("_judges").spell_out(argv, root)
    return said


def test_environment(runner: Runner, adds: str) -> dict[str, str]:
    """Make the environment of a test command; pytest gets the options of ADDS beside the user's own."""
    own = runner.env.get("PYTEST_ADDOPTS", os.environ.get("PYTEST_ADDOPTS", ""))
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", **runner.env, "PYTEST_ADDOPTS": f"{own} {adds}".strip()}
    return {**clean_environment(), **quiet}


def read_report(path: Path, root: Path) -> Report | None:
    """Read pytest's report; nothing where there is none. Names begin at ROOT, wherever pytest saw its own."""
    from xml.etree import ElementTree

    begins = [root.parts[place:] for place in range(1, len(root.parts)) if not (root / root.parts[place]).exists()]
    above = "|".join(re.escape(".".join(parts)) for parts in begins)
    found: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
    times: dict[str, float] = {}
    try:
        for case in ElementTree.fromstring(read_regular(path)).iter("testcase"):
            name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
            name = re.sub(rf"^(?:{above})\.", "", name)
            times[name] = times.get(name, 0) + float(case.get("time") or 0)
            found[outcome_of({child.tag for child in case})].add(name)
    except (ElementTree.ParseError, OSError, ValueError):
        return None
    finally:
        path.unlink(missing_ok=True)  # it repeats the output, unmasked
    passed, failed, skipped = map(frozenset, found.values())
    return Report(passed - failed, failed, skipped, tuple(times.items()))


def outcome_of(tags: Set[str]) -> str:
    """Say how a test case with these TAGS in pytest's report ended."""
    if tags & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in tags else "passed"


def runs_pytest(argv: Sequence[str]) -> bool:
    """Tell whether a command starts pytest itself, and leaves its report to us."""
    named = PurePosixPath(argv[0]).name in ("pytest", "py.test") or argv[1:3] == ["-m", "pytest"]
    return named and not any(word.startswith("--junit") for word in argv)


NO_TEST, PYTEST_FOUND_NONE = "the test command ran no test", 5  # pytest's exit code


def why_not_green(
    done: Completed, said: Summary, config: Config, runner: Runner, passed: int | None, report: Report | None
) -> str:
    """Say why a test run is red though it does not say so itself: exit 0 alone proves nothing."""
    if done.cut:
        return f"the tests ran into their time limit of {runner.timeout:g} s ([runner] timeout; test_files narrows)"
    if done.code == PYTEST_FOUND_NONE and report:
        return f"{NO_TEST}: write the tests of this task first, or correct the command"
    if done.code:
        return ""
    if report and report.failing:
        return f"the test command ended with 0, but its report has {len(report.failing)} failing"
    if not report and said.red:
        return f"the test command ended with 0, but says: {said.red} (does a pipe or ';' hide its exit code?)"
    if passed == 0 and not config.defaults.no_tests_ok:
        return f"{NO_TEST}, though it passed ([defaults] no_tests_ok = true accepts that)"
    if not report and passed is None and load_beside("_failures").loses_exit(spell_out(done.argv, config.root)):
        return (
            "a pipe or ';' hides the exit code of the tests, and they print no result that is known: use && or pipefail"
        )
    if not report and runs_pytest(done.argv):
        return "pytest ended with 0, but wrote no report: something ended it early"
    return ""


def missed_threshold(output: str, alone: bool = False) -> str:
    """Quote the demand on the coverage that a run did not meet; with ALONE, only where nothing else is red."""
    shared = table("_readers.txt")["shared"]
    gate = rx(shared["gate"][0]).search(output)
    if not gate or (alone and rx(shared["beside"][0]).search(output)):
        return ""
    return f"this task's tests alone do not meet a demand on the coverage: {gate[0].strip()}"


def verdict_of(done: Completed, output: str, config: Config, runner: Runner, report: Report | None) -> Verdict:
    """Judge a test run: only exit 0 is green, and only where some test ran, as far as that is known.

    The one exception is a task's narrowed run of which all tests pass, and that a demand on the coverage makes red:
    the whole suite has to meet it.
    """
    command, reading = spell_out(done.argv, config.root), load_beside("_failures")
    said = reading.read_summary(output, command, green=done.code == 0)
    passed, failing = (len(report.passing), len(report.failing)) if report else (said.passed, said.failed)
    why = why_not_green(done, said, config, runner, passed, report)
    all_passed = done.code > 0 and passed and not failing and not why
    note = missed_threshold(output, alone=True) if all_passed and runner != insert_test_files(config.runner, ()) else ""
    skipped = len(report.skipped) if report else said.skipped
    green = not why and (done.code == 0 or bool(note))
    if green:
        return Verdict(True, Failure(), passed, done.seconds, "", skipped, report, note)
    failure: Failure = reading.read_failure(output, config.root, config.defaults.error_tail_lines, command)
    if not failure.tests and report:
        failure = replace(failure, tests=tuple(sorted(report.failing)))
    if why or done.code < 0 or not failure.excerpt:
        told = why or f"the test command {'said nothing and ' * (done.code > 0)}{done.end}"
        failure = replace(failure, summary=told, excerpt=f"{told}\n{failure.excerpt}")
    return Verdict(False, failure, passed, done.seconds, why, skipped, report, missed_threshold(output))


def is_to_be_written(argv: Sequence[str], config: Config) -> bool:
    """Tell whether a task lists a file that the test command ARGV starts."""
    words = {os.path.normpath(word) for word in words_of(*argv)}
    words |= {f"{word.replace('.', '/')}{end}" for word in words for end in (".py", "/__main__.py")}
    return any(words & {*task.files} for task in config.tasks)


def run_tests(config: Config, runner: Runner, reporter: Reporter) -> Verdict:
    """Run the test command once and say what it means."""
    path = reporter.path("junit.xml")
    env, argv = test_environment(runner, f"--junitxml={shlex.quote(str(path))}"), test_argv(runner, config.root)
    awaited = is_to_be_written(argv, config)
    path.unlink(missing_ok=True)
    try:
        told: Document = {"on_beat": reporter.on_beat, "on_lines": reporter.on_lines}
        done = run_process(argv, config.root, env=env, timeout=runner.timeout, **told)
    except OSError as error:
        why = start_error(argv[0], "[runner] command", error)
        if not awaited:
            raise why from None
        done = Completed(tuple(argv), 127, f"{why}\n", "", 0)
    output = reporter.mask(done.output)
    reporter.write("tests.txt", output)
    report = read_report(path, config.root)
    module = argv[argv.index("-m") + 1] if "-m" in argv[:-1] else ""
    missing = module and re.search(rf"No module named '?{re.escape(module)}'?$", output, re.MULTILINE)
    if not awaited and (missing or (runner.shell and done.code in (126, 127))):
        raise NotReady(
            f"[runner] command: {' '.join(output.split())[-200:]}. Install what it needs, or correct the command."
        )
    return verdict_of(done, output, config, runner, report)


# -------------------------------------------------------------------------------------------------------- verdicts

# What decides green, in order: `run_tests` runs the command and `verdict_of` reads it (above); `Verifier.judge`
# distrusts changed tests (`test`), repeats the run (`test_confirmed`), runs the `checks`; `Run.verdict` vetoes by the
# run before (`compare`). A failing after-command makes a task red (`run_task`), a worse suite the run (`broken_since`).
# Two things make green of another exit code: a demand on the coverage that a task's own tests need not meet
# (`verdict_of`), and failing tests that are none of the task's (`Run.verdict`).

NOT_TESTED = Verdict(True, Failure())


def count_all(verdict: Verdict) -> int | None:
    """Count the tests of a run."""
    return None if verdict.passed is None else verdict.passed + len(verdict.failing) + (verdict.skipped or 0)


def compare_names(before: Report, now: Report) -> tuple[Set[str], Set[str], Set[str]]:
    """Compare two reports: the tests that pass newly, those that broke, the red ones that neither pass nor fail.

    A module that could not be imported is one red test; others, which pass, may stand for it later.
    """
    fixed, unproven = now.passing - before.passing, before.failing - now.failing - now.passing
    if len(unproven) <= len(fixed - before.failing):
        unproven &= now.skipped
    return fixed, before.passing & now.failing, unproven


VOLATILE = re.compile(r"[0-9a-fA-F-]{8,}|\d{4,}")  # in the name of a test: a time, an address, a random number


def lost_names(before: Report, now: Report) -> list[str]:
    """List the tests that passed before, and neither pass nor fail now."""
    ran = {VOLATILE.sub("*", name) for name in now.passing | now.failing}
    return sorted(name for name in before.passing if VOLATILE.sub("*", name) not in ran)


def counts_tests(verdict: Verdict) -> bool:
    """Tell whether the counts of a red run are of tests: some runners count the packages that passed."""
    rows = load_beside("_failures").output_readers()
    return not any(row.passed.endswith("()") for row in rows if row.name == verdict.failure.reader)


def compare_counts(before: Verdict, now: Verdict) -> tuple[Set[str], Set[str], Set[str]]:
    """Compare the names of failing tests and the counts, to the same end."""
    fixed = set(before.failing) - set(now.failing)
    newly_red = set(now.failing) - set(before.failing)
    added = (count_all(now) or 0) - (count_all(before) or 0)  # as many red ones may be new
    broke = newly_red if before.green or len(newly_red) > added else set[str]()
    if before.passed is None or now.passed is None:
        return fixed, broke, set()
    # where tests vanished or are skipped, they may be the red ones: each that was fixed has to show as passed
    hidden = counts_tests(before) and (added < 0 or (now.skipped or 0) > (before.skipped or 0))
    least = before.passed + (len(fixed) if hidden else 1)
    return fixed, broke, set() if now.passed >= least else fixed


def compare(before: Verdict | None, now: Verdict) -> Change:
    """Say what became of the tests between two runs of one command, by name where the runner tells names."""
    if before is None:
        return Change(warnings=("it was not proven red: [guard] baseline = false",))
    kept, lost = None, list[str]()
    if before.report and now.report:
        fixed, broke, unproven = compare_names(before.report, now.report)
        kept = len(before.report.passing & now.report.passing)
        lost = lost_names(before.report, now.report)
    else:
        fixed, broke, unproven = compare_counts(before, now)
    found = Change(tuple(sorted(fixed)), tuple(sorted(broke)), kept, tuple(lost))
    if not now.green:
        return found
    return replace(found, veto=why_vetoed(before, now, broke, unproven), warnings=tuple(doubts_of_green(before, now)))


def why_vetoed(before: Verdict, now: Verdict, broke: Set[str], unproven: Set[str]) -> str:
    """Say why a run that ended with 0 is not green, compared with the one BEFORE."""
    if before.passed is not None and now.passed is None:
        return "the test command ended with 0, but told nothing of its tests, unlike before: something ended it early"
    if not before.green and unproven:
        return f"the failing tests did not pass, they were skipped or have vanished: {', '.join(sorted(unproven)[:5])}"
    return f"red now, but green before: {', '.join(sorted(broke)[:5])}" if broke else ""


def doubts_of_green(before: Verdict, now: Verdict) -> Iterator[str]:
    """Warn of what makes a green doubtful: no red before it, fewer tests, more of them skipped."""
    if before.green:
        yield "the tests did not prove this task: they were green before"
    if now.note:
        yield now.note
    old, new = count_all(before), count_all(now)
    if old is not None and new is not None and new < old and counts_tests(before):
        yield f"fewer tests than before: {old} -> {new}"
    if (now.skipped or 0) > (before.skipped or 0):
        yield f"more tests are skipped than before: {before.skipped or 0} -> {now.skipped}"


def rank_key(verdict: Verdict | None, before: Verdict | None) -> RankKey:
    """Order red states, less is better: tests that are not even found, that broke, then that pass, then that fail.

    A file that cannot be loaded hides its tests: one error is then no progress over two failing tests.
    """
    if not verdict:
        return (0, 0, 0, 0)
    hidden = max(0, (count_all(before) or 0) - (count_all(verdict) or 0)) if before and counts_tests(before) else 0
    broke = len(compare(before, verdict).broke)
    unnamed = 0 if verdict.check else 10**6
    return (hidden, broke, -(verdict.passed or 0), len(verdict.failing) or unnamed)


def next_base(state: TaskState, restart_after: int, takeover: bool) -> tuple[str, bool]:
    """Choose the tree that the next answers start from, and tell whether they begin afresh.

    It is the best one since the task was last begun afresh, the latest of equals. A fresh start is made where
    `restart_after` prompts in a row brought no progress, where the last one brought nothing new, or another leaner
    takes over: from the best state of all, if it is better than the start. Most models lose 60 to 80 % of their
    debugging power within two or three repairs (arXiv 2506.18403).
    """
    if not state.attempts:
        return state.start, True
    begun = max(attempt.round for attempt in state.attempts if attempt.fresh)
    recent = [attempt for attempt in state.attempts if attempt.round >= begun]
    first_best = min(recent, key=lambda attempt: attempt.rank)
    is_stuck = 0 < restart_after <= state.rounds - first_best.round
    if takeover or is_stuck or brought_nothing(recent):
        best = min(state.attempts, key=lambda attempt: attempt.rank)
        return (best.tree if best.rank < state.start_rank else state.start), True
    return min(reversed(recent), key=lambda attempt: attempt.rank).tree, False


def brought_nothing(recent: Sequence[Attempt]) -> bool:
    """Tell whether the last prompt brought only trees that were there before; one idle answer may be an accident."""
    number = recent[-1].round
    last = [attempt for attempt in recent if attempt.round == number]
    if any(attempt.new for attempt in last):
        return False
    doubtful = [attempt for attempt in recent if attempt.round >= number - 1]
    return any(attempt.changed for attempt in last) or (len(doubtful) > 1 and not doubtful[0].changed)


def verdict_facts(verdict: Verdict) -> Document:
    """Say what the record holds of a test run: at most 50 tests by name, and the first and the last two places."""
    failure = verdict.failure
    places = list(dict.fromkeys((frame.path, frame.line) for frame in failure.frames))
    places[1:-2] = []
    return {
        "green": verdict.green,
        "failing": len(verdict.failing),
        "tests": failure.tests[:50],
        "places": places,
        "summary": verdict.why or failure.summary or failure.excerpt.rpartition("\n")[2].strip(),
        "reader": "" if verdict.green else failure.reader,
        "passed": verdict.passed,
        "skipped": verdict.skipped,
        "seconds": verdict.seconds,
    }


# ---------------------------------------------------------------------------------------------------- the verifier


@state
class Verifier:
    """Runs the tests on states of the project.

    `judged` holds verdicts by test command and tree; `products` are protected files that tests write by themselves,
    which is only learned while the project is `pristine`: no leaner has changed it in this run. `traced` tells what
    tests ran, by the verdict that they explain.
    """

    config: Config
    workspace: Workspace
    reporter: Reporter
    judged: dict[tuple[str, str], Verdict] = field(factory=dict)
    products: set[str] = field(factory=set)
    traced: dict[Verdict, tuple[Trace, ...]] = field(factory=dict)
    pristine: bool = True

    def judge(self, task: Task, tree: str, again: bool = False) -> Verdict:
        """Run tests and checks on TREE, which is what lies on disk; one judged already is run AGAIN only on demand."""
        key = (repr((task.runner, task.checks, task.files, task.skip_tests)), tree)
        if not again and key in self.judged:
            return self.record_verdict(self.judged[key], task, tree, "")
        verdict = NOT_TESTED if task.skip_tests else self.test_confirmed(task, tree)
        self.judged[key] = verdict = self.judge_checks(task, tree, verdict)
        return verdict

    def judge_checks(self, task: Task, tree: str, verdict: Verdict) -> Verdict:
        """Run the checks of a task whose tests are green."""
        for command in task.checks:
            verdict = self.check(task, command, tree, verdict) if verdict.green else verdict
        return verdict

    def test_confirmed(self, task: Task, tree: str) -> Verdict:
        """Run the tests; green ones `[guard] confirm` times more before they are believed."""
        verdict = self.test(task, tree)
        for _ in range(self.config.guard.confirm):
            if verdict.green:
                verdict = self.test(task, tree)
                if not verdict.green:
                    verdict = replace(verdict, why="the tests were green, then red on the same files: they are flaky")
        return verdict

    def check(self, task: Task, command: str, tree: str, verdict: Verdict) -> Verdict:
        """Run a command that must pass once the tests do; where it fails, what it says makes their VERDICT red."""
        self.reporter.emit("check", command=command)
        before = self.workspace.snapshots.take()
        env, limit = test_environment(task.runner, ""), (task.runner.timeout, "[runner] timeout")
        with self.workspace.snapshots.sealed():
            done = run_shell(self.config.root, command, task.files, env, limit, self.reporter.on_beat)
        self.workspace.warn_rewritten(before, command)
        if not (done.code or done.cut):
            return verdict
        output = self.reporter.mask(done.output)
        file = self.reporter.write("check.txt", output).name
        if done.code in (126, 127):
            raise NotReady(
                f"checks: '{command}': {' '.join(output.split())[-200:]}. Install it, or correct the command."
            )
        failure = load_beside("_failures").read_failure(output, self.config.root, self.config.defaults.error_tail_lines)
        why = f"the check '{command}' {done.end}"
        told = (line.strip() for line in failure.excerpt.splitlines() if " " in line.strip())  # not a path alone
        summary = f"{why}: {next(told, failure.summary)}"
        said = replace(failure, tests=(), summary=summary, excerpt=f"{why}:\n{failure.excerpt}")
        red = replace(verdict, green=False, failure=said, check=command)
        return self.record_verdict(red, task, tree, file)

    def judge_now(self, task: Task) -> Verdict:
        """Judge what lies on disk."""
        return self.judge(task, self.workspace.snapshots.take())

    def test(self, task: Task, tree: str) -> Verdict:
        """Run the tests once; once more on the right ones where protected files changed meanwhile.

        What changes them again is the code that they run, and vetoes a green; what does not is the user, and is kept.
        """
        snapshots = self.workspace.snapshots
        verdict = self.run_once(task, tree)
        changed = self.protected_changes(task, tree)
        if not changed:
            return verdict
        seen = snapshots.take()
        snapshots.restore(seen, tree, changed)
        verdict, again = self.run_once(task, tree), self.protected_changes(task, tree)
        if again:
            snapshots.restore(snapshots.take(), tree, again)
            return verdict.vetoed(f"the tests are changed by what they run: {', '.join(again)}")
        snapshots.restore(tree, seen, changed)
        self.workspace.warn(f"changed while the tests ran, and not used for the verdict: {', '.join(changed)}")
        return verdict

    def run_once(self, task: Task, tree: str) -> Verdict:
        """Run the tests, and record it; a task without a name is the whole suite."""
        command = shlex.join(test_argv(task.runner, self.config.root))
        self.reporter.emit("testing", name=task.name, command=command)
        with self.workspace.snapshots.sealed():
            verdict = run_tests(self.config, task.runner, self.reporter)
        self.workspace.note_collected(verdict.report if self.pristine else None)
        return self.record_verdict(verdict, task, tree, self.reporter.path("tests.txt").name)

    def record_verdict(self, verdict: Verdict, task: Task, tree: str, output: str) -> Verdict:
        """Record a verdict, with the file of its OUTPUT; return it."""
        self.reporter.emit("tested", name=task.name, tree=tree, output=output, **verdict_facts(verdict))
        return verdict

    def protected_changes(self, task: Task, tree: str) -> list[str]:
        """Return the protected files that differ from TREE; learn first what the tests write by themselves."""
        snapshots, rules = self.workspace.snapshots, self.workspace.rules_of(task)
        sides = snapshots.differences(tree, snapshots.take())
        code = rx("|".join(table("_guard.txt")["shared"]["code"]))
        if self.pristine:  # no leaner ran yet: whatever differs, the tests wrote
            self.products |= {*sides}
        self.products |= {path for path, (was, _) in sides.items() if was[0] == GONE and not code.search(path)}
        judges = {path for path in {*sides} - self.products if rules.protects(path)}
        return sorted(judges | {*self.workspace.stand_in_place(rules, tree, sides)})

    def trace(self, task: Task, verdict: Verdict) -> tuple[Trace, ...]:
        """Give what the failing test's file runs, traced once for a red verdict; nothing where it is not worth it."""
        if verdict not in self.traced:
            files = [] if verdict.check else self.traceable_files(task, verdict.failure)
            slow = self.config.defaults.trace == "auto" and bool(files) and verdict.seconds_of(files[0]) > QUICK
            self.traced[verdict] = ()
            if files and not slow:
                with self.workspace.snapshots.sealed():
                    traced = load_beside("_tracing").trace_tests(self.config, task.runner, files, self.reporter)
                    self.traced[verdict] = traced
        return self.traced[verdict]

    def traceable_files(self, task: Task, failure: Failure) -> list[str]:
        """Find the files of the first failing test that can be traced: by its name, else by frames and title."""
        names_nothing = not failure.tests and not failure.frames
        if names_nothing or self.config.defaults.trace == "off" or is_self_explanatory(failure, self.config.defaults):
            return []

        def traceable(paths: Iterable[str]) -> list[str]:
            return [path for path in paths if path.endswith(TRACED) and (self.config.root / path).is_file()]

        name = "".join(failure.tests[:1])
        passed = [path for path in dict.fromkeys(frame.path for frame in failure.frames) if Path(path).stem in name]
        tests = [re.split("::| > ", name)[0], *(path for path in passed if is_test(path, self.config.defaults))]
        return traceable(dict.fromkeys(tests)) or traceable(self.locate(task, failure).test_files)

    def locate(
        self, task: Task, failure: Failure | None, prompt: str = "none", budget: int = 0, traces: Sequence[Trace] = ()
    ) -> Located:
        """Find the code for a PROMPT of TASK; the words that are looked for hold no secret."""
        words = replace(task, prompt=self.reporter.mask(task.prompt))
        request = location_request(self.config.root, self.config.defaults, words, failure, prompt, budget, traces)
        return locate_code(request, self.reporter)


# -------------------------------------------------------------------------------------------------------- the loop

OWN_END = 10  # seconds that a leaner which keeps its time limit by itself has for its end


@record
class Resumed:
    """What an earlier run left to go on with; a run that resumes none has an empty one.

    `green` holds the fingerprints of its green tasks, whose work may have been `stirred` since; `unfinished` that of
    the task which it did not end, with the `attempts` made, the paths that held edits of the user's own when it began
    (`dirty`), and those that leaners changed (`touched`); `spent` is what it used of the limits.
    """

    green: tuple[str, ...] = ()
    stirred: bool = False
    unfinished: str = ""
    attempts: int = 0
    dirty: frozenset[str] = frozenset()
    touched: frozenset[str] = frozenset()
    spent: Document = field(factory=dict)


@record
class Question:
    """A prompt, whom it is put to, and the state that each answer to it starts from; `fresh` as in `Attempt`."""

    leaner: Leaner
    base: str
    fresh: bool
    prompt: str
    diagnosis: str


class TaskStopped(Exception):
    """A task cannot go on, though nothing is broken: a limit was reached, or the leaner does nothing."""


def run_task(run: Run, task: Task, start: str) -> Result:
    """Bring the tests of TASK to green: ask once, then let what they report be fixed until they pass."""
    state = run.begin_task(task, start)
    if decided := decide_before(run.config, state):
        return decided
    try:
        while state.goes_on:
            question = run.next_question(state)
            # leaving early closes the generator, which ends the answers that are still being written
            with contextlib.closing(run.answers(state, question)) as answers:
                for sample, call in enumerate(answers, 1):
                    run.judge_call(state, question, sample, call)
                    if state.has_drawn_enough:
                        break
        reason = state.why_ended_red
    except TaskStopped as stopped:
        reason = str(stopped)
    if reason:
        run.apply_on_fail(state)
    elif task.after:
        reason = load_beside("_after").run_commands(run, task)
    return conclude_task(run, state, reason)


def drawing(leaner: Leaner) -> Iterator[Leaner]:
    """Give LEANER once for each answer that a prompt is to have: after the first one at the heat for samples."""
    further = leaner if leaner.sample_temperature is None else replace(leaner, temperature=leaner.sample_temperature)
    return chain([leaner], repeat(further, leaner.samples - 1))


def decide_before(config: Config, state: TaskState) -> Result | None:
    """End a task before its first call where the tests say all: green already, or no test that anybody may write."""
    before, guard = state.before, config.guard
    if before and before.green and config.taskless:
        return Result(state.task, "green", (), before, "the tests were green already")
    listed = any(is_test(path, config.defaults) for path in state.task.files)
    none_may_come = guard.protect_tests and not (guard.allow or listed)
    if before and before.why.startswith(NO_TEST) and none_may_come:
        return Result(state.task, "red", (), before, before.why)
    return None


def conclude_task(run: Run, state: TaskState, reason: str) -> Result:
    """Say how a task ended, and what is doubtful of a green."""
    task = state.task
    ended = "red" if reason else "untested" if task.skip_tests else "green"
    change = compare(state.before, state.attempts[-1].verdict) if state.attempts else Change()
    doubts = green_warnings(run.snapshots, run.workspace.rules_of(task), state)
    change = replace(change, warnings=(*change.warnings, *doubts) if ended == "green" else ())
    return Result(task, ended, tuple(state.attempts), state.before, reason.strip(" ."), change)


def why_ended(done: Completed, errors: str, answer: str, leaner: Leaner) -> str:
    """Say why a leaner did not succeed: lean-loop's own reason, else its last words."""
    if done.cut:
        settings = {
            "time limit": f"; [lean] timeout = {leaner.timeout:g}",
            "silence": f"; [lean] idle = {leaner.idle:g}",
        }
        return f"it {done.end}{settings.get(done.cut, '')}"
    if not done.code:
        return ""
    if number := signal_of(done.code):
        return f"it was ended by signal {number} ({signal_name(number)})"
    words = " ".join((errors or answer)[-2000:].rsplit("\n", 3)[-3:])[-600:]
    return words.removeprefix(f"{leaner.name}: ") or f"it {done.end}"


def one_sentence(text: str) -> str:
    """Keep the first paragraph of a diagnosis, at most 400 characters of it."""
    return re.split(r"\n\s*\n", text.strip())[0].replace("\n", " ")[:400]


def uncommitted(snapshots: Snapshots, paths: Sequence[str]) -> str:
    """Show what is not committed in PATHS; empty without a repository or a commit."""
    wanted = [path for path in paths if not PurePosixPath(path).name.startswith(".env")]
    if not wanted:
        return ""
    style = ("--no-color", "--no-ext-diff", "--no-textconv", "--relative")
    return encodable(ask_git(snapshots.root, "diff", "HEAD", *style, "--", *wanted, places=snapshots.copy_index()))


@state
class Run:
    """One run over one leanfile: asks leaners, has their work judged, and goes on until the tests pass.

    `spent` holds what the runs that this one resumes have used of the limits; `ready` whose server was found to be so,
    and not called since; `servers` what each told of itself, by base_url and model; those that failed are `left_out`.
    """

    config: Config
    workspace: Workspace
    verifier: Verifier
    reporter: Reporter
    calls: list[Call] = field(factory=list)
    begun: float = field(factory=time.monotonic)
    spent: Document = field(factory=dict)
    ready: tuple[str, ...] = ()
    left_out: set[str] = field(factory=set)
    servers: dict[tuple[str, str], Document] = field(factory=dict)

    @property
    def snapshots(self) -> Snapshots:
        return self.workspace.snapshots

    def begin(self, called: str, resumed: Resumed = Resumed(), tasks: Sequence[str] = ()) -> None:  # noqa: B008
        """Record what this run begins with, that of the run which it resumes too."""
        self.spent = resumed.spent
        self.begun -= self.spent.get("seconds", 0)
        self.reporter.emit(
            "run",
            id=self.reporter.folder.name,
            tree=self.snapshots.take(),
            leanfile=called,
            file=str(self.config.path.resolve()),
            root=str(self.config.root),
            leaner=self.config.lean.name if tasks else "",
            model=load_beside("_servers").model_at_once(self) if tasks else "",
            tasks=tasks,
            pricing=self.config.pricing,
            green=resumed.green,
            spent=self.spent,
        )
        if tasks:
            load_beside("_sandbox").warn_of_bare(self.workspace)

    def begin_task(self, task: Task, start: str) -> TaskState:
        """Run the task's tests on the tree that it STARTs from: what fails goes into the first prompt."""
        proves = self.config.guard.baseline and not task.skip_tests
        before = self.verifier.judge(task, start) if proves else None
        others = frozenset[str]()
        if before and before.report:
            others = load_beside("_concern").strangers(self.config, task, before)
        if others:
            names = ", ".join(sorted(others)[:5])
            self.workspace.warn(f"red before this task, which is not about them (test_files narrows): {names}")
        return TaskState(task, start, before, others=others)

    def choose_leaner(self, state: TaskState) -> Leaner:
        """Choose who is asked next: as `[[escalate]]` says, or the next one where drawing brought nothing."""
        leaners = (self.config.lean, *self.config.escalate)
        due = [place for place, item in enumerate(self.config.escalate, 1) if state.rounds >= item.after]
        state.stage = max([state.stage + state.is_spent, *due])
        return leaners[min(state.stage, len(leaners) - 1)]

    def check_limits(self) -> None:
        """Stop where a limit of the whole run is reached."""
        usage = sum((call.usage for call in self.calls), Usage(**self.spent.get("usage", {})))
        spent = {
            "minutes": (time.monotonic() - self.begun) / 60,
            "tokens": usage.input_tokens + usage.output_tokens,
            "calls": len(self.calls) + self.spent.get("calls", 0),
        }
        for name, used in spent.items():
            limit = getattr(self.config.limits, name)
            if limit and used >= limit:
                raise TaskStopped(f"the limit of {limit:g} {name} is reached: raise [limits] {name} to go on")

    def seconds_left(self) -> float:
        """Tell for how long `[limits] minutes` lets the run go on."""
        spent = time.monotonic() - self.begun
        return max(0.01, self.config.limits.minutes * 60 - spent) if self.config.limits.minutes else float("inf")

    # Asking

    def answers(self, state: TaskState, question: Question) -> Generator[Call, None, None]:
        """Give the calls that answer a question, each made from its base; where there is room, written side by side."""
        rooms = self.rooms(question.leaner)
        if sum(rooms.values()) > 1:
            yield from load_beside("_drafts").answers(self, state, question, rooms)
            return
        for leaner in drawing(question.leaner):
            self.go_to(state, question.base)
            yield self.ask_retrying_empty(state, leaner, question.prompt)

    def rooms(self, leaner: Leaner) -> dict[str, int]:
        """Tell how many answers to a prompt each server may write at the same time, where there may be several."""
        alone = leaner.parallel == 1 == len(leaner.servers)
        if leaner.samples == 1 or alone or not find_program(leaner).drafts:
            return {}
        found: dict[str, int] = load_beside("_servers").rooms(self, leaner)
        return found

    def ask_retrying_empty(self, state: TaskState, leaner: Leaner, prompt: str) -> Call:
        """Ask for an edit, and once more where a call that claims success said nothing and changed nothing."""
        for _ in range(2):
            call = self.ask(state.task, leaner, prompt, "edit", state.start)
            if call.code or call.answer or call.put_back or call.before != call.after:
                return call
        raise TaskStopped(f"{call.leaner} printed nothing and changed nothing, twice")

    def ask(self, task: Task, leaner: Leaner, prompt: str, mode: str, start: str = "") -> Call:
        """Ask LEANER once; a call that was only to answer, or failed for its set-up, leaves the project as it was.

        START is the tree that the task began from.
        """
        return self.answered(self.call_with_retry(task, leaner, prompt, mode, start), mode)

    def answered(self, call: Call, mode: str) -> Call:
        """Record a call that was answered."""
        facts = {name: getattr(call, name) for name in CALL_FACTS}
        self.reporter.emit("answered", mode=mode, **facts, answer=self.reporter.path("answer.txt").name)
        if call.code == MISUSE:
            raise NotReady(f"{call.leaner}: {call.reason}")
        return call

    def call_with_retry(self, task: Task, leaner: Leaner, prompt: str, mode: str, start: str) -> Call:
        """Call LEANER until its server is well; trouble of the server is waited for, and is no attempt."""
        program, deadline = find_program(leaner), 0.0
        while True:
            self.check_limits()
            here = self.wait_for(leaner)
            call = self.call(task, here, prompt, mode, start)
            if call.code != SERVER_TROUBLE:
                break
            self.reporter.emit("trouble", leaner=program.name, model=call.model, reason=call.reason, usage=call.usage)
            if load_beside("_servers").goes_on_elsewhere(self, here, call.reason):
                continue
            deadline = deadline or time.monotonic() + self.config.health.max_wait  # a call may have taken longer
            if time.monotonic() >= deadline:
                raise NotReady(
                    f"{program.name}: {call.reason.rstrip('.')}. Try again when it is well, or raise [health] max_wait."
                )
            self.ready = ()
            time.sleep(2)
        if not program.own_check or self.config.health.check_url is not None:
            self.ready = ()  # what checks by itself is not looked at again before it tells of trouble
        return call

    def wait_for(self, leaner: Leaner) -> Leaner:
        """Wait until a server of the leaner is ready, once before each call; give the leaner with that one."""
        found: Leaner = load_beside("_servers").ready_one(self, leaner)
        return found

    def call(self, task: Task, leaner: Leaner, prompt: str, mode: str, start: str, draft: str = "") -> Call:
        """Run a leaner between two snapshots, with an answer that was drafted or none; settle what it changed."""
        prompt, program = encodable(self.reporter.mask(prompt)).replace("\0", ""), find_program(leaner)
        file = self.reporter.write("prompt.md", prompt)
        self.snapshots.repository.keep()
        before, known, begun = self.snapshots.take(), {*self.snapshots.unheld}, time.time()
        self.workspace.note_rights(program, task)
        size = tokens(prompt)
        self.reporter.emit("asking", leaner=program.name, mode=mode, tokens=size, prompt=file.name, tree=before)
        with self.workspace.scratch() as scratch:
            used = scratch / USAGE_FILE
            try:
                env = self.variables(task, leaner, mode, file, scratch) | ({"LEAN_DRAFT": draft} if draft else {})
                done = self.run_leaner(leaner, program, prompt, env, scratch)
                stays = mode == "edit" and done.code != MISUSE
                settled = self.workspace.settle(before, task, start or before, known, begun, program, used, stays)
            except BaseException:
                self.workspace.undo_call(before)
                raise
            finally:
                said = self.words_of_model(scratch)
            answer, errors = self.read_answer(done, said, program)
            usage, model = read_usage(used, program, leaner.model, prompt, answer)
        self.verifier.pristine = False
        call = Call(
            leaner=program.name,
            model=model,
            answer=answer,
            code=done.code,
            reason=why_ended(done, errors, answer, leaner),
            usage=usage,
            seconds=done.seconds,
            **vars(settled),
        )
        self.calls.append(call)
        return call

    def read_answer(self, done: Completed, said: str, program: Program) -> tuple[str, str]:
        """Return what a leaner answered and its errors, both masked and on record, beside what its model SAID."""
        answer = self.reporter.mask(done.output).strip()
        errors = self.reporter.mask(rx(r"^progress: .*\n?").sub("", done.errors)).strip()
        self.reporter.write("answer.txt", answer_record(said, program.name, answer, errors))
        self.workspace.pass_on(errors)
        return answer, errors

    def variables(self, task: Task, leaner: Leaner, mode: str, prompt: Path, scratch: Path) -> dict[str, str]:
        """Make a leaner's environment."""
        brief = read_text(prompt).startswith(self.config.prompts.summary)
        return {
            **clean_environment(),
            **leaner_variables(leaner),
            "LEAN_MODE": mode,
            "LEAN_FILES": "\n".join(task.files),
            "LEAN_PROTECT": "\n".join(self.workspace.rules_of(task).patterns),
            "LEAN_PROMPT_FILE": str(prompt),
            "LEAN_USAGE_FILE": str(scratch / USAGE_FILE),
            "LEAN_ANSWER_FILE": str(scratch / ANSWER_FILE),
            "LEAN_PROGRESS": "1",
            "LEAN_LIB": str(share() / "leaners" / "_lib.bash"),
            **({"LEAN_BRIEF": "1"} if brief else {}),
        }

    def words_of_model(self, scratch: Path) -> str:
        """Put on record, masked, what the model said, as the leaner may have written it down."""
        with contextlib.suppress(OSError):
            words = self.reporter.mask(readable(read_regular(scratch / ANSWER_FILE))).strip()
            self.reporter.write("answer.txt", f"{words}\n")
            return words
        return ""

    def run_leaner(
        self, leaner: Leaner, program: Program, prompt: str, env: Mapping[str, str], scratch: Path
    ) -> Completed:
        """Run a leaner, in a sandbox where there is one."""
        if len(prompt.encode()) >= ARGUMENT_LIMIT:
            prompt = f"Read the file {env['LEAN_PROMPT_FILE']} and do what it says."
        argv = [*program.argv(), "-p", prompt]
        if self.config.guard.sandbox == "auto" and program.writes is not None:
            argv = load_beside("_sandbox").enclose(argv, program.writes, env, scratch, self.workspace)
        limits: Document = {"timeout": leaner.timeout, "idle": leaner.idle}
        if program.own_idle:  # it keeps the limits by itself, and says what it was waiting for
            limits = {"timeout": leaner.timeout + OWN_END}
        left = self.seconds_left()
        limits["timeout"] = min(limits["timeout"], left)
        told: Document = {"on_beat": self.reporter.on_beat, "on_lines": self.reporter.on_lines}
        try:
            with self.snapshots.sealed():
                done = run_process(argv, self.config.root, env=env, apart=True, **limits, **told)
        except OSError as error:
            raise start_error(argv[-3], "[lean] binary", error) from None
        return replace(done, cut="[limits] minutes") if done.cut and done.seconds >= left else done

    # Writing prompts

    def context(self, task: Task, leaner: Leaner) -> int:
        """Tokens of the model's context: as set, as the server tells, else 8,192."""
        if known := task.context_tokens or leaner.context_tokens:
            return known
        key = leaner.base_url, leaner.model
        if key not in self.servers:
            self.servers[key] = {}
            with contextlib.suppress(NotReady):
                self.servers[key] = load_beside("_servers").probe(leaner)[0] if leaner.base_url else {}
        return self.servers[key].get("context") or 8192

    def budget(self, task: Task, leaner: Leaner) -> int:
        """Tokens that a prompt may have: what the context leaves beside the answer, and no more than is read well."""
        return min(self.context(task, leaner) * 6 // 10, LARGEST_PROMPT)

    def builder(self, task: Task, leaner: Leaner, prompt: str = "first", red: Verdict | None = None) -> PromptBuilder:
        """Gather what a PROMPT ("first" or "fix") of TASK for LEANER draws on, once its tests are RED."""
        budget, failure = self.budget(task, leaner), red.failure if red and not red.green else None
        traces = self.verifier.trace(task, red) if red and failure else ()
        found = self.verifier.locate(task, failure, prompt, budget, traces)
        return PromptBuilder(self.config.defaults, task, budget, find_program(leaner).own_files, found)

    def next_question(self, state: TaskState) -> Question:
        """Choose who is asked next and from which state, bring that back, and write the prompt."""
        stage, leaner = state.stage, self.choose_leaner(state)
        base, fresh = next_base(state, self.config.defaults.restart_after, state.stage != stage)
        self.go_to(state, base)
        leaner = self.wait_for(leaner)
        anew = fresh and base == state.start
        prompt, diagnosis = (self.first(state, leaner), "") if anew else self.fix(state, leaner, base)
        return Question(leaner, base, fresh, prompt, diagnosis)

    def first(self, state: TaskState, leaner: Leaner) -> str:
        """Write the prompt of a fresh start; it tells of the attempts before."""
        task, red = state.task, state.before
        named = {frame.path for frame in red.failure.frames} if red else set[str]()
        diff = uncommitted(self.snapshots, sorted(named - set(task.files)))
        return first_prompt(self.builder(task, leaner, "first", red), red, diff, state.attempts)

    def fix(self, state: TaskState, leaner: Leaner, base: str) -> tuple[str, str]:
        """Ask for a diagnosis, where that is set; write the prompt of a fix of the attempt that reached BASE."""
        task, attempts = state.task, sorted(state.attempts, key=lambda attempt: attempt.tree == base)
        last = attempts[-1]
        builder = self.builder(task, leaner, "fix", last.verdict)
        diagnosis = last.diagnosis  # holds while nothing changes
        asker = self.config.diagnose or leaner
        if (self.config.diagnose or self.config.defaults.summarize_errors) and (last.changed or not diagnosis):
            request = diagnosis_prompt(builder, last.verdict.failure, self.config.prompts.summary)
            diagnosis = one_sentence(self.ask(task, asker, request, "ask", state.start).answer)
        diff = self.snapshots.diff(state.start, last.tree, "-U1", only=sorted(touched(state.attempts)))
        return fix_prompt(builder, attempts, diagnosis, diff, state.attempts[-1].note), diagnosis

    # Judging

    def judge_call(self, state: TaskState, question: Question, sample: int, call: Call) -> None:
        """Judge what a call left, and record it as an attempt of the task."""
        changed = self.snapshots.changed(call.before, call.after)
        if changed and signal_of(call.code):
            self.workspace.warn(f"{call.leaner}: {call.reason}; what it had changed by then was judged")
        idle = not (question.fresh or sample > 1 or changed or state.attempts[-1].changed)
        verdict = self.verdict(state, call, again=idle)
        by = f"{call.leaner} {question.leaner.model}".strip() if self.config.escalate else call.leaner
        state.add(by, question, sample, call, changed, verdict)
        self.record_attempt(state.attempts[-1], call.before, len(state.attempts))
        if idle and verdict.green and not state.task.skip_tests:
            raise TaskStopped("flaky, not fixed: the tests turned green although nothing changed")

    def verdict(self, state: TaskState, call: Call, again: bool) -> Verdict:
        """Judge the tree that a call left; veto a green that the run before it contradicts, or what resists."""
        task = state.task
        verdict = self.verifier.judge(task, call.after, again)
        if state.others and (alone := load_beside("_concern").judged_alone(verdict, state.before, state.others)).green:
            verdict = self.verifier.judge_checks(task, call.after, alone)
        veto = f"protected files could not be put back: {call.resists}" if call.resists else ""
        change, rules = compare(state.before, verdict), self.workspace.rules_of(task)
        lost = [name for name in change.lost if not rules.may_drop(name)]
        vanished = f"green before, and skipped or vanished now: {', '.join(lost[:5])}"
        veto = veto or change.veto or (f"{vanished} (to allow that, list the test file in files)" if lost else "")
        if verdict.green and veto:
            self.workspace.warn(veto)
            return verdict.vetoed(veto)
        return verdict

    def record_attempt(self, attempt: Attempt, before: str, number: int) -> None:
        """Record an attempt and its diff."""
        changed, text = self.snapshots.counted_diff(before, attempt.tree)
        self.reporter.emit(
            "attempt",
            number=number,
            leaner=attempt.leaner,
            tree=attempt.tree,
            round=attempt.round,
            how=attempt.how,
            diagnosis=attempt.diagnosis,
            note=attempt.note,
            failing=len(attempt.verdict.failing) + attempt.rank[0],
            green=attempt.verdict.green,
            changed=changed,
            diff=self.reporter.write("diff.txt", text).name,
        )

    # The state to go on from

    def go_to(self, state: TaskState, tree: str) -> None:
        """Put the tree of a task to an earlier state of it; only what leaners changed is touched."""
        if paths := touched(state.attempts) & set(self.snapshots.changed(state.here or tree, tree)):
            name = "the state before the task" if tree == state.start else "the best attempt"
            self.workspace.bring_back(state.here, tree, paths, name)
        state.here = tree

    def apply_on_fail(self, state: TaskState) -> None:
        """Leave the tree of a red task as `on_fail` says."""
        if not state.attempts:
            return
        states = [(attempt.rank, attempt.tree) for attempt in reversed(state.attempts)]
        if state.before:
            states.append((state.start_rank, state.start))
        best = min(states, key=lambda item: item[0])[1]
        wanted = {"best": best, "keep": state.attempts[-1].tree, "restore": state.start}
        self.go_to(state, wanted[self.config.guard.on_fail])


def note_on(call: Call) -> str:
    """Say in the next prompt what was wrong with a call: what was put back, and why its answer could not be used."""
    notes = []
    if call.put_back:
        notes.append(f"The last answer changed what it may not, which was undone: {', '.join(call.put_back[:5])}.")
    if signal_of(call.code):
        notes.append(f"The last call was cut: {call.reason}.")
    elif call.code:
        notes.append(f"The last answer could not be used: {call.reason}")
    return " ".join(notes)


def task_fingerprint(task: Task) -> str:
    """Identify a task by what its result depends on: not by other tasks, nor by how long or how often it may try."""
    same = replace(task, depends_on=(), max_iters=0, runner=replace(task.runner, timeout=1))
    return digest(repr(same).encode("utf-8", "surrogateescape"))[:16]


def run_recorded(run: Run, task: Task, facts: Document, resumed: Resumed) -> Result:
    """Run a task, and record how it began and ended, with FACTS to name it; what a run that is resumed tried counts."""
    start, commits, fingerprint = run.snapshots.take(), run.config.defaults.commit, task_fingerprint(task)
    earlier = resumed if resumed.unfinished == fingerprint else Resumed()
    dirty = earlier.dirty
    if commits and not earlier.unfinished:
        dirty = frozenset(run.snapshots.uncommitted())
    run.reporter.emit("task", **facts, tree=start, digest=fingerprint, dirty=sorted(dirty))
    run.workspace.warn_uncovered()
    result = run_task(run, replace(task, max_iters=max(0, task.max_iters - earlier.attempts)), start)
    if commits and result.state == "green":
        load_beside("_after").commit_task(run, task.name, touched(result.attempts) | earlier.touched, dirty)
    tree = run.snapshots.take()
    run.workspace.warn_uncovered()
    changed, paths = run.snapshots.counted_diff(start, tree)[0], set[str]()
    if not result.ok and run.config.defaults.on_red == "continue":
        paths = touched(result.attempts) & {*run.snapshots.changed(tree, start)}
    left: Document = {"left_out": bool(paths), "paths": sorted(paths)}
    run.reporter.emit("result", **facts, **result_facts(result), tree=tree, changed=changed, **left)
    if paths:
        run.workspace.bring_back(tree, start, paths, f"the state before {task.name}, which stayed red")
    return result


def result_facts(result: Result) -> Document:
    """Say what the record holds of a task's end."""
    change = result.change
    return {
        "state": result.state,
        "reason": result.reason,
        "attempts": len(result.attempts),
        "red_to_green": len(change.fixed),
        "fixed": change.fixed[:50],
        "kept": change.kept,
        "broke": change.broke,
        "warnings": change.warnings,
    }


def choose(config: Config, options: argparse.Namespace) -> tuple[Task, ...]:
    """Choose the tasks that `--task` and `--tasks` name; all where they name none."""
    known = [task.name for task in config.tasks]
    for name in options.task:
        if name not in known:
            raise LeanError(f"--task: {config.path} has no task '{name}'. It has: {', '.join(known)}.")
    wanted = {known.index(name) + 1 for name in options.task}
    for part in chain(*(text.split(",") for text in options.tasks)):
        wanted |= {*numbers_in(part.strip(), len(known))}
    return tuple(task for number, task in enumerate(config.tasks, 1) if not wanted or number in wanted)


def numbers_in(part: str, most: int) -> range:
    """Read a number of a task or a range of them, such as 4, 2-5, 3- or -2, of MOST tasks."""
    first, dash, last = part.partition("-")
    if re.fullmatch(r"\d{1,9}|\d{0,9}-\d{0,9}", part):
        found = range(int(first or 1), int((last or most) if dash else first) + 1)
        if found and found[0] > 0 and found[-1] <= most:
            return found
    raise LeanError(f"--tasks: '{part}' is no number of a task and no range of them. They go from 1 to {most}.")


def whole_suite(config: Config) -> Task:
    """Make the task that runs the plain [runner]; it has no name."""
    return Task(runner=insert_test_files(config.runner, ()))


def judge_whole_suite(run: Run, tasks: Sequence[Task]) -> Verdict | None:
    """Judge the plain [runner] before the first task, where the tasks' own tests are narrower."""
    config, whole = run.config, whole_suite(run.config)
    if config.taskless or not config.guard.baseline or all(task.runner == whole.runner for task in tasks):
        return None
    return run.verifier.judge_now(whole)


def broken_since(run: Run, results: Sequence[Result], before: Verdict | None) -> str:
    """Run the plain [runner] once more; name what was green before the run, or in a task, and is red or lost now."""
    if before is None:
        return ""
    after = run.verifier.judge_now(whole_suite(run.config))
    was_red = {name for result in results if result.before for name in result.before.failing}
    still_red = {name for result in results for attempt in result.attempts[-1:] for name in attempt.verdict.failing}
    change = compare(before, after)
    lost = [f"{name} (lost)" for name in lost_tests(run.config, results, before, after)]
    broken = {*change.broke, *lost, *((was_red - still_red) & {*after.failing})}
    if broken or after.green or not before.green:
        return ", ".join(sorted(broken)) or change.veto
    return after.why or "the suite"


def lost_tests(config: Config, results: Sequence[Result], before: Verdict, after: Verdict) -> list[str]:
    """Name the tests that passed, did not run again, and that no task may drop; without reports their number."""
    tasks = [result.task for result in results]
    if before.report and after.report:
        rules = [ChangeRules(config, task) for task in tasks]
        lost = lost_names(before.report, after.report)
        return [name for name in lost if not any(rule.may_drop(name) for rule in rules)]
    fewer = (before.passed or 0) - (after.passed or 0)
    listed = any(is_test(path, config.defaults) for task in tasks for path in task.files)
    return [f"{fewer} of those that passed"] if fewer > 0 and config.guard.protect_tests and not listed else []


def run_tasks(run: Run, tasks: Sequence[Task], resumed: Resumed) -> tuple[int, str]:
    """Run tasks; return the exit code, and what of the whole suite is worse than before.

    The first that is not green ends it, or those that depend on it are left out, as `on_red` says.
    """
    results, whole, missing = list[Result](), judge_whole_suite(run, tasks), dict[str, str]()
    for number, task in enumerate(tasks, 1):
        facts: Document = {"number": number, "total": len(tasks), "name": task.name}
        if is_done(run, task, resumed):
            run.reporter.emit("skipped", **facts)
        elif reason := why_omitted(run, task, missing):
            run.reporter.emit("omitted", **facts, reason=reason)
            missing[task.name] = "was not run"
        else:
            results.append(run_recorded(run, task, facts, resumed))
            if not results[-1].ok:
                missing[task.name] = "is red"
                if run.config.defaults.on_red == "stop":
                    return RED, ""
    broken = broken_since(run, [result for result in results if result.ok], whole)
    return RED if broken or missing else GREEN, broken


def is_done(run: Run, task: Task, resumed: Resumed) -> bool:
    """Tell whether a task was green in the run that is RESUMED, and still is where its work was stirred since."""
    if task_fingerprint(task) not in resumed.green:
        return False
    return not resumed.stirred or (not task.skip_tests and run.verifier.judge_now(task).green)


def why_omitted(run: Run, task: Task, missing: Mapping[str, str]) -> str:
    """Say why a task is not run after some are MISSING: it depends on one of them, or a limit is reached."""
    for name in task.depends_on:
        if name in missing:
            return f"it depends on {name}, which {missing[name]}"
    try:
        if missing:
            run.check_limits()
    except TaskStopped as stopped:
        return str(stopped)
    return ""


def run_config(config: Config, options: argparse.Namespace, shows: Shows) -> int:
    """Run the tasks of one leanfile in their order."""
    tasks = choose(config, options)
    for leaner in config.leaners:
        check_leaner(leaner)
    check_test_files(config, tasks)
    with recorded(config, shows) as run:
        resumed = load_beside("_earlier").resume(run) if options.resume else Resumed()
        run.begin(str(config.path), resumed, tasks=[task.name for task in tasks])
        code, error, broken = RED, "", ""
        try:
            code, broken = run_tasks(run, tasks, resumed)
        except (LeanError, Interrupted) as stopped:
            code, error = stopped.code, str(stopped)
        finally:
            run.reporter.outcome(code, error, broken)
    return code


# ------------------------------------------------------------------------------------------------- holding a project


def make_run_folder(folder: Path) -> Path:
    """Make the folder of a new run; names sort by time."""
    now = time.time()
    made = folder / "runs" / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now * 1000) % 1000:03d}"
    made.mkdir(mode=0o700, parents=True)
    return made


@contextlib.contextmanager
def locked(folder: Path, config: Config) -> Iterator[None]:
    """Hold the project for one run at a time; the system lets go of the lock when its holder dies."""
    with (folder / "lock").open("a+") as lock:
        try:
            lock_file(lock)
        except OSError:
            lock.seek(0)
            holder = load_beside("_processes").tell_holder(folder, lock.read().strip())
            raise Held(f"{config.root}: {holder}") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}, {config.path}")
        lock.flush()
        yield


def lock_file(lock: IO[str]) -> None:
    """Lock an open file; raises OSError where another process holds it."""
    if WINDOWS:
        import msvcrt

        lock.seek(1 << 20)  # Windows locks from the present place on, and what is locked cannot be read
        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_older(path: Path, moment: float) -> bool:
    """Tell whether a file was last touched before a moment; one that is gone counts as that."""
    with contextlib.suppress(OSError):
        return path.lstat().st_ctime <= moment
    return True


def make_run(config: Config, folder: Path, reporter: Reporter) -> Run:
    """Put together what a run works with; FOLDER holds what lean-loop keeps of the project."""
    sizes = config.guard.max_file, config.guard.max_ignored
    snapshots = load_beside("_snapshots").open_snapshots(config.root, folder, *sizes)
    workspace = load_beside("_workspace").Workspace(config, snapshots, reporter)
    return Run(config, workspace, Verifier(config, workspace, reporter), reporter)


@contextlib.contextmanager
def recorded(config: Config, shows: Shows) -> Iterator[Run]:
    """Hold the project and keep a record of what is done to it."""
    folder = project_folder(config.root)
    if not own_folder(*STATE):
        lies = f"the record lies in {folder}, where it may be cleaned up"
        shows.say(f"lean-loop: there is no home folder: {lies}.", shows.err)
    with locked(folder, config):
        reporter = Reporter(make_run_folder(folder), config, shows)
        repaired = load_beside("_earlier").put_repository_back(folder, reporter.path("repository"))
        run = make_run(config, folder, reporter)
        run.workspace.repaired = repaired
        try:
            yield run
        finally:
            reporter.display.close()
        load_beside("_earlier").forget(run.snapshots, config.guard.keep_runs)


# ------------------------------------------------------------------------------------------------------- reporting

# Names of our own, which --undo, --resume and --report need: of states, tasks, runs, and files in the record.
OWN_NAMES = {"tree", "before", "after", "commit", "digest", "green", "id", "run", "output", "prompt", "answer", "diff",
    "root", "file"}  # fmt: skip


# What a terminal would obey or not show, as a file's name may hold it; what is DRAWN has our inks.
UNSHOWN = re.compile(
    "(?!\r\n)[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\U000e0000-\U000e007f]"
)
DRAWN = re.compile(rf"(\r\x1b\[K|\x1b\[(?:0|3[1-3])m)|{UNSHOWN.pattern}")


@record
class Shows:
    """Where things are shown: the outcome on `out`, progress and errors on `err`; and what the command line asks."""

    out: IO[str]
    err: IO[str]
    quiet: bool = False
    verbose: bool = False
    json: bool = False

    def say(self, text: str, to: IO[str], end: str = "\n", drawn: bool = False) -> None:
        """Print a line, with inks if it is DRAWN; a reader that has gone away does not end the run."""
        text += end
        text = DRAWN.sub(lambda found: found[1] or "?", text) if drawn else UNSHOWN.sub("?", text)
        with contextlib.suppress(OSError, ValueError):
            to.write(text)
            to.flush()

    def fail(self, error: LeanError | Interrupted) -> None:
        """Say why the command ended without a run."""
        import json

        text = str(error).replace("\n", "\n  ")
        with contextlib.suppress(LeanError):
            text = load_beside("_keys").mask_error(text)
        self.say(f"lean-loop: {text}", self.err)
        if self.json:
            self.say(json.dumps({"event": "outcome", "code": error.code, "error": text}), self.out)


class Reporter:
    """Keeps a run's record in its folder; what is shown are the same events. No other place prints."""

    def __init__(self, folder: Path, config: Config, shows: Shows) -> None:
        self.folder, self.config, self.shows = folder, config, shows
        self.step, self.sessions = 0, set[int]()
        self.sessions_of = load_beside("_processes").new_sessions
        self.display = load_beside("_screen").Display(shows)
        self.events = list[str]()
        self.mask: Callable[[str], str] = load_beside("_keys").masker_of(config)

    def mask_all(self, value: Any) -> Any:
        """Mask every text in what JSON can hold, but for names of our own."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self.mask_all(item) for item in value]
        if isinstance(value, dict):
            return {name: item if name in OWN_NAMES else self.mask_all(item) for name, item in value.items()}
        return value

    def mask_file(self, path: Path) -> None:
        """Mask what came into the record."""
        load_beside("_keys").mask_record(path, self.folder, self.mask)

    def path(self, name: str) -> Path:
        """Name a file of the current step in the run's folder."""
        return self.folder / f"{self.step:03d}-{name}"

    def write(self, name: str, text: str) -> Path:
        """Write a file of the record, masked."""
        path = self.path(name)
        self.keep(path, self.mask(text))
        return path

    def keep(self, path: Path, text: str, mode: str = "wb") -> None:
        """Write into the run's folder. Raises NotReady where that is gone."""
        try:
            if mode == "wb":
                path.unlink(missing_ok=True)
            with open(path, mode, opener=lambda name, flags: os.open(name, flags | NO_WAIT | NO_LINK, 0o666)) as file:
                file.write(text.encode("utf-8", "replace"))
        except FileNotFoundError:
            raise NotReady(f"something removed the record of this run, {self.folder}; start lean-loop again") from None

    def emit(self, kind: str, **data: Any) -> None:
        """Record an event, each of its texts masked, and show it."""
        import json

        self.step += kind in ("task", "answered", "tested")
        event = json.loads(json.dumps({"event": kind, "time": round(time.time(), 3), **data}, default=vars))
        if words := self.display.words_of(event):
            event["shown"] = words
        masked = self.mask_all(event)
        line = json.dumps(masked)
        self.events.append(f"{line}\n")
        self.keep(self.folder / "events.jsonl", self.events[-1], "ab")
        self.display.show(masked)
        if self.shows.json:
            self.shows.say(line, self.shows.out)

    def on_beat(self, pid: int) -> None:
        """Note each session of processes at work, once; and that lean-loop lives."""
        for session, born in self.sessions_of(pid, self.sessions).items():
            self.sessions.add(session)
            self.emit("started", pid=session, born=born)
        os.utime(self.folder / "events.jsonl")

    def on_lines(self, raw: bytes) -> None:
        """Show what a program prints while it runs."""
        if self.shows.verbose or b"progress: " in raw:
            for line in self.mask(readable(raw)).splitlines():
                self.display.on_line(line)

    def outcome(self, code: int, error: str, broken: str) -> None:
        """End the run: write its report, run the user's command, record and show how it ended."""
        end = {"code": code, "error": self.mask(error), "broken": broken, "time": time.time()}
        if not (self.folder / "events.jsonl").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.keep(self.folder / "events.jsonl", "".join(self.events))
        for kept in filter(Path.is_dir, self.folder.iterdir()):
            self.mask_file(kept)
        with defer_signals():
            told = load_beside("_page").outcome(self.folder, end)
        self.keep(self.folder / "report.md", told["report"])
        with contextlib.suppress(Interrupted):
            load_beside("_after").notify(self, told)
        self.emit("outcome", **told["outcome"])
        self.display.finish(told)


# ------------------------------------------------------------------------------------------------ the command line


def usual_leanfile() -> Path:
    """Find leanfile.toml here, else in the nearest folder above that has one."""
    here = Path.cwd()
    found = (folder / LEANFILE for folder in (here, *here.parents) if (folder / LEANFILE).is_file())
    return Path(os.path.relpath(next(found, LEANFILE)))


def load_all(options: argparse.Namespace) -> list[Config]:
    """Load the leanfiles that are named, else leanfile.toml."""
    return [load(path, static_config(options.global_config)) for path in options.config]


def run_all(options: argparse.Namespace, shows: Shows) -> int:
    """Run the leanfiles one after the other; the first red one stops."""
    configs = load_beside("_earlier").load_tidied(options, shows)
    codes = (run_config(config, options, shows) for config in configs)
    return next(filter(None, codes), GREEN)


def print_version(options: argparse.Namespace, shows: Shows) -> str:
    """Tell the version and where the files lie."""
    places = {"configuration": static_config(options.global_config), "runs and states": state_folder()}
    return "\n".join([f"lean-loop {__version__} ({share()})", *(f"{what}: {path}" for what, path in places.items())])


Option = tuple[list[str], str, str, Document]


def option(names: str, told: str, verb: str = "", **how: Any) -> Option:
    """Make a row of OPTIONS: VERB is done in place of a run; HOW is what argparse is to know, nothing for a flag."""
    return names.split(), told, verb, how or {"action": "store_true"}


# fmt: off
OPTIONS = (
    option("-c --config", "the leanfile (leanfile.toml); may repeat: the first red one stops",
           action="append", type=Path, metavar="FILE"),
    option("-g --global-config", "the static configuration to use", metavar="FILE"),
    option("--resume", "go on after the tasks that were green in the leanfile's last run"),
    option("--restore", "bring back a state of a run, or some files of it: RUN is its name, a beginning of it, or last;"
           " STATE is 0 (before the run), N.M (attempt M of task N), N.0 (before task N), N (as it ended), found-N"
           " (with what was put back the N-th time); none: as the run ended",
           "_earlier.restore_state", nargs="+", metavar=("RUN[/STATE]", "PATH")),
    option("--undo", "bring back the state before a run, by default the last",
           "_earlier.restore_state", nargs="?", const="last", metavar="RUN"),
    option("--task", "run this task only; may repeat", action="append", default=[], metavar="NAME"),
    option("--tasks", "run these tasks only, by their numbers in the leanfile: 4,5,6 or 2-4 or 3-; may repeat",
           action="append", default=[], metavar="NUMBERS"),
    option("--init", "write a sample leanfile for this project (to standard output without FILE)",
           "_begin.write_sample", nargs="?", const="-", metavar="FILE"),
    option("--guide", "print what a cloud model needs to know to write leanfiles for this project",
           "_begin.print_guide"),
    option("--schema", "print the JSON Schema of leanfiles, for editors", "_begin.print_schema"),
    option("--check", "say of everything that a run needs whether it is ready", "_ready.check_all"),
    option("--smoke", "--check, and let the leaner do one small edit in a temporary project",
           "_ready.check_all"),
    option("--dry-run", "print each task's first prompt and its tokens; no leaner is called", "_ready.dry_run"),
    option("--ask", "ask the leaner about some files; nothing is changed",
           "_ready.ask_about", nargs="+", metavar=("QUESTION", "FILE")),
    option("--list-leaners", "list the leaners, mark the active one, and say which are ready",
           "_begin.list_leaners"),
    option("--set-leaner", "make NAME the active leaner in the static configuration",
           "_begin.set_leaner", metavar="NAME"),
    option("--demo", "watch a playground run on recorded answers, without a model",
           "_begin.demo", nargs="?", const="demo", metavar="NAME"),
    option("--quiet", "show the outcome and errors only"),
    option("--verbose", "show what the leaner and the tests print, as they do"),
    option("--json", "print every event as a JSON object a line, the outcome last"),
    option("--report", "print the story of a run, of the last one without RUN",
           "_earlier.show_report", nargs="?", const="last", metavar="RUN"),
    option("--html", "with --report: write it to FILE, one page for a browser", "_earlier.show_report", metavar="FILE"),
    option("--diff", "with --report: print all that the run changed", "_earlier.show_report"),
    option("--runs", "list the runs of this project, the newest first", "_earlier.list_runs"),
    option("--prune", "with --runs: remove runs that are too many, and what is kept of projects that are gone"),
    option("--stats", "figures over the project's kept runs, for each leaner and model", "_stats.show_stats"),
    option("--completion", "print a script that completes options in bash, zsh or fish",
           "_completion.print_script", metavar="SHELL"),
    option("--version", "tell the version and where the files lie", "leanloop.print_version"),
)
# fmt: on


class Parser(argparse.ArgumentParser):
    """Raises what argparse would print below its whole usage."""

    def error(self, message: str) -> NoReturn:
        raise LeanError(f"{message}. Look at lean-loop --help")


class Help(argparse.HelpFormatter):
    """As wide as the terminal, without the modules that argparse loads to ask for that."""

    def __init__(self, prog: str) -> None:
        width = 80
        with contextlib.suppress(OSError, ValueError):
            width = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
        super().__init__(prog, width=width - 2)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = Parser(
        "lean-loop",
        allow_abbrev=False,
        formatter_class=Help,
        description="Drive an agent through bite-sized tasks until the project's tests pass.",
        epilog="Exit codes: 0 green; 1 red; 2 command line or configuration; 3 not ready; 130, 143, 129 by a signal.",
    )
    for names, told, _, how in OPTIONS:
        made.add_argument(*names, help=told, **how)
    return made


def read_command_line(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; of a word that is not known, say what may have been meant."""
    known = [name for names, *_ in OPTIONS for name in names]
    options, others = parser().parse_known_args(argv)
    for word in others:
        if Path(word).suffix == ".toml" or Path(word).exists():
            raise LeanError(f"{word}: to run a leanfile, put -c before it: lean-loop -c {shlex.quote(word)}")
        raise LeanError(f"{word}: there is no such option{nearest('--' + word.lstrip('-'), known)}")
    return options


def dispatch(options: argparse.Namespace, shows: Shows) -> int:
    """Do the one thing that OPTIONS ask for; run the leanfiles where they ask for nothing else."""
    options.config = options.config or [usual_leanfile()]
    verbs = dict[str, str]()
    for (*_, name), _, verb, _ in OPTIONS:
        if verb and getattr(options, name[2:].replace("-", "_")) not in (None, False):
            verbs[verb] = name
    if len(verbs) > 1:
        raise LeanError(f"{' and '.join(verbs.values())}: these do not go together. Ask for one of them.")
    if options.prune and not options.runs:
        raise LeanError("--prune: it goes with --runs. Say: lean-loop --runs --prune")
    if not verbs:
        return run_all(options, shows)
    module, _, name = next(iter(verbs)).partition(".")
    ended = getattr(load_beside(module), name)(options, shows)
    if isinstance(ended, str):
        shows.say(ended, shows.out, "\n" if ended else "")
    return ended if isinstance(ended, int) else GREEN


def stop(number: int, frame: FrameType | None) -> None:
    """Turn a signal that asks for the end into Interrupted; of those that follow one more counts."""
    on_signals(stop_at_last)
    raise Interrupted(number)


def stop_at_last(number: int, frame: FrameType | None) -> None:
    on_signals(signal.SIG_IGN)
    raise Interrupted(number)


def on_signals(act: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Let ACT be what the signals do that ask for the end."""
    for number in ENDING:
        signal.signal(number, act)


def raise_again(swallowed: sys.UnraisableHookArgs) -> None:
    """Send a signal again that met a callback of Python's own: what is raised there is printed, and lost."""
    if isinstance(swallowed.exc_value, Interrupted):
        on_signals(stop)
        threading.Timer(0.05, os.kill, (os.getpid(), swallowed.exc_value.code - 128)).start()
    else:
        sys.__unraisablehook__(swallowed)


def forget_closed_streams() -> None:
    """Let Python's own last flush go nowhere where the reader of a stream has gone."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run_command_line(argv: Sequence[str] | None) -> int:
    """Do what the command line asks; give the exit code. Every error of the user's is shown here, in one place."""
    shows = Shows(sys.stdout, sys.stderr, json="--json" in (sys.argv if argv is None else argv))
    try:
        options = read_command_line(argv)
        shows = replace(shows, quiet=options.quiet, verbose=options.verbose and not options.quiet, json=options.json)
        return dispatch(options, shows)
    except (LeanError, Interrupted) as stopped:
        shows.fail(stopped)
        return stopped.code
    except (RecursionError, MemoryError) as error:
        shows.fail(
            NotReady(f"{type(error).__name__}: a file or an output is too large, or too deep. Look at the last.")
        )
        return NOT_READY
    except OSError as error:  # the project's or lean-loop's own folder was taken away, or the disk is full
        place = error.filename2 or error.filename or f"{state_folder()}, or where the output goes"
        shows.fail(NotReady(f"{place}: {error.strerror or error}. Look at its rights, and at the space on its disk."))
        return NOT_READY


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the command line; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", encoding="utf-8")  # type: ignore[union-attr]
    sys.unraisablehook = raise_again
    on_signals(stop)
    try:
        code = run_command_line(argv)
        on_signals(signal.SIG_IGN)  # all is done, and Python itself has to end yet
    except Interrupted as stopped:  # while an error, or the first signal, was told
        code = stopped.code
    finally:
        forget_closed_streams()
    return code


if __name__ == "__main__":
    sys.exit(main())
