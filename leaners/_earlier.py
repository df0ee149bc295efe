"""Earlier runs: what their records say, tidying up after one that was killed, and going on with one.

The loop loads this file before each run. The verbs --restore, --undo, --runs and --report take the options and what is
shown where; each gives an exit code, or a text to print.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _keys import masker_of
from _page import COSTLY, Event, add_usage, chapters, few_names, many, outcome, read_events, run_rows
from _processes import end_left_over
from _repository import Repository
from _screen import columns, inked
from _shape import Shape
from _snapshots import Snapshots, open_neighbours
from leanloop import (
    BEAT,
    GREEN,
    MASKED,
    MISUSE,
    TABLES,
    Config,
    Document,
    GitError,
    Leaner,
    LeanError,
    Resumed,
    Run,
    Shows,
    Usage,
    as_text,
    build,
    encodable,
    git,
    is_older,
    load,
    load_all,
    load_beside,
    project_folder,
    read_regular,
    read_static,
    read_text,
    read_toml,
    recorded,
    replace,
    resolve_leaner,
    state_folder,
    static_config,
)

JUDGES = ("tested", "attempt", "result", "restored")


@dataclass(frozen=True)
class RunRecord:
    """An earlier run (a restore counts as one too) as its events tell of it."""

    folder: Path
    events: tuple[Event, ...]

    @property
    def first(self) -> Event:
        return self.events[0]

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event["event"] in kinds]

    @property
    def states(self) -> dict[str, str]:
        """Name its trees: 0 before the run, N.0 before task N, N.M its attempt M, N as it ended, "" the last of all.

        found-N is what the N-th call left that was put in order, with all that was put back.
        """
        found, task = dict[str, str](), 0
        for number, event in enumerate(self.of("protected"), 1):
            found[f"found-{number}"] = event["tree"]
        for event in self.of("run", "task", "attempt", "result", "asking", "restored"):
            kind, number = event["event"], event.get("number", 0)
            if kind in ("task", "result"):
                task = number
            names = {"run": "0", "task": f"{task}.0", "attempt": f"{task}.{number}", "result": f"{task}"}
            found[names.get(kind, "")] = found[""] = event["tree"]
        return found

    @property
    def changes(self) -> set[tuple[str, str]]:
        """List the trees before and after each call and each restore that changed something."""
        pairs = {(event["before"], event["after"]) for event in self.of("answered", "restored")}
        return {(before, after) for before, after in pairs if before != after}

    def acted(self) -> bool:
        """Tell whether it changed the project, or may have when it was killed."""
        return self.was_killed or bool(self.changes)

    def touched(self, snapshots: Snapshots) -> set[str]:
        """List what leaners, or a restore, changed in it."""
        return {path for before, after in self.changes for path in snapshots.changed(before, after)}

    @property
    def unfinished(self) -> tuple[str, list[str] | None]:
        """Name the tree that a step was to leave or to come back to when it was cut, and its paths where it knew them.

        Such a step is a call, an edit that was not judged, a red state that is to be left out, or a restore.
        """
        tree, paths, settled, start = "", None, False, ""
        for event in self.events:
            kind = event["event"]
            start = event["tree"] if kind == "task" else start
            if kind in ("asking", "restoring"):
                tree, paths, settled = event["tree"], event.get("paths"), False
            elif kind == "settled":
                tree, settled = event["before"] if event["after"] != event["before"] else "", True
            elif kind == "result" and event.get("left_out"):
                tree, paths = start, event["paths"]
            elif kind in JUDGES or (kind == "outcome" and settled):
                tree = ""
        return tree, paths

    @property
    def beside(self) -> dict[str, str]:
        """Name the states of what lies beside the project before a call that was not settled."""
        found = dict[str, str]()
        for event in self.of("beside", "settled"):
            if event["event"] == "settled":
                found.clear()
            else:
                found[event["name"]] = event["tree"]
        return found

    @property
    def died(self) -> float:
        """Tell when it gave its last sign of life."""
        return (self.folder / "events.jsonl").stat().st_mtime + 2 * BEAT

    @property
    def was_killed(self) -> bool:
        return not self.of("outcome")

    @property
    def green(self) -> list[str]:
        """List the fingerprints of the tasks that were green, those before it included where it was a resumed run."""
        found = list[str](self.first["green"])
        for chapter in chapters(self.events):
            end = chapter[-1]
            if end["event"] == "result" and end["state"] != "red":
                found.append(chapter[0]["digest"])
        return found

    @property
    def cut(self) -> list[Event]:
        """Give the events of the task that was not brought to an end."""
        last = chapters(self.events)[-1:]
        return last[0] if last and last[0][-1]["event"] != "result" else []

    @property
    def spent(self) -> Event:
        """Add up calls, tokens and seconds, those of the runs that it resumed included."""
        before = self.first["spent"]
        return {
            "calls": before.get("calls", 0) + len(self.of(*COSTLY)),
            "usage": vars(Usage(**before.get("usage", {})) + Usage(**add_usage(self.events))),
            "seconds": before.get("seconds", 0) + self.events[-1]["time"] - self.first["time"],
        }


def run_folders(folder: Path) -> list[Path]:
    """List the folders of the project's runs, oldest first."""
    return sorted(path.parent for path in (folder / "runs").glob("*/events.jsonl") if path.is_file())


def read_records(folder: Path) -> list[RunRecord]:
    """Read the runs of a project, oldest first."""
    records = (RunRecord(run, tuple(read_events(run))) for run in run_folders(folder))
    return [record for record in records if record.events and "root" in record.first]


def forget(snapshots: Snapshots, keep: int, thorough: bool = False) -> None:
    """Remove the runs beyond the KEEP latest, and what only their trees hold, or (THOROUGH) what no run's trees do."""
    runs = run_folders(snapshots.folder)
    old = runs[:-keep] if keep else []
    events = "".join(as_text(read_regular(run / "events.jsonl")) for run in runs[len(old) :])
    trees = {*re.findall(r'(?<=")(?:[0-9a-f]{40}|[0-9a-f]{64})(?=")', events)}
    snapshots.prune_borrowed_objects(trees)
    for run in old:
        shutil.rmtree(run, ignore_errors=True)
    if old or thorough:
        snapshots.git("prune", "--expire=now", *trees)
        for place in (snapshots.folder / "beside").glob("*"):
            places = {"GIT_DIR": str(place / "snapshots.git"), "GIT_INDEX_FILE": str(place / "index")}
            git(["prune", "--expire=now"], place, places)


# ------------------------------------------------------------------------------------------------ after a killed run


def load_tidied(options: argparse.Namespace, shows: Shows) -> list[Config]:
    """Load the leanfiles that are named, once it is tidied up after runs of theirs, and of projects that they mean."""
    for path in options.config:
        tidy_up(path, shows, static=options.global_config)
    configs = load_all(options)
    for config in configs:
        tidy_up(config.path, shows, config.root)
    return configs


def tidy_up(path: Path, shows: Shows, root: Path | None = None, static: str | None = None) -> None:
    """Tidy up after a run that was killed, before the leanfile at PATH is read: it may have been changed, too.

    Where its ROOT is known, also after one that another leanfile began there.
    """
    if root:
        drop_odd(project_folder(root))
    for record in last_runs(path, root):
        if record.was_killed or record.unfinished[0]:
            drop_odd(record.folder.parents[1])
            with contextlib.suppress(LeanError):  # their keys are hidden, nothing else of them counts
                read_static(static_config(static))
                read_toml(path)
            with recorded(bare_config(path, Path(record.first["root"])), shows) as run:
                killed = unsettled(run.snapshots.folder)
                run.begin("tidying up")
                for earlier in killed:
                    recover(run, earlier)
                if what := run.workspace.repaired:
                    run.workspace.warn(f"the repository was put back, where the killed run had changed it ({what})")
                run.reporter.emit("outcome", code=GREEN)


def last_runs(path: Path, root: Path | None = None) -> list[RunRecord]:
    """List the last run of each project for which the leanfile at PATH was used then, and that in ROOT."""
    found, wanted = list[RunRecord](), [f'"file": {json.dumps(str(path.resolve()))}']
    wanted += [f'"root": {json.dumps(str(root))}'] if root else []
    for project in state_folder().glob("*"):
        for run in run_folders(project)[-1:]:
            with contextlib.suppress(OSError):
                first = read_regular(run / "events.jsonl").partition(b"\n")[0]
                if any(pair.encode() in first for pair in wanted):
                    found.append(RunRecord(run, tuple(read_events(run))))
    return found


def unsettled(folder: Path) -> list[RunRecord]:
    """List the runs that may need tidying up, the latest first: the last, and what it was to tidy up when it died."""
    found = list[RunRecord]()
    for record in reversed(read_records(folder)):
        found.append(record)
        if not record.was_killed or record.of("task", "warning"):
            break
    return found


def recover(run: Run, record: RunRecord) -> None:
    """End what a killed run left running, and undo what its unfinished step changed; keep what is younger than it."""
    for report in record.folder.glob("*-junit.xml"):  # it repeats the output of tests, unmasked
        report.unlink(missing_ok=True)
    warn = run.workspace.warn
    ended = end_left_over(record.folder, record.of("started")) if record.was_killed else 0
    try:
        undo_unfinished(run, record, bool(ended))
    except GitError as error:
        warn(f"what the last step of {record.folder.name} changed stays as it is, for its state is not there: {error}")
    if record.beside:
        run.workspace.neighbours = open_neighbours(run.snapshots)
        for place in run.workspace.neighbours:
            place.before = record.beside.get(place.folder.name, "")
        if lost := run.workspace.lost_beside():
            warn(f"that run threw away work that is not committed, and it was put back: {few_names(lost, 20)}")
    if record.was_killed:
        also = ", and what it had left running was ended" if ended else ""
        warn(f"the run {record.folder.name} was killed{also}. To go on with it: lean-loop --resume")


def undo_unfinished(run: Run, record: RunRecord, ended: bool) -> None:
    """Undo what the unfinished step of a run changed, and name it; ENDED says that something of it went on."""
    tree, paths = record.unfinished
    if not tree:
        return
    now = run.snapshots.take()
    mask = run.reporter.mask
    changed = {path for path in run.snapshots.changed(tree, now) if paths is None or mask(path) in paths}
    own = {path for path in changed if is_older(run.config.root / path, record.died)}
    if ended and (young := sorted(changed - own)):  # it wrote on, and nobody can tell whose these are
        run.workspace.warn(f"changed while something was left running, and put back: {few_names(young, 9)}")
        run.reporter.emit("protected", paths=young, tree=now)
        own = changed
    run.workspace.bring_back(now, tree, own, f"the last finished step of {record.folder.name}", changed - own)
    if own:
        run.workspace.warn(f"put back, as that run had changed it: {few_names(sorted(own), 9)}")


def put_repository_back(folder: Path, found: Path) -> str:
    """Put the user's repository back after a call that was killed; tell what it was that had changed."""
    link, *places = map(Path, read_text(folder / "git/places").splitlines() or [""])
    for record in unsettled(folder):
        if record.unfinished[0]:
            begun = max((event["time"] for event in record.of("asking")), default=record.died)
            Shape(Path(record.first["root"]), folder / "rights.json").mend_killed(begun, record.died)
            return Repository(link, tuple(places), folder / "git").put_back(found, record.died) if places else ""
    return ""


def drop_odd(folder: Path) -> None:
    """Remove what is no file in a project's FOLDER, but among objects: git would wait for the other end of a FIFO."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if len(entry.name) != 2 and entry.name != "pack":
                    drop_odd(Path(entry.path))
            elif not (entry.is_file() or entry.is_symlink()):
                Path(entry.path).unlink()


def bare_config(path: Path, root: Path, document: Document | None = None) -> Config:
    """Make the configuration of a project whose leanfile is not to be relied upon, of a static DOCUMENT alone."""
    static = document or {}
    tables: Document = {name: build(cls, static.get(name, {}), f"[{name}]") for name, cls in TABLES.items()}
    tables |= {"lean": resolve_leaner(static, {}, Leaner), "guard": replace(tables["guard"], keep_runs=0)}
    return Config(path=path, root=root, escalate=(), tasks=(), taskless=False, **tables)


# ------------------------------------------------------------------------------------------------------------ resuming


def resume(run: Run) -> Resumed:
    """Tell what the last run of the leanfile left to go on with; nothing where there is none.

    By then the repository is put back (`recorded`), and an unfinished step undone (`tidy_up`).
    """
    records, leanfile = read_records(run.snapshots.folder), str(run.config.path.resolve())
    own = [record for record in records if record.first["file"] == leanfile and record.first["tasks"]]
    if not own:
        return Resumed()
    last = own[-1]
    parts = runs_of_cut(own)
    begun: Event = parts[0].cut[0] if parts else {"digest": "", "dirty": ()}
    rounds = [{event["round"] for event in record.cut if event["event"] == "attempt"} for record in parts]
    return Resumed(
        green=tuple(last.green),
        stirred=bool(work_since(run, last, records)),
        unfinished=begun["digest"],
        attempts=sum(map(len, rounds)),
        dirty=frozenset(unmasked(run, begun["dirty"], begun.get("tree", ""))),
        touched=frozenset(path for record in parts for path in record.touched(run.snapshots)),
        spent=last.spent,
    )


def runs_of_cut(own: Sequence[RunRecord]) -> list[RunRecord]:
    """List the runs that worked on the task which was not brought to an end, the latest first; each resumed one."""
    found = list[RunRecord]()
    for record in reversed(own):
        if found and record.cut and record.cut[0]["digest"] != found[0].cut[0]["digest"]:
            break
        if record.cut:
            found.append(record)
        if not record.first["spent"] or (not record.cut and record.of("result")):
            break
    return found


def work_since(run: Run, last: RunRecord, records: Sequence[RunRecord]) -> set[str]:
    """List what green tasks of earlier runs changed and what is not any more as the LAST run left it."""
    made = set[str]()
    for record in records:
        for event in record.of("result"):
            if event["state"] != "red":
                made |= {path for path, *_ in event["changed"]}
    changed, mask = run.snapshots.changed(last.states[""], run.snapshots.take()), run.reporter.mask
    return {path for path in changed if mask(path) in made}


def unmasked(run: Run, names: Sequence[str], tree: str) -> Sequence[str]:
    """Give NAMES of files as they are, which a record may hold masked; those of a TREE tell."""
    if not any(MASKED in name for name in names):
        return names
    return [path for path in run.snapshots.paths(tree) if run.reporter.mask(path) in names]


# --------------------------------------------------------------------------------------------------------- the verbs


def find_run(folder: Path, named: str, meant: Callable[[RunRecord], bool]) -> RunRecord:
    """Find the run that NAMED means: a folder's name, the beginning of only one, or "last": the last that is MEANT."""
    records = read_records(folder)
    if not records:
        raise LeanError("this project has no runs yet. Start one with: lean-loop")
    if named == "last":
        return (list(filter(meant, records)) or records)[-1]
    fitting = [record for record in records if record.folder.name.startswith(named)]
    if len(fitting) == 1:
        return fitting[0]
    latest = f"The latest is {records[-1].folder.name}; lean-loop --runs lists all"
    raise LeanError(f"{len(fitting) or 'no'} runs of this project begin with '{named}'. {latest}.")


def restore_state(options: argparse.Namespace, shows: Shows) -> int:
    """Bring back a state of an earlier run, or some files of it."""
    if options.restore and options.undo:
        raise LeanError("--undo and --restore: these do not go together. Ask for one of them.")
    place, *paths = options.restore or [f"{options.undo}/0"]
    name, _, state = place.partition("/")
    config = config_here(options)
    record = find_run(project_folder(config.root), name, RunRecord.acted)  # before one more is made
    tidy_up(config.path, shows, config.root)
    if state not in record.states:
        known = ", ".join(filter(None, record.states))
        raise LeanError(
            f"{record.folder.name} has no state '{state}'. It has: {known} (N.M: attempt M of task N)."
            " Other runs: lean-loop --runs"
        )
    with recorded(config, shows) as run:
        run.begin(f"restore {place}")
        now, tree = run.snapshots.take(), record.states[state]
        wanted = wanted_of(record, state, paths, run, now)
        if wanted is None:
            left = run.workspace.bring_back(record.states[""], tree, record.touched(run.snapshots), place)
        else:
            left = run.workspace.bring_back(now, tree, wanted, place)
        run.reporter.emit("outcome", code=GREEN)
        changed = run.snapshots.changed(now, run.snapshots.take())
        said = tell_restored(record, state, changed, left, run, options.undo == "last")
        shows.say(run.reporter.mask(" ".join(said.splitlines())), shows.err if shows.json else shows.out)
    return GREEN


def wanted_of(record: RunRecord, state: str, paths: Sequence[str], run: Run, now: str) -> list[str] | None:
    """List what is to be brought back: what PATHS name, or what a call left that was put back then; None for all."""
    tree = record.states[state]
    if paths:
        return differing(paths, run, now, tree)
    if not state.startswith("found-"):
        return None
    masked = record.of("protected")[int(state.removeprefix("found-")) - 1]["paths"]
    return [path for path in run.snapshots.changed(now, tree) if run.reporter.mask(path) in masked]


def tell_restored(
    record: RunRecord, state: str, changed: Sequence[str], left: Sequence[str], run: Run, is_undo: bool
) -> str:
    """Say what was put back, what was not, and how to go on."""
    names = f": {few_names(changed, 10)}" if changed else ""
    said = f"{many(len(changed), 'file')} put back to {record.folder.name}{f'/{state}' if state else ''}{names}."
    if later := [item for item in read_records(run.snapshots.folder) if item.folder.name > record.folder.name][:-1]:
        said += f" {many(len(later), 'later run')} changed nothing." if is_undo else ""
    if commits := [event["commit"][:10] for event in record.of("committed")]:
        said += f" What it committed stays in the repository: {few_names(commits, 10)}."
    if left:
        again = f"lean-loop --restore {record.folder.name}/{state} {shlex.join(left)}"
        said += f" Edited since, and left alone: {', '.join(left)}. To put that back too: {again}."
    return said + (" To take this back: lean-loop --undo" if changed else "")


def differing(paths: Sequence[str], run: Run, now: str, tree: str) -> list[str]:
    """List what differs between two trees in files and folders that are given from the current folder."""
    found, root, held = list[str](), run.config.root, run.snapshots.paths(tree)
    for given in paths:
        path = Path(given).parent.resolve() / Path(given).name
        name = f"{path.relative_to(root).as_posix()}/".removeprefix("./") if path.is_relative_to(root) else "?"
        if not os.path.lexists(path) and not any(f"{known}/".startswith(name) for known in held):
            run.reporter.emit("outcome", code=MISUSE)
            raise LeanError(f"{given}: this is neither here nor in that state. Name a file of the project {root}.")
        found += [path for path in run.snapshots.changed(now, tree) if f"{path}/".startswith(name)]
    return found


def config_here(options: argparse.Namespace) -> Config:
    """Load the leanfile; where it cannot be read, take the project that it was last used for, and defaults."""
    path = options.config[0]
    try:
        return load(path, static_config(options.global_config))
    except LeanError:
        for record in last_runs(path):
            return bare_config(path, Path(record.first["root"]))
        raise


def config_of(record: RunRecord, options: argparse.Namespace) -> Config:
    """Load the leanfile of a run; where it cannot be read, the static configuration alone."""
    path, static = Path(record.first["file"]), static_config(options.global_config)
    try:
        return load(path, static)
    except LeanError:
        return bare_config(path, Path(record.first["root"]), read_static(static))


def runs_here(options: argparse.Namespace) -> Path:
    """Find what lean-loop keeps of this project; where no leanfile lies, of the one in which it ran last."""
    if options.config[0].exists() or last_runs(options.config[0]):
        return project_folder(config_here(options).root)
    latest = max(state_folder().glob("*/runs/*"), key=lambda folder: folder.name, default=None)
    if not latest:
        raise LeanError(f"{options.config[0]}: there is no such file, and no run yet. Write one: lean-loop --init FILE")
    return latest.parents[1]


def list_runs(options: argparse.Namespace, shows: Shows) -> str:
    """List the project's runs, newest first, or remove what nobody needs of any project's."""
    if options.prune:
        pruned: str = load_beside("_prune").prune_state(options)
        return pruned
    folders = run_folders(runs_here(options))
    if not folders:
        shows.say("lean-loop: this project has no runs yet.", shows.err)
        return ""
    return "\n".join(columns(list(run_rows(folders))))


def show_report(options: argparse.Namespace, shows: Shows) -> str:
    """Tell the story of a run, or show all that it changed; the last is the last that worked on a task."""
    if options.html and options.diff:
        raise LeanError("--html and --diff: these do not go together. Ask for one of them.")
    record = find_run(runs_here(options), options.report or "last", lambda record: bool(record.of("task")))
    if options.html:
        written: str = load_beside("_html").write_page(record.folder, record.events, Path(options.html))
        return written
    if options.diff:
        return whole_change(record, config_of(record, options), shows)
    return f"{outcome(record.folder)['report']}\nThe files lie in {record.folder}"


def whole_change(record: RunRecord, config: Config, shows: Shows) -> str:
    """Show, masked, as a diff what differs between the state before a run and the one that it ended with."""
    places = {"GIT_DIR": str(record.folder.parents[1] / "snapshots.git")}
    style = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--no-renames")
    states = record.states["0"], record.states[""]
    text = encodable(git(["diff-tree", "-r", "-p", *style, *states], record.folder, places))
    kinds = {"+": "green", "-": "red"}
    for line in masker_of(config)(text).split("\n")[:-1]:
        end = "\r\n" if line.endswith("\r") else "\n"
        shows.say(inked(line.removesuffix("\r"), kinds.get(line[:1], ""), shows.out), shows.out, end, drawn=True)
    return ""
