"""Edits of real source files (the standard library) land where they belong, or are refused: never elsewhere."""

from __future__ import annotations

import random
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support import answers, edits

STDLIB = Path(sysconfig.get_path("stdlib"))
MODULES = [
    "argparse",
    "bisect",
    "calendar",
    "configparser",
    "csv",
    "dataclasses",
    "difflib",
    "fractions",
    "ftplib",
    "gettext",
    "heapq",
    "http/client",
    "http/cookies",
    "json/decoder",
    "json/encoder",
    "mailbox",
    "netrc",
    "optparse",
    "plistlib",
    "queue",
    "shlex",
    "smtplib",
    "string",
    "tarfile",
    "textwrap",
    "threading",
    "urllib/parse",
    "xml/dom/minidom",
    "zipfile",
]
PLANTED = "PLANTED = 1"


def source(name: str) -> str | None:
    """Read a module, if this Python has it as one file; blank lines hold nothing."""
    path = STDLIB / f"{name}.py"
    if not path.is_file():
        return None
    return "\n".join(line if line.strip() else "" for line in path.read_text(encoding="utf-8").split("\n"))


def tally(name: str, edit: Callable[[str, random.Random], tuple[str, Callable[[], str]]], count: int) -> Counter[str]:
    """Try edits of one module; each gives the text that is wanted and a way to get it."""
    text, chance, found = source(name), random.Random(name), Counter[str]()
    for _ in range(count if text else 0):
        wanted, attempt = edit(text or "", chance)
        try:
            found["right" if attempt() == wanted else "wrong"] += 1
        except answers.Refusal:
            found["refused"] += 1
    return found


def one_definition(text: str, chance: random.Random) -> tuple[str, Callable[[], str]]:
    """Send one definition alone, with a line more, as it stands or moved to the left margin."""
    lines = text.split("\n")
    tree = edits.source("x.py", text)
    members = [item for box in tree.tops if box.kind == "class" for item in tree.items(*tree.inner(box))]
    item = chance.choice([item for item in [*tree.tops, *members] if item.kind == "function"])
    more = "    " + answers.margin(lines[item.line]) + PLANTED
    body = [*lines[item.line : item.end], more]
    sent = "\n".join(chance.choice((list, answers.dedent))(body))
    wanted = "\n".join([*lines[: item.end], more, *lines[item.end :]])
    return wanted, lambda: edits.rewrite("x.py", text, answers.Code("x.py", sent))


def places(lines: list[str], wanted: list[str]) -> int:
    return sum(lines[at : at + len(wanted)] == wanted for at in range(len(lines)))


SLIPS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: "\n".join(answers.dedent(text.split("\n"))),
    lambda text: "\n".join(line + "  " for line in text.split("\n")),
    lambda text: "\n".join("    " + line for line in text.split("\n")),
    lambda text: text.replace("    ", "\t"),
    lambda text: text.replace('"', "\u201d").replace("'", "\u2019"),
    lambda text: "\n".join(line for line in text.split("\n") if line),
    lambda text: "\n" + text + "\n",
    lambda text: text.replace("    ", "  "),
)


def some_lines(text: str, chance: random.Random) -> tuple[str, Callable[[], str]]:
    """Search for a few lines with one of the usual slips, and put a line after the last of them."""
    lines = text.split("\n")
    bare = [line.strip() for line in lines]
    starts = [at for at in range(len(lines) - 6) if bare[at] and bare[at + 3]]
    start = next(at for at in chance.sample(starts, len(starts)) if places(bare, bare[at : at + 4]) == 1)
    old = lines[start : start + 4]
    more = answers.margin(old[-1]) + PLANTED
    slip = chance.choice(SLIPS)
    readings = ((slip("\n".join(old)), slip("\n".join([*old, more]))),)
    wanted = "\n".join([*lines[: start + 4], more, *lines[start + 4 :]])
    return wanted, lambda: edits.swap(text, answers.Change("x.py", readings))


def deeper_lines(text: str, chance: random.Random) -> tuple[str, Callable[[], str]]:
    """Search for one line with one of the usual slips, and put it below a new one, a step deeper."""
    lines = text.split("\n")
    bare = [line.strip() for line in lines]
    start = chance.choice([at for at, line in enumerate(bare) if len(line) > 8 and bare.count(line) == 1])
    head = answers.margin(lines[start])
    new = [head + "if PLANTED:", "    " + lines[start], head + "else:", "    " + head + "pass"]
    slip = chance.choice(SLIPS[:-1])  # steps of two blanks in one line tell nothing of the file's own
    readings = ((slip(lines[start]), slip("\n".join(new))),)
    return "\n".join([*lines[:start], *new, *lines[start + 1 :]]), lambda: edits.swap(
        text, answers.Change("x.py", readings)
    )


EDITS = {"definition": (one_definition, 0.75), "lines": (some_lines, 0.9), "deeper": (deeper_lines, 0.9)}


@pytest.mark.heavy
@pytest.mark.parametrize(("edit", "share"), EDITS.values(), ids=EDITS)
def test_edits_of_real_sources(edit: Callable[..., tuple[str, Callable[[], str]]], share: float) -> None:
    total = sum((tally(name, edit, 12) for name in MODULES), Counter[str]())
    assert total["wrong"] == 0, total
    assert total["right"] >= share * total.total() > 100, total
