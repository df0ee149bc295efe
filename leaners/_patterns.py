"""Patterns: the tables that hold them, and which paths they cover, for the loop and for direct alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import cache
from itertools import groupby


def read_table(text: str) -> dict[str, dict[str, list[str]]]:
    """Read a table: its rows, their fields, the lines of each; `@name` is that field of the row "shared"."""
    table: dict[str, dict[str, list[str]]] = {}

    def expand(pattern: str) -> Sequence[str]:
        shared = table.get("shared", {})
        if pattern[:1] == "@" and pattern[1:] in shared:
            return shared[pattern[1:]]
        return [re.sub(r"@([a-z]+)", lambda part: "|".join(shared.get(part[1], [part[0]])), pattern)]

    for line in text.splitlines():
        if line and line[0] not in " #":
            row = table[line] = dict[str, list[str]]()
        elif line.strip() and line[0] != "#":
            key, pattern = line.split(maxsplit=1)
            row.setdefault(key, []).extend(expand(pattern))
    return table


def path_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Make the question whether PATTERNS cover a path; the last that fits decides, `!` excepts.

    `name` is a last part, `folder/` lies at any depth, others begin at the root.
    """
    groups = groupby(patterns, lambda pattern: pattern.startswith("!"))
    rules = [(any_pattern(*(item.removeprefix("!") for item in group)), not excepts) for excepts, group in groups]
    return lambda path: next((verdict for fits, verdict in reversed(rules) if fits(path)), False)


@cache  # compiling them takes milliseconds, and a run asks many times
def any_pattern(*patterns: str) -> Callable[[str], object]:
    """Make the question whether one of PATTERNS fits a path."""
    names = [pattern for pattern in patterns if "/" not in pattern]
    paths = [rooted(pattern) for pattern in patterns if "/" in pattern]
    name, path = (re.compile("|".join(map(translate, found)) or "(?!)").match for found in (names, paths))
    return lambda at: name(at.rpartition("/")[2]) or path(f"/{at}")


def rooted(pattern: str) -> str:
    """Spell a pattern of whole paths so that it begins at the root, which is `/`."""
    anywhere = pattern.endswith("/") and not pattern.startswith("/")
    return ("*/" if anywhere else "/") + pattern.lstrip("/") + "*" * pattern.endswith("/")
