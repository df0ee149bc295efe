"""Files made of pieces, in forty languages: an answer of some pieces or one method changes those and no other line.

`corpus/pieces` holds the pieces, each with its change as ⟦old⟧⟦new⟧, and classes whose methods are sent one at a time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from support import CORPUS, Memory, answers, applied, edits, parts

HERE = CORPUS / "pieces"
LANGUAGES = {path: parts(body, "====") for path, body in parts((HERE / "pieces.txt").read_text("utf-8"), "@@@@")}
CLASSES = dict(parts((HERE / "classes.txt").read_text("utf-8"), "@@@@"))
CHANGE = re.compile(r"⟦([^⟧]*)⟧⟦([^⟧]*)⟧")
DRAWS = 30


def held(text: str) -> list[str]:
    """List the lines of a text without blank ones; how they are indented is another test's matter."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def assembled(language: list[tuple[str, str]], pieces: list[str], whole: bool = True) -> str:
    """Put pieces into a file, or into what a model would send."""
    told = {kind: body for kind, body in language if kind in ("begin", "end")}
    margin = answers.margin(told["end"]) + "    " if "begin" in told else ""
    inner = "\n".join("\n".join(margin + line if line else "" for line in piece.split("\n")) for piece in pieces)
    heads = [body for kind, body in language if kind == "head"] if whole else []
    return "\n".join(
        [*heads, told.get("begin", "") + inner + ("\n" if "begin" not in told else "") + told.get("end", "")]
    )


def drawn(language: list[tuple[str, str]], chance: random.Random) -> tuple[str, str, str]:
    """Draw a file, what is sent of it, and what it is then."""
    pieces = [body for kind, body in language if kind == "piece"]
    pieces = chance.sample(pieces, chance.randint(2, len(pieces)))
    sent = chance.sample(range(len(pieces)), chance.randint(1, min(3, len(pieces))))
    changed = {at for at in sent if len(sent) == 1 or chance.random() < 0.7}
    new = [CHANGE.sub(r"\2" if at in changed else r"\1", piece) for at, piece in enumerate(pieces)]
    block = "\n".join(new[at] for at in sent)
    if chance.random() < 0.3 and any(kind == "begin" for kind, _ in language):
        block = assembled(language, [new[at] for at in sent], whole=False)
    return assembled(language, [CHANGE.sub(r"\1", piece) for piece in pieces]), block, assembled(language, new)


@pytest.mark.parametrize("path", LANGUAGES)
def test_pieces_take_their_places(path: str) -> None:
    chance = random.Random(path)
    for _ in range(DRAWS):
        old, block, wanted = drawn(LANGUAGES[path], chance)
        head = chance.choice([f"{path}\n", "", "Here is the change:\n\n"])
        plan = applied(f"{head}```\n{block}```\n", Memory({path: old}, (path,), ""))
        assert held(plan.get(path, old) or "") == held(wanted), block


GAPS = (
    "...",
    "... existing code ...",
    "その他は変更なし",
    "sin cambios",
    "[unchanged]",
    "keep the rest",
    "etc.",
    "… (omitted)",
)
NOTES = {
    "# {}": ".py .rb .ex .jl .sh .yaml .toml .pl .r .graphql .tf .ini Makefile",
    "-- {}": ".hs .sql .lua",
    "<!-- {} -->": ".md .html",
    "/* {} */": ".css",
    ";; {}": ".clj",
}
SOURCES = [path for path in LANGUAGES if path != "a.vue"]  # a comment there depends on the section


@pytest.mark.parametrize("path", SOURCES)
def test_pieces_left_out_in_any_words_stay(path: str) -> None:
    chance, language, refused = random.Random(path), LANGUAGES[path], 0
    closed = any(kind == "end" for kind, _ in language)
    note = next((note for note, ends in NOTES.items() if path.endswith(tuple(ends.split()))), "// {}")
    for _ in range(DRAWS):
        pieces = [body for kind, body in language if kind == "piece"]
        pieces = chance.sample(pieces, chance.randint(2, len(pieces)))
        changed = chance.randrange(len(pieces))
        new = [CHANGE.sub(r"\2" if at == changed else r"\1", piece) for at, piece in enumerate(pieces)]
        gap = note.format(chance.choice(GAPS)) + "\n"
        sent = [text if at == changed or chance.random() < 0.3 else gap for at, text in enumerate(new)]
        sent = [text for at, text in enumerate(sent) if not at or text != gap or sent[at - 1] != gap]
        old, wanted = assembled(language, [CHANGE.sub(r"\1", piece) for piece in pieces]), assembled(language, new)
        answer = f"{path}\n```\n{assembled(language, sent, whole=closed or chance.random() < 0.5)}\n```\n"
        try:
            plan = applied(answer, Memory({path: old}, (path,), ""))
        except answers.Refusal:
            refused += 1
        else:
            assert held(plan.get(path, old) or "") == held(wanted), answer
    assert refused <= DRAWS // 10


def methods(path: str, text: str) -> Iterator[Any]:
    """Give the methods of a file's classes, functions of Go, with the class around each."""
    tree = edits.source(path, text)
    for box in tree.tops:
        if box.kind in ("class", "value"):
            yield from ((one, box) for one in tree.items(*tree.inner(box)) if one.kind == "function")
        elif path.endswith(".go") and box.kind == "function":
            yield box, None


def forms(path: str, lines: list[str], one: Any, box: Any, at: int, more: str) -> Iterator[list[str]]:
    """Send a method with a line MORE before line AT: alone, with its comments, in its class, with lines left out."""
    dots = ("# ..." if path.endswith((".py", ".rb", ".ex")) else "// ...",)
    alone, full = ([*lines[first:at], more, *lines[at : one.end]] for first in (one.line, one.top))
    yield alone
    yield answers.dedent(alone)
    yield answers.dedent(full)
    head = one.line + 1 + (lines[one.line + 1].strip() == "{")
    yield [*lines[one.line : head], answers.margin(lines[at]) + dots[0], more, *lines[at : one.end]]
    if box:
        first = box.line + 1 + (lines[box.line + 1] == "{")
        end = [] if path.endswith(".py") else [lines[box.end - 1]]
        gap = answers.margin(lines[one.line]) + dots[0]
        yield [*lines[box.line : first], *full, *end]
        yield [*lines[box.line : first], gap, "", *full, "", gap, *end]


@pytest.mark.parametrize("path", CLASSES)
def test_a_method_takes_its_place(path: str) -> None:
    text = CLASSES[path]
    lines, names = text.split("\n"), [one.name for one, _ in methods(path, text)]
    assert len(names) > 1, names
    for one, box in methods(path, text):
        last = one.end - (0 if path.endswith(".py") else 1)
        body = [at for at in range(one.line + 1, last) if lines[at].strip() not in ("", "{")]
        for sent in forms(path, lines, one, box, body[-1], f"{answers.margin(lines[body[-1]])}LOG;") if body else ():
            wanted = [*lines[: body[-1]], f"{answers.margin(lines[body[-1]])}LOG;", *lines[body[-1] :]]
            answer = "```\n" + "\n".join(sent) + "\n```"
            clear = names.count(one.name) == 1 or (box and sent[0] == lines[box.line])
            try:
                plan = applied(answer, Memory({path: text}, (path,), ""))
            except answers.Refusal:
                assert not clear, sent
            else:
                assert clear and held(plan[path] or "") == held("\n".join(wanted)), sent


def test_pieces_are_of_many_languages() -> None:
    assert len({PurePosixPath(path).suffix for path in (*LANGUAGES, *CLASSES)}) >= 38
