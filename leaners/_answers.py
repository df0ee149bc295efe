"""Read what a model's answer says: the edits that it means. Pure: nothing is read, nothing written.

    answer -> without thoughts -> blocks, each with its path -> edits; a block's lines -> as their file writes its own

A block holds a file or some of its definitions, SEARCH/REPLACE pairs, or a diff. `_edits.py` puts edits into texts.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Protocol

from _definitions import blanked, language_of, tagged_language, width_of

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


Edit = Code | Change | Delete
Plan = dict[str, str | None]
Refused = list[tuple[Edit, Refusal]]


class Files(Protocol):
    """What is known of a project: the task's files, the prompt that shows them, and the text of any file."""

    @property
    def listed(self) -> Sequence[str]:
        """Return the paths of the task's files."""

    @property
    def prompt(self) -> str:
        """Return what the model was asked."""

    @property
    def root(self) -> str:
        """Return the absolute path of the project, empty if there is none."""

    def text(self, path: str) -> str | None:
        """Return a file's text with plain newlines, None if there is none."""

    def protects(self, path: str) -> bool:
        """Tell whether a file may be read only."""


# --- what a model said ------------------------------------------------------------------------------------------------

LONG_LINE = 300  # no path, header or comment that means something is longer; patterns stay fast on minified text
MARK = re.compile(r"(?i)[<\[◁]([|/\w:▁]{2,40})[>\]▷](?:[ \t]*(thought|analysis|final)\b)?")
THINKS = re.compile(r"(?i)think|thought|reason|analy|reflect|scratch|channel")
DRAFT = re.compile(
    r"\A\s*(?:[\w',]+[.:!]?\s+){0,4}?[<\[](\w+)[>\]]\s*\n(.*?)^\s*[<\[]/\1[>\]]", re.DOTALL | re.MULTILINE
)
TEMPLATE = re.compile(r"(?<![\"'`\w])<[|｜][\w▁ ]+[|｜]?>(?:assistant$)?|</s>\s*\Z", re.MULTILINE)
TOOL_CALL = re.compile(
    r"<tool_call>|<function=|<write_to_file>|<invoke |\{\s*\"(?:name|tool|function)\"\s*:\s*\"\w+\"\s*,\s*\"[ap]a?r"
    r"|\{\s*\"(?:file_?(?:path|name)?|path)\"\s*:\s*\"[^\"\n]+\"\s*,\s*\"(?:content|search|old|code|edits|changes)"
)
SHELL = {".sh", ".bash", ".zsh", ".ksh", ".fish", ".ps1", ".bat", ".cmd", "#!"}  # endings, and how scripts begin
NOT_CODE = re.compile(r"[{.]*(?:bash|sh|shell|zsh|console|powershell|cmd|terminal|(?P<text>text|txt|output|log))\b")


def spoken(answer: str) -> str:
    """Drop what a model only thought, and the marks of its chat template."""
    text = answer.replace("\r\n", "\n").lstrip("\ufeff")
    begin, end, fences = 0, len(text), [found.start() for found in re.finditer(r"(?m)^ *```", text)]
    for found in MARK.finditer(text):
        within = bisect_left(fences, found.start()) % 2 == 1
        if THINKS.search(found[0]) and not is_quoted(text, found, within):
            closes = re.search(r"(?i)/|end|^\w+\|$", found[1]) or (found[2] or "").lower() == "final"
            begin, end = (found.end(), len(text)) if closes else (begin, max(begin, min(end, found.start())))
    text = text[begin:end]
    draft = DRAFT.match(text)
    if draft and holds_edit(draft[2]) and holds_edit(text[draft.end() :]):
        text = text[draft.end() :]
    return re.sub(r"(?<=[^\s`])```\s*\Z", "\n```", TEMPLATE.sub("", text))  # a last fence on the last line of code


def is_quoted(text: str, found: re.Match[str], within: bool) -> bool:
    """Tell whether a mark of thinking belongs to code: it stands in quotes, or WITHIN a block beside other words."""
    before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    return before[-1:] in tuple("\"'`=(\\") or (within and bool(before.strip()))


def holds_edit(text: str) -> bool:
    """Tell whether a text holds a block that may be an edit."""
    fences = re.findall(r"(?m)^[ \t]*```[ \t]*(\S.*)", text)
    return any(not NOT_CODE.match(info) for info in fences) or bool(re.search(r"(?m)^<{5,9} ?\w", text))


# --- paths ------------------------------------------------------------------------------------------------------------

LINK = re.compile(r"\[(.*)\]\(\1\)|\[([^\]]*)\]\([^)]*\)")
DRESS = (  # what may stand around a path: the signs of headings, lists and comments, pairs of marks, a note, a label
    re.compile(
        r"(?:#{1,6}|>+|[-*+•\u2600-\u27bf\U0001f000-\U0001faff]\ufe0f?|\d+[.)]|//+|/\*+|<!--+|;+|%+|=+>?|-{2,}|!)\s+(.*)"
    ),
    re.compile(r"(?:\*\*|__?|[*`\"'“‘]|`{2,})([^`\"*]+?)(?:\*\*|__?|[*`\"'”’]|`{2,})"),
    re.compile(r"(.*\S)(?:\s+[(\[][^()\[\]]*[)\]]|:\d+(?:-\d+)?|\s+(?:\*+/|--+>|=+|<=+|-{2,}|#+)|[:.,])"),
    re.compile(
        r"(?i)(?:(?:updated?|modif(?:y|ied)|new|changed?|fixed|complete|full|edit(?:ed)?|create[ds]?|path"
        r"|file(?:s|name|path)?|code|for|in|the|to)\b[ :*=]+)+(\S.*)"
    ),
)
PART = r"[^\s`*?\"<>|:/\\]"
PATH = re.compile(rf"(?:[A-Za-z]:(?=[/\\]))?(?:[/\\~]|{PART}+[/\\])*(?:(?<=[/\\]){PART}+|{PART}*\.[A-Za-z][\w-]*\]?)")
BARE_NAME = re.compile(r"[A-Z][A-Za-z]*file|[A-Z]{4,}")  # names that need no ending
MENTION = re.compile(r"`([^`\n]+)`|([^\s`*\"'(),:;]*[^\s`*\"'(),:;.])")
UNREAD = "?"  # what marks a name that may be a path or none
Known = Callable[[str], bool]


def heading(line: str, known: Known) -> str:
    """Return the path that a line names, with nothing else of weight; "" where it is a sentence or nothing."""
    said = LINK.sub(r"\1\2", line).replace("**", "").strip() if len(line) < LONG_LINE else ""
    while said and not known(said):
        shorter = next((found[1].strip() for dress in DRESS if (found := dress.fullmatch(said))), "")
        if not shorter:
            is_label = said.isupper() and line.rstrip("* ").endswith(":")
            return tidy(said) + UNREAD * is_label if is_path(said, known) else ""
        said = shorter
    return tidy(said)


def is_path(said: str, known: Known) -> bool:
    """Tell whether words are a path: one word of that form, or a few in lower case with a folder and an ending."""
    first, *words = said.split(" ")
    if "://" in said:
        return False
    if not words:
        return bool(PATH.fullmatch(said) or BARE_NAME.fullmatch(said))
    plain = len(words) < 4 and first.islower() and not re.search(r"[`*:<>|]|, ", said)
    return plain and bool(re.search(r"/.*\.\w+$", words[-1])) and not known(words[-1])


def mentioned(line: str, known: Known) -> str:
    """Return the one path that a sentence mentions: of a file that is there, else a new one in a folder or in ticks."""
    found = [(tidy(name[1] or name[2]), bool(name[1])) for name in MENTION.finditer(line[:LONG_LINE])]
    found = [(name, ticked) for name, ticked in found if names_file(name, ticked) and "://" not in name]
    paths, ends = {name for name, _ in found}, line.rstrip().endswith(":")
    new = {name for name, ticked in found if re.search(r"/.*\.\w+$" if not (ticked and ends) else r"\.\w+$", name)}
    likely = {name for name in paths if known(name)} or new
    return likely.pop() if len(likely) == 1 else UNREAD if paths and not likely else ""


def names_file(name: str, ticked: bool) -> bool:
    """Tell whether a word of a sentence may be a path; one in ticks may hold blanks, or need no ending."""
    bare_path = ticked and (BARE_NAME.fullmatch(name) or re.search(r"[\w)\]]\.\w{1,9}$", name))
    return bool(PATH.fullmatch(name) or bare_path)


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


@lru_cache(4)
def headings_of(prompt: str) -> tuple[str, ...]:
    """List the paths that stand above the fenced blocks of a prompt."""
    lines = prompt.split("\n")
    heads = (heading(above, lambda name: False) for above, line in pairwise(lines) if line.startswith("```"))
    return tuple(dict.fromkeys(filter(None, heads)))


def shown(prompt: str, files: Files) -> list[str]:
    """List the files that a prompt shows, as far as they are there."""
    found = []
    for name in headings_of(prompt):
        with suppress(Refusal):
            path = resolve(name, files)
            found += [path] if files.text(path) is not None else []
    return found


def repeats(answer: str, prompt: str) -> bool:
    """Tell whether an answer says again what a prompt says beside the code that it shows."""
    told = {*map(str.strip, re.sub(r"(?ms)^(`{3,}).*?^\1", "", prompt).split("\n"))} - {""}
    return len(told) > 2 and len(told & {*map(str.strip, answer.split("\n"))}) >= 0.8 * len(told)


# --- reading an answer: text -> edits ---------------------------------------------------------------------------------

FENCE = re.compile(r"^(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
NOTE = r"(?:#|//|--(?!-)|;|%|/\*|<!--)"
MARKER = re.compile(
    rf"^\s*(?:{NOTE}\s*)?(?:(?:[<‹«＜]{{5,9}}|-{{5,9}}(?= ?(?i:SEARCH|ORIGINAL|OLD)))(?P<head>.*?)"
    r"|(?P<divide>[=＝]{5,9} ?(?i:REPLACE|WITH|UPDATED|NEW)?:?)"
    r"|(?P<tail>[>›»＞]{5,9}.*?|\+{5,9} ?(?i:REPLACE)\b.*?))\s*(?:\*/|-->)?\s*$"
)
DIFF_LINE = re.compile(
    r"@@(?: -(?P<at>\d+)| |$)|(?P<kind>--- |\+\+\+ |\*\*\* (?:Update|Add|Delete) File:) *(?P<path>[^\t]*)"
    r"|(?P<moved>\*\*\* Move to: |rename from )|diff --git |\*\*\* "
)
PATCHED = re.compile(r"@@(?= |$)|\*\*\* (?P<file>\w+ File:)")  # what tells a diff from prose


@dataclass(frozen=True)
class Block:
    """A fenced block, or lines that stand like one: what is said above it and what it holds."""

    above: Sequence[str]
    info: str = ""
    lines: Sequence[str] = ()
    closed: bool = True


class Reader:
    """Reads answers about some files; `own` are the marker-like lines that the files have themselves."""

    def __init__(self, files: Files) -> None:
        self.files = files
        texts = [files.text(path) or "" for path in files.listed]
        self.own = {line.strip() for text in texts for line in text.split("\n") if MARKER.match(line[:LONG_LINE])}
        self.known = lru_cache(maxsize=1024)(self.is_known)
        self.ends = {PurePosixPath(path).suffix for path in files.listed} | {text[:2] for text in texts}

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

    def read(self, answer: str) -> list[Edit]:
        """Read the edits that an answer holds."""
        edits: list[Edit] = []
        path, said = "", spoken(answer)
        for block in self.blocks(said):
            name, sure, lines = self.path_of(block)
            edits += self.edits(replace(block, lines=lines), name, path, sure)
            path = name if sure else path
        return edits

    def blocks(self, text: str) -> Iterator[Block]:
        """Cut an answer into fenced blocks, SEARCH/REPLACE blocks and diffs, each with its prose."""
        lines, above, at = text.split("\n"), list[str](), 0
        marks = {at: kind for at, line in enumerate(lines) if (kind := self.marker(line))}
        while at < len(lines):
            line, end, block = lines[at], at + 1, None
            if fence := FENCE.match(line):
                end, closed = self.fence_end(lines, at, fence, marks)
                inside = dedent(lines[at + 1 : end]) if fence["indent"] else lines[at + 1 : end]
                block = Block(above, fence["info"].strip(), inside, closed)
                end += closed
            elif marks.get(at) == "head":
                end = next((i + 1 for i in range(at, len(lines)) if marks.get(i) == "tail"), len(lines))
                block = Block(above, "", lines[at:end])
            elif DIFF_LINE.match(line) and any(map(PATCHED.match, lines[at : at + 5])):
                end = next((i for i in range(at, len(lines)) if lines[i][:1] not in tuple("+-@* di\\")), len(lines))
                block = Block(above, "diff", lines[at:end])
            else:
                above.append(line)
            if block:
                yield block
            at, above = end, [] if block else above

    def fence_end(
        self, lines: Sequence[str], at: int, fence: re.Match[str], marks: Mapping[int, str]
    ) -> tuple[int, bool]:
        """Find the line that ends a fenced block, and whether it is a fence; SEARCH blocks stay whole, fences nest."""
        depth, last = 0, next(i for i in range(len(lines) - 1, -1, -1) if lines[i].strip())
        prose = re.match(r"(?i)\s*(?:md|markdown)\b", fence["info"]) or re.search(r"\.md\W*$", lines[at - 1][-99:])
        for i, info in inner_fences(lines, at, fence, marks):
            after = lines[i + 1].strip() if i + 1 < len(lines) else ""
            if info and i < last:
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
        said = filled(block.above)[-3:][::-1]
        heads = [heading(line, self.known) for line in said]
        if len({PurePosixPath(head).name for head in heads[:2]} - {""}) > 1:
            heads = []  # a list of paths belongs to the whole answer
        words = [word for word in re.split(r"[\s:{}=,\"`]+", block.info) if PATH.fullmatch(word)][-1:]
        first, *rest = trimmed([*block.lines]) or [""]
        noted = re.match(rf"\s*{NOTE}(?!!)", first) or any(self.marker(line) == "head" for line in rest[:3])
        within = heading(first, self.known) if noted else ""
        found = [name for name in (*words, *heads, within) if name]
        if not found:
            word = said and re.fullmatch(r"[\s#*`]*[\w.$@+-]+[\s#*`]*", said[0]) and block.lines
            name = UNREAD if word else mentioned(said[0], self.known) if said else ""
            return name, False, block.lines
        path = tidy(found[0])
        return path, not BARE_NAME.fullmatch(path.rstrip(UNREAD)) or self.known(path), rest if within else block.lines

    def edits(self, block: Block, name: str, last: str, sure: bool) -> Iterable[Edit]:
        """Turn one block into edits by the form of what it holds."""
        lines, path = block.lines, name if sure or self.known(name) else last
        text = "\n".join(lines)
        if any(self.marker(line) == "head" for line in lines):
            return self.changes(block, path)
        if is_diff(block.info.lower(), lines):
            if not block.closed and filled(lines)[-1].startswith("-"):
                raise Refusal("incomplete", f"The answer is cut off within a diff of {path or 'a file'}.")
            return diff_edits(lines, path)
        only_said = not sure and (self.is_aside(block.info.lower(), last) or TOOL_CALL.search(text))
        return [] if only_said or not (text or block.info) else [Code(name, text, sure, block.closed)]

    def is_aside(self, info: str, last: str) -> bool:
        """Tell whether a block without a path, as its INFO has it, is no code of the files: a command, an example."""
        if found := NOT_CODE.match(info):
            return self.ends.isdisjoint({".txt", ".log", ".out"} if found["text"] else SHELL)
        paths = [*self.files.listed, *shown(self.files.prompt, self.files), *[last][: bool(last)]]
        tagged = tagged_language(re.split(r"[^\w+#]", info)[0])
        return bool(tagged and paths) and tagged not in map(language_of, paths)

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
        cuts = [i for i, line in enumerate(body) if self.marker(line) == "divide"]
        halves = [(body[:cut], body[cut + 1 :]) for cut in reversed(cuts)]
        if len(cuts) > 1 and not any(map(str.strip, body[cuts[-1] + 1 :])):  # a second divider before the last marker
            halves.insert(0, (body[: cuts[0]], body[cuts[0] + 1 : cuts[-1]]))
        return tuple(("\n".join(old), "\n".join(new)) for old, new in halves)


def inner_fences(
    lines: Sequence[str], at: int, fence: re.Match[str], marks: Mapping[int, str]
) -> Iterator[tuple[int, str]]:
    """Give the fences below one that may end it, with their info: of its sign, no deeper, in no SEARCH block."""
    searching, deep = False, len(fence["indent"].expandtabs(4))
    last_tail = max((i for i, kind in marks.items() if kind == "tail"), default=0)
    for i in range(at + 1, len(lines)):
        kind, inner = marks.get(i), FENCE.match(lines[i])
        searching = i < last_tail if kind == "head" else searching and kind != "tail"
        fits = inner and inner["ticks"].startswith(fence["ticks"]) and len(inner["indent"].expandtabs(4)) <= deep
        if inner and fits and not searching:
            yield i, inner["info"].strip()


def latest(edits: list[Edit]) -> list[Edit]:
    """Leave out searches for lines that a later one replaces with something else."""
    found: dict[object, Edit] = {}
    for edit in edits:
        old, new = edit.readings[0] if isinstance(edit, Change) and edit.readings else ("", "")
        found[(edit.path, old.strip()) if old.strip() and not new.startswith(old) else edit] = edit
    return [*found.values()]


def is_diff(info: str, lines: Sequence[str]) -> bool:
    """Tell whether lines are a diff, as their block's INFO, their marks or their signs say."""
    signs, marks = {line[:1] for line in lines}, [*filter(None, map(PATCHED.match, lines))]
    told = bool(marks) or info.startswith(("diff", "patch")) or {"+", "-"} <= signs <= {"+", "-", " ", ""}
    return any(mark["file"] for mark in marks) or (told and not signs.isdisjoint("+-"))


def diff_edits(lines: Sequence[str], path: str) -> Iterator[Edit]:
    """Turn a diff into changes: context and minus lines are found, context and plus lines put there."""
    hunk, at, new_file, gone = list[str](), 0, False, False
    for line in [*lines, "@@"]:
        mark = DIFF_LINE.match(line)
        if not mark:
            hunk += [line] if not line.startswith("\\ No newline") else []
            continue
        if mark["moved"]:
            raise Refusal("no-edit", f"The answer moves {path or 'a file'} by patch: send the new file whole instead.")
        yield from () if gone else hunk_edit(hunk, path, at, new_file)
        hunk, at = [], int(mark["at"] or 0)
        if kind := mark["kind"]:
            name = tidy(mark["path"]) if kind[0] == "*" else re.sub(r"^[ab]/", "", tidy(mark["path"]))
            nowhere = name == "/dev/null"
            new_file = new_file if kind[0] == "+" else nowhere or "Add" in kind
            gone = "Delete" in kind or (nowhere and kind[0] == "+")
            path = path if nowhere else name
            yield from [Delete(path)] if gone else []


def hunk_edit(hunk: list[str], path: str, at: int, new_file: bool) -> Iterator[Edit]:
    """Turn the lines of one hunk into an edit; a hunk that changes nothing gives none."""
    old = "\n".join(line[1:] if line[:1] in ("-", " ") else line for line in hunk if line[:1] != "+")
    new = "\n".join(line[1:] if line[:1] in ("+", " ") else line for line in hunk if line[:1] != "-")
    if old != new:
        yield Code(path, new) if new_file else Change(path, ((old, new),), at)


# --- lines as the file writes its own ---------------------------------------------------------------------------------

LOOKS = {
    **dict.fromkeys(map(ord, "“”„‟″"), '"'),
    **dict.fromkeys(map(ord, "‘’‚‛′"), "'"),
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE63, 0xFF0D], "-"),
    **dict.fromkeys([0xA0, *range(0x2002, 0x200B), 0x202F, 0x205F, 0x3000], " "),
}
NUMBERED = re.compile(r"^\s*(\d+)(?:\s*[|:│→]|\t|(?= )|$)")
WRAP = re.compile(r"\s*(?:<(?P<end>/?)(?P<tag>[A-Za-z][\w-]*)(?: [^<>]*)?>|\[(?P<shut>/?)(?P<word>[A-Z]+)\])\s*")


def margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def first_line(text: str, limit: int = LONG_LINE) -> str:
    return next((" ".join(line.split())[:limit] for line in text.split("\n") if line.strip()), "")


def filled(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def dedent(lines: Sequence[str]) -> list[str]:
    """Take off the indentation that all lines share."""
    width = min((len(margin(line)) for line in lines if line.strip()), default=0)
    return [line[width:] for line in lines]


def trimmed(lines: list[str]) -> list[str]:
    rows = [at for at, line in enumerate(lines) if line.strip()]
    return lines[rows[0] : rows[-1] + 1] if rows else []


def plain(text: str) -> str:
    """Write signs that look alike as the one of them that keyboards have."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(LOOKS)


def in_keyboard_signs(path: str, text: str) -> str:
    """Write a file's code in the signs that keyboards have; what stands in quotes and comments keeps its own."""
    pairs = zip(text, blanked(path, text), strict=True)
    return "".join(LOOKS.get(ord(sign), sign) if sign == code else sign for sign, code in pairs)


def own_signs(old: str, new: str) -> str:
    """Keep the file's own signs where a changed line has others that look alike."""
    olds, news = old.split("\n"), new.split("\n")
    if old.isascii() and new.isascii():
        return new
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, olds, news, False).get_opcodes():
        for at, other in zip(range(j1, j2), range(i1, i2), strict=False) if tag == "replace" else ():
            a, b = clusters(olds[other]), clusters(news[at])
            for block in difflib.SequenceMatcher(None, [*map(plain, a)], [*map(plain, b)], False).get_matching_blocks():
                b[block.b : block.b + block.size] = a[block.a : block.a + block.size]
            news[at] = "".join(b)
    return "\n".join(news)


def clusters(line: str) -> list[str]:
    """Cut a line into signs, each with its combining marks."""
    return re.findall(r".[\u0300-\u036f]*", line)


def bare(line: str) -> str:
    return plain(line).strip()


def straight(line: str) -> str:
    return plain(line).rstrip()


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


def clean(text: str, old: str) -> list[str]:
    """Take off what a block has too much: line numbers, tags around it, indentation, blank ends, other quotes."""
    lines = trimmed(in_style(unnumbered(text.split("\n"), old), old))
    real = set(map(bare, old.split("\n")))
    for _ in range(4):
        if len(lines) < 2:
            break
        first, last = (bool(WRAP.fullmatch(line)) and bare(line) not in real for line in (lines[0], lines[-1]))
        lines = trimmed(lines[first : len(lines) - last])
    if len(lines) > 1 and width_of(lines[1]) and lines[0].startswith("<?"):
        lines = lines[1:]  # the opening tag of PHP
    told = [width_of(line) for line in filled(lines[1:])]
    heads = [width_of(line) for line in lines[1:] if re.match(r"\s*(?:(?:async )?def |class |@)", line)]
    if told and not width_of(lines[0]) and 0 < min(told) < told[0] and min(told) in heads:
        lines[0] = " " * min(told) + lines[0]  # the first line alone lost its indentation
    lines = dedent(lines) if old.strip() and not width_of(old.lstrip("\n")) else lines
    return [line.rstrip() for line in lines]
