"""What git's trees do not hold of a project: rights and owners, empty folders, FIFOs and the like.

The loop loads this file for every run. It looks at a project before and after each call of an agent, and puts back
what the agent had no reason to change.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from leanloop import GENERATED, is_older, read_json

Rights = tuple[int, int, int]  # mode, with the kind of file in it, and owner and group
Seen = dict[str, Rights]


@dataclass
class Shape:
    """The rights of what lies in the project at `root`, and what is no file; `kept` remembers them across runs.

    `usual` holds the rights of the last look that differ from those of a new file, and of empty folders.
    """

    root: Path
    kept: Path
    usual: Seen = field(default_factory=dict)

    def __post_init__(self) -> None:
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            self.usual = {path: (int(mode), int(owner), int(group)) for path, (mode, owner, group) in
                          read_json(self.kept).items()}  # fmt: skip

    def look(self, mended: Mapping[str, Rights] | None = None) -> Seen:
        """Read the rights of all files and folders; give those that are MENDED their former ones on the way.

        A folder may be locked. A file keeps its run bit: trees hold that.
        """
        found, todo = dict[str, Rights](), [""]
        while todo:
            path = todo.pop()
            with contextlib.suppress(OSError):
                now = rights_of(self.root / path)
                old = (mended or {}).get(path, now)
                if now != old and stat.S_IFMT(now[0]) == stat.S_IFMT(old[0]):
                    now = give(self.root / path, old, keeps_run_bit=stat.S_ISREG(now[0]))
                found[path] = now
                if stat.S_ISDIR(now[0]):
                    with os.scandir(self.root / path) as entries:
                        todo += [f"{path}{entry.name}{'/' * entry.is_dir()}" for entry in entries if is_own(entry)]
        return found

    def remember(self, seen: Seen) -> None:
        """Keep what a look has SEEN that a new file or folder would not have."""
        empty, plain = empty_folders(seen), plain_rights()
        fresh = {path: rights for path, rights in seen.items() if path in empty or rights[:2] not in plain}
        if fresh != self.usual:
            self.usual = fresh
            self.save()

    def save(self) -> None:
        with contextlib.suppress(OSError):
            self.kept.write_text(json.dumps(self.usual))

    def note(self, path: str) -> None:
        """Note the rights of a file that a new one would not have, for what is not looked at as a whole."""
        with contextlib.suppress(OSError):
            rights = rights_of(self.root / path)
            if rights[:2] not in plain_rights():
                self.usual[path] = rights

    def mend(self, before: Seen) -> tuple[Seen, list[str]]:
        """Give all the rights that it had BEFORE, see `look`; remove FIFOs, devices and empty folders that are new.

        Returns what lies there, and names what was removed.
        """
        now = self.look(before)
        odd = [path for path in now if is_odd(now[path]) and not is_odd(before.get(path, now[""]))]
        self.remove([*odd, *(path for path in now.keys() - before.keys() if path.endswith("/"))])
        return now, odd

    def mend_killed(self, begun: float, died: float) -> None:
        """Undo to rights what a call did that had BEGUN then and DIED; remove its FIFOs and empty folders."""
        now = self.look()
        changed = [path for path in now if is_older(self.root / path, died) and not is_older(self.root / path, begun)]
        self.look({path: self.usual[path] for path in changed if path in self.usual})
        self.remove(path for path in changed if path not in self.usual and not stat.S_ISREG(now[path][0]))
        gone = (path for path in self.usual.keys() - now.keys() if folder_of(path) in changed)
        self.bring_back({path: self.usual[path] for path in gone}, now)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove what is no file, and those folders of PATHS in which nothing lies."""
        for path in sorted(paths, reverse=True):
            with contextlib.suppress(OSError):
                if path.endswith("/"):
                    (self.root / path).rmdir()
                else:
                    (self.root / path).unlink()

    def drop_bytecode(self, seen: Seen, since: float) -> None:
        """Remove what was compiled SINCE of the Python files SEEN: Python would take it for them."""
        for folder in {self.root / path.rpartition("/")[0] for path in seen if path.endswith(".py")}:
            for file in (folder / "__pycache__").glob("*.pyc"):
                if not is_older(file, since):
                    file.unlink(missing_ok=True)

    def bring_back(self, before: Seen, now: Seen) -> list[str]:
        """Make folders that were empty BEFORE, and FIFOs, which are gone NOW, anew; name what cannot be made."""
        lost, empty = list[str](), empty_folders(before)
        for path in sorted(before.keys() - now.keys()):
            if path in empty:
                self.make_folder(path)
            elif is_odd(before[path]) and not os.path.lexists(self.root / path):
                if stat.S_ISFIFO(before[path][0]):
                    os.mkfifo(self.root / path)
                    give(self.root / path, before[path])
                else:
                    lost.append(path)
        return lost

    @contextlib.contextmanager
    def writable(self, paths: Sequence[str]) -> Iterator[None]:
        """Let what lies in the folders of PATHS be put back, though these are locked; they have their rights then."""
        above = {self.root / parent for path in paths for parent in Path(path).parents}
        locked = {
            folder: folder.stat().st_mode for folder in above if folder.is_dir() and not os.access(folder, os.W_OK)
        }
        for folder, mode in locked.items():
            with contextlib.suppress(OSError):
                folder.chmod(mode | 0o700)
        yield
        for folder, mode in locked.items():
            with contextlib.suppress(OSError):
                folder.chmod(mode)
        for path in sorted({f"{folder.relative_to(self.root).as_posix()}/" for folder in above} & self.usual.keys()):
            self.make_folder(path)

    def make_folder(self, path: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / path).mkdir(parents=True, exist_ok=True)
            give(self.root / path, self.usual[path])

    def give_usual(self, file: Path, fresh: Path, like: Path | None) -> None:
        """Give the FRESH content of a FILE the rights of what it replaces (LIKE), else those that the file last had."""
        path = file.relative_to(self.root).as_posix()
        with contextlib.suppress(OSError):
            if old := rights_of(like) if like else self.usual.get(path):
                give(fresh, old, keeps_run_bit=True)
            if like and hasattr(os, "listxattr"):
                for name in os.listxattr(like):
                    os.setxattr(fresh, name, os.getxattr(like, name))


@cache
def plain_rights() -> set[tuple[int, int]]:
    """List the modes and the owner that a new file, program or folder has."""
    mask = os.umask(0)
    os.umask(mask)
    own = os.getuid() if hasattr(os, "getuid") else 0
    return {
        (kind | rights & ~mask, own)
        for kind, rights in ((stat.S_IFREG, 0o666), (stat.S_IFREG, 0o777), (stat.S_IFDIR, 0o777))
    }


def is_own(entry: os.DirEntry[str]) -> bool:
    """Tell whether what lies in a folder is neither a link nor called as a generated folder is."""
    return not (entry.is_symlink() or (entry.name in GENERATED and entry.is_dir()))


def empty_folders(seen: Seen) -> set[str]:
    """List the folders SEEN in which nothing was."""
    full = {folder_of(path) for path in seen}
    return {path for path in seen if path.endswith("/") and path not in full}


def folder_of(path: str) -> str:
    """Name the folder in which PATH lies, as a look does."""
    return "".join(path.rstrip("/").rpartition("/")[:2])


def is_odd(rights: Rights) -> bool:
    """Tell whether these are the rights of what is no file and no folder."""
    return not (stat.S_ISREG(rights[0]) or stat.S_ISDIR(rights[0]))


def rights_of(path: Path) -> Rights:
    """Read the rights of a file; a link's are its own."""
    seen = path.lstat()
    return seen.st_mode, seen.st_uid, seen.st_gid


def give(path: Path, rights: Rights, keeps_run_bit: bool = False) -> Rights:
    """Give PATH the RIGHTS, as far as this user may; tell what it has then."""
    mode, now = stat.S_IMODE(rights[0]), rights_of(path)
    if keeps_run_bit:
        mode = mode & ~0o111 | (mode & 0o444) >> 2 if now[0] & 0o100 else mode & ~0o111
    if now[1:] != rights[1:] and hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(path, *rights[1:])
    path.chmod(mode)
    return rights_of(path)
