"""States of a project, as trees of a private repository: take one, compare two, bring one back.

The loop loads this file for every run. The private repository lies in the state folder; it borrows the objects of the
copy of the user's own one, which _repository.py keeps.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, cast

from _repository import UNFINISHED, Facts, Repository, facts_of, find_repository, remove, replace_file
from _shape import Shape
from leanloop import (
    GENERATED,
    GONE,
    LINK,
    GitError,
    NotReady,
    Side,
    as_text,
    ask_git,
    encodable,
    finish,
    git,
    joined,
    read_regular,
    split,
    start_git,
)

READ_BY_GIT = (".gitattributes", ".gitignore")
PLAIN_BYTES = "* -text -filter -ident -working-tree-encoding\n"
UNREADABLE = "not readable"
BLOCK = 4096  # the least that a file takes on a disk
BESIDE = 20_000_000  # bytes of ignored files that are held of what lies beside the project
Counts = list[tuple[str, int, int]]


@dataclass
class Snapshots:
    """A private repository in the state folder that holds states of the project at `root` as trees.

    `unheld` tells what no snapshot holds, and why, if that is worth a word. `kind` is that of names of objects.
    `last` is the latest tree, `before` that before a call, beside a project; `known` remembers differences of
    trees, `linked` the links in them.
    """

    root: Path
    folder: Path
    max_file: int
    max_ignored: int
    repository: Repository
    kind: str
    last: str = ""
    before: str = ""
    unheld: dict[str, str] = field(default_factory=dict)
    known: dict[tuple[str, str], dict[str, tuple[Side, Side]]] = field(default_factory=dict)
    linked: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shape = Shape(self.root, self.folder / "rights.json")

    @property
    def store(self) -> Path:
        return self.folder / "snapshots.git"

    def places(self, index: str = "index") -> dict[str, str]:
        """Name the private repository to git."""
        return {"GIT_DIR": str(self.store), "GIT_WORK_TREE": str(self.root), "GIT_INDEX_FILE": str(self.folder / index)}

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start git on the private repository."""
        return start_git(("-c", "core.splitIndex=true", *args), self.root, self.places())  # a change then writes little

    def git(self, *args: str, feed: bytes = b"") -> str:
        """Run git on the private repository; return what it printed."""
        return finish(self.start(*args), feed)

    # Taking states

    def take(self) -> str:
        """Record the project's present state; return its tree. A file that cannot be read keeps its earlier state."""
        try:
            return self.record()
        except GitError:  # a borrowed index may be of a kind that only its owner can read
            for name in ("index", "index.lock"):
                (self.folder / name).unlink(missing_ok=True)
            self.last = ""
            return self.record()

    def record(self) -> str:
        """Bring the index up to date with what has changed on disk, and write its tree."""
        ours = f"--exclude-from={self.store / 'info' / 'exclude'}"
        with self.start("ls-files", "-z", "--others", ours) as others:  # both look at every file: at the same time
            stirred = split(self.git("diff-files", "-z", "--name-only"))
            paths = [path for path in stirred if self.covers(path)]
            hidden = [path for path in {*stirred} - {*paths} if self.unheld.get(path) != UNREADABLE]
            paths += self.choose_new(split(finish(others)))
        if hidden:  # no file any more, or too large: what stood there has changed
            self.git("update-index", "-z", "--force-remove", "--stdin", feed=joined(hidden))
        if paths:
            self.git("update-index", "-z", "--add", "--remove", "--replace", "--stdin", feed=joined(paths))
        if paths or hidden or not self.last:
            self.last = self.git("write-tree").strip()
        return self.last

    def covers(self, path: str) -> bool:
        """Tell whether PATH can be recorded; note why not."""
        size, _, mode, *_ = facts_of(self.root / path)
        if not stat.S_ISREG(mode):
            return size < 0 or stat.S_ISLNK(mode)
        if not os.access(self.root / path, os.R_OK):
            self.unheld[path] = UNREADABLE
        elif size > self.max_file:
            self.unheld[path] = f"larger than [guard] max_file, {size / 1e6:.0f} MB"
        else:
            self.shape.note(path)
            return True
        return False

    def choose_new(self, others: Sequence[str]) -> list[str]:
        """Choose from what is not recorded yet: no repositories; of ignored files the smallest, `max_ignored` bytes."""
        fresh = [path for path in others if path not in self.unheld]
        whole = {**self.places("none"), "GIT_WORK_TREE": str(self.repository.link.parent)}
        listed = ("ls-files", "--others", "-z", "--exclude-per-directory=.gitignore")
        plain = set(split(ask_git(self.root, *listed, places=whole)) if fresh else ())
        found, ignored = list[str](), list[tuple[int, str]]()
        for path in fresh:
            if path.endswith(UNFINISHED):
                (self.root / path).unlink(missing_ok=True)
            elif path.endswith("/"):
                others_too = any(other.link.parent == self.root / path for other in self.repository.others())
                self.unheld[path] = "" if others_too else "a repository of its own"
            elif not self.covers(path):
                self.unheld.setdefault(path, "")
            elif path in plain:
                found.append(path)
            else:
                ignored.append((max(facts_of(self.root / path)[0], BLOCK), path))
        room = self.max_ignored
        for size, path in sorted(ignored):
            room -= size
            if room >= 0:
                found.append(path)
            else:
                self.unheld[path] = f"ignored by git and beyond [guard] max_ignored, {size / 1e6:.0f} MB"
        return found

    @contextlib.contextmanager
    def sealed(self) -> Iterator[None]:
        """Keep what git reads here as it is: a program that finds it could hide from snapshots what it does."""
        kept = self.settings()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # where all is gone, the next snapshot says so
                now = self.settings()
                for path in now.keys() - kept.keys():
                    path.unlink()
                for path, content in kept.items():
                    if now.get(path) != content:
                        replace_file(path, partial(Path.write_bytes, data=content))

    def settings(self) -> dict[Path, bytes]:
        """Read what tells git where to look, and at what."""
        files = [self.folder / "index", self.store / "HEAD", self.store / "config", *self.store.glob("sharedindex.*")]
        files += [*self.store.glob("info/*"), *self.store.glob("objects/info/*")]
        found = dict[Path, bytes]()
        for path in files:
            with contextlib.suppress(OSError):
                found[path] = read_regular(path)
        return found

    # Comparing states

    def differences(self, old: str, new: str) -> dict[str, tuple[Side, Side]]:
        """Find the paths that differ between two trees, with the sides of both."""
        if old == new:
            return {}
        if (old, new) not in self.known:
            raw = split(self.git("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new))
            found = self.known[old, new] = dict[str, tuple[Side, Side]]()
            for facts, path in zip(raw[::2], raw[1::2], strict=True):
                was, now, one, other, _ = facts[1:].split()
                found[path] = (was, one), (now, other)
        return self.known[old, new]

    def changed(self, old: str, new: str) -> tuple[str, ...]:
        """List the paths that differ between two trees."""
        return tuple(self.differences(old, new))

    def diff(self, old: str, new: str, *options: str, only: Sequence[str] | None = None) -> str:
        """Show what changed between two trees, as a unified diff; ONLY narrows it."""
        if old == new or (only is not None and not only):
            return ""
        style = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
        return encodable(
            self.git("diff-tree", "-r", "-p", "--no-renames", *style, *options, old, new, "--", *(only or ()))
        )

    def counted_diff(self, old: str, new: str) -> tuple[Counts, str]:
        """Show what changed between two trees, and count the lines that files gained and lost; 0 in a binary one."""
        paths = self.changed(old, new)
        *rows, diff = self.diff(old, new, "--numstat").split("\n", len(paths))
        counts: Counts = []
        for path, row in zip(paths, rows, strict=True):  # both in the order of the paths
            gained, lost, _ = row.replace("-", "0").split("\t", 2)
            counts.append((path, int(gained), int(lost)))
        return counts, diff.lstrip("\n")

    def texts(self, old: str, new: str, paths: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Read those of PATHS that differ between two trees, as both have them; "" where one lacks it."""
        sides = {path: both for path, both in self.differences(old, new).items() if path in paths}
        wanted = [side for both in sides.values() for side in both]
        texts = [as_text(content) for content in (self.objects(wanted) if wanted else ())]
        return dict(zip(sides, zip(texts[::2], texts[1::2], strict=True), strict=True))

    def paths(self, tree: str) -> list[str]:
        """List the paths of a tree."""
        return split(self.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree))

    def links(self, tree: str) -> dict[str, str]:
        """List the links of a tree with their targets."""
        if tree not in self.linked:
            rows = [row.partition("\t") for row in split(self.git("ls-tree", "-r", "-z", "--full-tree", tree))]
            sides = {path: (LINK, facts.split()[2]) for facts, _, path in rows if facts.startswith(LINK)}
            contents = self.objects(sides.values()) if sides else ()
            self.linked[tree] = {path: os.fsdecode(content) for path, content in zip(sides, contents, strict=True)}
        return self.linked[tree]

    def objects(self, sides: Iterable[Side]) -> Iterator[bytes]:
        """Read objects, one after the other, with one git; one that a tree does not hold is empty."""
        with start_git(["cat-file", "--batch"], self.root, self.places()) as process, contextlib.ExitStack() as end:
            end.callback(process.kill)
            asked, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
            for mode, name in sides:
                asked.write(f"{name}\n".encode())
                asked.flush()
                facts = answers.readline().split()
                if len(facts) != 3 and mode != GONE:
                    raise GitError(f"{self.store}: the object {name} is not there. Look at the disk.")
                yield answers.read(int(facts[2]) + 1)[:-1] if len(facts) == 3 else b""

    # Bringing states back

    def restore(self, seen: str, tree: str, only: Iterable[str] | None = None) -> tuple[str, ...]:
        """Bring the paths that differ between SEEN and TREE back to TREE, each in one step.

        A path that does not hold what SEEN has is the user's own later edit: it is left alone, and returned.
        """
        sides = {path: both[1] for path, both in self.differences(seen, tree).items()}
        wanted = {*sides} & {*(sides if only is None else only)}
        if not wanted:
            return ()
        seen_now = {path: facts_of(self.root / path) for path in wanted}
        now = self.take()
        edited = wanted & {*self.changed(seen, now)}
        left = edited & {*self.changed(now, tree)}
        paths = sorted(wanted - edited, key=lambda path: sides[path][0] != GONE)  # what goes may stand in the way
        with self.shape.writable(paths):
            for path, content in zip(paths, self.objects(sides[path] for path in paths), strict=True):
                if not self.restore_path(path, sides[path][0], content, seen_now[path]):
                    left.add(path)
        return tuple(sorted(left))

    def restore_path(self, path: str, mode: str, content: bytes, seen: Facts) -> bool:
        """Put a path as a tree holds it, unless it was changed since it was SEEN; tell whether that was done."""
        file = self.root / path
        with contextlib.suppress(OSError):
            is_as_seen = facts_of(file) == seen or (facts_of(file)[0] < 0 and seen[0] < 0)  # a folder may be empty now
            if is_as_seen and os.path.realpath(file.parent) == str(file.parent):
                if mode == GONE:
                    remove(file, self.root)
                else:
                    put(file, mode, content, self.shape)
                self.unheld.pop(path, None)
                return True
        return False

    def tree_with_paths_from(self, tree: str, other: str, paths: Set[str]) -> str:
        """Make a tree that is TREE, but holds PATHS as OTHER does."""
        sides = {path: sides[1] for path, sides in self.differences(tree, other).items() if path in paths}
        if not sides:
            return tree
        rows = joined(f"{mode} {name}\t{path}" for path, (mode, name) in sides.items())
        git(["read-tree", tree], self.root, self.places("mixed"))
        git(["update-index", "-z", "--index-info"], self.root, self.places("mixed"), rows)
        return git(["write-tree"], self.root, self.places("mixed")).strip()

    def prune_borrowed_objects(self, trees: Set[str]) -> None:
        """Remove the copies of objects that git's upkeep has replaced; what only they hold of TREES becomes ours."""
        replaced, packs = self.repository.replaced(), self.store / "objects/pack"
        if not replaced:
            return
        style = ("--objects", "--no-object-names", "--ignore-missing", "--missing=allow-any", "--stdin")
        held = self.git("rev-list", *style, feed="\n".join(trees).encode())
        answers = ask_git(self.root, "cat-file", "--batch-check", feed=held.encode()).splitlines() if held else []
        alone = [row.split()[0] for row in answers if row.split()[1:] == ["missing"]]
        if answers:
            feed = "\n".join(alone).encode()
            made = self.git("pack-objects", "--quiet", "--non-empty", str(packs / "pack"), feed=feed).strip()
            for path in (*replaced, *(path for path in packs.glob("*") if made not in path.name)):
                path.unlink()

    # What the user's own repository holds of the project

    def copy_index(self) -> dict[str, str]:
        """Copy the user's index for a git that writes to the one that it is given."""
        place, copy = next(iter(self.repository.places), self.folder), self.folder / "staged"
        copy.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(place / "index", copy)
        return {"GIT_INDEX_FILE": str(copy)}

    def uncommitted(self) -> set[str]:
        """List the paths that the user's repository has not committed."""
        style = ("--porcelain=v2", "-z", "-uall", "--no-renames", "--ignore-submodules=all", "--", ".")
        above = f"{self.root.relative_to(self.repository.link.parent).as_posix()}/"
        facts = {"1": 8, "u": 10}  # how many stand before the path, by the kind of the row
        rows = split(ask_git(self.root, "status", *style))
        return {row.split(" ", facts.get(row[0], 1))[-1].removeprefix(above) for row in rows}

    def thrown_away(self, before: str, after: str, spared: Set[str]) -> list[str]:
        """List the files that a call made what git has of them, or that are gone and not git's: no edit does that."""
        sides = self.differences(before, after)
        older, found = sides.keys() - spared, set[str]()
        for blobs in self.committed_blobs() if older else ():
            for path in older:
                mode, blob = sides[path][1]
                if blobs.get(path) == (None if mode == GONE else blob):
                    found.add(path)
        return sorted(found)

    def put_lost_back(self, project: Path, aside: Path | None) -> list[str]:
        """Put back what a call threw away beside the PROJECT of work that is not committed, or removed; name it.

        In another work tree somebody else may be at work: what went from one that is still there is copied to ASIDE.
        """
        before, self.before = self.before, ""
        anew = self.repository.revive()
        whole = anew or all(path.name == ".git" for path in self.root.iterdir())
        for folder, _, names in folders_in(self.root):
            for fifo in fifos(folder, names):
                fifo.unlink()
        after = self.take()
        sides = dict(self.differences(before, after))
        if project.is_relative_to(self.root):
            inner = f"{project.relative_to(self.root).as_posix()}/"
            sides = {path: both for path, both in sides.items() if not path.startswith(inner)}
        spared = {*self.changed(before, after)} - sides.keys()
        gone = {path for path, (_, now) in sides.items() if now[0] == GONE}
        committed = self.committed_blobs() if gone and not whole else []
        lost = {path for path in gone if all(blobs.get(path) != sides[path][0][1] for blobs in committed)}
        found = sorted({*self.thrown_away(before, after, spared), *lost})
        if aside and not whole:
            olds = {path: sides[path][0] for path in found if sides[path][0][0] != GONE}
            known = self.committed_blobs()[::2] if olds else []  # what is staged alone goes, too
            olds = {path: old for path, old in olds.items() if all(blobs.get(path) != old[1] for blobs in known)}
            for path, content in zip(olds, self.objects(olds.values()) if olds else (), strict=True):
                replace_file(aside / self.root.name / path, partial(Path.write_bytes, data=content))
            return []
        self.restore(after, before, found)
        return [os.path.relpath(self.root / path, project) for path in found or ([""] if anew else [])]

    def committed_blobs(self) -> list[dict[str, str]]:
        """Give what git had of each file before the call, committed and staged, and what a HEAD that moved has."""
        copy = {"GIT_DIR": str(self.repository.kept(self.repository.places[0]))}
        copy["GIT_WORK_TREE"] = str(self.repository.link.parent)
        head = self.repository.head()  # the copy does not know a commit of this call
        trees = [ask_git(self.root, "ls-tree", "-rz", commit, places=copy) for commit in ("HEAD", head)]
        staged = ask_git(self.root, "ls-files", "-sz", places=copy)
        return [blobs_in(listing, place) for listing, place in ((trees[0], 2), (staged, 1), (trees[1], 2)) if listing]


def blobs_in(listing: str, place: int) -> dict[str, str]:
    """Read the blobs of paths out of a listing of git's; PLACE is where the blob stands in a row."""
    rows = (row.partition("\t") for row in split(listing))
    return {path: facts.split()[place] for facts, _, path in rows}


def put(path: Path, mode: str, content: bytes, shape: Shape) -> None:
    """Put a file (MODE as git writes it) in the place of what lies at PATH, in one step; keep its other rights."""

    def write(fresh: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        if mode == LINK:
            fresh.symlink_to(os.fsdecode(content))
            return
        fresh.write_bytes(content)
        rights = fresh.stat().st_mode
        fresh.chmod(rights | (rights & 0o444) >> 2 if mode == "100755" else rights)
        shape.give_usual(path, fresh, path if path.is_file() and not path.is_symlink() else None)

    replace_file(path, write)


def open_snapshots(root: Path, folder: Path, max_file: int, max_ignored: int) -> Snapshots:
    """Make or find the private repository of the project at ROOT."""
    repository, kind = find_repository(root, folder)
    return prepare(Snapshots(root, folder, max_file, max_ignored, repository, kind), folder)


def open_neighbours(project: Snapshots) -> list[Snapshots]:
    """Make or find those of what lies around a PROJECT in its repository, and of that one's other work trees."""
    found = list[Snapshots]()
    around = (
        [project.repository] if project.repository.places and project.root != project.repository.link.parent else []
    )
    for repository in (*around, *project.repository.others()):
        root = repository.link.parent
        folder = project.folder / "beside" / f"{zlib.crc32(os.fsencode(root)):08x}"
        if root.is_dir() or folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            most = min(project.max_ignored, BESIDE)
            beside = Snapshots(root, folder, project.max_file, most, repository, project.kind)
            found.append(prepare(beside, project.folder, project.root))
    return found


def prepare(snapshots: Snapshots, *hidden: Path) -> Snapshots:
    """Make the private repository of SNAPSHOTS, where it is none or is damaged; it passes HIDDEN over.

    It borrows the objects of the copy of the user's own one, if there is one, and starts from a copy of its index.
    """
    root, folder, places = snapshots.root, snapshots.folder, snapshots.repository.places
    store, info = snapshots.store, snapshots.store / "info"
    if not all((store / name).exists() for name in ("HEAD", "config", "info", "objects", "refs")):
        git(["init", "--quiet", "--bare", "--template=", f"--object-format={snapshots.kind}", str(store)], folder)
        info.mkdir(exist_ok=True)
    (folder / "index.lock").unlink(missing_ok=True)  # left by a run that was killed; the project's lock is ours
    (info / "attributes").write_text(PLAIN_BYTES)
    own = [f"/{path.relative_to(root).as_posix()}" for path in hidden if path.is_relative_to(root)]
    own += [f"!/{escaped(path.relative_to(root).as_posix())}" for path in unproven(root)]
    (info / "exclude").write_text("".join(f"{name}/\n" for name in (*GENERATED, *own)))
    borrowed = store / "objects/info/alternates"
    if places:
        borrowed.write_text(f"{snapshots.repository.kept(places[-1] / 'objects')}\n")
    else:  # what earlier states need stays where it was
        borrowed.touch()
    top = snapshots.repository.link.parent
    if places and not (folder / "index").exists() and root == top and holds_plain_bytes(root):
        with contextlib.suppress(OSError):
            shutil.copy2(places[0] / "index", folder / "index")  # by its time git knows what was edited right after
    return snapshots


# What lies in a folder that was generated: what tools put there to say so, and what packages have.
PROOFS = ("CACHEDIR.TAG", "pyvenv.cfg", "bin/python*", "*.dist-info", "*/package.json", ".*.yaml", ".*lock*", "classes")


def unproven(root: Path) -> list[Path]:
    """List the folders below ROOT that are called as generated ones are, but are neither ignored by git nor look so."""
    named = list[Path]()
    for folder, inner, names in folders_in(root):
        for path in fifos(folder, names):
            raise NotReady(f"{path} is a FIFO: git would wait for its other end. Remove it.")
        named += [Path(folder, name) for name in inner if name in GENERATED and name[:1] not in "._"]
    found = [path for path in named if not any(any(path.glob(proof)) for proof in PROOFS)]
    feed = joined(str(path) for path in found)
    ignored = split(ask_git(root, "check-ignore", "-z", "--stdin", feed=feed)) if found else []
    return [path for path in found if str(path) not in ignored]


def folders_in(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Go through the folders below ROOT, but those called as generated ones are, as `os.walk` does."""
    for folder, inner, names in os.walk(root):
        yield folder, inner, names
        inner[:] = [name for name in inner if name not in GENERATED]


def fifos(folder: str, names: Sequence[str]) -> list[Path]:
    """List the FIFOs among a FOLDER's NAMES that git would read."""
    return [path for path in (Path(folder, name) for name in READ_BY_GIT if name in names) if path.is_fifo()]


def escaped(path: str) -> str:
    """Write a PATH so that git takes none of it for a pattern."""
    return re.sub(r"([*?\[\]\\ !#])", r"\\\1", path)


def holds_plain_bytes(root: Path) -> bool:
    """Tell whether the project's own index holds files as they lie on disk: none converted, hidden or a module."""
    if ask_git(root, "config", "--get", "core.autocrlf") in ("true", "input"):
        return False
    rows = split(ask_git(root, "ls-files", "-z", "-v", "--stage"))  # H: git looks at what lies on disk
    return all(row.startswith(("H 100", "H 120")) and not row.endswith(".gitattributes") for row in rows)
