"""Record which lines of a project each of its tests runs; loaded into the project's own test run from outside.

lean-loop copies this file twice into a folder of its run, puts that folder on PYTHONPATH, and starts the test command
again: as `leanloop_trace` pytest takes it for a plugin (`-p`), as `sitecustomize` Python itself loads it, for unittest
and plain scripts. The settings are JSON in the variable LEANLOOP_TRACE:

    root     the project; only its files are recorded, none of a dependency
    files    the test files that are run, relative to the root; others are passed over
    folder   where <process id>.json is written
    seconds  after which the run is ended, with what is known by then
    passing  how many passing tests are recorded
    test     set for a process that a test starts: that test's name

It writes {"tests": [{"name", "failed", "calls": [[path, line, last, count, near]], "lines": {path: [line]}}]}: of each
function that ran its first line, the place of its last call in the order of calls, the number of calls, and whether the
test called it itself. `failed` is null for what a process ran that the test started.
Python 3.8 or newer, standard library only. Nothing is written anywhere else.
"""

# It has to run on Python 3.8, and starts with every Python of a traced run.
# ruff: noqa: PTH112, PTH118, PTH119, PTH120, PTH123, UP035

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import threading
from typing import Any, Callable, TypeVar

DEPENDENCIES = ("site-packages", "dist-packages", "node_modules", "venv", ".venv", ".tox", ".nox", ".git")
# What tells of a failed assertion calls __repr__ and __eq__ of the project, which is no part of the test.
TELLING = ("/_pytest/assertion/", "/_pytest/_io/", "/unittest/util.py", "/pprint.py", "/difflib.py")
MUTE = ""
FUNCTION = 1  # CO_OPTIMIZED of a code object's flags
SETTINGS = "LEANLOOP_TRACE"
FAILING = 20
pytest: Any = sys.modules.get("pytest")
tracer: Any = None
Function = TypeVar("Function", bound=Callable[..., Any])


class Tracer:
    """Records the project's calls and lines, one test at a time."""

    def __init__(self, root: str, files: list[str], folder: str, seconds: float, passing: int, test: str = "") -> None:
        self.told_of = {"root": root, "files": files, "folder": folder, "seconds": seconds, "passing": passing}
        self.test = test
        self.root, self.folder, self.passing = os.path.realpath(root) + os.sep, folder, passing
        self.files = {os.path.realpath(os.path.join(root, path)) for path in files}
        self.known: dict[int, tuple[str | None, Any]] = {}
        self.tests: list[dict[str, Any]] = []
        self.name: str | None = None
        self.calls: dict[int, list[Any]] = {}
        self.lines: dict[int, set[int]] = {}
        self.order, self.muted, self.on, self.outcome = 0, 0, False, ""
        self.clock = threading.Timer(seconds, self.give_up)
        self.clock.daemon = True
        self.clock.start()

    def place(self, code: Any) -> str | None:
        """Give the path of a function in the project, MUTE for what tells of assertions, None for all else.

        The body of a module or class is no function: it runs when it is imported, whatever the test is about.
        """
        if code.co_filename.startswith("<") or not code.co_flags & FUNCTION:
            return None
        path = os.path.realpath(code.co_filename)
        inside = path[len(self.root) :].replace(os.sep, "/") if path.startswith(self.root) else ""
        if inside and not any(part in DEPENDENCIES for part in inside.split("/")):
            return inside
        return MUTE if any(part in path.replace(os.sep, "/") for part in TELLING) else None

    def trace(self, frame: Any, event: str, arg: Any) -> Any:
        """Follow a call, if it is the project's."""
        code = frame.f_code
        try:
            path = self.known[id(code)][0]
        except KeyError:
            path = self.place(code)
            self.known[id(code)] = (
                path,
                code,
            )  # by identity: to hash a code object is slow; kept, so that it stays unique
        if path is None:
            return None
        if path is MUTE:
            self.muted += 1
            frame.f_trace_lines = False
            return self.unmute
        return None if self.muted else self.follow(frame, code)

    def unmute(self, frame: Any, event: str, arg: Any) -> Any:
        if event == "return":
            self.muted -= 1
        return self.unmute

    def follow(self, frame: Any, code: Any) -> Any:
        """Count a call; give the function that records its lines."""
        self.order += 1
        call = self.calls.get(id(code))
        if call is None:
            caller = frame.f_back
            near = bool(caller) and os.path.realpath(caller.f_code.co_filename) in self.files
            ran: set[int] = set()
            self.lines[id(code)] = ran

            def record(frame: Any, event: str, arg: Any, add: Any = ran.add) -> Any:
                add(frame.f_lineno)
                return record

            call = self.calls[id(code)] = [self.order, 0, near, record]
        call[0] = self.order
        call[1] += 1
        return call[3]

    def begin(self, name: str | None) -> None:
        """Start the record of a test; the processes that it starts record what they run for it."""
        self.name, self.order, self.calls, self.lines = name, 0, {}, {}
        if name:
            os.environ[SETTINGS] = json.dumps({**self.told_of, "test": name})

    def start(self) -> None:
        if self.name is not None:
            self.muted, self.on = 0, True
            threading.settrace(self.trace)
            sys.settrace(self.trace)

    def stop(self) -> None:
        if self.on:
            self.on = False
            sys.settrace(None)
            threading.settrace(None)

    def end(self, failed: bool | None) -> None:
        """Keep the record of the test that ended."""
        name, self.name = self.name, None
        os.environ.pop(SETTINGS, None)
        if name is not None and (failed is not False or self.passing > 0):
            self.passing -= failed is False
            self.tests.append(self.told(name, failed))

    def told(self, name: str, failed: bool | None) -> dict[str, Any]:
        """Turn the record of a test into JSON."""
        calls: list[list[Any]] = []
        lines: dict[str, set[int]] = {}
        for key, (last, count, near, _) in list(self.calls.items()):
            path, code = str(self.known[key][0]), self.known[key][1]
            calls.append([path, code.co_firstlineno, last, count, near])
            lines.setdefault(path, set()).update(list(self.lines[key]))
        return {
            "name": name,
            "failed": failed,
            "calls": calls,
            "lines": {path: sorted(ran) for path, ran in lines.items()},
        }

    def full(self) -> bool:
        """Tell whether no further test is worth a record."""
        return self.passing <= 0 and sum(bool(test["failed"]) for test in self.tests) >= FAILING

    def write(self) -> None:
        """Write what was recorded; a test that has not ended counts as failed."""
        self.stop()
        self.clock.cancel()
        if self.name is not None:
            self.end(None if self.test else True)
        tests, self.tests = self.tests, []
        if tests:
            path = os.path.join(self.folder, f"{os.getpid()}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"tests": tests}, file)

    def give_up(self) -> None:
        """End a run that takes too long."""
        self.write()
        os._exit(1)


def make_tracer() -> Tracer | None:
    """Make the tracer as LEANLOOP_TRACE says; None where it says nothing."""
    told = os.environ.get(SETTINGS)
    return Tracer(**json.loads(told)) if told else None


# ---------------------------------------------------------------------------------------------------------- pytest


def hook(**how: bool) -> Callable[[Function], Function]:
    made: Callable[[Function], Function] = pytest.hookimpl(**how) if pytest else lambda function: function
    return made


def pytest_addoption(parser: Any) -> None:
    """Take over from sitecustomize."""
    global tracer  # noqa: PLW0603
    other: Any = sys.modules.get("sitecustomize")
    if getattr(other, "tracer", None):
        other.release()
    tracer = make_tracer()
    for name in (SETTINGS, "PYTEST_ADDOPTS"):
        os.environ.pop(name, None)


@hook(hookwrapper=True)
def pytest_load_initial_conftests(early_config: Any) -> Any:
    """Keep pytest-cov from tracing and writing, before it starts."""
    early_config.known_args_namespace.cov_source = None
    yield


@hook(tryfirst=True)
def pytest_configure(config: Any) -> None:
    """Run all in this process to the end, and write no report."""
    quiet = {
        "maxfail": 0,
        "dist": "no",
        "tx": [],
        "numprocesses": None,
        "xmlpath": None,
        "usepdb": False,
        "stepwise": False,
    }
    for name, value in quiet.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)


@hook(hookwrapper=True)
def pytest_sessionstart(session: Any) -> Any:
    """Let pytest keep its cache in the run's folder."""
    if getattr(session.config, "cache", None):
        session.config.cache._cachedir = type(session.config.cache._cachedir)(tracer.folder) / "cache"
    yield


def passed_over(path: Any) -> bool | None:
    """Tell whether a file or folder holds none of the wanted test files."""
    path = os.path.realpath(str(path))
    if os.path.isdir(path):
        return not any(file.startswith(path + os.sep) for file in tracer.files) or None
    return (path not in tracer.files and os.path.basename(path) != "__init__.py") or None


if pytest and int(pytest.__version__.split(".")[0]) >= 7:

    def pytest_ignore_collect(collection_path: Any) -> bool | None:
        return passed_over(collection_path)

else:

    def pytest_ignore_collect(path: Any) -> bool | None:  # type: ignore[misc]
        return passed_over(path)


@hook(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Keep the tests of the wanted files, whatever else the command line names."""
    items[:] = [item for item in items if os.path.realpath(str(item.fspath)) in tracer.files]


@hook(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: Any) -> Any:
    tracer.begin(None if tracer.full() else item.nodeid)
    tracer.outcome = ""
    yield
    if tracer.outcome:
        tracer.end(tracer.outcome == "failed")


@hook(hookwrapper=True, trylast=True)
def pytest_runtest_setup(item: Any) -> Any:
    tracer.start()
    yield
    tracer.stop()


@hook(hookwrapper=True, trylast=True)
def pytest_runtest_call(item: Any) -> Any:
    tracer.start()
    yield
    tracer.stop()


def pytest_runtest_logreport(report: Any) -> None:
    """Note how a test ended: a failed phase counts, then whether it ran at all."""
    if report.failed and report.when != "teardown":
        tracer.outcome = "failed"
    elif report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
        tracer.outcome = tracer.outcome or "passed"


@hook(tryfirst=True)
def pytest_sessionfinish() -> None:
    tracer.write()


# ------------------------------------------------------------------------------------------- unittest and scripts


def watch_unittest() -> Any:
    """Record each test case by itself; those of other files are passed over."""
    run = case.TestCase.run

    def traced(self: Any, result: Any = None) -> Any:
        module = sys.modules.get(type(self).__module__)
        if os.path.realpath(getattr(module, "__file__", None) or "") not in tracer.files:
            return result
        tracer.stop()
        before = failures(result)
        tracer.begin(None if tracer.full() else self.id())
        tracer.start()
        try:
            return run(self, result)
        finally:
            tracer.stop()
            tracer.end(failures(result) > before)

    case.TestCase.run = traced  # type: ignore[method-assign]
    return run


def release() -> None:
    """Stop recording, and put unittest back as it was: pytest takes over."""
    case.TestCase.run = unwatched  # type: ignore[method-assign]
    tracer.name = None
    tracer.write()


def failures(result: Any) -> int:
    return len(result.failures) + len(result.errors) if result is not None else 0


def load_own_sitecustomize() -> None:
    """Load the sitecustomize that this file stands in front of, if there is one."""
    here = os.path.dirname(os.path.realpath(__file__))
    mine, path = sys.modules.pop("sitecustomize"), list(sys.path)
    sys.path[:] = [folder for folder in path if os.path.realpath(folder) != here]
    try:
        importlib.import_module("sitecustomize")
    except ImportError:
        pass
    finally:
        sys.path[:] = path
        sys.modules["sitecustomize"] = mine


if __name__ == "sitecustomize":
    load_own_sitecustomize()
    tracer = make_tracer()
    if tracer:
        from unittest import case

        unwatched = case.TestCase.run if tracer.test else watch_unittest()
        atexit.register(tracer.write)
        tracer.begin(tracer.test)
        tracer.start()
