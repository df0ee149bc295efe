"""Whether anything in a project has changed since the last snapshot, told without git.

The loop loads this file for every run. A look reads what changes with every change of a file, as git does, and of all
that git would look at. It saves the start of two processes where nothing has changed, as is so before most calls.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from leanloop import GENERATED

MANY = 2_000  # files that git looks at sooner
YOUNG, COARSE = 20_000_000, 2_000_000_000  # ns: an older file shows each change, by a clock of ticks or of seconds
SECOND = 1_000_000_000
Stamp = tuple[int, ...] | None
Seen = dict[str, Stamp]


@dataclass
class Watch:
    """What is looked at in the project at `root`: not what lies in folders with names of generated ones.

    But for `shown` ones of these, and for `tracked` files in them, which git looks at; nothing is known of them before
    the first listing. It is not `used` where there is too much to look at.
    """

    root: Path
    shown: Set[str]
    used: bool
    tracked: Sequence[str] | None = None

    def note(self, listed: Sequence[str]) -> list[str]:
        """Take a listing of git's with what is recorded, and tags: note what is tracked, give what is not recorded."""
        self.tracked = [row[2:] for row in listed if row[0] != "?" and self.passes_over(row[2:])]
        return [row[2:] for row in listed if row[0] == "?"]

    def passes_over(self, path: str) -> bool:
        """Tell whether PATH lies in a folder that is not looked into."""
        parts = path.split("/")[:-1]
        if not {*GENERATED}.intersection(parts):
            return False
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return any(name in GENERATED and folder not in self.shown for name, folder in zip(parts, above, strict=True))

    def look(self) -> Seen:
        """Read the stamps of all that git would look at; nothing where only git can tell whether that has changed."""
        begun, todo = time.time_ns(), [""]
        found: Seen = {path: stamp(self.root / path) for path in self.tracked or ()}
        with contextlib.suppress(OSError):
            while todo and self.used:
                todo += self.look_into(todo.pop(), found)
                self.used = len(found) <= MANY
            if self.used and not any(is_young(seen, begun) for seen in found.values() if seen):
                return found
        return {}

    def look_into(self, here: str, found: Seen) -> list[str]:
        """Read the stamps of what lies in one folder; give the folders in it that are looked into as well."""
        inner = list[str]()
        with os.scandir(self.root / here) as entries:
            for entry in entries:
                path = f"{here}{entry.name}"
                if not entry.is_dir(follow_symlinks=False):
                    found[path] = facts_of(entry.stat(follow_symlinks=False))
                elif entry.name not in GENERATED or path in self.shown:
                    inner.append(f"{path}/")
                if entry.name == ".git" and here:
                    found[path] = None  # git passes over the repository around it
        return inner


def facts_of(seen: os.stat_result) -> tuple[int, ...]:
    return seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def stamp(path: Path) -> Stamp:
    """Tell what changes with every change of a file or link; nothing where there is none."""
    try:
        seen = path.lstat()
    except OSError:
        return None
    return None if stat.S_ISDIR(seen.st_mode) else facts_of(seen)


def is_young(seen: tuple[int, ...], now: int) -> bool:
    """Tell whether a file might change once more with the stamp that it had when it was SEEN."""
    return max(seen[3:]) > now - (COARSE if seen[4] % SECOND == 0 else YOUNG)
