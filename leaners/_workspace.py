"""The project's files during a run: their states, and the order in which a leaner's call leaves them.

The loop loads this file for every run. Whatever way a call ends, `Workspace.settle` puts in order what it did: to the
rights of files, to the user's repository, to uncommitted work, and to what no leaner may change.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from _page import few_names
from _shape import Seen, folder_of
from _snapshots import Snapshots, open_neighbours
from _stand_ins import link_targets, shadowing
from _uses import holds_tests, lost_inside
from leanloop import (
    GONE,
    ChangeRules,
    Config,
    GitError,
    Interrupted,
    Program,
    Report,
    Reporter,
    Side,
    Task,
    defer_signals,
    read_json,
    source_endings,
)

LARGEST = 1 << 28  # bytes of what is kept in the record: it is masked there


@dataclass(frozen=True)
class Settled:
    """The trees around a call once its changes are put in order; `put_back` was not allowed, `resists` came back."""

    before: str
    after: str
    put_back: tuple[str, ...] = ()
    resists: str = ""


@dataclass
class Workspace:
    """The project's files during a run: their states, and the order in which a leaner's call leaves them.

    `repaired` says what of the user's repository was put back after a killed run, `seen` are the rights of files
    and folders before the call under way, `neighbours` are what belongs to its repository beside the project,
    `heard` are the warnings that were given, `rules` are those of each task, `collected` are the files of tests
    that ran before any call.
    """

    config: Config
    snapshots: Snapshots
    reporter: Reporter
    here: Path = field(default_factory=Path.cwd)
    repaired: str = ""
    seen: Seen = field(default_factory=dict)
    neighbours: list[Snapshots] | None = None
    heard: set[str] = field(default_factory=set)
    rules: dict[str, ChangeRules] = field(default_factory=dict)
    calls: int = 0
    collected: set[str] = field(default_factory=set)

    def warn(self, text: str) -> None:
        self.reporter.emit("warning", text=text)

    def pass_on(self, errors: str) -> None:
        """Give what a leaner warns of on its standard error as a warning of the run, once."""
        for line in errors.splitlines():
            if line.startswith("warning: ") and line not in self.heard:
                self.heard.add(line)
                self.warn(line.removeprefix("warning: "))

    def warn_uncovered(self) -> None:
        """Name what snapshots do not hold, each and many of one folder once in the life of the project."""
        why, kept = self.snapshots.unheld, self.snapshots.folder / "named.json"
        known = {*read_json(kept)}
        folders = Counter(folder_of(path) for path in why)
        names = {path if folders[folder_of(path)] < 4 else folder_of(path): why[path] for path in why if why[path]}
        if fresh := [name for name in names if name not in known]:
            kept.write_text(json.dumps([*known, *fresh]))
            some = ", ".join(f"{name} ({names[name]})" for name in fresh[:20])
            self.warn(f"not covered by snapshots, so that nothing can put them back: {some}")

    def warn_rewritten(self, before: str, command: str) -> None:
        """Name the files that were there BEFORE a command and are others since: it is to look, not to change."""
        sides = self.snapshots.differences(before, self.snapshots.take())
        if rewritten := [path for path, (was, _) in sides.items() if was[0] != GONE]:
            self.warn(f"the check '{command}' rewrote {few_names(rewritten, 5)} after the tests had run")

    def bring_back(self, seen: str, tree: str, paths: Iterable[str], to: str, left: Iterable[str] = ()) -> list[str]:
        """Restore PATHS from SEEN to TREE, recorded before and after.

        Returns what was left alone: LEFT, and what does not hold what SEEN has, which is the user's own later edit.
        """
        snapshots = self.snapshots
        before, wanted = snapshots.take(), {*snapshots.changed(seen, tree)} & {*paths}
        edited = wanted & {*snapshots.changed(seen, before)}
        self.reporter.emit("restoring", tree=tree, paths=sorted(wanted - edited))
        late = snapshots.restore(before, tree, wanted - edited)
        alone = sorted({*left, *late, *(edited & {*snapshots.changed(before, tree)})})
        after = snapshots.take()
        self.reporter.emit("restored", to=to, left=alone, before=before, after=after, tree=after)
        return alone

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder of the record that a leaner may write to; it is gone after the call."""
        self.calls += 1
        place = self.reporter.path(f"call-{self.calls}")
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    # What a call leaves behind

    def rules_of(self, task: Task) -> ChangeRules:
        """Give the rules of a TASK as they were before its first call: an agent may edit what they are read from."""
        name = repr(task)
        if name not in self.rules:
            self.rules[name] = ChangeRules(self.config, task)
        return self.rules[name]

    def note_rights(self, by: Program, task: Task) -> None:
        """Note rights of files, and what lies around the project, before a call, but of one that says what it edits."""
        self.rules_of(task)
        self.seen = {} if by.tells_edits else self.snapshots.shape.look()
        if self.seen:
            self.snapshots.shape.remember(self.seen)
            self.note_beside()

    def note_beside(self) -> None:
        """Take the states of what belongs to the repository beside the project: git may throw away work there, too."""
        if self.neighbours is None:
            self.neighbours = open_neighbours(self.snapshots)
        for place in filter(lambda place: place.root.is_dir(), self.neighbours):
            try:
                place.before = place.take()
                place.shape.save()
                self.reporter.emit("beside", name=place.folder.name, tree=place.before)
            except GitError as error:
                self.warn(f"{place.root}, beside the project in its repository, is not covered: {error}")

    def settle(
        self, before: str, task: Task, start: str, known: Set[str], begun: float, by: Program, used: Path, stays: bool
    ) -> Settled:
        """Put in order what a call that BEGUN then has changed since BEFORE, or undo it all unless what it did STAYS.

        START is where its task began, KNOWN are the files that no snapshot held before the call, USED is the file
        with what the leaner says of itself.
        """
        self.find_root()
        rules = self.rules_of(task)
        with defer_signals():  # half of it would leave tests as the leaner made them
            if by.tells_edits:
                before, after = self.own_edits(before, used)
                settled = self.undo_forbidden(rules, before, after, {*self.snapshots.unheld})  # new is the user's
            else:
                now, odd = self.snapshots.shape.mend(self.seen)
                self.snapshots.shape.drop_bytecode(self.seen, begun)
                after = self.tidy_repository(before, task, start, by.name)
                settled = self.undo_forbidden(rules, before, after, known, odd)
                if lost := self.snapshots.shape.bring_back(self.seen, now):
                    self.warn(f"{by.name} removed what nothing can put back: {', '.join(lost)}")
            if not stays and settled.after != before:
                self.snapshots.restore(settled.after, before)
                settled = replace(settled, after=self.snapshots.take())
            self.reporter.emit("settled", before=before, after=settled.after)
        return settled

    def find_root(self) -> None:
        """Make the project's folder anew where an agent took it away; what was in it is put back later."""
        with contextlib.suppress(OSError):
            if self.config.root.is_symlink() or self.config.root.is_file():
                self.config.root.unlink()
            self.config.root.mkdir(parents=True)
            os.chdir(self.here)

    def own_edits(self, before: str, used: Path) -> tuple[str, str]:
        """Give the trees around a call that tells what it edited: all else is the user's, as if it had been there."""
        after = self.snapshots.take()
        with contextlib.suppress(KeyError, TypeError):
            edited = set(read_json(used)["files"])
            users = set(self.snapshots.changed(before, after)) - edited
            before = self.snapshots.tree_with_paths_from(before, after, users)
        return before, after

    def undo_forbidden(
        self, rules: ChangeRules, before: str, after: str, known: Set[str], odd: Sequence[str] = ()
    ) -> Settled:
        """Put back what a leaner may not change, three times where it comes back; ODD was taken away already."""
        away = self.take_away(rules, known)
        taken = dict.fromkeys([*odd, *away])
        if away:
            after = self.snapshots.take()
        bad, found = self.forbidden(rules, before, after), after
        bad += {*odd, *away} & {*self.snapshots.changed(before, after)} - {*bad}
        for _ in range(3):
            if not bad:
                break
            self.reporter.write(f"put-back-{len(taken)}.diff", self.snapshots.diff(before, after, only=bad))
            self.snapshots.restore(after, before, bad)
            taken |= dict.fromkeys(bad)
            after = self.snapshots.take()
            bad = self.forbidden(rules, before, after)
        if taken:
            self.reporter.emit("protected", paths=list(taken), tree=found)
        return Settled(before, after, tuple(taken), ", ".join(bad))

    def forbidden(self, rules: ChangeRules, before: str, after: str) -> list[str]:
        """List the changed paths that a leaner may not change, and those that stand in the way of such a path."""
        sides = self.snapshots.differences(before, after)
        bad = [path for path, both in sides.items() if not rules.permits(path, both)]
        bad += [path for path in self.stand_in_place(rules, before, sides) if path not in bad]
        bad += [path for path in self.tests_changed(rules, before, after) if path not in bad]
        ways = {str(parent) for path in bad for parent in PurePosixPath(path).parents}
        return [*bad, *(path for path in sides if path in ways and path not in bad)]

    def tests_changed(self, rules: ChangeRules, before: str, after: str) -> list[str]:
        """List the changed files that are tests by what they held before, or that the red baseline was seen to run."""
        if not self.config.guard.protect_tests:
            return []
        unlisted = [path for path in self.snapshots.changed(before, after) if not rules.is_listed(path)]
        sources = [path for path in unlisted if PurePosixPath(path).suffix in source_endings()]
        texts = self.snapshots.texts(before, after, sources) if sources else {}
        holding = [path for path, (old, new) in texts.items() if holds_tests(old) or lost_inside(path, old, new)]
        return [*holding, *(path for path in unlisted if path in self.collected and path not in holding)]

    def note_collected(self, report: Report | None) -> None:
        """Note the files of the tests in a REPORT of a run before any leaner's call; doctests lie in source."""
        for name in {name.partition("[")[0] for name, _ in (report.times if report else ())}:
            parts = name.split(".")
            for end in range(len(parts) - 1, 0, -1):
                path = "/".join(parts[:end]) + ".py"
                if (self.config.root / path).is_file():
                    if parts[end] != parts[0]:
                        self.collected.add(path)
                    break

    def stand_in_place(self, rules: ChangeRules, before: str, sides: Mapping[str, tuple[Side, Side]]) -> list[str]:
        """List the changed paths that stand for what judges: targets of protected links, modules of Python's name."""
        unlisted = [path for path in sides if not rules.is_listed(path)]
        if not (unlisted and self.config.guard.protect_tests):
            return []
        links = link_targets(self.snapshots.links(before), self.config.root)
        meant = [target for path, target in links.items() if rules.protects(path) or rules.protects(f"{path}/x")]
        found = [path for path in unlisted if any(f"{path}/".startswith(f"{target}/") for target in meant)]
        fresh = [path for path in unlisted if sides[path][0][0] == GONE]
        if fresh:
            found += shadowing(fresh, self.snapshots.paths(before), self.config.root)
        return [*dict.fromkeys(found)]

    def take_away(self, rules: ChangeRules, known: Set[str]) -> list[str]:
        """Move what no snapshot holds and no leaner may make into the record, but what was KNOWN before."""
        moved = list[str]()
        for path in sorted(self.snapshots.unheld.keys() - known):
            place, kept = self.config.root / path, self.reporter.path(f"put-back-{len(moved)}")
            if rules.is_listed(path) or (rules.permits(path) and not path.endswith("/")):  # who knows what is in it
                continue
            with contextlib.suppress(OSError):
                if place.lstat().st_size > LARGEST:
                    place.unlink()
                else:
                    shutil.move(place, kept)
                    self.reporter.mask_file(kept)
                moved.append(path)
                self.snapshots.unheld.pop(path)
        return moved

    def undo_call(self, before: str) -> None:
        """Put all back to BEFORE a call that was cut, or could not be put in order; a second signal skips that."""
        try:
            self.find_root()
            if self.seen:
                self.snapshots.shape.mend(self.seen)
            self.snapshots.repository.put_back(self.reporter.path("repository"))
            now = self.snapshots.take()
            if changed := self.snapshots.changed(now, before):
                self.bring_back(now, before, changed, "the state before the call")
            self.lost_beside()
            self.reporter.emit("settled", before=before, after=before)
        except Interrupted as second:
            second.left = "the project was not put in order: the next run does it, or now: lean-loop --undo"
            raise

    # What a call did to the user's repository, and the uncommitted work that git threw away

    def tidy_repository(self, before: str, task: Task, start: str, leaner: str) -> str:
        """Put back what a call did to the repository, and the uncommitted work that git threw away; take a tree."""
        repository, found = self.snapshots.repository, self.reporter.path("repository")
        repository.unlock()
        after = self.snapshots.take()
        spared = {*task.files, *self.snapshots.changed(start, before)}  # is not the user's own uncommitted work
        thrown = self.snapshots.thrown_away(before, after, spared) if repository.places else []
        if said := repository.put_back(found):
            for path in filter(Path.is_file, found.rglob("*")):
                self.reporter.mask_file(path)
            what = f"{leaner} changed the repository itself ({said}), and it was put back"
            self.warn(f"{what}. What was found there: {found}")
        if thrown:
            self.snapshots.restore(after, before, thrown)
            after = self.snapshots.take()
        if lost := [*thrown, *self.lost_beside()]:
            self.warn(f"{leaner} threw away work that is not committed, and it was put back: {few_names(lost, 20)}")
        return after

    def lost_beside(self) -> list[str]:
        """Put back what a call threw away beside the project in its repository; name it."""
        lost, aside = list[str](), self.reporter.path("beside")
        for place in self.neighbours or ():
            with contextlib.suppress(GitError, OSError):
                own = place.repository is self.snapshots.repository
                lost += place.put_lost_back(self.config.root, None if own else aside) if place.before else []
        if kept := [path for path in aside.rglob("*") if path.is_file()]:
            for path in kept:
                self.reporter.mask_file(path)
            names = few_names([str(path.relative_to(aside)) for path in kept], 9)
            self.warn(
                f"work that is not committed went from another work tree meanwhile: {names}. A copy lies in {aside}"
            )
        return lost
