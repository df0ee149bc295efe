"""Put edits into the texts of files. Pure: nothing is read, nothing written.

    edits -> the file that each means -> located -> spliced -> checked -> new texts

What an answer leaves out stays: a definition goes only where another one of its name takes its place, a line only where
it was searched for or another one stands in its stead. Whatever way a new text came about, it is checked before anybody
gets it. `_answers.py` reads the edits.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import tomllib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from _answers import (
    LONG_LINE,
    MARKER,
    NUMBERED,
    UNREAD,
    WRAP,
    Change,
    Code,
    Delete,
    Edit,
    Files,
    Plan,
    Refusal,
    Refused,
    bare,
    clean,
    filled,
    in_keyboard_signs,
    in_style,
    latest,
    margin,
    own_signs,
    plain,
    resolve,
    shown,
    straight,
    tidy,
    unnumbered,
)
from _definitions import (
    CLOSER,
    blanked,
    definitions,
    indented_end,
    language_of,
    literal_lines,
    width_of,
)

# --- lines ------------------------------------------------------------------------------------------------------------

COMMENT = re.compile(
    r"^\s*(?:#(?![\[!{.\w])|#(?=\w[^{]*[^{,]$)|//|/\*|\*(?:[ /]|$)|--(?!-|[\w-]+:)|<!--|\{/\*|;;|%%?\s)"
)
DOTS_FIRST = re.compile(r"^\s*(?:(?:#|//|--|/?\*+|\{/\*|<!--|;+|%)\s*)?[\[(<=-]*\s*(?:\.\.\.|…)")
MARK_LINE = re.compile(r"^\s*(?:@[\w.]+|#!?\[|\[[A-Z]\w*)")


ALIKE = 0.7  # from when on a line may be another one, changed
COMPARED = 10_000  # lines, before only near ones are compared


def likeness(one: str, other: str) -> float:
    """Return how much alike two lines are, from 0 to 1."""
    pair = difflib.SequenceMatcher(None, one[:LONG_LINE], other[:LONG_LINE], False)
    return pair.ratio() if pair.real_quick_ratio() >= ALIKE and pair.quick_ratio() >= ALIKE else 0.0


def likest(name: str, others: Sequence[str]) -> int:
    """Return the place of the one name that is most like another one, -1 where none or several are."""
    near = difflib.get_close_matches(name[:LONG_LINE], others, 2, ALIKE)
    alike = [likeness(other, name) for other in near]
    return others.index(near[0]) if near and alike.count(max(alike)) == 1 else -1


# --- what an answer leaves out ----------------------------------------------------------------------------------------


def gaps_in(new: Sequence[str], old: Sequence[str], told: bool = False) -> list[int]:
    """List the lines of NEW that stand for lines of OLD that were left out.

    Dots tell them, and their form: a comment that OLD does not have in the place of three lines or of all that follows.
    `told`: by dots alone.
    """
    a, b = [*map(bare, old)], [*map(bare, new)]
    real, last = {*a}, max((at for at, line in enumerate(new) if line.strip() and not CLOSER.match(line)), default=0)
    fresh = {at for at, line in enumerate(new) if COMMENT.match(line) and b[at] not in real}
    marks = {at for at in range(len(new)) if len(b[at]) < LONG_LINE and DOTS_FIRST.match(new[at])}
    for _, i1, i2, j1, j2 in () if told else difflib.SequenceMatcher(None, a, b, False).get_opcodes():
        gone = [line for line in a[i1:i2] if line and not COMMENT.match(line) and not CLOSER.match(line)]
        come = [at for at in range(j1, j2) if b[at]]
        while gone and come and likeness(gone[0], b[come[0]]) >= ALIKE:
            gone, come = gone[1:], come[1:]
        if come and fresh.issuperset(come):
            marks.update(come if len(gone) >= (1 if last in come else 3) else ())
    return sorted(marks)


def split_at(lines: Sequence[str], gaps: Sequence[int]) -> list[list[str]]:
    """Cut lines at their gaps; blank lines beside a gap belong to what was left out."""
    parts = [list(lines[a + 1 : b]) for a, b in pairwise([-1, *gaps, len(lines)])]
    parts = [part for at, part in enumerate(parts) if at in (0, len(parts) - 1) or filled(part)]
    for at, part in enumerate(parts[:-1]):
        for side, end in ((part, -1), (parts[at + 1], 0)):
            while side and not side[end].strip():
                del side[end]
    return parts


def left_out(parts: Sequence[Sequence[str]], old: Sequence[str]) -> list[list[str]]:
    """Return for each gap between parts the old lines that it stands for, told by the lines around it."""
    found, floor = list[list[str]](), 0
    for before, after in pairwise(parts):
        start = anchor(old, before[::-1], floor, -1) + 1 if before else floor
        floor = anchor(old, after, start, 1) if after else len(old)
        found.append(list(old[start:floor]))
    return found


def fill(parts: Sequence[Sequence[str]], contents: Sequence[Sequence[str]]) -> list[str]:
    first, *others = parts
    return [*first, *(line for content, part in zip(contents, others, strict=True) for line in (*content, *part))]


def completed(new: Sequence[str], old: Sequence[str], told: bool = False) -> list[str]:
    """Put back what an answer left out; Refusal where it is not clear."""
    gaps = gaps_in(new, old, told)
    parts = split_at(new, gaps)
    return fill(parts, left_out(parts, old)) if gaps else list(new)


def anchor(old: Sequence[str], lines: Sequence[str], floor: int, step: int) -> int:
    """Find where the line next to a gap stands among the old ones: as it is or much alike; its neighbours decide.

    A line that is new is passed over: what is left out begins then beside the next one that stands there.
    """
    rows = [at for at in range(floor, len(old)) if old[at].strip()]
    for skip, line in enumerate(lines):
        key = bare(line)
        places = [at for at in rows if bare(old[at]) == key] if key else []
        if not places and not skip and key:
            near = likest(key, [bare(old[at]) for at in rows])
            places = [rows[near]] if near >= 0 else []
        if places:
            best = most_alike(old, lines[skip:], places, step)
            if len(best) == 1:
                return best[0]
            break
    raise Refusal("incomplete", "it leaves lines out, and it is not clear which")


def most_alike(old: Sequence[str], lines: Sequence[str], places: Sequence[int], step: int) -> list[int]:
    """Return the places whose neighbours are the most like the lines from there on."""
    alike = {}
    for at in places:
        beside = zip(range(at, at + 9 * step, step), lines, strict=False)
        alike[at] = sum(bare(old[n]) == bare(line) for n, line in beside if 0 <= n < len(old))
        alike[at] += old[at] == lines[0]
    return [at for at in places if alike[at] == max(alike.values())]


# --- a text as items --------------------------------------------------------------------------------------------------

IMPORT = re.compile(
    r"(?:import|from|use|using(?! [\w<>]+ =)|#include|require|require_once|include|package)\b(?!\s*[=(]\s*$)"
    r"|(?:const|let|var) [^=]*= require\("
)
BINDS = re.compile(r"\s*(?:\w+ )*[\"']?([\w.$@/-]+)[\"']?\s*[?!]?(?::(?=\s|$)|=(?![=>~])|<-)")
VISIBLE = re.compile(r"export (?:default )?|pub(?:\([^)]*\))? |public ")
HIDDEN = re.compile(r"(?:export|pub|public|private|protected|internal)\b")
MEMBER = re.compile(
    r"(?:public|private|protected|internal|override|get|set)\b|.*\(\s*(?:&?(?:mut )?self|cls)\b"
    r"|.*@(?:static|class)method\b|(?!function|func|fn|def)[#\w$]+ ?\([^;]*\{$"
)
OWNED = re.compile(r"(?:public|private|protected|internal)\b")
TESTS = re.compile(r"(?:\w+\.)*[Tt]est(?:_|[A-Z]|$)|.*(?:Test|_test|Tests)$|mod tests")
CALL = re.compile(r"\s*(?:await\s+)?(?:assert\b|[\w.$]*\w!?\s*\()")
PLAIN = (".md", ".rst", ".txt", ".adoc", "", ".html", ".xml", ".svg", ".css", ".scss", ".less", ".json", ".yml",
         ".yaml", ".toml", ".ini")  # fmt: skip
PROSE = PLAIN[:4]


@dataclass(frozen=True)
class Item:
    """A piece of a text, as line numbers from 0: its comments and decorators, its header, its end (exclusive).

    `kind`: class, function, value (whatever binds a name), import, line (any other statement).
    """

    kind: str
    name: str
    top: int
    line: int
    end: int

    @property
    def called(self) -> str:
        return re.split(r"[.(]", self.name)[0]

    @property
    def named(self) -> bool:
        return self.kind in ("class", "function", "value")


class Source:
    """A text as a tree of items, by its definitions and by its indentation."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.lines, self.suffix = path, text.split("\n"), PurePosixPath(path).suffix
        self.language = language_of(path)
        text = "\n".join("" if MARKER.match(line[:LONG_LINE]) else line for line in self.lines)  # git's conflicts
        self.inside, self.notes = literal_lines(path, text)
        self.sections = sections(path, text)
        found = definitions(path, text)[::-1]
        self.defs = {one.first - 1: one for one in sorted(found, key=lambda one: (one.last, one.kind != "value"))}
        self.starts = sorted(at for at, found in self.defs.items() if found.kind != "value")

    def leads(self, at: int) -> bool:
        """Tell whether a line belongs to what follows it: a comment, a decorator."""
        if self.suffix in PROSE:
            return "<!--" in self.lines[at]
        return at in self.notes or bool((MARK_LINE if self.language else COMMENT).match(self.lines[at]))

    def items(self, low: int, high: int) -> list[Item]:
        """List the items between two lines."""
        found, at = list[Item](), low
        while at < high:
            top = at
            while at < high and at not in self.defs and self.leads(at):
                at = at + 1 if at in self.notes or not self.language else self.extent(at, high)
            if at < high and self.lines[at].strip():
                found.append(self.item(top, at, high))
            at = found[-1].end if found and found[-1].end > at else max(at, top + 1)
        return found

    def item(self, top: int, at: int, high: int) -> Item:
        """Describe the item that begins at a line, its comments at TOP."""
        line, found, end = self.lines[at], self.defs.get(at), self.end_of(at, high)
        if found:
            kind = "class" if found.kind == "class" or (found.kind == "test" and self.holds(at, end)) else found.kind
            owner = found.owner.removeprefix("type ") + "." if found.owner.startswith("type ") else ""
            return Item(kind.replace("test", "function"), owner + found.name, top, max(at, found.line - 1), end)
        if at in self.sections:
            return Item("function", line.strip(), top, at, end)
        if self.suffix not in PLAIN and IMPORT.match(line):
            return Item("import", self.flat(at, end), top, at, end)
        binds = BINDS.match(line) if self.suffix not in PROSE else None
        body = end - at > 1 and (self.holds(at, end) or self.suffix in PLAIN)
        kind = "class" if body else "value" if binds else "line"
        text = '"' if line.strip()[0] in "\"'" else bare(line).rstrip("{ ")
        return Item(kind, binds[1] if binds else text, top, at, end)

    def end_of(self, at: int, high: int) -> int:
        """Return the line after an item: no comment below it, but those in it, and the marks of git's conflicts."""
        found = self.defs.get(at)
        end = min(found.last if found else self.extent(at, high), high)
        while end > at + 1 and (not self.lines[end - 1].strip() or self.trails(end - 1, at)):
            end -= 1
        for below in range(end, high):
            if self.lines[below].strip():
                within = below in self.notes and self.depth(below) > self.depth(at)
                if not within and not (below == end and MARKER.match(self.lines[below])):
                    break
                end = below + 1
        return end

    def trails(self, at: int, head: int) -> bool:
        """Tell whether a line is a comment below an item, not in it."""
        return self.leads(at) and self.depth(at) <= self.depth(head)

    def holds(self, at: int, end: int) -> bool:
        """Tell whether definitions begin between two lines."""
        return bisect_left(self.starts, at + 1) < bisect_left(self.starts, end)

    def depth(self, at: int) -> int:
        return width_of(self.lines[at])

    def flat(self, low: int, high: int) -> str:
        return " ".join(" ".join(map(bare, self.lines[low:high])).split())

    def extent(self, start: int, high: int) -> int:
        """Return the line after what begins at a line: by its form where that tells, else by indentation."""
        header, end = self.lines[start].rstrip(), start + 1
        is_label = self.language and not self.language.end and re.fullmatch(r"\s*\w+:", header)  # such as "private:"
        if is_label or (self.suffix in PLAIN and re.search(r"\S</.*>$|/>$", header)):
            return end
        if start in self.sections:
            return next((at for at in self.sections if start < at < high), high)
        while end < high and end in self.inside:
            end += 1
        return end if self.suffix in PROSE else indented_end(self.lines, start, self.inside, end)

    def inner(self, box: Item) -> tuple[int, int]:
        """Return the lines of a box without its header and what closes it."""
        width, head = self.depth(box.line), box.line
        rows = (at for at in range(head + 1, box.end) if self.lines[at].strip())
        deep = [at for at in rows if self.depth(at) > width or at in self.inside]
        return (deep[0], deep[-1] + 1) if deep else (box.end, box.end)

    def title(self, item: Item) -> str:
        """Return the lines that an item begins with, decorators among them."""
        return " ".join(bare(line) for line in self.lines[item.top : item.line + 1] if not COMMENT.match(line))

    def header_end(self, head: int, first: int) -> int:
        """Return the line after a box's header: what is FIRST in it may have comments and blank lines above."""
        while first > head + 1 and (not self.lines[first - 1].strip() or self.leads(first - 1)):
            first -= 1
        return first

    @cached_property
    def tops(self) -> list[Item]:
        return self.items(0, len(self.lines))


def sections(path: str, text: str) -> list[int]:
    """List the lines, from 0, of the headings of a Markdown text that stand in no fence."""
    unfenced = re.sub(r"(?ms)^ *(`{3,}|~{3,}).*?^ *\1", lambda fence: "\n" * fence[0].count("\n"), text)
    return [
        at for at, line in enumerate(unfenced.split("\n")) if path.endswith(".md") and re.match(r"#{1,6} +\S", line)
    ]


@lru_cache(16)
def source(path: str, text: str) -> Source:
    return Source(path, text)


# --- a block into a text ----------------------------------------------------------------------------------------------


class Merge:
    """Puts the items of a block in the place of those of a text, as cuts of its lines: what is not sent stays."""

    def __init__(self, old: Source, new: Source, indented: bool, foreign: str, wanted: Set[str]) -> None:
        self.old, self.new, self.indented, self.foreign, self.wanted = old, new, indented, foreign, wanted
        names = [PurePosixPath(old.path).stem, *(one.name for one in old.defs.values())]
        self.for_tests = any(map(TESTS.match, names)) or any(one.kind == "test" for one in old.defs.values())
        self.cuts: dict[tuple[int, int], list[str]] = {}
        self.placed, self.dropped = 0, ""

    def text(self) -> str:
        """Return the new text; Refusal where nothing of the block has a place."""
        self.level(self.old.tops, self.new.tops, "", True)
        fragment = self.new.language and all(one.kind in ("value", "import") for one in self.new.tops)
        if not self.placed and (self.dropped or fragment or not self.cuts):
            raise Refusal("no-place", "the block is neither the whole file nor one of its definitions")
        return "\n".join(with_imports(spliced(self.old.lines, self.cuts), self.old, self.new, self.dropped))

    def level(self, olds: list[Item], news: list[Item], want: str, root: bool = False) -> None:
        """Put the items of one level in the place of their partners, new ones behind their neighbours."""
        news = [one for one in news if not self.is_gap(one)]
        pairs = self.partners(olds, news, root)
        self.replace_loose(olds, news, pairs)
        self.pair_alike(olds, news, pairs)
        whole = bool(pairs) and not unpaired(olds, pairs)
        near = next((pairs[at] for at in sorted(pairs) if pairs[at]), None)
        spot = near.top if near else -1
        last = max((at for at, one in enumerate(news) if one.kind in ("class", "function")), default=-1)
        called = {one.called for one in olds if one.kind == "line"}
        for at, item in enumerate(news):
            if target := pairs.get(at):
                self.put(item, target)
                near, spot = target, target.end
            elif at not in pairs and self.is_new(item, (not whole or at > last) and item.called not in called):
                self.add(item, olds, near, spot, want, root)
            elif at not in pairs and item.kind != "import":
                self.dropped += "\n".join(self.new.lines[item.top : item.end])

    def is_gap(self, item: Item) -> bool:
        """Tell whether an item stands for lines that were left out."""
        return item.kind == "line" and bool(DOTS_FIRST.match(self.new.lines[item.line]))

    def partners(self, olds: list[Item], news: list[Item], root: bool) -> dict[int, Item | None]:
        """Find the old item of each new one by its text or its name; None for one that comes again below."""
        pairs, theirs = dict[int, Item | None](), grouped(olds)
        for (kind, name), places in grouped(news).items():
            other = {"function": "value", "value": "function"}.get(kind, kind)
            there = [olds[at] for at in theirs.get((kind, name), theirs.get((other, name), ()))]
            pairs |= self.namesakes({at: news[at] for at in places}, there, root)
        return pairs

    def namesakes(self, items: dict[int, Item], there: list[Item], root: bool) -> dict[int, Item | None]:
        """Pair new items of one name with the old ones of it: by their headers, else in their order."""
        *again, last = items
        item = items[last]
        if root and item.kind != "import" and (not there or self.is_member(item)):
            there = self.deeper(item) or there
        if len(there) < 2 and item.named:
            return {**dict.fromkeys(again), **dict(zip([last], there, strict=False))}
        found = same_titles(self.new, items, self.old, there)
        left = [at for at in items if at not in found]
        free = unpaired(there, found)
        if item.named and free and left and len(free) != len(left):
            raise Refusal("ambiguous", f"there are {len(there)} definitions called {item.name}")
        return {**found, **dict(zip(left, free, strict=False))}

    def deeper(self, item: Item) -> list[Item]:
        """List what has an item's name, or else its first line, below the top level."""
        key, header = (item.kind, item.name.rpartition(".")[2]), bare(self.new.lines[item.line])
        same = [one for one in self.all_members if one.named and (one.kind, one.name) == key]
        if same or item.end - item.line == 1:
            return same
        outside = [one for one in self.all_members if one.line not in self.old.inside]
        return [one for one in outside if bare(self.old.lines[one.line]) == header]

    @cached_property
    def all_members(self) -> list[Item]:
        return [*self.members(self.old.tops)]

    def members(self, boxes: Iterable[Item]) -> Iterator[Item]:
        """Give all that lies in some items."""
        for box in boxes:
            within = self.old.items(*self.old.inner(box)) if box.end - box.line > 2 else []
            yield from (*within, *self.members(within))

    def replace_loose(self, olds: list[Item], news: list[Item], pairs: dict[int, Item | None]) -> None:
        """Pair lines of a plain text with as many old ones between the same neighbours."""
        order, left = {id(one): at for at, one in enumerate(olds)}, {id(one) for one in unpaired(olds, pairs)}
        ends = [at for at in sorted(pairs) if id(pairs[at]) in order]
        for a, b in pairwise([-1, *ends, len(news)] if self.old.suffix in PLAIN else ()):
            low = order[id(pairs[a])] if a >= 0 else -1
            high = order[id(pairs[b])] if b < len(news) else len(olds)
            gone = [one for one in olds[low + 1 : high] if id(one) in left]
            come = [at for at in range(a + 1, b) if news[at].kind == "line" and at not in pairs]
            if len(come) < len(gone) or any(one.kind != "line" for one in gone) or not (ends or len(olds) == 1):
                break
            pairs |= dict(zip(come, gone, strict=False))

    def pair_alike(self, olds: list[Item], news: list[Item], pairs: dict[int, Item | None]) -> None:
        """Pair the statements that are left, but for calls, which may be examples of use, with the likest old ones."""
        free = [one for one in unpaired(olds, pairs) if one.kind == "line"]
        spot, reach = 0, COMPARED // (len(news) + 1)
        for at, item in enumerate(news):
            if at in pairs or item.kind != "line" or CALL.match(item.name):
                continue
            start = max(0, spot - reach)
            names = [one.name for one in free[start : spot + reach]]
            best = likest(item.name, names)
            if best >= 0:
                spot = start + best
                pairs[at] = free.pop(spot)

    def is_new(self, item: Item, trails: bool) -> bool:
        """Tell whether an item without a partner is new code: no usage example, no test, nothing of a test file."""
        text = "\n".join(["", *self.new.lines[item.line : item.end], ""])
        if item.kind == "import" or text in self.foreign or (self.is_test(item) and not self.for_tests):
            return False
        return item.named or not trails

    def is_test(self, item: Item) -> bool:
        """Tell whether an item is a test or holds one, and is not what the task asks for by name."""
        if item.name in self.wanted:
            return False
        found = [one for at, one in self.new.defs.items() if item.top <= at < item.end and one.kind != "value"]
        names = [item.name, *(one.name for one in found)]
        return any(one.kind == "test" for one in found) or any(map(TESTS.match, names))

    def add(self, item: Item, olds: list[Item], near: Item | None, spot: int, want: str, root: bool) -> None:
        """Put a new item behind its neighbour, a method into its class, anything else to the end."""
        depth, member = margin(self.old.lines[near.line]) if near else want, self.is_member(item)
        if near and (not root or member == bool(depth) or not item.named):
            want = depth
        elif near and depth:  # beside a method, but none itself: above its class
            spot = next(one.top for one in self.old.tops if one.top <= near.top < one.end)
        elif root and member:
            spot, want = self.room_in_class(item)
        elif not near:
            spot = next((one.top if "__main__" in one.name else one.end for one in olds[-1:]), 0)
        self.insert(item, spot, want)

    def is_member(self, item: Item) -> bool:
        """Tell whether a definition is a method by its form or by its indentation."""
        header = " ".join(map(str.strip, self.new.lines[item.top : item.line + 1]))
        form = {"function": MEMBER, "value": OWNED}.get(item.kind)
        return form is not None and (self.indented or self.new.depth(item.line) > 0 or bool(form.match(header)))

    def room_in_class(self, item: Item) -> tuple[int, str]:
        """Find the end of the methods of the only class that has some, and how they are indented."""
        boxes = [one for one in self.old.tops if one.kind == "class" and not TESTS.match(one.name)]
        methods = ([one for one in self.members([box]) if one.kind == "function"] for box in boxes)
        last = [some[-1] for some in methods if some]
        if len(last) != 1:
            raise Refusal("ambiguous", f"it does not say in which class {item.name} belongs")
        return last[0].end, margin(self.old.lines[last[0].line])

    def insert(self, item: Item, spot: int, want: str) -> None:
        """Insert an item's lines, with blank lines around a definition as the file has them."""
        lead = [line for line in self.new.lines[item.top : item.line] if not DOTS_FIRST.match(line)]
        given = shifted([*lead, *self.new.lines[item.line : item.end]], margin(self.new.lines[item.line]), want)
        before = next((line for line in reversed(self.old.lines[:spot]) if line.strip()), "")
        flat = len(given) == 1 and (not item.named or (margin(before) == want and BINDS.match(before)))
        blank = [""] * (0 if flat else 2 if not want and self.old.suffix == ".py" else 1)
        ahead = [line for line in self.old.lines[spot : spot + 1] if line.strip() and not CLOSER.match(line)]
        self.cuts.setdefault((spot, spot), []).extend([*given, *blank] if ahead else [*blank, *given])

    def put(self, item: Item, target: Item) -> None:
        """Put an item in the place of an old one: its members into a class, anything else whole."""
        self.placed += item.kind != "import"
        news, olds = self.new.lines[item.line : item.end], self.old.lines[target.line : target.end]
        (low, high), (first, last) = self.old.inner(target), self.new.inner(item)
        self.put_lead(item, target)
        if low == high or not self.has_members(item, target):
            self.cuts[target.line, target.end] = redefined(news, olds, target)
            return
        start, stop = self.old.header_end(target.line, low), self.new.header_end(item.line, first)
        header = kept_visible(shifted(self.new.lines[item.line : stop], margin(news[0]), margin(olds[0])), olds[0])
        if first < last:
            self.cuts[target.line, start] = header
        depth = next(margin(line) for line in self.old.lines[low:high] if line.strip())
        self.level(self.old.items(low, high), self.new.items(first, last), depth)

    def has_members(self, item: Item, target: Item) -> bool:
        """Tell whether both are boxes of things with names: not functions, tables, lists of fields."""
        methods = item.kind == "value" and self.old.holds(target.line, target.end)
        if item.kind != target.kind or not (item.kind == "class" or methods):
            return False
        within = (*self.new.items(*self.new.inner(item)), *self.old.items(*self.old.inner(target)))
        return self.old.suffix in PLAIN or any(one.named for one in within)

    def put_lead(self, item: Item, target: Item) -> None:
        """Put the comments and decorators of an item in the place of the old ones; those left out stay."""
        there = self.old.lines[target.top : target.line]
        ahead = [line for line in self.new.lines[item.top : item.line] if not DOTS_FIRST.match(line)]
        marks = any(map(MARK_LINE.match, ahead))
        told = there or marks or len(ahead) > 1  # one comment more may stand for what is left out
        if ahead and told and ahead != there:
            moved = shifted(ahead, margin(self.new.lines[item.line]), margin(self.old.lines[target.line]))
            self.cuts[target.top, target.line] = moved


def redefined(news: list[str], olds: list[str], target: Item) -> list[str]:
    """Return a definition's new lines where the old ones stand; what it leaves out is put back."""
    want, have = margin(olds[0]), margin(news[0])
    body, inner = (next(map(margin, filled(lines[1:])), "") for lines in (olds, news))
    at_home = body and body == inner and len(have) < len(want)  # only the header lost its indentation
    fresh = [want + news[0].lstrip(), *news[1:]] if at_home else shifted(news, have, want)
    if len(news) == 1 < len(olds) and re.search(r"\.\.\.|…", news[0]):
        return olds  # the body is left out within the line
    fresh = completed(kept_visible(fresh, olds[0]), olds)
    short, long = [*map(bare, filled(fresh))], [*map(bare, filled(olds))]
    if short == long[: len(short)] and len(short) * 2 <= len(long):
        raise Refusal("incomplete", "the block is cut off")
    if target.kind != "function" and len({*short} & {*long}) * 2 < len(long) > 3:
        raise Refusal("incomplete", f"it would drop most of {target.name}")
    comma = olds[-1].rstrip().endswith(",") and target.kind != "function"
    if comma or (target.kind == "value" and len(olds) == 1):
        fresh[-1] = fresh[-1].rstrip().removesuffix(",") + "," * comma
    return fresh


def unpaired(olds: Iterable[Item], pairs: Mapping[int, Item | None]) -> list[Item]:
    taken = {id(other) for other in pairs.values()}
    return [one for one in olds if id(one) not in taken]


def same_titles(new: Source, items: Mapping[int, Item], old: Source, there: Sequence[Item]) -> dict[int, Item | None]:
    """Pair the items of one name whose headers, with their decorators, are alike and no other's."""
    olds, news = ([side.title(one) for one in some] for side, some in ((old, there), (new, items.values())))
    place, olds_of, news_of = dict(zip(olds, there, strict=True)), Counter(olds), Counter(news)
    return {at: place[title] for at, title in zip(items, news, strict=True) if olds_of[title] == news_of[title] == 1}


def grouped(items: Iterable[Item]) -> dict[tuple[str, str], list[int]]:
    """Map the keys of items to their places."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, item in enumerate(items):
        groups.setdefault((item.kind, item.name), []).append(at)
    return groups


def kept_visible(lines: list[str], old: str) -> list[str]:
    """Keep the word that makes an old definition visible elsewhere, where a new one has none."""
    seen, rest = VISIBLE.match(old.strip()), lines[0].lstrip() if lines else ""
    return [margin(old) + seen[0] + rest, *lines[1:]] if seen and not HIDDEN.match(rest) else lines


def shifted(lines: Sequence[str], have: str, want: str) -> list[str]:
    """Move lines from one indentation to another."""
    moved = (want + line[len(have) :] if line.startswith(have) else want + line.lstrip() for line in lines)
    return [line if line.strip() else "" for line in moved]


def spliced(lines: Sequence[str], cuts: Mapping[tuple[int, int], list[str]]) -> list[str]:
    """Put new lines in the place of some ranges."""
    fresh, done = list[str](), 0
    for (start, end), piece in sorted(cuts.items()):
        if start < done:
            raise Refusal("ambiguous", "it holds the same definition twice")
        fresh += [*lines[done:start], *piece]
        done = end
    return [*fresh, *lines[done:]]


# --- imports ----------------------------------------------------------------------------------------------------------


def imported(text: str) -> tuple[str, set[str]]:
    """Split an import into where it imports from, if it says so, and the names that it imports."""
    found = re.search(r"from\s*([\"'][^\"']+[\"'])|^from (\S+) import|^use ((?:\w+::)+)", text)
    names = re.findall(r"[\w$*]+", text.replace(found[0], "") if found else text)
    return (next(filter(None, found.groups())) if found else ""), set(names) - {"import", "type", "as", "from", "use"}


def with_imports(lines: list[str], old: Source, new: Source, dropped: str = "") -> list[str]:
    """Take over new imports, but those of what the file defines: into the one from the same place, else below."""
    if not any(item.kind == "import" for item in new.tops):
        return lines
    tops = Source(old.path, "\n".join(lines)).tops
    there = [item for item in tops if item.kind == "import"]
    own, known = {item.name for item in old.tops}, {item.name for item in there}
    idle = {*re.findall(r"[\w$]+", dropped)} - {*re.findall(r"[\w$]+", "\n".join(lines))}
    last = max((item.end for item in there), default=0) or beginning(lines, tops)
    cuts: dict[tuple[int, int], list[str]] = {}
    for item in new.tops:
        place, names = imported(item.name)
        if item.kind != "import" or item.name in known or names & idle or (place and names and names <= own):
            continue
        same = next((one for one in there if place and imported(one.name)[0] == place), None)
        had, text = imported(same.name)[1] if same else set[str](), new.lines[item.line : item.end]
        if same and had <= names:
            cuts[same.line, same.end] = text
        elif names - had:
            cuts.setdefault((last, last), []).extend(text)
    return spliced(lines, cuts)


def beginning(lines: list[str], tops: Sequence[Item]) -> int:
    """Return the line before which a first import goes: below a docstring, a first line for the shell, a package."""
    docstring = [one.end for one in tops[:1] if one.name == '"']
    return docstring[0] if docstring else int(lines[0].startswith(("#!", "<?php", "package ")))


# --- a block into a text: whole ---------------------------------------------------------------------------------------

ESCAPED = re.compile(r"&(?:lt|gt|amp|quot|#39);")


def rewrite(path: str, old: str, edit: Code, foreign: str = "", wanted: Set[str] = frozenset()) -> str:
    """Return a file's new text from a block that holds it, some of its definitions, or old lines and new ones."""
    lines = clean(edit.text, old)
    if not lines and (old.strip() or not edit.closed):
        raise Refusal("incomplete", "the block is empty")
    if not edit.closed and is_cut(path, lines, old):
        raise Refusal("incomplete", "the block is cut off")
    if not old.strip():
        return new_text(lines)
    if is_quote(edit.text, old):
        return old
    first = next(line for line in edit.text.split("\n") if line.strip())
    new, indented = Source(path, "\n".join(lines)), width_of(first) > 0
    head = next((lines[one.line] for one in new.tops), "")
    if new.language and not new.defs and head.endswith("{"):  # perhaps a method at the margin
        new, indented = Source(path, "\n".join("    " + line for line in lines)), True
    return with_ending(Merge(source(path, old), new, indented, foreign, wanted).text(), old)


def new_text(lines: list[str]) -> str:
    """Return the text of a new file; Refusal where lines are left out."""
    gaps = [line for line in lines if DOTS_FIRST.match(line) and line.strip() != "..."]
    if gaps or (lines and COMMENT.match(lines[-1]) and re.search(r"\.\.\.|…", lines[-1])):
        raise Refusal("incomplete", "it leaves lines out of a new file")
    return "\n".join([*lines, ""]) if lines else ""


def is_cut(path: str, lines: list[str], old: str) -> bool:
    """Tell whether a block without its last fence ends within something."""
    text, end, olds = "\n".join(lines), bare(lines[-1]), [*map(bare, old.split("\n"))]
    if end not in olds and any(line.startswith(end) for line in olds):
        return True
    return any(count > 0 for count in open_brackets(path, text)) or not parses(path, text)


def with_ending(new: str, old: str) -> str:
    """End a text with one newline, or with none where the old one had none."""
    new = new.rstrip("\n")
    return new if old and not old.endswith("\n") else new + "\n" if new else ""


# --- lines that are searched for --------------------------------------------------------------------------------------


def swap(text: str, edit: Change) -> str:
    """Return the text with the change made at the one place where it fits; Refusal at none or several."""
    problem = None
    for old, new in edit.readings:
        try:
            return swap_lines(text, old.split("\n"), new.split("\n") if new else [], edit.line)
        except Refusal as refusal:
            problem = problem or refusal
    raise problem or Refusal("no-edit", "a SEARCH/REPLACE block has no ======= line")


def swap_lines(text: str, wanted: list[str], given: list[str], hint: int) -> str:
    """Find the wanted lines, whatever their blanks and look-alike signs, and put the given ones there."""
    lines = text.split("\n")
    if not filled(wanted):
        raise Refusal("no-place", "an empty SEARCH part in a file that has lines")
    both = in_style([*wanted, *given], text)
    wanted, given = both[: len(wanted)], both[len(wanted) :]
    if gaps := gaps_in(wanted, lines, told=True):
        parts, others = split_at(wanted, gaps), split_at(given, gaps_in(given, lines, told=True))
        contents = left_out(parts, lines)
        wanted, given = fill(parts, contents), fill(others, contents) if len(others) == len(parts) else given
    given = completed(given, wanted)
    spots = matches(lines, wanted)
    spots = [spot for spot in spots if spot.start == hint - 1] or spots
    if len(spots) > 1:
        near = "\n[...]\n".join("\n".join(lines[max(0, spot.start - 3) : spot.stop + 3]) for spot in spots[:4])
        raise Refusal("ambiguous", f"its SEARCH part stands at {len(spots)} places", near)
    for spot in spots:
        fresh = carried(lines[spot.start : spot.stop], wanted, given)
        return "\n".join([*lines[: spot.start], *fresh, *lines[spot.stop :]])
    return swap_otherwise(text, wanted, given)


def swap_otherwise(text: str, wanted: list[str], given: list[str]) -> str:
    """Try what is left: copied line numbers, a piece of one line."""
    rest = unnumbered(wanted, text)
    if rest != wanted:
        blank = " " if NUMBERED.sub("", wanted[0]) != rest[0] else ""
        if NUMBERED.match(given[0] if given else ""):
            given = [NUMBERED.sub("", line).removeprefix(blank) if NUMBERED.match(line) else line for line in given]
        return swap_lines(text, rest, given, 0)
    piece, other = "\n".join(wanted).strip(), "\n".join(given).strip()
    if "\n" not in piece + other and len(piece) >= 8 and text.count(piece) == 1:
        return text.replace(piece, other)
    raise Refusal("no-place", "its SEARCH part does not stand in the file", nearest(text.split("\n"), wanted))


def matches(lines: Sequence[str], wanted: Sequence[str]) -> list[range]:
    """List the line ranges where the wanted lines stand: the most exact ones; blank lines do not count."""
    told = [(at, bare(line)) for at, line in enumerate(lines) if line.strip()]
    texts, needle = [text for _, text in told], [bare(line) for line in filled(wanted)]
    size = len(needle)
    starts = [at for at in range(len(texts) - size + 1) if texts[at] == needle[0] and texts[at : at + size] == needle]
    spots = [range(told[at][0], told[at + size - 1][0] + 1) for at in starts]
    told_lines = filled(wanted)
    exact = [sum(map(str.__eq__, filled(lines[spot.start : spot.stop]), told_lines)) for spot in spots]
    return [spot for spot, count in zip(spots, exact, strict=True) if count == max(exact)]


def carried(real: list[str], wanted: Sequence[str], given: Sequence[str]) -> list[str]:
    """Write the new lines as the real ones are written: unchanged ones as they are, others with their indentation."""
    if [*wanted] == real:
        return [*given]
    olds, told, news = (filled(lines) for lines in (real, wanted, given))
    if any(line != plain(line) for line in told) and all(line == plain(line) for line in olds):
        news = [*map(plain, news)]
    there, rows = ([at for at, line in enumerate(lines) if line.strip()] for lines in (real, given))
    trails = any(old != old.rstrip() for old in olds)
    fresh = [line if trails else line.rstrip() for line in indented(told, olds, news)]
    pieces, lines, done = dict(zip(rows, fresh, strict=True)), list[str](), 0
    pairing = difflib.SequenceMatcher(None, [*map(straight, told)], [*map(straight, news)], False)
    for a, b, size in pairing.get_matching_blocks():
        lines += [pieces.get(at, "") for at in range(done, rows[b] if size else len(given))]
        if size:
            lines += real[there[a] : there[a + size - 1] + 1]
            done = rows[b + size - 1] + 1
    for end, other in ((0, wanted[0]), (-1, wanted[-1])):
        while lines and not lines[end] and not other.strip():
            del lines[end]
    return lines


def indented(told: Sequence[str], olds: Sequence[str], news: Sequence[str]) -> list[str]:
    """Indent new lines the way the model's lines relate to the real ones."""
    table = dict(zip(map(margin, told), map(margin, olds), strict=True))
    if all(table[margin(a)] == margin(b) for a, b in zip(told, olds, strict=True)):
        return [translated(margin(line), table) + line.lstrip() for line in news]
    if len(news) != len(told):
        raise Refusal("no-place", "the indentation of its SEARCH part is not the file's", "\n".join(olds))
    return [margin(old) + line.lstrip() for old, line in zip(olds, news, strict=True)]


def translated(have: str, table: Mapping[str, str]) -> str:
    """Translate an indentation by the longest known one that it begins with."""
    told = max((told for told in table if have.startswith(told)), key=len, default=min(table, key=len))
    lack = max(0, len(told) - len(have))
    return table[told][: max(0, len(table[told]) - lack)] + have[len(told) :]


def nearest(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Show the part of a file that shares the most words with the wanted lines, with three lines around it."""
    words, size = {*re.findall(r"\w+", "\n".join(wanted))}, len(wanted)
    shared = [len(words & {*re.findall(r"\w+", line[:LONG_LINE])}) for line in lines]
    scores = [sum(shared[at : at + size]) for at in range(len(lines))]
    best = scores.index(max(scores))
    return "\n".join(lines[max(0, best - 3) : best + size + 3]) if scores[best] else ""


# --- checking a new text ----------------------------------------------------------------------------------------------

PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    ".py": ("Python", ast.parse), ".pyi": ("Python", ast.parse), ".json": ("JSON", json.loads),
    ".toml": ("TOML", tomllib.loads),
}  # fmt: skip


@lru_cache(16)
def parses(path: str, text: str) -> bool:
    """Tell whether a text is valid in the language of its path, as far as that can be told."""
    try:
        PARSERS.get(PurePosixPath(path).suffix, ("", str))[1](text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def open_brackets(path: str, text: str) -> list[int]:
    """Return how many brackets of each kind, and quotes over lines, are left open (or closed once too often)."""
    if not language_of(path) and PurePosixPath(path).suffix not in (".css", ".scss", ".less", ".json"):
        return [0]
    code = blanked(path, text)
    return [*(code.count(a) - code.count(b) for a, b in ("()", "[]", "{}")), text.count("`") % 2, text.count('"""') % 2]


def open_tags(text: str) -> set[str]:
    """Name the tags, alone on their lines, that are not opened as often as closed."""
    found = Counter[str]()
    for wrap in (WRAP.fullmatch(line) for line in text.split("\n") if len(line) < LONG_LINE):
        if wrap:
            found[wrap["tag"] or wrap["word"]] += -1 if wrap["end"] or wrap["shut"] else 1
    return {tag for tag, count in found.items() if count}


def check(path: str, old: str, new: str, edit: Edit) -> None:
    """Refuse a new text that cannot be meant, whatever way it came about."""
    suffix, before = PurePosixPath(path).suffix, {*map(str.strip, old.split("\n"))}
    loose = suffix in PLAIN
    for line in (line for line in new.split("\n") if line.strip() not in before and len(line) < LONG_LINE):
        found = MARKER.match(line)
        if found and (found.lastgroup != "divide" or not loose):
            raise Refusal("marker", f"it would put the line {line.strip()[:60]!r} into the file")
        if DOTS_FIRST.match(line) and COMMENT.match(line):
            raise Refusal("incomplete", f"it leaves lines out, and it is not clear which ({line.strip()[:60]})")
    if not loose and (tags := open_tags(new) - open_tags(old)):
        raise Refusal("marker", f"it would put the tag {next(iter(tags))} into the file")
    if any(abs(b) > abs(a) for a, b in zip(open_brackets(path, old), open_brackets(path, new), strict=True)):
        raise Refusal("broken-syntax", "with it a bracket or a quote is left open")
    if parses(path, old) and not parses(path, new):
        raise Refusal("broken-syntax", f"with it the file is no valid {PARSERS[suffix][0]}")
    had, kept = ({one.name for one in source(path, text).defs.values()} for text in (old, new))
    lost = (had - kept) & {one.name for one in source(path, old).tops}
    if lost and isinstance(edit, Code):
        raise Refusal("incomplete", f"it would drop {', '.join(sorted(lost))}")


def check_signs(path: str, old: str, edit: Code | Change) -> None:
    """Refuse what is written in the signs of another text: entities, line ends as two letters."""
    text = edit.text if isinstance(edit, Code) else "".join(map("".join, edit.readings[:1]))
    escape = ESCAPED.search(text)
    if escape and not ESCAPED.search(old) and PurePosixPath(path).suffix not in PLAIN:
        raise Refusal("escaped", f"it is written with {escape[0]} for the sign itself")
    if text.count("\\n") > 1 and "\n" not in text.strip() and text.strip() not in old:
        raise Refusal("escaped", "its lines are one line, with \\n between them")


# --- from edits to a plan ---------------------------------------------------------------------------------------------


def place_all(edits: Iterable[Edit], files: Files, plan: Plan) -> Refused:
    """Add each edit to the plan, in order; return those that have no place. A block that names no file may be prose."""
    refused: Refused = []
    edits = latest([*dict.fromkeys(edits)])
    for edit in edits:
        try:
            path = home_of(edit, files, plan, {tidy(one.path) for one in edits})
            text = plan[path] if path in plan else files.text(path)
            plan[path] = placed(edit, path, text, files)
        except Refusal as refusal:
            refused.append((edit, refusal))
    for path in [path for path, text in plan.items() if text == files.text(path)]:
        del plan[path]
    return [] if plan and not any(edit.path for edit, _ in refused) else refused


def is_quote(text: str, old: str) -> bool:
    """Tell whether a block only shows lines that stand in the file."""
    lines = clean(text, old) if old else []
    return bool(lines) and len(matches(old.split("\n"), lines)) == 1


def placed(edit: Edit, path: str, old: str | None, files: Files) -> str | None:
    """Return a file's text after an edit, None if it is deleted."""
    if isinstance(edit, Delete):
        check_deletion(path, old, files)
        return None
    check_signs(path, old or "", edit)
    if isinstance(edit, Code):
        new = rewrite(path, old or "", edit, *what_tests_hold(path, files))
    elif not (old or "").strip() and edit.readings and not edit.readings[0][0].strip():
        new = with_ending(edit.readings[0][1], "")
    elif old is None:
        raise Refusal("no-place", "there is no such file")
    else:
        new = swap(old, edit)
    if new != (old or ""):
        own = own_signs(old, new) if old else new
        new = new if own == old else own
        if parses(path, old or "") and not parses(path, new):
            new = in_keyboard_signs(path, new)
        check(path, old or "", new, edit)
    return new


def what_tests_hold(path: str, files: Files) -> tuple[str, frozenset[str]]:
    """Return the text of shown test files, which belongs into no source file, and the words of the task itself."""
    tests = [one for one in shown(files.prompt, files) if one != path and is_for_tests(one, files)]
    foreign = "\n\n".join(files.text(one) or "" for one in tests if not is_for_tests(path, files))
    asked = re.search(r"^# Task\b[^\n]*\n(.*?)(?=^# |\Z)", files.prompt, re.MULTILINE | re.DOTALL)
    return f"\n{foreign}\n", frozenset(re.findall(r"\w+", asked[1]) if asked else ())


def is_for_tests(path: str, files: Files) -> bool:
    return files.protects(path) or bool(TESTS.match(PurePosixPath(path).stem.replace(".", "_")))


def check_deletion(path: str, old: str | None, files: Files) -> None:
    """Refuse to delete a file unless the task's own words ask for it."""
    if old is None:
        raise Refusal("no-place", "there is no such file")
    name = re.escape(PurePosixPath(path).name)
    asked = re.search(rf"(?i)\b(?:delet|remov)\w*\b[^\n]*{name}", files.prompt)
    if not asked or path in files.listed or is_for_tests(path, files):
        words = "stays, as the task does not ask to delete it; send the code that shall change"
        raise Refusal("deletes", f"{path} {words}")


def home_of(edit: Edit, files: Files, plan: Plan, named: set[str]) -> str:
    """Find the file that an edit means: the one that it names, the only one that it fits, the only one listed."""
    known = dict.fromkeys([*files.listed, *shown(files.prompt, files)])
    texts = {path: plan[path] if path in plan else files.text(path) for path in known}
    if edit.path and (not isinstance(edit, Code) or edit.sure):
        path = resolve(edit.path, files)
        tails = [tail for tail in texts if "/" in tail and path.endswith(f"/{tail}")]
        there = path in plan or files.text(path) is not None
        return tails[0] if tails and not there and fit(edit, tails[0], texts[tails[0]] or "") else path
    scores = {path: fit(edit, path, text or "") for path, text in texts.items()}
    best = [path for path, score in scores.items() if score and score == max(scores.values())]
    if len(best) == 1:
        return best[0]
    if edit.path and not edit.path.endswith(UNREAD):
        return resolve(edit.path, files)
    free = [
        path for path in files.listed if not files.protects(path) and (texts[path] is not None or path not in named)
    ]
    if best or edit.path or len(free) != 1:
        raise Refusal("no-place", "it does not say of which file it is")
    return free[0]


def fit(edit: Edit, path: str, text: str) -> int:
    """Count the definitions of an edit that a text has too; lines that are searched for count as one."""
    with suppress(Refusal):
        if isinstance(edit, Change):
            swap(text, edit)
            return 1
        sent = edit.text if isinstance(edit, Code) and text.strip() else ""
        lines = clean(sent, text)
        names = {one.name for one in source(path, text).defs.values()}
        news = {one.name for one in definitions(path, "\n".join(lines))}
        return len(names & news) or int(bool(lines) and not news and is_quote(sent, text))
    return 0
