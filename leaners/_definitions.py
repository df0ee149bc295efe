"""Find the definitions in a source file: functions, methods, types, tables of values, and tests that have a title.

    text -> literals blanked -> where definitions begin (a row of _languages.txt tells) -> where what is deeper ends

Python is parsed instead. Nothing is read but the table beside this file, and nothing written.
"""

from __future__ import annotations

import ast
import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from _patterns import read_table

TABLE = Path(__file__).with_name("_languages.txt")
NEVER = "(?!)"
KIND_OF_GROUP = {"type": "class", "test": "test", "hook": "test", "table": "value", "macro": "value", "group": "value"}


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
    head = max(node.lineno, begin.lineno - 1)
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
    code, rows, starts = blank_literals(source, language), source.split("\n"), line_starts(source)
    lines, inside = code.split("\n"), literal_lines(path, source)[0]

    def spans(pattern: str, bodies: bool) -> Iterator[Span]:
        for match in compiled(pattern).finditer(code):
            group = match.lastgroup or "name"
            first = bisect_right(starts, match.start() + len(match[0]) - len(match[0].lstrip()))
            line = bisect_right(starts, match.start(group))
            last = indented_end(lines, first - 1, inside, line)
            if not bodies or language.end or BODY.match(code, match.end(group), starts[last]):
                yield Span(first, last, line, source[slice(*match.span(group))].strip("\"'`# "), match)

    found, owners = set[Definition](), sorted(spans(language.owner, True), key=lambda span: span.first)
    for pattern, usual in ((language.body, "function"), (language.value, "value")):
        for one, outer in with_owners(spans(pattern, usual == "function"), owners):
            group, receiver = one.match.lastgroup or "name", one.match.groupdict().get("of")
            kind = KIND_OF_GROUP.get(group, usual if group == "name" else "function")
            owner = rows[outer.first - 1].strip() if outer else f"type {receiver}" if receiver else ""
            found.add(Definition(path, one.name, one.first, one.last, owner, kind, one.first, line=one.line))
    return tuple(sorted(found, key=lambda item: (item.first, item.last, item.name, item.kind)))


class Span(NamedTuple):
    """What a pattern found: its first and last line, the line of its name, the name."""

    first: int
    last: int
    line: int
    name: str
    match: re.Match[str]


def with_owners(spans: Iterable[Span], owners: Sequence[Span]) -> Iterator[tuple[Span, Span | None]]:
    """Give each of SPANS with the innermost of the types around it that has another name; both in order of lines."""
    around, left = list[Span](), [*reversed(owners)]
    for one in spans:
        while left and left[-1].first <= one.first:
            owner = left.pop()
            around = [*(outer for outer in around if outer.last >= owner.first), owner]
        yield one, next((outer for outer in around[::-1] if outer.last >= one.last and outer.name != one.name), None)


def line_starts(source: str) -> list[int]:
    """Return the offsets at which lines begin."""
    return [0, *(match.end() for match in re.finditer(r"\n|\Z", source))]


BODY = re.compile(r"(?:[^(){};]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*+\{")  # brackets may stand in its header
GOES_ON = re.compile(r"\s*(?:\{$|(?:where|rescue|ensure|else|elsif|elif|except|finally|catch|when)\b)")
CLOSER = re.compile(r"\s*(?:[})\]]|end\b|</)")


def indented_end(lines: Sequence[str], start: int, inside: Set[int] = frozenset(), least: int = 0) -> int:
    """Return the line after all that is deeper than what begins at a line, and what closes it; LEAST at least."""
    width, header, end = width_of(lines[start]), lines[start].rstrip(), max(start + 1, least)
    for at in range(end, len(lines)):
        line = lines[at].rstrip()
        if at not in inside and line and width_of(line) <= width and not GOES_ON.match(line):
            closes = CLOSER.match(line) and width_of(line) == width
            listed = header.endswith(":") and line.lstrip().startswith("- ") and width_of(line) == width
            if closes and not line.endswith(("{", ":", "(", "=>")):
                return at + 1
            if not closes and not listed:
                break
        end = at + 1 if line else end
    return end


def width_of(line: str) -> int:
    """Measure a line's indentation in columns."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(4))


def blanked(path: str, source: str) -> str:
    """Return the source without comments and literals; as it is where the language is not known."""
    language = language_of(path)
    return blank_literals(source, language) if language else source


@lru_cache(64)
def literal_lines(path: str, source: str) -> tuple[frozenset[int], frozenset[int]]:
    """Tell the lines, from 0, that begin within a literal, and those that hold a comment alone."""
    language = language_of(path)
    starts, inside, notes = line_starts(source), set[int](), set[int]()
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
