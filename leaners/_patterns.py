"""Patterns: the tables that hold them, and which paths they cover, for the loop and for direct alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
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
    """Make the question whether PATTERNS cover a path, as those of .gitignore do; the last that fits decides.

    `name` is a last part alone, though; `folder/` lies at any depth, others begin at the root. `!` excepts.
    """
    groups = groupby(patterns, lambda pattern: pattern.startswith("!"))
    rules = [(any_pattern(*(item.removeprefix("!") for item in group)), not excepts) for excepts, group in groups]
    return lambda path: next((verdict for fits, verdict in reversed(rules) if fits(path)), False)


@cache  # compiling them takes milliseconds, and a run asks many times
def any_pattern(*patterns: str) -> Callable[[str], object]:
    """Make the question whether one of PATTERNS fits a path."""
    fits = re.compile("|".join(map(expression, patterns)) or "(?!)").fullmatch
    return lambda at: fits(f"/{at}")


# The signs of a pattern, and what each stands for; `[` begins a class of characters, `\` takes a sign as it is.
SIGNS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
SIGN = re.compile(rf"({'|'.join(map(re.escape, SIGNS))})|\[(!?)(\]?[^]]+)\]|\\?(.)", re.DOTALL)


def expression(pattern: str) -> str:
    """Write a pattern as a regular expression of paths below the root, which is `/`."""
    pattern = pattern.removeprefix(".") if pattern.startswith("./") else pattern
    place, is_name = pattern.rstrip("/"), "/" not in pattern.rstrip("/")
    below = "/.*" if place != pattern else "" if is_name else "(?:/.*)?"
    anywhere = is_name or (below == "/.*" and place[0] != "/")
    return f"/{'(?:.*/)?' * anywhere}{signs(place.lstrip('/'))}{below}"


def signs(pattern: str) -> str:
    """Write the signs of a pattern as those of regular expressions."""

    def spelled(found: re.Match[str]) -> str:
        sign, others, inside, plain = found.groups()
        if inside:
            return "[" + "^/" * bool(others) + re.sub(r"([]\\^[])", r"\\\1", inside) + "]"
        return SIGNS.get(sign) or re.escape(plain)

    return f"(?s:{SIGN.sub(spelled, pattern)})"
