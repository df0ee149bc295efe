"""The user's own repository: a copy of it is kept across the calls of leaners, and what a call did to it is put back.

The loop loads this file for every run. Nothing here starts git on what it keeps but to read what is staged: files are
compared and copied as they are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from _processes import process_start_time
from leanloop import LeanError, ask_git, is_older, read_regular, read_text

Facts = tuple[int, ...]
UNFINISHED = ".lean-loop~"  # ends the name of a file that is being written
NOTHING, UNUSED = (-2, 0), (-1, 0)  # no file; a folder of objects in the copy alone
PARTS_OF_GIT = {
    "HEAD/": "HEAD", ".git/": "HEAD", "refs/stash/": "the stash", "refs/": "branches or tags",
    "packed-refs/": "branches or tags", "config": "settings", "hooks/": "hooks", "info/": "what is ignored",
    "modules/": "a submodule", "MERGE": "a merge", "rebase": "a rebase", "CHERRY": "a cherry-pick",
}  # fmt: skip


@dataclass(frozen=True)
class Repository:
    """The user's own repository, watched across the calls of leaners; `link` is the `.git` of the work tree.

    `places` are its folders: HEAD and index in the first, branches, settings and objects in the last (the same folder,
    but in a linked work tree; none without a repository). `copy` holds it all, objects as hard links where that can be;
    `seen` tells what its files were like when that was made, `rights` what its places were.
    """

    link: Path
    places: tuple[Path, ...]
    copy: Path
    seen: dict[Path, Facts] = field(default_factory=dict)
    rights: dict[Path, int] = field(default_factory=dict)

    def kept(self, path: Path) -> Path:
        return self.copy / path.relative_to(path.anchor)

    def read(self, copied: bool = False) -> dict[Path, Facts]:
        """List its files, or their copies, and its folders with objects, also those of submodules."""
        found = dict[Path, Facts]()
        for place in (self.link, *self.places):
            base = self.kept(place) if copied else place
            if base.is_symlink() or base.is_file():
                found[place] = facts_of(base)
            for folder, inner, names in os.walk(base) if place in self.places else ():
                here = place / Path(folder).relative_to(base)
                for store in stores_in(Path(folder)) if "objects" in inner and "HEAD" in names else ():
                    found[here / store.relative_to(folder)] = facts_of(store)
                borrowed = f"{folder}/objects/info/alternates"
                if "objects" in inner and os.path.lexists(borrowed):
                    found[here / "objects/info/alternates"] = facts_of(borrowed)
                inner[:] = [name for name in inner if name not in ("objects", "lfs", "worktrees")]
                found |= {here / name: facts_of(f"{folder}/{name}") for name in names}
        return {path: facts for path, facts in found.items() if facts[:2] not in (NOTHING, UNUSED)}

    def keep(self) -> None:
        """Bring the copy up to date."""
        now = {path: facts for path, facts in self.read().items() if path.suffix != ".lock"}
        old = self.seen or self.read(copied=True)
        for path in old.keys() - now.keys():
            if old[path][0] < 0:
                os.utime(self.kept(path), ns=(0, 0))  # its objects stay, for the snapshots that borrow them
            else:
                self.kept(path).unlink()
        changed = [path for path in now if now[path][:3] != old.get(path, ())[:3]]
        for path in sorted(changed, reverse=True):  # a folder after those in it, which set its time
            copy_file(path, self.kept(path))
        if self.places and now != self.seen:  # without a folder refs git sees no repository
            (self.kept(self.places[-1]) / "refs").mkdir(parents=True, exist_ok=True)
            (self.copy / "places").write_text("\n".join(map(str, (self.link, *self.places))))
        self.seen.clear()
        self.seen.update(now)
        self.rights.update({place: place.stat().st_mode for place in self.places if place.is_dir()})
        for source in self.aside():
            kept = self.kept(source)
            if kept.exists() and (not source.exists() or names_in(kept) - names_in(source)):
                shutil.rmtree(kept)
            link_tree(source, kept, anew=True)

    def others(self) -> list[Repository]:
        """Give the other work trees of the same repository, each as a repository of its own."""
        found = list[Repository]()
        for shared in self.places[-1:]:
            links = {own.parent: own.parent / read_text(own).strip() for own in shared.glob("worktrees/*/gitdir")}
            links |= {shared: shared} if shared.name == ".git" else {}
            for own, link in links.items():
                if link != self.link:
                    found.append(Repository(link, tuple(dict.fromkeys((own, shared))), self.copy))
        return found

    def revive(self) -> bool:
        """Make a work tree anew that was removed, or take it back from where it was moved; tell whether that was so."""
        if os.path.lexists(self.link):
            return False
        with contextlib.suppress(OSError):
            note, root = self.places[0] / "gitdir", self.link.parent
            moved = note.parent / read_text(note).strip()
            if os.path.lexists(moved) and not os.path.lexists(root):
                moved.parent.rename(root)
            root.mkdir(parents=True, exist_ok=True)
            self.link.write_text(f"gitdir: {note.parent}\n")
            note.write_text(f"{self.link}\n")
        return True

    def aside(self) -> list[Path]:
        """List the folders of LFS and of other work trees, which others write to."""
        found = {place / "lfs" for place in self.places[-1:]}
        for place in self.places[-1:]:
            names = names_in(place / "worktrees") | names_in(self.kept(place / "worktrees"))
            found |= {place / "worktrees" / name for name in names}
        return sorted(found - {*self.places})

    def head(self) -> str:
        """Read which commit HEAD means now, without git: what an agent made of the settings is not run."""
        for place in self.places:
            name = read_text(place / "HEAD").strip().removeprefix("ref: ")
            packed = read_text(self.places[-1] / "packed-refs").splitlines()
            known = {ref: commit for commit, _, ref in (row.partition(" ") for row in packed)}
            return read_text(self.places[-1] / name).strip() or known.get(name, name)
        return ""

    def replaced(self) -> list[Path]:
        """List the copies of objects that git's own upkeep has replaced by others, of which there are copies now."""
        self.keep()
        if not self.places:
            return []
        copied = self.kept(self.places[-1] / "objects").glob("*/*")
        return [path for path in copied if not os.path.lexists(self.places[-1].anchor / path.relative_to(self.copy))]

    def put_back(self, found: Path, died: float = float("inf")) -> str:
        """Undo what happened to it since `keep` and before DIED; keep in FOUND what is replaced. Tell what it was."""
        self.unlock()
        old = self.seen or self.read(copied=True)
        made = self.clear_link(old, found)
        if not self.places:
            return "made one" if made else ""
        now = self.read()
        if any(path.suffix == ".lock" for path in now.keys() - old.keys()) and is_at_work("git", self.link.parent):
            return "left a lock, so that nothing of it was touched"
        changed = [
            path for path in {*now, *old} if now.get(path) != old.get(path) and not self.is_fresh(path, now, old)
        ]
        said = set[str]()
        for path in sorted(changed, key=lambda path: (path in old, path)):  # what goes may stand in the way
            said.add(self.put_file_back(path, now.get(path), old.get(path), found, died))
        (self.places[-1] / "refs").mkdir(parents=True, exist_ok=True)
        for source in self.aside():
            if link_tree(self.kept(source), source):
                said.add(f"what lay in {source.name}")
        return ", ".join(sorted(said - {""}))

    def unlock(self) -> None:
        """Make it accessible again, where rights were taken from it; files share theirs with our copies."""
        for place in filter(Path.is_dir, self.places):
            if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
                place.chmod(0o700)
                for folder, inner, names in os.walk(place):
                    for path in (Path(folder, name) for name in (*inner, *names)):
                        with contextlib.suppress(OSError):
                            path.chmod(path.stat().st_mode | (0o700 if path.name in inner else 0o400))
            with contextlib.suppress(OSError, KeyError):
                if place.stat().st_mode != self.rights[place]:
                    place.chmod(self.rights[place])

    def clear_link(self, old: Mapping[Path, Facts], found: Path) -> bool:
        """Take away what took the place of the `.git`; tell whether that was a repository."""
        if self.link not in old and (self.link.is_symlink() or self.link.is_file()):
            self.link.unlink()
        made = self.link not in self.places and self.link.is_dir() and not self.link.is_symlink()
        if made:
            shutil.move(self.link, found)
        if not self.places and self.link in old:
            copy_file(self.kept(self.link), self.link)
        return made

    def put_file_back(self, path: Path, now: Facts | None, old: Facts | None, found: Path, died: float) -> str:
        """Undo what happened to a file before DIED; say what people call it, nothing where that does not matter."""
        kept = self.kept(path)
        if (now or old or (0,))[0] < 0:
            if old:
                copy_file(kept, path)
            return ""
        same = is_same(path, kept) and not (now and old and now[2] != old[2])
        if same or self.is_of_others(path) or not is_older(path, died):
            return ""
        said = self.called(path)
        if now:
            with contextlib.suppress(PermissionError):
                copy_file(path, found / kept.relative_to(self.copy))
            remove(path, self.place_of(path))
        if old:
            copy_file(kept, path)
        if path.name == "shallow":  # what git noted of the history does not fit any more
            for graph in self.places[-1].glob("objects/info/commit-graph"):
                graph.unlink()
        return said

    def is_fresh(self, path: Path, now: Mapping[Path, Facts], old: Mapping[Path, Facts]) -> bool:
        """Tell whether PATH is of a submodule that was fetched meanwhile: its files lie in the project, and need it."""
        for parent in path.parents:
            if not parent.is_relative_to(self.places[-1] / "modules"):
                return False
            if parent / "config" in old or parent / "config" in now:
                return parent / "config" not in old
        return False

    def is_of_others(self, path: Path) -> bool:
        """Tell whether another work tree of the same repository may have changed PATH; none removes a branch."""
        shared = self.places[-1]
        others = facts_of(self.kept(shared / "worktrees"))[:2] not in (NOTHING, UNUSED)
        if not (others and os.path.lexists(path) and path.is_relative_to(shared)):
            return False
        name, head = path.relative_to(shared).as_posix(), read_text(self.kept(self.places[0] / "HEAD"))
        return name.startswith(("refs/", "logs/", "packed-refs")) and not head.strip().endswith(f" {name}")

    def place_of(self, path: Path) -> Path:
        return next((place for place in self.places if path.is_relative_to(place)), path.parent)

    def called(self, path: Path) -> str:
        """Say what a file of a repository holds that people know; nothing where it does not matter."""
        if path == self.places[0] / "index":
            staged, settings = set[str](), {"GIT_DIR": str(self.kept(path.parent))}  # of before the call
            for index in (path, self.kept(path)):
                places = {"GIT_INDEX_FILE": str(index), **settings}
                staged.add("?" if index.is_fifo() else ask_git(path.parent, "ls-files", "-s", places=places))
            return "what is staged" if len(staged) > 1 else ""
        name = f"{path.relative_to(self.place_of(path)).as_posix()}/"
        return next((called for begin, called in PARTS_OF_GIT.items() if name.startswith(begin)), "")


def stores_in(folder: Path) -> list[Path]:
    """List the folders with objects of a repository's FOLDER, and that of its other work trees."""
    found = [folder / "objects", *(folder / "objects").glob("*/")]
    return [*found, folder / "worktrees"] if (folder / "worktrees").is_dir() else found


def facts_of(path: Path | str) -> Facts:
    """Tell size, last change, rights, and what else changes with a file; the size of a folder is -1."""
    try:
        seen = os.lstat(path)
    except OSError:
        return *NOTHING, 0, 0, 0
    size, mode = (-1, 0) if stat.S_ISDIR(seen.st_mode) else (seen.st_size, seen.st_mode)
    return size, seen.st_mtime_ns, mode, seen.st_ctime_ns, seen.st_ino


def is_same(one: Path, other: Path) -> bool:
    """Tell whether two files, or two links, hold the same."""
    with contextlib.suppress(OSError):
        if one.is_symlink() or other.is_symlink():
            return one.readlink() == other.readlink()
        return read_regular(one) == read_regular(other)
    return False


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let WRITE make a file beside PATH, and put that in PATH's place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{os.getpid()}{UNFINISHED}")
    fresh.unlink(missing_ok=True)
    write(fresh)
    fresh.replace(path)


def remove(path: Path, root: Path) -> None:
    """Remove a file, and the folders below ROOT that are empty without it."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for folder in path.relative_to(root).parents[:-1]:
            (root / folder).rmdir()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file in one step; of a folder with objects make a hard link to each file. The time is copied, too."""
    if source.is_dir() and not source.is_symlink():
        link_files(source, target)
    elif source.is_symlink() or source.is_file():  # a socket has no content, and a FIFO would be waited for
        with contextlib.suppress(FileNotFoundError):
            replace_file(target, lambda fresh: shutil.copy2(source, fresh, follow_symlinks=False))


def link_files(source: Path, target: Path, anew: bool = True, most: int = 1 << 40) -> bool:
    """Make a hard link in TARGET to each file in SOURCE, a copy on another disk if it is not larger than MOST.

    One that is there under that name is replaced by another (ANEW). TARGET gets the time of SOURCE. Tells whether a
    file was made.
    """
    made = False
    target.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError, PermissionError):  # git may remove the folder, and others may own it
        changed = source.stat().st_mtime_ns
        for path, there in ((path, target / path.name) for path in source.iterdir()):
            facts, old = facts_of(path)[:2], facts_of(there)[:2]
            if path.is_symlink() or not path.is_file() or facts == old or (old != NOTHING and not anew):
                continue
            made = True
            there.unlink(missing_ok=True)
            try:
                there.hardlink_to(path)
            except OSError:
                if facts[0] <= most:
                    copy_file(path, there)
        os.utime(target, ns=(changed, changed))
    return made


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def link_tree(source: Path, target: Path, anew: bool = False) -> bool:
    """Do that with all folders in SOURCE, but leave what is large on another disk; see `link_files`."""
    made = False
    for folder in (Path(folder) for folder, _, _ in os.walk(source)):
        made |= link_files(folder, target / folder.relative_to(source), anew, 1_000_000)
    return made


def is_at_work(program: str, folder: Path) -> bool:
    """Tell whether a process of that name runs in FOLDER (Linux): leaners and what they started have ended by then."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if read_text(place / "comm").strip() == program and (place / "cwd").resolve().is_relative_to(folder):
                return bool(process_start_time(int(place.name)))
    return False


def find_repository(root: Path, folder: Path) -> tuple[Repository, str]:
    """Find the user's own repository around ROOT, with a copy of it in FOLDER, and the kind of its objects' names."""
    asked = "--absolute-git-dir --path-format=absolute --git-common-dir --show-toplevel --show-object-format"
    answers = ask_git(root, "rev-parse", *asked.split()).splitlines()
    if len(answers) not in {0, 4}:
        raise LeanError(f"{root}: git cannot tell where a folder with a line break in its name lies. Rename it.")
    places, (top, kind) = tuple(dict.fromkeys(map(Path, answers[:2]))), answers[2:] or (root, "sha1")
    repository = Repository(Path(top).resolve() / ".git", places, folder / "git")
    if not places:
        (folder / "git/places").unlink(missing_ok=True)
    elif not (folder / "git/places").exists():
        repository.keep()
    return repository, kind
