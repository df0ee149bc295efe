#!/usr/bin/env python3
"""Tell what the loop itself adds to a bare shell script that makes the same calls, as ratios within one run.

The leaner edits one file with sed and the test is a grep that never finds its word, so that nearly all of the time is
the loop's. An iteration is the slope between a short and a long run, so that the start does not count in it. Both sides
are timed in turn, so that other load on the machine meets both, and the median counts. A start is what it takes of the
processor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEANLOOP = [sys.executable, str(ROOT / "leanloop.py")]
INSTALLED = [sys.executable, "-c", "from leanloop import main; main()"]
LEANER = '#!/usr/bin/env bash\nsed -i "s/[0-9]*$/$(($(cat count) + 1))/" count\necho done\n'
LEANFILE = """
[lean]
binary = "{leaner}"
base_url = ""
[runner]
command = "grep"
args = ["-q", "never", "count"]
[defaults]
summarize_errors = false
max_iters_per_task = {fixes}
[guard]
on_fail = "keep"
[[tasks]]
name = "count"
prompt = "Count on."
files = ["count"]
"""
BARE = 'for i in $(seq {calls}); do bash "{leaner}" -p x </dev/null >/dev/null; grep -q never count; done; true\n'


def seconds(argv: list[str], cwd: Path, env: dict[str, str]) -> float:
    """Time one command."""
    begun = time.perf_counter()
    subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - begun


def processor_seconds(argv: list[str], cwd: Path, env: dict[str, str]) -> float:
    """Tell what one command takes of the processor; other work on the machine hardly counts."""
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def columns(rounds: int, *measures: Callable[[], float]) -> list[tuple[float, ...]]:
    """Take each of MEASURES in turn, ROUNDS times."""
    return list(zip(*([measure() for measure in measures] for _ in range(rounds)), strict=True))


def medians(rounds: int, *measures: Callable[[], float]) -> list[float]:
    """Give the median of each of MEASURES, taken in turn."""
    return [statistics.median(column) for column in columns(rounds, *measures)]


def make_project(folder: Path, files: int) -> Path:
    """Make a committed project of FILES small files."""
    project = folder / f"project-{files}"
    for number in range(files):
        path = project / f"part{number // 200}" / f"file{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    (project / "count").write_text("0\n")
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for args in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "start"]):
        subprocess.run(["git", *args], cwd=project, check=True)
    return project


def measure(folder: Path, files: int, options: argparse.Namespace, env: dict[str, str]) -> tuple[float, float]:
    """Time an iteration of the bare script and one of the loop in a project of FILES files; seconds."""
    project, leaner = make_project(folder, files), folder / "leaner.sh"
    leaner.write_text(LEANER)

    def loop(calls: int) -> float:
        (project / "leanfile.toml").write_text(LEANFILE.format(leaner=leaner, fixes=calls - 1))
        return seconds(LEANLOOP, project, env)

    def bare(calls: int) -> float:
        return seconds(["bash", "-c", BARE.format(leaner=leaner, calls=calls)], project, env)

    def slope(run: Callable[[int], float]) -> float:
        return (run(options.many) - run(options.few)) / float(options.many - options.few)

    loop(1)  # makes the private repository
    bare_seconds, loop_seconds = medians(options.rounds, lambda: slope(bare), lambda: slope(loop))
    return bare_seconds, loop_seconds


def snapshots(folder: Path, files: int, rounds: int) -> tuple[float, float, float]:
    """Time `git status`, a snapshot of an unchanged tree, and one after an edit, among FILES files; the least seconds.

    What else the machine does only ever adds to them.
    """
    sys.path.insert(0, str(ROOT))
    from leanloop import Guard, load_beside

    project, state = make_project(folder / "snapshots", files), folder / f"state-{files}"
    state.mkdir()
    time.sleep(1)  # so that no file is as young as an index
    limits = Guard.max_file, Guard.max_ignored
    taken = load_beside("_snapshots").open_snapshots(project, state, *limits)
    taken.take()

    def timed(act: Callable[[], object]) -> float:
        begun = time.perf_counter()
        act()
        return time.perf_counter() - begun

    def edit_and_take() -> float:
        (project / "count").write_text(f"{time.perf_counter()}\n")
        return timed(taken.take)

    def status() -> float:
        return seconds(["git", "status"], project, {**os.environ})

    found = columns(rounds, status, lambda: timed(taken.take), edit_and_take)
    least, unchanged, edited = map(min, found)
    return least, unchanged, edited


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[100, 20_000], help="sizes of the projects")
    parser.add_argument("--few", type=int, default=2, help="calls of the short run")
    parser.add_argument("--many", type=int, default=12, help="calls of the long run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of which the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {**os.environ, "HOME": name, "XDG_STATE_HOME": f"{name}/state", "XDG_CONFIG_HOME": f"{name}/config"}
        cached = {**env, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": name, "PYTHONDONTWRITEBYTECODE": ""}
        seconds([*INSTALLED, "--version"], folder, cached)  # compiles it
        python, script, installed = medians(
            options.rounds,
            lambda: processor_seconds([sys.executable, "-c", "pass"], folder, env),
            lambda: processor_seconds([*LEANLOOP, "--version"], folder, env),
            lambda: processor_seconds([*INSTALLED, "--version"], folder, cached),
        )
        in_ms = f"({script * 1000:.0f} against {python * 1000:.0f} ms)"
        print(f"start: {script / python:.1f} times a bare Python {in_ms}", flush=True)
        print(f"start of an installed one: {installed / python:.1f} times ({installed * 1000:.0f} ms)", flush=True)
        for files in options.files:
            bare, loop = measure(folder, files, options, env)
            added = (loop - bare) * 1000
            ratio = f"{loop / bare:.1f} times a bare script (adds {added:.0f} ms)"
            print(f"iteration, {files:,} files: {ratio}", flush=True)
            status, unchanged, edited = snapshots(folder, files, 2 * options.rounds)
            ratios = f"{unchanged / status:.2f} of a `git status`, {edited / status:.2f} after an edit"
            print(
                f"snapshot, {files:,} files: {ratios} ({unchanged * 1000:.0f} and {edited * 1000:.0f} ms)", flush=True
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
