"""The processes of runs: the sessions that one starts, what a killed one left running, and who holds a project.

The loop loads this file for every run. A session is known by its number and by when its first process began, which hold
where a program drops its variables and leaves its group.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from leanloop import descendants, read_text, send_signal


@dataclass(frozen=True)
class Process:
    """A process as Linux tells of it; `born` counts from the start of the machine."""

    pid: int
    state: str
    session: int
    born: int


def read_process(pid: int) -> Process | None:
    """Read what Linux tells of a process; nothing where there is none, or elsewhere."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return Process(pid, facts[0], int(facts[3]), int(facts[19]))
    return None


def process_start_time(pid: int) -> str:
    """Tell when a process that has not ended was started, in the system's own words; nothing where there is none."""
    if Path("/proc/self/stat").is_file():
        process = read_process(pid)
        return str(process.born) if process and process.state != "Z" else ""
    with contextlib.suppress(OSError):
        listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
        return listing.stdout.strip()
    return ""


def new_sessions(pid: int, known: Set[int]) -> dict[int, str]:
    """List the sessions of PID and of all that this process started, but those KNOWN, with when they began."""
    own = read_process(os.getpid())
    if not own:
        return {} if pid in known else {pid: process_start_time(pid)}
    found = dict[int, int]()
    for process in filter(None, map(read_process, {pid, *descendants(own.pid)})):
        if process.session not in {own.session, *known}:
            found[process.session] = min(process.born, found.get(process.session, process.born))
    return {session: str(born) for session, born in found.items()}


def end_left_over(folder: Path, started: Iterable[Mapping[str, object]]) -> int:
    """End what a killed run left running, known by the sessions that it STARTED, or by its FOLDER in the variables."""
    left = {*still_in_sessions(started), *with_variable(folder)}
    found = {pid for start in left for pid in (start, *descendants(start))} - {os.getpid()}
    for pid in found:
        send_signal(pid, signal.SIGKILL)
    return len(found)


def still_in_sessions(started: Iterable[Mapping[str, object]]) -> Iterator[int]:
    """List the processes of sessions that STARTED in the life of this machine, but those whose number is another's."""
    events = [event for event in started if event["born"]]
    if not Path("/proc/uptime").is_file():
        yield from (int(str(event["pid"])) for event in events if is_same_process(event))
        return
    awake = time.time() - float(read_text(Path("/proc/uptime")).split()[0])
    born = {int(str(event["pid"])): int(str(event["born"])) for event in events if float(str(event["time"])) > awake}
    there = filter(None, map(read_process, all_processes() if born else ()))
    running = [process for process in there if process.state != "Z"]  # which has ended, and is not taken note of yet
    others = {process.pid for process in running if process.pid in born and process.born > born[process.pid]}
    for process in running:
        if process.session in born.keys() - others and process.born >= born[process.session]:
            yield process.pid


def is_same_process(event: Mapping[str, object]) -> bool:
    return process_start_time(int(str(event["pid"]))) == event["born"]


def all_processes() -> list[int]:
    return [int(place.name) for place in Path("/proc").glob("[0-9]*")]


def with_variable(folder: Path) -> Iterator[int]:
    """List the processes that have the name of a FOLDER among their variables (Linux)."""
    for pid in all_processes():
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in Path(f"/proc/{pid}/environ").read_bytes():
                yield pid


def tell_holder(folder: Path, locked: str) -> str:
    """Say who holds a project, by what is written in its lock; one that is stopped does not end by itself."""
    number = re.match(r"process (\d+)", locked)
    if not (number and state_of(int(number[1])) in ("T", "t")):
        return f"another lean-loop ({locked}) holds this project. Wait for it."
    pid, run = number[1], max((folder / "runs").glob("*"), default=folder).name
    return (
        f"the run {run} of process {pid} is stopped, and holds this project. Let it go on: kill -CONT {pid};"
        f" or end it: kill -KILL {pid}, after which the next run puts the project in order."
    )


def state_of(pid: int) -> str:
    """Tell the state of a process by a letter, T where it is stopped; nothing where that is unknown."""
    if process := read_process(pid):
        return process.state
    with contextlib.suppress(OSError):
        listing = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True)
        return listing.stdout.strip()[:1]
    return ""
