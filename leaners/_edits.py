"""Read the edits in a model's answer, and put them into the texts of files. Pure: nothing is read, nothing written.

    answer -> without thoughts -> blocks, each with its path -> edits -> located -> spliced -> checked -> new texts

A block holds a file or some of its definitions, SEARCH/REPLACE pairs, or a diff. What an answer leaves out stays: a
definition goes only where another one of its name takes its place, a line only where it was searched for or another
one stands in its stead. Whatever way a new text came about, it is checked before anybody gets it.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import tomllib
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Protocol

from _definitions import Definition, blanked, definitions, language_of, literal_lines

# --- refusals and data ------------------------------------------------------------------------------------------------


class Refusal(Exception):
    """Why an answer or an edit is not applied: one word for the books, a sentence, the lines that it may have meant."""

    def __init__(self, kind: str, reason: str, near: str = "") -> None:
        super().__init__(reason)
        self.kind, self.reason, self.near = kind, reason, near


@dataclass(frozen=True)
class Code:
    """A file, or some of its definitions. `sure`: its path stood alone; not `closed`: it may be cut off."""

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
Plan = dict[str, str | None]
Refused = list[tuple[Edit, Refusal]]


class Files(Protocol):
    """What is known of a project: the task's files, the prompt that shows them, and the text of any file."""

    listed: Sequence[str]
    prompt: str
    root: str

    def text(self, path: str) -> str | None:
        """Return a file's text with plain newlines, None if there is none."""

    def protects(self, path: str) -> bool:
        """Tell whether a file may be read only."""


# --- what a model said ------------------------------------------------------------------------------------------------

LONG_LINE = 300  # no path, header or comment that means something is longer; patterns stay fast on minified text
MARK = re.compile(r"(?i)[<\[◁]([|/\w:▁]{2,40})[>\]▷](?:[ \t]*(thought|analysis|final)\b)?")
THINKS = re.compile(r"(?i)think|thought|reason|analy|reflect|scratch|channel")
DRAFT = re.compile(r"\A\s*(?:[\w',]+[.:!]?\s+){0,4}?[<\[](\w+)[>\]]\s*\n(.*?)^\s*[<\[]/\1[>\]]", re.DOTALL | re.MULTILINE)
TEMPLATE = re.compile(r"(?<![\"'`\w])<(?:\|[\w ]+\|?|[\w ]+\||｜[\w▁ ]+｜)>|</s>\s*\Z")
TOOL_CALL = re.compile(
    r"<tool_call>|<function=|<write_to_file>|<invoke |\{\s*\"(?:name|tool|function)\"\s*:\s*\"\w+\"\s*,\s*\"(?:arg|param)"
    r"|\{\s*\"(?:file_?(?:path|name)?|path)\"\s*:\s*\"[^\"\n]+\"\s*,\s*\"(?:content|search|old|code|edits|changes)"
)
TEXT = r"(?:_?(?:str(?:ing)?|text|code|block|lines))?"
CALLED = {  # what an argument of a tool stands for
    r"(?:target_?)?file(?:_?(?:path|name))?|path": "\n{}\n",
    r"contents?|file_text|code": "\n`````\n{}\n`````\n",
    rf"(?:old|search){TEXT}": "\n<<<<<<< SEARCH\n{}\n=======\n",
    rf"(?:new|replace(?:ment)?){TEXT}": "{}\n>>>>>>> REPLACE\n",
}
OPENED = rf"<(?:parameter(?:=| name=[\"']?))?(?P<key>{'|'.join(CALLED)})[\"']?>"
ARGUMENT = re.compile(rf"{OPENED}[ \t]*\n?(?P<value>.*?)\n?[ \t]*</(?:parameter|(?P=key))>", re.DOTALL)
NOT_WHOLE = re.compile(r"(?i)[<=\"](?:\w+_)?(?:append|insert|add)")  # a tool that puts its text among other lines
NOT_CODE = re.compile(r"[{.]*(?:bash|sh|shell|zsh|console|powershell|cmd|terminal|text|txt|output|log)\b")
TAG = re.compile(
    r"^[ \t]*<(?P<tag>\w+)\s(?:[^>\n]*\s)?(?:path|file(?:_?(?:name|path))?|name|title)=(?P<q>[\"']?)(?=[^\"'\n>]*[./]|\w+file)(?P<path>[^\"'\n>]+)"
    r"(?P=q)(?:\s[^>\n]*)?>[ \t]*\n(?P<text>.*?\n)(?:^[ \t]*</(?P=tag)>|(?P<open>\Z))",
    re.DOTALL | re.MULTILINE,
)


def spoken(answer: str) -> str:
    """Drop what a model only thought, and the marks of its chat template."""
    text = answer.replace("\r\n", "\n").lstrip("\ufeff")
    begin, end = 0, len(text)
    for found in MARK.finditer(text):
        if THINKS.search(found[1]) and not is_quoted(text, found):
            closes = re.search(r"(?i)/|end|^\w+\|$", found[1]) or (found[2] or "").lower() == "final"
            begin, end = (found.end(), len(text)) if closes else (begin, max(begin, min(end, found.start())))
    text = text[begin:end]
    text = text.partition("<|message|>")[2] or text
    draft = DRAFT.match(text)
    if draft and holds_edit(draft[2]) and holds_edit(text[draft.end() :]):
        text = text[draft.end() :]
    return re.sub(r"(?<=[^\s`])```\s*\Z", "\n```", TEMPLATE.sub("", text))  # a last fence on the last line of code


def is_quoted(text: str, found: re.Match[str]) -> bool:
    """Tell whether a mark of thinking belongs to code: it stands in quotes, or within a line of a block."""
    before, after = text[text.rfind("\n", 0, found.start()) + 1 : found.start()], text[found.end() : found.end() + 1]
    fences = len(re.findall(r"(?m)^ *```", text[: found.start()])) if before.strip() else 0
    return before[-1:] in tuple("\"'`=(\\") or after in tuple("\"'`") or fences % 2 == 1


def holds_edit(text: str) -> bool:
    """Tell whether a text holds a block that may be an edit."""
    fences = re.findall(r"(?m)^[ \t]*```[ \t]*(\S.*)", text)
    return any(not NOT_CODE.match(info) for info in fences) or bool(re.search(r"(?m)^<{5,9} ?\w", text))


def without_tools(said: str) -> str:
    """Write the calls of tools, which nobody offered, as the edits that they stand for; "" where that is not clear."""
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


# --- paths ------------------------------------------------------------------------------------------------------------

LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
DRESS = (  # what may stand around a path: the signs of headings, lists and comments, a label, pairs of marks, a note
    re.compile(r"(?:#{1,6}|>+|[-*+•]|\d+[.)]|//+|/\*+|<!--+|;+|%+|=+>?|-{2,}|!)\s+(.*)"),
    re.compile(r"(?:\*\*|__|[*`\"'“‘]|`{2,})([^`\"*]+?)(?:\*\*|__|[*`\"'”’]|`{2,})"),
    re.compile(r"(.*\S)(?:\s+[(\[][^()\[\]]*[)\]]|:\d+(?:-\d+)?|\s+(?:\*+/|--+>|=+|<=+|-{2,}|#+)|[:.,])"),
)
LABEL = re.compile(
    r"(?i)(?:(?:updated?|modif(?:y|ied)|new|changed?|fixed|complete|full|edit(?:ed)?|create[ds]?|file(?:s|name|path)?|path"
    r"|code|for|in|the|to|of|a)\b[ :*=]*)+(\S.*)"
)
NAMED = re.compile(r"(?:title|file(?:_?name)?|path|name)\s*[=:]\s*(?:\"([^\"]+)\"|'([^']+)'|([^\"'\s}]+))")
PART = r"[^\s`*?\"<>|:/\\]"
PATH = re.compile(rf"(?:[A-Za-z]:(?=[/\\]))?(?:[/\\~]|{PART}+[/\\])*(?:(?<=[/\\]){PART}+|{PART}*\.[A-Za-z][\w-]*\]?)")
BARE_NAME = re.compile(r"[A-Z][A-Za-z]*file|[A-Z]{4,}")  # names that need no ending
TAGGED = "~" * 7  # the fence that stands for a tag with a path
MENTION = re.compile(r"`([^`\n]+)`|([^\s`*\"'(),:;]*[^\s`*\"'(),:;.])")
Known = Callable[[str], bool]


def heading(line: str, known: Known, prompt: str = "") -> str:
    """Return the path that a line names, with nothing else of weight; "" where it is a sentence or nothing."""
    said = LINK.sub(r"\1", line).strip() if len(line) < LONG_LINE else ""
    while said and not known(said):
        shorter = next((found[1].strip() for dress in DRESS if (found := dress.fullmatch(said))), "")
        label = LABEL.fullmatch(said) if not shorter and not PATH.fullmatch(said) else None
        if not shorter and not label:
            labels = BARE_NAME.fullmatch(said) and line.rstrip("* ").endswith(":")
            return tidy(said) if is_path(said, known, prompt) and not labels else ""
        said = shorter or (label[1] if label else "")
    return tidy(said)


def is_path(said: str, known: Known, prompt: str) -> bool:
    """Tell whether words are a path: one word of that form, or several that are no sentence with a path at its end."""
    first, *words = said.split(" ")
    if not words or "://" in said:
        return bool(PATH.fullmatch(said) or BARE_NAME.fullmatch(said)) and "://" not in said
    ends = len(words) < 4 and re.search(r"\.\w+$", said) and not re.search(r"[`*:<>|]|, ", said)
    plain = "/" in words[-1] and first.islower() and not known(words[-1])
    return bool(ends and (plain or re.search(rf"(?m)(?:^|[\"'`]){re.escape(said)}(?=$|[\"'` ])", prompt)))


def mentioned(line: str, known: Known) -> str:
    """Return the one path that a sentence mentions: of a file that is there, else a new one in a folder."""
    names = {tidy(found[1] or found[2]) for found in MENTION.finditer(line[:LONG_LINE])}
    paths = {name for name in names if PATH.fullmatch(name) and "://" not in name}
    likely = {name for name in paths if known(name)} or {name for name in paths if re.search(r"/.*\.\w+$", name)}
    return likely.pop() if len(likely) == 1 else ""


def tidy(path: str) -> str:
    """Write a path the plain way: forward slashes, no "./" in front."""
    path = path.strip().replace("\\", "/")
    return tidy(path[2:]) if path.startswith("./") else path


def resolve(name: str, files: Files) -> str:
    """Turn a name from an answer into a path below the root; Refusal if it lies outside or is not clear."""
    path = below(name, files)
    tails = [one for one in files.listed if one.endswith(f"/{path}")]
    if len(tails) > 1:
        raise Refusal("ambiguous", f"{name} is not clear: it could be {' or '.join(tails)}.")
    return tails[0] if tails and files.text(path) is None else path


def below(name: str, files: Files) -> str:
    """Write a name as a path from the root; Refusal if it lies outside."""
    path = tidy(name)
    inner = [one for one in files.listed if path.startswith("/") and path.endswith(f"/{one}")]
    if files.root and path.startswith(f"{files.root}/"):
        path = path[len(files.root) + 1 :]
    elif inner:
        path = max(inner, key=len)
    parts = PurePosixPath(path).parts
    if not parts or parts[0] in ("/", "~") or ".." in parts or re.match(r"[A-Za-z]:", path) or "\0" in path:
        raise Refusal("outside", f"{name!r} lies outside the project: it is not edited.")
    if ".git" in (part.lower() for part in parts):
        raise Refusal("outside", f"{name} belongs to git: it is not edited.")
    return "/".join(parts)


# --- reading an answer: text -> edits ---------------------------------------------------------------------------------

FENCE = re.compile(r"^(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
NOTE = r"(?:#|//|--(?!-)|;|%|/\*|<!--)"
MARKER = re.compile(
    rf"^\s*(?:{NOTE}\s*)?(?:(?:[<‹«＜]{{5,9}}|-{{5,9}}(?= ?(?i:SEARCH|ORIGINAL|OLD)))(?P<head>.*?)"
    r"|(?P<divide>[=＝]{5,9} ?(?i:REPLACE|WITH|UPDATED|NEW)?:?)"
    r"|(?P<tail>[>›»＞]{5,9}.*?|\+{5,9} ?(?i:REPLACE)\b.*?))\s*(?:\*/|-->)?\s*$"
)
TOOL_HINT = re.compile(r"^(?::(?:start|end)_line[:=>]?\s*\d+|-{7})\s*$")
DIFF = re.compile(r"^(?:diff --git |--- (?:[ab]/|/dev/null|\S+$)|\*\*\* (?:Begin Patch|(?:Update|Add|Delete) File:))")
HUNK = re.compile(r"^(?:@@(?: -(?P<line>\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*|.*)|\s*(?:\.\.\.|…)\s*)$")
PATCH_FILE = re.compile(r"^\*\*\* (?P<verb>Update|Add|Delete) File: *(?P<path>.+?)\s*$")
MOVED = re.compile(r"^(?:\*\*\* Move to: |rename from )(?P<path>.*)$")
DIFF_NOISE = re.compile(r"^(?:diff --git |index [0-9a-f]+\.\.|(?:new|deleted) file mode|\*\*\* |\\ No newline|@@)")
DELETE = re.compile(r"^[\s>*`#-]*(?:DELETE(?: FILE)?|[Dd]eleted? file)[:\s`*]+(?P<path>[^\s`*]+)[\s`*]*(?:[\d-]+\s*)?$")
READ = re.compile(
    r"^[\s>*`#-]*READ[:\s`*]+(?P<path>[^\s`*]+?)[`*]*"
    r"(?:[ :,(]+(?:lines? *)?L?(?P<first>\d{1,9})(?: *(?:-|–|to) *L?(?P<last>\d{1,9}))?\)?)?[\s`*.]*$"
)
HEREDOC = re.compile(
    r"^cat (?=[^\n]*> *[\"']?(?P<path>[^\s<>|&;\"']+))(?![^\n]*>>)[^\n]*<<-? *[\"']?(?P<end>\w+)[^\n]*\n"
    r"(?P<text>.*?)^(?P=end)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, or lines that stand like one: what is said above it and what it holds."""

    above: Sequence[str]
    info: str = ""
    lines: Sequence[str] = ()
    closed: bool = True

    @property
    def notes(self) -> list[Delete | Read]:
        """List the deletions and wishes to read that stand above the block, or that are all it holds."""
        above, own = list(map(note, self.above)), [note(line) for line in self.lines if line.strip()]
        return [found for found in (*above, *(own if all(own) else ())) if found]


def note(line: str) -> Delete | Read | None:
    """Read a line that asks for a deletion or for lines to see."""
    if found := READ.match(line[:LONG_LINE]):
        first = int(found["first"] or 0)
        return Read(tidy(found["path"]), first, int(found["last"] or (first and first + 80)))
    found = DELETE.match(line[:LONG_LINE])
    return Delete(tidy(found["path"])) if found else None


class Reader:
    """Reads answers about some files; `own` are the marker-like lines that the files have themselves."""

    def __init__(self, files: Files) -> None:
        self.files = files
        texts = [files.text(path) or "" for path in files.listed]
        self.own = {line.strip() for text in texts for line in text.split("\n") if MARKER.match(line[:LONG_LINE])}
        self.known = lru_cache(maxsize=1024)(self.is_known)

    def is_known(self, name: str) -> bool:
        """Tell whether a name means a listed or an existing file."""
        with suppress(Refusal):
            path = resolve(name, self.files)
            return path in self.files.listed or self.files.text(path) is not None
        return False

    def marker(self, line: str) -> str:
        """Tell which marker of a SEARCH/REPLACE block a line is; "" for none."""
        found = MARKER.match(line) if len(line) < LONG_LINE else None
        kind = found.lastgroup if found else ""
        return kind if kind and (kind == "divide" or line.strip() not in self.own) else ""

    def read(self, answer: str) -> tuple[list[Edit], list[Read]]:
        """Read the edits and the wishes to read that an answer holds."""
        edits: list[Edit] = []
        reads: list[Read] = []
        path, said = "", TAG.sub(lambda tag: f"{tag['path']}\n{TAGGED}\n{tag['text']}" + TAGGED * (tag["open"] is None), spoken(answer))
        for block in self.blocks(said):
            for found in block.notes:
                reads.append(found) if isinstance(found, Read) else edits.append(found)
            name, sure, lines = self.path_of(block)
            edits += self.edits(replace(block, lines=lines), name, path, sure)
            path = name if sure else path
        return edits, reads

    def blocks(self, text: str) -> Iterator[Block]:
        """Cut an answer into fenced blocks, SEARCH/REPLACE blocks and diffs, each with its prose."""
        lines, above, at = text.split("\n"), list[str](), 0
        marks = {at: kind for at, line in enumerate(lines) if (kind := self.marker(line))}
        while at < len(lines):
            line, end, block = lines[at], at + 1, None
            if fence := FENCE.match(line):
                end, closed = self.fence_end(lines, at, fence, marks)
                inside = dedent(lines[at + 1 : end]) if fence["indent"] else lines[at + 1 : end]
                inner = FENCE.match(inside[0]) if inside and not fence["info"].strip() else None
                if TAGGED in inside[:4] or (inner and (inner["info"] or line == TAGGED)):
                    yield from self.blocks("\n".join([*above, *inside]))
                    above = []
                else:
                    block = Block(above, fence["info"].strip(), inside, closed)
                end += closed
            elif marks.get(at) == "head" and line.strip(" <"):
                end = next((i + 1 for i in range(at, len(lines)) if marks.get(i) == "tail"), len(lines))
                block = Block(above, "", lines[at:end])
            elif DIFF.match(line) and any(HUNK.match(line) or PATCH_FILE.match(line) for line in lines[at : at + 5]):
                end = diff_end(lines, at)
                block = Block(above, "diff", lines[at:end])
            else:
                above.append(line)
            if block:
                yield block
            at, above = end, [] if block else above
        yield Block(above)

    def fence_end(self, lines: Sequence[str], at: int, fence: re.Match[str], marks: Mapping[int, str]) -> tuple[int, bool]:
        """Find the line that ends a fenced block, and whether it is a fence; no SEARCH block is cut, fences may nest."""
        depth, searching, deep = 0, False, len(fence["indent"].expandtabs(4))
        last_tail = max((i for i, kind in marks.items() if kind == "tail"), default=0)
        prose = re.match(r"(?i)\s*(?:md|markdown)\b", fence["info"]) or re.search(r"\.md\W*$", lines[at - 1][-99:])
        last = next(i for i in range(len(lines) - 1, -1, -1) if lines[i].strip())
        for i in range(at + 1, len(lines)):
            kind = marks.get(i)
            searching = i < last_tail if kind == "head" else searching and kind != "tail"
            inner = FENCE.match(lines[i])
            if searching or not inner or not inner["ticks"].startswith(fence["ticks"]):
                continue
            if len(inner["indent"].expandtabs(4)) > deep:
                continue
            after = lines[i + 1].strip() if i + 1 < len(lines) else ""
            if inner["info"].strip() and i < last:
                before = next(n for n in range(i - 1, at - 1, -1) if lines[n].strip())
                if before > at and heading(lines[before], self.known):
                    return before, False
                depth += 1
            elif depth:
                depth -= 1
            elif prose and after and not heading(after, self.known) and not after.startswith("</"):
                depth = 1  # in Markdown a bare fence with a line right after it begins a block
            else:
                return i, True
        return len(lines), False

    def path_of(self, block: Block) -> tuple[str, bool, Sequence[str]]:
        """Find the path of a block, whether it is sure, and the block's lines without it."""
        said = [line for line in block.above if line.strip()][-3:][::-1]
        heads = [heading(line, self.known, self.files.prompt) for line in said]
        if len({PurePosixPath(head).name for head in heads[:2]} - {""}) > 1:
            heads = []  # a list of paths belongs to the whole answer
        named = [next(filter(None, found)) for found in NAMED.findall(block.info)][:1]
        words = [word for word in re.split(r"[\s:{}=,\"`]+", block.info) if PATH.fullmatch(word)][-1:]
        first, rest = next(iter(block.lines), ""), list(block.lines[1:])
        noted = re.match(rf"\s*{NOTE}", first) or any(self.marker(line) == "head" for line in rest[:3])
        within = heading(first, self.known) if noted else ""
        within = "" if BARE_NAME.fullmatch(within) else within
        found = [name for name in (*named, *words, *heads, within) if name]
        if not found:
            return mentioned(said[0], self.known) if said else "", False, block.lines
        same = within and PurePosixPath(within).name == PurePosixPath(tidy(found[0])).name
        path = tidy(found[0])
        return path, not BARE_NAME.fullmatch(path) or self.known(path), rest if same else block.lines

    def edits(self, block: Block, name: str, last: str, sure: bool) -> Iterable[Edit]:
        """Turn one block into edits by the form of what it holds."""
        lines, path = block.lines, name if sure else last or name
        text = "\n".join(lines)
        if re.match(rf"\s*{OPENED}", text[:LONG_LINE]):
            return self.read(without_tools(f"<path>{path}</path>\n{text}"))[0]
        if any(self.marker(line) == "head" for line in lines):
            return self.changes(block, path)
        hunks = block.info.lower().startswith(("diff", "patch")) or any(line.startswith("@@ ") for line in lines)
        if any(map(PATCH_FILE.match, lines)) or (hunks and any(line[:1] in ("+", "-") for line in lines)):
            if not block.closed and filled(lines)[-1].startswith("-"):
                raise Refusal("incomplete", f"The answer is cut off within a diff of {path or 'a file'}.")
            return diff_edits(lines, path)
        shell = NOT_CODE.match(block.info.lower()) and not re.search(r"^\w+ ?\(\) ?\{", text, re.MULTILINE)
        if written := list(HEREDOC.finditer(text) if shell and not name.endswith("sh") else ()):
            return [Code(tidy(found["path"]), found["text"]) for found in written]
        is_note = bool(text.strip()) and all(note(line) for line in lines if line.strip())
        only_said = is_note or (not sure and (shell or TOOL_CALL.search(text)))
        return [] if only_said or not (text or block.info) else [Code(name, text, sure, block.closed)]

    def changes(self, block: Block, path: str) -> Iterator[Change]:
        """Yield the SEARCH/REPLACE pairs of a block; a path line between them holds for those that follow."""
        body: list[str] | None = None
        for line in [*block.lines, "<<<<<<<"]:
            kind = self.marker(line)
            if kind == "head" or (kind == "tail" and body is not None):
                if body is not None:
                    divided = any(self.marker(one) == "divide" for one in body)
                    if kind == "head" and not (divided and block.closed):
                        where = path or "a file"
                        raise Refusal("incomplete", f"The answer is cut off within a SEARCH/REPLACE block of {where}.")
                    yield Change(path, self.readings(body))
                label = re.sub(r"(?i)^\W*(?:SEARCH|ORIGINAL|HEAD|OLD|FIND)\b[ :>…]*", "", line.strip(" <"))
                path = tidy(label) if kind == "head" and PATH.fullmatch(label) else path
                body = [] if kind == "head" else None
            elif body is not None:
                body.append(line)
            elif lone := heading(line, self.known):
                path = lone

    def readings(self, body: list[str]) -> tuple[tuple[str, str], ...]:
        """Split a SEARCH/REPLACE body at its divider, in each way that is possible; none if there is no divider."""
        if sum(1 for line in body if FENCE.match(line)) % 2 and FENCE.match(body[-1]):
            body = body[:-1]
        while body and TOOL_HINT.match(body[0]):
            body = body[1:]
        cuts = [i for i, line in enumerate(body) if line.strip() == "======="]
        cuts = cuts or [i for i, line in enumerate(body) if self.marker(line) == "divide"]
        halves = [(body[:cut], body[cut + 1 :]) for cut in reversed(cuts)]
        if len(cuts) > 1 and not any(map(str.strip, body[cuts[-1] + 1 :])):  # a second divider before the last marker
            halves.append((body[: cuts[0]], body[cuts[0] + 1 : cuts[-1]]))
        halves += [(unfenced(old), unfenced(new)) for old, new in halves if unfenced(old) != old]
        return tuple(("\n".join(old), "\n".join(new)) for old, new in halves)


def unfenced(lines: list[str]) -> list[str]:
    return lines[1:-1] if len(lines) > 1 and FENCE.match(lines[0]) and FENCE.match(lines[-1]) else lines


def diff_end(lines: Sequence[str], at: int) -> int:
    """Find the end of a diff that stands in no fence: prose may follow."""
    end = next((i for i in range(at + 1, len(lines)) if FENCE.match(lines[i])), len(lines))
    last = max(i for i in range(at, end) if i == at or lines[i][:1] in ("+", "-", "@", "*"))
    return next((i for i in range(last, end) if not lines[i].strip()), end)


def diff_edits(lines: Sequence[str], path: str) -> Iterator[Edit]:
    """Turn a unified diff into changes: context and minus lines are found, context and plus lines put there."""
    hunk: list[str] = []
    at, new_file, gone = 0, False, False
    for line in [*lines, "@@"]:
        if MOVED.match(line):
            raise Refusal("no-edit", f"The answer moves {path or 'a file'} as a patch: send the new file whole instead.")
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


# --- lines ------------------------------------------------------------------------------------------------------------

LOOKS = {
    **dict.fromkeys(map(ord, "“”„‟″"), '"'),
    **dict.fromkeys(map(ord, "‘’‚‛′"), "'"),
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE63, 0xFF0D], "-"),
    **dict.fromkeys([0xA0, *range(0x2002, 0x200B), 0x202F, 0x205F, 0x3000], " "),
}
COMMENT = re.compile(
    r"^\s*(?:#(?![\[!{.\w]|\s*(?:include|define|if|ifdef|ifndef|else|elif|endif|pragma)\b)|#(?=\w[^{]*$)|//|/\*|\*(?:[ /]|$)"
    r"|--(?!-)|<!--|\{/\*|;;|%%?\s)"
)
ELLIPSIS = re.compile(
    r"^\s*(?:(?:#|//|--|/?\*+|\{/\*|<!--|;+|%)\s*)?[\[(<=-]*\s*(?:(?:\.\.\.|…)(?!\w).*|.*[\w)'] ?(?:\.\.\.|…)\s*[\])>=-]*)"
    r"\s*(?:\*+/\}?|-->)?\s*$"
)
DOTS_FIRST = re.compile(r"^\s*(?:(?:#|//|--|/?\*+|\{/\*|<!--|;+|%)\s*)?[\[(<=-]*\s*(?:\.\.\.|…)")
MARK_LINE = re.compile(r"^\s*(?:@[\w.]+|#!?\[|\[[A-Z]\w*)")
CLOSER = re.compile(r"^\s*(?:[})\]]|end\b|</)")
JUMP = re.compile(r"^\s*(?:return|raise|throw|break|continue|exit|panic!?)\b")
NUMBERED = re.compile(r"^\s*(\d+)(?:\s*[|:│→]|\t|(?= )|$)")


def plain(text: str) -> str:
    """Write signs that look alike as the one of them that keyboards have."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(LOOKS)


def bare(line: str) -> str:
    return plain(line).strip()


def margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def width_of(line: str) -> int:
    """Measure a line's indentation in columns."""
    return len(margin(line).expandtabs(4))


def first_line(text: str, limit: int = LONG_LINE) -> str:
    return next((" ".join(line.split())[:limit] for line in text.split("\n") if line.strip()), "")


def filled(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def dedent(lines: Sequence[str]) -> list[str]:
    """Take off the indentation that all lines share."""
    width = min((len(margin(line)) for line in lines if line.strip()), default=0)
    return [line[width:] for line in lines]


def likeness(one: str, other: str) -> float:
    """Return how much alike two lines are, from 0 to 1."""
    pair = difflib.SequenceMatcher(None, one[:LONG_LINE], other[:LONG_LINE], False)
    return pair.ratio() if pair.real_quick_ratio() > 0.6 and pair.quick_ratio() > 0.6 else 0.0


def in_style(lines: list[str], old: str) -> list[str]:
    """Indent lines with tabs where the old text has no blanks for it, with blanks where it has no tabs."""
    real, told = ([margin(line) for line in filled(some)] for some in (old.split("\n"), lines))
    tabs, blanks = any("\t" in one for one in real), any(one.startswith("  ") for one in real)
    other = {one for one in told if one.startswith("  " if tabs else "\t")}
    if tabs == blanks or not other:
        return lines
    steps = Counter(after - before for before, after in pairwise(map(len, told if tabs else real)) if after > before)
    blank = " " * max(steps, key=lambda step: (steps[step], step), default=4)
    units = (blank, "\t") if tabs else ("\t", blank)
    return [margin(line).replace(*units) + line.lstrip(" \t") if margin(line) in other else line for line in lines]


def unnumbered(lines: Sequence[str], old: str) -> list[str]:
    """Take off line numbers that were copied with the lines: every line has one, and they count up."""
    numbers = [int(found[1]) if (found := NUMBERED.match(line)) else 0 for line in filled(lines)]
    real = {line.rstrip() for line in old.split("\n")}
    if not all(numbers) or numbers != sorted(set(numbers)) or any(line.rstrip() in real for line in filled(lines)[:1]):
        return list(lines)
    rest = [NUMBERED.sub("", line, count=1) for line in lines]
    outer = [line.removeprefix(" ") for line in rest]
    best = max((rest, outer), key=lambda some: sum(line.rstrip() in real for line in filled(some)))
    return best if len(numbers) > 1 or any(line.rstrip() in real for line in best) else list(lines)


# --- what an answer leaves out ----------------------------------------------------------------------------------------


def gaps_in(new: Sequence[str], old: Sequence[str], told: bool = False) -> list[int]:
    """List the lines of NEW that stand for lines of OLD that were left out.

    Dots tell them, and their form: a comment that OLD does not have in the place of three lines, or of all that follows.
    `told`: by dots alone.
    """
    real, a, b = set(map(bare, old)), list(map(bare, old)), list(map(bare, new))
    fresh = {at for at, line in enumerate(new) if COMMENT.match(line) and b[at] not in real}
    marks = {at for at in range(len(new)) if len(b[at]) < LONG_LINE and b[at] not in real and DOTS_FIRST.match(new[at])}
    last = max((at for at, line in enumerate(new) if line.strip() and not CLOSER.match(line)), default=0)
    code = [line for line in new[:last] if line.strip() and not COMMENT.match(line)]
    for _, i1, i2, j1, j2 in () if told else difflib.SequenceMatcher(None, a, b, False).get_opcodes():
        gone = [line for line in a[i1:i2] if line and not COMMENT.match(line) and not CLOSER.match(line)]
        come = {at for at in range(j1, j2) if b[at]}
        if come and come <= fresh and not any(line in b[at] for line in gone for at in come):
            trails = last in come and not (code and JUMP.match(code[-1]))
            dots = any(ELLIPSIS.match(new[at]) for at in come)
            marks |= come if len(gone) >= (1 if trails or dots else 3) else set()
        elif last in come & fresh and gone and a[i1:i2] and not (code and JUMP.match(code[-1])):
            marks.add(last)
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
    for skip, near in enumerate(lines):
        key = bare(near)
        places = [at for at in rows if bare(old[at]) == key] if key else []
        if not places and not skip and key:
            word = re.match(r"\W*\w*", key)
            alike = {at: likeness(key, line) for at in rows if word and (line := bare(old[at])).startswith(word[0])}
            places = [at for at in alike if alike[at] >= 0.7 and alike[at] == max(alike.values())]
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
    r"^(?:(?:import|from|use|using|#include|require|require_once|include|package)\b(?!\s*[=(]\s*$)|(?:const|let|var) [^=]*= require\()"
)
GOES_ON = re.compile(r"\s*(?:(?:where|rescue|ensure|else|elsif|elif|except|finally|catch|when)\b)")
ENTRY = re.compile(r"^\s*[\"']?([\w.$@/-]+)[\"']?\s*(?:\?|!)?(?::(?=\s|$)|=(?![=>~]))")
VISIBLE = re.compile(r"export (?:default )?|pub(?:\([^)]*\))? |public ")
MEMBER = re.compile(
    r"^(?:public|private|protected|internal|override|get|set)\b|\(&?(?:mut )?self\b|^(?!function|func|fn|def)[#\w$]+ ?\([^;]*\{$"
)
DATA = (".json", ".yml", ".yaml", ".toml", ".css", ".scss", ".less", ".html", ".xml", ".svg", ".vue", ".svelte", ".ini")
PROSE = (".md", ".rst", ".txt", ".adoc", "")
TESTS = re.compile(r"(?:\w+\.)*(?:test(?:_|[A-Z]|$)|Test(?:_|[A-Z]|$))|.*(?:Test|_test|Tests)$")
PIECE = re.compile(r"^\s*(?:await\s+)?(?:assert\b|[\w.$]+!?\s*\()")


@dataclass(frozen=True)
class Item:
    """A piece of a text, as line numbers from 0: its comments, its decorators, its header, its end (exclusive).

    `kind`: box has members, function and value are replaced whole, block is a statement with a body; then import,
    entry (a line with a name), line, comment.
    """

    kind: str
    key: str
    top: int
    first: int
    line: int
    end: int

    @property
    def named(self) -> bool:
        return self.kind in ("box", "function", "value")


class Source:
    """A text as a tree of items, by its definitions and by its indentation."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text, self.lines = path, text, text.split("\n")
        self.suffix = PurePosixPath(path).suffix
        self.inside, self.notes = literal_lines(path, text)
        self.language = language_of(path)
        self.defs: dict[int, Definition] = {}
        for found in definitions(path, text):
            other = self.defs.get(found.first - 1)
            if not other or (found.last, found.kind != "value") > (other.last, other.kind != "value"):
                self.defs[found.first - 1] = found
        self.starts = sorted(at for at, found in self.defs.items() if found.kind != "value")

    def is_comment(self, at: int) -> bool:
        if self.language:
            return at in self.notes
        pattern = COMMENT if self.suffix not in PROSE else re.compile(r"\s*<!--")
        return bool(pattern.match(self.lines[at])) and not self.lines[at].rstrip().endswith("{")

    def items(self, low: int = 0, high: int = -1) -> list[Item]:
        """List the items between two lines."""
        found, at, top = list[Item](), low, -1
        high = high if high >= 0 else len(self.lines)
        while at < high:
            if not self.lines[at].strip():
                at += 1
                continue
            end = at
            while end < high and end not in self.defs and (self.is_comment(end) or MARK_LINE.match(self.lines[end])):
                end = end + 1 if self.is_comment(end) else self.extent(end, high)
            top, at = at, end
            follows = at < high and self.lines[at].strip()
            if top < at and not follows:
                found.append(Item("comment", "", top, top, top, at))
            elif follows:
                found.append(self.item(top, at, high))
                at = max(found[-1].end, at + 1)
        return found

    def item(self, top: int, at: int, high: int) -> Item:
        """Describe the item that begins at a line."""
        line, found = self.lines[at], self.defs.get(at)
        if found:
            kind = {"class": "box", "test": "function"}.get(found.kind, found.kind)
            end = min(found.last, high)
            while end > at + 1 and not self.lines[end - 1].strip():
                end -= 1
            kind = "box" if found.kind == "test" and self.holds_definitions(at + 1, end) else kind
            owner = f"{found.owner.removeprefix('type ')}." if found.owner.startswith("type ") else ""
            return Item(kind, owner + found.name, top, at, max(at, found.line - 1), end)
        if self.is_import(line):
            end = at + 1
            while end < high and re.search(r"[({][^)}]*\Z", "".join(self.lines[at:end])):
                end += 1
            kind = "box" if line.rstrip() == "import (" else "import"
            return Item(kind, " ".join("".join(self.lines[at:end]).split()) if kind == "import" else "import (", top, at, at, end)
        end = min(self.extent(at, high), high)
        entry = ENTRY.match(line) if self.suffix not in PROSE else None
        own = re.match(self.language.field, line) if self.language and not entry else None
        key = entry[1] if entry else own[own.lastgroup or 0] if own else bare(line)
        if end - at == 1:
            return Item("entry" if entry or own else "line", key, top, at, at, end)
        is_box = self.suffix in DATA or self.holds_definitions(at + 1, end)
        return Item("box" if is_box else "block", key if entry else bare(line).rstrip("{ "), top, at, at, end)

    def is_import(self, line: str) -> bool:
        return bool(IMPORT.match(line)) and self.suffix not in PROSE and self.suffix not in DATA[:-3]

    def holds_definitions(self, low: int, high: int) -> bool:
        """Tell whether functions or classes begin between two lines."""
        at = bisect_left(self.starts, low)
        return at < len(self.starts) and self.starts[at] < high

    def extent(self, start: int, high: int) -> int:
        """Return the line after what begins at a line, told by indentation and by what closes it."""
        width, header, last = width_of(self.lines[start]), self.lines[start].rstrip(), start
        at = start + 1
        while at < high and at in self.inside:
            last, at = at, at + 1
        if self.suffix in PROSE or (header.endswith((";", "}", "},")) and header.count("{") == header.count("}")):
            return last + 1
        for at in range(last + 1, high):
            line = self.lines[at]
            if at not in self.inside and line.strip() and width_of(line) <= width:
                listed = line.lstrip().startswith("- ") and header.endswith(":") and width_of(line) == width
                if line.strip() != "{" and not GOES_ON.match(line) and not listed:
                    if not CLOSER.match(line) or width_of(line) < width:
                        break
                    if not line.rstrip().endswith(("{", ":", "(", "=>")):
                        return at + 1
            last = at if line.strip() else last
        return last + 1

    def members(self, box: Item) -> list[Item]:
        """List the items within a box."""
        low, high = self.inner(box)
        return self.items(low, high)

    def inner(self, box: Item) -> tuple[int, int]:
        """Return the lines of a box without its header and what closes it."""
        width, head = width_of(self.lines[box.line]), box.line
        while self.suffix == ".py" and head < box.end - 1 and not self.lines[head].split("#")[0].rstrip().endswith(":"):
            head += 1
        rows = [at for at in range(head + 1, box.end) if self.lines[at].strip()]
        deep = [at for at in rows if width_of(self.lines[at]) > width or at in self.inside]
        return (deep[0], deep[-1] + 1) if deep else (box.end, box.end)


@lru_cache(16)
def source(path: str, text: str) -> Source:
    return Source(path, text)


# --- a block into a text ----------------------------------------------------------------------------------------------

LOOSE = ("block", "line", "comment")


class Merge:
    """Puts the items of a block in the place of those of a text, as cuts: what is not sent stays.

    `shift` is the indentation that the block had when it was sent, `home` what the last pairing of a member was within.
    """

    def __init__(self, old: Source, new: Source, indented: bool = False) -> None:
        self.old, self.new, self.indented = old, new, indented
        self.cuts: dict[tuple[int, int], list[str]] = {}
        self.placed, self.added, self.dropped = 0, 0, 0
        self.outdated = set[int]()  # items that come again further down in the block
        self.tops = [item for item in old.items()]

    def text(self) -> str:
        """Return the new text; Refusal where nothing of the block has a place."""
        news = [item for item in self.new.items() if not self.is_noise(item)]
        self.level(self.tops, news, True)
        empty = not any(line.strip() for line in self.old.lines)
        if not self.placed and (not self.added or self.dropped) and not empty:
            raise Refusal("no-place", "the block is neither the whole file nor one of its definitions")
        merged = spliced(self.old.lines, self.cuts)
        return "\n".join(with_imports(merged, self.old, self.new))

    def is_noise(self, item: Item) -> bool:
        """Tell whether an item is a mark that stands for lines, or a tag or label around the code."""
        return item.kind in ("comment", "line") and bool(DOTS_FIRST.match(self.new.lines[item.line]))

    def level(self, olds: list[Item], news: list[Item], root: bool, want: str = "") -> None:
        """Pair the items of one level, put those that have a partner in its place, the others beside their neighbours."""
        pairs = self.pair(olds, news, root)
        whole = self.pair_loose(olds, news, pairs)
        sent = {imported(item.key)[0] or item.key for item in news if item.kind == "import"}
        self.noted = whole and all((imported(item.key)[0] or item.key) in sent for item in olds if item.kind == "import")
        deep = {id(item) for item in pairs.values()} - {id(item) for item in olds}
        near = next((pairs[at] for at in range(len(news)) if at in pairs and news[at].kind != "comment"), None)
        spot = near.top if near else -1
        for at, item in enumerate(news):
            target = pairs.get(at)
            if target:
                self.put(item, target, whole)
                near, spot = target, target.end
            elif item.kind != "import" and id(item) not in self.outdated and self.is_wanted(item, olds, whole):
                beside = None if near and id(near) in deep and not self.is_member(item) else near
                self.add(item, olds, beside, spot, root, want, near)
            else:
                self.dropped += item.kind in ("line", "block")

    def pair(self, olds: list[Item], news: list[Item], root: bool) -> dict[int, Item]:
        """Find for each named item the old one of its name; of several the one with the same header, or one each."""
        pairs: dict[int, Item] = {}
        theirs = grouped(olds)
        for key, places in grouped_places(news).items():
            item, there = news[places[-1]], theirs.get(key, [])
            if root and item.named and (self.indented or not there):
                there = self.search(item) or there
            if root and not there and item.end - item.line > 1:
                there = self.search_line(item)
            if len(there) > 1 and len(there) != len(places):
                header = bare(self.new.lines[item.line])
                there = [one for one in there if bare(self.old.lines[one.line]) == header] or there
            if len(there) > 1 and len(there) != len(places):
                if not item.named:
                    continue
                raise Refusal("ambiguous", f"there are {len(there)} definitions called {item.key}")
            pairs |= dict(zip(places[-len(there) :], there, strict=True)) if there else {}
            self.outdated |= {id(news[at]) for at in places[: -max(1, len(there))]} if item.named else set()
        return pairs

    def search(self, item: Item) -> list[Item]:
        """List the definitions of an item's name below the top level."""
        name = item.key.rpartition(".")[2]
        found = [one for one in self.old.defs.values() if one.name == name and (one.kind == "class") == (item.kind == "box")]
        found = [one for one in found if one.kind == "value" or item.kind != "value"]
        items = [self.old.item(self.lead(one.first - 1), one.first - 1, len(self.old.lines)) for one in found]
        outer = {one.first for one in self.tops}
        return [one for one in items if one.first not in outer and one.kind != "value"]

    def search_line(self, item: Item) -> list[Item]:
        """List what begins with the same line anywhere in the text and has a body too."""
        header = bare(self.new.lines[item.line])
        rows = [at for at, line in enumerate(self.old.lines) if bare(line) == header] if re.search(r"\w", header) else []
        items = [self.old.item(at, at, len(self.old.lines)) for at in rows]
        return [one for one in items if one.end - one.line > 1]

    def lead(self, at: int) -> int:
        """Go up from a line over the comments that belong to it."""
        while at > 0 and self.old.is_comment(at - 1) and width_of(self.old.lines[at - 1]) >= width_of(self.old.lines[at]):
            at -= 1
        return at

    def pair_loose(self, olds: list[Item], news: list[Item], pairs: dict[int, Item]) -> bool:
        """Pair lines and statements without a name: the same ones, those alike, and those that stand in their stead.

        Return whether the block holds all that there is at this level: only then is what it has instead a replacement.
        """
        taken = {id(item) for item in pairs.values()}
        for kind in LOOSE:
            theirs = [item for item in olds if item.kind == kind and id(item) not in taken]
            mine = [at for at, item in enumerate(news) if item.kind == kind and at not in pairs]
            match = difflib.SequenceMatcher(None, [self.old_text(i) for i in theirs], [self.new_text(news[i]) for i in mine], False)
            for block in match.get_matching_blocks():
                pairs |= {mine[block.b + n]: theirs[block.a + n] for n in range(block.size)}
        runs = list(self.runs(olds, news, pairs))
        for theirs, places, _ in runs:
            self.pair_alike(theirs, places, news, pairs)
        taken = {id(item) for item in pairs.values()}
        lost = {id(item) for item in olds if item.kind not in ("import", "comment") and id(item) not in taken}
        for theirs, places, open_end in runs:
            rest = [item for item in theirs if id(item) in lost]
            mine = [at for at in places if at not in pairs and news[at].kind != "comment"]
            if rest and mine and (len(mine) >= len(rest) or not open_end):
                lost -= {id(item) for item in rest}
        if lost:
            return False
        for theirs, places, _ in runs:
            rest = [item for item in theirs if id(item) not in taken and item.kind != "comment"]
            mine = [at for at in places if at not in pairs and news[at].kind != "comment"]
            for place, item in zip(mine, rest, strict=False):
                pairs[place] = item
            for item in rest[len(mine) :] if mine else ():
                self.cuts[item.top, item.end] = []
        return True

    def runs(self, olds: list[Item], news: list[Item], pairs: Mapping[int, Item]) -> Iterator[tuple[list[Item], list[int], bool]]:
        """Yield what stands loose between two neighbours that are paired, on both sides; whether the text ends there."""
        index = {id(item): at for at, item in enumerate(olds)}
        known = [(at, index[id(pairs[at])]) for at in sorted(pairs) if id(pairs[at]) in index]
        taken = {id(item) for item in pairs.values()}
        for (a, i), (b, j) in pairwise([(-1, -1), *known, (len(news), len(olds))]):
            theirs = [item for item in olds[i + 1 : j] if item.kind in LOOSE and id(item) not in taken]
            places = [at for at in range(a + 1, b) if at not in pairs and news[at].kind in LOOSE]
            if theirs and places:
                yield theirs, places, i < 0 or j == len(olds)

    def pair_alike(self, theirs: list[Item], places: list[int], news: list[Item], pairs: dict[int, Item]) -> None:
        """Pair the lines of a run that are much alike."""
        free = list(theirs)
        for at in places if len(places) * len(theirs) < 10_000 else ():
            scores = {id(item): likeness(self.old_text(item), self.new_text(news[at])) for item in free if item.kind == news[at].kind}
            best = [item for item in free if scores.get(id(item), 0) >= 0.6 and scores[id(item)] == max(scores.values())]
            if best:
                pairs[at] = best[0]
                free = free[free.index(best[0]) + 1 :]

    def old_text(self, item: Item) -> str:
        return "\n".join(map(bare, self.old.lines[item.line : item.end]))

    def new_text(self, item: Item) -> str:
        return "\n".join(map(bare, self.new.lines[item.line : item.end]))

    def is_wanted(self, item: Item, olds: list[Item], whole: bool) -> bool:
        """Tell whether an item without a partner is new code, and no usage example or note."""
        if item.kind == "comment":
            return self.noted
        if item.kind not in ("line", "block") or self.old.suffix in (*DATA, *PROSE):
            return True
        header = self.new.lines[item.line]
        alike = [one for one in olds if one.kind == item.kind and bare(self.old.lines[one.line]).split("(")[0] == bare(header).split("(")[0]]
        calls = any(one.kind == "line" and PIECE.match(self.old.lines[one.line]) for one in olds)
        return (item.kind == "block" and bool(alike)) or (whole and (calls or not PIECE.match(header)))

    def is_member(self, item: Item) -> bool:
        """Tell whether a definition is a method by its form."""
        header = " ".join(line.strip() for line in self.new.lines[item.first : item.line + 1])
        if self.old.suffix in (".py", ".pyi"):
            return item.kind == "function" and bool(re.search(r"@(?:static|class)method\b|\(\s*(?:self|cls)\b", header))
        return item.kind in ("function", "value") and (bool(MEMBER.search(header)) or (self.indented and bool(re.match(r"(?:def|fun|fn)\b", header))))

    def add(self, item: Item, olds: list[Item], near: Item | None, spot: int, root: bool, want: str, last: Item | None) -> None:
        """Put a new item after the neighbour that it is sent after, into its class, or to the end."""
        self.added += item.named or item.kind != "comment"
        lines = self.old.lines
        if near and not (root and self.is_member(item) and width_of(lines[near.line]) == 0 and near.kind != "function"):
            want = margin(lines[near.line])
        elif root and last and near is None and spot >= 0:
            spot = next(one.top for one in self.tops if one.top <= last.top < one.end)
        elif root and self.is_member(item):
            spot, want = self.room_in_box(item)
        else:
            body = [one for one in olds if one.kind == "function"] if not root else []
            guard = [one for one in olds if one.key.startswith("if __name__")] if root else []
            rows = [body[-1].end if body else olds[-1].end] if olds else [len(lines)]
            spot = guard[0].top if guard else rows[0]
        self.insert(item, spot, want, root and not want)

    def room_in_box(self, item: Item) -> tuple[int, str]:
        """Find the end of the only class that has methods, and how they are indented there."""
        found = []
        for box in self.tops:
            inner = [box] if box.kind == "box" else []
            while inner and not (methods := [one for one in self.old.members(inner[0]) if one.kind == "function"]):
                inner = [one for one in self.old.members(inner[0]) if one.kind == "box"]
            if inner and not TESTS.match(box.key) and box.key not in ("mod tests",):
                found.append((methods[-1].end, margin(self.old.lines[methods[-1].line])))
        if len(found) != 1:
            raise Refusal("ambiguous", f"it does not say in which class {item.key} belongs")
        return found[0]

    def insert(self, item: Item, spot: int, want: str, top: bool) -> None:
        """Insert an item's lines, with blank lines around it as the file has them."""
        before = [line for line in self.old.lines[:spot] if line.strip()][-1:]
        lines = [line for line in self.new.lines[item.top : item.line] if not DOTS_FIRST.match(line)]
        given = shifted([*lines, *self.new.lines[item.line : item.end]], margin(self.new.lines[item.line]), want)
        flat = not item.named or (item.end - item.line == 1 and before and width_of(before[0]) == len(want.expandtabs(4)) and ENTRY.match(before[0]))
        blank = [""] * (0 if flat else 2 if top and self.old.suffix in (".py", ".pyi") else 1)
        ahead = spot < len(self.old.lines) and self.old.lines[spot].strip() and not CLOSER.match(self.old.lines[spot])
        self.cuts.setdefault((spot, spot), []).extend([*given, *blank] if ahead else [*blank, *given])

    def put(self, item: Item, target: Item, whole: bool) -> None:
        """Put an item in the place of an old one: its members into a box, anything else whole."""
        self.placed += 1
        news, olds = self.new.lines[item.line : item.end], self.old.lines[target.line : target.end]
        both = item.kind == target.kind == "box" or (
            target.kind == "value" and len(olds) > 2 and len(news) > 2 and bool(gaps_in(news, olds))
        )
        self.put_lead(item, target, whole)
        have, want = margin(news[0]), margin(olds[0])
        (low, high), (first, last) = self.old.inner(target), self.new.inner(item)
        if not both or low == high:
            self.cuts[target.line, target.end] = self.redefined(item, target)
        else:
            header = shifted(self.new.lines[item.line : first], have, want)
            if first < last and list(map(bare, header)) != list(map(bare, self.old.lines[target.line : low])) and filled(header):
                self.cuts[target.line, low] = kept_visible(header, olds[0], want)
            inside = next((margin(line) for line in self.old.lines[low:high] if line.strip()), "")
            self.level(self.old.items(low, high), [one for one in self.new.items(first, last) if not self.is_noise(one)], False, inside)

    def put_lead(self, item: Item, target: Item, whole: bool) -> None:
        """Put the comments and decorators of an item in the place of the old ones; those left out stay."""
        there, want = self.old.lines[target.top : target.line], margin(self.old.lines[target.line])
        ahead = shifted(self.new.lines[item.top : item.line], margin(self.new.lines[item.line]), want)
        ahead = [line for line in ahead if not DOTS_FIRST.match(line) or bare(line) in map(bare, there)]
        marks = [line for line in ahead if MARK_LINE.match(line)]
        if not marks and any(map(MARK_LINE.match, there)):
            return
        notes = len(ahead) - len(marks)
        if ahead and (there or whole or notes != 1 or marks) and ahead != there:
            self.cuts[target.top, target.line] = ahead

    def redefined(self, item: Item, target: Item) -> list[str]:
        """Return a definition's new lines where the old ones stand; what it leaves out is put back."""
        olds, news = self.old.lines[target.line : target.end], self.new.lines[item.line : item.end]
        want, have = margin(olds[0]), margin(news[0])
        body, inner = ([margin(line) for line in filled(lines[1:])][:1] for lines in (olds, news))
        if body and body == inner and len(have) < len(want):  # only the header lost its indentation
            fresh = [want + news[0].lstrip(), *news[1:]]
        else:
            fresh = shifted(news, have, want)
        fresh = completed(kept_visible(fresh, olds[0], want), olds)
        short, whole = list(map(bare, filled(fresh))), list(map(bare, filled(olds)))
        if short != whole and short == whole[: len(short)] and (len(short) * 2 <= len(whole)):
            raise Refusal("incomplete", "the block is cut off")
        if target.kind in ("value", "entry") and len(whole) > 3 and len(set(short) & set(whole)) * 2 < len(whole) > len(short):
            raise Refusal("incomplete", f"it would drop most of {target.key}")
        comma = "," if olds[-1].rstrip().endswith(",") and target.kind != "function" else ""
        if comma or (target.kind == "entry" and fresh[-1].rstrip().endswith(",")):
            fresh[-1] = fresh[-1].rstrip().removesuffix(",") + comma
        return fresh


def grouped(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    """Group what has a name by it; a class is no function of its name."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        if item.kind not in ("import", "line", "comment"):
            groups.setdefault(group_of(item), []).append(item)
    return groups


def grouped_places(items: Sequence[Item]) -> dict[tuple[str, str], list[int]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for at, item in enumerate(items):
        if item.kind not in ("import", "line", "comment"):
            groups.setdefault(group_of(item), []).append(at)
    return groups


def group_of(item: Item) -> tuple[str, str]:
    return {"value": "entry", "block": "box"}.get(item.kind, item.kind), item.key


def kept_visible(lines: list[str], old: str, want: str) -> list[str]:
    """Keep the word that makes an old definition visible elsewhere, where a new one has none."""
    seen = VISIBLE.match(old.strip())
    if seen and not re.match(r"\s*(?:export|pub|public|private|protected|internal)\b", lines[0]):
        return [want + seen[0] + lines[0].strip(), *lines[1:]]
    return lines


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


def with_imports(lines: list[str], old: Source, new: Source) -> list[str]:
    """Take over the new imports that the code needs: into the one from the same place, else after the last one."""
    there = {item.key: item for item in Source(old.path, "\n".join(lines)).items() if item.kind == "import"}
    fresh = [item for item in new.items() if item.kind == "import" and item.key not in there]
    own = {item.key for item in old.items()}
    last = max((item.end for item in there.values()), default=0) or first_line_of_code(lines, old)
    cuts: dict[tuple[int, int], list[str]] = {}
    for item in fresh:
        place, names = imported(item.key)
        if place and names and names <= own:
            continue  # what the file defines itself
        same = next((one for one in there.values() if place and imported(one.key)[0] == place), None)
        had = imported(same.key)[1] if same else set[str]()
        text = "\n".join(new.lines[item.top : item.end])
        if same and had <= names:
            cuts[same.first, same.end] = [text]
        elif same and "}" in same.key and names - had <= set(re.findall(r"\w+", text[text.find("{") :])) and names - had:
            whole = "\n".join(lines[same.first : same.end])
            joined = re.sub(r",?\s*\}", f", {', '.join(sorted(names - had))} }}", whole, count=1)
            cuts[same.first, same.end] = [joined]
        elif not names <= had or not same:
            cuts.setdefault((last, last), []).append(text)
    return spliced(lines, cuts)


def first_line_of_code(lines: list[str], old: Source) -> int:
    """Return the line before which a first import goes: after a docstring, a first line for the shell, a package."""
    with suppress(SyntaxError, ValueError, RecursionError):
        tree = ast.parse("\n".join(lines)) if old.suffix == ".py" else None
        if tree and tree.body and ast.get_docstring(tree) is not None:
            return tree.body[0].end_lineno or 0
    return int(lines[0].startswith(("#!", "<?php", "package ")))


# --- a block into a text: whole ---------------------------------------------------------------------------------------

INLINE = re.compile(
    r"^(?P<head>(?P<margin>[ \t]*).*(?:\{|\bdef .*:))\s*(?:/\*)?\s*(?:\.\.\.|…)\s*(?:\*/)?\s*(?P<tail>\}[;,]?)?\s*$"
)
WRAP = re.compile(r"^\s*(?:<(/?)([A-Za-z][\w-]*)(?: [^<>]*)?>|\[(/?)([A-Z]+)\])\s*$")
ESCAPED = re.compile(r"&(?:lt|gt|amp|quot|#39);")


def rewrite(path: str, old: str, edit: Code) -> str:
    """Return a file's new text from a block that holds all of it or some of its definitions."""
    lines = clean(path, edit.text, old)
    if (not filled(lines) and old.strip()) or (not edit.closed and not filled(lines)):
        raise Refusal("incomplete", "the block is empty")
    if not filled(lines):
        return ""
    if not old.strip():
        if any(DOTS_FIRST.match(line) and not line.strip() == "..." for line in lines) or ELLIPSIS.match(lines[-1]):
            raise Refusal("incomplete", "it leaves lines out of a new file")
        if not edit.closed and is_cut(path, lines, []):
            raise Refusal("incomplete", "the block is cut off")
        return "\n".join(lines) + "\n"
    if not edit.closed and is_cut(path, lines, old.split("\n")):
        raise Refusal("incomplete", "the block is cut off")
    if is_quote(edit.text, old, path):
        return old
    first = next(line for line in edit.text.split("\n") if line.strip())
    new, indented = Source(path, "\n".join(lines)), width_of(first) > 0
    if new.language and not new.defs and not indented:  # a method at the margin
        new, indented = Source(path, "\n".join("    " + line for line in lines)), True
    merge = Merge(source(path, old), new, indented)
    return with_ending(joined_keys(path, merge.text()), old)


def clean(path: str, text: str, old: str) -> list[str]:
    """Take off what a block has too much: line numbers, tags around it, shared indentation, blank ends, other quotes."""
    lines = in_style(unnumbered(text.split("\n"), old), old)
    real = {bare(line) for line in old.split("\n")}
    while (rows := [at for at, line in enumerate(lines) if line.strip()]) and PurePosixPath(path).suffix not in DATA[7:]:
        first, last = (WRAP.match(lines[at]) for at in (rows[0], rows[-1]))
        if not first or not last or bare(lines[rows[0]]) in real or (first[2] or first[4]) != (last[2] or last[4]):
            break
        lines = lines[rows[0] + 1 : rows[-1]]
    lines = lines[rows[0] : rows[-1] + 1] if (rows := [at for at, line in enumerate(lines) if line.strip()]) else []
    if len(lines) > 1 and width_of(lines[1]) and lines[0].startswith("<?"):
        lines = lines[1:]  # the opening tag of PHP
    told = [width_of(line) for line in filled(lines[1:])]
    if told and not width_of(lines[0]) and 0 < min(told) < told[0]:
        lines[0] = " " * min(told) + lines[0]  # the first line alone lost its indentation
    lines = dedent(lines) if old.strip() and not width_of(old.lstrip("\n")) else lines
    lines = [row.rstrip() for line in lines for row in opened(line, old)]
    return in_plain_signs(lines, old, path)


def in_plain_signs(lines: list[str], old: str, path: str) -> list[str]:
    """Write signs that look alike the way the file does, where the block shows that its writer did not."""
    if all(line.isascii() for line in lines):
        return lines
    raw, flat = set(map(str.strip, old.split("\n"))), set(map(bare, old.split("\n")))
    wrong = [line for line in lines if line.strip() not in raw and bare(line) in flat and plain(line) != line]
    text = "\n".join(lines)
    broken = path.endswith(".py") and not parses(path, text) and parses(path, plain(text))
    return [line if line.strip() in raw else plain(line) for line in lines] if wrong or broken else lines


def opened(line: str, old: str) -> list[str]:
    """Write a body that is left out within a line on lines of its own; one that is new stays."""
    found = INLINE.match(line) if len(line) < LONG_LINE and line not in old else None
    if not found or not (found["tail"] or found["head"] in old):
        return [line]
    return [found["head"], found["margin"] + "    ...", *([found["margin"] + found["tail"]] if found["tail"] else [])]


def is_cut(path: str, lines: list[str], olds: list[str]) -> bool:
    """Tell whether a block without its last fence ends within something."""
    text = "\n".join(lines)
    end = lines[-1].strip()
    within = bool(olds) and end not in map(str.strip, olds) and any(line.strip().startswith(end) for line in olds)
    if within or any(count > 0 for count in open_brackets(path, text)) or (path.endswith(".py") and not parses(path, text)):
        return True
    old, new = source(path, "\n".join(olds)), Source(path, text)
    last = new.items()[-1:]
    for item in last if olds else ():
        there = grouped(old.items()).get(group_of(item), [])
        whole = [bare(line) for one in there for line in filled(old.lines[one.line : one.end])]
        some = [bare(line) for line in filled(new.lines[item.line : item.end])]
        if some != whole and some == whole[: len(some)]:
            return True
    return False


def joined_keys(path: str, text: str) -> str:
    """Write the commas between the keys of JSON anew, where merging them left one out."""
    if not path.endswith(".json") or parses(path, text):
        return text
    text = re.sub(r"([\]}\"\w])(\n\s*\")", r"\1,\2", text)
    return re.sub(r",(\s*[}\]])", r"\1", text)


def with_ending(new: str, old: str) -> str:
    """End a text with one newline, or with none where the old one had none."""
    new = new.rstrip("\n")
    return new if old and not old.endswith("\n") else new + "\n" if new else ""


# --- lines that are searched for --------------------------------------------------------------------------------------

Key = Callable[[str], str]


def straight(line: str) -> str:
    return plain(line).rstrip()


LADDER: tuple[tuple[Key, bool], ...] = ((str, True), (str.rstrip, True), (straight, True), (bare, True), (bare, False))


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
    """Find the wanted lines, first as they are, then ever less strictly, and put the given ones there."""
    lines = text.split("\n")
    if not any(map(str.strip, wanted)):
        raise Refusal("no-place", "an empty SEARCH part in a file that has lines")
    both = in_style([*wanted, *given], text)
    wanted, given = both[: len(wanted)], both[len(wanted) :]
    if gaps := gaps_in(wanted, lines, told=True):
        parts, others = split_at(wanted, gaps), split_at(given, gaps_in(given, lines, told=True))
        contents = left_out(parts, lines)
        wanted = fill(parts, contents)
        given = fill(others, contents) if len(others) == len(parts) else given
    given = completed(given, wanted)
    for key, blanks in LADDER:  # how lines are compared, and whether blank ones count
        spots = matches(lines, wanted, key, blanks)
        spots = [spot for spot in spots if spot.start == hint - 1] or spots
        if len(spots) > 1:
            near = "\n[...]\n".join("\n".join(lines[max(0, spot.start - 3) : spot.stop + 3]) for spot in spots[:4])
            raise Refusal("ambiguous", f"its SEARCH part stands at {len(spots)} places", near)
        for spot in spots:
            fresh = given if key is str else carried(lines[spot.start : spot.stop], wanted, given, key)
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


def matches(lines: Sequence[str], wanted: Sequence[str], key: Key, blanks: bool) -> list[range]:
    """List the line ranges where the wanted lines stand; without `blanks`, blank lines do not count."""
    needle = [key(line) for line in wanted]
    if key is not str:
        rows = [at for at, line in enumerate(needle) if line]
        needle = [line for line in needle[rows[0] : rows[-1] + 1] if blanks or line]
    told = [(at, key(line)) for at, line in enumerate(lines) if blanks or line.strip()]
    texts, count = [text for _, text in told], len(needle)
    starts = [at for at in range(len(texts) - count + 1) if texts[at] == needle[0] and texts[at : at + count] == needle]
    return [range(told[at][0], told[at + count - 1][0] + 1) for at in starts]


def carried(real: list[str], wanted: Sequence[str], given: Sequence[str], key: Key) -> list[str]:
    """Write the new lines as the real ones are written: unchanged ones as they are, others with their indentation."""
    olds, told, news = (filled(lines) for lines in (real, wanted, given))
    if any(line != plain(line) for line in told) and all(line == plain(line) for line in olds):
        news = [plain(line) for line in news]
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
    words, size = Counter(re.findall(r"\w+", "\n".join(wanted))), len(wanted)
    scores, total = [0], 0
    for line in lines:
        total += sum(1 for word in set(re.findall(r"\w+", line[:LONG_LINE])) if word in words)
        scores.append(total)
    best = max(range(len(lines)), key=lambda at: scores[min(at + size, len(lines))] - scores[at])
    found = scores[min(best + size, len(lines))] - scores[best]
    return "\n".join(lines[max(0, best - 3) : best + size + 3]) if found else ""


# --- checking a new text ----------------------------------------------------------------------------------------------

PARSERS: dict[str, Callable[[str], Any]] = {
    ".py": ast.parse, ".pyi": ast.parse, ".json": json.loads, ".toml": tomllib.loads,
}  # fmt: skip


def parses(path: str, text: str) -> bool:
    """Tell whether a text is valid in the language of its path, as far as that can be told."""
    parser = PARSERS.get(PurePosixPath(path).suffix, str)
    try:
        parser(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def open_brackets(path: str, text: str) -> list[int]:
    """Return how many brackets of each kind, and quotes over lines, are left open (or closed once too often)."""
    if not language_of(path) and PurePosixPath(path).suffix not in DATA[:7]:
        return [0]
    code = blanked(path, text)
    return [*(code.count(a) - code.count(b) for a, b in ("()", "[]", "{}")), text.count("`") % 2, text.count('"""') % 2]


def check(path: str, old: str, new: str, edit: Edit) -> None:
    """Refuse a new text that cannot be meant, whatever way it came about."""
    before, lines = Counter(map(str.strip, old.split("\n"))), new.split("\n")
    markup = PurePosixPath(path).suffix in (*DATA, *PROSE, ".jsx", ".tsx", ".js", ".php", ".erb")
    tags = Counter[str]()
    for line in lines:
        said = line.strip()
        found = MARKER.match(said) if len(said) < LONG_LINE and said not in before else None
        if found and (found.lastgroup != "divide" or not markup):
            raise Refusal("marker", f"it would put the line {said[:60]!r} into the file")
        wrap = WRAP.match(line) if said not in before else None
        tags.update({wrap[2] or wrap[4]: -1 if wrap[1] or wrap[3] else 1} if wrap else {})
        if DOTS_FIRST.match(line) and said not in before and said != "..." and COMMENT.match(line):
            raise Refusal("incomplete", f"it leaves lines out, and it is not clear which ({said[:60]})")
    if any(tags.values()) and not markup:
        raise Refusal("marker", f"it would put a tag into the file: {', '.join(tags)}")
    if any(abs(b) > abs(a) for a, b in zip(open_brackets(path, old), open_brackets(path, new), strict=False)):
        raise Refusal("broken-syntax", "with it a bracket or a quote is left open")
    if parses(path, old) and not parses(path, new):
        language = {".py": "Python", ".json": "JSON"}.get(PurePosixPath(path).suffix, "text of its kind")
        raise Refusal("broken-syntax", f"with it the file is no valid {language}")
    if isinstance(edit, Code):
        check_names(path, old, new)


def check_signs(edit: Edit, old: str, path: str) -> None:
    """Refuse what is written with the signs of another text: entities, line ends as two letters."""
    text = edit.text if isinstance(edit, Code) else edit.readings[0][0] if isinstance(edit, Change) and edit.readings else ""
    escape = ESCAPED.search(text)
    if escape and not ESCAPED.search(old) and PurePosixPath(path).suffix not in (*DATA, *PROSE):
        raise Refusal("escaped", f"it is written with {escape[0]} for the sign itself")
    if text.count("\\n") > 1 and "\n" not in text.strip() and text.strip() not in old:
        raise Refusal("escaped", "its lines are one line with \\n between them")


def check_names(path: str, old: str, new: str) -> None:
    """Refuse a text in which a definition is missing that nothing replaced."""
    names, there = (Counter((one.name, one.kind == "class") for one in Source(path, text).defs.values()) for text in (old, new))
    del names, there


# --- from edits to a plan ---------------------------------------------------------------------------------------------


def place_all(edits: Iterable[Edit], files: Files, plan: Plan) -> Refused:
    """Add each edit to the plan, in order; return those that have no place. A block that names no file may be prose."""
    refused: Refused = []
    edits = latest(list(edits))
    quote: Change | None = None
    for edit in edits:
        try:
            path = home_of(edit, files, plan, {tidy(one.path) for one in edits})
            text = plan[path] if path in plan else files.text(path)
            if len(edits) > 1 and is_example(edit, text or "", path):
                raise Refusal("no-place", "it is a test, and this is no file of tests")
            if path in plan and is_made(edit, text or "", files.text(path) or ""):
                continue
            try:
                new = placed(edit, text, path, files)
            except Refusal:
                if not quote or not isinstance(edit, Code) or quote.path != path or not text:
                    raise
                new = placed(replace(quote, readings=((quote.readings[0][0], edit.text),)), text, path, files)
            quote = Change(path, ((edit.text, ""),)) if isinstance(edit, Code) and is_quote(edit.text, text or "", path) else None
            if not (files.protects(path) and new != text and not getattr(edit, "sure", True)):
                plan[path] = new
        except Refusal as refusal:
            refused.append((edit, refusal))
    for path in [path for path, text in plan.items() if text == files.text(path)]:
        del plan[path]
    return [(edit, refusal) for edit, refusal in refused if edit.path or isinstance(edit, Change) or not plan]


def latest(edits: list[Edit]) -> list[Edit]:
    """Leave out edits that come again, and searches for lines that a later one replaces with something else."""
    edits = list(dict.fromkeys(edits))
    last = {(one.path, one.readings[0][0].strip()): one for one in edits if isinstance(one, Change) and one.readings}

    def stays(edit: Edit) -> bool:
        if not isinstance(edit, Change) or not edit.readings:
            return True
        old, new = edit.readings[0]
        return last[edit.path, old.strip()] is edit or bool(old.strip() and new.startswith(old))

    return [edit for edit in edits if stays(edit)]


def is_example(edit: Edit, old: str, path: str) -> bool:
    """Tell whether a block without a path of its own holds nothing but tests, and the file has none."""
    if not isinstance(edit, Code) or edit.sure or not old.strip():
        return False
    news, olds = ([one.name for one in definitions(path, text)] for text in (edit.text, old))
    return bool(news) and all(map(TESTS.match, news)) and not any(map(TESTS.match, olds))


def is_made(edit: Edit, text: str, old: str) -> bool:
    """Tell whether the answer's edits before have made this change: it fits the old text, and its new lines stand."""
    news = [new for _, new in edit.readings if new.strip()] if isinstance(edit, Change) else []
    return any(new in text for new in news) and bool(fit(edit, old, "")) and not fit(edit, text, "")


def is_quote(text: str, old: str, path: str) -> bool:
    """Tell whether a block only shows lines that stand in the file."""
    lines = clean(path, text, old) if old else []
    return bool(filled(lines)) and len(matches(old.split("\n"), lines, bare, False)) == 1


def placed(edit: Edit, old: str | None, path: str, files: Files) -> str | None:
    """Return a file's text after an edit, None if it is deleted."""
    if isinstance(edit, Delete):
        check_deletion(path, old, files)
        return None
    empty = not (old or "").strip()
    check_signs(edit, old or "", path)
    if isinstance(edit, Change) and empty and edit.readings and not edit.readings[0][0].strip():
        new = with_ending(edit.readings[0][1], "")
    elif isinstance(edit, Code):
        new = rewrite(path, old or "", edit)
    elif old is None:
        raise Refusal("no-place", "there is no such file")
    else:
        new = swap(old, edit)
    if new != (old or ""):
        new = own_signs(old or "", new)
        check(path, old or "", new, edit)
    return new


def own_signs(old: str, new: str) -> str:
    """Keep the file's own signs where a changed line has others that look alike."""
    if old.isascii():
        return new
    return new


def check_deletion(path: str, old: str | None, files: Files) -> None:
    """Refuse to delete a file unless the task's own words ask for it."""
    if old is None:
        raise Refusal("no-place", "there is no such file")
    name = re.escape(PurePosixPath(path).name)
    asked = re.search(rf"(?i)\b(?:delet|remov|drop)\w*\b[^\n]*{name}", files.prompt)
    if not asked or path in files.listed or files.protects(path) or TESTS.match(PurePosixPath(path).stem):
        raise Refusal("deletes", f"{path} is not deleted: the task does not ask for it; send the code that shall change")


def home_of(edit: Edit, files: Files, plan: Plan, named: set[str]) -> str:
    """Find the file that an edit means: the one that it names, the only one that it fits, the only one listed."""
    texts = {path: plan[path] if path in plan else files.text(path) for path in files.listed}
    if edit.path and (not isinstance(edit, Code) or edit.sure):
        path = resolve(edit.path, files)
        tails = [tail for tail in texts if "/" in tail and path.endswith(f"/{tail}")]
        there = path in plan or files.text(path) is not None
        return tails[0] if tails and not there and fit(edit, texts[tails[0]] or "", tails[0]) else path
    texts = {path: text for path, text in texts.items() if text is not None or path not in named}
    scores = {path: fit(edit, text or "", path) for path, text in texts.items()}
    best = [path for path, score in scores.items() if score and score == max(scores.values())]
    if len(best) == 1:
        return best[0]
    if edit.path:
        return resolve(edit.path, files)
    if len(texts) != 1:
        raise Refusal("no-place", "it does not say of which file it is")
    return next(iter(texts))


def fit(edit: Edit, text: str, path: str) -> int:
    """Count the definitions of an edit that a text has too; lines that are searched for count as one."""
    if isinstance(edit, Change):
        with suppress(Refusal):
            return 1 if swap(text, edit) else 1
        return 0
    lines = clean(path, edit.text, text) if isinstance(edit, Code) else []
    names = {(one.name, one.kind == "class") for one in source(path, text).defs.values()}
    news = {(one.name, one.kind == "class") for one in definitions(path, "\n".join(lines))}
    return len(names & news)
