#!/usr/bin/env python3
# lean: overhead=607 idle=own edits=told
"""Ask an OpenAI-compatible server for a change, and make it: the leanest hands a model can have.

    prompt -> one streamed request -> answer -> edits -> new texts -> files, all or none

An answer holds edits as plain text, because that is what models of any size write best: a path and a fenced block with
the whole file or with the definitions that change, SEARCH/REPLACE blocks, or a unified diff. What is clear is taken as
it is meant; what is not clear is refused with its reason, after one small request to send it again.

Settings come as LEAN_* variables (README.md beside this file) or as options. Exit codes: 0 done, 1 no usable edit,
2 wrongly set up, 75 trouble of the server. Nothing is kept: every call is a fresh conversation.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import email.utils
import errno
import http.client
import json
import os
import re
import signal
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

SYSTEM = "You are a careful programmer. You answer with code that can be put into the project as it stands."
BLOCK_OF = {  # what a fenced block of the answer holds, by edit_format and by what the prompt shows
    "new": "the whole file",
    "whole": "the whole file",
    "parts": "every function that must change, each complete",
}
SEARCH_FORM = """\
Now write the changes. For each: the file's path alone on a line, then a fenced block that holds
<<<<<<< SEARCH
lines exactly as they are
=======
lines as they shall be
>>>>>>> REPLACE"""
FEW_TOKENS = 1500  # a prompt below this fits everywhere: the server's context size is not asked for
ROOM_TO_ANSWER, DEFAULT_CONTEXT = 1024, 8192
LONG_LINE = 300  # no path, header or comment that means something is longer; patterns stay fast on minified text
MASK = "[masked by lean-loop]"  # what the loop puts in the place of a secret in prompts
BUSY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between tries at a busy server that names no time itself


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
    """One edit that cannot be placed: why, and the lines that it may have meant."""

    def __init__(self, reason: str, near: str = "") -> None:
        super().__init__(reason)
        self.reason, self.near = reason, near


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """A fenced block: a new or whole file, or some of its definitions. `sure` if its path stood alone."""

    path: str
    text: str
    sure: bool = True
    closed: bool = True


@dataclass(frozen=True)
class Change:
    """Lines to find and what shall stand there; several readings where the divider is not clear; 0: line not known."""

    path: str
    readings: tuple[tuple[str, str], ...]
    line: int = 0


@dataclass(frozen=True)
class Delete:
    path: str


@dataclass(frozen=True)
class Read:
    """A wish to see lines of a file first; 0: from its beginning, to its end."""

    path: str
    first: int = 0
    last: int = 0


Edit = Code | Change | Delete


@dataclass(frozen=True)
class Call:
    """What is asked, of which server, about which files; each setting travels as LEAN_<NAME>, 0 tokens: not known."""

    prompt: str
    base_url: str = "http://127.0.0.1:8080/v1"
    files: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    mode: str = "edit"
    api_key: str = ""
    model: str = ""
    timeout: float = 600.0
    idle: float = 120.0
    context_tokens: int = 0
    edit_format: str = "auto"
    edit_retries: int = 1
    temperature: float | None = None
    max_output_tokens: int = 0
    stop: list[Any] = field(default_factory=list)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = False
    usage_file: str = ""

    def body(self) -> dict[str, Any]:
        """Return what the request says of the answer."""
        limits = {"max_tokens": self.max_output_tokens, "stop": self.stop}
        asked = {key: value for key, value in limits.items() if value}
        heat = {} if self.temperature is None else {"temperature": self.temperature}
        return {**heat, **asked, **self.extra_body}


# --- reading an answer: text -> edits, pure ---------------------------------------------------------------------------

FENCE = re.compile(r"^(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
HEAD = re.compile(
    r"^\s*(?:<{5,9}|-{5,9}(?= ?SEARCH))(?i: ?(?:SEARCH|ORIGINAL|HEAD|OLD|FIND)\b[ :>]*(?P<path>.*?))?\s*$"
)
DIVIDER = re.compile(r"^\s*={5,9} ?(?i:REPLACE|WITH|UPDATED|NEW)?:?\s*$")
TAIL = re.compile(r"^\s*(?:>{5,9}(?: .*)?|\+{5,9} ?REPLACE\s*)$")
TOOL_HINT = re.compile(r"^(?::(?:start|end)_line[:=>]?\s*\d+|-{7})\s*$")
DIFF = re.compile(r"^(?:diff --git |--- (?:[ab]/|/dev/null|\S+$)|\*\*\* (?:Begin Patch|(?:Update|Add|Delete) File:))")
HUNK = re.compile(r"^(?:@@(?: -(?P<line>\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*|.*)|\s*(?:\.\.\.|…)\s*)$")
PATCH_FILE = re.compile(r"^\*\*\* (?P<verb>Update|Add|Delete) File: *(?P<path>.+?)\s*$")
MOVED = re.compile(r"^(?:\*\*\* Move to: |rename from )(?P<path>.*)$")
DIFF_NOISE = re.compile(r"^(?:diff --git |index [0-9a-f]+\.\.|(?:new|deleted) file mode|\*\*\* |\\ No newline|@@)")
NAME = r"[\w.@+\-()\[\]/\\]*[\w\])]"
PATH = rf"(?:(?:{NAME}[/\\])?{NAME}?\.[A-Za-z]\w*|\b(?:Make|Docker|Gem|Rake|Proc|Just)file\b)"
WORDS = (
    r"(?:(?:updated?|modif(?:y|ied)|new|changed?|fixed|complete|full|edit(?:ed)?|create[ds]?|file(?:name|path)?|path|code|for|in"
    r"|the|to)\b[\s:*`]+)*"
)
ALONE = re.compile(
    rf"(?i)^[\s>#*\-=`\"'(\[<!/:.;%\d]*?{WORDS}[\"'*`(\[]*(?P<path>(?:[A-Za-z]:[/\\]|\./|/|~/)?{PATH})[\"'*`)\]]*"
    r"\s*(?:\([^()]*\))?[\s:*`=\-/>#]*$"
)
NOTE = re.compile(r"^\s*(?:#|//|--(?!-)|;|%|/\*|<!--)")
TAG = re.compile(
    rf"^\s*<(?P<tag>\w+)\s(?:[^>]*\s)?(?:path|file(?:_?(?:name|path))?|name|title)=[\"']?(?P<path>{PATH})[\"']?(?:\s[^>]*)?>\s*$"
)
ALTERNATIVE = re.compile(
    r"(?i)^\W*(?:or\b|alternative|another (?:option|way|version|approach|solution)|you (?:could|can|may) also\b"
    r"|if you prefer|(?:option|variant|version|approach|solution) *(?:[2-9B-D]\b|two|three)"
    r"|an? (?:even |more )?(?:concise|short|simpl|clean|compact|elegant|idiomatic|pythonic|efficient|fast)\w*"
    r" (?:version|variant|way|approach|solution))"
)
MENTION = re.compile(rf"(?<![\w:/.\\-])(?:\./)?{PATH}")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
NAMED = re.compile(r"(?:title|file(?:name)?|path|name)\s*[=:]\s*[\"']?([^\"'\s}]+)")
DELETE = re.compile(r"^[\s>*`#-]*(?:DELETE(?: FILE)?|[Dd]eleted? file)[:\s`*]+(?P<path>\S.*?)[\s`*]*$")
READ = re.compile(
    r"^[\s>*`#-]*READ[:\s`*]+(?P<path>[^\s`*]+?)[`*]*"
    r"(?:[ :,(]+(?:lines? *)?L?(?P<first>\d{1,9})(?: *(?:-|–|to) *L?(?P<last>\d{1,9}))?\)?)?[\s`*.]*$"
)
BEFORE = re.compile(
    rf"(?i)^\W*(?:in \W?{PATH}\W+)?(?:search(?: for)?|find|before|(?:old|original|current)(?: code)?|from"
    r"|(?:replace|change)(?: this| the lines?| these lines)?"
    rf"|(?:the )?(?:bug|problem|issue|error|mistake|wrong)\b[^.]{{0,30}}\blines?(?: (?:of|in) \W?{PATH})?)\W*$"
)
AFTER = re.compile(
    r"(?i)^\W*(?:replace(?:ment)?(?: it)?(?: with)?|with|by|to|after|(?:new|updated|fixed|corrected)(?: code| lines?)?"
    r"|(?:(?:it|this|that|they) )?(?:should be|becomes?)|change it to)(?: this)?\W*$"
)
THOUGHTS = (
    re.compile(r"\A.*<\|channel\|>final(?:<\|[a-z_]+\|>[^<\n]*)*<\|message\|>", re.DOTALL),
    re.compile(r"\A\s*<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL),
    re.compile(r"\A(?:(?!<think).)*?</think(?:ing)?>[ \t]*$", re.DOTALL | re.MULTILINE),
    re.compile(r"<\|(?:im_end|endoftext|eot_id|end|return|end_of_text)\|>|<｜end▁of▁sentence｜>|</s>\s*\Z"),
)
TOOL_CALL = re.compile(
    r"<tool_call>|<function=|<write_to_file>|<invoke "
    r"|\{\s*\"(?:name|tool|function)\"\s*:\s*\"\w+\"\s*,\s*\"(?:arguments|parameters|args)\""
    r"|\{\s*\"(?:file_?(?:path|name)?|path)\"\s*:\s*\"[^\"\n]+\"\s*,\s*\"(?:content|search|old|code|edits|changes)"
)
CALLED = {  # what an argument of a tool stands for
    r"(?:target_?)?file(?:_?(?:path|name))?|path": "\n{}\n",
    r"contents?|file_text|code": "\n`````\n{}\n`````\n",
    r"(?:old|search)(?:_?(?:str(?:ing)?|text|code|block|lines))?": "\n<<<<<<< SEARCH\n{}\n=======\n",
    r"(?:new|replace(?:ment)?)(?:_?(?:str(?:ing)?|text|code|block|lines))?": "{}\n>>>>>>> REPLACE\n",
}
OPENED = rf"<(?:parameter(?:=| name=[\"']?))?(?P<key>{'|'.join(CALLED)})[\"']?>"
ARGUMENT = re.compile(rf"{OPENED}[ \t]*\n?(?P<value>.*?)\n?[ \t]*</(?:parameter|(?P=key))>", re.DOTALL)
NOT_WHOLE = re.compile(r"(?i)[<=\"](?:\w+_)?(?:append|insert|add)")  # a tool that puts its text among other lines
HEREDOC = re.compile(
    r"^cat (?=[^\n]*> *[\"']?(?P<path>[^\s<>|&;\"']+))(?![^\n]*>>)[^\n]*<<-? *[\"']?(?P<end>\w+)[^\n]*\n"
    r"(?P<text>.*?)^(?P=end)$",
    re.DOTALL | re.MULTILINE,
)
NOT_CODE = re.compile(r"(?:bash|sh|shell|zsh|console|powershell|cmd|terminal|text|txt|output|log)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block, or lines that stand like one: what is said above it and what it holds."""

    above: Sequence[str]
    info: str = ""
    lines: Sequence[str] = ()
    closed: bool = True
    ticks: int = 0

    @property
    def wraps(self) -> bool:
        """Whether it is a fence around tagged files or around another fence."""
        first = next(iter(self.lines), "")
        tagged = len(first) < LONG_LINE and TAG.match(first) and not self.said(ALONE)
        inner = None if self.info else FENCE.match(first)
        return 0 < self.ticks < 9 and bool(tagged or (inner and inner["info"]))

    def said(self, pattern: re.Pattern[str], last: int = 1) -> bool:
        """Tell whether one of the last lines above is of such a form."""
        return any(pattern.match(line) for line in [line for line in self.above if line.strip()][-last:])

    def notes(self) -> Iterator[Delete | Read]:
        """Yield the deletions and wishes to read that stand above the block, or that are all it holds."""
        own = self.lines if all(DELETE.match(line) or READ.match(line) for line in self.lines if line.strip()) else ()
        for line in (*self.above, *own):
            if found := READ.match(line):
                first = int(found["first"] or 0)
                yield Read(tidy(found["path"]), first, int(found["last"] or (first and first + 80)))
            elif (found := DELETE.match(line)) and re.fullmatch(rf"\S+|{PATH}", found["path"]):
                yield Delete(tidy(found["path"]))


Known = Callable[[str], bool]


def parse(answer: str, known: Known) -> tuple[list[Edit], list[Read]]:
    """Read the edits and the wishes to read that an answer holds; `known` tells the paths of files there are."""
    edits: list[Edit] = []
    reads: list[Read] = []
    path, old, known = "", None, lru_cache(maxsize=1024)(known)
    for block in split_blocks(spoken(answer)):
        for note in block.notes():
            reads.append(note) if isinstance(note, Read) else edits.append(note)
        name, sure, lines = path_of(block, known)
        if old is not None and block.said(AFTER):
            edits[-1:] = [Change(path, (("\n".join(old), "\n".join(lines)),))]
        else:
            past = set(map(subject, edits)) if block.said(ALTERNATIVE, 3) else ()
            found = block_edits(replace(block, lines=lines), name, path, sure)
            edits += [edit for edit in found if subject(edit) not in past]
        old = lines if lines and block.said(BEFORE) else None
        path = name or path
    return edits, reads


def without_tools(answer: str) -> str:
    """Write the calls of tools, which nobody offered, as the edits that they stand for; "" where that is not clear."""
    said = spoken(answer)
    calls = [[(found["key"], found["value"]) for found in ARGUMENT.finditer(said)]]
    clear = len(calls[0]) == len(re.findall(OPENED, said)) and not NOT_WHOLE.search(said)
    end = 0
    for found in re.finditer(r'\{\s*"', said):
        if found.start() >= end:
            try:
                told, end = json.JSONDecoder().raw_decode(said, found.start())
                calls += arguments(told)
            except ValueError:
                clear = False
    texts = ((key, value.removesuffix("\n")) for call in calls for key, value in call if isinstance(value, str))
    forms = (form.format(value) for key, value in texts for names, form in CALLED.items() if re.fullmatch(names, key))
    return "".join(forms) if clear else ""


def arguments(told: Any) -> Iterator[list[tuple[str, Any]]]:
    """Yield what JSON says of files and texts, in the order of CALLED, from the outside to the inside."""
    if isinstance(told, str) and told.lstrip().startswith(("{", "[")):
        with suppress(ValueError):
            yield from arguments(json.loads(told))
    if isinstance(told, dict):
        yield [(key, text) for names in CALLED for key, text in told.items() if re.fullmatch(names, key)]
    for inner in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from arguments(inner)


def subject(edit: Edit) -> str:
    """Return what tells two versions of one edit: the lines that it looks for, or its first line."""
    if isinstance(edit, Change):
        return edit.readings[0][0].strip() if edit.readings else ""
    return first_line(edit.text) if isinstance(edit, Code) else edit.path


def first_line(text: str, limit: int = LONG_LINE) -> str:
    return next((" ".join(line.split())[:limit] for line in text.split("\n") if line.strip()), "")


def spoken(answer: str) -> str:
    """Drop what a model only thought, and the marks of its chat template."""
    text = answer.replace("\r\n", "\n").lstrip("\ufeff")
    for pattern in THOUGHTS:
        text = pattern.sub("", text)
    return re.sub(r"(?<=[^\s`])```\s*\Z", "\n```", text)  # a last fence on the last line of code


def split_blocks(text: str) -> Iterator[Block]:
    """Cut an answer into fenced blocks, tagged files, SEARCH/REPLACE blocks and diffs, each with its prose."""
    lines, above, at = text.split("\n"), list[str](), 0
    last_tail = max((i for i, line in enumerate(lines) if TAIL.match(line)), default=0)
    while at < len(lines):
        line, rest, block, end = lines[at], range(at + 1, len(lines)), None, at + 1
        if fence := FENCE.match(line):
            end, closed = fence_end(lines, at, fence, last_tail)
            body = "\n".join(lines[at + 1 : end])
            inside = (dedent(body) if fence["indent"] else body).split("\n")
            block = Block(above, fence["info"].strip(), inside, closed, len(fence["ticks"]))
            end += closed
        elif len(line) < LONG_LINE and (tag := TAG.match(line)):
            above.append(tag["path"])
            if not any(FENCE.match(line) or HEAD.match(line) for line in lines[at + 1 : at + 4]):
                end = next((i for i in rest if lines[i].strip() == f"</{tag['tag']}>"), len(lines))
                block = Block(above, "", lines[at + 1 : end], end < len(lines))
        elif HEAD.match(line) and line.strip(" <"):
            end = next((i + 1 for i in rest if TAIL.match(lines[i])), len(lines))
            block = Block(above, "", lines[at:end])
        elif DIFF.match(line) and any(HUNK.match(line) or PATCH_FILE.match(line) for line in lines[at : at + 5]):
            end = next((i for i in rest if FENCE.match(lines[i])), len(lines))
            last = max(i for i in range(at, end) if i == at or lines[i][:1] in ("+", "-", "@", "*"))
            end = next((i for i in range(last, end) if not lines[i].strip()), end)  # prose may follow
            block = Block(above, "diff", lines[at:end])
        else:
            above.append(line)
        if block and re.match(rf"\s*{OPENED}", next(iter(block.lines), "")[:LONG_LINE]):
            block = replace(block, lines=without_tools("\n".join(block.lines)).split("\n"), ticks=0)
        if block:
            yield from split_blocks("\n".join([*above, *block.lines])) if block.wraps else [block]
        at, above = end, [] if block else above
    yield Block(above)


def fence_end(lines: Sequence[str], at: int, fence: re.Match[str], last_tail: int) -> tuple[int, bool]:
    """Find the line that ends a fenced block, and whether it is a fence; no SEARCH block is cut, fences may nest."""
    depth, searching, deep = 0, False, len(fence["indent"].expandtabs(4))
    prose = re.match(r"(?:md|markdown)\b", fence["info"].strip().lower()) or re.search(r"\.md\W*$", lines[at - 1][-99:])
    last = next(i for i in range(len(lines) - 1, -1, -1) if lines[i].strip())
    for i in range(at + 1, len(lines)):
        searching = i < last_tail if HEAD.match(lines[i]) else searching and not TAIL.match(lines[i])
        inner = FENCE.match(lines[i])
        if searching or not inner or not inner["ticks"].startswith(fence["ticks"]):
            continue
        if len(inner["indent"].expandtabs(4)) > deep:
            continue
        after = lines[i + 1].strip() if i + 1 < len(lines) else ""
        if inner["info"].strip() and i < last:
            before = next(n for n in range(i - 1, at - 1, -1) if lines[n].strip())
            if before > at and is_alone(lines[before]):
                return before, False
            depth += 1
        elif depth:
            depth -= 1
        elif prose and after and not is_alone(after) and not after.startswith("</"):
            depth = 1  # in Markdown a bare fence with a line right after it begins a block
        else:
            return i, True
    return len(lines), False


def path_of(block: Block, known: Known) -> tuple[str, bool, Sequence[str]]:
    """Find the path of a block, whether it is sure, and the block's lines without it."""
    said = [line for line in block.above if line.strip()][-3:][::-1]
    words = [word for word in re.split(r"[\s:{}=,\"'`]+", block.info) if re.fullmatch(PATH, word)]
    if len({PurePosixPath(tidy(alone(line, known))).name for line in said[:2]} - {""}) > 1:
        said = []  # a list of paths belongs to the whole answer
    named = NAMED.findall(block.info)[:1] or words[-1:] or [path for line in said if (path := alone(line, known))]
    first = block.lines[0] if block.lines else ""
    searched = any(map(HEAD.match, block.lines[1:4]))
    within = is_alone(first) if NOTE.match(first) else alone(first, known) if searched else ""
    if named or within:
        path = tidy(named[0] if named else within)
        same_name = within and PurePosixPath(tidy(within)).name == PurePosixPath(path).name
        return path, True, block.lines[1:] if same_name else block.lines
    mentioned = {tidy(name) for line in said[:1] if len(line) < LONG_LINE for name in MENTION.findall(line)}
    likely = {name for name in mentioned if known(name)} or {name for name in mentioned if "/" in name}
    return likely.pop() if len(likely) == 1 else "", False, block.lines


def alone(line: str, known: Known) -> str:
    """Return the path that a line holds with nothing else of weight; a known one may hold anything, blanks too."""
    bare = LINK.sub(r"\1", line).strip(" \t*`#>:")
    if bare and len(bare) < LONG_LINE and known(tidy(bare)):
        return bare
    return is_alone(line)


def is_alone(line: str) -> str:
    found = ALONE.match(LINK.sub(r"\1", line)) if len(line) < LONG_LINE else None
    return found["path"] if found else ""


def tidy(path: str) -> str:
    """Write a path the plain way: forward slashes, no quotes, no "./" in front."""
    path = path.strip().strip("`\"'*").replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    return path


def block_edits(block: Block, name: str, last: str, sure: bool) -> Iterable[Edit]:
    """Turn one block into edits by the form of what it holds."""
    text, info, lines = "\n".join(block.lines), block.info.lower(), block.lines
    if any(map(HEAD.match, lines)):
        return changes(block, name or last)
    hunks = info.startswith(("diff", "patch")) or any(line.startswith("@@ ") for line in lines)
    if any(map(PATCH_FILE.match, lines)) or (hunks and any(line[:1] in ("+", "-") for line in lines)):
        if not block.closed and cut_hunk(lines):
            raise Unusable(f"The answer is cut off within a diff of {name or last or 'a file'}.")
        return diff_edits(lines, name or last)
    shell = NOT_CODE.match(info.strip("{. ")) and not re.search(r"^\w+ ?\(\) ?\{", text, re.MULTILINE)
    if written := list(HEREDOC.finditer(text) if shell and not name.endswith("sh") else ()):
        return [Code(tidy(found["path"]), found["text"]) for found in written]
    only_said = not sure and (shell or TOOL_CALL.search(text))
    holds_notes = text.strip() and all(DELETE.match(line) or READ.match(line) for line in lines if line.strip())
    return [] if only_said or holds_notes or not (text or block.info) else [Code(name, text, sure, block.closed)]


def cut_hunk(lines: Sequence[str]) -> bool:
    """Tell whether the last hunk of a diff has fewer lines than its header says, or ends with lines to remove."""
    start = max((at for at, line in enumerate(lines) if HUNK.match(line)), default=0)
    hunk, sizes = lines[start + 1 :], re.match(r"@@ -\d+,(\d+) \+\d+,(\d+) @@", lines[start])
    counts = (sum(line[:1] != other for line in hunk) for other in "+-")
    lacks = sizes and any(int(size) > count for size, count in zip(sizes.groups(), counts, strict=True))
    return bool(lacks) or "\n".join(["-", *hunk]).rstrip().rpartition("\n")[2].startswith("-")


def changes(block: Block, path: str) -> Iterator[Change]:
    """Yield the SEARCH/REPLACE pairs of a block; a path line between them holds for those that follow."""
    body: list[str] | None = None
    for line in block.lines:
        if head := HEAD.match(line):
            yield from unfinished(body, path)
            body, path = [], tidy(head["path"] or "") if re.fullmatch(PATH, tidy(head["path"] or "")) else path
        elif body is not None and TAIL.match(line):
            yield Change(path, readings(body))
            body = None
        elif body is not None:
            body.append(line)
        elif lone := is_alone(line):
            path = tidy(lone)
    yield from unfinished(body, path, block.closed)


def unfinished(body: list[str] | None, path: str, closed: bool = True) -> Iterator[Change]:
    """Yield the change of a block that lacks its last marker; Unusable where it is cut off."""
    if body is not None and not (closed and any(map(DIVIDER.match, body))):
        raise Unusable(f"The answer is cut off within a SEARCH/REPLACE block of {path or 'a file'}.")
    if body is not None:
        yield Change(path, readings(body))


def readings(body: list[str]) -> tuple[tuple[str, str], ...]:
    """Split a SEARCH/REPLACE body at its divider, in each way that is possible; none if there is no divider."""
    if sum(1 for line in body if FENCE.match(line)) % 2 and FENCE.match(body[-1]):
        body = body[:-1]
    while body and TOOL_HINT.match(body[0]):
        body = body[1:]
    cuts = [i for i, line in enumerate(body) if line.strip() == "======="]
    cuts = cuts or [i for i, line in enumerate(body) if DIVIDER.match(line)]
    halves = [(body[:cut], body[cut + 1 :]) for cut in reversed(cuts)]
    halves += [(unfenced(old), unfenced(new)) for old, new in halves if unfenced(old) != old]
    return tuple(("\n".join(old), "\n".join(new)) for old, new in halves)


def unfenced(lines: list[str]) -> list[str]:
    return lines[1:-1] if len(lines) > 1 and FENCE.match(lines[0]) and FENCE.match(lines[-1]) else lines


def diff_edits(lines: Sequence[str], path: str) -> Iterator[Edit]:
    """Turn a unified diff into changes: context and minus lines are found, context and plus lines put there."""
    hunk: list[str] = []
    at, new_file, gone = 0, False, False
    for line in [*lines, "@@"]:
        if MOVED.match(line):
            raise Unusable(
                f"The answer moves {path or 'a file'} as a patch: send DELETE and the new file whole instead."
            )
        patch, mark = PATCH_FILE.match(line), HUNK.match(line)
        if patch or mark or line.startswith(("--- ", "diff --git ", "*** End")):
            yield from () if gone else hunk_edit(hunk, path, at, new_file)
            hunk, at = [], int(mark["line"] or 0) if mark else 0
        if patch:
            path, new_file, gone = tidy(patch["path"]), patch["verb"] == "Add", patch["verb"] == "Delete"
        elif line.startswith(("--- ", "+++ ")):
            name = re.sub(r"^[ab]/", "", tidy(line[4:].split("\t")[0]))
            new_file, gone = name == "/dev/null" if line[0] == "-" else new_file, name == "/dev/null" and line[0] == "+"
            path = path if name == "/dev/null" else name
        elif not DIFF_NOISE.match(line):
            hunk.append(line)
        if gone and (patch or line.startswith("+++ ")):
            yield Delete(path)


def hunk_edit(hunk: list[str], path: str, at: int, new_file: bool) -> Iterator[Edit]:
    """Turn the lines of one hunk into an edit; a hunk that changes nothing gives none."""
    while hunk and not hunk[-1].strip():
        hunk.pop()
    old = "\n".join(line[1:] if line[:1] in ("-", " ") else line for line in hunk if line[:1] != "+")
    new = "\n".join(line[1:] if line[:1] in ("+", " ") else line for line in hunk if line[:1] != "-")
    if old != new:
        yield Code(path, new) if new_file else Change(path, ((old, new),), at)


# --- definitions: what stands in a text under which name, pure --------------------------------------------------------

HEADER = re.compile(
    r"^[ \t]*(?:(?:export|default|pub(?:\([^)]*\))?|public|private|protected|internal|static|async|abstract|final"
    r"|override|virtual|inline|unsafe|extern(?: \"\w+\")?|declare|readonly|sealed|open|suspend"
    r"|partial|local|data|constexpr)"
    r"\s+)*(?:"
    r"(?!(?:struct|enum|union|class)\s+\w+(?:\s*[*&]|\s+\w+\s*[;=(\[,]))"
    r"(?P<kind>def|class|function\*?|func|fn|fun|interface|struct|enum(?: class)?|trait|type|module|mod|namespace"
    r"|record|object|protocol|sub|macro_rules!|const fn|const|let|var|val)\s+(?P<receiver>\([^)]*\)\s*)?"
    r"(?P<name>(?:self\.)?[\w$]+[?!]?)"
    r"|(?P<impl>impl\b[^{]*)"
    r"|(?P<type>[A-Za-z_][\w:<>,.\[\]*&? ]*?[\s*&]+)(?P<typed>~?[\w:]+)\s*\([^;]*$"
    r"|(?:(?:get|set)\s+)?(?P<method>[#\w$]+)\s*(?:<[^>]*>)?\((?:[^();]|\([^()]*\))*\)\s*(?::[^{;]+)?\{.*$)"
)
OTHER_HEADERS = (  # what defines a name in files that hold no functions: by the ending, the header, the kind
    ((".css", ".scss", ".less"), re.compile(r"^[ \t]*(?P<impl>[^\s{};][^{};]*?)\s*\{.*$"), "rule"),
    (
        (".json", ".yml", ".yaml", "akefile"),
        re.compile(r"^[ \t]*(?P<impl>[\"']?[\w.$%/-]+[\"']?)\s*:(?:\s.*)?$"),
        "key",
    ),
    (
        (".sql",),
        re.compile(r"(?i)^(?P<impl>CREATE (?:\w+ )*?(?:TABLE|VIEW|INDEX|TYPE) (?:IF NOT EXISTS )?[\w.\"`]+).*$"),
        "table",
    ),
)
FLAT = [row[2] for row in OTHER_HEADERS]
CONTROL = re.compile(
    r"(?:if|for|foreach|while|switch|match|catch|with|using|when|synchronized|lock|super|elif|until|func|function|fn)\b"
)
NO_TYPE = re.compile(
    r"(?:if|else|elif|for|foreach|while|match|return|new|throw|await|yield|using|when|with|case|delete|in|and|or|not|raise|del"
    r"|assert|print|import|from|package|use|do|try|catch)\b"
)
VISIBLE = re.compile(r"export (?:default )?|pub(?:\([^)]*\))? |public ")
BOX = re.compile(r"class|interface|impl|trait|module|mod|namespace|object|protocol|struct|record|enum")
VALUES = ("const", "let", "var", "val")
COMMENT = re.compile(r"^\s*(?:#(?![\[!])|//|/\*|\*|--|<!--)")
MARK = re.compile(r"^\s*(?:@[\w.]+|#!?\[|\[[A-Z]\w*)")
MEMBER = re.compile(
    r"^(?:public|private|protected|internal|override|get|set)\b|\(&?(?:mut )?self\b|^(?!function)[#\w$]+ ?\([^;]*\{$"
)
IMPORT = re.compile(
    r"^(?:(?:import|from|use|using|#include|require|require_once|include|package)\b|(?:const|let|var) [^=]*= require\()"
)
CLOSER = re.compile(r"^\s*(?:[})\]]|end\b|</)")
GOES_ON = re.compile(r"\s*(?:- |(?:where|rescue|ensure|else|elsif|elif|except|finally|catch|when)\b)")
PYTHON = (".py", ".pyi")


@dataclass(frozen=True)
class Definition:
    """A named piece of a text, as line numbers from 0: its comments and decorators, its header, its end (exclusive)."""

    name: str
    top: int
    start: int
    end: int
    owner: str  # the name of the class or the like that it stands in
    kind: str  # "box" for what has members, "function", "value"


@lru_cache(maxsize=16)
def definitions(text: str, path: str, deep: bool = False) -> tuple[Definition, ...]:
    """List the functions, classes, methods and constants of a text, methods after their class.

    `deep`: those within functions as well.
    """
    lines = text.split("\n")
    if path.endswith(PYTHON) and (tree := python_tree(text)):
        return tuple(python_definitions(tree.body, lines, "", deep))
    header, kind = next((row[1:] for row in OTHER_HEADERS if path.endswith(row[0])), (HEADER, ""))
    return tuple(other_definitions(lines, header, kind, deep))


def python_tree(text: str) -> ast.Module | None:
    """Parse Python, or return None where it is not valid."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.parse(text)
    return None


def python_definitions(body: Iterable[ast.stmt], lines: list[str], owner: str, deep: bool) -> Iterator[Definition]:
    inside = f"{owner}." if owner else ""
    for node in body:
        at, end = node.lineno - 1, node.end_lineno or node.lineno
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name, marks = inside + node.name, min([at, *(mark.lineno - 1 for mark in node.decorator_list)])
            kind = "box" if isinstance(node, ast.ClassDef) else "function"
            yield Definition(name, lead(lines, marks), at, end, owner, kind)
            yield from python_definitions(node.body if deep or kind == "box" else (), lines, name, deep)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield Definition(inside + target.id, lead(lines, at), at, end, owner, "value")


def other_definitions(lines: list[str], header: re.Pattern[str], kind_of_all: str, deep: bool) -> Iterator[Definition]:
    """Find definitions by their header and indentation."""
    boxes, skip_to = [(len(lines), "")], 0
    for at, line in enumerate(lines):
        found = header.match(line) if at >= skip_to and len(line) < LONG_LINE else None
        if not found or (header is HEADER and IMPORT.match(line)) or not (name := definition_name(found.groupdict())):
            continue
        boxes = [box for box in boxes if at < box[0]]
        end, owner = extent(lines, at), boxes[-1][1]
        if found.groupdict().get("kind") in VALUES and not (owner or deep) and width_of(line):
            continue  # within a call or the like: no name of the file
        full, word = f"{owner}.{name}" if owner else name, found.groupdict().get("kind") or found["impl"] or ""
        kind = kind_of_all or ("box" if BOX.match(word) else "value" if word in VALUES else "function")
        kind = "box" if kind == "rule" and word.startswith(("@media", "@supports", "@layer", "@container")) else kind
        yield Definition(full, lead(lines, at), at, end, owner, kind)
        if kind == "box":
            boxes.append((end, full))
        elif not deep:
            skip_to = end


def definition_name(found: Mapping[str, str | None]) -> str:
    """Name what a header defines; Go's receivers and Rust's impl blocks are part of the name."""
    if found["impl"]:
        return " ".join(found["impl"].replace('"', "").split())
    name = str(found["name"] or found["typed"] or found["method"])
    if not found["name"] and (CONTROL.match(name) or NO_TYPE.match(found["type"] or "")):
        return ""
    receiver = re.search(r"(\w+)(?:\[[^\]]*\])?\)", found["receiver"] or "")
    return f"{receiver[1]}.{name}" if receiver else name.replace("self.", "self:").replace("::", ".")


def extent(lines: Sequence[str], start: int) -> int:
    """Return the line after the piece that starts at a line, told by indentation, by what closes it, and by braces."""
    end = by_indentation(lines, start)
    opened = sum(line.count("{") - line.count("}") for line in lines[start:end])
    for at in range(end, min(end + 500, len(lines)) if opened > 0 else 0):  # a label or a text at the margin is no end
        opened += lines[at].count("{") - lines[at].count("}")
        if width_of(lines[at]) <= width_of(lines[start]) and HEADER.match(lines[at][:LONG_LINE]):
            return end
        if opened <= 0:
            return at + 1
    return end


def by_indentation(lines: Sequence[str], start: int) -> int:
    width, header, last = width_of(lines[start]), lines[start].rstrip(), start
    if header.endswith((";", "}", "},")) and header.count("{") == header.count("}"):
        return start + 1
    for at in range(start + 1, len(lines)):
        line = lines[at]
        if line.strip() and width_of(line) <= width and line.strip() != "{" and not GOES_ON.match(line):
            if not CLOSER.match(line) or width_of(line) < width:
                break
            if not line.rstrip().endswith(("{", ":", "(", "=>")):
                return at + 1
        last = at if line.strip() else last
    return last + 1


def lead(lines: Sequence[str], at: int) -> int:
    """Go up from a line over the comments and decorators that belong to it."""
    width = width_of(lines[at])
    while at > 0 and (COMMENT.match(above := lines[at - 1]) or MARK.match(above)) and width_of(above) >= width:
        if above.endswith(("{", "}")):  # "#" begins a rule of CSS as well
            break
        at -= 1
    return at


def width_of(line: str) -> int:
    """Measure a line's indentation in columns."""
    return len(margin(line).expandtabs(4))


def margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


# --- placing: old text and edit -> new text, pure ---------------------------------------------------------------------

QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "\u00a0": " ", "–": "-", "—": "-"})
NUMBERED = re.compile(r"^\s*(\d+)(?:\s*[|:│→]|\t|(?= )|$)")
SIGN, DOTS = r"(?:#|//|--|/?\*+|\{/\*|<!--|;+|%)", r"(?:\.\.\.|…)"
OPEN, SHUT = r"\s*[\[(<=-]*\s*", r"\s*[\])>=-]*\s*(?:\*+/\}?|-->)?"
LEFT_OUT = (
    r"(?:existing|unchanged|rest of|remain|same as|as before|omitted|no changes?|keep|other|previous|code|methods?"
    r"|functions?|imports?)"
)
PARTS = (
    r"(?:code|file|function|method|class|module|import|constant|line|implementation|definition|field|variable|constructor"
    r"|test|style|rule|section|declaration|handler|type|propert(?:y|ie)|imports and \w+)(?:e?s)?"
)
NAMES = r"(?:[\w.]+(?:\(\))?(?:,? and |, | & |/))*[\w.]+(?:\(\))?"
LEFT = r"(?:existing|unchanged|remaining|previous|original|other)"
ALIKE = r"(?:the same|unchanged|untouched|as (?:it|they|is|before)\b.{0,20})"
NOTES = (  # a comment of one of these forms stands for lines that were left out
    rf"{DOTS}.*",
    rf"(?:the )?(?:rest|remainder) of (?:the |this )?{PARTS}\b.{{0,40}}",
    rf"(?:the |your )?{LEFT} {PARTS}\b.{{0,40}}",
    rf"(?:(?:the )?rest|everything else|{NAMES}(?: {PARTS})?) (?:(?:stays?|remains?|is|are|kept) )*{ALIKE}",
    rf"(?:{PARTS} )?(?:unchanged|same as (?:before|above|the original)|as before|not shown|snip(?:ped)?|skipped)",
    rf"(?:{PARTS} )?(?:omitted|truncated).{{0,20}}",
    r"no (?:other |further )?changes?(?: (?:below|above|here|from here|to the rest).{0,20})?",
)
ELISION = re.compile(
    rf"(?i)\s*(?:{SIGN}?{OPEN}{DOTS}(?:.*\b{LEFT_OUT}.*)?|{SIGN}?.*\b{LEFT_OUT}.*{DOTS}|{SIGN}{OPEN}(?:{'|'.join(NOTES)}))"
    rf"{SHUT}\s*$"
)


INLINE = re.compile(
    rf"^(?P<head>(?P<margin>[ \t]*).*(?:\{{|\bdef .*:))\s*(?:/\*)?\s*{DOTS}\s*(?:\*/)?\s*(?P<tail>\}}[;,]?)?\s*$"
)


def rewrite(old: str, edit: Code, path: str, shown: bool) -> str:
    """Return the file's new text from a block that holds all of it or some of its definitions.

    `shown`: the model saw the whole file. Raise Misfit where it is neither, is cut off, or would drop most of the file.
    """
    lines = clean(edit.text, old, path).split("\n")
    gaps = gaps_in(lines, old, path)
    if gaps and not old.strip():
        raise Misfit("it leaves lines out of a new file")
    whole = edit.closed or not cut_off("\n".join(lines), old, path, edit.closed)
    if gaps and whole and (merged := merge_between(old, lines, gaps, path)) is not None:
        return merged
    new = "\n".join(fill(lines, old, path))
    if cut_off(new, old, path, edit.closed):
        raise Misfit("the block is cut off")
    return replaced(old, new, path, shown, edit)


def replaced(old: str, new: str, path: str, shown: bool, edit: Code) -> str:
    """Put a text without gaps in the place of the whole old one, or its definitions in the place of the old ones."""
    lines, olds = new.split("\n"), filled(old.split("\n"))
    tops, others = ([item for item in definitions(text, path) if not item.owner] for text in (new, old))
    names, news = {item.name for item in others}, {line.strip() for line in lines}
    missing, kept = names - {item.name for item in tops}, sum(line.strip() in news for line in olds)
    loose, given = loose_lines(old, path), loose_lines(new, path)
    same = given & loose_lines(without_imports(old), path)
    loss, headed = loss_of(old, new, len(names), len(missing)), not loose or bool(loose & given)
    repeats = any(re.search(r"\w", line) for line in same) or any(
        "\n".join(lines[i.start : i.end]) in old for i in tops
    )
    # A text that begins further down in the file, without its imports, is a piece of it.
    begun = next((at for at, line in enumerate(olds) if line.strip() == lines[0].strip()), 0)
    bare = begun > 1 and not imports(lines) and bool(kept * 2 > len(olds) or imports(old.split("\n")))
    if loss or bare or not shown or not headed or (missing and not repeats):
        indented = width_of(edit.text.lstrip("\n")) > 0  # the first line says whether these are methods
        items = [replace(item, owner=item.owner or "?" * indented) for item in members(new, old, path, shown)]
        merged = merge(old, new, path, items, more=bool(names and (loss or not shown or kept * 2 < len(olds))))
        if merged is not None or (merged := place_pieces(old, new, path)) is not None:
            return merged
    if loss:
        raise Misfit(loss)
    if bare:
        raise Misfit("the file's beginning is missing")
    share = 0.9 if not shown and (not names or missing or not headed) else 0.5 if missing and not edit.sure else 0.0
    if kept < share * len(olds):
        raise Misfit("the block is neither the whole file nor one of its definitions")
    return with_ending(new, old)


def filled(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def clean(text: str, old: str, path: str) -> str:
    """Take off what a block has too much: numbered lines, shared indentation, curly quotes, blank lines at its ends."""
    text = "\n".join(in_style(unnumbered(text.split("\n"), old), old)).strip("\n").rstrip()
    text = re.sub(r"\A(?:[ \t]*\n)+", "", text)
    if old.strip() and not width_of(old.lstrip("\n")):
        text = dedent(text)
    text = "\n".join(row for line in text.split("\n") for row in opened(line, old))
    plain = text.translate(QUOTES)
    if plain != text and path.endswith(PYTHON):
        return plain if not python_tree(dedent(text)) and python_tree(dedent(plain)) else text
    return text


def opened(line: str, old: str) -> list[str]:
    """Write a body that is left out within a line on lines of its own; one that is new stays."""
    found = INLINE.match(line) if len(line) < LONG_LINE and line not in old else None
    if not found or not (found["tail"] or found["head"] in old):
        return [line]
    return [found["head"], found["margin"] + "    ...", *([found["margin"] + found["tail"]] if found["tail"] else [])]


def dedent(text: str) -> str:
    """Take off the indentation that all lines share."""
    lines = text.split("\n")
    width = min((len(margin(line)) for line in lines if line.strip()), default=0)
    return "\n".join(line[width:] for line in lines)


def in_style(lines: list[str], old: str) -> list[str]:
    """Indent lines with tabs where the old text has no blanks for it, with blanks where it has no tabs."""
    real, told = ([margin(line) for line in filled(some)] for some in (old.split("\n"), lines))
    tabs, blanks = any("\t" in one for one in real), any(one.startswith("  ") for one in real)
    other = [one for one in told if one.startswith("  " if tabs else "\t")]
    if tabs == blanks or not other:
        return lines
    steps = Counter(after - before for before, after in pairwise(map(len, told if tabs else real)) if after > before)
    blank = " " * max(steps, key=lambda step: (steps[step], step), default=4)
    old_unit, new_unit = (blank, "\t") if tabs else ("\t", blank)
    return [
        margin(line).replace(old_unit, new_unit) + line.lstrip(" \t") if margin(line) in other else line
        for line in lines
    ]


def unnumbered(lines: Sequence[str], old: str) -> list[str]:
    """Take off line numbers that were copied with the lines: every line has one, and they count up."""
    numbers = [int(found[1]) if (found := NUMBERED.match(line)) else 0 for line in filled(lines)]
    real = {line.rstrip() for line in old.split("\n")}
    if not all(numbers) or numbers != sorted(set(numbers)) or any(line.rstrip() in real for line in filled(lines)[:1]):
        return list(lines)
    bare = [NUMBERED.sub("", line, count=1) for line in lines]
    outer = [line.removeprefix(" ") for line in bare]
    best = max((bare, outer), key=lambda some: sum(line.rstrip() in real for line in filled(some)))
    return best if len(numbers) > 1 or any(line.rstrip() in real for line in best) else list(lines)


def gaps_in(lines: Sequence[str], old: str, path: str) -> list[int]:
    """List the lines that stand for lines that were left out; Python's own `...` as a new body does not."""
    real, gaps, before = {line.strip() for line in old.split("\n")}, list[int](), ":"
    for at, line in enumerate(map(str.strip, lines)):
        body = line == "..." and path.endswith(PYTHON) and before.endswith((":", '"""', "'''")) and before not in real
        if body and (after := next(iter(filled(lines[at + 1 : at + 9])), "")):
            body = width_of(after) < width_of(lines[at])
        if len(line) < LONG_LINE and line not in real and not body and ELISION.match(line):
            gaps.append(at)
        before = line or before
    return gaps


def fill(lines: Sequence[str], old: str, path: str, contents: Sequence[Sequence[str]] | None = None) -> list[str]:
    """Put back what an answer left out; the lines around each gap tell what, and Misfit where they do not."""
    first, *parts = parts_of(lines, old, path)
    contents = left_out(lines, old, path) if contents is None else contents
    return [*first, *(line for content, part in zip(contents, parts, strict=True) for line in (*content, *part))]


def left_out(lines: Sequence[str], old: str, path: str) -> list[list[str]]:
    """Return for each gap the old lines that it stands for: of the one definition that is sent, else of the file."""
    parts, found, floor, olds, box = parts_of(lines, old, path), list[list[str]](), 0, old.split("\n"), False
    code = (at for at, line in enumerate(lines) if line.strip() and not COMMENT.match(line) and not MARK.match(line))
    if len(parts) > 1 and extent(lines, at := next(code, 0)) == len(lines):
        named = [item for item in definitions(old, path) if olds[item.start].strip() == lines[at].strip()]
        if len(named) == 1:
            olds, box = olds[named[0].top : named[0].end], named[0].kind != "function"
    stands = {line.strip() for line in filled(olds)}
    for before, after in pairwise(parts):
        start = anchor(olds, before[::-1], floor, -1) + 1 if before else floor
        # New members of a class or the like go before its end.
        added = (
            box and len(after) > 1 and CLOSER.match(after[-1]) and not stands & {line.strip() for line in after[:-1]}
        )
        floor = anchor(olds, after[-1:] if added else after, start, 1) if after else len(olds)
        found.append(olds[start:floor])
    return found


def parts_of(lines: Sequence[str], old: str, path: str) -> list[list[str]]:
    """Cut lines at their gaps; blank lines beside a gap belong to what was left out."""
    bounds = [-1, *gaps_in(lines, old, path), len(lines)]
    parts = [list(lines[a + 1 : b]) for a, b in pairwise(bounds)]
    for at, part in enumerate(parts[:-1]):
        for side, end in ((part, -1), (parts[at + 1], 0)):
            while side and not side[end].strip():
                del side[end]
    return parts


def anchor(olds: Sequence[str], lines: Sequence[str], floor: int, step: int) -> int:
    """Find where among the old lines the one next to a gap stands; its neighbours decide between several places."""
    near = next(line for line in lines if line.strip())
    rows = range(floor, len(olds))
    places = [at for at in rows if olds[at] == near] or [at for at in rows if olds[at].strip() == near.strip()]
    if not places:
        close = difflib.get_close_matches(near, [olds[at] for at in rows], 3, 0.8)
        places = [at for at in rows if olds[at] in close]
    alike: dict[int, int] = {}
    for at in places:
        beside = zip(range(at, at + 9 * step, step), lines, strict=False)
        alike[at] = sum(olds[n].strip() == line.strip() for n, line in beside if 0 <= n < len(olds))
    best = [at for at in places if alike[at] == max(alike.values())]
    if len(best) != 1:
        raise Misfit("it leaves lines out, and it is not clear which")
    return best[0]


def cut_off(new: str, old: str, path: str, closed: bool) -> bool:
    """Tell whether a block ends too early: a whole file within a definition, one without its fence anywhere."""
    lines, olds = new.rstrip().split("\n"), old.split("\n")
    if closed and first_line(new) != first_line(old):
        return False
    if not closed:
        spans = ((new.count(a) - new.count(b), old.count(a) - old.count(b)) for a, b in ("{}", "()", "[]"))
        within = lines[-1] not in olds and any(line.startswith(lines[-1]) for line in olds)
        broken = python_tree(new) is None if path.endswith(PYTHON) else any(given > max(0, had) for given, had in spans)
        if within or broken:
            return True
    before = {item.name: [line.strip() for line in olds[item.start : item.end]] for item in definitions(old, path)}
    last = [item for item in definitions(new, path) if item.end == len(lines) and not (closed and item.kind == "box")]
    ends = [(before.get(item.name, []), [line.strip() for line in lines[item.start :]]) for item in last]
    most = 0.5 if closed else 1  # a line less at the end may be meant
    return any(len(some) <= most * len(whole) and some == whole[: len(some)] != whole for whole, some in ends)


def loss_of(old: str, new: str, names: int, missing: int) -> str:
    """Say why a text cannot be the whole file, because it drops most of it; empty if it can."""
    before, after = len(filled(old.split("\n"))), len(filled(new.split("\n")))
    if before and not after:
        return "the block is empty"
    if before >= 4 and after * 2 < before:
        return f"the block has {after} lines of a file of {before}: it would drop most of it"
    if missing * 2 > names > 2 and after < before:
        return f"the block would drop {missing} of the file's {names} definitions"
    return ""


def loose_lines(text: str, path: str) -> set[str]:
    """List the lines that belong to no definition, without comments."""
    taken = {at for item in definitions(text, path) for at in range(item.top, item.end)}
    lines = enumerate(text.split("\n"))
    return {line.strip() for at, line in lines if at not in taken and line.strip() and not COMMENT.match(line)}


def merge(old: str, new: str, path: str, items: list[Definition], more: bool = False) -> str | None:
    """Put definitions of `new` in the place of those of `old` with the same names; None if it holds other things.

    A definition that is new goes beside its neighbour, or into its class; alone, and if `more` is allowed, to the end
    before a main guard. An import goes to the imports. Misfit where a name fits twice.
    """
    lines, fresh, olds = old.split("\n"), new.split("\n"), definitions(old, path)
    pairs = pair_up(items, old, fresh, path)
    spare = spare_lines(new, old, path, items)
    near = next((target for _, target in pairs if target), None)
    lost = [item.kind for item, target in pairs if not target and item.kind == "key"]
    if not pairs or not (near or more) or spare or (lost and (not near or ".json" in path)):
        return None
    cuts: dict[tuple[int, int], list[str]] = {}
    at, tops = near.top if near else 0, {other.top for other in olds}
    last = next((at for at, line in enumerate(lines) if line.startswith("if __name__ ==")), len(lines))
    while last and not lines[last - 1].strip():
        last -= 1
    for item, target in pairs:
        if target:
            cuts[target.top, target.end], near, at = redefined(lines, target, fresh, item, path), target, target.end
            continue
        beside = near and replace(near, end=at)
        spot, want = room_for(item, is_member(item, fresh, path), beside, olds, lines) or (last, "")
        given, gap = shifted(fresh, item.top, item, want), [""] * (2 if path.endswith(PYTHON) and not want else 1)
        cuts.setdefault((spot, spot), []).extend([*given, *gap] if spot in tops else [*gap, *given])
    merged = "\n".join(with_imports(spliced(lines, cuts), fresh, path))
    ours = python_tree(dedent(new)) or not all(target for _, target in pairs)  # else the tests tell the model's mistake
    if path.endswith(PYTHON) and python_tree(old) and ours and not python_tree(merged):
        raise Misfit("with it the file is no valid Python")
    return merged


def place_pieces(old: str, new: str, path: str) -> str | None:
    """Put what stands together by its indentation in the place of what begins alike; None where that is not clear."""
    lines, fresh, at = old.split("\n"), new.split("\n"), 0
    cuts: dict[tuple[int, int], list[str]] = {}
    known = {item.start for item in definitions(old, path)}
    while at < len(fresh):
        if not fresh[at].strip() or COMMENT.match(fresh[at]):
            at += 1
            continue
        places = [row for row, line in enumerate(lines) if line.strip() == fresh[at].strip()]
        if len(places) != 1 or not re.search(r"\w", fresh[at]):
            return None
        new_one, old_one = piece(fresh, at), piece(lines, places[0])
        if min(new_one.end - at, old_one.end - places[0]) < 2 or places[0] in known:
            return None
        cuts[old_one.top, old_one.end], at = redefined(lines, old_one, fresh, new_one, path), new_one.end
    return "\n".join(spliced(lines, cuts)) if cuts else None


def piece(lines: Sequence[str], at: int) -> Definition:
    return Definition(first_line(lines[at], 60), lead(lines, at), at, extent(lines, at), "", "piece")


def spare_lines(new: str, old: str, path: str, items: Sequence[Definition]) -> set[str]:
    """List what is no import and belongs to none of the items, and does not stand in the old text like that."""
    taken = {at for item in items for at in range(item.top, item.end)}
    rest = [(at, line.strip()) for at, line in enumerate(without_imports(new).split("\n")) if at not in taken]
    parts = {at for item in definitions(new, path) if not item.owner for at in range(item.top, item.end)}
    known, loose = {line.strip() for line in old.split("\n")}, loose_lines(old, path)
    return {line for at, line in rest if line not in (known if at in parts else loose) and not COMMENT.match(line)} - {
        ""
    }


def room_for(
    item: Definition, member: bool | None, near: Definition | None, olds: Sequence[Definition], lines: Sequence[str]
) -> tuple[int, str] | None:
    """Return the line before which a new definition goes, and its indentation: a method into a class, others not.

    `near`: the old definition that it is sent after (or before); its end is the line where it would stand beside it.
    """
    if near and not (near.owner if member is False else member and not near.owner):
        return near.end, margin(lines[near.start])
    if member or item.owner:
        last = {old.owner: old for old in olds if old.kind == "function" and old.owner and old.owner != "tests"}
        homes = [last[item.owner]] if item.owner in last else list(last.values())
        if len(homes) > 1:
            raise Misfit(f"it does not say in which class {item.name} belongs")
        if homes:
            return homes[0].end, margin(lines[homes[0].start])
    box = near and next(old for old in olds if not old.owner and old.top <= near.top and near.start < old.end)
    return (box.top, "") if box else None


def is_member(item: Definition, fresh: Sequence[str], path: str) -> bool | None:
    """Tell whether a definition is a method by its form, or cannot be one; None where that is open."""
    header = " ".join(line.strip() for line in fresh[item.top : item.start + 1] if not COMMENT.match(line))
    if path.endswith(PYTHON):
        return item.kind == "function" and bool(re.search(r"@(?:static|class)method\b|\(\s*(?:self|cls)\b", header))
    if item.kind == "function" and MEMBER.search(header):
        return True
    return False if re.match(r"(?:export|function|class)\b", header) else None


def merge_between(old: str, lines: list[str], gaps: Sequence[int], path: str) -> str | None:
    """Merge the definitions that stand between gaps; None where other lines are new, or one between them shall go."""
    text, olds = "\n".join(lines), definitions(old, path)
    every = definitions(text, path)
    homes = {}  # the definition in which a gap lies, told by its indentation: Python's end before a last comment
    for gap in gaps:
        above = [item for item in every if item.start < gap and width_of(lines[item.start]) < width_of(lines[gap])]
        homes[gap] = above[-1] if above else None
    parts = {home.name for home in homes.values() if home and home.kind == "box"}
    items = list(members(text, old, path, shown=False, parts=parts))
    for at, item in enumerate(items):
        inner = (gap + 1 for gap, home in homes.items() if home and item.start <= home.start < item.end)
        items[at] = replace(item, end=max([item.end, *inner]))
    between = set(gaps) - {at for item in items for at in range(item.top, item.end)}
    pairs = pair_up(items, old, lines, path)
    for (item, target), (after, other) in pairwise(pairs):
        gone = target and other and any(target.end <= old.start < other.top for old in olds)
        if gone and not any(item.end <= gap < after.top for gap in between):
            return None
    plain = "\n".join("" if at in between else line for at, line in enumerate(lines))
    return merge(old, plain, path, items, more=True)


def members(new: str, old: str, path: str, shown: bool = True, parts: Collection[str] = ()) -> Iterator[Definition]:
    """Yield what a block defines; of a class that is sent with few of its members, those instead of the class.

    Few: less than half, or not all where the model did not see the whole class, or it is known as one of the `parts`.
    """
    news, olds = (by(definitions(text, path), lambda item: item.owner) for text in (new, old))
    open_ones = news.get("", [])[::-1]
    while open_ones:
        item = open_ones.pop()
        inner, known = ({some.name for some in group.get(item.name, ())} for group in (news, olds))
        if item.name in parts or 0 < len(inner & known) < len(known) / (2 if shown else 1):
            open_ones += news.get(item.name, [])[::-1]
        else:
            yield item


def by(items: Iterable[Definition], key: Callable[[Definition], Any]) -> dict[Any, list[Definition]]:
    groups: dict[Any, list[Definition]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


Pairs = list[tuple[Definition, Definition | None]]


def pair_up(news: list[Definition], old: str, fresh: Sequence[str], path: str) -> Pairs:
    """Find for each definition the old one of its name and kind (a constructor is no class); None for a new one.

    Of several the one with the same header is meant, or one each where the answer has as many.
    """
    lines, olds = old.split("\n"), definitions(old, path)
    full = by(olds, lambda old: (old.name, old.kind == "box"))
    short = by(olds, lambda old: (old.name.rpartition(".")[2], old.kind == "box"))
    twins, pairs = by(news, lambda new: (new.name, new.kind == "box")), Pairs()
    for item in news:
        key = (item.name, item.kind == "box")
        alike, header = twins[key], fresh[item.start].strip()
        fits = (item.kind not in FLAT and short.get(key)) or full.get(key) or []
        if not fits and item.kind != "box" and item.end - item.start > 1:
            inner = (some for some in definitions(old, path, deep=True) if some.end - some.start > 1)
            fits = [some for some in inner if item.name in (some.name, some.name.rpartition(".")[2])]
        if len(fits) > 1 and len(fits) != len(alike):
            fits = [some for some in fits if lines[some.start].strip() == header] or fits
        if len(fits) > 1 and len(fits) != len(alike):
            raise Misfit(f"there are {len(fits)} definitions called {item.name}")
        pairs.append((item, fits[alike.index(item) if len(fits) > 1 else 0] if fits else None))
    return pairs


def redefined(olds: list[str], old: Definition, news: list[str], new: Definition, path: str) -> list[str]:
    """Return a definition's new lines; comments and decorators that the answer left out stay."""
    want = margin(olds[old.start])
    ahead, there = shifted(news, new.top, replace(new, end=new.start), want), olds[old.top : old.start]
    if not ahead or (any(map(MARK.match, there)) and not any(map(MARK.match, ahead))):
        ahead = there
    text, piece = "\n".join(olds[old.start : old.end]), shifted(news, new.start, new, want)
    seen = VISIBLE.match(olds[old.start].strip())
    if seen and not re.match(r"\s*(?:export|pub|public|private|protected|internal)\b", piece[0]):
        piece[0] = want + seen[0] + piece[0].strip()
    piece = fill(piece, text, path)
    if path.endswith(PYTHON):
        return [*ahead, *piece]
    fresh = "\n".join(piece)
    if text.count("{") != text.count("}") or text.count("`") % 2:
        raise Misfit(f"the end of {old.name} in the file is not clear")
    if fresh.count("{") != fresh.count("}"):
        raise Misfit(f"the end of {old.name} in the answer is not clear")
    kept = {line.strip(" \t,") for line in piece} & {line.strip(" \t,") for line in text.split("\n")}
    if old.kind == "key" and len(kept) * 2 < text.count("\n") + 1 > len(piece):
        raise Misfit(f"it would drop most of {old.name}")
    comma = "," if text.endswith(",") else ""
    return [*ahead, *(fresh.removesuffix(",") + comma).split("\n")]


def shifted(lines: Sequence[str], top: int, item: Definition, want: str) -> list[str]:
    """Return a definition's lines from `top` on, moved from its own indentation to the wanted one."""
    have = margin(lines[item.start])
    moved = (want + line[len(have) :] if line.startswith(have) else line for line in lines[top : item.end])
    return [line if line.strip() else "" for line in moved]


def imports(lines: Sequence[str]) -> dict[str, range]:
    """Find the imports of a text, which may span lines; in a block of Go's each line is one, and so are its ends."""
    found, at = dict[str, range](), 0
    while at < len(lines):
        end = at + 1
        if IMPORT.match(lines[at]):
            while end < len(lines) and re.search(r"[({][^)}]*\Z", "".join(lines[at:end])):
                end += 1
            step = 1 if lines[at] == "import (" else end - at
            found |= {"\n".join(lines[row : row + step]): range(row, row + step) for row in range(at, end, step)}
        at = end
    return found


def without_imports(text: str) -> str:
    lines = text.split("\n")
    rows = {at for row in imports(lines).values() for at in row}
    return "\n".join("" if at in rows else line for at, line in enumerate(lines))


def imported(text: str) -> tuple[str, set[str]]:
    """Split an import into where it imports from, if it says so, and the names that it imports."""
    found = re.search(r"from\s*([\"'][^\"']+[\"'])|^from (\S+) import|^use ((?:\w+::)+)", text)
    names = re.findall(r"[\w$*]+", text.replace(found[0], "") if found else "")
    return (next(filter(None, found.groups())) if found else ""), set(names) - {"import", "type", "as"}


def with_imports(lines: list[str], fresh: Sequence[str], path: str) -> list[str]:
    """Take over new imports: into the one from the same place, else after the last one, else at the top."""
    there, tree = imports(lines), python_tree("\n".join(lines)) if path.endswith(PYTHON) else None
    ends = [row.stop for row in there.values()]
    if tree and tree.body:
        ends = [node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        ends = ends or [(tree.body[0].end_lineno or 0) if ast.get_docstring(tree) is not None else 0]
    last, cuts = max(ends, default=0) or int(lines[0].startswith(("#!", "<?php"))), dict[tuple[int, int], list[str]]()
    for text in (text for text in imports(fresh) if text.strip() not in ("", "import (", ")") and text not in there):
        row, needed = room_for_import(text, there, last)
        cuts.setdefault((row.start, row.stop), []).extend([needed] * bool(needed))
    return spliced(lines, cuts)


def room_for_import(text: str, there: Mapping[str, range], last: int) -> tuple[range, str]:
    """Return the lines that an import takes the place of, and how it is written there; "" if it is there already."""
    place, names = imported(text)
    old = next((old for old in there if place and imported(old)[0] == place), "")
    had, after = imported(old)[1], range(last, last)
    if text[0] == "\t" and "import (" in there:  # Go keeps them in order
        at = next(row.start for old, row in there.items() if old in ("", ")") or (old[:1] == "\t" and old > text))
        return range(at, at), text
    if text[0] == "\t" or not old:
        return after, f"import {text.strip()}" if text[0] == "\t" else text
    if names <= had:
        return after, ""
    if had <= names:
        return there[old], text
    if "}" in old and names - had <= set(re.findall(r"\w+", text[text.find("{") :])):
        return there[old], re.sub(r",?\s*\}", f", {', '.join(sorted(names - had))} }}", old, count=1)
    return after, text


def spliced(lines: Sequence[str], cuts: Mapping[tuple[int, int], list[str]]) -> list[str]:
    """Put new lines in the place of some ranges."""
    fresh, done = list[str](), 0
    for (start, end), piece in sorted(cuts.items()):
        if start < done:
            raise Misfit("it holds the same definition twice")
        fresh += [*lines[done:start], *piece]
        done = end
    return [*fresh, *lines[done:]]


def with_ending(new: str, old: str) -> str:
    """End a text with one newline, or with none where the old one had none."""
    new = new.rstrip("\n")
    return new if old and not old.endswith("\n") else new + "\n" if new else ""


def swap(text: str, edit: Change, path: str) -> str:
    """Return the text with the change made at the one place where it fits; Misfit at none or several."""
    problem = None
    for old, new in edit.readings:
        try:
            return swap_lines(text, old.split("\n"), new.split("\n") if new else [], path, edit.line)
        except Misfit as misfit:
            problem = problem or misfit
    raise problem or Misfit("a SEARCH/REPLACE block has no ======= line")


def swap_lines(text: str, wanted: list[str], given: list[str], path: str, hint: int) -> str:
    """Find the wanted lines, first as they are, then ever less strictly, and put the given ones there."""
    lines = text.split("\n")
    if not any(map(str.strip, wanted)):
        raise Misfit("an empty SEARCH part in a file that has lines")
    both = in_style([*wanted, *given], text)
    wanted, given = both[: len(wanted)], both[len(wanted) :]
    contents = left_out(wanted, text, path)
    alike = bool(contents) and len(contents) == len(gaps_in(given, text, path))
    wanted = fill(wanted, text, path, contents)
    given = fill(given, "\n".join(wanted), path, contents if alike else None)
    for key, blanks in LADDER:  # how lines are compared, and whether blank ones count
        spots = matches(lines, wanted, key, blanks)
        spots = [spot for spot in spots if spot.start == hint - 1] or spots
        if len(spots) > 1:
            near = "\n[...]\n".join("\n".join(lines[max(0, spot.start - 3) : spot.stop + 3]) for spot in spots[:4])
            raise Misfit(f"its SEARCH part stands at {len(spots)} places", near)
        for spot in spots:
            fresh = given if key is str else carried(lines[spot.start : spot.stop], wanted, given, key)
            new = "\n".join([*lines[: spot.start], *fresh, *lines[spot.stop :]])
            if key is not str and path.endswith(PYTHON) and python_tree(text) and not python_tree(new):
                raise Misfit("its indentation does not fit the file")
            return new
    return swap_otherwise(text, wanted, given, path)


def swap_otherwise(text: str, wanted: list[str], given: list[str], path: str) -> str:
    """Try what is left: copied line numbers, a piece of one line."""
    plain = unnumbered(wanted, text)
    if plain != wanted:
        blank = " " if NUMBERED.sub("", wanted[0]) != plain[0] else ""
        if NUMBERED.match(given[0] if given else ""):
            given = [NUMBERED.sub("", line).removeprefix(blank) if NUMBERED.match(line) else line for line in given]
        return swap_lines(text, plain, given, path, 0)
    piece, other = "\n".join(wanted).strip(), "\n".join(given).strip()
    if "\n" not in piece + other and len(piece) >= 8 and text.count(piece) == 1:
        return text.replace(piece, other)
    raise Misfit("its SEARCH part does not stand in the file", nearest(text.split("\n"), wanted))


def straight(line: str) -> str:
    return line.rstrip().translate(QUOTES)


def bare(line: str) -> str:
    return line.strip().translate(QUOTES)


Key = Callable[[str], str]
LADDER: tuple[tuple[Key, bool], ...] = ((str, True), (str.rstrip, True), (straight, True), (bare, True), (bare, False))


def matches(lines: Sequence[str], wanted: Sequence[str], key: Key, blanks: bool) -> list[range]:
    """List the line ranges where the wanted lines stand; without `blanks`, blank lines do not count."""
    needle = [key(line) for line in wanted]
    if key is not str:
        filled = [at for at, line in enumerate(needle) if line]
        needle = [line for line in needle[filled[0] : filled[-1] + 1] if blanks or line]
    rows = [(at, key(line)) for at, line in enumerate(lines) if blanks or line.strip()]
    texts, count = [text for _, text in rows], len(needle)
    starts = [at for at in range(len(texts) - count + 1) if texts[at] == needle[0] and texts[at : at + count] == needle]
    return [range(rows[at][0], rows[at + count - 1][0] + 1) for at in starts]


def carried(real: list[str], wanted: Sequence[str], given: Sequence[str], key: Key) -> list[str]:
    """Write the new lines as the real ones are written: unchanged ones as they are, others with their indentation."""
    olds, told, news = (filled(lines) for lines in (real, wanted, given))
    if any(line != line.translate(QUOTES) for line in told) and all(line == line.translate(QUOTES) for line in olds):
        news = [line.translate(QUOTES) for line in news]
    fresh = indented(told, olds, news) if key is bare else news
    if all(line == line.rstrip() for line in olds):
        fresh = [line.rstrip() for line in fresh]
    there, rows = ([at for at, line in enumerate(lines) if line.strip()] for lines in (real, given))
    pieces, lines, done = dict(zip(rows, fresh, strict=True)), list[str](), 0
    same = key if key is not bare else straight
    pairing = difflib.SequenceMatcher(None, [same(line) for line in told], [same(line) for line in news], False)
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
        return [translated(margin(line), table) + line.lstrip(" \t") for line in news]
    if len(news) != len(told):
        raise Misfit("the indentation of its SEARCH part is not the file's", "\n".join(olds))
    return [margin(old) + line.lstrip(" \t") for old, line in zip(olds, news, strict=True)]


def translated(have: str, table: Mapping[str, str]) -> str:
    """Translate an indentation by the longest known one that it begins with."""
    told = max((told for told in table if have.startswith(told)), key=len, default=min(table, key=len))
    lack = max(0, len(told) - len(have))
    return table[told][: max(0, len(table[told]) - lack)] + have[len(told) :]


def nearest(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Show the part of a file that is most like the wanted lines, with three lines around it; empty if none is."""
    needle = {bare(line) for line in wanted if line.strip()}
    rows, size = [bare(line) for line in lines], len(wanted)
    if not needle & set(rows):
        needle = {close for line in needle for close in difflib.get_close_matches(line, rows[:5000], 1, 0.6)}
    scores = [sum(row in needle for row in rows[at : at + size]) for at in range(len(rows))]
    at = max(range(len(scores)), key=scores.__getitem__)
    return "\n".join(lines[max(0, at - 3) : at + size + 3]) if needle else ""


# --- files: names, bytes <-> text, and writing all or nothing ---------------------------------------------------------

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class Stored:
    """A file as it lies on disk: its bytes, its byte order mark, and its text after that."""

    raw: bytes
    bom: bytes
    encoding: str
    content: str

    @property
    def text(self) -> str:
        """The text with plain newlines."""
        return self.content.replace("\r\n", "\n")

    def encode(self, text: str) -> bytes:
        """Write a new text the way the file is written: line endings, encoding, byte order mark."""
        return self.bom + endings_like(self.content, text).encode(self.encoding)


def decode(raw: bytes, path: str) -> Stored:
    """Read a file's bytes; Unusable for a binary one."""
    bom, encoding = next(((mark, name) for mark, name in BOMS if raw.startswith(mark)), (b"", "utf-8"))
    if b"\0" in raw and encoding == "utf-8":
        raise Unusable(f"{path} is a binary file: it is not edited.")
    with suppress(UnicodeDecodeError):
        return Stored(raw, bom, encoding, raw[len(bom) :].decode(encoding))
    return Stored(raw, b"", "latin-1", raw.decode("latin-1"))


def endings_like(old: str, new: str) -> str:
    """Give lines the endings of the old text: of the same line where it stays, else of most lines."""
    olds, news = re.findall(r"[^\n]*\n", old), re.findall(r"[^\n]*\n|[^\n]+", new)
    crlf = sum(line.endswith("\r\n") for line in olds)
    usual = "\r\n" if crlf * 2 > len(olds) else "\n"
    written = [line.replace("\n", usual) for line in news]
    if 0 < crlf < len(olds):
        plain = [line.replace("\r\n", "\n") for line in olds]
        for block in difflib.SequenceMatcher(None, plain, news, False).get_matching_blocks():
            written[block.b : block.b + block.size] = olds[block.a : block.a + block.size]
    return "".join(written)


class Project:
    """The files below a root: which there are, which are protected, and which the prompt shows whole."""

    def __init__(self, root: Path, call: Call) -> None:
        self.root, self.call = root.resolve(), call
        self.prompt, self.listed = call.prompt.replace("\r\n", "\n"), list[str]()
        for path in map(tidy, call.files):
            with suppress(Unusable):
                self.read(path)
                self.listed.append(path)

    def known(self, name: str) -> bool:
        """Tell whether a name means a listed or an existing file."""
        with suppress(Stop, OSError, ValueError):
            path = self.resolve(name)
            return path in self.listed or self.place(path).is_file()
        return False

    def resolve(self, name: str) -> str:
        """Turn a name from an answer into a path below the root; Unusable if it lies outside or is not clear."""
        name = tidy(name)
        inner = [path for path in self.listed if name.startswith("/") and name.endswith(f"/{path}")]
        if inner and not (self.root / name).resolve().is_relative_to(self.root):
            return max(inner, key=len)
        tails = [path for path in self.listed if path.endswith(f"/{name}")]
        if len(tails) > 1:
            raise Unusable(f"{name} is not clear: it could be {' or '.join(tails)}.")
        place = self.place(name)
        if tails and not os.access(place, os.F_OK):
            return tails[0]
        return Path(os.path.normpath(place)).relative_to(self.root).as_posix()

    def place(self, path: str) -> Path:
        """Return where a path lies; Unusable outside the root or in .git."""
        parts = PurePosixPath(path).parts
        try:
            inside = (self.root / path).resolve().relative_to(self.root)
            if not inside.parts or ".." in parts or "~" in parts[:1] or re.match(r"[A-Za-z]:", path):
                raise ValueError(path)
        except (ValueError, OSError, RuntimeError):
            raise Unusable(f"{path!r} lies outside the project: it is not edited.") from None
        if ".git" in (part.lower() for part in (*parts, *inside.parts)):
            raise Unusable(f"{path} belongs to git: it is not edited.")
        return self.root / path

    def read(self, path: str) -> Stored | None:
        """Read a file; None if there is none."""
        try:
            return decode(self.place(path).read_bytes(), path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            raise Unusable(f"{path} is a folder: it is not edited.") from None
        except OSError as error:
            raise Unusable(f"{path[:200]} cannot be read: {error.strerror}.") from error

    def text(self, path: str) -> str | None:
        stored = self.read(path)
        return stored.text if stored else None

    def shows(self, path: str) -> bool:
        """Tell whether the prompt holds the whole text of a file."""
        text = (self.text(path) or "").strip("\n")
        return bool(text) and text in self.prompt


def protected(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether gitignore-like patterns cover a path; the last that fits decides, `!` excepts."""
    verdict = False
    for pattern in patterns:
        if glob(pattern.removeprefix("!")).match(path):
            verdict = not pattern.startswith("!")
    return verdict


def glob(pattern: str) -> re.Pattern[str]:
    """Compile a gitignore-like pattern: a name at any depth, a path from the root, a folder and all below it."""
    table = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", pattern.strip("/"))
    body = "".join(table.get(part, part.replace("[!", "[^") if part[1:] else re.escape(part)) for part in parts)
    return re.compile(("" if "/" in pattern.rstrip("/") else "(?:.*/)?") + body + r"(?:/.*)?\Z", re.DOTALL)


Plan = dict[str, str | None]


def write_all(project: Project, plan: Plan) -> None:
    """Write every new text, or none: stage all, put all in place, and take back what was done on an error."""
    before = {path: project.read(path) for path in plan}
    try:
        with ExitStack() as undo:
            texts = {path: text for path, text in plan.items() if text is not None}
            staged = {path: stage(project, path, before[path], text, undo) for path, text in texts.items()}
            for path, stored in before.items():
                target = project.place(path).resolve()
                back = partial(target.write_bytes, stored.raw) if stored else partial(target.unlink, missing_ok=True)
                undo.callback(back)
                staged[path].replace(target) if path in staged else target.unlink()
            undo.pop_all()
    except OSError as error:
        settled = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC)
        kind = Misconfigured if settled else Unusable
        raise kind(f"Cannot write {error.filename}: {error.strerror}. No file was changed.") from error


def stage(project: Project, path: str, stored: Stored | None, text: str, undo: ExitStack) -> Path:
    """Write a text to a new file beside its place, with the mode of the file that is there."""
    try:
        raw = stored.encode(text) if stored else text.encode()
    except UnicodeEncodeError:
        raise Unusable(f"{path} cannot hold the new text in its encoding.") from None
    place = project.place(path).resolve()
    for folder in [parent for parent in reversed(place.parents) if not parent.exists()]:
        folder.mkdir()
        undo.callback(folder.rmdir)
    temporary = place.with_name(f".{place.name[:60]}.{os.getpid()}.lean")
    undo.callback(temporary.unlink, missing_ok=True)
    with temporary.open("xb") as file:
        file.write(raw)
    if stored:
        temporary.chmod(place.stat().st_mode & 0o7777)
    return temporary


# --- from edits to a plan ---------------------------------------------------------------------------------------------

TEST_NAME = re.compile(r"(?:\w+\.)*(?:test(?:_|[A-Z]|$)|Test(?:_|[A-Z]|$))|.*(?:Test|_test|Tests)$")
Misfits = list[tuple[Edit, Misfit]]


def place_all(edits: Iterable[Edit], project: Project, plan: Plan) -> Misfits:
    """Add each edit to the plan, in order; return those that have no place. A block that names no file may be prose."""
    misfits: Misfits = []
    made, edits = set[str](), list(edits)
    named = {tidy(edit.path) for edit in edits}
    for edit in dict.fromkeys(edits):
        try:
            path = home_of(edit, project, plan, named)
            text = plan[path] if path in plan else project.text(path)
            if len(edits) > 1 and is_example(edit, text or "", path):
                raise Misfit("it is a test, and this is no file of tests")
            if not (path in plan and is_made(edit, text or "", project.text(path) or "", path)):
                plan[path] = placed(edit, text, path, project)
            made.add(subject(edit))
        except Misfit as misfit:
            rival = isinstance(edit, Change) and edit.readings and subject(edit) in made
            why = "another edit of the answer changes the same lines" if rival else misfit.reason
            misfits.append((edit, Misfit(why, misfit.near)))
    for path in [path for path, text in plan.items() if text == project.text(path)]:
        del plan[path]
    for path, text in plan.items():
        if protected(path, project.call.protect):
            raise Unusable(f"{path} is protected: it may be read, not changed.")
        if os.access(project.place(path), os.F_OK) and not os.access(project.place(path), os.W_OK):
            raise Unusable(f"{path} is read-only: it is not edited.")
        if MASK in (text or "") and MASK not in (project.text(path) or ""):
            raise Unusable(f"The answer for {path} holds {MASK} in the place of a secret: it is not written.")
    return [(edit, misfit) for edit, misfit in misfits if edit.path or isinstance(edit, Change) or not plan]


def is_example(edit: Edit, text: str, path: str) -> bool:
    """Tell whether a block whose path is not sure holds nothing but tests, and the file has none."""
    news, olds = ([item.name for item in definitions(some, path)] for some in (getattr(edit, "text", ""), text))
    unsure = isinstance(edit, Code) and not edit.sure and text.strip() and news
    return bool(unsure and all(map(TEST_NAME.match, news)) and not any(map(TEST_NAME.match, olds)))


def is_made(edit: Edit, text: str, old: str, path: str) -> bool:
    """Tell whether the answer's edits before have made this change: it fits the old text, and its new lines stand."""
    news = [new for _, new in edit.readings if new.strip()] if isinstance(edit, Change) else []
    return any(new in text for new in news) and fits_in(edit, old, path) and not fits_in(edit, text, path)


def placed(edit: Edit, old: str | None, path: str, project: Project) -> str | None:
    """Return a file's text after an edit, None if it is deleted."""
    empty = not (old or "").strip()
    if isinstance(edit, Code) and empty:
        return rewrite("", edit, path, shown=True)
    if isinstance(edit, Change) and empty and edit.readings and not edit.readings[0][0].strip():
        return with_ending(edit.readings[0][1], "")
    if old is None:
        raise Misfit("there is no such file")
    if isinstance(edit, Code):
        quoted, real = ([line.strip() for line in filled(text.split("\n"))] for text in (edit.text, old))
        quotes = not edit.sure and any(real[at : at + len(quoted)] == quoted for at in range(len(real)))
        return old if quotes else rewrite(old, edit, path, project.shows(path))
    return swap(old, edit, path) if isinstance(edit, Change) else None


def home_of(edit: Edit, project: Project, plan: Plan, named: Collection[str]) -> str:
    """Find the file that an edit means; without a path the only one listed, or the only one that it fits.

    A new file that other edits have `named` is not meant by a block without a path. A path that is not there and ends
    like a listed one is that where the edit fits it.
    """
    texts = {path: plan[path] if path in plan else project.text(path) for path in project.listed}
    if edit.path:
        path = project.resolve(edit.path)
        tails = [tail for tail in texts if "/" in tail and path.endswith(f"/{tail}")]
        there = path in plan or project.text(path) is not None
        return tails[0] if tails and not there and fits_in(edit, texts[tails[0]] or "", tails[0]) else path
    texts = {path: text for path, text in texts.items() if text is not None or path not in named}
    fits = [path for path, text in texts.items() if len(texts) == 1 or (text and fits_in(edit, text, path))]
    if len(fits) != 1:
        raise Misfit("it does not say of which file it is")
    return fits[0]


def fits_in(edit: Edit, text: str, path: str) -> bool:
    """Tell whether an edit without a path can be meant for a file."""
    with suppress(Misfit):
        if isinstance(edit, Change):
            return bool(swap(text, edit, path)) or True
        new = clean(edit.text, text, path) if isinstance(edit, Code) else ""
        return merge(text, new, path, list(members(new, text, path))) is not None
    return False


# --- the server -------------------------------------------------------------------------------------------------------

CONTEXT_ERROR = re.compile(
    r"(?i)context[_ ](?:length|size|window)|exceed_context|maximum context|prompt is too long|too many tokens"
)
SIZES = ("max_model_len", "loaded_context_length", "n_ctx", "context_length", "context_window", "max_context_length")
BROKEN = (OSError, http.client.HTTPException)
HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
NO_API = "{url} is no OpenAI-compatible API ({status}): {said}. Does base_url end in /v1?"
NO_MODEL = "The server has no model {model!r}: {said}. Set model in [lean]."
FAULTS: tuple[tuple[str, type[Stop], str], ...] = (  # the first row that fits "STATUS what is said" tells what is wrong
    ("40[13]", Misconfigured, "The server refuses the key ({status}): {said}. Set api_key or api_key_env in [lean]."),
    ("[2-4].. <html>", Misconfigured, NO_API),
    ("(?i)404 .*model", Misconfigured, NO_MODEL),
    ("(?i)400 .*(?:(?:valid|unknown) model|model.* (?:exist|found))", Misconfigured, NO_MODEL),
    ("200|404|405", Misconfigured, NO_API),
    ("3", Misconfigured, "Nothing answers at {url} ({status}): {said}. Set base_url in [lean]."),
    ("429|503", ServerTrouble, "The server is busy ({status}): {said}.{wait}"),
    ("408|5", ServerTrouble, "The server failed ({status}): {said}."),
    ("", Misconfigured, "The server refuses the request ({status}): {said}."),
)


@dataclass
class Server:
    """One OpenAI-compatible server; `used` sums up what its answers took."""

    call: Call
    used: Counter[str] = field(default_factory=Counter)
    model: str = ""
    begun: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return the seconds that are left of the time limit; ServerTrouble when none are."""
        left = self.begun + self.call.timeout - time.monotonic()
        if left <= 0:
            raise ServerTrouble(f"The time limit of {self.call.timeout:g} s is over.")
        return left

    def open(self, path: str, body: Any = None, patience: float = 10.0, root: bool = False) -> http.client.HTTPResponse:
        """Send one request and return the response; `root`: the path is not below base_url but at the server's root."""
        where = self.call.base_url
        parts = urllib.parse.urlsplit(where)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"base_url {where!r} is no http(s) URL. Set base_url in [lean].")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = HEADERS | ({"Authorization": f"Bearer {self.call.api_key}"} if self.call.api_key else {})
        url, patience = ("" if root else parts.path.rstrip("/")) + path, min(patience, self.left())
        try:
            connection = kind(parts.hostname, parts.port, timeout=patience)
            connection.request("GET" if body is None else "POST", url, body and json.dumps(body).encode(), headers)
            return connection.getresponse()
        except TimeoutError as error:
            raise ServerTrouble(f"{where} gave no answer within {patience:.0f} s.") from error
        except BROKEN as error:
            said = first_line(str(error)) or type(error).__name__
            raise ServerTrouble(f"No server answers at {where}: {said}.") from error
        except ValueError as error:
            raise Misconfigured(f"base_url or api_key is not valid: {error}.") from error

    def look_up(self, path: str, body: Any = None) -> Any:
        """Fetch JSON from the server's root; None where there is none."""
        with suppress(ServerTrouble):
            response = self.open(path, body, root=True)
            return parsed(body_of(response)) if response.status == 200 else None
        return None

    def choose_model(self) -> str:
        """Return the model to ask for: the configured one, else the only one listed, or the first of a local server."""
        if self.call.model:
            return self.call.model
        raw = body_of(self.send("/models"))
        if parsed(raw) is None:
            raise self.failure(200 if raw else 504, raw)
        names = [name_of(row) for row in rows_of(parsed(raw))]
        host = urllib.parse.urlsplit(self.call.base_url).hostname or ""
        if len(names) == 1 or (names and re.match(r"localhost$|127\.|::1$|0\.0\.0\.0$", host)):
            return names[0]
        hint = f" to one of: {', '.join(names[:20])}" if names else ""
        raise Misconfigured(f"{self.call.base_url} lists {len(names) or 'no'} models. Set model in [lean]{hint}.")

    def context(self) -> int:
        """Return the context size in tokens, as set or as the server tells it; 0 if it does not."""
        base = urllib.parse.urlsplit(self.call.base_url).path.rstrip("/")
        sources = ("/props", f"{base}/models", "/api/v0/models", "/api/ps")  # llama.cpp, vLLM, LM Studio, Ollama
        for path in () if self.call.context_tokens else sources:
            found = self.look_up(path)
            rows = rows_of(found) or [found]
            told = json.dumps([row for row in rows if len(rows) == 1 or name_of(row) == self.model])
            for key in SIZES:
                if size := re.search(rf'"{key}": ([1-9]\d*)', told):
                    return int(size[1])
        return self.call.context_tokens

    def check_size(self, text: str) -> None:
        """Refuse a prompt that will not fit, with both numbers; llama.cpp counts it where it may be close."""
        tokens = estimate(text)
        size = self.context() if tokens > FEW_TOKENS else self.call.context_tokens
        if size and tokens > size / 2:
            tokens = len(get(self.look_up("/tokenize", {"content": text}), "tokens") or ()) or tokens
        if size and tokens >= size:
            raise too_long(tokens, size)

    def ask(self, system: str, prompt: str) -> str:
        """Send one request and return the text of the answer."""
        self.model = self.model or self.choose_model()
        self.check_size(system + prompt)
        said = (("system", system), ("user", prompt))
        messages = [{"role": role, "content": content} for role, content in said if content]
        body = {"model": self.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        # A slow machine needs time to read a long prompt before its first word: a second for twenty tokens.
        patience, answer = self.call.idle + estimate(system + prompt) / 20, Answer(self.call)
        try:
            with self.send("/chat/completions", body | self.call.body(), patience) as response:
                self.receive(response, answer)
        finally:
            if answer.events:
                self.used += answer.used(estimate(system + prompt))
        text = answer.result()
        if folder := self.call.options.get("record"):
            record(Path(folder), self.call.mode, prompt, text)
        return text

    def send(self, path: str, body: dict[str, Any] | None = None, patience: float = 10.0) -> http.client.HTTPResponse:
        """Send a request; wait and try again where the server is busy, or asks for a plainer request."""
        waits = iter(BUSY_WAITS)
        while True:
            response = self.open(path, body, patience)
            if response.status == 200:
                return response
            raw = body_of(response)
            if body and response.status in (400, 422) and (plainer := without_refused(body, raw)):
                body = plainer
                continue
            asked, busy = response.headers.get("Retry-After"), response.status in (429, 503)
            pause = retry_after(asked) if asked else next(waits, None)
            if not busy or pause is None or pause >= self.left():
                moved = response.headers.get("Location")
                said = f"it has moved to {moved}".encode() if moved else raw
                raise self.failure(response.status, said, (asked and pause) or 0)
            time.sleep(pause)

    def receive(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        """Read an answer, streamed or whole; ServerTrouble where it stalls or breaks off."""
        try:
            while not answer.ended and (line := self.next_line(response)):
                name, _, data = line.partition(b":")
                if line.lstrip()[:1] in (b"{", b"[", b"<"):  # an answer as a whole, or no answer
                    self.take(answer, line + response.read())
                elif data.strip() == b"[DONE]":
                    answer.ended = True
                elif name in (b"data", b"error"):
                    self.take(answer, data)
        except TimeoutError as error:
            self.left()
            words = f"The server fell silent for {self.call.idle:g} s in the middle of its answer."
            raise ServerTrouble(words) from error
        except BROKEN as error:
            raise ServerTrouble(f"The connection broke in the middle of the answer: {error or 'closed'}.") from error
        if not (answer.ended or answer.finish):
            when = "in the middle of" if answer.events else "before a word of"
            raise ServerTrouble(f"The server closed the connection {when} the answer.")

    def next_line(self, response: http.client.HTTPResponse) -> bytes:
        """Read one line of a stream within the idle limit and the time limit."""
        if sock := getattr(getattr(response.fp, "raw", None), "_sock", None):
            sock.settimeout(min(self.call.idle, self.left()))
        return response.readline(10_000_000)

    def take(self, answer: Answer, raw: bytes) -> None:
        """Add a JSON object from the server to the answer; raise the error that it may hold instead."""
        found = parsed(raw)
        if not isinstance(get(found, "choices"), list):
            error = get(found, "error") or get(found, "message")
            if found is None and answer.events:
                raise ServerTrouble(f"The server's answer is garbled: {first_line(raw.decode('utf-8', 'replace'), 80)}")
            status = number(error, "code") or number(found, "code")
            raise self.failure(status if 400 <= status < 600 else 500 if error else 200, raw)
        answer.take(found)

    def failure(self, status: int, raw: bytes, pause: float = 0) -> Stop:
        """Return what a status and its body mean."""
        html = "<html> " if raw.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else ""
        if not html and CONTEXT_ERROR.search(raw.decode("utf-8", "replace")):
            return context_error(raw)
        told = {"status": status, "said": error_text(raw), "url": self.call.base_url, "model": self.model}
        wait = f" It asks to wait {pause:.0f} s." if pause else ""
        fits = (row for row in FAULTS if re.match(row[0], f"{status} {html}{told['said']}"))
        _, kind, words = next(fits)
        return kind(words.format(**told, wait=wait))


@dataclass
class Answer:
    """An answer as it comes in, piece by piece."""

    call: Call
    begun: float = field(default_factory=time.monotonic)
    shown: float = 0.0
    text: str = ""
    thought: str = ""
    refusal: str = ""
    finish: str = ""
    tools: bool = False
    ended: bool = False
    events: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)

    def take(self, found: Mapping[str, Any]) -> None:
        """Add one event of a stream, or a whole answer: they differ in one key."""
        self.events += 1
        self.usage = found.get("usage") or self.usage
        self.timings = found.get("timings") or self.timings
        for choice in found["choices"][:1]:
            part = get(choice, "delta") or get(choice, "message") or {"content": get(choice, "text")}
            self.text += flat(get(part, "content"))
            self.thought += flat(get(part, "reasoning_content") or get(part, "reasoning"))
            self.refusal += flat(get(part, "refusal"))
            self.tools = self.tools or bool(get(part, "tool_calls"))
            self.finish = flat(get(choice, "finish_reason")) or self.finish
            self.ended = self.ended or bool(get(choice, "message"))
        self.ended = self.ended or bool(self.finish and self.usage)
        self.show_progress()

    def show_progress(self) -> None:
        """Print tokens and tokens a second: a live line on a terminal, lines for the loop."""
        now = time.monotonic()
        if now - self.shown < 0.5 or not (self.call.progress or sys.stderr.isatty()):
            return
        count, self.shown = number(self.usage, "completion_tokens") or self.events, now
        rate = count / max(0.001, now - self.begun)
        line = f"progress: {count} {rate:.1f}\n" if self.call.progress else f"\r\033[K{count} tokens, {rate:.1f}/s\r"
        print(line, end="", file=sys.stderr, flush=True)

    def used(self, guess: int) -> Counter[str]:
        """Return what the server said of tokens, or estimates, and how many of its answers were estimated."""
        details = self.usage.get("prompt_tokens_details")
        cached = number(details, "cached_tokens") or number(self.timings, "cache_n")
        timed = number(self.timings, "prompt_n")
        sent = number(self.usage, "prompt_tokens") or (timed and timed + cached)
        got = number(self.usage, "completion_tokens") or number(self.timings, "predicted_n")
        got = got or estimate(self.text + self.thought)
        figures = {"requests": 1, "input_tokens": sent or guess, "output_tokens": got, "cached_tokens": cached}
        return Counter({**figures, "estimated": int(not sent)})

    def result(self) -> str:
        """Return the answer's text; Unusable where it is a refusal, a tool call, cut off or nothing at all."""
        text = self.text if self.text.strip() or self.finish == "length" else self.thought
        said, count = spoken(text).strip(), number(self.usage, "completion_tokens")
        if self.finish == "length":
            what = "The answer was" if said else "The model was still thinking when it was"
            hint = "name fewer or smaller files" if said else "turn thinking off with extra_body"
            limits = "raise max_output_tokens or the server's context"
            when = f" after {count} tokens" if count else ""
            raise Unusable(f"{what} cut off{when} (finish_reason length): {limits}, or {hint}.")
        if self.refusal or self.finish == "content_filter":
            raise Unusable(f"The model refused: {first_line(self.refusal) or 'its answer was filtered'}")
        if not said:
            tool = "The model answered with a tool call, although no tools were offered; try another chat template."
            raise Unusable(tool if self.tools else "The model's answer is empty.")
        return text


def without_refused(body: dict[str, Any], raw: bytes) -> dict[str, Any] | None:
    """Return the request without what the server says it does not know; None if that is not the matter."""
    said, plain, (first, *rest) = raw.lower(), dict(body), body["messages"]
    if b"stream_options" in said and plain.pop("stream_options", None):
        return plain
    if b"streaming" in said and plain.pop("stream", None):
        return plain
    if b"max_completion_tokens" in said and (most := plain.pop("max_tokens", None)):
        return {**plain, "max_completion_tokens": most}
    if b"system" in said and b"role" in said and rest:
        return {**body, "messages": [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}]}
    return None


def body_of(response: http.client.HTTPResponse) -> bytes:
    """Read what a response holds; nothing where it breaks off."""
    with response, suppress(*BROKEN):
        return response.read(50_000_000)
    return b""


def flat(content: Any) -> str:
    """Return the text of a message's content, also where it comes in parts."""
    if isinstance(content, list):
        return "".join(flat(get(part, "text")) for part in content)
    return content if isinstance(content, str) else ""


def parsed(raw: bytes) -> Any:
    """Parse JSON; None where it is none."""
    with suppress(ValueError):
        return json.loads(raw)
    return None


def get(place: Any, key: str) -> Any:
    return place.get(key) if isinstance(place, dict) else None


def rows_of(listing: Any) -> list[Any]:
    """Return the models of a listing: OpenAI's and LM Studio's, Ollama's, or a bare list."""
    rows = get(listing, "data") or get(listing, "models") or listing
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def name_of(row: Any) -> str:
    return str(get(row, "id") or get(row, "name") or get(row, "model"))


def number(place: Any, key: str) -> int:
    """Read a number from a JSON object; 0 where there is none."""
    value = get(place, key)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def estimate(text: str) -> int:
    """Guess tokens at four bytes each."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def retry_after(value: str) -> float | None:
    """Read a Retry-After header, seconds or a date; None if it is neither."""
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def error_text(raw: bytes) -> str:
    """Find the sentence in an error's body, whatever its form."""
    found = parsed(raw)
    if found is None:
        text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", raw.decode("utf-8", "replace"))
        return first_line(text).rstrip(".") or "no reason given"
    for key in ("error", "detail", "message", "msg"):
        while get(found, key):
            found = found[key]
    return first_line(found if isinstance(found, str) else json.dumps(found)).rstrip(".")


def context_error(raw: bytes) -> Misconfigured:
    """Turn a server's word on its context into ours, with both numbers where it tells them."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", raw.decode("utf-8", "replace"))
    limit = re.search(r'"n_ctx"\D+(\d+)', text) or re.search(r"context\D{0,60}?(\d{3,})", text)
    size = int(limit[1]) if limit else 0
    over = [figure for figure in map(int, re.findall(r"\d{3,9}", text)) if figure > size > 0]
    if not over:
        return Misconfigured(f"The prompt does not fit the server's context: {error_text(raw)}.")
    return too_long(over[0], size)


def too_long(tokens: int, size: int) -> Misconfigured:
    hint = "Give the server a larger context, or the task fewer or smaller files (context_tokens)."
    return Misconfigured(f"The prompt has about {tokens} tokens, the server's context {size}. {hint}")


# --- one call ---------------------------------------------------------------------------------------------------------


def run(call: Call, root: Path) -> str:
    """Do one call and return the words that tell what was done."""
    server, project, plan = Server(call), Project(root, call), Plan()
    try:
        if call.mode == "ask":
            return spoken(server.ask("", call.prompt)).strip()
        plan = make_plan(server, project)
        told = [tell(path, project.text(path) or "", text) for path, text in plan.items()]
        write_all(project, plan)
        return "\n".join(told)
    finally:
        figures = {name: server.used[name] for name in ("requests", "input_tokens", "output_tokens", "cached_tokens")}
        about = {"estimated": True} if server.used["estimated"] else {}
        with suppress(OSError):
            if call.usage_file:
                Path(call.usage_file).write_text(
                    json.dumps({"files": list(plan), **figures, **about}), encoding="utf-8"
                )


def make_plan(server: Server, project: Project) -> Plan:
    """Ask for edits until each has its place: once, once more to read, and at most `edit_retries` times to repair."""
    call, plan = project.call, Plan()
    prompt = f"{call.prompt.rstrip()}\n\n{closing(project)}"
    edits, reads = understood(server.ask(SYSTEM, prompt), project)
    if reads and not edits:
        prompt += "\n\n" + requested(reads, project, (server.context() or DEFAULT_CONTEXT) - estimate(SYSTEM + prompt))
        edits, reads = understood(server.ask(SYSTEM, prompt), project)
        if not edits:
            raise Unusable("The model asked to read more a second time instead of editing.")
    misfits = place_all(edits, project, plan)
    for _ in range(call.edit_retries if misfits else 0):
        edits, _ = understood(server.ask(SYSTEM, repair_prompt(misfits)), project)
        if not (misfits := place_all(edits, project, plan)):
            break
    for edit, misfit in misfits:
        raise Unusable(f"No edit was applied{f' ({edit.path})' if edit.path else ''}: {misfit}.")
    if not plan:
        raise Unusable("The answer changes nothing: every file would stay as it is.")
    return plan


def understood(text: str, project: Project) -> tuple[list[Edit], list[Read]]:
    """Read an answer's edits and wishes; Unusable if it has neither."""
    edits, reads = parse(text, project.known)
    if not edits and not reads:
        edits, reads = parse(without_tools(text), project.known)
    if not edits and not reads:
        tool = "The model wrote a tool call instead of an edit, although no tools were offered."
        raise Unusable(tool if TOOL_CALL.search(text) else f"The answer holds no edit: {first_line(spoken(text), 160)}")
    return edits, reads


def closing(project: Project) -> str:
    """Say what to answer, for the case at hand: it stands last, and what a small model reads last is what it does."""
    wanted, listed = project.call.edit_format, project.listed
    if wanted == "search":
        return SEARCH_FORM
    if not listed:
        return "Now give the corrected function, complete, in one fenced block."
    forms = {path: BLOCK_OF["whole" if wanted == "whole" else form_of(path, project)] for path in listed}
    if len(listed) == 1:
        (path, form), *_ = forms.items()
        return f"Now write the code. First the path {path} alone on a line, then one fenced block with {form}."
    said = "; ".join(f"for {path}: {form}" for path, form in forms.items())
    words = "Now write the code. For each file that must change: its path alone on a line, then one fenced block"
    return f"{words} ({said})." if len(set(forms.values())) > 1 else f"{words} with {next(iter(forms.values()))}."


def form_of(path: str, project: Project) -> str:
    """Choose what a block holds: a new file or a text without functions is sent whole."""
    text = project.text(path)
    if text is None or not text.strip():
        return "new"
    return "parts" if definitions(text, path) else "whole"


def requested(reads: Sequence[Read], project: Project, tokens: int) -> str:
    """Return the lines that the model asked for; Unusable where they would not fit beside an answer."""
    parts: list[str] = []
    for read in reads[:8]:
        path = project.resolve(read.path)
        text = None if PurePosixPath(path).name.startswith(".env") else project.text(path)
        if text is None:
            raise Unusable(f"The model asked to read {path}, which is not there.")
        lines = text.rstrip("\n").split("\n")
        first, last = min(max(1, read.first), len(lines)), min(len(lines), read.last or len(lines))
        parts.append(f"{path} (lines {first}-{last} of {len(lines)})\n" + fenced("\n".join(lines[first - 1 : last])))
    if estimate("\n".join(parts)) > tokens - ROOM_TO_ANSWER:
        paths = ", ".join(read.path for read in reads)
        raise Unusable(f"The model asked to read {paths}: too much for the context.")
    return "\n".join(["# Requested", *parts])


def fenced(body: str) -> str:
    """Fence a text with more backticks than it holds."""
    ticks = "`" * (1 + max((len(found) for found in re.findall(r"`{3,}", body)), default=2))
    return f"{ticks}\n{body}\n{ticks}"


def repair_prompt(misfits: Misfits) -> str:
    """Ask again for the edits that could not be placed, with the lines that they may have meant."""
    parts: list[str] = []
    for edit, misfit in misfits[:4]:
        parts.append(f"This edit was not applied, {misfit}:\n{fenced(quoted(edit)[:8000])}")
        if misfit.near:
            parts.append(f"The nearest lines of {edit.path or 'the file'}:\n{fenced(misfit.near[:8000])}")
    return "\n\n".join([*parts, "Send only this again, so that it fits."])


def quoted(edit: Edit) -> str:
    """Show an edit the way it was sent."""
    if isinstance(edit, Change) and edit.readings:
        return "{}\n<<<<<<< SEARCH\n{}\n=======\n{}\n>>>>>>> REPLACE".format(edit.path, *edit.readings[0])
    return f"{edit.path}\n{edit.text}" if isinstance(edit, Code) else f"DELETE {edit.path}"


def tell(path: str, old: str, new: str | None) -> str:
    """Say what was done with a file."""
    if new is None:
        return f"deleted {path}"
    diff = [line[:1] for line in difflib.unified_diff(old.split("\n"), new.split("\n"), n=0)][2:]
    return f"wrote {path} (+{diff.count('+')} -{diff.count('-')})"


def record(folder: Path, mode: str, prompt: str, text: str) -> None:
    """Keep the answer to a prompt in the form that playground/serve.py plays."""
    task = None if mode == "ask" else re.search(r"^# Task: .+$", prompt, re.MULTILINE)
    when = task[0] if task else " ".join(first_line(prompt).split(" ")[:6])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(list(folder.glob('*.md'))) + 1:02d}.md"
        told = f"<!-- when: {when.replace('-->', '').split(' | ')[0].strip()} -->\n{text}\n"
        path.write_text(told, encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"options.record: {folder}: {error.strerror}. Name another folder in [lean].") from error


# --- the command line -------------------------------------------------------------------------------------------------


READERS: dict[type, tuple[Callable[[str], Any], str]] = {  # by the kind of the default: how to read, what it has to be
    str: (str, "a text"),
    bool: ("1".__eq__, "1"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    type(None): (float, "a number"),
    tuple: (lambda text: tuple(filter(None, text.split("\n"))), "lines"),
    list: (json.loads, "a JSON list"),
    dict: (json.loads, "a JSON object"),
}
CHOICES = {"mode": ("edit", "ask"), "edit_format": ("auto", "whole", "search")}


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="direct.py",
        description="Ask an OpenAI-compatible server for a change, and make it.",
        epilog="LEAN_BASE_URL names the server (else http://127.0.0.1:8080/v1); LEAN_MODEL, LEAN_API_KEY and the other "
        "LEAN_* variables of leaners/README.md set the rest.",
    )
    options.add_argument("-p", dest="prompt", metavar="PROMPT", help="what is to be done")
    options.add_argument("--files", nargs="+", metavar="FILE", help="files to show and to change (else LEAN_FILES)")
    options.add_argument("--ask", action="store_true", help="print the answer, change nothing")
    options.add_argument("--record", metavar="FOLDER", help="keep each answer there, for playground/serve.py to play")
    return options.parse_args(argv)


def read_call(given: argparse.Namespace, env: Mapping[str, str], root: Path) -> Call:
    """Read what is asked and how, from the options and the LEAN_* variables; files that are given are shown too."""
    file, call = env.get("LEAN_PROMPT_FILE"), Call("")
    try:
        prompt = Path(file).read_text(encoding="utf-8", errors="replace") if file else given.prompt or ""
    except OSError as error:
        raise Misconfigured(f"LEAN_PROMPT_FILE {file} cannot be read: {error.strerror}.") from error
    if not prompt.strip():
        raise Misconfigured("There is no prompt: give -p PROMPT.")
    told = {name: env.get(f"LEAN_{name.upper()}") for name in vars(call) if name != "prompt"}
    found = {name: setting(name, text, getattr(call, name)) for name, text in told.items() if text}
    chosen = {"mode": given.ask and "ask", "options": given.record and {"record": given.record}, "files": given.files}
    call = replace(call, prompt=prompt, **found | {name: value for name, value in chosen.items() if value})
    project, parts = Project(root, call), [prompt, "# Files"]
    for path in map(tidy, given.files or ()):
        text = project.text(path)
        parts.append(f"{path} (does not exist yet)" if text is None else f"{path}\n{fenced(text.rstrip(chr(10)))}")
    return replace(call, prompt="\n\n".join(parts)) if given.files else call


def setting(name: str, text: str, default: Any) -> Any:
    """Read a setting's text as its default is; Misconfigured where it is of another kind."""
    read, kind = READERS[type(default)]
    kind = " or ".join(CHOICES.get(name, (kind,)))
    with suppress(ValueError):
        value = read(text)
        if value in CHOICES.get(name, (value,)) and (default is None or type(value) is type(default)):
            return value
    raise Misconfigured(f"LEAN_{name.upper()} is {text!r}: it has to be {kind}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one call; the exit code is the contract's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    options = read_options(argv)
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the ordinary way, so that nothing half written stays
    try:
        print(run(read_call(options, os.environ, Path.cwd()), Path.cwd()), flush=True)
    except Stop as stop:
        print(f"direct: {stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
