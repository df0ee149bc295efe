#!/usr/bin/env python3
"""Find the code that a failure concerns, and show it within a budget: JSON in, JSON out.

    failure -> definitions that its test ran, weighed against tests that pass, else those that its names lead to
    -> ranked -> of each the lines that matter -> passages within a number of tokens

The request is a file named as the argument, or standard input:

    root, paths      the project, and its own files relative to it
    tests, sources   patterns of the paths of test files, and of sources; without the latter what is no test is one
    window           lines shown around a place outside of any definition
    token, ratio     the pattern of a piece of text; pieces * ratio[0] // ratio[1] are tokens
    failure          {"tests": [name], "summary", "frames": [[path, line]]}, the outermost first; empty: files are shown
    traces           what tests ran, as _trace.py records it
    prompt           "first": listed files, then other code; "fix": code, then files that it left out; "none": neither
    files, words     the files that a task lists, and its words
    budgets          tokens: of all `code`, the `test`, each `file` that is shown whole (in a fix without code up to
                     `file_alone`), each `outline`

The reply holds `test_files`, where the first failing test lies, for the prompt "none"; else lists of passages, each
{"title", "path", "code"}: `files` shown whole, `outlines` of large ones, `code`, and the `test`'s own. It only reads.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, cached_property
from heapq import heappop, heappush
from itertools import accumulate, chain, count, islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from _definitions import Definition, Language, blank_literals, compiled, definitions, language_of
from _encoding import decode

# --- data ---------------------------------------------------------------------


Frame = tuple[str, int]  # a path and a line


@dataclass(frozen=True)
class Failure:
    """What a red test run said: the failing tests, the final error, and its places, the outermost first."""

    tests: Sequence[str]
    summary: str
    frames: Sequence[Frame]


@dataclass(frozen=True)
class Candidate:
    """A definition that may be at fault.

    `marks` are the lines that a long one is cut around, the most needed first; `weight` is how much its worst line is
    suspected, from 0 to 1; `most` the tokens over which it is long.
    """

    item: Definition
    marks: tuple[int, ...] = ()
    weight: float = 0
    most: int = 400

    @property
    def path(self) -> str:
        return self.item.path


Candidates = Sequence[Candidate]


@dataclass(frozen=True)
class Passage:
    """What a prompt shows: code below a title; a title alone where there is none."""

    title: str
    path: str = ""
    code: str = ""

    def __str__(self) -> str:
        """As it costs tokens in a prompt."""
        return f"{self.title}\n```py\n{self.code}\n```\n" if self.code else self.title


# --- the project's files ------------------------------------------------------

LARGEST_FILE = 2_000_000  # bytes
LONG_FUNCTION = 60  # lines


def read_text(path: Path) -> str:
    """Read a file as text; empty where it is none, binary, or too large."""
    try:
        raw = path.read_bytes() if path.is_file() and path.stat().st_size <= LARGEST_FILE else b""
    except (OSError, ValueError):
        return ""
    text, _ = decode(raw) or ("" if b"\0" in raw else raw.decode("utf-8", "replace"), "")
    return text.replace("\r\n", "\n")


class Source:
    """A file's text, and what is made of it when it is first needed."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    @cached_property
    def rows(self) -> list[str]:
        """The lines; row 1 is the first of them."""
        return self.text.removesuffix("\n").split("\n") if self.text else []

    @cached_property
    def code_rows(self) -> list[str]:
        """The lines without comments and literals."""
        language = language_of(self.path)
        return blank_literals(self.text, language).split("\n") if language else self.rows

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        return definitions(self.path, self.text)

    @cached_property
    def function_by_line(self) -> dict[int, Definition]:
        return function_by_line(self.definitions)


def function_by_line(items: Iterable[Definition]) -> dict[int, Definition]:
    """Map each line to the outermost function around it that is not too long, else to the innermost."""
    found: dict[int, Definition] = {}
    for item in items:
        for line in range(item.first, item.last + 1) if item.kind == "function" else ():
            if line not in found or found[line].last - found[line].first > LONG_FUNCTION:
                found[line] = item
    return found


class Project:
    """The project's files, which are read once, and the rules that tell tests from sources."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.root, self.paths, self.ratio = Path(request["root"]), request["paths"], request["ratio"]
        self.tests, self.token = re.compile(request["tests"]), re.compile(request["token"])
        self.sources = re.compile(request["sources"]) if request["sources"] else None
        self.read: dict[str, Source] = {}

    def source(self, path: str) -> Source:
        if path not in self.read:
            self.read[path] = Source(path, read_text(self.root / path))
        return self.read[path]

    def lines(self, item: Definition) -> list[str]:
        """The lines of a definition."""
        return self.source(item.path).rows[item.first - 1 : item.last]

    def is_test(self, path: str) -> bool:
        return bool(self.tests.match(path))

    def is_source(self, path: str) -> bool:
        return bool(self.sources.match(path)) if self.sources else not self.is_test(path)

    def function_at(self, path: str, line: int) -> Definition | None:
        """Find the function around a line; none in a test file."""
        return None if self.is_test(path) else self.source(path).function_by_line.get(line)

    def tokens(self, text: str) -> int:
        return int(len(self.token.findall(text)) * self.ratio[0] // self.ratio[1])


# --- excerpts: the lines of a definition that are shown -----------------------

CONSTRUCTORS = ("constructor", "new", "initialize", "__construct", "__init__")
HASHES = (".py", ".pyi", ".rb", ".sh", ".pl", ".ex", ".exs", ".toml", ".yml", ".yaml")
FEW_LINES = 5  # of code: a shorter function keeps its docstring
ATTRIBUTES = 6


@cache
def chosen_rows(project: Project, candidate: Candidate) -> Sequence[int]:
    """Choose a definition's lines: all but a docstring; of a long one the signature, and what is near its marks."""
    item, source = candidate.item, project.source(candidate.path)
    last = min(item.last, len(source.rows))
    body = [row for row in range(item.first, last + 1) if not item.doc[0] <= row <= item.doc[1]]
    if len(body) < FEW_LINES:
        body = list(range(item.first, last + 1))
    if project.tokens(join_rows(source, body)) <= candidate.most:
        return body
    head = max(item.first, item.head)
    chosen = set(range(item.first, head + 1))
    if project.tokens(join_rows(source, chosen)) > candidate.most // 2:
        chosen = {item.first, head}
    return sorted(grown(project, candidate, chosen, body))


def grown(project: Project, candidate: Candidate, chosen: set[int], body: Sequence[int]) -> set[int]:
    """Add to CHOSEN lines of a long BODY what is near its marks, as long as it fits."""
    source, allowed = project.source(candidate.path), set(body)
    marks = (candidate.marks or body)[: candidate.most]  # no line takes less than a token
    for mark, near in [(marks[0], 3), *((mark, 0) for mark in marks[1:]), *((mark, 2) for mark in marks[1:])]:
        more = without_gaps(chosen | {*range(mark - near, mark + near + 1)} & allowed, allowed)
        if len(more) > len(chosen) and project.tokens(join_rows(source, more)) <= candidate.most:
            chosen = more
    return chosen


def without_gaps(rows: Set[int], allowed: Set[int]) -> set[int]:
    """Fill gaps of at most two lines between ROWS: to say that they are left out would take as much."""
    gaps = (range(one + 1, other) for one, other in pairwise(sorted(rows)) if other - one <= 3)
    return {*rows, *(row for row in chain.from_iterable(gaps) if row in allowed)}


def join_rows(source: Source, rows: Iterable[int], begins: Set[int] = frozenset()) -> str:
    """Join lines of a file; where others lie between, but not before those of BEGINS, a comment counts them."""
    shown: list[str] = []
    mark = "#" if PurePosixPath(source.path).suffix in HASHES else "//"
    known = sorted({row for row in rows if 0 < row <= len(source.rows)})
    for before, row in pairwise([0, *known]):
        text, between = source.rows[row - 1], source.rows[before : row - 1] if before else []
        if row not in begins and any(map(str.strip, between)):
            shown.append(f"{text[: len(text) - len(text.lstrip())]}{mark} ... {len(between)} lines omitted")
        elif between:
            shown.append("")
        shown.append(text)
    return "\n".join(shown)


def size_of(project: Project, candidate: Candidate) -> int:
    """Count the tokens of what is shown."""
    return project.tokens(join_rows(project.source(candidate.path), chosen_rows(project, candidate)))


@cache
def class_rows(project: Project, item: Definition) -> Sequence[int]:
    """List the line of a method's class, and those that declare or set the attributes that it uses."""
    source = project.source(item.path)
    above = (row for row in range(item.first - 1, 0, -1) if source.rows[row - 1].strip() == item.owner)
    heads = list(islice(above, 1)) if item.owner else []
    around = [other for other in source.definitions if other.kind == "class" and other.first < item.first <= other.last]
    if not around or item.kind == "class" or project.is_test(item.path):
        return heads
    owner = around[-1]
    inner = (other for other in source.definitions if owner.first < other.first <= owner.last)
    maker = next((other for other in inner if other.name in CONSTRUCTORS), item)
    found = attribute_rows(source, item, owner, maker)[:ATTRIBUTES]
    made = [maker.first] if any(maker.first < row < item.first for row in found) else []
    return [*heads, *made, *found]


def attribute_rows(source: Source, item: Definition, owner: Definition, maker: Definition) -> list[int]:
    """List the lines of the class OWNER, of its methods only MAKER's, that set what ITEM uses."""
    language = language_of(source.path)
    if not language:
        return []
    body = "\n".join(source.rows[item.first - 1 : item.last])
    used = set(re.findall(r"\b(?:self|cls|this)(?:\.|->)#?(\w+)", body) or re.findall(r"\w+", body))
    sets = compiled(language.field).match
    found: list[int] = []
    for row in range(owner.head + 1, min(owner.last, len(source.rows)) + 1):
        if source.function_by_line.get(row) in (None, maker):
            match = sets(source.rows[row - 1])
            found += [row] if match and match["name"] in used else []
    return found


# --- names: what a failure mentions, and where that leads ---------------------

MENTION = re.compile(
    r"(?:(?P<of>\w+)\s*(?:\?\.|\.|->|::)\s*)?(?P<name>[A-Za-z_$][\w$]*[?!]?)(?P<call>!?\s*(?:(?:::)?<[^<>()\n]*>)?\()?"
)
WORD = re.compile(r"\w+|[^\w\s]{2,}")
CHOICE = re.compile(  # where a program can go wrong by one sign: operators, numbers, conditions
    r"[<>=!]=|(?<=\s)[-+*/%<>&|^?]{1,2}(?=\s)|[-+]{2}|![\w(]|\b(?:\d+|if|while|for|not|and|or|switch|case)\b"
)
TO_TEXT = ("fmt", "toString", "ToString", "to_s", "__str__", "__repr__", "__toString", "String", "Error")
FORMATS = re.compile(r"(?i)\b(?:format|f?printf?(?:ln)?|to_?s(?:tring)?|str|repr)\b|[$f#]\W?\{")
HOOK = re.compile(r"(?:before|setup)(?:Each|All)?|set_up|setUp")
TITLE_END = r"(?:[/(\[#].*| with data set .*)?$"  # what runners put behind a test's name
NAME_END = re.compile(r"(?:\w{3,}|.{3})(?=[/(\[#]| with data set |$)")
FOLLOWED, CONSIDERED = 9, 60  # definitions of one name
REACHED = 80  # definitions in all
INDEXED = 400  # files of a language


Definitions = Sequence[Definition]


class Mention(NamedTuple):
    """A name in a line of code: what is before its dot, whether it is called."""

    name: str
    of: str
    called: bool
    line: int


def find_mentions(rows: Sequence[str], first: int, line: int) -> Iterator[Mention]:
    """List the names in ROWS, of which the first has the number FIRST.

    The nearest to LINE, where the failure is, come first; what is behind it counts less.
    """
    numbered = list(enumerate(rows, first))
    for number, text in sorted(numbered, key=lambda item: line - item[0] if item[0] <= line else 30 + item[0] - line):
        for match in sorted(MENTION.finditer(text), key=lambda match: (not match["call"], match.start())):
            yield Mention(match["name"], match["of"] or "", bool(match["call"]), number)
            if match["of"]:
                yield Mention(match["of"], "", False, number)  # a table is asked by its methods


def word_stems(text: str) -> set[str]:
    """Take the beginnings of the words in a text, to tell what is named alike."""
    words = re.findall(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}", text)
    return {word[:4].lower() for word in words} - {"test", "asse", "expe", "shou", "erro", "true", "fals", "with"}


def stands_for(item: Definition, test: str) -> bool:
    """Tell whether a definition's name is the last part of a TEST's, not only the last word of its title."""
    before = r"(?:^|\W)" if item.kind == "test" else r"(?:^|[^\w\s]\s*)"
    return len(item.name) > 2 and bool(re.search(f"{before}{re.escape(item.name)}{TITLE_END}", test))


class ReferenceSearch:
    """Follows names from definition to definition; in FILES, and named like what is TOLD, they are likelier."""

    def __init__(self, project: Project, files: Sequence[str], told: str) -> None:
        self.project, self.files, self.told, self.stems = project, files, set(WORD.findall(told)), word_stems(told)
        paths = [path for path in project.paths if language_of(path)]
        self.paths = sorted(paths, key=lambda path: self.told.isdisjoint(WORD.findall(path)))
        self.known: dict[Language, dict[str, list[Definition]]] = {}
        self.resolved: dict[tuple[str, str, str], list[tuple[int, Definition]]] = {}
        self.rare = Counter[str]()

    def find_test(self, test: str) -> list[Definition]:
        """Find the definition of a failing test by its name, in test files first."""
        ends = set(NAME_END.findall(test))
        for path in sorted(self.paths, key=lambda path: not self.project.is_test(path))[:2000]:
            source = self.project.source(path)
            if any(end in source.text for end in ends):
                alike = [item for item in source.definitions if stands_for(item, test)]
                if alike:
                    return alike[-1:]
        return []

    def reachable_definitions(self, begins: Iterable[tuple[Definition, int]]) -> dict[Definition, float]:
        """Map what can be reached from definitions (each with the line in question) to its cost, the least first."""
        begun, numbers = dict(begins), count()
        tests = dict.fromkeys(body.path for body in begun if self.project.is_test(body.path))
        hooks = [item for path in tests for item in self.project.source(path).definitions if HOOK.fullmatch(item.name)]
        heap = [(0.0, next(numbers), item) for item in (*begun, *hooks)]
        costs = dict[Definition, float]()
        while heap and len(costs) < REACHED:
            cost, _, body = heappop(heap)
            if body not in costs:
                costs[body] = cost
                for step, item in self.steps(body, begun.get(body, body.last)):
                    heappush(heap, (cost + step, next(numbers), item))
        for item, cost in costs.items():
            costs[item] = cost + 2.5 * (cost > 0 and self.project.is_test(item.path)) + self.unlikeliness(item)
        return dict(sorted(costs.items(), key=lambda cost: cost[1]))

    def steps(self, body: Definition, line: int) -> list[tuple[float, Definition]]:
        """List what BODY mentions with what the step costs, seen from LINE: less where a name or its line is likely."""
        language = language_of(body.path)
        if not language:
            return []
        source, is_test = self.project.source(body.path), self.project.is_test(body.path)
        imported = compiled(language.imports).findall(source.text)
        hints = {"conftest", *re.findall(r"\w+", " ".join(imported))}
        index = self.index(language, hints)
        seen, found = set[str](), list[tuple[float, Definition]]()
        for mention in self.mentioned(body, line):
            if mention.name in seen:
                continue
            seen.add(mention.name)
            # A test may quote a name as a user writes it.
            known = index.get(mention.name) or index.get(mention.name.lower())
            if items := self.resolve(known, mention, body, hints) if known else []:
                place = 0.5 + 0.015 * len(seen) + 0.7 * (len(items) > 1) - self.likeness(mention, source)
                meant = mention.called or (body.kind == "value" and not is_test)  # any entry of a table may be
                prices = [place + self.price(item, mention, meant) for item in items]
                found += [(max(price, 0.1), item) for price, item in zip(prices, items, strict=True)]
        return found

    def likeness(self, mention: Mention, source: Source) -> float:
        """Say how much a name, and its line, are like what is told."""
        row = source.rows[mention.line - 1]
        return 0.7 * bool(self.stems & word_stems(mention.name)) + 0.6 * bool(self.stems & word_stems(row))

    def mentioned(self, body: Definition, line: int) -> Iterator[Mention]:
        """List the names in BODY, the likeliest first; what formats text calls the methods that make it."""
        source = self.project.source(body.path)
        rows = self.project.lines(body)
        # What a test quotes may be a name.
        read = rows if self.project.is_test(body.path) else source.code_rows[body.first - 1 : body.last]
        yield from find_mentions(read, body.first, line)
        if any(FORMATS.search(row) for row in rows):
            yield from (Mention(name, "", False, body.first) for name in TO_TEXT)

    def index(self, language: Language, hints: Set[str]) -> dict[str, list[Definition]]:
        """Map names to what they mean in LANGUAGE; of a large project the files that HINTS name are read first."""
        if language in self.known:
            return self.known[language]
        found = self.known[language] = {}
        paths = [path for path in self.paths if language_of(path) is language]
        for path in sorted(paths, key=lambda path: hints.isdisjoint(WORD.findall(path)))[:INDEXED]:
            for item, meant, is_whole in meanings(self.project.source(path).definitions):
                found.setdefault(item.name, []).extend(meant)
                if is_whole and not self.project.is_test(path):
                    self.rare.update(self.shared_words(item))
        return found

    def shared_words(self, item: Definition) -> set[str]:
        """Take from a definition the words, and the signs, that are told of the failure too."""
        return self.told & set(WORD.findall("\n".join(self.project.lines(item))))

    def resolve(self, items: Definitions, mention: Mention, body: Definition, hints: Set[str]) -> list[Definition]:
        """Choose among definitions of one name those that BODY means: by what is before the dot, and by its imports.

        What a method calls on an object may be the method of any type.
        """
        key = (mention.name, mention.of, body.path)
        if key not in self.resolved:
            self.resolved[key] = self.likeliest(items, mention.of, body.path, hints)
        others: list[tuple[int, Definition]] = []
        for score, item in self.resolved[key]:
            if item.path != body.path or not item.first <= body.first <= item.last:
                others.append((score, item))
        best = others[0][0] if others else 0
        free = bool(mention.of and body.owner) and best < 3
        return [item for score, item in others if score == best or (free and item.owner)][:FOLLOWED]

    def likeliest(self, items: Definitions, of: str, path: str, hints: Set[str]) -> list[tuple[int, Definition]]:
        """Score definitions by how near they are to PATH, and by what is before the dot; the best first."""
        near: dict[str, tuple[int, str]] = {}
        scored: list[tuple[int, Definition]] = []
        for item in items:
            if item.path not in near:
                pure = PurePosixPath(item.path)
                points = (item.path in (path, *self.files)) + (pure.stem in hints) + (pure.parent.name in hints)
                near[item.path] = (points, pure.stem)
            points, stem = near[item.path]
            is_owner = bool(of) and of.lower() in f"{item.owner} {stem}".lower()
            scored.append((points + 3 * is_owner, item))
        scored.sort(key=lambda score: -score[0])
        return scored[:CONSIDERED]

    def price(self, item: Definition, mention: Mention, called: bool) -> float:
        """Say what it costs that what a name means is only told, or made, or of an unlikely kind."""
        made = 1.6 * (mention.name in CONSTRUCTORS or item.name != mention.name)
        is_fixture = "fixture" in "".join(self.project.lines(item)[:1])
        told = 0 if called or is_fixture else 0.85 + bool(mention.of and item.owner)  # the latter may be an attribute
        return made + told + {"class": 2.5, "value": 0.2}.get(item.kind, 0)

    def unlikeliness(self, item: Definition) -> float:
        """Say how little a definition looks at fault: long, nothing in it to get wrong, no rare word told."""
        language, body = language_of(item.path), "\n".join(self.project.lines(item)[1:])
        choices = len(CHOICE.findall(blank_literals(body, language))) if language else 0
        rare = any(self.rare[word] in (1, 2) for word in self.shared_words(item))
        size = size_of(self.project, Candidate(item))
        return 0.006 * size + 0.5 * (not choices) - 0.5 * math.log1p(choices) - rare


def meanings(items: Sequence[Definition]) -> Iterator[tuple[Definition, list[Definition], bool]]:
    """Give for each of a file's definitions but tests what its name means, and whether nothing lies in it.

    A type with definitions in it means its constructors, an entry of a table means the table.
    """
    kept = [item for item in items if item.kind != "test"]
    tables: list[Definition] = []
    for place, item in enumerate(kept):
        while tables and tables[-1].last < item.first:
            tables.pop()
        inner: list[Definition] = []
        for at in range(place + 1, len(kept)):
            other = kept[at]
            if other.first > item.last:
                break
            if other.first > item.first and item.name in re.findall(r"\w+", other.owner):
                inner.append(other)
        made = [other for other in inner if other.name in (item.name, *CONSTRUCTORS)]
        table = [other for other in tables if other.first < item.first][-1:]
        yield item, made if inner else table or [item], not inner
        if item.kind == "value":
            tables.append(item)


# --- traces: what tests ran ---------------------------------------------------

Place = tuple[str, float]
Scores = Mapping[Definition, float]
Key = TypeVar("Key", bound=Hashable)


class Call(NamedTuple):
    """How a test called a function: the place of its last call in their order, how often, whether by itself."""

    last: int = 0
    times: int = 0
    direct: bool = False


@dataclass(frozen=True)
class Coverage:
    """What one test ran; `failed` is None for what a process ran that the test started.

    `calls` are by a function's path and first line; `places` are paths and lines, behind whose dot a column may stand.
    """

    name: str
    failed: bool | None
    calls: Mapping[tuple[str, int], Call]
    places: frozenset[Place]

    def __add__(self, part: Coverage) -> Coverage:
        return replace(self, calls={**part.calls, **self.calls}, places=self.places | part.places)

    def functions(self, project: Project) -> set[Definition]:
        """The functions of sources that it ran."""
        return {item for path, place in self.places if (item := project.function_at(path, int(place)))}


def read_coverage(traces: Iterable[Mapping[str, Any]]) -> list[Coverage]:
    """Read what the tracer recorded; what a test's processes ran is added to it. Scripts count without tests only."""
    found: list[Coverage] = []
    for test in traces:
        calls = {(path, line): Call(last, times, bool(near)) for path, line, last, times, near in test["calls"]}
        places = frozenset((path, place) for path, numbers in test["lines"].items() for place in numbers)
        found.append(Coverage(test["name"], test["failed"], calls, places))
    parts = [part for part in found if part.failed is None]
    whole = [test for test in found if test.failed is not None]
    tests = [sum((part for part in parts if part.name == test.name), test) for test in whole if test.name]
    return tests or whole


@dataclass(frozen=True)
class Suspiciousness:
    """How much the functions are suspected that a failing test ran: the lines of each, the worst first.

    `worst` is the weight of that one, from 0 to 1; `scores` rank the functions, each in its own way.
    """

    marks: Mapping[Definition, Sequence[int]]
    worst: Scores
    scores: Sequence[Scores]
    calls: Mapping[Definition, Call]


def ochiai(failing: Sequence[Iterable[Key]], passing: Sequence[Iterable[Key]]) -> dict[Key, float]:
    """Score what failing tests ran by how few passing ones ran it: ef / sqrt(F * (ef + ep)), from 0 to 1."""
    red, green = Counter(chain(*failing)), Counter(chain(*passing))
    return {key: ef / (len(failing) * (ef + green[key])) ** 0.5 for key, ef in red.items()}


def reciprocal_rank_fusion(scores: Iterable[Scores]) -> dict[Definition, float]:
    """Merge several scores of the same keys into one: each gives 1 / (5 + how many are better)."""
    merged: dict[Definition, float] = {}
    for score in scores:
        better = dict[float, int]()
        for place, value in enumerate(sorted(score.values(), reverse=True)):
            better.setdefault(value, place)
        for key, value in score.items():
            merged[key] = merged.get(key, 0) + 1 / (5 + better[value])
    return merged


def fill_with_median(scores: Scores, keys: Iterable[Definition]) -> Scores:
    """Score those of KEYS that have no score like the one in the middle."""
    middle = sorted(scores.values())[len(scores) // 2] if scores else 0
    return {key: scores.get(key, middle) for key in keys}


def last_calls(project: Project, test: Coverage) -> dict[Definition, Call]:
    """Map each function that TEST ran to its last call; zeros where nothing is recorded of it."""
    calls = dict.fromkeys(test.functions(project), Call())
    for (path, line), call in test.calls.items():
        item = project.function_at(path, line)
        if item in calls:
            calls[item] = max(calls[item], call)
    return calls


def call_scores(calls: Mapping[Definition, Call], test: str) -> list[Scores]:
    """Score functions without a passing test: called late, by the test itself, named alike, seldom."""
    words = set(re.findall(r"[a-z]+", test.lower()))
    return [
        {item: call.last for item, call in calls.items()},
        {item: call.direct for item, call in calls.items()},
        {item: len(words & set(re.findall(r"[a-z]+", item.name.lower()))) for item in calls},
        {item: -call.times for item, call in calls.items()},
    ]


def weigh_coverage(project: Project, tests: Sequence[Coverage], name: tuple[str, ...]) -> Suspiciousness:
    """Weigh what the failing test of that NAME ran against the tests that passed; without one its calls tell."""
    failing, passing = ([test for test in tests if test.failed == failed] for failed in (True, False))
    first = next((test for test in failing if test.name.endswith(name)), failing[0])
    weights = ochiai([test.places for test in failing], [test.places for test in passing])
    marks: dict[Definition, list[int]] = {}
    worst: dict[Definition, float] = {}
    for path, place in sorted(first.places, key=lambda key: (-weights[key], key)):
        if item := project.function_at(path, int(place)):
            marks.setdefault(item, []).append(int(place))
            worst.setdefault(item, weights[path, place])
    groups = [[test.functions(project) for test in group] for group in (failing, passing)]
    whole, calls = ochiai(*groups), last_calls(project, first)
    scores = [worst, {item: whole[item] for item in marks}] if passing else call_scores(calls, first.name)
    return Suspiciousness(marks, worst, scores, calls)


# --- ranking ------------------------------------------------------------------

FEW = 700  # tokens of definitions that names lead to; more only where these hold less than
CLEAR = 0.8  # of the likelihood
NEAR = 4  # what a helper of the test's own may cost
UNTRACED = 700  # tokens over which a definition is long where nothing tells which of its lines ran


class Ranking:
    """Ranks the definitions that a failure concerns."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.project, self.failure, self.half = Project(request), Failure(**request["failure"]), request["window"] // 2
        told = " ".join([*self.failure.tests[:1], self.failure.summary])
        self.search = ReferenceSearch(self.project, request["files"], told)

    @cached_property
    def named_test(self) -> list[Definition]:
        return self.search.find_test(self.failure.tests[0]) if self.failure.tests else []

    @cached_property
    def begins(self) -> list[Candidate]:
        """What the failure names: the frames' definitions, the innermost first, then the failing test."""
        framed = [self.around(frame) for frame in reversed(self.failure.frames)]
        known = {candidate.item for candidate in framed}
        return [*framed, *(Candidate(item) for item in self.named_test if item not in known)]

    def test_files(self) -> list[str]:
        """List the files that the first failing test lies in, as the frames and its title tell."""
        framed = [path for path, _ in self.failure.frames if self.project.is_test(path)]
        return list(dict.fromkeys([*framed, *(item.path for item in self.named_test)]))

    def around(self, frame: Frame) -> Candidate:
        """Find the function around FRAME, or its class; a window of lines elsewhere."""
        path, line = frame
        inside = [item for item in self.project.source(path).definitions if item.first <= line <= item.last]
        window = Definition(path, "", max(1, line - self.half), line + self.half)
        return Candidate(function_by_line(inside).get(line, inside[-1]) if inside else window, (line,))

    def is_tests_own(self, item: Definition) -> bool:
        """Tell whether a definition is a test's own: in a test file, or named like the failing test.

        One with a docstring may have that name for its doctest, and is what is tested.
        """
        is_test = self.project.is_test(item.path)
        return is_test or (item.doc == (0, 0) and any(stands_for(item, test) for test in self.failure.tests[:9]))

    def concerned(self, tests: Sequence[Coverage]) -> list[Candidate]:
        """List what the failure concerns, the most needed first: by what its test ran, without a trace by names."""
        begins = ((begin.item, begin.marks[0] if begin.marks else begin.item.last) for begin in self.begins)
        costs = self.search.reachable_definitions(begins)
        if not any(test.failed for test in tests):
            return self.by_names(costs)
        bodies = [candidate for candidate in self.begins if self.project.is_test(candidate.path)]
        return merge_candidates([*self.by_coverage(tests, costs, bodies), *bodies])

    def by_coverage(self, tests: Sequence[Coverage], costs: Scores, bodies: Iterable[Candidate]) -> list[Candidate]:
        """Rank what the failing test ran, and values, by suspiciousness and clues; later last calls break ties."""
        seen = weigh_coverage(self.project, tests, tuple(self.failure.tests[:1]))
        frames = {candidate.item: candidate for candidate in self.framed_sources()}
        values = [item for item in costs if item.kind == "value" and self.project.is_source(item.path)]
        values = [item for item in values if not item.path.endswith(".py")]  # they crowd out what ran (94 to 91 %)
        found = list(dict.fromkeys((*seen.marks, *values)))
        said = (line for body in bodies for line in self.project.lines(body.item)[:-1])  # the last often only closes it
        clues = self.clues(found, frames, set(re.findall(r"\w+", "\n".join(said))), costs)
        total = reciprocal_rank_fusion([*clues, *(fill_with_median(score, found) for score in seen.scores)])
        found.sort(key=lambda item: (total[item], seen.calls.get(item, Call())), reverse=True)
        ranked = [candidate for item, candidate in frames.items() if item not in total]
        for item in found:
            marks = (*(frames[item].marks if item in frames else ()), *seen.marks.get(item, ()))
            ranked.append(Candidate(item, marks, seen.worst.get(item, 0)))
        return ranked

    def framed_sources(self) -> Candidates:
        """List what the frames name beside tests, the innermost first; where some are sources, only those."""
        framed = [self.around(frame) for frame in reversed(self.failure.frames) if not self.project.is_test(frame[0])]
        return merge_candidates([item for item in framed if self.project.is_source(item.path)] or framed)

    def clues(self, found: Definitions, frames: Iterable[Definition], named: Set[str], costs: Scores) -> list[Scores]:
        """Score what was FOUND: by how near it is to the FRAMES, if the test NAMED it, and what names cost."""
        depth = {item: -place for place, item in enumerate(frames)}
        return [
            {item: depth.get(item, -len(depth)) for item in found},
            {item: item.name in named for item in found},
            {item: -costs.get(item, math.inf) for item in found},
        ]

    def by_names(self, costs: Scores) -> list[Candidate]:
        """List what the failure names, then what names lead to from there, by their COSTS."""
        project = self.project
        begins = sorted(
            self.begins, key=lambda begin: not project.is_source(begin.path) or self.is_tests_own(begin.item)
        )
        own = merge_candidates(begins)
        known = {candidate.item for candidate in own}
        left = {item: cost for item, cost in costs.items() if item not in known}
        helpers = [item for item, cost in left.items() if not project.is_source(item.path) and cost < NEAR]
        framed = sum(size_of(project, candidate) for candidate in own if not self.is_tests_own(candidate.item))
        found = self.likely({item: cost for item, cost in left.items() if project.is_source(item.path)}, framed)
        return [replace(item, most=UNTRACED) for item in (*own, *map(Candidate, (*helpers, *found)))]

    def likely(self, costs: Scores, framed: int) -> list[Definition]:
        """Choose by their COSTS (the least first) a FEW tokens of definitions, or all where those are not clear.

        FRAMED is the size of those that the traceback names; they are reason enough to take few.
        """
        few, room = list[Definition](), FEW - framed
        for item in costs:
            size = size_of(self.project, Candidate(item))
            if size <= room:
                few.append(item)
                room -= size
        odds = {item: math.exp(-cost) for item, cost in costs.items()}
        is_clear = sum(odds[item] for item in few) >= CLEAR * sum(odds.values())
        return few if framed or is_clear else list(costs)


def merge_candidates(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Take each definition once, at its first place, with the marks of all."""
    found: dict[Definition, Candidate] = {}
    for candidate in candidates:
        first = found.setdefault(candidate.item, candidate)
        marks = tuple(dict.fromkeys((*first.marks, *candidate.marks)))
        found[candidate.item] = replace(first, marks=marks)
    return list(found.values())


# --- showing: candidates and files as passages within a budget ----------------

PACKED = 40  # candidates that are tried
NAMED_LEFT_OUT = 3  # of the first candidates it is said that they did not fit


def show(project: Project, candidates: Candidates) -> Passage:
    """Show definitions of one file, methods below the line of their class."""
    path, items = candidates[0].path, [candidate.item for candidate in candidates]
    source = project.source(path)
    rows = {row for item in items for row in class_rows(project, item)}
    rows.update(row for candidate in candidates for row in chosen_rows(project, candidate))
    first, last = min(item.first for item in items), min(max(item.last for item in items), len(source.rows))
    cut = min((item.last for item in items if item.last not in rows), default=last)
    code = join_rows(source, rows, {item.first for item in items if item.first <= cut})
    return Passage(f"{path} (lines {first}-{last} of {len(source.rows)})", path, code)


def pack(project: Project, wanted: Candidates, budget: int) -> list[Passage]:
    """Show candidates within BUDGET tokens, the first at greater length; say which of the first did not fit.

    Where a few stand out, half of it is enough.
    """
    room = budget // 2 if stands_out(wanted) else budget
    chosen: dict[str, list[Candidate]] = {}
    shown: dict[str, Passage] = {}
    left: list[Definition] = []
    for place, candidate in enumerate(wanted[:PACKED]):
        fitting = shortened(candidate, place, room)
        same_file = [*chosen.get(candidate.path, ()), fitting]
        trial = {**shown, candidate.path: show(project, same_file)}
        if project.tokens("\n".join(map(str, trial.values()))) <= room:
            chosen[candidate.path], shown = same_file, trial
        elif place < NAMED_LEFT_OUT:
            left.append(candidate.item)
    note = ", ".join(f"{item.name or 'lines'} in {item.path} ({item.last - item.first + 1} lines)" for item in left)
    return [*shown.values(), *([Passage(f"(not shown: {note})")] if note else ())]


def shortened(candidate: Candidate, place: int, room: int) -> Candidate:
    """Let a candidate have the less lines the later its PLACE."""
    share = min(1 + place, 3 if candidate.weight else 2)
    return replace(candidate, most=min(candidate.most // share, room * 4 // 5))


def stands_out(candidates: Candidates) -> bool:
    """Tell whether one to three stand out."""
    highest = max((candidate.weight for candidate in candidates), default=0)
    return highest > 0 and sum(candidate.weight == highest for candidate in candidates) <= 3


def show_whole(project: Project, path: str, budget: int) -> Passage | None:
    """Show a listed file whole, or say why it cannot be; nothing where it has more than BUDGET tokens."""
    try:
        size = (project.root / path).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return Passage(f"{path} (does not exist yet)")
    except (OSError, ValueError):
        return Passage(f"{path} (cannot be read)")
    text = project.source(path).text
    if not text:
        return Passage(f"{path} ({size:,} bytes, not shown)" if size else f"{path} (empty)")
    return Passage(path, path, text.rstrip()) if project.tokens(text) <= budget else None


def outline(project: Project, path: str, words: Set[str], budget: int, shown: str) -> list[Passage]:
    """Show the signatures of a large file with their lines, then what WORDS name and SHOWN does not hold already."""
    source = project.source(path)
    title = f"{path} ({len(source.rows)} lines, about {project.tokens(source.text)} tokens: not shown whole)"
    signed = signature_rows(source)
    if not signed:
        return [Passage(title)]
    spent = accumulate(project.tokens(source.rows[row - 1]) + 3 for row in signed)
    fitting = sorted(row for row, tokens in zip(signed, spent, strict=True) if tokens <= budget // 2)
    lines = [f"{row}: {source.rows[row - 1].rstrip()}" for row in fitting]
    if len(fitting) < len(signed):
        lines.append(f"({len(signed) - len(fitting)} more definitions are not listed)")
    named = [item for item in source.definitions if item.name in words]
    unseen = [item for item in named if source.rows[max(item.first, item.head) - 1] not in shown]
    return [Passage(title, "", "\n".join(lines)), *pack(project, list(map(Candidate, unseen)), budget // 2)]


def signature_rows(source: Source) -> list[int]:
    """List the lines that definitions begin with, decorators passed over, the least indented first."""
    found: list[int] = []
    for item in source.definitions:
        rows = range(item.first, item.last + 1)
        found.append(next((row for row in rows if source.rows[row - 1].lstrip()[:1] != "@"), item.first))
    return sorted(found, key=lambda row: (len(source.rows[row - 1]) - len(source.rows[row - 1].lstrip()), row))


# --- the program --------------------------------------------------------------


def locate(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request; the beginning of this file tells both forms."""
    ranking = Ranking(request)
    if request["prompt"] == "none":
        return {"test_files": ranking.test_files()}
    concerned = ranking.concerned(read_coverage(request["traces"]))
    tests = [candidate for candidate in concerned if ranking.is_tests_own(candidate.item)]
    suspects = [candidate for candidate in concerned if not ranking.is_tests_own(candidate.item)]
    return compose(ranking.project, request, suspects, tests)


def compose(project: Project, request: Mapping[str, Any], suspects: Candidates, tests: Candidates) -> dict[str, Any]:
    """Show listed files whole, other code, and outlines; for a fix the code, then the files that it left out."""
    budgets, files, is_first = request["budgets"], request["files"], request["prompt"] == "first"
    whole = {path: show_whole(project, path, budgets["file"]) for path in (files if is_first else ())}
    large = [path for path, passage in whole.items() if not passage]
    room = budgets["code"] - (budgets["outline"] // 2 if large else 0)
    suspects, tests = ([item for item in items if not whole.get(item.path)] for items in (suspects, tests))
    code, test = pack(project, suspects, room), pack(project, tests, budgets["test"])
    words, shown = set(re.findall(r"\w+", request["words"])), "\n".join(map(str, code))
    outlines = [passage for path in large for passage in outline(project, path, words, budgets["outline"], shown)]
    if not is_first:
        seen, most = {passage.path for passage in code}, budgets["file" if code else "file_alone"]
        whole = {path: show_whole(project, path, most) for path in files if path not in seen}
    return {"files": list(filter(None, whole.values())), "outlines": outlines, "code": code, "test": test}


def main() -> None:
    text = Path(sys.argv[1]).read_bytes() if sys.argv[1:] else sys.stdin.buffer.read()
    print(json.dumps(locate(json.loads(text)), default=vars))


if __name__ == "__main__":
    main()
