"""Earlier runs: --restore, --undo, --runs and --report.

The loop loads this file where one of these is asked for. Each verb takes the options and what is shown where; it gives
an exit code, or a text to print.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from leanloop import (
    GREEN,
    USAGE,
    Config,
    LeanError,
    Run,
    RunRecord,
    Shows,
    bare_config,
    columns,
    last_runs,
    load,
    many,
    page,
    project_folder,
    read_records,
    recorded,
    run_folders,
    static_config,
    tidy_up,
)


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
    place, *paths = options.restore or [f"{options.undo}/0"]
    name, _, state = place.partition("/")
    config = config_here(options)
    record = find_run(project_folder(config.root), name, RunRecord.acted)  # before one more is made
    tidy_up(config.path, shows)
    if state not in record.states:
        known = ", ".join(filter(None, record.states))
        raise LeanError(
            f"{record.folder.name} has no state '{state}'. It has: {known} (N.M: attempt M of task N)."
            " Other runs: lean-loop --runs"
        )
    with recorded(config, shows) as (run, _):
        run.begin(f"restore {place}")
        now, tree = run.snapshots.take(), record.states[state]
        if paths:
            left = run.workspace.put_back(now, tree, differing(paths, run, now, tree), place)
        else:
            left = run.workspace.put_back(record.states[""], tree, record.touched(run.snapshots), place)
        run.reporter.emit("outcome", code=GREEN)
        count = len(run.snapshots.changed(now, run.snapshots.take()))
        said = f"{many(count, 'file')} put back."
        if left:
            again = f"lean-loop --restore {record.folder.name}/{state} {shlex.join(left)}"
            said += f" Edited since, and left alone: {', '.join(left)}. To put that back too: {again}."
        if count:
            said += " To take this back: lean-loop --undo"
        shows.say(said, shows.err if shows.json else shows.out)
    return GREEN


def differing(paths: Sequence[str], run: Run, now: str, tree: str) -> list[str]:
    """List what differs between two trees in files and folders that are given from the current folder."""
    found, root, held = list[str](), run.config.root, run.snapshots.paths(tree)
    for given in paths:
        path = Path(given).parent.resolve() / Path(given).name
        name = f"{path.relative_to(root).as_posix()}/".removeprefix("./") if path.is_relative_to(root) else "?"
        if not os.path.lexists(path) and not any(f"{known}/".startswith(name) for known in held):
            run.reporter.emit("outcome", code=USAGE)
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


def list_runs(options: argparse.Namespace, shows: Shows) -> str:
    """List the project's runs, newest first."""
    folders = run_folders(project_folder(config_here(options).root))
    if not folders:
        shows.say("lean-loop: this project has no runs yet.", shows.err)
        return ""
    return "\n".join(columns(json.loads(page("runs", *map(str, folders)))))


def show_report(options: argparse.Namespace, shows: Shows) -> str:
    """Tell the story of a run; the last is the last that worked on a task."""
    folder = project_folder(config_here(options).root)
    record = find_run(folder, options.report, lambda record: bool(record.of("task")))
    return f"{page('report', str(record.folder))}\nThe files lie in {record.folder}"
