"""A space of its own for an agent, by bubblewrap (bwrap): what it may write to, its own processes and devices.

The loop loads this file where `[guard] sandbox` is "auto" and a wrapper's first comment says what its CLI `writes`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from _workspace import Workspace
from leanloop import LeanError, Program, expand_home, find_program, home, run_process, share, state_folder

TEMPORARY = ("/tmp", "/var/tmp")
APART = ("--die-with-parent", "--unshare-pid", "--cap-drop", "CAP_SYS_ADMIN", "--ro-bind", "/", "/")
DEVICES = ("--dev", "/dev", "--proc", "/proc")


def enclose(
    argv: Sequence[str], writes: Sequence[str], env: Mapping[str, str], scratch: Path, workspace: Workspace
) -> list[str]:
    """Return ARGV as it starts in a space of its own; as it is where there is no bubblewrap, or it does not work here.

    The latter is told once. ENV are the leaner's variables, SCRATCH is the folder for what it leaves to the loop.
    """
    program = shutil.which("bwrap")
    if not program:
        return [*argv]
    if why := trouble(program):
        if why not in workspace.heard:
            workspace.heard.add(why)
            workspace.warn(f"[guard] sandbox: agents run without one, because bwrap does not work here: {why}")
        return [*argv]
    named = [expand_home(os.path.expandvars(path)) for path in (*writes, "$TMPDIR")]
    if not (env.get("LEAN_BASE_URL") or env.get("LEAN_API_KEY")):  # with its own account a CLI makes its folders
        for folder in [place for place, path in zip(named, writes, strict=False) if path.endswith("/")]:
            if folder.is_absolute():
                folder.mkdir(parents=True, exist_ok=True)
    own = [path for path in named if path.is_absolute()]
    return [program, *APART, *DEVICES, *places(own, scratch, workspace), "--", *argv]


def warn_of_bare(workspace: Workspace) -> None:
    """Tell, as a run begins, which of its agents run without a sandbox though there is one."""
    config, bwrap = workspace.config, shutil.which("bwrap")
    if config.guard.sandbox == "off" or not bwrap:
        return
    with contextlib.suppress(LeanError):  # a leaner that is not there is told of where it is called
        bare = bare_of(find_program(leaner) for leaner in config.leaners)
        if bare and not trouble(bwrap):
            why = "the first comment does not say what it writes (writes=, see leaners/README.md)"
            workspace.warn(f"without a sandbox: {', '.join(bare)}; {why}")


def bare_of(programs: Iterable[Program]) -> list[str]:
    """Name those of PROGRAMS that start an agent, and do not say what it writes."""
    return sorted({program.name for program in programs if program.writes is None and not program.tells_edits})


def tell_sandbox(programs: Iterable[Program]) -> str:
    """Say for --check whether agents run in a sandbox here, and which do not."""
    bare = bare_of(programs)
    program = shutil.which("bwrap")
    if not program:
        return "none, bubblewrap (bwrap) is not installed: an agent may do what you may"
    if why := trouble(program):
        return f"none, bwrap does not work here ({why}): an agent may do what you may"
    return "bwrap: an agent writes to the project, its own and temporary folders" + (
        f"; not {', '.join(bare)}" if bare else ""
    )


@cache
def trouble(program: str) -> str:
    """Try bubblewrap; say why it does not work here, nothing where it does."""
    done = run_process([program, *APART, *DEVICES, "--", "true"], Path("/"), timeout=20)
    return "" if done.code == 0 else done.output.strip().rpartition("\n")[2] or f"it {done.end}"


def places(writes: Sequence[Path], scratch: Path, workspace: Workspace) -> Iterator[str]:
    """Say what is read-only and what is not, in bubblewrap's words; of two that name a place the later counts."""
    root, repository = workspace.config.root, workspace.snapshots.repository
    own = home()
    yield from bind(*map(Path, TEMPORARY))
    yield from bind(share(), *([own] if own and own != Path("/") else []), kind="--ro-bind-try")
    yield from bind(*writes)
    yield from bind(root)
    yield from bind(repository.link, *repository.places, state_folder(), kind="--ro-bind-try")
    yield from bind(scratch)


def bind(*paths: Path, kind: str = "--bind-try") -> Iterator[str]:
    """Let places be what their KIND says; one that is not there stays so."""
    for path in dict.fromkeys(path.resolve() for path in paths):
        yield from (kind, str(path), str(path))
