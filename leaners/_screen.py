"""What a terminal shows: the events of a run as they happen, its outcome as a table, lists in columns."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from _page import Event, few_names, many
from leanloop import UNSHOWN, Shows

INKS = {"green": "32", "ok": "32", "red": "31", "error": "31", "untested": "33", "warning": "33"}
PROGRESS = re.compile(r"progress: ([1-9]\d{0,8}) (\d{1,9}(?:\.\d{1,9})?)")


# ---------------------------------------------------------------------------------------------------- lines and inks


def is_terminal(stream: IO[str]) -> bool:
    """Tell whether STREAM is a terminal on which a line can be drawn anew."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def window(stream: IO[str]) -> os.terminal_size:
    """Tell the size of the window that STREAM is shown in; 80 x 24 where nobody knows."""
    with contextlib.suppress(OSError, ValueError):
        if (size := os.get_terminal_size(stream.fileno())).columns:
            return size
    return os.terminal_size((80, 24))


def width_of(text: str) -> int:
    """Count the columns that TEXT takes on a terminal."""
    from unicodedata import category, east_asian_width

    return sum(0 if category(sign) in ("Mn", "Me") else 1 + (east_asian_width(sign) in "WF") for sign in text)


def one_line(text: str, room: int) -> str:
    """Make TEXT one line of at most ROOM columns."""
    line = "".join(sign if sign.isprintable() else " " for sign in text[: 2 * room + 2]).rstrip()
    while width_of(line) > max(room, 1):
        line = f"{line[:-2]}…"
    return line


def folded(text: str, room: int) -> Iterator[str]:
    """Break TEXT into lines of at most ROOM columns, at blanks where there are any."""
    while width_of(text) > room:
        end = min(len(text), room)
        while width_of(text[:end]) > room:
            end -= 1
        blank = text.rfind(" ", 5, end + 1)
        end = blank if blank > 0 else end
        yield one_line(text[:end], room)
        text = f"    {text[end:].lstrip()}"
    yield one_line(text, room)


def inked(text: str, state: str, stream: IO[str]) -> str:
    """Colour TEXT for STATE on a terminal, unless NO_COLOR (no-color.org) is set, without what it must not obey."""
    text = UNSHOWN.sub("?", text)
    plain = os.environ.get("NO_COLOR") or not is_terminal(stream) or state not in INKS
    return text if plain else f"\x1b[{INKS[state]}m{text}\x1b[0m"


def columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> list[str]:
    """Lay rows of cells out in columns, those of numbers to the right, heading and all: a line a row."""
    aligned = list[list[str]]()
    for column in zip(*rows, strict=True):
        right = all(re.fullmatch(r"(about )?\d[\d,.]*( s)?", cell) for cell in column[1:])
        widest = max(map(width_of, column))
        cells = list[str]()
        for cell in column:
            blanks = " " * (widest - width_of(cell))
            cells.append(blanks + cell if right else cell + blanks)
        aligned.append(cells)
    return [gap.join(row).rstrip() for row in zip(*aligned, strict=True)]


# ----------------------------------------------------------------------------------------------------- the words


def describe_leaner(event: Event) -> str:
    """Name the leaner of a run and the model that it asks, as far as they are known."""
    known = filter(None, (event["leaner"], event.get("model", "").rpartition("/")[2]))
    return f" with {named}" if (named := ", ".join(known)) else ""


def spell(seconds: float) -> str:
    """Say how long something takes."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def describe_answer(event: Event) -> str:
    what, used = event["reason"] or {"ask": "answer", "edit": "edit"}[event["mode"]], event["usage"]
    about = "about " if used["estimated"] else ""
    spent = f"{about}{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out"
    return f"  {event['leaner']}: {what}; {spent}, {event['seconds']:.1f} s"


def describe_tests(event: Event) -> str:
    why = "" if event["green"] else f": {event['summary']}"
    which = "  tests" if event["name"] else "the whole suite"
    return f"{which}: {count_failing(event)}{why}; {event['seconds']:.1f} s"


def count_failing(event: Event) -> str:
    return "green" if event["green"] else f"{max(1, event['failing'])} failing"


def describe_put_back(paths: Sequence[str]) -> str:
    them = "it" if len(paths) == 1 else "them"
    return f"  put back: {few_names(paths, 5)}; list {them} in files to allow {them}"


def describe_restored(event: Event) -> str:
    left = f", except what was edited since: {', '.join(event['left'])}" if event["left"] else ""
    return f"  the project was put back to {event['to']}{left}"


def describe_result(event: Event) -> str:
    why = f" ({event['reason']})" if event["reason"] else ""
    return f"[{event['number']}/{event['total']}] {event['name']}: {event['state']}{why}"


# Events as they are shown, by their kinds: a finished step. What is not here is not shown.
STEPS: dict[str, Callable[[Event], str]] = {
    "run": lambda event: f"lean-loop: {event['leanfile']}{describe_leaner(event)}",
    "task": lambda event: f"[{event['number']}/{event['total']}] {event['name']}",
    "skipped": lambda event: f"[{event['number']}/{event['total']}] {event['name']}: green in the run before",
    "omitted": lambda event: f"[{event['number']}/{event['total']}] {event['name']}: not run: {event['reason']}",
    "waiting": lambda event: f"  waiting for the server at {event['url']}, at most {event['left']} s",
    "trouble": lambda event: f"  {event['leaner']}: trouble: {event['reason']}",
    "answered": describe_answer,
    "dropped": describe_answer,
    "tested": describe_tests,
    "protected": lambda event: describe_put_back(event["paths"]),
    "restored": describe_restored,
    "warning": lambda event: f"  warning: {event['text']}",
    "committed": lambda event: f"  committed as {event['commit'][:10]}: {', '.join(event['paths'])}",
    "result": describe_result,
}
# What goes on from an event until the next.
DOING: dict[str, Callable[[Event], str]] = {
    "asking": lambda event: f"asking {event['leaner']}",
    "drafting": lambda event: f"asking {event['leaner']} for {many(event['answers'], 'answer')}",
    "waiting": lambda event: f"waiting, at most {event['left']} s",
    "testing": lambda event: "running tests" if event["name"] else "running the whole suite",
    "check": lambda event: f"check: {event['command']}",
    "after": lambda event: f"after: {event['command']}",
}


# ---------------------------------------------------------------------------------------------------- the display


@dataclass
class Pace:
    """What a run has used so far, and how long its steps and tasks took: enough to guess what is left of it."""

    begun: float = field(default_factory=time.monotonic)
    tokens: int = 0
    took: dict[str, list[float]] = field(default_factory=dict)
    tasks: list[float] = field(default_factory=list)
    task_begun: float = 0.0
    later: int = 0  # tasks

    def note(self, event: Event, doing: str) -> None:
        """Learn from EVENT, which ends what is DOING."""
        kind = event["event"]
        if kind in ("answered", "trouble"):
            self.tokens += event["usage"]["input_tokens"] + event["usage"]["output_tokens"]
        if kind in ("answered", "tested") and doing:
            self.took.setdefault(doing, []).append(event["seconds"])
        if kind == "task":
            self.task_begun, self.later = time.monotonic(), event["total"] - event["number"]
        elif kind == "result":
            self.tasks.append(time.monotonic() - self.task_begun)

    def usual(self, doing: str) -> str:
        """Say how long a step like this one took so far on average."""
        took = self.took.get(doing, ())
        return f"usually {spell(sum(took) / len(took))}" if took else ""

    def so_far(self) -> str:
        """Say what the run has used."""
        return f"so far {spell(time.monotonic() - self.begun)}, {many(self.tokens, 'token')}"

    def left(self) -> str:
        """Guess how long the tasks that follow take, and the rest of this one, by those that are done."""
        if not self.tasks:
            return ""
        each = sum(self.tasks) / len(self.tasks)
        rest = self.later * each + max(0.0, each - (time.monotonic() - self.task_begun))
        return f"about {spell(rest)} left" if rest >= 1 else ""


class Display:
    """Shows the events of a run as they happen: finished steps, and what is going on.

    That is a living line below them on a terminal; elsewhere it is a line a minute, so that whoever waits knows.
    """

    PAUSE = 0.12  # seconds between two redraws: at most ten a second, the last one included
    MINUTE = 60.0  # seconds between two lines where nothing is drawn anew

    def __init__(self, shows: Shows) -> None:
        self.shows = shows
        self.live = is_terminal(shows.err) and not (shows.json and is_terminal(shows.out))
        self.task, self.attempt, self.tests = "", 1, ""
        self.steps, self.painted = deque[str](), ""
        self.doing, self.rate, self.since, self.pace = "", "", 0.0, Pace()
        self.over, self.painter = threading.Event(), threading.Thread(target=self.keep_painting, daemon=True)

    @staticmethod
    def words_of(event: Event) -> str:
        """Tell EVENT in a line; nothing where it is not one to be shown."""
        tell = STEPS.get(event["event"])
        return " ".join(tell(event).splitlines()) if tell else ""

    def show(self, event: Event) -> None:
        """Show EVENT, if it is one to be shown."""
        if self.shows.quiet:
            return
        kind = event["event"]
        self.pace.note(event, self.doing)
        if kind in ("task", "result"):
            self.task = f"task {event['number']}/{event['total']}" if kind == "task" else ""
            self.attempt, self.tests = 1, ""
        elif kind == "attempt":
            self.attempt = event["number"] + 1
        elif kind == "tested":
            self.tests = count_failing(event)
        if event.get("shown") and not (kind == "waiting" and self.doing.startswith("waiting")):
            self.step(event["shown"], event.get("state", ""))
        if kind in DOING:
            self.begin(DOING[kind](event))

    def close(self) -> None:
        """Stop drawing, and clear the line that lived."""
        self.over.set()
        if self.painter.is_alive():
            self.painter.join()
        if self.live:
            self.paint("")

    def finish(self, told: Event) -> None:
        """Show the outcome of the run, and the error that ended it unless the reader has just seen it there."""
        self.close()
        out, err, error = self.shows.out, self.shows.err, told["outcome"]["error"]
        if not self.shows.json:
            drawn = is_terminal(out)
            self.shows.say(on_screen(told, out) if drawn else told["words"], out, drawn=drawn)
        if error and not (is_terminal(out) and is_terminal(err)):
            self.shows.say("lean-loop: " + error.replace("\n", "\n  "), err)

    def begin(self, text: str) -> None:
        """Say what is going on from here."""
        self.doing, self.since, self.rate = text, time.monotonic(), ""
        if self.painter.ident is None:
            self.painter.start()

    def step(self, text: str, state: str = "", whole: bool = False) -> None:
        """Let a finished step stand, as one line; or a WHOLE line that a program prints meanwhile."""
        self.doing = self.doing if whole else ""
        line = text if whole else one_line(text, window(self.shows.err).columns - 1 if self.live else len(text))
        if self.live:
            self.steps.append(inked(line, state, self.shows.err))
        else:
            self.shows.say(line, self.shows.err)

    def on_line(self, line: str) -> None:
        """Take a line of what a running leaner or test prints: its progress, or what --verbose shows."""
        if found := PROGRESS.fullmatch(line):
            is_steady = float(found[2]) and int(found[1]) > 9  # of fewer the speed is chance
            self.rate = many(int(found[1]), "token") + (f", {found[2]}/s" if is_steady else "")
        elif self.shows.verbose and not line.startswith("progress: "):
            self.step(f"  | {line}", whole=True)

    def living(self, room: int) -> str:
        """Say what is going on; what matters least goes first where there is no ROOM."""
        pieces = {"task": self.task, "attempt": f"attempt {self.attempt}" if self.task else "", "doing": self.doing}
        pieces["elapsed"] = spell(time.monotonic() - self.since) if self.doing else ""
        pieces |= {"usual": self.pace.usual(self.doing), "rate": self.rate, "tests": self.tests}
        if self.task:
            pieces |= {"so far": self.pace.so_far(), "left": self.pace.left()}
        shorter = {"rate": self.rate.partition(",")[0]}
        for least in ("tests", "usual", "attempt", "rate", "so far", "left", "rate", "task"):
            if width_of(" · ".join(filter(None, pieces.values()))) > room:
                pieces[least] = shorter.pop(least, "")
        return one_line(" · ".join(filter(None, pieces.values())), room)

    def keep_painting(self) -> None:
        """Draw until the run is over; where nothing can be drawn, say each minute what is still going on."""
        if not self.live:
            return self.keep_telling()
        while not self.over.wait(self.PAUSE):
            self.paint(self.living(window(self.shows.err).columns - 1))
        return None

    def keep_telling(self) -> None:
        """Say what is still going on, for each minute that it takes."""
        since = told = 0.0
        while not self.over.wait(self.MINUTE / 60):
            if self.since != since:
                since = told = self.since
            elif self.doing and time.monotonic() - told >= self.MINUTE:
                told += self.MINUTE
                self.shows.say(f"  {self.living(500)}", self.shows.err)

    def paint(self, line: str) -> None:
        """Draw the finished steps, and LINE below them, at once."""
        steps = "".join(f"{self.steps.popleft()}\n" for _ in range(len(self.steps)))
        if steps or line != self.painted:
            self.shows.say(f"\r\x1b[K{steps}{line}", self.shows.err, "", drawn=True)
            self.painted = line


def on_screen(told: Event, stream: IO[str]) -> str:
    """Write the outcome for a person: a table, what to do next, and the sums, as large as the window at most."""
    width, height = window(stream)
    room = max(width - 1, 8)
    states = [row[0] for row in told["rows"][1:]]
    cells = [[*row[:1], one_line(row[1], 24), *row[2:]] for row in told["rows"]]
    wide = columns(cells)
    head, *lines = wide if max(map(width_of, wide)) <= room else columns(cells, " ")
    lines = [inked(one_line(line, room), state, stream) for line, state in zip(lines, states, strict=True)]
    last = [told["end"], "each attempt: lean-loop --report"]
    below, most = list[str](), height - 2 - min(len(lines), 2)
    for text in (*told["notes"], *last):
        below += folded(text, room)
    if len(below) > most:
        below = [one_line(line, room) for line in (*told["notes"][: most - 2], *last)]
    free = max(2, height - 2 - len(below))
    if len(lines) > free:
        lines = [f"({len(lines) - free + 1} more above)", *lines[1 - free :]]
    return "\n".join([one_line(head, room), *lines, *below])
