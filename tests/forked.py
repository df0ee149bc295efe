"""Start lean-loop, or direct, as the fork of a process that has imported it: most of a start is Python's own work.

What is forked runs `main` with a folder, an environment and streams of its own, and ends as a process does. So do the
programs of its own that a forked lean-loop starts: direct, and what finds the code that a failure concerns; and the
test commands `python -m unittest` and `python -m pytest`, of which most is the import of these modules.
Under `--heavy`, with variables that Python itself reads, and where there is no fork, each start is a new process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
POPEN = subprocess.Popen
OWN_PATH, STRICTNESS = sys.path[1:], sys.stdout.errors
OF_PYTHON = ("PYTHON", "LANG", "LC_", "TZ", "LD_")  # variables that Python reads, or libc, when it starts
USUAL = {"LANG": "C.UTF-8"}
BESIDE = "_after _begin _earlier _failures _page _patterns _ready _repository _screen _snapshots _stats _workspace"
NAMES = {"leanloop": "-c", "direct": str(ROOT / "leaners" / "direct.py"), "python": sys.executable}  # in sys.argv
LOCATE = "import _locate; _locate.main()"
RUNNERS = "unittest", "pytest"
STARTS = {"direct": [sys.executable, NAMES["direct"]], "_locate": [sys.executable, "-E", "-S", "-c", LOCATE]}


class Forks:
    """The process that is forked; it is started at the first call, and ends with this one."""

    wanted = hasattr(socket, "send_fds")
    way: socket.socket | None = None

    def may(self, env: Mapping[str, str]) -> bool:
        """Tell whether a start with ENV may be a fork."""
        return self.wanted and is_usual(env)

    def run(
        self, args: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float, program: str = "leanloop"
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a PROGRAM with ARGS, as `subprocess.run` does with captured output."""
        with Path(os.devnull).open("rb") as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.start(args, cwd, env, (nothing.fileno(), out.fileno(), err.fileno()), program)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess([*args], code, out.read(), err.read())

    def start(
        self, args: Sequence[str], cwd: Path, env: Mapping[str, str], files: Sequence[int], program: str = "leanloop"
    ) -> Fork:
        """Start a PROGRAM with ARGS; FILES are its standard input, output and error."""
        self.way = self.way or start_server()
        mine, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.way, [b"!"], [theirs.fileno(), *files])
        mine.sendall(json.dumps({"program": program, "args": [*args], "cwd": str(cwd), "env": {**env}}).encode())
        mine.shutdown(socket.SHUT_WR)
        return Fork(args, mine, receive(mine))


def run_printing(argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
    """Run a test command; give its exit code and what it prints on both streams."""
    if FORKS.wanted and tuple(argv[:2]) == (sys.executable, "-m") and argv[2] in RUNNERS:
        with Path(os.devnull).open("rb") as nothing, tempfile.TemporaryFile() as out:
            process = FORKS.start(argv[1:], cwd, env, (nothing.fileno(), out.fileno(), out.fileno()), "python")
            code = process.wait(timeout)
            out.seek(0)
            return code, out.read()
    nowhere, both = subprocess.DEVNULL, subprocess.STDOUT
    done = subprocess.run(argv, cwd=cwd, env=env, timeout=timeout, stdin=nowhere, stdout=subprocess.PIPE, stderr=both)
    return done.returncode, done.stdout


class Fork:
    """A process that was started, as `subprocess.Popen` shows one."""

    def __init__(self, args: Sequence[str], way: socket.socket, pid: int) -> None:
        self.args, self.way, self.pid = args, way, pid
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        if self.returncode is None:
            self.way.settimeout(timeout)
            try:
                self.returncode = receive(self.way)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired([*self.args], timeout or 0) from None
            self.way.close()
        return self.returncode

    def poll(self) -> int | None:
        """Give the exit code; nothing while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it may end meanwhile
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


FORKS = Forks()


def is_usual(env: Mapping[str, str]) -> bool:
    """Tell whether Python would find in ENV what the process that is forked was started with."""
    return {name: value for name, value in env.items() if name.startswith(OF_PYTHON)} == USUAL


def start_server() -> socket.socket:
    """Start the process that is forked; give our end of the way to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        argv = [sys.executable, __file__, str(theirs.fileno())]
        env = {**USUAL, "PATH": os.environ["PATH"]}
        subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env)
    return ours


def receive(way: socket.socket) -> int:
    return int.from_bytes(way.recv(4, socket.MSG_WAITALL), "big", signed=True)


def tell(way: socket.socket, number: int) -> None:
    way.sendall(number.to_bytes(4, "big", signed=True))


def await_requests(asked: socket.socket) -> list[int]:
    """Fork for each request, and give its four files in the fork; the process ends with its other end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        word, files, _, _ = socket.recv_fds(asked, 1, 4)
        if not word:
            os._exit(0)
        if not os.fork():
            asked.close()
            return files
        for file in files:
            os.close(file)


def become(way: socket.socket, *files: int) -> str:
    """Fork once more: wait here, and name the program in what is to be it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with way.makefile("rb") as stream:
        request = json.load(stream)
    if pid := os.fork():
        tell(way, pid)
        tell(way, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os._exit(0)
    way.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    open_streams()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [NAMES[request["program"]], *request["args"]]
    return str(request["program"])


def start(argv: Sequence[str | bytes], *, env: Mapping[Any, Any] | None = None, **how: Any) -> subprocess.Popen[Any]:
    """Start ARGV as `subprocess.Popen` does; a program of lean-loop's own is a fork that is not replaced."""
    words = [os.fsdecode(word) for word in argv]
    told = {os.fsdecode(name): os.fsdecode(value) for name, value in (env or {}).items()}
    if words[1:2] == ["-m"] and words[2] in RUNNERS and may_test(words[0], Path(how["cwd"]), told):
        how["preexec_fn"] = partial(run_instead, words[2], ["-m", *words[3:]], told)
    for program, begin in STARTS.items():
        if words[: len(begin)] == begin and is_usual(told):
            how["preexec_fn"] = partial(run_instead, program, [begin[-1], *words[len(begin) :]], told)
    return POPEN(argv, env=env, **how)


def may_test(python: str, folder: Path, env: Mapping[str, str]) -> bool:
    """Tell whether a fork would test in FOLDER as this PYTHON does: nothing there has the name of what is imported."""
    quiet = dict(env)
    if Path(python).parent != Path(sys.executable).parent or quiet.pop("PYTHONDONTWRITEBYTECODE", "") != "1":
        return False
    return is_usual(quiet) and sys.modules.keys().isdisjoint(
        path.stem for pattern in ("*", "*/*") for path in folder.glob(pattern)
    )


def be_python() -> None:
    """Be `python -m` as the arguments say: a test command that a test starts without lean-loop."""
    _, _, runner, *args = argv = [*sys.argv]
    if not may_test(argv[0], Path.cwd(), os.environ):
        os.execv(argv[0], argv)
    sys.argv[:] = ["-m", *args]
    run_tests(runner, str(Path.cwd()))


def import_ahead() -> None:
    """Import what the programs import where they need it, and what test commands need, pytest if it is there."""
    for name in ("_keys", "ctypes", "hashlib", "unittest.main", "xml.etree.ElementTree"):
        importlib.import_module(name)
    with contextlib.suppress(ImportError):
        from _pytest.config import default_plugins

        for name in default_plugins:
            importlib.import_module(f"_pytest.{name}")


def run_tests(runner: str, folder: str) -> None:
    """Be `python -m RUNNER` in FOLDER, from the beginning of its module to the end of the process."""
    subprocess.Popen = POPEN  # type: ignore[misc]
    sys.path[:] = [folder, *OWN_PATH]
    sys.dont_write_bytecode = True
    sys.modules["__main__"] = types.ModuleType("__main__")
    runpy._run_module_as_main(runner)  # type: ignore[attr-defined]


def open_streams() -> None:
    """Make Python's streams anew: those that a fork begins with are for other kinds of files."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", errors=STRICTNESS, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def run_instead(program: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Run the `main` of PROGRAM in a fork whose streams and folder are set, and end it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.closerange(3, 1 << 16)  # with the last of them, who started it goes on
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = argv
    open_streams()
    forget_what_ends()
    run_to_the_end(partial(run_tests, program, str(Path.cwd())) if program in RUNNERS else sys.modules[program].main)


def forget_what_ends() -> None:
    """Leave what was to be done at the end of the process that was forked to that one."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def run_to_the_end(main: Callable[[], object]) -> None:
    """Run MAIN and end the process as Python does, but leave the taking down of all that is imported to the system."""
    code: object = 1
    try:
        code = main()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(close_down(int(code or 0)))  # type: ignore[call-overload]


def close_down(code: int) -> int:
    """Do what Python does at its end; give the exit CODE, or that of streams that nobody reads."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        return 120
    return code


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    import leanloop

    for name in [*BESIDE.split(), *STARTS]:
        leanloop.load_beside(name)
    import_ahead()
    subprocess.Popen = start  # type: ignore[assignment,misc]
    leanloop.load_beside("_failures").read_failure("FAILED (failures=1)\n", ROOT)  # compiles what the tables hold
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    way, *streams = await_requests(socket.socket(fileno=int(sys.argv[1])))
    program = become(socket.socket(fileno=way), *streams)
    run_to_the_end(be_python if program == "python" else sys.modules[program].main)
