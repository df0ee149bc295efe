"""Whole trees of processes end, signals leave the project in order, and output of any size stays small in memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import LEANLOOP, ROOT, Bench, Leaner, is_alive

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="processes are read from /proc")

WRONG = "printf 'def add(left, right):\\n    return left * right\\n' > calc.py\n"
RIGHT = WRONG.replace("*", "+")
DAEMON = (
    f"{sys.executable} -c 'import os, time\n"
    "os.fork() and os._exit(0)\nos.setsid()\nos.fork() and os._exit(0)\n"
    'open(os.environ["HOME"] + "/pids", "a").write(str(os.getpid()) + chr(10))\n'
    "[os.close(number) for number in range(3)]\ntime.sleep(1000)'\n"
)
FAMILY = {
    "child": 'sleep 1000 & echo $! >> "$HOME/pids"\n',
    "grandchild": "sh -c 'sleep 1000 & echo $! >> \"$HOME/pids\"; wait' &\n",
    "session of its own": "setsid sh -c 'echo $$ >> \"$HOME/pids\"; exec sleep 1000' &\n",
    "orphan": "sh -c 'sleep 1000 & echo $! >> \"$HOME/pids\"'\n",
    "daemon": DAEMON,
    "deaf": 'sh -c \'trap "" TERM INT HUP; echo $$ >> "$HOME/pids"; while :; do sleep 0.1; done\' &\n',
    "deaf session": 'setsid sh -c \'trap "" TERM INT HUP; echo $$ >> "$HOME/pids"; while :; do sleep 0.1; done\' &\n',
}
READY = (
    'touch "$HOME/pids"; while [ "$(wc -l < "$HOME/pids")" -lt {count} ]; do sleep 0.02; done; touch "$HOME/ready"\n'
)
EVERYBODY = "".join(FAMILY.values()) + READY.format(count=len(FAMILY))
HANG = "sleep 1000 & wait; sleep 1000\n"


def pids(bench: Bench) -> list[int]:
    """The processes that a script noted down."""
    return [int(line) for line in (bench.home / "pids").read_text().split()]


def living(bench: Bench) -> list[int]:
    """The noted processes that are still alive; they are ended here, so that no test leaves one behind."""
    left = [pid for pid in pids(bench) if is_alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


def line_is(bench: Bench, line: str, timeout: float = 300, tables: str = "") -> None:
    """Make LINE, for the shell, the test command of one task."""
    bench.write(
        "leanfile.toml",
        f"{tables}\n[runner]\ncommand = {json.dumps(line)}\nshell = true\ntimeout = {timeout}\n"
        '[[tasks]]\nname = "add"\nprompt = "mend"\nfiles = ["calc.py"]\n',
    )


def settings(bench: Bench, tables: str) -> None:
    bench.write("leanfile.toml", f"{tables}\n{bench.read('leanfile.toml')}")


ONCE = "[defaults]\nmax_iters_per_task = 0\n"


# --------------------------------------------------------------------------------------------------- time limits


@pytest.mark.parametrize("kind", FAMILY)
def test_nobody_outlives_a_test_run(calc: Bench, leaner: Leaner, kind: str) -> None:
    leaner(RIGHT)
    line_is(calc, FAMILY[kind] + READY.format(count=1) + "grep -q + calc.py", tables="[guard]\nbaseline = false")
    ran = calc.lean_loop(timeout=30)
    assert living(calc) == []
    assert ran.code == 0, ran.text


def test_nobody_outlives_the_time_limit_of_the_tests(calc: Bench, leaner: Leaner) -> None:
    leaner("echo looked")
    line_is(calc, EVERYBODY + HANG, 2, ONCE)
    ran = calc.lean_loop(timeout=30)
    assert living(calc) == []
    assert ran.code == 1, ran.text
    assert len(pids(calc)) == len(FAMILY)


def test_nobody_outlives_the_time_limit_of_a_leaner(calc: Bench, leaner: Leaner) -> None:
    leaner(EVERYBODY + HANG)
    settings(calc, f"{ONCE}[lean]\ntimeout = 2\n")
    ran = calc.lean_loop(timeout=30)
    assert living(calc) == []
    assert ran.code == 1, ran.text


def test_what_a_leaner_left_running_does_not_change_the_tests(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{RIGHT} (sleep 0.3; echo broken > calc.py; echo broken > test_calc.py) & disown; echo done")
    line_is(calc, "sleep 0.6; python3 -m unittest")
    ran = calc.lean_loop(timeout=30)
    assert ran.code == 0, ran.text
    assert "broken" not in calc.read("calc.py") + calc.read("test_calc.py")


def test_nobody_outlives_an_after_command(calc: Bench, leaner: Leaner) -> None:
    leaner(RIGHT)
    line_is(calc, "grep -q + calc.py")
    after = FAMILY["session of its own"] + READY.format(count=1)
    calc.write("leanfile.toml", calc.read("leanfile.toml") + f"after = [{json.dumps(after)}]\n")
    ran = calc.lean_loop(timeout=30)
    assert living(calc) == []
    assert ran.code == 0, ran.text


def test_processes_of_others_are_left_alone(calc: Bench, leaner: Leaner) -> None:
    leaner(RIGHT)
    other = subprocess.Popen(["sleep", "1000"])
    try:
        line_is(calc, "sleep 1000 & grep -q + calc.py")
        assert calc.lean_loop(timeout=30).code == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


# -------------------------------------------------------------------------------------------------------- signals


@dataclass
class Running:
    """A lean-loop that is at work; its output goes to a file."""

    bench: Bench
    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, name: str) -> None:
        """Wait until a script has made the file NAME in its home."""
        deadline = time.monotonic() + 20
        while not (self.bench.home / name).exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def stop(self, number: int) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds until then."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - begun


Start = Callable[[], Running]


@pytest.fixture
def start(calc: Bench) -> Iterator[Start]:
    """Start lean-loop in the project without waiting for it."""
    begun: list[Running] = []

    def begin() -> Running:
        log = calc.home / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                LEANLOOP, cwd=calc.project, env=calc.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        begun.append(Running(calc, process, log))
        return begun[-1]

    yield begin
    for running in begun:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def tree(bench: Bench) -> dict[str, bytes]:
    """Every file of the project but those of git, with its content."""
    files = [path for path in bench.project.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {path.relative_to(bench.project).as_posix(): path.read_bytes() for path in files}


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
MESS = (
    'echo half > calc.py; echo new > "new file.txt"; rm notes.txt; mkdir deep; echo x > deep/x; chmod +x test_calc.py\n'
)


def dirty(bench: Bench) -> None:
    """Give the project work of the user's that is not committed."""
    bench.write("notes.txt", "not tracked")
    bench.write("staged.txt", "staged")
    bench.git("add", "staged.txt")
    bench.write("staged.txt", "staged, then edited")


STARTING = """
import os, signal, subprocess
from pathlib import Path

import leanloop

begin = subprocess.Popen.__init__


def begin_and_be_interrupted(self, *args, **options):
    begin(self, *args, **options)
    os.kill(os.getpid(), signal.SIGTERM)


subprocess.Popen.__init__ = begin_and_be_interrupted
leanloop.on_signals(leanloop.stop)
try:
    leanloop.run_process(["sleep", "60"], Path.cwd())
except leanloop.Interrupted as stopped:
    print(stopped.code, sorted(leanloop.descendants(os.getpid())))
"""


def test_a_signal_in_the_instant_of_a_start_leaves_nobody_behind(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", STARTING], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("143 []\n", "")


@pytest.mark.parametrize(("number", "code"), SIGNALS, ids=["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_a_leaner_call_ends_all_and_undoes_the_call(
    calc: Bench, leaner: Leaner, start: Start, number: int, code: int
) -> None:
    dirty(calc)
    leaner(MESS + EVERYBODY + HANG)
    before, status = tree(calc), calc.git("status", "--porcelain")
    running = start()
    running.wait_for("ready")
    ended, seconds = running.stop(number)
    assert living(calc) == []
    assert ended == code
    assert seconds < 10, running.log.read_text()
    assert tree(calc) == before
    assert calc.git("status", "--porcelain") == status
    assert "Traceback" not in running.log.read_text()


def test_a_signal_during_a_test_run_ends_all_and_keeps_the_last_edit(calc: Bench, leaner: Leaner, start: Start) -> None:
    leaner(WRONG + "echo done")
    dirty(calc)
    line_is(calc, f"if grep -q '[*]' calc.py; then {EVERYBODY}{HANG} fi; exit 1")
    running = start()
    running.wait_for("ready")
    before = tree(calc)
    ended, seconds = running.stop(signal.SIGTERM)
    assert living(calc) == []
    assert ended == 143
    assert seconds < 10, running.log.read_text()
    assert tree(calc) == before
    assert "left * right" in calc.read("calc.py")


def test_a_signal_during_a_fix_leaves_the_first_attempt(calc: Bench, leaner: Leaner, start: Start) -> None:
    script = f'if [ -e "$HOME/second" ]; then {MESS} touch "$HOME/ready"; sleep 1000; fi; touch "$HOME/second"; {WRONG}'
    leaner(script + "echo done")
    settings(calc, "[defaults]\nsummarize_errors = false")
    calc.write("notes.txt", "mine")
    running = start()
    running.wait_for("ready")
    assert running.stop(signal.SIGINT)[0] == 130
    assert "left * right" in calc.read("calc.py")
    assert "stopped: add: 1 attempt; 1 -> 1 failing; calc.py +2 -6" in running.log.read_text()
    assert calc.read("notes.txt") == "mine"
    assert not (calc.project / "new file.txt").exists()


def test_a_signal_during_a_diagnosis_undoes_what_it_did(calc: Bench, leaner: Leaner, start: Start) -> None:
    leaner(f'if [ $LEAN_MODE = ask ]; then {MESS} touch "$HOME/ready"; sleep 1000; fi\n{WRONG} echo done')
    calc.write("notes.txt", "mine")
    running = start()
    running.wait_for("ready")
    assert running.stop(signal.SIGTERM)[0] == 143
    assert "left * right" in calc.read("calc.py")
    assert not (calc.project / "deep/x").exists()


def test_a_signal_to_the_whole_group_is_no_different(calc: Bench, leaner: Leaner) -> None:
    leaner(MESS + FAMILY["child"] + READY.format(count=1) + HANG)
    calc.write("notes.txt", "mine")
    before = tree(calc)
    process = subprocess.Popen(
        LEANLOOP, cwd=calc.project, env=calc.env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0
    )
    running = Running(calc, process, calc.home / "config.toml")
    running.wait_for("ready")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    assert living(calc) == []
    assert tree(calc) == before


def test_the_interrupted_run_says_what_became_of_the_project(calc: Bench, leaner: Leaner, start: Start) -> None:
    leaner('touch "$HOME/ready"; sleep 1000')
    running = start()
    running.wait_for("ready")
    running.stop(signal.SIGINT)
    told = running.log.read_text()
    assert "SIGINT" in told
    assert "as the last finished step left it" in told
    assert "; run " in told


def test_the_next_run_starts_as_if_nothing_had_been(calc: Bench, leaner: Leaner, start: Start) -> None:
    leaner(f'if [ ! -e "$HOME/ready" ]; then {MESS} touch "$HOME/ready"; sleep 1000; fi\n{RIGHT} echo done')
    calc.write("notes.txt", "mine")
    running = start()
    running.wait_for("ready")
    running.stop(signal.SIGTERM)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert calc.read("notes.txt") == "mine"


def put_in_order(running: Running) -> None:
    """Do what an interrupted lean-loop says that is left to do."""
    told = running.log.read_text()
    assert "as the last finished step left it" in told or "lean-loop --undo" in told
    if "lean-loop --undo" in told:
        ran = running.bench.lean_loop("--undo")
        assert ran.code == 0, ran.text


def test_a_second_ctrl_c_while_the_children_end_is_obeyed_at_once(calc: Bench, leaner: Leaner, start: Start) -> None:
    deaf = FAMILY["deaf"] + FAMILY["deaf session"] + READY.format(count=2)
    leaner(f"echo half > calc.py; rm test_calc.py; {deaf} trap '' TERM; while :; do sleep 0.1; done")
    before = tree(calc)
    running = start()
    running.wait_for("ready")
    running.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    ended, seconds = running.stop(signal.SIGINT)
    assert living(calc) == []
    assert ended == 130
    assert seconds < 10
    put_in_order(running)
    assert tree(calc) == before


def test_a_second_ctrl_c_skips_the_restore_and_says_how_to_do_it(calc: Bench, leaner: Leaner, start: Start) -> None:
    real = shutil.which("git")
    slow = calc.home / "bin/git"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *cat-file*) touch "$HOME/restoring"; sleep 1000;; esac\nexec "{real}" "$@"\n'
    )
    slow.chmod(0o755)
    leaner('echo half > calc.py; rm test_calc.py; touch "$HOME/ready"; sleep 1000')
    before, usual = tree(calc), calc.env["PATH"]
    calc.env["PATH"] = f"{slow.parent}{os.pathsep}{usual}"
    running = start()
    running.wait_for("ready")
    running.process.send_signal(signal.SIGINT)
    running.wait_for("restoring")
    ended, seconds = running.stop(signal.SIGINT)
    assert ended == 130
    assert seconds < 10
    assert calc.read("calc.py") == "half\n"
    calc.env["PATH"] = usual
    put_in_order(running)
    assert tree(calc) == before


# --------------------------------------------------------------------------------------------------------- memory

MOST_MEMORY = 100 * 1024


def peak_memory(running: Running, timeout: float) -> int:
    """The largest resident size that a lean-loop had until its end, in KiB."""
    status, peak, deadline = Path(f"/proc/{running.process.pid}/status"), 0, time.monotonic() + timeout
    while running.process.poll() is None:
        assert time.monotonic() < deadline, running.log.read_text()[-2000:]
        with contextlib.suppress(OSError, IndexError):
            peak = max(peak, int(status.read_text().split("VmHWM:")[1].split()[0]))
        time.sleep(0.01)
    return peak


OUTPUTS = {
    "1 GB": "yes | head -c 1G",
    "long lines": "yes $(printf 'word %.0s' $(seq 2000)) | head -c 100M",
    "nul bytes": "head -c 100M /dev/zero",
    "not utf-8": "yes $(printf '\\377\\376\\303 text') | head -c 100M",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OUTPUTS)
def test_test_output_of_any_size_stays_under_100_mb(calc: Bench, leaner: Leaner, start: Start, kind: str) -> None:
    leaner("echo looked")
    line_is(calc, f"{OUTPUTS[kind]}; echo; echo the last line; exit 1", tables=ONCE)
    running = start()
    peak = peak_memory(running, 30)
    assert running.process.returncode == 1
    assert 10 * 1024 < peak < MOST_MEMORY
    (folder,) = calc.runs()
    (output,) = folder.glob("*tests.txt")
    assert output.stat().st_size < 50_000_000
    assert output.read_text(encoding="utf-8").endswith("the last line\n")


@pytest.mark.slow
def test_a_leaners_words_of_any_size_stay_under_100_mb(calc: Bench, leaner: Leaner, start: Start) -> None:
    leaner("yes | head -c 200M & yes no | head -c 200M >&2; wait; echo; echo the end")
    settings(calc, ONCE)
    running = start()
    assert 10 * 1024 < peak_memory(running, 30) < MOST_MEMORY
    assert running.process.returncode == 1


# ------------------------------------------------------------------------------------------------- what was printed

PRINTED = (
    r"printf '\033[1;31mred\033[0m \033]8;;http://x\007link\033]8;;\007 \033(Bplain \033[?25l\n"
    r"10%%\r20%%\r100%% done\nwindows\r\nbad \377\376 byte, cut \342\202\nAssertionError: \033[33m1 != 2\033[0m\n'"
    "; exit 1"
)


def test_terminal_codes_are_stripped_and_bad_bytes_replaced(calc: Bench, leaner: Leaner) -> None:
    leaner("echo looked")
    line_is(calc, PRINTED, tables=ONCE)
    ran = calc.lean_loop()
    (folder,) = calc.runs()
    (output,) = folder.glob("*tests.txt")
    lines = [
        "red link plain ",
        "100% done",
        "windows",
        "bad \ufffd\ufffd byte, cut \ufffd",
        "AssertionError: 1 != 2",
        "",
    ]
    assert output.read_bytes().decode("utf-8").split("\n") == lines
    assert "AssertionError: 1 != 2" in min(folder.glob("*prompt.md")).read_text(encoding="utf-8")
    assert "\x1b" not in ran.text


def test_a_character_cut_between_two_reads_is_whole(calc: Bench, leaner: Leaner) -> None:
    leaner("echo looked")
    line_is(calc, r"printf 'a\303'; sleep 0.2; printf '\251b\n'; exit 1", tables=ONCE)
    calc.lean_loop()
    (folder,) = calc.runs()
    assert min(folder.glob("*tests.txt")).read_text(encoding="utf-8") == "aéb\n"
