#!/usr/bin/env python3
"""Ask an OpenAI-compatible server for a change, and make it: the leanest hands a model can have.

    prompt -> one streamed request -> answer -> edits -> new texts -> files, all or none

An answer holds edits as plain text, because that is what models of any size write best: a path and a fenced block with
the whole file or with the definitions that change, SEARCH/REPLACE blocks, or a unified diff. What is clear is taken as
it is meant; what is not clear is refused with its reason, after one small request to send it again.

Settings come as LEAN_* variables (see README.md beside this file) or as options. Exit codes: 0 done, 1 no usable edit,
2 wrongly set up, 75 trouble of the server. Nothing is kept: every call is a fresh conversation.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import email.utils
import fnmatch
import http.client
import json
import os
import re
import signal
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

SYSTEM = """\
Answer with edits only, no explanations. An edit is the file's path alone on a line, then a fenced block with the whole \
file, or with only the functions, methods or classes that change, each complete. For other lines the block holds:
<<<<<<< SEARCH
lines exactly as they are
=======
lines as they shall be
>>>>>>> REPLACE
To delete a file: DELETE path. If you must see more first, answer only: READ path 10-80"""
TAILS = {
    "parts": "Do not repeat whole files: send only the definitions that change, or SEARCH/REPLACE blocks.",
    "search": "Use SEARCH/REPLACE blocks.",
    "whole": "Send each changed file whole.",
    "free": "",
}
SHORT_LINES, SHORT_BYTES = 150, 6000  # a file up to this size may be sent back whole
FEW_TOKENS = 1500  # a prompt below this fits everywhere: the server's context size is not asked for
ROOM_TO_ANSWER = 1024
DEFAULT_CONTEXT = 8192
LOCAL = ("localhost", "127.", "[::1]", "::1", "0.0.0.0")
WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between tries at a busy server that names no time itself


# --- errors: what is said, and the exit code of the contract ----------------------------------------------------------


class Stop(Exception):
    """End the call; the message is the last line on standard error."""

    code = 1


class Unusable(Stop):
    """The answer holds no edit that may be applied."""


class Misconfigured(Stop):
    """A setting, the key or the model is wrong: the next call would fail alike."""

    code = 2


class ServerTrouble(Stop):
    """The server is down, busy or silent: worth another try later."""

    code = 75


class Misfit(Exception):
    """One edit that cannot be placed: why, in which file, and the lines that it may have meant."""

    def __init__(self, reason: str, path: str = "", near: str = "") -> None:
        super().__init__(reason)
        self.reason, self.path, self.near = reason, path, near


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """A fenced block: a new or whole file, or some of its definitions. `sure` if its path stood alone."""

    path: str
    text: str
    sure: bool = True
    closed: bool = True
    language: str = ""


@dataclass(frozen=True)
class Change:
    """Lines to find and what shall stand there; more than one reading where the divider is not clear."""

    path: str
    readings: tuple[tuple[str, str], ...]
    line: int = 0


@dataclass(frozen=True)
class Delete:
    path: str


@dataclass(frozen=True)
class Read:
    path: str
    first: int = 0
    last: int = 0


Edit = Code | Change | Delete


@dataclass(frozen=True)
class Settings:
    """What the caller sets; times in seconds, 0 for a context that is not known."""

    base_url: str
    api_key: str = ""
    model: str = ""
    timeout: float = 600.0
    idle: float = 120.0
    context: int = 0
    edit_format: str = "auto"
    retries: int = 1
    body: dict[str, Any] = field(default_factory=dict)
    progress: bool = False


@dataclass(frozen=True)
class Job:
    """One call: what is asked, about which files, and where traces of it go."""

    prompt: str
    files: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    ask: bool = False
    usage_file: str = ""
    record: str = ""


@dataclass(frozen=True)
class Reply:
    """A server's whole answer: its text, why it ended, and the tokens it took (-1: not said)."""

    text: str
    finish: str
    sent: int = -1
    got: int = -1
    cached: int = -1


# --- reading an answer: text -> edits, pure ---------------------------------------------------------------------------

FENCE = re.compile(r"^(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
HEAD = re.compile(r"^\s*<{5,9}(?: ?(?:SEARCH|ORIGINAL|HEAD|OLD|FIND)\b[ :>]*(?P<path>.*?))?\s*$")
DIVIDER = re.compile(r"^\s*={5,9}\s*$")
TAIL = re.compile(r"^\s*>{5,9}(?: ?(?:REPLACE|UPDATED|NEW|END)\b.*)?\s*$")
ROO_HINT = re.compile(r"^(?::(?:start|end)_line[:=>]?\s*\d+|-{7})\s*$")
DIFF_START = re.compile(
    r"^(?:diff --git |--- (?:[ab]/|/dev/null|\S+$)|\*\*\* (?:Begin Patch|(?:Update|Add|Delete) File:))"
)
HUNK = re.compile(r"^@@(?: -(?P<line>\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*|.*)$")
PATCH_FILE = re.compile(r"^\*\*\* (?P<verb>Update|Add|Delete) File: *(?P<path>.+?)\s*$")
NAME = r"[\w.@+\-()\[\]/\\]*[\w\])]"
PATH = rf"(?:(?:{NAME}[/\\])?{NAME}?\.[A-Za-z]\w*|{NAME}[/\\]{NAME}|\b(?:Make|Docker|Gem|Rake|Proc|Just)file\b)"
ALONE = re.compile(
    r"^[\s>#*\-=`\"'(\[<!/:.\d]*?"
    r"(?:(?:updated?|modif(?:y|ied)|new|changed?|fixed|complete|full|edit(?:ed)?|create[ds]?|file(?:name)?|path|code|for|in|the|to)\b[\s:*`]*)*"
    rf"[\"'*`(\[]*(?P<path>(?:\./|/)?{PATH})[\"'*`)\]]*(?:\([^()]*\))?[\s:*`=\-/>#]*$",
    re.IGNORECASE,
)
COMMENT_PATH = re.compile(
    rf"^\s*(?:#|//|--|;+|%|/\*+|<!--)\s*(?:file(?:name)?|path)?:?\s*(?P<path>(?:\./)?{PATH})\s*(?:\([^()]*\))?\s*(?:\*/|-->)?\s*$",
    re.IGNORECASE,
)
MENTION = re.compile(rf"(?<![\w:/.\\-])(?:\./)?{PATH}")
DELETE = re.compile(r"^[\s>*`#-]*(?:DELETE(?: FILE)?|[Dd]eleted? file)[:\s`*]+(?P<path>\S.*?)[\s`*]*$")
READ = re.compile(
    r"^[\s>*`#-]*READ[:\s`*]+(?P<path>[^\s`*]+?)[`*]*(?:[ :,(]+(?:lines? *)?(?P<first>\d+) *(?:-|–|to) *(?P<last>\d+)\)?)?[\s`*.]*$"
)
BEFORE = re.compile(
    r"^\W*(?:search(?: for)?|find|before|old(?: code)?|original(?: code)?|replace this|current(?: code)?)\W*$", re.I
)
AFTER = re.compile(
    r"^\W*(?:replace(?:ment)?(?: it)?(?: with)?|with|after|new(?: code)?|updated(?: code)?|fixed(?: code)?)\W*$", re.I
)
THOUGHT = re.compile(r"\A\s*<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL)
LATE_THOUGHT = re.compile(r"\A(?:(?!<think).)*?</think(?:ing)?>[ \t]*$", re.DOTALL | re.MULTILINE)
SPECIAL = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|end|return|end_of_text)\|>|<\uff5cend\u2581of\u2581sentence\uff5c>|</s>\s*\Z"
)
CHANNEL = re.compile(r"\A.*<\|channel\|>final(?:<\|[a-z_]+\|>[^<\n]*)*<\|message\|>", re.S)
TOOL_CALL = re.compile(
    r"<tool_call>|<function=|<write_to_file>|<invoke |\{\s*\"(?:name|tool|function)\"\s*:\s*\"\w+\"\s*,\s*\"(?:arguments|parameters|args)\""
)
NOT_CODE = frozenset("bash sh shell zsh console powershell cmd bat terminal text txt plaintext output log".split())
DOCUMENTS = (".md", ".mdx", ".markdown", ".rst", ".txt")
Known = Callable[[str], bool]


@dataclass(frozen=True)
class Fenced:
    """A fenced block, or lines that stand like one: what is said above it and what it holds."""

    above: tuple[str, ...]
    info: str
    lines: tuple[str, ...]
    closed: bool = True


def parse(answer: str, known: Known = lambda path: False) -> tuple[list[Edit], list[Read]]:
    """Read the edits and the wishes to read that an answer holds; `known` tells the paths of existing files."""
    edits: list[Edit] = []
    reads: list[Read] = []
    blocks = list(split_blocks(spoken(answer)))
    path, skip = "", False
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        for line in wishes(block):
            note(line, edits, reads)
        if skip or not (block.lines or block.info):
            skip = False
            continue
        name, sure, lines = path_of(block, known)
        if after and labelled(block, BEFORE) and labelled(after, AFTER):
            edits.append(Change(name or path, (("\n".join(lines), "\n".join(after.lines)),)))
            skip = True
        else:
            edits += block_edits(replace(block, lines=lines), name, path, sure)
        path = name or path
    return edits, reads


def spoken(answer: str) -> str:
    """Drop what a model only thought, and the marks of its chat template."""
    text = answer.replace("\r\n", "\n").lstrip("\ufeff")
    text = CHANNEL.sub("", text, count=1)
    text = THOUGHT.sub("", text, count=1)
    text = LATE_THOUGHT.sub("", text, count=1)
    return SPECIAL.sub("", text)


def split_blocks(text: str) -> Iterator[Fenced]:
    """Cut an answer into fenced blocks, bare SEARCH/REPLACE blocks and bare diffs, each with the prose above it."""
    lines, above, at = text.split("\n"), list[str](), 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        if fence:
            end, closed = fence_end(lines, at, fence)
            yield Fenced(tuple(above), fence["info"].strip(), outdented(lines[at + 1 : end], fence), closed)
            at, above = end + closed, []
        elif HEAD.match(lines[at]) and len(lines[at].strip()) > 6:
            end = next((i for i in range(at, len(lines)) if TAIL.match(lines[i])), len(lines) - 1)
            yield Fenced(tuple(above), "", tuple(lines[at : end + 1]))
            at, above = end + 1, []
        elif DIFF_START.match(lines[at]) and any(
            HUNK.match(line) or PATCH_FILE.match(line) for line in lines[at : at + 5]
        ):
            end = next((i for i in range(at, len(lines)) if FENCE.match(lines[i])), len(lines))
            yield Fenced(tuple(above), "diff", tuple(lines[at:end]))
            at, above = end, []
        else:
            above.append(lines[at])
            at += 1
    yield Fenced(tuple(above), "", ())


def fence_end(lines: Sequence[str], at: int, fence: re.Match[str]) -> tuple[int, bool]:
    """Find the line that closes a fence, and whether there is one; a SEARCH block is never cut."""
    depth, open_search = 0, False
    tails = [i for i, line in enumerate(lines) if TAIL.match(line)]
    for i in range(at + 1, len(lines)):
        if HEAD.match(lines[i]) and any(tail > i for tail in tails):
            open_search = True
        elif TAIL.match(lines[i]):
            open_search = False
        inner = FENCE.match(lines[i])
        if open_search or not inner or not closes(inner, fence):
            continue
        if not inner["info"].strip():
            if depth == 0:
                return i, True
            depth -= 1
        elif ALONE.match(next((line for line in reversed(lines[:i]) if line.strip()), "")):
            return i - 1 - blank_before(lines, i), False
        else:
            depth += 1
    return len(lines), False


def closes(inner: re.Match[str], fence: re.Match[str]) -> bool:
    """Tell whether a fence line is of the kind that can end (or nest in) the block that `fence` opened."""
    same = inner["ticks"][0] == fence["ticks"][0] and len(inner["ticks"]) >= len(fence["ticks"])
    return same and len(inner["indent"].expandtabs(4)) <= len(fence["indent"].expandtabs(4))


def blank_before(lines: Sequence[str], at: int) -> int:
    """Count the blank lines right before a line."""
    return next((n for n in range(at) if lines[at - 1 - n].strip()), 0)


def outdented(lines: Sequence[str], fence: re.Match[str]) -> tuple[str, ...]:
    """Take the fence's own indentation off the lines of its block, if all of them have it."""
    width = len(fence["indent"].expandtabs(4))
    flat = [line.expandtabs(4) if line[:width].strip("\t ") == "" and "\t" in line[:width] else line for line in lines]
    if width and all(not line.strip() or width_of(line) >= width for line in flat):
        return tuple(line[width:] for line in flat)
    return tuple(lines)


def wishes(block: Fenced) -> list[str]:
    """List the lines that may say DELETE or READ: prose, and blocks that hold nothing else."""
    inside = [line for line in block.lines if line.strip()]
    alone = inside and all(DELETE.match(line) or READ.match(line) for line in inside)
    return [*block.above, *(inside if alone else ())]


def note(line: str, edits: list[Edit], reads: list[Read]) -> None:
    """Add the deletion or the wish to read that a line states, if any."""
    if found := READ.match(line):
        reads.append(Read(tidy(found["path"]), int(found["first"] or 0), int(found["last"] or 0)))
    elif (found := DELETE.match(line)) and re.fullmatch(rf"\S+|{PATH}", found["path"]):
        edits.append(Delete(tidy(found["path"])))


def labelled(block: Fenced, label: re.Pattern[str]) -> bool:
    """Tell whether the last line above a block is such a label ("Before:", "Replace with:")."""
    last = next((line for line in reversed(block.above) if line.strip()), "")
    return bool(label.match(last))


def path_of(block: Fenced, known: Known) -> tuple[str, bool, tuple[str, ...]]:
    """Find the path of a block, whether it is sure, and the block's lines without it."""
    found = info_path(block.info)
    said = [line for line in block.above if line.strip()][-3:][::-1]
    first = COMMENT_PATH.match(block.lines[0]) if block.lines else None
    bare = ALONE.match(block.lines[0]) if block.lines and any(HEAD.match(line) for line in block.lines[1:4]) else None
    lone = next((match["path"] for line in said if (match := alone(line, known))), "")
    lines = block.lines[1:] if first or bare else block.lines
    sure = found or lone or (first["path"] if first else "") or (bare["path"] if bare else "")
    if sure:
        same = not first or tidy(first["path"]).endswith(PurePosixPath(tidy(sure)).name)
        return tidy(sure), True, lines if same else block.lines
    mentioned = {tidy(name) for line in said[:1] for name in MENTION.findall(line)}
    real = {name for name in mentioned if known(name)} or {name for name in mentioned if "/" in name}
    return (real.pop() if len(real) == 1 else ""), False, block.lines


def alone(line: str, known: Known) -> re.Match[str] | None:
    """Match a line that holds a path and nothing else of weight; a known path may hold anything, blanks too."""
    bare = re.fullmatch(r"[\s*`#>]*(?P<path>.*?)[\s*`:]*", line)
    return bare if bare and bare["path"] and known(tidy(bare["path"])) else ALONE.match(line)


def info_path(info: str) -> str:
    """Find a path in a fence's info string: "py a.py", "py:a.py", 'py title="a.py"'."""
    named = re.search(r"(?:title|file(?:name)?|path|name)\s*[=:]\s*[\"']?([^\"'\s}]+)", info)
    if named:
        return named[1]
    words = [word for word in re.split(r"[\s:{}=,\"'`]+", info) if re.fullmatch(PATH, word)]
    return words[-1] if words else ""


def tidy(path: str) -> str:
    """Write a path the plain way: forward slashes, no quotes, no "./" in front."""
    path = path.strip().strip("`\"'*").replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    return path


def block_edits(block: Fenced, name: str, last: str, sure: bool) -> list[Edit]:
    """Turn one block into edits by the form of what it holds."""
    if any(HEAD.match(line) for line in block.lines):
        return list(changes(block, name or last))
    if looks_like_diff(block):
        return list(diff_edits(block.lines, name or last))
    if wishes(block)[len(block.above) :]:
        return []
    language = re.split(r"[\s:{=]", block.info.strip("{. "), maxsplit=1)[0].lower()
    if not sure and language in NOT_CODE:
        return []
    return [Code(name, "\n".join(block.lines), sure, block.closed, language)]


def looks_like_diff(block: Fenced) -> bool:
    """Tell a unified diff (or a patch of the "*** Update File" kind) from code."""
    if block.info.lower().startswith(("diff", "patch", "udiff")):
        return any(line[:1] in "+-" for line in block.lines if line)
    starts = [line for line in block.lines if HUNK.match(line) and line.startswith("@@ ")]
    return any(PATCH_FILE.match(line) for line in block.lines) or bool(
        starts and any(line[:1] in "+-" for line in block.lines)
    )


def changes(block: Fenced, path: str) -> Iterator[Change]:
    """Yield the SEARCH/REPLACE pairs of a block; a path line between them holds for those that follow."""
    body: list[str] | None = None
    for line in block.lines:
        if head := HEAD.match(line):
            body, path = [], tidy(head["path"] or "") if re.fullmatch(PATH, tidy(head["path"] or "")) else path
        elif body is not None and TAIL.match(line):
            yield Change(path, readings(body))
            body = None
        elif body is not None:
            body.append(line)
        elif lone := ALONE.match(line):
            path = tidy(lone["path"])
    if body is not None:
        if not block.closed or not any(DIVIDER.match(line) for line in body):
            raise Unusable(f"The answer is cut off within a SEARCH/REPLACE block of {path or 'a file'}.")
        yield Change(path, readings(body))


def readings(body: list[str]) -> tuple[tuple[str, str], ...]:
    """Split a SEARCH/REPLACE body at its divider, in each way that is possible; none if there is no divider."""
    cuts = [i for i, line in enumerate(body) if line.strip() == "======="] or [
        i for i, line in enumerate(body) if DIVIDER.match(line)
    ]
    olds = [
        [line for line in body[:cut] if not ROO_HINT.match(line)] if ROO_HINT.match(body[0]) else body[:cut]
        for cut in cuts
    ]
    return tuple(("\n".join(old), "\n".join(body[cut + 1 :])) for old, cut in zip(olds, cuts, strict=True))


def diff_edits(lines: Sequence[str], path: str) -> Iterator[Edit]:
    """Turn a unified diff into changes: context and minus lines are found, context and plus lines put there."""
    hunk: list[str] = []
    at, new_file = 0, False
    for line in [*lines, "@@"]:
        patch = PATCH_FILE.match(line)
        if HUNK.match(line) or patch or line.startswith(("--- ", "diff --git ", "*** End")):
            yield from hunk_edit(hunk, path, at, new_file)
            hunk, at = [], int((HUNK.match(line) or {"line": 0})["line"] or 0)
        if patch:
            path, new_file = tidy(patch["path"]), patch["verb"] == "Add"
            if patch["verb"] == "Delete":
                yield Delete(path)
        elif line.startswith("--- "):
            path, new_file = diff_path(line) or path, line.startswith("--- /dev/null")
        elif line.startswith("+++ /dev/null"):
            yield Delete(path)
            path = ""
        elif line.startswith("+++ "):
            path = diff_path(line) or path
        elif not (
            HUNK.match(line)
            or re.match(r"diff --git |index [0-9a-f]+\.\.|(?:new|deleted) file mode|\*\*\* |\\ No newline", line)
        ):
            hunk.append(line)


def diff_path(line: str) -> str:
    """Read the path of a "---" or "+++" line; empty for /dev/null."""
    path = tidy(line[4:].split("\t")[0])
    return "" if path == "/dev/null" else re.sub(r"^[ab]/", "", path)


def hunk_edit(hunk: list[str], path: str, at: int, new_file: bool) -> Iterator[Edit]:
    """Turn the lines of one hunk into an edit; a hunk that changes nothing gives none."""
    while hunk and not hunk[-1].strip():
        hunk.pop()
    if not any(line[:1] in "+-" for line in hunk if line):
        return
    old = [line[1:] if line[:1] in "- " else line for line in hunk if line[:1] != "+"]
    new = [line[1:] if line[:1] in "+ " else line for line in hunk if line[:1] != "-"]
    if new_file:
        yield Code(path, "\n".join(new))
    elif path:
        yield Change(path, (("\n".join(old), "\n".join(new)),), at)
    else:
        raise Unusable("The answer is a diff that does not say of which file.")


# --- definitions: what stands in a text under which name, pure --------------------------------------------------------

MODIFIERS = (
    r"(?:(?:export|default|pub(?:\([^)]*\))?|public|private|protected|internal|static|async|abstract|final|override|virtual"
    r"|inline|unsafe|extern(?: \"\w+\")?|declare|readonly|sealed|open|suspend|partial|local|data|constexpr)\s+)*"
)
HEADER = re.compile(
    rf"^(?P<indent>[ \t]*){MODIFIERS}(?:"
    r"(?P<kind>def|class|function\*?|func|fn|fun|interface|struct|enum(?: class)?|trait|type|module|mod|namespace|record"
    r"|object|protocol|sub|macro_rules!|const fn|const|let|var|val)\s+(?P<receiver>\([^)]*\)\s*)?(?P<name>(?:self\.)?[\w$]+[?!]?)"
    r"|(?P<impl>impl\b[^{]*)"
    r"|(?P<type>[A-Za-z_][\w:<>,.\[\]*&? ]*?[\s*&]+)(?P<typed>~?[\w:]+)\s*\((?P<rest>[^;]*)$"
    r"|(?:(?:get|set)\s+)?(?P<method>[#\w$]+)\s*(?:<[^>]*>)?\([^;]*\)\s*(?::[^{;]+)?\{.*$)"
)
NOT_NAMES = frozenset(
    "if else elif for foreach while switch match catch try return do new throw await yield using when with case delete in and or not raise del assert print super this import from package use".split()
)
BOXES = (
    "class",
    "interface",
    "impl",
    "trait",
    "module",
    "mod",
    "namespace",
    "object",
    "protocol",
    "struct",
    "record",
    "enum",
)
COMMENT = re.compile(r"^\s*(?:#(?![\[!])|//|/\*|\*|--|<!--)")
MARK = re.compile(r"^\s*(?:@[\w.]+|#!?\[|\[[A-Z]\w*)")
IMPORT = re.compile(
    r"^(?:import|from|use|using|#include|require|require_once|include|package|(?:const|let|var) [^=]*= require\()\b"
)
CLOSER = re.compile(r"^\s*(?:[})\]]|end\b)")


@dataclass(frozen=True)
class Definition:
    """A named piece of a text, as line numbers from 0: comments above, decorators, header, end (exclusive)."""

    name: str
    top: int
    marks: int
    start: int
    end: int
    depth: int = 0

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]


def definitions(text: str, path: str) -> list[Definition]:
    """List the functions, classes, methods and constants of a text, methods after their class."""
    lines = text.split("\n")
    if path.endswith((".py", ".pyi")) and (tree := python_tree(text)):
        return list(python_definitions(tree.body, lines, ""))
    return list(other_definitions(lines))


def python_tree(text: str) -> ast.Module | None:
    """Parse Python, or return None where it is not valid."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.parse(text)
    return None


def python_definitions(body: Iterable[ast.stmt], lines: list[str], inside: str, depth: int = 0) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            marks = min([node.lineno, *(mark.lineno for mark in node.decorator_list)]) - 1
            top = lead(lines, marks, COMMENT)
            yield Definition(inside + node.name, top, marks, node.lineno - 1, node.end_lineno or node.lineno, depth)
            if isinstance(node, ast.ClassDef):
                yield from python_definitions(node.body, lines, f"{inside}{node.name}.", depth + 1)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                at = node.lineno - 1
                yield Definition(
                    inside + target.id, lead(lines, at, COMMENT), at, at, node.end_lineno or node.lineno, depth
                )


def other_definitions(lines: list[str]) -> Iterator[Definition]:
    """Find definitions by their header and indentation; those inside functions are left out."""
    boxes: list[tuple[int, str]] = []
    skip_to = 0
    for at, line in enumerate(lines):
        if at < skip_to or not line.strip():
            continue
        boxes = [(end, name) for end, name in boxes if at < end]
        found = HEADER.match(line)
        name = definition_name(found) if found else ""
        if not found or not name:
            continue
        end = extent(lines, at)
        full = f"{boxes[-1][1]}.{name}" if boxes else name
        marks = lead(lines, at, MARK)
        yield Definition(full, lead(lines, marks, COMMENT), marks, at, end, len(boxes))
        kind = (found["kind"] or ("impl" if found["impl"] else "")).split(" ")[0]
        if kind in BOXES:
            boxes.append((end, full))
        else:
            skip_to = end


def definition_name(found: re.Match[str]) -> str:
    """Name what a header defines; Go's receivers and Rust's impl blocks are part of the name."""
    if found["impl"]:
        return " ".join(found["impl"].split())
    if found["typed"]:
        first = found["type"].split()[0] if found["type"].split() else ""
        return "" if first in NOT_NAMES or found["typed"] in NOT_NAMES else str(found["typed"]).replace("::", ".")
    name = str(found["name"] or found["method"])
    receiver = re.search(r"(\w+)(?:\[[^\]]*\])?\)", found["receiver"] or "")
    return "" if name in NOT_NAMES else f"{receiver[1]}.{name}" if receiver else name


def extent(lines: list[str], start: int) -> int:
    """Return the line after the definition that starts at a line, told by indentation and what closes it."""
    width, header = width_of(lines[start]), lines[start].rstrip()
    if header.endswith((";", "}", "},")) and header.count("{") == header.count("}"):
        return start + 1
    last = start
    for at in range(start + 1, len(lines)):
        line = lines[at]
        if not line.strip():
            continue
        if width_of(line) > width or line.strip() == "{" or re.match(r"\s*where\b", line):
            last = at
        elif CLOSER.match(line):
            last = at
            if not line.rstrip().endswith(("{", ":", "(", "=>")):
                return at + 1
        else:
            break
    return last + 1


def lead(lines: Sequence[str], at: int, pattern: re.Pattern[str]) -> int:
    """Go up from a line over the lines that match and have its indentation at least."""
    width = width_of(lines[at])
    while at > 0 and pattern.match(lines[at - 1]) and width_of(lines[at - 1]) >= width:
        at -= 1
    return at


def width_of(line: str) -> int:
    """Measure a line's indentation in columns."""
    bare = line.expandtabs(4)
    return len(bare) - len(bare.lstrip())


# --- placing edits: old text and edit -> new text, pure ---------------------------------------------------------------

QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " ", "–": "-", "—": "-"})
NUMBERED = re.compile(r"^\s*(\d+)(?:\s*[|:│→]\s?|\t| {1,2}|$)")
ELIDED_WORDS = (
    r"(?:existing|unchanged|rest of|remain(?:s|ing|der)?|same as|as before|omitted|no changes?|keep|other"
    r"|previous|above|below|here|code|methods?|functions?|imports?)"
)
ELISION = re.compile(
    rf"^\s*(?:#|//|--|/\*|\{{/\*|<!--|;|%|\*)?\s*[\[(<]?\s*(?:(?:\.\.\.|…)\s*(?:\(?.*\b{ELIDED_WORDS}\b.*)?"
    rf"|.*\b{ELIDED_WORDS}\b.*(?:\.\.\.|…))\s*[\])>]?\s*(?:\*/\}}?|-->)?\s*$"
    r"|^\s*(?:#|//|--|/\*|<!--)\s*\(?(?:the )?(?:rest|remainder) of (?:the |this )?(?:code|file|function|method|class|module|implementation)\b.*$"
    r"|^\s*(?:#|//|--|/\*|<!--)\s*\(?(?:existing|unchanged|other|remaining) (?:code|methods?|functions?|imports?|lines?)\b.{0,30}$",
    re.IGNORECASE,
)


def rewrite(old: str, edit: Code, path: str, shown: bool = True) -> str:
    """Return the file's new text from a block that holds all of it or some of its definitions.

    `shown`: the model saw the whole file. Raise Misfit where it is neither, is cut off, or would drop most of the file.
    """
    new = clean_block(edit.text, old, path)
    new = fill(new, old, path)
    whole, partly = old_names(old, path), merge(old, new, path)
    if not edit.closed and cut_off(new, old, path):
        raise Misfit("the block is cut off", path)
    loss = loss_of(old, new, path, whole)
    if partly is not None and is_partial(old, new, path, loss, shown):
        return partly
    if loss:
        raise Misfit(loss, path)
    if not shown and old.strip() and kept_share(old, new) < 0.9:
        raise Misfit("the block is neither the whole file nor one of its definitions", path)
    return with_ending(new, old)


def old_names(text: str, path: str) -> set[str]:
    """Name the definitions of a text that stand at its top level."""
    return {item.name for item in definitions(text, path) if item.depth == 0}


def clean_block(text: str, old: str, path: str) -> str:
    """Take off what a block has too much: numbered lines, shared indentation, curly quotes, blank lines at its ends."""
    lines = unnumbered(text.split("\n"), old)
    while lines and not lines[0].strip():
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    text = "\n".join(lines)
    if text.translate(QUOTES) != text and curly_by_mistake(text, old, path):
        text = text.translate(QUOTES)
    return text


def curly_by_mistake(text: str, old: str, path: str) -> bool:
    """Tell whether curly quotes in code stand for straight ones."""
    if path.endswith((".py", ".pyi")):
        return not python_tree(text) and bool(python_tree(text.translate(QUOTES)))
    return not path.endswith(DOCUMENTS) and "“" not in old and "’" not in old and not re.search(r"[\"']", text)


def unnumbered(lines: Sequence[str], old: str) -> list[str]:
    """Take off line numbers that were copied with the lines: every line has one, and they count up."""
    found = [NUMBERED.match(line) for line in lines if line.strip()]
    numbers = [int(match[1]) for match in found if match]
    real = {line.strip() for line in old.split("\n")}
    if len(numbers) < len(found) or not numbers or numbers != sorted(set(numbers)) or lines[0].strip() in real:
        return list(lines)
    if len(numbers) == 1 and not re.match(r"^\s*\d+\s*[|│→\t]", next(line for line in lines if line.strip())):
        return list(lines)
    return [NUMBERED.sub("", line, count=1) for line in lines]


def is_elision(lines: Sequence[str], at: int, real: set[str], path: str) -> bool:
    """Tell whether a line stands for lines that were left out; Python's own `...` as a body does not."""
    line = lines[at]
    if not ELISION.match(line) or line.strip() in real:
        return False
    if line.strip() == "..." and path.endswith((".py", ".pyi")):
        before = next((lines[i].strip() for i in range(at - 1, -1, -1) if lines[i].strip()), "")
        return bool(before) and not before.endswith((":", '"""', "'''"))
    return True


def fill(new: str, old: str, path: str) -> str:
    """Put the lines back that an answer left out, where the lines around them tell which; Misfit where they do not."""
    lines, olds = new.split("\n"), old.split("\n")
    real = {line.strip() for line in olds}
    gaps = [at for at in range(len(lines)) if is_elision(lines, at, real, path)]
    if not gaps:
        return new
    scope = gap_scope(lines, old, path)
    filled, done, floor = list[str](), 0, 0
    for gap, following in zip(gaps, [*gaps[1:], len(lines)], strict=True):
        before, after = lines[done:gap], lines[gap + 1 : following]
        start = anchor(scope, before, floor, last=True) + 1 if any(map(str.strip, before)) else floor
        end = anchor(scope, after, start, last=False) if any(map(str.strip, after)) else len(scope)
        filled += [*before, *scope[start:end]]
        done, floor = gap + 1, end
    return "\n".join(filled + lines[done:])


def gap_scope(lines: Sequence[str], old: str, path: str) -> list[str]:
    """Choose the lines in which left-out lines are looked for: the definition that is sent alone, else the file."""
    olds = old.split("\n")
    first = next((line for line in lines if line.strip() and not COMMENT.match(line) and not MARK.match(line)), "")
    named = [item for item in definitions(old, path) if olds[item.start].strip() == first.strip()]
    if len(named) == 1 and named[0].start > 0:
        return olds[named[0].top : named[0].end]
    return olds


def anchor(olds: Sequence[str], lines: Sequence[str], floor: int, last: bool) -> int:
    """Find where in the old lines those next to a gap stand: the one place of the nearest line that has just one."""
    nearest = [line.strip() for line in (reversed(lines) if last else lines) if line.strip()][:1]
    places = [at for at in range(floor, len(olds)) if [olds[at].strip()] == nearest]
    if len(places) != 1:
        raise Misfit("it leaves lines out, and it is not clear which")
    return places[0]


def cut_off(new: str, old: str, path: str) -> bool:
    """Tell whether a block without its closing fence ends too early."""
    if path.endswith((".py", ".pyi")):
        return python_tree(new) is None
    pairs = (("{", "}"), ("(", ")"), ("[", "]"))
    return any(new.count(a) - new.count(b) > max(0, old.count(a) - old.count(b)) for a, b in pairs)


def weight(text: str) -> int:
    """Count the lines that are not blank."""
    return sum(1 for line in text.split("\n") if line.strip())


def kept_share(old: str, new: str) -> float:
    """Tell which share of the old lines is among the new ones."""
    olds = [line.strip() for line in old.split("\n") if line.strip()]
    news = {line.strip() for line in new.split("\n")}
    return sum(line in news for line in olds) / max(1, len(olds))


def loss_of(old: str, new: str, path: str, names: set[str]) -> str:
    """Say why a text cannot be the whole file (it is a piece, or drops most of it); empty if it can."""
    before, after = weight(old), weight(new)
    missing = names - old_names(new, path)
    if before and width_of(new) > 0 and width_of(old.lstrip("\n")) == 0:
        return "the block is only a piece of the file"
    if before and not after:
        return "the block is empty"
    if before >= 8 and after * 2 < before:
        return f"the block has {after} lines of a file of {before}: it would drop most of it"
    if len(names) >= 3 and len(missing) * 2 > len(names) and after < before:
        return f"the block would drop {len(missing)} of the file's {len(names)} definitions"
    return ""


def is_partial(old: str, new: str, path: str, loss: str, shown: bool) -> bool:
    """Tell a block of some definitions from a whole file, where it could be read as either."""
    missing = old_names(old, path) - old_names(new, path)
    loose = loose_lines(old, path)
    keeps = not loose or bool(loose & loose_lines(new, path))
    if not missing and keeps:
        return False
    if loss or not shown or not keeps:
        return True
    same = {body_of(old, item) for item in definitions(old, path) if item.depth == 0}
    return not loose and not any(body_of(new, item) in same for item in definitions(new, path) if item.depth == 0)


def loose_lines(text: str, path: str) -> set[str]:
    """List the lines that belong to no definition, without comments."""
    lines = text.split("\n")
    taken = {at for item in definitions(text, path) for at in range(item.top, item.end)}
    return {
        line.strip() for at, line in enumerate(lines) if at not in taken and line.strip() and not COMMENT.match(line)
    }


def body_of(text: str, item: Definition) -> str:
    return "\n".join(text.split("\n")[item.start : item.end]).strip()


def merge(old: str, new: str, path: str) -> str | None:
    """Put the definitions of `new` in the place of those of `old` with the same names; None if it holds other things.

    A definition that is new goes beside its neighbour, an import to the imports. Misfit where a name fits twice.
    """
    news = [item for item in definitions(new, path) if item.depth == 0]
    if not news and (width_of(new) or path.endswith(".py")):
        news = [item for item in definitions(dedent(new), path) if item.depth == 0]
        new = dedent(new) if news else new
    spare = loose_lines(new, path) - loose_lines(old, path)
    if not news or any(not IMPORT.match(line) for line in spare):
        return None
    lines = old.split("\n")
    targets = pair_up(news, definitions(old, path), path)
    if not any(targets):
        return None
    pieces = replacements(lines, new.split("\n"), news, targets, path)
    for start, end, piece in sorted(pieces, key=lambda part: part[0], reverse=True):
        lines[start:end] = piece
    return "\n".join(with_imports(lines, [line for line in new.split("\n") if line.strip() in spare], path))


def pair_up(news: list[Definition], olds: list[Definition], path: str) -> list[Definition | None]:
    """Find for each definition the old one of its name; None for a new one."""
    targets: list[Definition | None] = []
    for item in news:
        fits = [old for old in olds if old.name == item.name] or [old for old in olds if old.short == item.name]
        twins = [new for new in news if new.name == item.name]
        if len(fits) > 1 and len(fits) != len(twins):
            raise Misfit(f"there are {len(fits)} definitions called {item.name}", path)
        targets.append(fits[twins.index(item) if len(fits) > 1 else 0] if fits else None)
    return targets


def replacements(
    olds: list[str], lines: list[str], news: list[Definition], targets: list[Definition | None], path: str
) -> list[tuple[int, int, list[str]]]:
    """List what goes where: (first line, line after the last, new lines)."""
    pieces: list[tuple[int, int, list[str]]] = []
    for at, (item, target) in enumerate(zip(news, targets, strict=True)):
        if target:
            pieces.append((target.top, target.end, redefined(olds, target, lines, item, path)))
            continue
        near = next((found for found in reversed(targets[:at]) if found), None)
        base = near or next(found for found in targets[at:] if found)
        body = shifted(lines[item.top : item.end], lines[item.start], olds[base.start])
        gap = [""] * (2 if path.endswith((".py", ".pyi")) and base.depth == 0 else 1)
        pieces.append((base.end, base.end, [*gap, *body]) if near else (base.top, base.top, [*body, *gap]))
    return pieces


def redefined(olds: list[str], old: Definition, news: list[str], new: Definition, path: str) -> list[str]:
    """Return a definition's new lines; comments and decorators that the answer left out stay."""
    text = "\n".join(olds[old.start : old.end])
    body = fill("\n".join(shifted(news[new.start : new.end], news[new.start], olds[old.start])), text, path).split("\n")
    comments = shifted(news[new.top : new.marks], news[new.start], olds[old.start]) or olds[old.top : old.marks]
    marks = shifted(news[new.marks : new.start], news[new.start], olds[old.start]) or olds[old.marks : old.start]
    return [*comments, *marks, *body]


def shifted(lines: Sequence[str], header: str, real_header: str) -> list[str]:
    """Move lines from one header's indentation to another's."""
    have, want = margin(header), margin(real_header)
    return [
        want + line[len(have) :] if line.startswith(have) and line.strip() else line.strip(" \t") and line
        for line in lines
    ]


def with_imports(lines: list[str], imports: list[str], path: str) -> list[str]:
    """Add import lines after the last one there is, else at the top (after Python's docstring)."""
    if not imports:
        return lines
    places = [at + 1 for at, line in enumerate(lines) if IMPORT.match(line)]
    tree = python_tree("\n".join(lines)) if path.endswith((".py", ".pyi")) else None
    if tree:
        places = [node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        places += (
            [tree.body[0].end_lineno or 0] if not places and tree.body and ast.get_docstring(tree) is not None else []
        )
    at = max(places, default=1 if lines[0].startswith(("#!", "<?php")) else 0)
    return [*lines[:at], *imports, *lines[at:]]


def dedent(text: str) -> str:
    """Take off the indentation that all lines share."""
    lines = text.split("\n")
    width = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[width:] for line in lines)


def with_ending(new: str, old: str) -> str:
    """End a text with one newline, or with none where the old one had none."""
    new = new.rstrip("\n")
    return new if old and not old.endswith("\n") else new + "\n" if new else ""


def swap(text: str, edit: Change, path: str) -> str:
    """Return the text with the change made at the one place where it fits; Misfit at none or several."""
    if not edit.readings:
        raise Misfit("a SEARCH/REPLACE block has no ======= line", path)
    first: Misfit | None = None
    for old, new in edit.readings:
        try:
            return swap_one(text, old, new, path, edit.line)
        except Misfit as misfit:
            first = first or misfit
    raise first or AssertionError


def swap_one(text: str, old: str, new: str, path: str, hint: int) -> str:
    lines = text.split("\n")
    wanted, given = old.split("\n"), new.split("\n") if new else []
    if not old.strip():
        raise Misfit("an empty SEARCH part in a file that has lines", path)
    for key, blanks in LADDER:
        spots = matches(lines, wanted, key, blanks)
        if len(spots) > 1 and hint:
            spots = [spot for spot in spots if spot[0] == hint - 1] or spots
        if len(spots) > 1:
            raise Misfit(f"its SEARCH part stands at {len(spots)} places", path, around(lines, spots))
        if spots:
            fresh = given if key is same else carried([lines[i] for i in spots[0]], wanted, given, key, path)
            return checked(text, [*lines[: spots[0][0]], *fresh, *lines[spots[0][-1] + 1 :]], path, key is same)
    return swap_otherwise(text, wanted, given, path)


def swap_otherwise(text: str, wanted: list[str], given: list[str], path: str) -> str:
    """Try what is left: copied line numbers, left-out lines, a piece of one line."""
    lines = text.split("\n")
    bare = unnumbered(wanted, text)
    if bare != wanted:
        fresh = [NUMBERED.sub("", line, count=1) if NUMBERED.match(line) else line for line in given]
        return swap_one(text, "\n".join(bare), "\n".join(fresh), path, 0)
    real = {line.strip() for line in lines}
    if any(is_elision(wanted, at, real, path) for at in range(len(wanted))):
        whole = fill("\n".join(wanted), text, path)
        return swap_one(text, whole, fill("\n".join(given), whole, path), path, 0)
    piece, other = "\n".join(wanted).strip(), "\n".join(given).strip()
    if "\n" not in piece + other and len(piece) >= 8 and text.count(piece) == 1:
        return text.replace(piece, other)
    raise Misfit("its SEARCH part does not stand in the file", path, nearest(lines, wanted))


def same(line: str) -> str:
    return line


def straight(line: str) -> str:
    return line.rstrip().translate(QUOTES)


def bare(line: str) -> str:
    return line.strip().translate(QUOTES)


Key = Callable[[str], str]
LADDER: tuple[tuple[Key, bool], ...] = ((same, True), (str.rstrip, True), (straight, True), (bare, True), (bare, False))


def matches(lines: Sequence[str], wanted: Sequence[str], key: Key, blanks: bool) -> list[list[int]]:
    """List the places of the wanted lines, each as line numbers; without `blanks`, blank lines do not count."""
    needle = [key(line) for line in wanted]
    if key is not same:
        while needle and not needle[0]:
            needle = needle[1:]
        while needle and not needle[-1]:
            needle = needle[:-1]
    rows = [(at, key(line)) for at, line in enumerate(lines) if blanks or line.strip()]
    needle = [line for line in needle if blanks or line]
    texts, count = [row for _, row in rows], len(needle)
    starts = [at for at in range(len(texts) - count + 1) if texts[at] == needle[0] and texts[at : at + count] == needle]
    return [list(range(rows[at][0], rows[at + count - 1][0] + 1)) for at in starts]


def carried(real: Sequence[str], wanted: Sequence[str], given: Sequence[str], key: Key, path: str) -> list[str]:
    """Write the new lines the way the real ones are written: unchanged lines as they are, others with their indentation."""
    olds = [line for line in real if line.strip()]
    told = [line for line in wanted if line.strip()]
    news = [line for line in given if line.strip()]
    fresh: dict[int, str] = {}
    shift = indenter(told, olds, news, path) if key is bare else None
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(
        None, list(map(key, told)), list(map(key, news)), False
    ).get_opcodes():
        for step, at in enumerate(range(b1, b2)):
            fresh[at] = olds[a1 + step] if tag == "equal" else shift(at) if shift else news[at]
    counter = iter(range(len(news)))
    written = [fresh[next(counter)] if line.strip() else "" for line in given]
    return trimmed_like(written, wanted)


def trimmed_like(lines: list[str], wanted: Sequence[str]) -> list[str]:
    """Drop the blank lines at both ends of the new lines that the wanted ones have there too."""
    for end in (0, -1):
        spare = list(wanted)
        while lines and spare and not lines[end].strip() and not spare[end].strip():
            lines = lines[1:] if end == 0 else lines[:-1]
            spare = spare[1:] if end == 0 else spare[:-1]
    return lines


def indenter(told: Sequence[str], olds: Sequence[str], news: Sequence[str], path: str) -> Callable[[int], str]:
    """Return how a new line is indented, learnt from how the model's lines relate to the real ones."""
    table: dict[str, str] = {}
    consistent = all(table.setdefault(margin(a), margin(b)) == margin(b) for a, b in zip(told, olds, strict=True))
    if not consistent and len(news) != len(told):
        raise Misfit("the indentation of its SEARCH part is not the file's", path, "\n".join(olds))

    def shift(at: int) -> str:
        body, have = news[at].lstrip(" \t"), margin(news[at])
        if not consistent:
            return margin(olds[at]) + body
        return moved(have, table) + body

    return shift


def moved(have: str, table: dict[str, str]) -> str:
    """Translate an indentation by the known pairs: the longest that it begins with, the rest in the file's own units."""
    known = [told for told in table if have.startswith(told)]
    if not known:
        told = min(table, key=len)
        return table[told][: max(0, len(table[told]) - (len(told) - len(have)))]
    told = max(known, key=len)
    rest = have[len(told) :]
    tabs = any("\t" in real for real in table.values()) and not any("\t" in told for told in table)
    unit = min((len(told) for told in table if told), default=4)
    return table[told] + ("\t" * max(1, len(rest) // unit) if tabs and rest else rest.replace("\t", "    "))


def margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def checked(text: str, lines: list[str], path: str, exact: bool) -> str:
    """Join lines; a change that was placed loosely may not turn valid Python into invalid."""
    new = "\n".join(lines)
    if not exact and path.endswith((".py", ".pyi")) and python_tree(text) and not python_tree(new):
        raise Misfit("its indentation does not fit the file", path)
    return new


def around(lines: Sequence[str], spots: Sequence[Sequence[int]]) -> str:
    """Show the first places of a match, each with three lines around it."""
    return "\n[...]\n".join("\n".join(lines[max(0, spot[0] - 3) : spot[-1] + 4]) for spot in spots[:4])


def nearest(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Show the part of a file that is most like the wanted lines, with three lines around it."""
    needle = [bare(line) for line in wanted if line.strip()]
    rows, size = [bare(line) for line in lines], len(wanted)
    scores = [sum(row in needle for row in rows[at : at + size] if row) for at in range(len(rows))]
    if not any(scores):
        close = difflib.get_close_matches(needle[0], rows[:5000], 1, 0.5)
        scores = [1.0 if close and row == close[0] else 0.0 for row in rows]  # type: ignore[misc]
    if not any(scores):
        return ""
    at = max(range(len(scores)), key=scores.__getitem__)
    return "\n".join(lines[max(0, at - 3) : at + size + 3])


# --- files: bytes <-> text, names, and writing all or nothing ---------------------------------------------------------

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class Stored:
    """A file as it lies on disk; `text` has plain newlines."""

    raw: bytes
    bom: bytes
    encoding: str

    @property
    def decoded(self) -> str:
        return self.raw[len(self.bom) :].decode(self.encoding)

    @property
    def text(self) -> str:
        return self.decoded.replace("\r\n", "\n")

    def encode(self, text: str) -> bytes:
        """Write a new text the way the file is written: line endings, encoding, byte order mark."""
        return self.bom + endings_like(self.decoded, text).encode(self.encoding)


def decode(raw: bytes, path: str) -> Stored:
    """Read a file's bytes; Unusable for a binary one."""
    bom, encoding = next(((mark, name) for mark, name in BOMS if raw.startswith(mark)), (b"", "utf-8"))
    if b"\0" in raw and not encoding.startswith("utf-16"):
        raise Unusable(f"{path} is a binary file: it is not edited.")
    try:
        raw[len(bom) :].decode(encoding)
    except UnicodeDecodeError:
        bom, encoding = b"", "latin-1"
    return Stored(raw, bom, encoding)


def endings_like(old: str, new: str) -> str:
    """Give lines the endings of the old text: of the same line where it stays, else of most lines."""
    olds = old.splitlines(keepends=True) if "\r\n" in old else []
    if not olds:
        return new
    olds = re.findall(r"[^\n]*\n|[^\n]+", old)
    crlf = sum(line.endswith("\r\n") for line in olds)
    if crlf * 2 >= len(olds) and crlf >= old.count("\n"):
        return new.replace("\n", "\r\n")
    news = re.findall(r"[^\n]*\n|[^\n]+", new)
    common = "\r\n" if crlf * 2 > len(olds) else "\n"
    plain = [line.replace("\r\n", "\n") for line in olds]
    written = [line.replace("\n", common) for line in news]
    for block in difflib.SequenceMatcher(None, plain, news, False).get_matching_blocks():
        written[block.b : block.b + block.size] = olds[block.a : block.a + block.size]
    return "".join(written)


class Project:
    """The files below a root: which there are, which are protected, and which the prompt shows whole."""

    def __init__(self, root: Path, job: Job) -> None:
        self.root, self.job = root.resolve(), job
        self.listed = tuple(tidy(name) for name in job.files)

    def known(self, name: str) -> bool:
        """Tell whether a name means a listed or an existing file."""
        with suppress(Stop):
            path = self.resolve(name)
            return path in self.listed or self.place(path).is_file()
        return False

    def resolve(self, name: str) -> str:
        """Turn a name from an answer into a path below the root; Unusable if it lies outside."""
        name = tidy(name)
        if name in self.listed or (name.startswith("/") and name[1:] in self.listed):
            return name.lstrip("/") if name not in self.listed else name
        with suppress(ValueError, OSError):
            if self.place(name).exists():
                return name if not name.startswith("/") else self.place(name).relative_to(self.root).as_posix()
        tails = [path for path in self.listed if path.endswith("/" + name)]
        if len(tails) > 1:
            raise Unusable(f"{name} is not clear: it could be {' or '.join(tails)}.")
        if tails:
            return tails[0]
        self.place(name)
        return PurePosixPath(os.path.normpath(name)).as_posix()

    def place(self, path: str) -> Path:
        """Return where a path lies; Unusable outside the root or in .git."""
        pure = PurePosixPath(path)
        try:
            inside = (self.root / path).resolve().relative_to(self.root)
        except (ValueError, OSError, RuntimeError):
            raise Unusable(f"{path!r} lies outside the project: it is not edited.") from None
        if not path or "\0" in path or ".." in pure.parts or re.match(r"[A-Za-z]:", path):
            raise Unusable(f"{path!r} lies outside the project: it is not edited.")
        if ".git" in (part.lower() for part in (*pure.parts, *inside.parts)):
            raise Unusable(f"{path} belongs to git: it is not edited.")
        return self.root / path

    def read(self, path: str) -> Stored | None:
        """Read a file; None if there is none."""
        place = self.place(path)
        if place.is_dir():
            raise Unusable(f"{path} is a folder: it is not edited.")
        try:
            return decode(place.read_bytes(), path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unusable(f"{path} cannot be read: {error.strerror}.") from error

    def text(self, path: str) -> str | None:
        stored = self.read(path)
        return None if stored is None else stored.text

    def shows(self, path: str) -> bool:
        """Tell whether the prompt holds the whole text of a file."""
        text = (self.text(path) or "").strip("\n")
        return bool(text) and text in self.job.prompt.replace("\r\n", "\n")

    def forbid(self, path: str) -> None:
        """Refuse to change a protected or read-only file."""
        if protected(path, self.job.protect):
            raise Unusable(f"{path} is protected: it may be read, not changed.")
        place = self.place(path)
        if place.exists() and not os.access(place, os.W_OK):
            raise Unusable(f"{path} is read-only: it is not edited.")


def protected(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether gitignore-like patterns cover a path; the last that fits decides, `!` excepts."""
    verdict = False
    for pattern in patterns:
        keep = pattern.startswith("!")
        if glob(pattern.lstrip("!")).match(path):
            verdict = not keep
    return verdict


def glob(pattern: str) -> re.Pattern[str]:
    """Compile a gitignore-like pattern: a name at any depth, a path from the root, a folder and all below it."""
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts = [".*" if part == "**" else fnmatch.translate(part)[4:-3].replace(".*", "[^/]*") for part in body.split("/")]
    joined = "/".join(parts).replace(".*/", "(?:.*/)?")
    return re.compile(("" if anchored else "(?:.*/)?") + joined + r"(?:/.*)?\Z", re.S)


Plan = dict[str, str | None]


def write_all(project: Project, plan: Plan) -> None:
    """Write every new text, or none: stage all, then put all in place, and take back what was done on an error."""
    before = {path: project.read(path) for path in plan}
    staged: dict[str, Path] = {}
    made: list[Path] = []
    done: list[str] = []
    try:
        for path, text in plan.items():
            if text is not None:
                staged[path] = stage(project.place(path), encoded(before[path], text, path), made)
        for path, text in plan.items():
            target = project.place(path).resolve()
            staged[path].replace(target) if text is not None else target.unlink()
            done.append(path)
    except BaseException as error:
        take_back(project, before, done, made, staged)
        if isinstance(error, OSError):
            raise Misconfigured(f"Cannot write {error.filename}: {error.strerror}.") from error
        raise


def encoded(stored: Stored | None, text: str, path: str) -> bytes:
    try:
        return stored.encode(text) if stored else text.encode()
    except UnicodeEncodeError:
        raise Unusable(f"{path} is not UTF-8, and the new text has characters that it cannot hold.") from None


def stage(place: Path, raw: bytes, made: list[Path]) -> Path:
    """Write bytes to a new file beside their place, with the mode of the file that is there."""
    place = place.resolve()
    for folder in [parent for parent in reversed(place.parents) if not parent.exists()]:
        folder.mkdir()
        made.append(folder)
    temporary = place.with_name(f".{place.name[:80]}.{os.getpid()}.lean")
    with temporary.open("xb") as file:
        made.append(temporary)
        file.write(raw)
    if place.exists():
        temporary.chmod(place.stat().st_mode & 0o7777)
    return temporary


def take_back(
    project: Project, before: dict[str, Stored | None], done: list[str], made: list[Path], staged: dict[str, Path]
) -> None:
    """Put the files back that were written already, and remove what was made on the way."""
    for path in done:
        stored, place = before[path], project.place(path).resolve()
        with suppress(OSError):
            place.write_bytes(stored.raw) if stored else place.unlink()
    for path_made in reversed(made):
        with suppress(OSError):
            path_made.rmdir() if path_made.is_dir() else path_made.unlink()


# --- from edits to a plan ---------------------------------------------------------------------------------------------


def place_all(edits: Sequence[Edit], project: Project, plan: Plan) -> list[tuple[Edit, Misfit]]:
    """Add each edit to the plan, in order; return those that cannot be placed."""
    misfits: list[tuple[Edit, Misfit]] = []
    for edit in edits:
        try:
            place_one(edit, project, plan)
        except Misfit as misfit:
            if not (isinstance(edit, Code) and not edit.path and (plan or len(edits) > 1)):
                misfits.append((edit, misfit))
    for path in [path for path, text in plan.items() if text == project.text(path)]:
        del plan[path]
    for path in plan:
        project.forbid(path)
    return misfits


def place_one(edit: Edit, project: Project, plan: Plan) -> None:
    path = project.resolve(edit.path) if edit.path else owner(edit, project, plan)
    old = plan[path] if path in plan else project.text(path)
    match edit:
        case Delete():
            if old is None:
                raise Misfit("there is no such file to delete", path)
            plan[path] = None
        case Change():
            plan[path] = changed(edit, old, path)
        case Code() if old is None or not old.strip():
            plan[path] = created(edit, path)
        case Code():
            if edit.sure or not is_quote(edit.text, old):
                plan[path] = rewrite(old, edit, path, project.shows(path))


def changed(edit: Change, old: str | None, path: str) -> str:
    """Apply a SEARCH/REPLACE pair; an empty SEARCH part makes a new file."""
    if edit.readings and not edit.readings[0][0].strip() and not (old or "").strip():
        return with_ending(edit.readings[0][1], "")
    if old is None:
        raise Misfit("there is no such file", path)
    return swap(old, edit, path)


def created(edit: Code, path: str) -> str:
    """Return the text of a new file; Misfit if lines are left out or it is cut off."""
    text = clean_block(edit.text, "", path)
    lines = text.split("\n")
    if any(is_elision(lines, at, set(), path) for at in range(len(lines))):
        raise Misfit("it leaves lines out of a new file", path)
    if not edit.closed and cut_off(text, "", path):
        raise Misfit("the block is cut off", path)
    return with_ending(text, "")


def is_quote(text: str, old: str) -> bool:
    """Tell whether a block only quotes lines of the file."""
    quoted = [line.strip() for line in text.split("\n") if line.strip()]
    real = [line.strip() for line in old.split("\n") if line.strip()]
    return any(real[at : at + len(quoted)] == quoted for at in range(len(real)))


def owner(edit: Edit, project: Project, plan: Plan) -> str:
    """Find the listed file that a block without a path means: the only one, or the only one with its definitions."""
    texts = {path: plan[path] if path in plan else project.text(path) for path in project.listed}
    if len(texts) == 1:
        return next(iter(texts))
    if isinstance(edit, Change):
        fits = [path for path, text in texts.items() if text and fits_once(edit, text, path)]
    elif isinstance(edit, Code):
        names = {item.name for path in texts for item in definitions(dedent(edit.text), path) if item.depth == 0}
        fits = [
            path for path, text in texts.items() if text and names & {item.short for item in definitions(text, path)}
        ]
    if len(fits) != 1:
        raise Misfit("it does not say of which file it is")
    return fits[0]


def fits_once(edit: Change, text: str, path: str) -> bool:
    with suppress(Misfit):
        swap(text, edit, path)
        return True
    return False


# --- the server -------------------------------------------------------------------------------------------------------

CONTEXT_ERROR = re.compile(
    r"context[_ ](?:length|size|window)|exceed_context|maximum context|prompt is too long|too many tokens", re.I
)
CONTEXT_KEYS = (
    "max_model_len",
    "loaded_context_length",
    "context_length",
    "context_window",
    "n_ctx",
    "max_context_length",
)
TRANSPORT = (OSError, http.client.HTTPException)


@dataclass
class Server:
    """One OpenAI-compatible server; `used` collects what each answer took."""

    settings: Settings
    deadline: float
    used: list[tuple[int, int, int, bool]] = field(default_factory=list)
    model: str = ""

    @property
    def local(self) -> bool:
        return (urllib.parse.urlsplit(self.settings.base_url).hostname or "").startswith(LOCAL)

    def open(self, method: str, url: str, body: bytes | None, timeout: float) -> http.client.HTTPResponse:
        """Send one request and return the response; ServerTrouble where nobody answers."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"base_url {self.settings.base_url!r} is no http(s) URL. Set base_url in [lean].")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
        if self.settings.api_key:
            headers["Authorization"] = f"Bearer {self.settings.api_key}"
        try:
            connection = kind(parts.hostname, parts.port, timeout=max(0.1, timeout))
            connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            return connection.getresponse()
        except TimeoutError as error:
            raise ServerTrouble(f"The server at {url} gave no answer within {timeout:.0f} s.") from error
        except TRANSPORT as error:
            raise ServerTrouble(f"No server answers at {url}: {error or type(error).__name__}.") from error
        except ValueError as error:
            raise Misconfigured(f"A header or the URL is not valid: {error}.") from error

    def get(self, path: str, root: bool = False) -> Any:
        """Fetch JSON from the server; None where there is none."""
        parts = urllib.parse.urlsplit(self.settings.base_url)
        base = f"{parts.scheme}://{parts.netloc}" if root else self.settings.base_url.rstrip("/")
        with suppress(ValueError, *TRANSPORT):
            with self.open("GET", base + path, None, min(10.0, self.left())) as response:
                raw = response.read(4_000_000)
                if response.status in (401, 403):
                    self.fail(response.status, raw, {})
                return json.loads(raw) if response.status == 200 else None
        return None

    def left(self) -> float:
        """Return the seconds that are left of the time limit; ServerTrouble when none are."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ServerTrouble(f"The time limit of {self.settings.timeout:.0f} s is over.")
        return left

    def models(self) -> list[dict[str, Any]]:
        found = self.get("/models")
        rows = found.get("data") or found.get("models") if isinstance(found, dict) else found
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    def choose_model(self) -> str:
        """Return the model to ask for: the configured one, else the only one listed, or the first of a local server."""
        if self.settings.model:
            return self.settings.model
        names = [str(row.get("id") or row.get("name") or row.get("model")) for row in self.models()]
        if len(names) == 1 or (names and self.local):
            return names[0]
        if not names:
            self.open("GET", self.settings.base_url.rstrip("/") + "/models", None, min(10.0, self.left())).close()
            raise Misconfigured(f"The server at {self.settings.base_url} lists no models. Set model in [lean].")
        raise Misconfigured(f"The server has several models. Set model in [lean] to one of: {', '.join(names[:20])}.")

    def context(self) -> int:
        """Return the context size in tokens, as set or as the server tells it; 0 if it does not."""
        if self.settings.context:
            return self.settings.context
        props = self.get("/props", root=True)
        if isinstance(props, dict) and (size := number(props.get("default_generation_settings"), "n_ctx")):
            return size
        rows = [row for row in self.models() if row.get("id") == self.model or len(self.models()) == 1]
        for row in [*rows, *(self.loaded(path) for path in ("/api/v0/models", "/api/ps") if self.local)]:
            for place in (row, row.get("meta")):
                if size := next((size for key in CONTEXT_KEYS if (size := number(place, key))), 0):
                    return size
        return 0

    def loaded(self, path: str) -> dict[str, Any]:
        """Look the model up in LM Studio's or Ollama's own listing."""
        found = self.get(path, root=True)
        rows = (found.get("data") or found.get("models") or []) if isinstance(found, dict) else []
        return next(
            (
                row
                for row in rows
                if isinstance(row, dict) and self.model in (row.get("id"), row.get("name"), row.get("model"))
            ),
            {},
        )

    def check_size(self, text: str) -> None:
        """Refuse a prompt that will not fit, with both numbers."""
        tokens = estimate(text)
        if tokens < FEW_TOKENS and not self.settings.context:
            return
        size = self.context()
        if size and tokens > size / 2 and (exact := self.count(text)):
            tokens = exact
        if size and tokens >= size:
            raise too_long(tokens, size)

    def count(self, text: str) -> int:
        """Count tokens with llama.cpp's own tokenizer; 0 where there is none."""
        parts = urllib.parse.urlsplit(self.settings.base_url)
        url = f"{parts.scheme}://{parts.netloc}/tokenize"
        with suppress(ValueError, Stop, *TRANSPORT):
            with self.open("POST", url, json.dumps({"content": text}).encode(), min(10.0, self.left())) as response:
                found = json.loads(response.read(50_000_000)) if response.status == 200 else {}
                return len(found.get("tokens", ())) if isinstance(found, dict) else 0
        return 0

    def ask(self, system: str, prompt: str) -> Reply:
        """Send one request and return the whole answer."""
        self.model = self.model or self.choose_model()
        self.check_size(system + prompt)
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": prompt})
        body = {"model": self.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        response = self.send({**body, **self.settings.body}, estimate(system + prompt))
        try:
            reply = self.receive(response)
        finally:
            response.close()
        guessed = reply.sent < 0
        sent = estimate(system + prompt) if guessed else reply.sent
        got = estimate(reply.text) if reply.got < 0 else reply.got
        self.used.append((sent, got, max(0, reply.cached), guessed))
        return reply

    def send(self, body: dict[str, Any], tokens: int) -> http.client.HTTPResponse:
        """Post a request; wait and try again where the server is busy; raise what it says otherwise."""
        url = self.settings.base_url.rstrip("/") + "/chat/completions"
        waits = iter(WAITS)
        while True:
            # A slow machine needs time to read a long prompt before its first word: a second for twenty tokens.
            patience = min(self.left(), self.settings.idle + tokens / 20)
            response = self.open("POST", url, json.dumps(body).encode(), patience)
            if response.status == 200:
                return response
            with response:
                raw = response.read(1_000_000)
            if response.status == 400 and "stream_options" in body and b"stream_options" in raw:
                del body["stream_options"]
                continue
            pause = retry_after(response.headers.get("Retry-After")) if response.status in (429, 503) else None
            if response.status in (429, 503) and pause is None:
                pause = next(waits, None)
            if pause is None or pause >= self.deadline - time.monotonic():
                self.fail(response.status, raw, dict(response.headers))
            time.sleep(pause)

    def fail(self, status: int, raw: bytes, headers: dict[str, str]) -> NoReturn:
        """Raise what a status and its body mean."""
        said, where = error_text(raw), self.settings.base_url
        if is_context_error(raw):
            raise context_error(raw)
        if status in (401, 403):
            raise Misconfigured(f"The server refuses the key ({status}): {said}. Set api_key or api_key_env in [lean].")
        if status == 404 and "model" in said.lower():
            raise Misconfigured(f"The server has no model {self.model!r}: {said}. Set model in [lean].")
        if status in (404, 405) or (looks_like_html(raw) and status < 500):
            raise Misconfigured(f"{where} is no OpenAI-compatible API ({status}): {said}. Does base_url end in /v1?")
        if status in (429, 503):
            wait = headers.get("Retry-After") or headers.get("retry-after")
            raise ServerTrouble(
                f"The server is busy ({status}): {said}." + (f" It asks to wait {wait} s." if wait else "")
            )
        if status >= 500 or status == 408:
            raise ServerTrouble(f"The server failed ({status}): {said}.")
        raise Misconfigured(f"The server refuses the request ({status}): {said}.")

    def receive(self, response: http.client.HTTPResponse) -> Reply:
        """Read an answer, streamed or whole."""
        kind = response.headers.get("Content-Type", "")
        answer = Answer(self)
        try:
            if "json" in kind and "event-stream" not in kind:
                answer.take(self.parse_json(response.read()), whole=True)
            else:
                answer.stream(response)
        except TimeoutError as error:
            raise ServerTrouble(
                f"The server fell silent for {self.silence(answer):.0f} s in the middle of an answer."
            ) from error
        except TRANSPORT as error:
            raise ServerTrouble(
                f"The connection broke in the middle of the answer: {error or type(error).__name__}."
            ) from error
        return answer.reply()

    def silence(self, answer: Answer) -> float:
        return min(self.settings.idle, self.settings.timeout) if answer.events else self.settings.idle

    def parse_json(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError:
            self.fail(200, raw, {})


class Answer:
    """Collect an answer from its pieces, and show how it comes along."""

    def __init__(self, server: Server) -> None:
        self.server, self.begun, self.shown = server, time.monotonic(), 0.0
        self.text: list[str] = []
        self.thought: list[str] = []
        self.refusal = self.finish = ""
        self.tools, self.events, self.ended = False, 0, False
        self.usage: dict[str, Any] = {}
        self.timings: dict[str, Any] = {}

    def stream(self, response: http.client.HTTPResponse) -> None:
        """Take server-sent events until the answer ends; a connection that closes before that is broken."""
        other = b""
        while True:
            set_timeout(response, min(self.server.settings.idle, self.server.left()))
            line = response.readline(10_000_000)
            if not line:
                break
            name, _, data = line.partition(b":")
            if name.strip() in (b"data", b"error"):
                if data.strip() == b"[DONE]":
                    self.ended = True
                    break
                self.take(self.server.parse_json(data))
            elif name and len(other) < 100_000:
                other += line
        if not self.events and other.strip():
            self.take(self.server.parse_json(other), whole=True)
        if not (self.ended or self.finish):
            raise ServerTrouble("The connection broke in the middle of the answer.")

    def take(self, event: Any, whole: bool = False) -> None:
        """Add one event, or a whole answer in the same form."""
        if not isinstance(event, dict):
            raise ServerTrouble("The server answers with JSON that is no chat completion.")
        if event.get("error") or ("message" in event and "choices" not in event and "code" in event):
            self.raise_error(event)
        self.events += 1
        self.usage = event.get("usage") or self.usage
        self.timings = event.get("timings") or self.timings
        for choice in (event.get("choices") or [])[:1]:
            part = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
            self.text.append(flat(part.get("content")))
            self.thought.append(flat(part.get("reasoning_content") or part.get("reasoning")))
            self.refusal += flat(part.get("refusal"))
            self.tools = self.tools or bool(part.get("tool_calls"))
            self.finish = choice.get("finish_reason") or self.finish
        if whole and "choices" not in event:
            raise Misconfigured(
                f"{self.server.settings.base_url} does not answer as a chat completion. Is it an OpenAI-compatible API?"
            )
        self.show()

    def raise_error(self, event: dict[str, Any]) -> NoReturn:
        raw = json.dumps(event).encode()
        inner = event.get("error")
        code = inner.get("code") if isinstance(inner, dict) else event.get("code")
        self.server.fail(code if isinstance(code, int) and 400 <= code < 600 else 500, raw, {})

    def show(self) -> None:
        """Print progress: a live line on a terminal, lines for the loop."""
        now = time.monotonic()
        if now - self.shown < 0.5 or not (self.server.settings.progress or sys.stderr.isatty()):
            return
        self.shown = now
        count = self.usage.get("completion_tokens") or self.events
        rate = count / max(0.001, now - self.begun)
        line = (
            f"progress: {count} {rate:.1f}\n" if self.server.settings.progress else f"\r{count} tokens, {rate:.1f}/s "
        )
        print(line, end="", file=sys.stderr, flush=True)

    def reply(self) -> Reply:
        """Return the whole answer; Unusable where it is a refusal, a tool call, cut off or nothing at all."""
        if sys.stderr.isatty() and not self.server.settings.progress and self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        text, thought = "".join(self.text), "".join(self.thought)
        details = self.usage.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        sent, got = number(self.usage, "prompt_tokens", -1), number(self.usage, "completion_tokens", -1)
        if cached is None:
            cached = self.timings.get("cache_n", -1)
        if sent < 0 and "prompt_n" in self.timings:
            sent, got = int(self.timings["prompt_n"]) + max(0, cached), number(self.timings, "predicted_n", -1)
        if not text.strip() and thought.strip() and self.finish in ("stop", ""):
            text, thought = thought, ""
        problem = self.problem(text, thought, got)
        if problem:
            self.server.used.append((max(0, sent), max(0, got), max(0, cached), sent < 0))
            raise Unusable(problem)
        return Reply(text, self.finish, sent, got, cached)

    def problem(self, text: str, thought: str, got: int) -> str:
        """Say what is wrong with an answer as a whole; empty if nothing is."""
        tokens = f" after {got} tokens" if got > 0 else ""
        if self.finish == "length" and not spoken(text).strip():
            return f"The model was cut off while thinking{tokens}: raise max_output_tokens or the server's context, or turn thinking off with extra_body."
        if self.finish == "length":
            return f"The answer was cut off{tokens} (finish_reason length): raise max_output_tokens or the server's context, or name smaller files."
        if self.refusal or self.finish == "content_filter":
            return f"The model refused: {first_line(self.refusal) or 'its answer was filtered'}"
        if self.tools and not text.strip():
            return "The model answered with a tool call, although no tools were offered: use a chat template without tools, or another model."
        return "" if spoken(text).strip() else "The model's answer is empty."


def set_timeout(response: http.client.HTTPResponse, seconds: float) -> None:
    """Limit how long the next read may wait."""
    raw = getattr(response.fp, "raw", None)
    sock = getattr(raw, "_sock", None)
    if sock is not None:
        sock.settimeout(max(0.1, seconds))


def flat(content: Any) -> str:
    """Return the text of a message's content, also where it comes in parts."""
    if isinstance(content, list):
        return "".join(flat(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def number(place: Any, key: str, otherwise: int = 0) -> int:
    value = place.get(key) if isinstance(place, dict) else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def estimate(text: str) -> int:
    """Guess tokens at four bytes each."""
    return max(1, len(text.encode("utf-8", "replace")) // 4) if text else 0


def retry_after(value: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date; None where there is none."""
    if not value:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def error_text(raw: bytes) -> str:
    """Find the sentence in an error's body, whatever its form."""
    text = raw.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        return (
            first_line(re.sub(r"(?is)<(?:script|style).*?</(?:script|style)>|<[^>]*>", " ", text)) or "no reason given"
        )
    for key in ("error", "detail", "message", "msg"):
        while isinstance(found, dict) and found.get(key):
            found = found[key]
    return first_line(found if isinstance(found, str) else json.dumps(found)).rstrip(".")


def first_line(text: str, limit: int = 300) -> str:
    return next((" ".join(line.split())[:limit] for line in text.split("\n") if line.strip()), "")


def looks_like_html(raw: bytes) -> bool:
    return raw.lstrip()[:200].lower().startswith((b"<!doctype", b"<html", b"<head", b"<body"))


def is_context_error(raw: bytes) -> bool:
    return bool(CONTEXT_ERROR.search(raw.decode("utf-8", "replace"))) and not looks_like_html(raw)


def context_error(raw: bytes) -> Misconfigured:
    """Turn a server's word on the context into ours, with both numbers where it has them."""
    with suppress(ValueError):
        found = json.loads(raw)
        error = found.get("error", found) if isinstance(found, dict) else {}
        if number(error, "n_prompt_tokens") and number(error, "n_ctx"):
            return too_long(number(error, "n_prompt_tokens"), number(error, "n_ctx"))
    said = error_text(raw)
    size = re.search(r"(?:context[_ ](?:length|size|window)|context)\D{0,40}?([\d,]{3,})", said)
    figures = [int(word.replace(",", "")) for word in re.findall(r"\d[\d,]{2,}", said)]
    limit = int(size[1].replace(",", "")) if size else 0
    over = [figure for figure in figures if figure > limit]
    return (
        too_long(over[0], limit)
        if limit and over
        else Misconfigured(f"The prompt does not fit the server's context: {said}.")
    )


def too_long(tokens: int, size: int) -> Misconfigured:
    return Misconfigured(
        f"The prompt has about {tokens} tokens, the server's context {size}: "
        "give the server a larger context, or the task fewer or smaller files (context_tokens)."
    )


# --- one call ---------------------------------------------------------------------------------------------------------


def run(settings: Settings, job: Job, root: Path) -> list[str]:
    """Do one call and return the lines that tell what was done."""
    server = Server(settings, time.monotonic() + settings.timeout)
    try:
        if job.ask:
            return [spoken(heard(server.ask("", job.prompt), job)).strip()]
        project = Project(root, job)
        return describe(project, make(server, settings, job, project))
    finally:
        write_usage(server.used, job.usage_file)


def make(server: Server, settings: Settings, job: Job, project: Project) -> dict[str, tuple[str, str]]:
    """Ask for edits and apply them; return each changed file's texts before and after."""
    prompt = "\n\n".join(filter(None, (job.prompt, TAILS[answer_form(settings, project)])))
    edits, reads = understood(heard(server.ask(SYSTEM, prompt), job), project)
    if reads and not edits:
        more = wanted_lines(reads, project, settings.context or server.context() or DEFAULT_CONTEXT, prompt)
        edits, reads = understood(heard(server.ask(SYSTEM, f"{prompt}\n\n{more}"), job), project)
        if reads and not edits:
            raise Unusable("The model asked to read more a second time instead of editing.")
    plan: Plan = {}
    misfits = place_all(edits, project, plan)
    for _ in range(settings.retries):
        if not misfits:
            break
        edits, _ = understood(heard(server.ask(SYSTEM, repair_prompt(misfits)), job), project)
        misfits = place_all(edits, project, plan)
    if misfits:
        raise Unusable(explain(misfits[0][1]))
    if not plan:
        raise Unusable("The answer changes nothing: every file would stay as it is.")
    before = {path: project.text(path) or "" for path in plan}
    write_all(project, plan)
    return {path: (before[path], text or "") for path, text in plan.items()}


def heard(reply: Reply, job: Job) -> str:
    """Return a reply's text, after it was recorded if that is wished."""
    if job.record:
        record(Path(job.record), job, reply.text)
    return reply.text


def understood(text: str, project: Project) -> tuple[list[Edit], list[Read]]:
    """Read an answer's edits and wishes; Unusable if it has neither."""
    edits, reads = parse(text, project.known)
    if edits or reads:
        return edits, reads
    if TOOL_CALL.search(text):
        raise Unusable("The model wrote a tool call instead of an edit, although no tools were offered.")
    raise Unusable(f"The answer holds no edit: {first_line(spoken(text), 160)}")


def answer_form(settings: Settings, project: Project) -> str:
    """Choose what to ask for: whole files only where they are short and the prompt shows all of them."""
    texts = {path: text for path in project.listed if (text := project.text(path))}
    seen = bool(project.listed) and all(map(project.shows, texts))
    short = all(text.count("\n") <= SHORT_LINES and len(text) <= SHORT_BYTES for text in texts.values())
    if settings.edit_format == "search" or (settings.edit_format == "whole" and seen):
        return settings.edit_format
    return "free" if seen and short else "parts"


def wanted_lines(reads: Sequence[Read], project: Project, context: int, prompt: str) -> str:
    """Return the lines that the model asked for, as far as they fit the context."""
    room = 4 * (context - estimate(SYSTEM + prompt) - ROOM_TO_ANSWER)
    parts: list[str] = []
    for read in reads[:8]:
        path = project.resolve(read.path)
        text = None if PurePosixPath(path).name.startswith(".env") else project.text(path)
        if text is None:
            raise Unusable(f"The model asked to read {path}, which is not there.")
        lines = text.rstrip("\n").split("\n")
        first, last = max(1, read.first), min(len(lines), read.last or len(lines))
        body = "\n".join(lines[first - 1 : last])
        if len(body) > room:
            raise Unusable(f"The model asked to read {path}, which does not fit the context of {context} tokens.")
        room -= len(body)
        parts.append(f"{path} (lines {first}-{last} of {len(lines)})\n{fenced(body)}")
    return "# Requested\n" + "\n".join(parts)


def fenced(body: str) -> str:
    """Fence a text with more backticks than it holds."""
    longest = max((len(run) for run in re.findall(r"`{3,}", body)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}\n{body}\n{ticks}"


def repair_prompt(misfits: Sequence[tuple[Edit, Misfit]]) -> str:
    """Ask again for the edits that could not be placed, with the lines that they may have meant."""
    parts: list[str] = []
    for edit, misfit in misfits[:4]:
        parts.append(
            f"This edit{f' of {misfit.path}' if misfit.path else ''} was not applied: {misfit.reason}.\n{fenced(quoted(edit))}"
        )
        if misfit.near:
            parts.append(f"The nearest lines of {misfit.path} are:\n{fenced(misfit.near)}")
    return "\n\n".join([*parts, "Send it again so that it fits, only this."])


def quoted(edit: Edit, limit: int = 8000) -> str:
    """Show an edit the way it was sent, bounded."""
    if isinstance(edit, Change) and edit.readings:
        old, new = edit.readings[0]
        return f"{edit.path}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE"[:limit]
    return (f"{edit.path}\n{edit.text}" if isinstance(edit, Code) else f"DELETE {edit.path}")[:limit]


def explain(misfit: Misfit) -> str:
    return f"No edit was applied{f' ({misfit.path})' if misfit.path else ''}: {misfit.reason}."


def describe(project: Project, changed_files: dict[str, tuple[str, str]]) -> list[str]:
    """Tell of each file what was done with it."""
    lines = []
    for path, (old, new) in changed_files.items():
        diff = (
            [line[:1] for line in difflib.ndiff(old.split("\n"), new.split("\n"))]
            if len(old) + len(new) < 40_000
            else []
        )
        verb = "wrote" if project.place(path).exists() else "deleted"
        lines.append(f"{verb} {path}" + (f" (+{diff.count('+')} -{diff.count('-')})" if diff else ""))
    return lines


def write_usage(used: Sequence[tuple[int, int, int, bool]], path: str) -> None:
    """Write what all requests of the call took together, as the server told it."""
    if not path:
        return
    sent, got, cached = (sum(row[at] for row in used) for at in range(3))
    figures: dict[str, int | bool] = {"requests": len(used), "input_tokens": sent, "output_tokens": got}
    figures |= {"cached_tokens": cached} if cached else {}
    figures |= {"estimated": True} if any(row[3] for row in used) else {}
    with suppress(OSError):
        Path(path).write_text(json.dumps(figures), encoding="utf-8")


def record(folder: Path, job: Job, text: str) -> None:
    """Keep an answer in the form that playground/serve.py plays."""
    task = re.search(r"^# Task: .+$", job.prompt, re.M)
    when = " ".join(job.prompt.split()[:4]) if job.ask or not task else task[0].strip()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.glob('*.md'))) + 1:02d}.md"
    path.write_text(f"<!-- when: {when.replace('-->', '')} -->\n{text}\n", encoding="utf-8")


# --- the command line -------------------------------------------------------------------------------------------------


def settings_from(env: dict[str, str]) -> Settings:
    """Read LEAN_* variables."""
    body: dict[str, Any] = {}
    if env.get("LEAN_TEMPERATURE"):
        body["temperature"] = real(env, "LEAN_TEMPERATURE", 0.0)
    if whole(env, "LEAN_MAX_OUTPUT_TOKENS"):
        body["max_tokens"] = whole(env, "LEAN_MAX_OUTPUT_TOKENS")
    if stops := from_json(env, "LEAN_STOP", list):
        body["stop"] = stops
    return Settings(
        base_url=env.get("LEAN_BASE_URL") or "http://127.0.0.1:8080/v1",
        api_key=env.get("LEAN_API_KEY", ""),
        model=env.get("LEAN_MODEL", ""),
        timeout=real(env, "LEAN_TIMEOUT", 600.0) or 600.0,
        idle=real(env, "LEAN_IDLE", 120.0) or 120.0,
        context=whole(env, "LEAN_CONTEXT_TOKENS"),
        edit_format=one_of(env, "LEAN_EDIT_FORMAT", ("auto", "whole", "search")),
        retries=whole(env, "LEAN_EDIT_RETRIES", 1),
        body=body | (from_json(env, "LEAN_EXTRA_BODY", dict) or {}),
        progress=env.get("LEAN_PROGRESS") == "1",
    )


def real(env: dict[str, str], key: str, otherwise: float) -> float:
    try:
        return float(env.get(key) or otherwise)
    except ValueError:
        raise Misconfigured(f"{key} is no number: {env[key]!r}.") from None


def whole(env: dict[str, str], key: str, otherwise: int = 0) -> int:
    return int(real(env, key, otherwise))


def one_of(env: dict[str, str], key: str, values: tuple[str, ...]) -> str:
    value = env.get(key) or values[0]
    if value not in values:
        raise Misconfigured(f"{key} is {value!r}: it can be {', '.join(values)}.")
    return value


def from_json(env: dict[str, str], key: str, kind: type) -> Any:
    try:
        value = json.loads(env.get(key) or "null")
    except ValueError:
        raise Misconfigured(f"{key} is no JSON: {env[key]!r}.") from None
    if value is not None and not isinstance(value, kind):
        raise Misconfigured(f"{key} has to be a JSON {'list' if kind is list else 'object'}: {env[key]!r}.")
    return value


def job_from(options: argparse.Namespace, env: dict[str, str]) -> Job:
    """Read what is to be done, from the options first."""
    prompt, file = options.prompt, env.get("LEAN_PROMPT_FILE")
    if file:
        try:
            prompt = Path(file).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise Misconfigured(f"LEAN_PROMPT_FILE {file} cannot be read: {error.strerror}.") from error
    if not (prompt or "").strip():
        raise Misconfigured("There is no prompt: give -p PROMPT.")
    files = tuple(options.files or env.get("LEAN_FILES", "").split("\n"))
    extra = from_json(env, "LEAN_OPTIONS", dict) or {}
    return Job(
        prompt=prompt,
        files=tuple(filter(None, files)),
        protect=tuple(filter(None, env.get("LEAN_PROTECT", "").split("\n"))),
        ask=options.ask or one_of(env, "LEAN_MODE", ("edit", "ask")) == "ask",
        usage_file=env.get("LEAN_USAGE_FILE", ""),
        record=options.record or str(extra.get("record") or ""),
    )


def with_files(job: Job, root: Path) -> Job:
    """Show the files in the prompt where it does not: direct was called by hand."""
    project = Project(root, job)
    shown = [(path, project.text(path)) for path in project.listed]
    parts = [
        f"{path} (does not exist yet)" if text is None else f"{path}\n{fenced(text.rstrip(chr(10)))}"
        for path, text in shown
    ]
    return replace(job, prompt="\n\n".join([job.prompt, "# Files", *parts])) if parts else job


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="direct.py",
        description="Ask an OpenAI-compatible server for a change, and make it.",
        epilog="The server and the rest are set by LEAN_BASE_URL, LEAN_MODEL, LEAN_API_KEY and the other LEAN_* variables.",
    )
    text.add_argument("-p", dest="prompt", metavar="PROMPT", help="what is to be done")
    text.add_argument("--files", nargs="+", metavar="FILE", help="files to show and to change (instead of LEAN_FILES)")
    text.add_argument("--ask", action="store_true", help="print the answer, change nothing")
    text.add_argument("--record", metavar="FOLDER", help="keep each answer there, for playground/serve.py to play")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run one call; the exit code is the contract's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    options = parser().parse_args(argv)
    with suppress(ValueError, AttributeError):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    env = dict(os.environ)
    try:
        settings, job = settings_from(env), job_from(options, env)
        if options.files:
            job = with_files(job, Path.cwd())
        print("\n".join(run(settings, job, Path.cwd())))
    except Stop as stop:
        print(f"direct: {stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
