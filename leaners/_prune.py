"""--runs --prune: remove what lean-loop keeps and nobody needs.

The loop loads this file where that is asked for. Gone are the runs beyond `[guard] keep_runs`, all of projects whose
folder is no more or that have no run, and the copies of --demo. Left alone is what a run is using now, what lean-loop
did not make, and a project whose folder lay in one that is not there either: a drive may be missing.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _earlier import RunRecord, forget, read_records
from _page import many
from _snapshots import open_snapshots
from leanloop import LeanError, load, lock_file, state_folder, static_config

OWN = re.compile(r"-[0-9a-f]{12}$")  # how lean-loop names its folders
KEPT = "and left alone"


def prune_state(options: argparse.Namespace) -> str:
    """Remove it; say what, and how many bytes are free now."""
    state, lines, freed = state_folder(), list[str](), 0
    for folder in sorted(path for path in state.glob("*") if OWN.search(path.name) and not path.is_symlink()):
        with held(folder) as ours:
            if ours:
                copy = demo_copy(folder)
                before = size_of(folder) + size_of(copy)
                said = prune_project(folder, copy, static_config(options.global_config))
                less = before - size_of(folder) - size_of(copy)
                freed += less
            else:
                said, less = f"{folder.name}: in use, {KEPT}", 0
            if less or said.endswith(KEPT):
                lines.append(f"{said}: {many(less, 'byte')}" if less else said)
    return "\n".join([*lines, f"{many(freed, 'byte')} freed in {state}"])


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a project's FOLDER; tell whether that could be done."""
    with contextlib.ExitStack() as end:
        held = False
        with contextlib.suppress(OSError):
            lock_file(end.enter_context((folder / "lock").open("a+")))
            held = True
        yield held


def demo_copy(folder: Path) -> Path | None:
    """Find the temporary folder of the demo whose record lies in FOLDER, if it is one of a demo."""
    for record in read_records(folder)[:1]:
        place = Path(record.first["root"]).parent
        if place.name.startswith("lean-loop-") and (place / ".lean-loop-demo").is_file():
            return place
    return None


def prune_project(folder: Path, copy: Path | None, static: Path) -> str:
    """Remove what nobody needs of the project whose record lies in FOLDER; say what that was."""
    records = read_records(folder)
    root = Path(records[-1].first["root"]) if records else None
    if root and root.is_dir() and not copy:
        forget(open_snapshots(root, folder, 0, 0), keep_of(records[-1], static), thorough=True)
        return f"{root}: {many(len(records) - len(read_records(folder)), 'run')}, and what no run needs"
    if root and not root.parent.exists() and not root.is_relative_to(Path(tempfile.gettempdir()).resolve()):
        return f"{root}: neither this folder nor that around it is there, {KEPT}"
    for place in filter(None, (folder, copy)):
        shutil.rmtree(place, ignore_errors=True)
    if copy:
        return f"{root}: a copy of a demo, and its state"
    return f"{root}: its state, for the folder is gone" if root else f"{folder.name}: it has no runs"


def keep_of(record: RunRecord, static: Path) -> int:
    """Tell how many runs the leanfile of a RECORD keeps; 0, which is all, where it cannot be read."""
    with contextlib.suppress(LeanError, OSError):
        return load(Path(record.first["file"]), static).guard.keep_runs
    return 0


def size_of(folder: Path | None) -> int:
    """Add up the files in a FOLDER, but those that are shared with the user's repository."""
    total = 0
    for path in folder.rglob("*") if folder and folder.is_dir() else ():
        with contextlib.suppress(OSError):
            seen = path.lstat()
            total += 0 if path.is_dir() or seen.st_nlink > 1 else seen.st_size
    return total
