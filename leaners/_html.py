"""Tell what a run did as one page for a browser: --report --html FILE, a view over its events and their files.

Nothing is asked of anybody: style and pictures stand in the page, there is no script, and a policy in its head forbids
both. Whatever was said by models, tests and files goes through `element`, which escapes all that is not made by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from _page import Event, add_usage, chapters, conclude, describe_changes, end_line, failing_in, is_done, notes, of
from leanloop import UNSHOWN, LeanError, NotReady, read_regular, shorten

MARK = "<!doctype html><!-- a run of lean-loop -->"
HEAD = """
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
"""
STYLE = """
:root { --ground: #fff; --text: #1c1e21; --faint: #60656b; --line: #d5d8dc; --box: #f5f6f7;
  --green: #17703a; --red: #b3261e; --blue: #1f5fa8; --added: #dff3e4; --removed: #fbe3e1; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #16181b; --text: #e4e6e9; --faint: #9aa1a9; --line: #3a3f45; --box: #1f2226;
    --green: #6fd08c; --red: #ff8a80; --blue: #86b9f5; --added: #17381f; --removed: #47211f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
pre { margin: .5rem 0; padding: .5rem; background: var(--box); overflow-x: auto; font-size: .8rem; line-height: 1.45;
  overflow-wrap: normal; }
pre.diff { display: grid; grid-template-columns: minmax(100%, max-content); }
pre.diff span { min-height: 1.45em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td:first-child { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { display: block; height: .3rem; margin-left: auto; background: var(--blue); }
.faint { color: var(--faint); }
.green, .untested { color: var(--green); }
.red, .stopped { color: var(--red); }
.added { background: var(--added); }
.removed { background: var(--removed); }
.place { color: var(--blue); }
details { margin: .25rem 0; }
summary { cursor: pointer; padding: .25rem 0; }
svg { width: 100%; max-width: 45rem; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--faint); }
svg .axis { stroke: var(--line); }
svg .way { fill: none; stroke: var(--blue); stroke-width: 2; }
svg .good { fill: var(--green); }
svg .bad { fill: var(--red); }
"""
LINES = 400  # of each file of the record; the whole file lies in the run's folder
FILES = {"prompt": "the prompt", "answer": "the answer", "output": "what the tests said"}


class Markup(str):
    """Text that is HTML already."""


def element(name: str, *inner: str, **attributes: object) -> Markup:
    """Make an element; what goes into it is escaped, unless it is Markup, and so is each of its ATTRIBUTES."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return Markup(f"<{name}{said}>{''.join(map(as_markup, inner))}</{name}>")


def as_markup(text: str) -> str:
    """Escape TEXT, unless it is Markup; what no page may hold is shown as a sign."""
    if isinstance(text, Markup):
        return text
    return escape(UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text))


def write_page(folder: Path, events: Sequence[Event], target: Path) -> str:
    """Write the page of the run in FOLDER to TARGET, over an older page but over nothing else; say where it lies."""
    if target.is_dir() or (target.exists() and not read_regular(target, follow=True).startswith(MARK.encode())):
        raise LeanError(f"--html: {target} is there already, and is no page of lean-loop. Name another file.")
    try:
        target.write_text(page(folder, events), "utf-8", "replace")
    except OSError as error:
        raise NotReady(f"--html: {target} cannot be written: {error.strerror}. Name another file.") from None
    return f"{target.resolve().as_uri()}"


def page(folder: Path, events: Sequence[Event]) -> str:
    """Write the whole page."""
    told, begun = conclude(events), time.strftime("%Y-%m-%d %H:%M", time.localtime(events[0]["time"]))
    body = [
        element("h1", "lean-loop: ", element("span", told["state"], class_=told["state"])),
        element("p", f"{told['leanfile']}, {begun}", class_="faint"),
        element("p", end_line(told)),
        element("pre", "\n".join(found)) if (found := notes(told, told["run"])) else "",
        task_table(told),
        failing_picture(events),
        *(task_story(chapter, folder) for chapter in chapters(events)),
        call_table(events),
        element("p", f"The run's folder: {folder}", class_="faint"),
    ]
    title, style = element("title", f"{told['state']}: {told['run']}"), element("style", Markup(STYLE))
    head = f"<head>{HEAD}{title}\n{style}</head>"
    return f'{MARK}\n<html lang="en">{head}\n{element("body", *body)}</html>\n'


# ------------------------------------------------------------------------------------------------------------- tables


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Lay rows of cells out under HEADS; a column of numbers stands right."""
    right = [all(re.match(r"(about )?[\d–]", str(row[at])) for row in rows) for at in range(len(heads))]
    kinds = [{"class_": "number"} if is_right else dict[str, str]() for is_right in right]
    lines = [table_row("th", heads, kinds), *(table_row("td", row, kinds) for row in rows)]
    return element("div", element("table", *lines), class_="wide")


def table_row(name: str, cells: Sequence[str], kinds: Sequence[dict[str, str]]) -> Markup:
    return element("tr", *(element(name, cell, **kind) for cell, kind in zip(cells, kinds, strict=True)))


def task_table(told: Event) -> Markup:
    """List the tasks, each with a link to its story."""
    rows = list[list[str]]()
    for task in told["tasks"]:
        counts = [count for count in (task["before"], *task["failing"]) if count is not None]
        state = element("span", task["state"], class_=task["state"])
        link = element("a", f"{task['number']}. {task['name']}", href=f"#task-{task['number']}")
        used = f"{task['usage']['input_tokens']:,}", f"{task['usage']['output_tokens']:,}"
        rows.append([state, link, " → ".join(map(str, counts)), *used, f"{task['seconds']:.1f}"])
    return table(["", "task", "failing", "tokens in", "out", "seconds"], rows) if rows else Markup()


def call_table(events: Sequence[Event]) -> Markup:
    """List each call with its tokens and its time, and a bar that shows how long it took beside the longest."""
    calls = of(events, "answered")
    longest = max((call["seconds"] for call in calls), default=0) or 1
    rows = list[list[str]]()
    for number, call in enumerate(calls, 1):
        used, about = call["usage"], "about " if call["usage"]["estimated"] else ""
        bar = element("span", class_="bar", style=f"width: {100 * call['seconds'] / longest:.0f}%")
        seconds = Markup(as_markup(f"{call['seconds']:.1f}") + bar)
        said = call["reason"] or {"ask": "answer", "edit": "edit"}[call["mode"]]
        who = f"{call['leaner']} {call.get('model') or ''}".strip()
        rows.append([str(number), who, said, f"{about}{used['input_tokens']:,}", f"{used['output_tokens']:,}", seconds])
    heads = ["", "leaner", "what came", "tokens in", "out", "seconds"]
    return Markup(element("h2", "Calls", id="calls") + table(heads, rows)) if rows else Markup()


# -------------------------------------------------------------------------------------------------------- the picture

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 170, 34, 10, 12, 24


def failing_picture(events: Sequence[Event]) -> Markup:
    """Draw how many tests failed over the time of the run: a line for each task, a dot for each test run."""
    told = [(chapter, of(chapter, "tested")) for chapter in chapters(events)]
    runs = [event for _, tested in told for event in tested]
    if not runs:
        return Markup()
    start, most = events[0]["time"], max(1, *map(failing_in, runs))
    span = (events[-1]["time"] - start) or 1
    lines = list(axes(span, most))
    for chapter, tested in told:
        name, ways = chapter[0]["name"], list[tuple[float, float, Event]]()
        for event in tested:
            across = LEFT + (WIDTH - LEFT - RIGHT) * (event["time"] - start) / span
            ways.append((across, height_of(failing_in(event), most), event))
        lines.append(element("polyline", class_="way", points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in ways)))
        for x, y, event in ways:
            said = f"{name}: {failing_in(event)} failing after {event['time'] - start:.0f} s"
            good = "good" if event["green"] else "bad"
            lines.append(element("circle", element("title", said), class_=good, cx=f"{x:.1f}", cy=f"{y:.1f}", r=4))
    label = f"Failing tests over time: {failing_in(runs[0])} at first, {failing_in(runs[-1])} at last"
    picture = element("svg", *lines, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)
    return Markup(element("h2", "Failing tests over time") + picture)


def height_of(failing: int, most: int) -> float:
    """Say how far from the top of the picture a count stands."""
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - failing / most)


def axes(span: float, most: int) -> Iterator[Markup]:
    """Draw the lines for no and for most failing tests, and name the ends."""
    for count in (0, most):
        y = height_of(count, most)
        yield element("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        yield element("text", str(count), x=LEFT - 6, y=y + 4, text_anchor="end")
    yield element("text", "0 s", x=LEFT, y=HEIGHT - 6)
    yield element("text", f"{span:.0f} s", x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end")


# ---------------------------------------------------------------------------------------------------------- the story


def task_story(chapter: Sequence[Event], folder: Path) -> Markup:
    """Tell a task attempt by attempt."""
    begun, ended, parts = chapter[0], chapter[-1], list[Markup]()
    result = ended if ended["event"] == "result" else {"state": "stopped", "reason": ""}
    used = add_usage(chapter)
    spent = f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out, {ended['time'] - begun['time']:.1f} s"
    parts.append(element("p", spent, class_="faint"))
    if result["reason"] and not is_done(result):
        parts.append(element("p", f"It is red: {result['reason']}"))
    page = list[Event]()
    for event in chapter:
        page.append(event)
        if event["event"] == "attempt":
            parts.append(attempt_story(page, event, folder))
            page = []
    if any(event.get("shown") for event in page):
        parts += [steps(page), *kept_files(page, folder)]
    state = element("span", result["state"], class_=result["state"])
    title = element("h2", f"{begun['number']}. {begun['name']}: ", state, id=f"task-{begun['number']}")
    return element("section", title, *parts)


def attempt_story(page: Sequence[Event], attempt: Event, folder: Path) -> Markup:
    """Tell one attempt: what was said to be wrong, what was changed, what failed then, and the files of the record."""
    failing = f"{failing_in(attempt)} failing" if failing_in(attempt) else "green"
    state = element("span", failing, class_="green" if attempt["green"] else "red")
    parts = [element("h3", f"Attempt {attempt['number']}: {attempt['leaner']}, {attempt['how']}: ", state)]
    if attempt["diagnosis"]:
        parts.append(element("blockquote", attempt["diagnosis"]))
    parts.append(steps(page))
    if attempt["changed"]:
        shown = diff_lines(read_file(folder, attempt["diff"]))
        summary = element("summary", describe_changes(attempt["changed"], 3))
        parts.append(element("details", summary, element("pre", *shown, class_="diff"), open="open"))
    return element("article", *parts, *kept_files(page, folder))


def steps(page: Sequence[Event]) -> Markup:
    """Show events as they were shown."""
    return element("pre", "\n".join(event["shown"] for event in page if event.get("shown")))


def kept_files(page: Sequence[Event], folder: Path) -> Iterator[Markup]:
    """Give the prompts, answers and test outputs of some events, each to be opened."""
    for event in page:
        for kind, called in FILES.items():
            if event.get(kind):
                text = shorten(read_file(folder, event[kind]), LINES, 2000)
                yield element("details", element("summary", f"{called} ({event[kind]})"), element("pre", text))


def read_file(folder: Path, name: str) -> str:
    """Read a file of the record; one that has gone is said to be."""
    try:
        return read_regular(folder / Path(name).name).decode("utf-8", "replace")
    except OSError:
        return f"{name} is not there any more"


def diff_lines(diff: str) -> Iterator[Markup]:
    """Give the lines of a diff, each with a colour for what it is; git's own words on files are left out."""
    kinds, inside = {"+": "added", "-": "removed", "@": "place"}, False
    for line in shorten(diff, LINES, 2000).splitlines():
        inside = line.startswith("@@") or (inside and not line.startswith("diff --git "))
        if inside:
            yield element("span", line, class_=kinds.get(line[:1], "same"))
        elif re.match(r"(?:---|\+\+\+|Binary|new|deleted|\[\.\.\.) ", line):
            yield element("span", line, class_="faint")
