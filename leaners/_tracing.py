"""What a failing test runs: its file is run once more, under a tracer for Python or Node.

The loop loads this file where that is worth it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from leanloop import Config, Reporter, Runner, Trace, run_process, share, test_argv, test_environment

TRACING, PASSING = 60.0, 200  # seconds that a traced run may take, and how many passing tests it records
TRACERS = {"leanloop_trace.py": "_trace.py", "sitecustomize.py": "_trace.py", "trace.cjs": "_trace.cjs"}


def trace_tests(config: Config, runner: Runner, files: Sequence[str], reporter: Reporter) -> tuple[Trace, ...]:
    """Run the test command once more for the tests of FILES, under the TRACERS; no verdict comes of it.

    All that it needs and finds lies in a folder of its own, which is gone afterwards. Whatever goes wrong, nothing was
    traced: trace.txt of the record tells.
    """
    folder = reporter.path("trace")
    told = {"root": str(config.root), "files": files, "folder": str(folder), "seconds": TRACING, "passing": PASSING}
    try:
        folder.mkdir()
        env = traced_environment(runner, folder) | {"LEANLOOP_TRACE": json.dumps(told)}
        done = run_process(test_argv(runner, config.root), config.root, env=env, timeout=TRACING + 5)
        reporter.write("trace.txt", f"{done.output}\n{done.end}\n")
        return read_traces(folder)
    except OSError as error:
        reporter.write("trace.txt", f"{error}\n")
        return ()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def traced_environment(runner: Runner, folder: Path) -> dict[str, str]:
    """Copy the TRACERS into FOLDER; make the environment in which pytest, Python and Node load them."""
    for name, source in TRACERS.items():
        shutil.copyfile(share() / "leaners" / source, folder / name)
    env = test_environment(runner, "-p leanloop_trace")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), env.get("PYTHONPATH", ""))))
    traced = json.dumps(str(folder / "trace.cjs"), ensure_ascii=False)  # Node reads no escape but that of a quote
    env["NODE_OPTIONS"] = f"{env.get('NODE_OPTIONS', '')} --require {traced}".strip()
    return env


def read_traces(folder: Path) -> tuple[Trace, ...]:
    """Read what the tracers wrote into FOLDER."""
    found: list[Trace] = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found += json.loads(path.read_text(encoding="utf-8"))["tests"]
    return tuple(found)
