"""Find the definitions in a source file: functions, methods, types, tables of values, and tests that have a title.

    text -> literals blanked -> where definitions begin (a row of _languages.txt tells) -> where their brackets end

Python is parsed instead. Nothing is read but the table beside this file, and nothing written.
"""

from __future__ import annotations

import ast
import contextlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from _patterns import read_table

TABLE = Path(__file__).with_name("_languages.txt")
NEVER = "(?!)"
KIND_OF_GROUP = {"type": "class", "test": "test", "hook": "test", "table": "value", "macro": "value", "group": "value"}
CLOSES = {")": "(", "]": "[", "}": "{"}
CONTINUES = tuple("{.?:|&+=")
UNCLOSED = 2  # brackets left open that a closing one passes over
HEADER = 100  # brackets and semicolons between the begin of a definition and its body


@dataclass(frozen=True)
class Definition:
    """A function, method, type or value: its lines are counted from 1, `owner` is the line of the type around it.

    `kind` is function, class, value or test; `line` is where the name stands, below decorators, `head` the last line of
    the signature, `doc` the first and last line of the docstring, zeros without one.
    """

    path: str
    name: str
    first: int
    last: int
    owner: str = ""
    kind: str = ""
    head: int = 0
    doc: tuple[int, int] = (0, 0)
    line: int = 0


# --- definitions ------------------------------------------------------------------------------------------------------


@lru_cache(512)
def definitions(path: str, source: str) -> tuple[Definition, ...]:
    """List the definitions of a file in the order of their first lines; none where its language is not known.

    SOURCE has line feeds for line ends. Python that does not parse is read by its patterns; a minified file has none.
    """
    if path.endswith((".py", ".pyi")) and (found := python_definitions(path, source)):
        return found
    language = language_of(path)
    minified = len(source) > 80 * source.count("\n") + 20_000
    return () if minified or not language else matched_definitions(path, source, language)


# --- Python -----------------------------------------------------------------------------------------------------------


def python_definitions(path: str, source: str) -> tuple[Definition, ...]:
    """List the functions and classes of a Python file and the values of its top level, outer ones first."""
    found: list[Definition] = []
    rows = source.split("\n")

    def visit(node: ast.AST, owner: str) -> None:
        for child in ast.iter_child_nodes(node):
            below = owner
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.append(python_definition(path, child, owner))
                below = rows[child.lineno - 1].strip() if isinstance(child, ast.ClassDef) else owner
            elif node is tree and isinstance(child, ast.stmt) and (name := assigned_name(child)):
                found.append(Definition(path, name, child.lineno, child.end_lineno or 0, kind="value"))
            if not isinstance(child, ast.expr):  # no expression holds a definition
                visit(child, below)

    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        tree = ast.parse(source)
        visit(tree, "")
    return tuple(found)


def python_definition(path: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, owner: str) -> Definition:
    """Describe a function or class; it begins with its decorators."""
    first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
    begin = node.body[0]
    has_docstring = ast.get_docstring(node, clean=False) is not None and begin.end_lineno != node.lineno
    doc = (begin.lineno, begin.end_lineno or 0) if has_docstring else (0, 0)
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    marks = begin.decorator_list if isinstance(begin, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else []
    head = max(node.lineno, min([begin.lineno, *(item.lineno for item in marks)]) - 1)
    return Definition(path, node.name, first, node.end_lineno or 0, owner, kind, head, doc, node.lineno)


def assigned_name(node: ast.stmt) -> str:
    """Give the name that an assignment binds, empty where NODE is none or binds several."""
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return ""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


# --- the table of languages -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Language:
    """How a language writes definitions: a row of `_languages.txt`, which explains the fields; others match nothing."""

    suffixes: str
    hidden: str
    imports: str
    body: str = NEVER
    value: str = NEVER
    owner: str = NEVER
    field: str = NEVER
    end: str = ""
    evident: str = NEVER


@cache
def languages() -> dict[str, Language]:
    """Map the endings of files, and names after a "#", to their languages."""
    found: dict[str, Language] = {}
    for name, row in read_table(TABLE.read_text(encoding="utf-8")).items():
        if name != "shared":
            language = Language(**{key: "|".join(patterns) for key, patterns in row.items()})
            found |= dict.fromkeys([f"#{name}", *language.suffixes.split()], language)
    return found


def language_of(path: str) -> Language | None:
    """Find the language of a file by its ending."""
    return languages().get(path[path.rfind(".") :])


def tagged_language(tag: str) -> Language | None:
    """Find the language that the tag of a fence names: by its name or by an ending."""
    return languages().get(f"#{tag}") or languages().get(f".{tag}")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of lines when it is first needed."""
    return re.compile(pattern, re.MULTILINE)


# --- other languages --------------------------------------------------------------------------------------------------


def matched_definitions(path: str, source: str, language: Language) -> tuple[Definition, ...]:
    """List what the patterns of LANGUAGE find in SOURCE, by first line."""
    code = blank_literals(source, language)
    blocks = Blocks(code)
    owners = Owners(find_spans(code, blocks, language.owner, True, language.end))
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    rows = source.split("\n")
    found = set[Definition]()
    for pattern, has_body in ((language.body, True), (language.value, False)):
        for begin, finish, match in find_spans(code, blocks, pattern, has_body, language.end):
            group = match.lastgroup or "name"
            name = source[slice(*match.span(group))].strip("\"'`# ")
            usual = "function" if has_body or group != "name" else "value"
            first, last = bisect_right(starts, begin), bisect_right(starts, finish - 1)
            line = bisect_right(starts, match.start(group))
            around = owners.around(begin, finish, name)
            receiver = match.groupdict().get("of")
            owner = f"type {receiver}" if receiver else ""
            if around is not None:
                owner = rows[bisect_right(starts, around) - 1].strip()
            kind = KIND_OF_GROUP.get(group, usual)
            found.add(Definition(path, name, first, last, owner, kind, first, line=line))
    return tuple(sorted(found, key=lambda item: (item.first, item.last, item.name, item.kind)))


def blanked(path: str, source: str) -> str:
    """Return the source without comments and literals; as it is where the language is not known."""
    language = language_of(path)
    return blank_literals(source, language) if language else source


@lru_cache(64)
def literal_lines(path: str, source: str) -> tuple[frozenset[int], frozenset[int]]:
    """Tell the lines, from 0, that begin within a literal, and those that hold a comment alone."""
    language = language_of(path)
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    inside, notes = set[int](), set[int]()
    for match in compiled(language.hidden).finditer(source) if language else ():
        first, last = bisect_right(starts, match.start()) - 1, bisect_right(starts, match.end() - 1) - 1
        if not match[0].lstrip().startswith(("//", "/*", "#", "--", "{-")):
            inside.update(range(first + 1, last + 1))
        elif not source[starts[first] : match.start()].strip():
            notes.update(range(first, last + 1))
    return frozenset(inside), frozenset(notes)


def blank_literals(source: str, language: Language) -> str:
    """Blank out comments and what stands in quotes, but for what a string interpolates; every offset stays."""

    def blank(match: re.Match[str]) -> str:
        edge = match[0][0] if match[0][0] in "\"'`" else " "
        inside = re.sub(r"([$#]\{[^{}\n]*\})|[^\n]", lambda sign: sign[1] or " ", match[0][1:-1])
        return edge + inside + (edge if len(match[0]) > 1 else "")

    return compiled(language.hidden).sub(blank, source)


Span = tuple[int, int, re.Match[str]]


def find_spans(code: str, blocks: Blocks, pattern: str, has_body: bool, end: str) -> Iterator[Span]:
    """Give begin and end of what PATTERN finds, as offsets, with the match.

    What HAS_BODY has to have one in braces; in a language with an END, indentation tells.
    """
    for match in compiled(pattern).finditer(code):
        begin = match.start() + len(match[0]) - len(match[0].lstrip())
        indent = begin - code.rfind("\n", 0, begin) - 1
        finish = end_by_indent(code, begin, indent, end) if end else blocks.end_of(begin, indent, has_body)
        if finish > begin:
            yield begin, finish, match


def end_by_indent(code: str, begin: int, indent: int, end: str) -> int:
    """Find where a definition ends whose body is indented deeper than INDENT and followed by END."""
    last = re.compile(rf"\n[ \t]{{{indent}}}(?={end})\S+|\n(?=[ \t]{{0,{indent}}}[^\s)\]}}])").search(code, begin)
    return last.end() if last else len(code)


class Owners:
    """The types of a file by the offsets where they begin, each with the type around it."""

    def __init__(self, spans: Iterator[Span]) -> None:
        self.spans = sorted((begin, finish, match["name"]) for begin, finish, match in spans)
        self.begins = [begin for begin, _, _ in self.spans]
        self.outer: list[int] = []
        for place, (begin, _, _) in enumerate(self.spans):
            self.outer.append(self.climb(place - 1, begin))

    def climb(self, place: int, offset: int) -> int:
        """Find the innermost type that reaches OFFSET, from the type at PLACE outwards; -1 without one."""
        while place >= 0 and self.spans[place][1] <= offset:
            place = self.outer[place]
        return place

    def around(self, begin: int, finish: int, name: str) -> int | None:
        """Give where the innermost type around a definition begins that has another NAME."""
        place = self.climb(bisect_left(self.begins, begin) - 1, finish - 1)
        while place >= 0 and self.spans[place][2] == name:
            place = self.outer[place]
        return self.spans[place][0] if place >= 0 else None


class Blocks:
    """The brackets, semicolons and line ends of CODE; brackets are paired once, so that a body is passed in one step.

    CODE is without comments and literals.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self.stops = [(match.start(), match[0]) for match in re.finditer(r"[()\[\]{};\n]", code)]
        self.offsets = [offset for offset, _ in self.stops]
        self.signs = [place for place, (_, sign) in enumerate(self.stops) if sign != "\n"]
        self.partner = pair_brackets(self.stops)

    def end_of(self, begin: int, indent: int, has_body: bool) -> int:
        """Find where the definition at offset BEGIN ends; 0 where it HAS_BODY and none is found."""
        place = bisect_left(self.offsets, begin)
        if has_body:
            place = self.end_of_body(place)
        return self.end_of_statement(place, indent) if place >= 0 else 0

    def end_of_body(self, place: int) -> int:
        """Find the stop after the first braces from the stop at PLACE on; -1 where the statement ends before any."""
        at = bisect_left(self.signs, place)
        for _ in range(HEADER):
            if at >= len(self.signs):
                return -1
            _, sign = self.stops[self.signs[at]]
            close = self.partner.get(self.signs[at])
            if sign not in "([{" or close is None:
                return -1
            if sign == "{":
                return close + 1
            at = bisect_right(self.signs, close)
            if at < len(self.signs) and self.ends_between(self.stops[close][0], self.stops[self.signs[at]][0]):
                return -1
        return -1

    def ends_between(self, close: int, sign: int) -> bool:
        """Tell whether a header that has no body ends between a bracket and the next sign: below stands a new one."""
        return bool(re.search(r"\n[ \t]*\n\s*\S", self.code[close + 1 : sign]))

    def end_of_statement(self, place: int, indent: int) -> int:
        """Find where a statement ends that is open at the stop at PLACE: before what closes it, or a line like it."""
        while place < len(self.stops):
            offset, sign = self.stops[place]
            if sign in "([{":
                close = self.partner.get(place)
                if close is None:
                    break
                place = close
            elif sign != "\n" or not self.goes_on(offset + 1, indent):
                return offset
            place += 1
        return len(self.code)

    def goes_on(self, offset: int, indent: int) -> bool:
        """Tell whether the line at OFFSET continues the statement: deeper (as blanked ones are), or an operator's."""
        end = self.code.find("\n", offset)
        line = self.code[offset : end if end >= 0 else len(self.code)]
        begin = line.lstrip(" \t")
        return len(line) - len(begin) > indent or begin.startswith(CONTINUES)


def pair_brackets(stops: Sequence[tuple[int, str]]) -> dict[int, int]:
    """Map the places of opening brackets to those of their closing ones; one left open inside of others has none."""
    partner: dict[int, int] = {}
    opened: list[int] = []
    for place, (_, sign) in enumerate(stops):
        if sign in "([{":
            opened.append(place)
        for back in range(1, min(len(opened), UNCLOSED + 1) + 1) if sign in CLOSES else ():
            if stops[opened[-back]][1] == CLOSES[sign]:
                partner[opened[-back]] = place
                del opened[-back:]
                break
    return partner
