"""Tell what a run did, from the events in its folder: views, nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from leanloop import UNSHOWN, read_regular

Event = dict[str, Any]
STATES = {0: "green", 1: "red"}
LEANFILE = "leanfile.toml"
COSTLY = ("answered", "trouble", "dropped")  # events of calls
PIECES = re.compile(r"[A-Za-z]{1,6}|\d{1,3}|[^\w\s]{1,2}|_|\n\s*|[^\x00-\x7f]")  # about a token each

# ------------------------------------------------------------------------------------------------- events in numbers


def read_events(folder: Path) -> list[Event]:
    """Read the events of a run in their order; a line that is none, or was cut off, is left out."""
    found = list[Event]()
    for line in read_regular(folder / "events.jsonl").decode("utf-8", "replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            found += [event] if isinstance(event, dict) and {"event", "time"} <= event.keys() else []
    return found


def of(events: Iterable[Event], *kinds: str) -> list[Event]:
    return [event for event in events if event["event"] in kinds]


def chapters(events: Iterable[Event]) -> list[list[Event]]:
    """Take the tasks out of a run's events, each with what happened from its `task` to its `result`."""
    found = list[list[Event]]()
    for event in events:
        if event["event"] == "task":
            found.append([event])
        elif found and found[-1][-1]["event"] != "result" and event["event"] != "outcome":
            found[-1].append(event)
    return found


def add_usage(events: Iterable[Event]) -> Event:
    """Sum up what the calls among EVENTS cost."""
    total: Event = {"requests": 0, "input_tokens": 0, "output_tokens": 0, "estimated": False}
    for event in of(events, *COSTLY):
        for key, value in event["usage"].items():
            total[key] = total[key] or value if key == "estimated" else total[key] + value
    return total


def conclude(events: Sequence[Event], end: Event | None = None) -> Event:
    """Sum up a run; END says how it ends, if no event does."""
    first, last = events[0], events[-1]
    if last["event"] == "outcome" and "tasks" in last:
        return last
    end = end or (last if last["event"] == "outcome" else {"code": -1, "error": "it was not finished"})
    tasks, used = [sum_up_task(chapter) for chapter in chapters(events)], add_usage(events)
    return {
        "code": end["code"],
        "state": STATES.get(end["code"], "stopped"),
        "error": end.get("error", ""),
        "broken": end.get("broken", ""),
        "run": first["id"],
        "leanfile": first["leanfile"],
        "total": len(first["tasks"]),
        "green": len(of(events, "skipped")) + sum(is_done(task) for task in tasks),
        "seconds": round(end.get("time", last["time"]) - first["time"], 3),
        "models": list(dict.fromkeys(event["model"] for event in events[1:] if event.get("model"))),
        "usage": used,
        "cost": cost_of(used, first.get("pricing", {})),
        "tasks": tasks,
        "omitted": [f"{event['name']}: {event['reason']}" for event in of(events, "omitted")],
    }


def cost_of(used: Event, price: Event) -> float | None:
    """Say what tokens would have cost at [pricing]; nothing where that is not set."""
    if not any(price.values()):
        return None
    return float(used["input_tokens"] * price["input"] + used["output_tokens"] * price["output"]) / 1e6


def sum_up_task(chapter: Sequence[Event]) -> Event:
    """Sum up a task from its events; a red count of failing tests is at least 1, `before` may be unknown."""
    begun, ended = chapter[0], chapter[-1]
    attempts = of(chapter, "attempt")
    touched = {change[0]: change for attempt in attempts for change in attempt["changed"]}
    result: Event = {"tree": "", "warnings": [], "state": "stopped", "reason": "", "changed": touched.values()}
    if ended["event"] == "result":
        result = ended
    red = red_verdict(chapter, result)
    task: Event = {
        "number": begun["number"],
        "name": begun["name"],
        "state": result["state"],
        "reason": result["reason"],
        "warnings": [*result["warnings"], *(event["text"] for event in of(chapter, "warning"))],
        "before": failing_before(chapter),
        "failing": [failing_in(attempt) for attempt in attempts],
        "tried": [describe_attempt(attempt) for attempt in attempts if red],
        "changed": [change for change in result["changed"] if change[0] in touched],
        "left_out": result.get("left_out", False),
        "leaners": list(dict.fromkeys(attempt["leaner"] for attempt in attempts)),
        "usage": add_usage(chapter),
        "seconds": round(ended["time"] - begun["time"], 3),
    }
    return task | {key: red[key] for key in ("tests", "summary", "places") if red}


def red_verdict(chapter: Sequence[Event], result: Event) -> Event:
    """Give the last test run on the state that a red task left; empty for one that is not red."""
    tested = of(chapter, "tested")
    seen = [event for event in tested if event["tree"] == result["tree"]] or tested
    return seen[-1] if seen and not is_done(result) and not seen[-1]["green"] else {}


def failing_before(chapter: Sequence[Event]) -> int | None:
    """Count what failed before a task's first call; nothing where no test ran before it."""
    first = next(iter(of(chapter, "asking", "tested")), None)
    return failing_in(first) if first and first["event"] == "tested" else None


def is_done(task: Event) -> bool:
    return task["state"] in ("green", "untested")


def failing_in(event: Event) -> int:
    return 0 if event["green"] else max(1, event["failing"])


# ---------------------------------------------------------------------------------------------------- small phrases


def many(count: int, noun: str) -> str:
    """Count things."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def clip(text: str, most: int) -> str:
    """Make TEXT one line of at most MOST tokens, rather fewer; other scripts and capitals within words count twice."""
    line, used = " ".join(text.split()), 0
    for piece in PIECES.finditer(line):
        used += 1 if piece[0].isascii() and not re.search(r".[A-Z]", piece[0]) else 2
        if used > most:
            return f"{line[: piece.start()]}…"
    return line


def few_names(names: Sequence[str], most: int) -> str:
    """Name the first MOST of some things, and count the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def few(names: Sequence[str], most: int, room: int) -> str:
    """Name the first MOST of some things, in ROOM tokens, and count the others."""
    return clip(", ".join(names[:most]), room) + (f" and {len(names) - most} more" if len(names) > most else "")


def two_counts(used: Event) -> tuple[str, str]:
    """Tell the tokens that went in, and those that came out."""
    return f"{'about ' if used['estimated'] else ''}{used['input_tokens']:,}", f"{used['output_tokens']:,}"


def describe_changes(changed: Sequence[Sequence[Any]], most: int) -> str:
    """Name the changed files with the lines that they gained and lost; more than MOST of them only in sum."""
    if len(changed) > most:
        changed = [(f"{len(changed)} files", sum(up for _, up, _ in changed), sum(down for *_, down in changed))]
    return ", ".join(f"{' '.join(path.splitlines())} +{up} -{down}" for path, up, down in changed)


def describe_attempt(attempt: Event) -> str:
    """Say in a line what was tried."""
    said = attempt["diagnosis"] or attempt["how"]
    changed = describe_changes(attempt["changed"], 2) or "nothing changed"
    return f"{attempt['number']}. {said} -> {changed}, {failing_in(attempt)} failing"


def describe_failing(task: Event) -> str:
    """Say how many tests failed before and after."""
    if task["state"] == "untested":
        return "no tests"
    counts = [count for count in (task["before"], *task["failing"]) if count is not None]
    return f"{counts[0]} -> {counts[-1]} failing" if counts else "not tested"


def command(leanfile: str) -> str:
    """Write the beginning of a command for LEANFILE."""
    return "lean-loop" if leanfile == LEANFILE else f"lean-loop -c {shlex.quote(leanfile)}"


def undoing(leanfile: str, run: str) -> str:
    return f"{command(leanfile)} --undo{f' {run}' * (run != 'last')} takes the run back"


# ------------------------------------------------------------------------------------------------------ the outcome


def in_words(told: Event, run: str = "last") -> str:
    """Write the outcome for whoever pays by the token: a line a task, more for a red one only."""
    lines = list[str]()
    for task in told["tasks"]:
        leaners = f", at last {task['leaners'][-1]}" if len(task["leaners"]) > 1 else ""
        tries = many(len(task["failing"]), "attempt") + leaners
        changed = describe_changes(task["changed"], 3) or "nothing changed"
        facts = f"{tries}; {describe_failing(task)}; {changed}"
        lines.append(f"{task['state']}: {clip(task['name'], 15)}: {clip(facts, 40)}")
    return "\n".join([*lines, *notes(told, run), end_line(told)])


def notes(told: Event, run: str = "last") -> list[str]:
    """Say what is doubtful, what is red and why, and why the run could not go on."""
    doubts = dict[str, list[str]]()
    for task in told["tasks"]:
        for text in task["warnings"]:
            doubts.setdefault(text, []).append(task["name"])
    lines = [f"warning: {few(names, 1, 15)}: {clip(text, 30)}" for text, names in doubts.items()]
    for task in told["tasks"]:
        if not is_done(task):
            lines += describe_red(task, told["leanfile"], run)
    lines += [f"not run: {clip(text, 40)}" for text in told.get("omitted", ())]
    if told["broken"]:
        lines.append(f"red: the whole suite is worse than before the run: {clip(told['broken'], 60)}")
        lines.append(f"  next: mend it, or {undoing(told['leanfile'], run)}")
    if told["error"]:
        lines.append(f"stopped: {clip(told['error'], 80)}")
    return lines


def describe_red(task: Event, leanfile: str, run: str) -> list[str]:
    """Say what somebody needs who takes over a red task; what was tried, the latest first, gets what room is left."""
    error, reason, tries = task.get("summary", ""), task["reason"], len(task["failing"])
    lines = list[str]()

    def add(name: str, text: str, most: int) -> None:
        if text:
            lines.append(f"  {name}: {clip(text, most)}")

    if tries or task["state"] == "red":
        add("failing", few(task.get("tests", ()), 3, 45), 55)
        add("error", error, 55)
        add("at", ", ".join(f"{path}:{line}" for path, line in task.get("places", ())), 25)
        add("why", "" if reason == error else reason.replace(f". {error or reason}", ""), 30)
    add("next", f"{'mend it; ' * (task['state'] == 'red')}{command(leanfile)} --resume", 30)
    if tries:
        state, what = f"{task['number']}.{tries}", "the last attempt"
        if task.get("left_out"):
            state, what = f"{task['number']}", "its best state, which is left out"
        add("back", f"{undoing(leanfile, run)}, --restore {run}/{state} brings {what}", 50)
    spent = sum(len(PIECES.findall(line)) * 20 // 23 for line in lines)
    add("tried", " | ".join(reversed(task["tried"])), max(25, 185 - spent))
    return lines


def end_line(told: Event) -> str:
    """Say how the whole run ended, and what it cost."""
    used, (sent, got) = told["usage"], two_counts(told["usage"])
    about = "about " if used["estimated"] else ""
    cost = f"; would cost {about}{told['cost']:.4f} at [pricing]" if told["cost"] is not None else ""
    spent = f"{sent} tokens in, {got} out, {many(used['requests'], 'request')}, {told['seconds']:.1f} s{cost}"
    models = [name.rpartition("/")[2] for name in told.get("models", ())]
    model = f"{few(models, 2, 12)}; " if models else ""
    return f"{told['green']}/{told['total']} green; {spent}; {model}run {told['run']}"


def rows(told: Event) -> list[list[str]]:
    """List the cells of the tasks' table, headings first."""
    found = [["", "task", "failing", "tries", "changed", "in", "out", "s", "leaner"]]
    for task in told["tasks"]:
        failing = describe_failing(task).replace("->", "→").removesuffix(" failing")
        changed = describe_changes(task["changed"], 1).replace(" -", " −")
        cells = [task["state"], task["name"], failing, str(len(task["failing"])), changed]
        leaners = ", ".join(task["leaners"])
        found.append([*cells, *two_counts(task["usage"]), f"{task['seconds']:.1f}", leaners])
    return found


def run_rows(folders: Iterable[Path]) -> Iterator[list[str]]:
    """Give a row for each run, newest first: name (when it began), result, how long it took, what it cost."""
    yield ["run", "ended", "green", "s", "tokens in", "out", "leanfile"]
    for folder in sorted(folders, reverse=True):
        if (events := read_events(folder)) and "leanfile" in events[0]:
            told = conclude(events)
            spent = (f"{told['seconds']:.0f}", *two_counts(told["usage"]))
            yield [told["run"], told["state"], f"{told['green']}/{told['total']}", *spent, told["leanfile"]]


# ------------------------------------------------------------------------------------------------------- the report


def report(told: Event, events: Sequence[Event], folder: Path) -> str:
    """Write the story of a run in Markdown, as it lies beside the files in FOLDER."""
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(events[0]["time"]))
    head = fenced(in_words(told, told["run"]))
    lines = [f"# lean-loop: {told['state']}\n", f"`{told['leanfile']}`, {begun}\n", head]
    for chapter in chapters(events):
        lines += [f"## {chapter[0]['number']}. {clip(chapter[0]['name'], 30)}\n", *tell_story(chapter, folder)]
    return UNSHOWN.sub("?", "\n".join(lines).rstrip() + "\n")


def tell_story(chapter: Sequence[Event], folder: Path) -> Iterator[str]:
    """Tell a task attempt by attempt: the steps as they were shown, the files of the record, the diff."""
    page = list[Event]()
    for event in chapter:
        page.append(event)
        is_attempt = event["event"] == "attempt"
        if is_attempt:
            said = clip(event["diagnosis"], 200).replace("<", "&lt;")
            yield f"### Attempt {event['number']}\n" + (f"\n> {said}\n" if said else "")
        if is_attempt or event is chapter[-1]:
            yield from tell_steps(page)
            page = []
        if is_attempt and event["changed"]:
            diff = read_regular(folder / event["diff"]).decode("utf-8", "replace")
            plain = re.sub(r"^(?:index \S+\.\.\S+.*|diff --git .*)\n", "", diff, flags=re.MULTILINE)
            summary = describe_changes(event["changed"], 3)
            yield f"<details><summary>{summary}</summary>\n\n{fenced(plain, 'diff')}\n</details>\n"


def tell_steps(page: Sequence[Event]) -> Iterator[str]:
    """Tell events as they were shown, and name their files."""
    yield fenced("\n".join(event["shown"] for event in page if event.get("shown")))
    names = [event[kind] for event in page for kind in ("prompt", "answer", "output", "diff") if event.get(kind)]
    if names:
        yield ", ".join(f"[{name}]({name})" for name in names) + "\n"


def fenced(text: str, language: str = "") -> str:
    """Put TEXT into a fence that is longer than any in it."""
    ticks = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", text)), 3)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}\n"


def outcome(folder: Path, end: Event | None = None) -> Event:
    """Make every view of one run.

    `outcome` has the keys of examples/events.schema.json, `words` are for whoever pays by the token, `rows`, `notes`
    and `end` make a table for a person, `report` is its story in Markdown. END says how a run ends of which no event
    says so yet: code, error, broken, time.
    """
    events = read_events(folder)
    told = conclude(events, end)
    return {
        "outcome": told,
        "words": in_words(told),
        "rows": rows(told),
        "notes": notes(told),
        "end": end_line(told),
        "report": report(told, events, folder),
    }
