"""What is seen of a run: while it goes on, at its end, and afterwards."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from _screen import columns
from conftest import CALC, CALC_TEST, LEANFILE, LEANLOOP, RIGHT, ROOT, WRONG, Bench, Leaner, Serve, few_of
from terminal import Terminal, play, wide
from tokens import counter

FIX = "sed -i 's/left . right/left + right/' calc.py; echo done"
SPOIL = "sed -i 's/left . right/left * right/' calc.py; echo done"
SLOW = 'for n in 40 80 120; do echo "progress: $n 31.5" >&2; sleep 0.3; done\n'
DIAGNOSE = "[ $LEAN_MODE = ask ] && echo 'add multiplies.' && exit\n"
ONCE = "[defaults]\nmax_iters_per_task = 1\n"
Words = Callable[[str], int]


@pytest.fixture
def words(cache: Path, request: pytest.FixtureRequest) -> Words:
    return counter(cache, request.config.getoption("--heavy"))


def on_terminal(bench: Bench, *args: str, columns: int = 80, lines: int = 24, **env: str) -> Terminal:
    return play([*LEANLOOP, *args], bench.project, {**bench.env, "TERM": "xterm", **env}, columns, lines)


def settings(bench: Bench, text: str) -> None:
    """Write the leanfile: TEXT, then the usual task."""
    bench.write("leanfile.toml", text + LEANFILE)


def sober(lines: list[str]) -> list[str]:
    """Put signs in the place of what differs from run to run, and one blank in that of many."""
    text = re.sub(r"\d{8}-\d{6}-\d{3}", "RUN", "\n".join(lines))
    return re.sub(r"(?<=\S) +", " ", re.sub(r"(?<![/\w])(?:\d+\.\d|\d[\d,]+|\d(?= requests))\b", "N", text)).split("\n")


# ------------------------------------------------------------------------------------------------------------- during


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10)])
def test_one_line_lives_and_finished_steps_stay_above_it(calc: Bench, leaner: Leaner, columns: int, lines: int) -> None:
    leaner(
        DIAGNOSE
        + SLOW
        + 'n=$(cat "$HOME/n" 2>/dev/null); echo 1 > "$HOME/n"\n'
        + f"if [ $n ]; then {FIX}; else {SPOIL}; fi"
    )
    seen = on_terminal(calc, columns=columns, lines=lines)
    assert seen.code == 0, seen.text
    steps = [line.split(";")[0] for line in seen.all_lines() if not line.startswith("task 1/1")]
    expected = ["lean-loop: leanfile.toml with leaner", "[1/1] add", "  tests: 1 failing: AssertionError: -1 != 5"]
    assert steps[:4] == [*(line if len(line) < columns else line[:38] + "…" for line in expected), "  leaner: edit"]
    assert max(wide(line) for line in [*seen.living, *seen.all_lines()]) < columns
    if columns == 80:
        assert any(
            re.fullmatch(r"task 1/1 · asking leaner · \d s · 40 tokens, 31.5/s · so far \d+ s, \d+ tokens", line)
            for line in seen.living
        ), seen.living
    assert not any(line.startswith("task") for line in seen.screen)


def test_a_line_is_never_drawn_more_than_ten_times_a_second(calc: Bench, leaner: Leaner) -> None:
    leaner(f'for n in $(seq 1 500); do echo "progress: $n $n" >&2; sleep 0.001; done; {FIX}')
    seen = on_terminal(calc)
    times = [time for time, piece in seen.pieces for _ in range(piece.count(b"\r\x1b[K"))]
    assert len(times) > 5
    assert all(later - first > 0.45 for first, later in zip(times, times[5:], strict=False))


def test_wide_signs_and_long_words_fit_into_the_window(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{SLOW}{FIX}")
    name = "測試" * 30 + "\\u001b[31m tab\\t" + "x" * 300
    calc.write("leanfile.toml", LEANFILE.replace('"add"', f'"{name}"'))
    seen = on_terminal(calc, columns=40, lines=10)
    assert seen.code == 0, seen.text
    assert max(wide(line) for line in [*seen.living, *seen.all_lines()]) < 40


def test_a_window_that_grows_narrow_is_kept_to(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{SLOW}{SLOW}{FIX}")
    narrow = [0]

    def shrink(text: str, process: int, screen: int) -> None:
        if "40 tokens" in text and not narrow[0]:
            fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 30, 0, 0))
            narrow[0] = len(text)

    seen = play(LEANLOOP, calc.project, {**calc.env, "TERM": "xterm"}, 80, 24, shrink)
    later = [line for line in re.split(r"\r\x1b\[K|\r\n|\x1b\[\d*m", seen.text[narrow[0] :])[2:] if line]
    assert later
    assert max(map(len, later)) < 30


def test_pressing_ctrl_c_again_and_again_shows_no_traceback(calc: Bench, leaner: Leaner) -> None:
    leaner("sleep 1000")
    process = subprocess.Popen(
        LEANLOOP, cwd=calc.project, env=calc.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    next(line for line in process.stderr if "tests: " in line)
    for _ in range(400):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.005)
    assert "Traceback" not in process.stderr.read()
    assert process.wait(20) == 130


SWALLOWED = """
import os, signal, sys, time, weakref
import leanloop
sys.unraisablehook = leanloop.raise_again
leanloop.on_signals(leanloop.stop)
thing = type("Thing", (), {})()
kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
try:
    del thing
    time.sleep(5)
except leanloop.Interrupted as stopped:
    sys.exit(stopped.code)
"""


def test_a_signal_that_meets_a_callback_of_python_is_not_lost() -> None:
    ran = subprocess.run([sys.executable, "-c", SWALLOWED], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_line_is_cleared_when_the_run_is_ended(calc: Bench, leaner: Leaner, name: str) -> None:
    leaner("sleep 1000")
    asked = list[int]()

    def stop(text: str, process: int, screen: int) -> None:
        if "asking leaner" in text and not asked:
            asked.append(process)
            os.kill(process, getattr(signal, name))

    seen = play(LEANLOOP, calc.project, {**calc.env, "TERM": "xterm"}, 80, 24, stop)
    assert seen.code == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert not any(line.startswith("task 1/1") for line in seen.all_lines())
    told = f"ended by {name}; the project is as the last finished step left it."
    assert [line for line in seen.all_lines() if told in line] == [f"stopped: {told}"]


def test_no_color_means_no_colour(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    assert "\x1b[32m" in on_terminal(calc).text
    calc.write("calc.py", CALC)
    plain = on_terminal(calc, NO_COLOR="1").text
    assert "\x1b[K" in plain
    assert not re.search(r"\x1b\[[\d;]*m", plain)


def test_a_dumb_terminal_is_none(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    seen = on_terminal(calc, TERM="dumb")
    assert "\x1b" not in seen.text
    assert "green: add: 1 attempt; 1 -> 0 failing; calc.py +1 -1" in seen.screen


def test_without_a_terminal_lines_are_plain_and_none_is_repeated(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{SLOW}{FIX}")
    ran = calc.lean_loop()
    lines = ran.err.splitlines()
    assert not re.search(r"[\r\x1b]", ran.text)
    assert [line.split(";")[0] for line in lines] == [
        "lean-loop: leanfile.toml with leaner",
        "[1/1] add",
        "  tests: 1 failing: AssertionError: -1 != 5",
        "  leaner: edit",
        "  tests: green",
        "[1/1] add: green",
    ]


def test_json_on_a_terminal_keeps_its_lines_whole(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{SLOW}{FIX}")
    seen = on_terminal(calc, "--json", columns=10_000)
    assert [line for line in seen.all_lines() if '{"event"' in line and not line.startswith('{"event"')] == []
    assert json.loads(seen.all_lines()[-2])["event"] == "outcome"


def test_what_the_whole_suite_says_is_told_apart(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write("test_more.py", CALC_TEST.replace("5)", "6)"))
    calc.write("leanfile.toml", LEANFILE + 'test_files = ["test_calc.py"]\n')
    seen = on_terminal(calc)
    steps = [line.split(":")[0] for line in seen.all_lines() if "suite" in line or line.startswith("  tests")]
    assert steps == ["the whole suite", "  tests", "  tests", "the whole suite"]


TWO = LEANFILE + LEANFILE.partition("[[tasks]]")[2].replace('"add"', '"more"').join(("[[tasks]]", ""))
NEXT = """
n=$(($(cat "$HOME/n" 2>/dev/null) + 1)); echo $n > "$HOME/n"
sleep 1.2; echo "progress: 40 31.5" >&2; sleep 1.2
case $n in 1) sed -i 's/left . right/left * right/' calc.py;; 2) sed -i 's/left . right/left + right/' calc.py;; esac
echo "# $n" >> calc.py; echo done
"""


def test_a_wide_line_tells_time_and_tokens_so_far_and_guesses_what_is_left(calc: Bench, leaner: Leaner) -> None:
    leaner(NEXT)
    calc.write("leanfile.toml", TWO.replace("[[tasks]]", "[defaults]\nsummarize_errors = false\n[[tasks]]", 1))
    seen = on_terminal(calc, columns=200)
    assert seen.code == 0, seen.text
    first = r"task 1/2 · attempt 2 · asking leaner · \d s · usually [2-9] s · 40 tokens, 31.5/s · 1 failing"
    assert any(re.fullmatch(rf"{first} · so far \d+ s, \d{{2,}} tokens", line) for line in seen.living), seen.living
    assert any(re.search(r"^task 2/2 .* · so far \d+ s, .* · about \d+ s left$", line) for line in seen.living)


def test_without_a_terminal_a_line_a_minute_says_that_a_call_is_alive(calc: Bench, leaner: Leaner) -> None:
    leaner(f"sleep 1; echo 'progress: 120 30.0' >&2; sleep 2.4; {FIX}")
    start = LEANLOOP[2].replace("sys.exit", "leanloop.load_beside('_screen').Display.MINUTE = 1.5; sys.exit")
    argv = [*LEANLOOP[:2], start]
    ran = subprocess.run(argv, cwd=calc.project, env=calc.env, capture_output=True, text=True)
    alive = [line for line in ran.stderr.splitlines() if line.startswith("  task 1/1 · attempt 1 · asking leaner · ")]
    assert len(alive) in (1, 2), ran.stderr
    assert re.fullmatch(r".* · [23] s · 120 tokens, 30.0/s · 1 failing · so far \d+ s, 0 tokens", alive[0]), alive


@pytest.mark.parametrize("terminal", [True, False])
def test_a_doubtful_green_is_said(calc: Bench, leaner: Leaner, terminal: bool) -> None:
    leaner("echo done; echo '# more' >> calc.py")
    calc.write("calc.py", CALC.replace("left - right", "left + right"))
    shown = on_terminal(calc).screen if terminal else calc.lean_loop().out.splitlines()
    assert "warning: add: the tests did not prove this task: they were green before" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_shows_the_outcome_only(calc: Bench, leaner: Leaner, terminal: bool) -> None:
    leaner(FIX)
    if terminal:
        assert on_terminal(calc, "--quiet").all_lines()[0].split()[:3] == ["task", "failing", "tries"]
    else:
        ran = calc.lean_loop("--quiet")
        assert (ran.code, ran.err, len(ran.out.splitlines())) == (0, "", 2)


def test_verbose_streams_what_leaner_and_tests_print_and_masks_it(calc: Bench, leaner: Leaner) -> None:
    leaner('echo "the key is 12345678x"; while [ ! -e "$HOME/go" ]; do sleep 0.05; done; printf "no end"; ' + FIX)
    calc.write("leanfile.toml", '[lean]\napi_key = "12345678x"\n' + LEANFILE)
    process = subprocess.Popen(
        [*LEANLOOP, "--verbose"], cwd=calc.project, env=calc.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert process.stderr
    early = next(line for line in process.stderr if "the key" in line)
    (calc.home / "go").touch()
    later = process.stderr.read()
    assert process.wait(20) == 0
    assert early == "  | the key is [masked by lean-loop]\n"
    assert "  | no enddone\n" in later
    assert "  | OK\n" in later


def test_verbose_shows_a_blank_line_that_comes_alone(calc: Bench, leaner: Leaner) -> None:
    leaner(f"echo one; sleep 0.2; echo; sleep 0.2; echo two; {FIX}")
    assert "  | one\n  | \n  | two\n  | done\n  leaner: edit" in calc.lean_loop("--verbose").err


# -------------------------------------------------------------------------------------------------------------- after


def test_the_outcome_on_a_terminal_is_a_table(calc: Bench, serve: Serve) -> None:
    serve(WRONG, WRONG, WRONG, RIGHT)  # an answer that changes nothing is drawn again, within the same try
    seen = on_terminal(calc)
    assert seen.code == 0, seen.text
    assert sober(seen.all_lines()[-6:]) == [
        "       task failing tries changed in out s leaner",
        "green add 1 → 0 3 calc.py +1 −1 N N N direct",
        "1/1 green; N tokens in, N out, N requests, N s; recorded; run",
        "    RUN",
        "each attempt: lean-loop --report",
        "",
    ]


GOLDEN_RED = [
    "red add 1 → 1 2 calc.py +1 −1 about N 3 N leaner",
    "  failing: test_two_and_three (test_calc.Add.test_two_and_three)",
    "  error: AssertionError: 6 != 5",
    "  at: test_calc.py:8",
    "  why: no attempt is left (max_iters_per_task)",
    "  next: mend it; lean-loop --resume",
    "  back: lean-loop --undo takes the run back, --restore last/1.2 brings the last",
    "    attempt",
    "  tried: 2. add multiplies. -> nothing changed, 1 failing | 1. first attempt ->",
    "    calc.py +1 -1, 1 failing",
]


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10)])
def test_a_red_outcome_fits_the_window(calc: Bench, leaner: Leaner, columns: int, lines: int) -> None:
    leaner(DIAGNOSE + SPOIL)
    tasks = "".join(f'[[tasks]]\nname = "later {n}"\nprompt = "x"\n' for n in range(3))
    calc.write("leanfile.toml", ONCE + LEANFILE + tasks)
    seen = on_terminal(calc, columns=columns, lines=lines)
    assert seen.code == 1
    rows = seen.all_lines()
    begin = next(number for number, row in enumerate(rows) if re.search("task +failing", row))
    assert len(rows[begin:]) <= lines
    shown = sober(rows[begin:])
    if columns == 80:
        assert shown[1:11] == GOLDEN_RED
    else:
        assert [row[:36] for row in GOLDEN_RED[1:6]] == [row[:36] for row in shown[2:7]]
    assert "0/4 green" in "".join(rows)


def test_many_tasks_fit_the_window_too(bench: Bench, leaner: Leaner) -> None:
    leaner("echo done")
    tasks = "".join(f'[[tasks]]\nname = "task {n}"\nprompt = "x"\n' for n in range(12))
    bench.write(
        "leanfile.toml",
        '[guard]\nbaseline = false\n[defaults]\nno_tests_ok = true\n[runner]\ncommand = "true"\n' + tasks,
    )
    rows = on_terminal(bench, columns=60, lines=10).all_lines()
    begin = next(number for number, row in enumerate(rows) if "task" in row and "tries" in row)
    assert len(rows[begin:]) <= 10
    assert re.match(r"\(\d+ more above\)", rows[begin + 1])
    assert "green task 11" in "\n".join(rows[begin:])


def test_a_doubt_about_many_tasks_is_one_line(bench: Bench, leaner: Leaner) -> None:
    leaner("echo done")
    names = ["測試日本語" * 9, *(f"task {n}" for n in range(9))]
    tasks = "".join(f'[[tasks]]\nname = "{name}"\nprompt = "x"\n' for name in names)
    runner = '[guard]\nbaseline = false\n[defaults]\nno_tests_ok = true\n[runner]\ncommand = "true"\n'
    bench.write("leanfile.toml", runner + tasks)
    (doubt,) = [line for line in bench.lean_loop().out.splitlines() if line.startswith("warning")]
    assert doubt == "warning: 測試日本語測試… and 9 more: it was not proven red: [guard] baseline = false"


def test_why_a_task_is_red_is_said_at_the_end(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write("leanfile.toml", LEANFILE + 'after = ["echo oops; false"]\n')
    shown = on_terminal(calc, "--quiet").all_lines()
    assert "  why: the after-command 'echo oops; false' ended with exit code 1: oops" in shown


def test_an_error_is_told_once_on_a_terminal_and_as_an_error_elsewhere(calc: Bench, leaner: Leaner) -> None:
    leaner("echo no key >&2; exit 2")
    shown = on_terminal(calc, "--quiet").all_lines()
    assert [line for line in shown if "no key" in line] == ["stopped: leaner: no key"]
    assert calc.lean_loop("--quiet").err == "lean-loop: leaner: no key\n"


def test_columns_of_numbers_stand_right_under_their_headings() -> None:
    rows = [("task", "in", "s"), ("one", "about 1,405", "0.4"), ("two", "7", "12.0")]
    assert columns(rows) == ["task           in     s", "one   about 1,405   0.4", "two             7  12.0"]


def test_a_green_task_costs_its_reader_at_most_60_tokens(bench: Bench, words: Words) -> None:
    ran = subprocess.run([*LEANLOOP, "--demo"], cwd=bench.project, env=bench.env, capture_output=True, text=True)
    assert ran.returncode == 0
    assert words(ran.stdout) <= 3 * 60
    assert all(words(line) <= 60 for line in ran.stdout.splitlines())


NASTY = """
import unittest
from calc import add

class {name}(unittest.TestCase):
    pass

def test(self):
    self.maxDiff = None
    self.assertEqual({{"{key}": [add(2, 3)] * 90, "日本語のキー" * 30: "0xDEADBEEF" * 40}}, {{1: "ü€😀" * 100}})

for n in range(40):
    setattr({name}, f"test_{{n}}_{method}", test)
"""


@pytest.mark.parametrize("said", few_of(["深い原因 0x7f", "0xDEADBEEF", "ü€😀", "the sum is wrong", "a.B_c(D)[e]"]))
def test_a_red_task_costs_at_most_300_tokens_whatever_is_said(
    calc: Bench, leaner: Leaner, words: Words, said: str
) -> None:
    leaner(f"[ $LEAN_MODE = ask ] && seq -s ' {said} ' 300 && exit\n" + SPOIL)
    calc.write("test_calc.py", NASTY.format(name="Zqxv" * 20, method="_wjk9" * 30, key="k3y_" * 40))
    calc.write("leanfile.toml", ONCE.replace("1", "3") + LEANFILE.replace('"add"', '"' + "名前 x9 " * 20 + '"'))
    ran = calc.lean_loop()
    assert ran.code == 1
    assert words(ran.out) <= 300, (words(ran.out), ran.out)
    for word in ("failing: ", "error: AssertionError", "at: test_calc.py:", "tried: 4. ", "next: "):
        assert word in ran.out


def test_a_red_task_says_what_somebody_needs_who_takes_over(calc: Bench, leaner: Leaner, words: Words) -> None:
    leaner(DIAGNOSE + SPOIL)
    settings(calc, ONCE)
    ran = calc.lean_loop()
    assert sober(ran.out.splitlines())[:-1] == [
        "red: add: 2 attempts; 1 -> 1 failing; calc.py +1 -1",
        "  failing: test_two_and_three (test_calc.Add.test_two_and_three)",
        "  error: AssertionError: 6 != 5",
        "  at: test_calc.py:8",
        "  why: no attempt is left (max_iters_per_task)",
        "  next: mend it; lean-loop --resume",
        "  back: lean-loop --undo takes the run back, --restore last/1.2 brings the last attempt",
        "  tried: 2. add multiplies. -> nothing changed, 1 failing | 1. first attempt -> calc.py +1 -1, 1 failing",
    ]
    assert words(ran.out) <= 300


def test_the_places_of_a_failure_begin_in_the_test_and_none_is_repeated(calc: Bench, leaner: Leaner) -> None:
    leaner("echo done")
    calc.write("calc.py", "def one(n):\n    return {}[n]\n\n\ndef add(*each):\n    return sum(one(n) for n in each)\n")
    settings(calc, "[defaults]\nmax_iters_per_task = 0\n")
    assert "  at: test_calc.py:8, calc.py:6, calc.py:2\n" in calc.lean_loop().out


def test_a_suite_that_is_worse_than_before_is_named_with_what_to_do(calc: Bench, leaner: Leaner) -> None:
    leaner(f"{FIX}; sed -i 's/def less/def fewer/' calc.py")
    calc.write("calc.py", CALC + "\n\ndef less(left, right):\n    return left - right\n")
    more = CALC_TEST.replace("add(2, 3), 5", "less(3, 2), 1").replace("import add", "import less")
    calc.write("test_more.py", more.replace("class Add", "class Less"))
    calc.write("leanfile.toml", LEANFILE + 'test_files = ["test_calc.py"]\n')
    ran = calc.lean_loop("--quiet")
    assert (ran.code, ran.out.splitlines()[0].split(":")[0]) == (1, "green")
    assert "red: the whole suite is worse than before the run: " in ran.out
    assert "\n  next: mend it, or lean-loop --undo takes the run back\n" in ran.out
    assert calc.lean_loop("--undo").code == 0
    assert "def less" in calc.read("calc.py")


def test_a_run_that_could_not_begin_says_why_and_how_to_go_on_and_no_more(calc: Bench, leaner: Leaner) -> None:
    leaner("exit 2")
    calc.write("leanfile.toml", LEANFILE.replace("{python}", "no-such-program"))
    ran = calc.lean_loop("--quiet")
    assert ran.out.splitlines()[:-1] == [
        "stopped: add: 0 attempts; not tested; nothing changed",
        "  next: lean-loop --resume",
        "stopped: [runner] command: 'no-such-program' was not found. Install it, or correct the name.",
    ]


def test_what_is_the_reason_and_the_error_is_said_once(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    (calc.project / "test_calc.py").unlink()
    ran = calc.lean_loop("--quiet")
    assert ran.code == 1
    assert ran.out.count("the test command ran no test") == 1, ran.out


def test_a_name_of_several_lines_and_colours_is_told_as_one_plain_line(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write("leanfile.toml", LEANFILE.replace('"add"', '"add\\nall\\u001b[31m"'))
    assert calc.lean_loop().err.splitlines()[1] == "[1/1] add all [31m"


def test_each_attempt_of_a_red_task_is_told_where_there_is_room(calc: Bench, leaner: Leaner) -> None:
    leaner(
        '[ $LEAN_MODE = ask ] && { echo "It takes the product where the sum is wanted ($(cat $HOME/n))."; exit; }\n'
        'echo "# more" >> calc.py; wc -l < calc.py > $HOME/n; echo done'
    )
    settings(calc, "[defaults]\nmax_iters_per_task = 2\n")
    (tried,) = [line for line in calc.lean_loop().out.splitlines() if line.startswith("  tried: ")]
    assert re.findall(r"\b(\d)\. ", tried) == ["3", "2", "1"]


def test_what_a_leaner_did_not_count_is_marked(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    assert re.search(r"1/1 green; about \d+ tokens in, \d+ out, 1 request", calc.lean_loop().out)


@pytest.mark.parametrize(("used", "price"), [((1_000_000, 100_000), "4.5000"), ((500, 0), "0.0015")])
def test_pricing_says_what_the_same_tokens_would_have_cost(
    calc: Bench, leaner: Leaner, used: tuple[int, int], price: str
) -> None:
    told = json.dumps({"requests": 1, "input_tokens": used[0], "output_tokens": used[1]})
    leaner(f"echo '{told}' > \"$LEAN_USAGE_FILE\"; {FIX}")
    settings(calc, "[pricing]\ninput = 3.0\noutput = 15.0\n")
    assert f" s; would cost {price} at [pricing]; run " in calc.lean_loop().out


def test_an_estimate_makes_the_price_an_estimate(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, "[pricing]\ninput = 3000.0\n")
    assert re.search(r"; would cost about \d+\.\d{4} at \[pricing\];", calc.lean_loop().out)


# ---------------------------------------------------------------------------------------------------------- the record


def test_the_report_tells_every_attempt(calc: Bench, serve: Serve) -> None:
    server = serve(WRONG, RIGHT)
    ran = calc.lean_loop()
    assert ran.code == 0
    assert ran.err.startswith(f"lean-loop: leanfile.toml with direct, {server.model}\n")
    (run,) = calc.runs()
    told = (run / "report.md").read_text()
    assert f"; {server.model}; run {run.name}\n" in told and f"; {server.model}; run " in ran.out
    assert calc.lean_loop("--report").out == f"{told}\nThe files lie in {run}\n"
    assert told.startswith("# lean-loop: green\n")
    assert re.findall(r"^#+ .*$", told, re.MULTILINE)[1:] == ["## 1. add", "### Attempt 1", "### Attempt 2"]
    assert "\n> add subtracts instead of adding.\n" in told
    assert "-    return left - right\n+    return left * right\n" in told
    links = re.findall(r"\[(.*?)\]\((.*?)\)", told)
    assert len(links) >= 8
    assert [name for name, target in links if name != target or not (run / target).is_file()] == []


def test_the_report_of_a_killed_run_is_told_by_its_events(calc: Bench, leaner: Leaner) -> None:
    leaner("kill -9 $PPID; sleep 1")
    calc.lean_loop()
    told = calc.lean_loop("--report", "last").out
    assert told.startswith("# lean-loop: stopped\n")
    assert "stopped: it was not finished" in told


def test_runs_are_listed_newest_first_and_found_by_their_beginning(calc: Bench, serve: Serve) -> None:
    serve(WRONG, WRONG, WRONG, WRONG, RIGHT)  # an answer that changes nothing is drawn again, within the same try
    settings(calc, ONCE)
    assert calc.lean_loop().code == 1
    assert calc.lean_loop().code == 0
    first, second = (run.name for run in calc.runs())
    heading, *rows = calc.lean_loop("--runs").out.splitlines()
    assert heading.split() == ["run", "ended", "green", "s", "tokens", "in", "out", "leanfile"]
    assert max(map(len, rows)) < 80
    assert [row.split()[:3] for row in rows] == [[second, "green", "1/1"], [first, "red", "0/1"]]
    told = calc.lean_loop("--report", first).out
    assert told.startswith("# lean-loop: red\n")
    assert f"lean-loop --undo {first} takes the run back, --restore {first}/1.2 brings the last attempt" in told
    many = calc.lean_loop("--report", first[:8])
    assert (many.code, "2 runs of this project begin with" in many.err) == (2, True)
    none = calc.lean_loop("--report", "no-such-run")
    assert (none.code, second in none.err) == (2, True)


def test_the_last_report_is_that_of_the_last_work(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    assert calc.lean_loop().code == 0
    assert calc.lean_loop("--undo").code == 0
    assert "## 1. add" in calc.lean_loop("--report").out
    assert len(calc.lean_loop("--runs").out.splitlines()) == 3


def test_a_project_without_runs_says_so(calc: Bench) -> None:
    ran = calc.lean_loop("--report")
    assert (ran.code, "this project has no runs yet" in ran.err) == (2, True)
    assert (calc.lean_loop("--runs").code, calc.lean_loop("--runs").out) == (0, "")


def test_a_mask_that_fits_much_leaves_the_record_readable(calc: Bench, leaner: Leaner) -> None:
    leaner("echo 'sk-secret and \"quotes\"'; " + FIX)
    settings(calc, "[guard]\nmask = ['sk-.*']\n")
    assert calc.lean_loop().code == 0
    (run,) = calc.runs()
    for path in run.iterdir():
        assert "sk-secret" not in path.read_text()
    assert json.loads((run / "events.jsonl").read_text().splitlines()[-1])["state"] == "green"


# ---------------------------------------------------------------------------------------------------------- programs

SCHEMA = json.loads((ROOT / "examples" / "events.schema.json").read_text(encoding="utf-8"))


def is_valid(event: dict[str, Any]) -> bool:
    """Tell whether the schema allows EVENT."""
    schema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install -e '.[heavy]'")
    return bool(schema.Draft202012Validator(SCHEMA).is_valid(event))


def events(text: str) -> list[dict[str, Any]]:
    """Read what --json printed; every line keeps to the schema."""
    found = [json.loads(line) for line in text.splitlines()]
    assert [event for event in found if not is_valid(event)] == []
    return found


def test_json_prints_the_record_and_nothing_else(calc: Bench, serve: Serve) -> None:
    serve(WRONG, RIGHT)
    ran = calc.lean_loop("--json")
    assert ran.code == 0
    (run,) = calc.runs()
    assert ran.out == (run / "events.jsonl").read_text()
    told = events(ran.out)
    outcome = told[-1]
    assert [outcome[key] for key in ("event", "code", "state", "green", "total")] == ["outcome", 0, "green", 1, 1]
    assert [(task["name"], task["before"], task["failing"]) for task in outcome["tasks"]] == [("add", 1, [1, 0])]
    assert outcome["usage"]["requests"] == 3


def test_json_comes_as_it_happens(calc: Bench, leaner: Leaner) -> None:
    leaner('while [ ! -e "$HOME/go" ]; do sleep 0.05; done; ' + FIX)
    process = subprocess.Popen(
        [*LEANLOOP, "--json", "--quiet"], cwd=calc.project, env=calc.env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    early = next(line for line in process.stdout if json.loads(line)["event"] == "asking")
    (calc.home / "go").touch()
    assert json.loads(early)["leaner"] == "leaner"
    assert events(process.stdout.read())[-1]["event"] == "outcome"
    assert process.wait(20) == 0


def test_json_ends_with_an_outcome_when_red_stopped_or_wrongly_set_up(calc: Bench, leaner: Leaner) -> None:
    leaner(DIAGNOSE + SPOIL)
    settings(calc, ONCE)
    red = events(calc.lean_loop("--json").out)[-1]
    assert (red["code"], red["tasks"][0]["places"], len(red["tasks"][0]["tried"])) == (1, [["test_calc.py", 8]], 2)
    leaner("echo no key >&2; exit 2")
    stopped = events(calc.lean_loop("--json").out)[-1]
    assert (stopped["code"], stopped["state"]) == (3, "stopped")
    assert "no key" in stopped["error"]
    calc.write("leanfile.toml", "[lean]\nno_such_key = 1\n")
    (wrong,) = events(calc.lean_loop("--json").out)
    assert (wrong["event"], wrong["code"]) == ("outcome", 2)
    assert "no_such_key" in wrong["error"]


def test_the_schema_knows_every_key(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    told = events(calc.lean_loop("--json").out)
    assert [(event["event"], key) for event in told for key in event if is_valid({**event, key: {"strange": 1}})] == []


# ------------------------------------------------------------------------------------------------------------- notify

NOTIFY = '[notify]\ncommand = "env | grep ^LEANLOOP_ > told; cat \\"$LEANLOOP_REPORT\\" >> told"\n'


def test_notify_gets_the_outcome_in_its_environment(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, NOTIFY)
    assert calc.lean_loop().code == 0
    told, run = calc.read("told"), calc.runs()[-1]
    for line in (
        "LEANLOOP_CODE=0",
        "LEANLOOP_STATE=green",
        f"LEANLOOP_RUN={run.name}",
        f"LEANLOOP_REPORT={run}/report.md",
    ):
        assert f"{line}\n" in told
    assert "LEANLOOP_OUTCOME=green: add: 1 attempt; 1 -> 0 failing" in told
    assert "# lean-loop: green\n" in told


def test_notify_is_told_of_an_error_too(calc: Bench, leaner: Leaner) -> None:
    leaner("exit 2")
    settings(calc, NOTIFY)
    assert calc.lean_loop().code == 3
    assert "LEANLOOP_CODE=3\n" in calc.read("told")
    assert "LEANLOOP_STATE=stopped\n" in calc.read("told")


def test_a_notify_command_that_fails_is_a_warning_only(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, '[notify]\ncommand = "echo no bell; exit 3"\n')
    ran = calc.lean_loop()
    assert ran.code == 0
    assert "warning: [notify] command ended with exit code 3: no bell" in ran.err
    (run,) = calc.runs()
    kinds = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert kinds[-2:] == ["warning", "outcome"]


@pytest.mark.slow
def test_a_notify_command_that_never_ends_is_ended(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, '[notify]\ncommand = "sleep 1000"\n')
    ran = calc.lean_loop(timeout=50)
    assert ran.code == 0
    assert "was ended after 30 s (time limit)" in ran.err


# ---------------------------------------------------------------------------------------------------- a real emulator


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10)])
def test_a_terminal_emulator_shows_the_same(calc: Bench, leaner: Leaner, columns: int, lines: int) -> None:
    pyte = pytest.importorskip("pyte", reason="pyte is not installed: pip install -e '.[heavy]'")
    leaner(DIAGNOSE + SLOW + SPOIL)
    settings(calc, ONCE)
    seen = on_terminal(calc, columns=columns, lines=lines)
    screen = pyte.Screen(columns, lines)
    pyte.ByteStream(screen).feed(b"".join(piece for _, piece in seen.pieces))
    assert [row.rstrip() for row in screen.display if row.strip()] == [row for row in seen.screen if row]
