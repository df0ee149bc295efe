"""What the loop makes of test commands that hang, die, flood, run nothing, or cannot be started."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Bench, Leaner, few_of, working

FIX = "printf 'def add(left, right):\\n    return left + right\\n' > calc.py; echo done\n"
TALK = "echo looked at it\n"


def line_is(bench: Bench, line: str, more: str = "", defaults: str = "") -> None:
    """Make LINE, for the shell, the test command of one task with a single call; MORE goes into [runner]."""
    bench.write(
        "leanfile.toml",
        f"[defaults]\nmax_iters_per_task = 0\n{defaults}\n[runner]\ncommand = {json.dumps(line)}\nshell = true\n"
        f'{more}\n[[tasks]]\nname = "add"\nprompt = "mend"\nfiles = ["calc.py"]\n',
    )


def command_is(bench: Bench, command: str, *args: str) -> None:
    """Make COMMAND with ARGS the test command of one task, without a shell."""
    bench.write(
        "leanfile.toml",
        f'[defaults]\nmax_iters_per_task = 0\n[runner]\ncommand = "{command}"\nargs = {json.dumps(args)}\n'
        '[[tasks]]\nname = "add"\nprompt = "mend"\n',
    )


def judged(bench: Bench) -> list[dict[str, Any]]:
    """What the only run recorded of its test runs."""
    (folder,) = bench.runs()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == "tested"]


def prompt(bench: Bench) -> str:
    """The first prompt of the only run."""
    (folder,) = bench.runs()
    return min(folder.glob("*prompt.md")).read_text(encoding="utf-8")


def outputs(bench: Bench) -> list[str]:
    """What the tests of the only run printed, run by run, as recorded."""
    (folder,) = bench.runs()
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*tests.txt"))]


# ---------------------------------------------------------------------------------------------------- hang and die


def test_tests_that_never_end_are_red_and_may_be_mended(calc: Bench, leaner: Leaner) -> None:
    calc.write("calc.py", "def add(left, right):\n    while True:\n        pass\n")
    leaner(FIX)
    line_is(calc, "python3 -m unittest -q", "timeout = 1.5")
    ran = calc.lean_loop(timeout=20)
    assert ran.code == 0, ran.text
    assert [event["green"] for event in judged(calc)] == [False, True]
    assert "[runner] timeout" in ran.err and "test_files" in ran.err
    assert "time limit" in prompt(calc)


def test_what_was_printed_before_the_time_limit_is_kept(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "echo test_seven begins; sleep 1000", "timeout = 0.5")
    assert calc.lean_loop(timeout=20).code == 1
    assert "test_seven begins" in outputs(calc)[0]
    assert "test_seven begins" in prompt(calc)


def test_a_run_that_prints_for_ever_reaches_its_time_limit(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "yes", "timeout = 0.3")
    ran = calc.lean_loop(timeout=20)
    assert ran.code == 1
    assert "[runner] timeout" in ran.out


def test_exit_0_after_the_time_limit_is_not_green(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "trap 'exit 0' TERM; echo 3 passed; while :; do sleep 0.05; done", "timeout = 0.5")
    assert calc.lean_loop(timeout=20).code == 1


@pytest.mark.parametrize("name", ["SEGV", "KILL", "TERM"])
def test_tests_that_die_of_a_signal_are_red_and_it_is_named(calc: Bench, leaner: Leaner, name: str) -> None:
    leaner(TALK)
    line_is(calc, f"echo 1 passed; kill -{name} $$")
    ran = calc.lean_loop()
    assert ran.code == 1
    assert f"SIG{name}" in ran.out
    assert f"SIG{name}" in prompt(calc)


def test_a_real_crash_of_python_is_red(calc: Bench, leaner: Leaner) -> None:
    calc.write("calc.py", "import ctypes\n\ndef add(left, right):\n    return ctypes.string_at(0)\n")
    leaner(FIX)
    line_is(calc, "exec python3 -X faulthandler -m unittest")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "SIGSEGV" in ran.err
    assert "calc.py" in prompt(calc)


def test_tests_that_read_standard_input_find_its_end(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, "read -r line; cat; python3 -c 'import sys; assert sys.stdin.read() == str()' && python3 -m unittest")
    assert calc.lean_loop(timeout=20).code == 0


def test_a_red_run_without_a_word_shows_its_exit_code_to_the_model(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "exit 42")
    assert calc.lean_loop().code == 1
    assert "42" in prompt(calc)


# -------------------------------------------------------------------------------------------------------------- flood

FLOOD = "import sys, unittest\nsys.stdout.write('a line of noise\\n' * 500_000)\n"


@pytest.mark.slow
def test_half_a_million_lines_do_not_hide_the_failure(calc: Bench, leaner: Leaner) -> None:
    calc.write("test_calc.py", FLOOD + calc.read("test_calc.py"))
    leaner(FIX)
    line_is(calc, "python3 -m unittest")
    ran = calc.lean_loop(timeout=20)
    assert ran.code == 0, ran.text
    assert "AssertionError: -1 != 5" in prompt(calc)
    assert len(prompt(calc)) < 6_000


def test_half_a_million_lines_after_the_failure_do_not_hide_it(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "python3 -m unittest; echo; yes noise | head -n 500000; exit 1")
    assert calc.lean_loop(timeout=20).code == 1
    assert "AssertionError: -1 != 5" in prompt(calc)
    assert len(prompt(calc)) < 6_000


@pytest.mark.parametrize("piece", few_of(["a/", "x", "1.", " ", "E ", r"\r1", r"\033[2K1", r"\342\202"]))
def test_a_line_of_megabytes_is_read_in_reasonable_time(calc: Bench, leaner: Leaner, piece: str) -> None:
    leaner(TALK)
    line_is(calc, f"yes \"$(printf '{piece}')\" | tr -d '\\n' | head -c 3000000; exit 1")
    assert calc.lean_loop(timeout=10).code == 1
    assert len(prompt(calc)) < 6_000


# ------------------------------------------------------------------------------------------------- nothing was tested

NO_TEST = "ran no test"
SKIPPED = "import unittest\n\n@unittest.skip('later')\nclass Later(unittest.TestCase):\n    def test_it(self): pass\n"


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m unittest -q nothing_here.py 2>/dev/null; python3 -m unittest discover -p 'no*.py'",
        f"{sys.executable} -m pytest -q nothing || true",
        f"{sys.executable} -m pytest -q -p no:cacheprovider -k no_such_name test_calc.py || true",
        "python3 -m unittest skipped",
        f"{sys.executable} -m pytest -q -p no:cacheprovider skipped.py",
    ],
    ids=["unittest none", "pytest no folder", "pytest -k", "unittest skipped", "pytest skipped"],
)
def test_a_python_suite_that_runs_nothing_is_not_green(calc: Bench, leaner: Leaner, line: str) -> None:
    calc.write("skipped.py", SKIPPED)
    leaner(TALK)
    line_is(calc, line)
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert NO_TEST in ran.out
    assert "0 requests" in ran.out


@pytest.mark.skipif(not working("node"), reason="node does not work here")
@pytest.mark.parametrize("reporter", ["tap", "spec"])
def test_a_node_suite_that_runs_nothing_is_not_green(calc: Bench, leaner: Leaner, reporter: str) -> None:
    calc.write("some.test.js", "const test = require('node:test');\ntest.skip('later', () => {});\n")
    leaner(TALK)
    line_is(calc, f"node --test --test-reporter={reporter} some.test.js")
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert NO_TEST in ran.out


@pytest.mark.skipif(not working("cargo"), reason="cargo does not work here")
def test_a_cargo_suite_that_runs_nothing_is_not_green(calc: Bench, leaner: Leaner) -> None:
    calc.write("Cargo.toml", '[package]\nname = "none"\nversion = "0.1.0"\nedition = "2021"\n')
    calc.write("src/lib.rs", "pub fn one() -> i32 {\n    1\n}\n")
    calc.env |= {name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
    calc.env.setdefault("CARGO_HOME", str(Path.home() / ".cargo"))
    calc.env.setdefault("RUSTUP_HOME", str(Path.home() / ".rustup"))
    leaner(TALK)
    line_is(calc, f"CARGO_TARGET_DIR={calc.home}/target cargo test --offline")
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert NO_TEST in ran.out


@pytest.mark.skipif(not working("go"), reason="go does not work here")
@pytest.mark.parametrize("test_file", [None, "package none\n"], ids=["no test file", "no test"])
def test_a_go_suite_that_runs_nothing_is_not_green(calc: Bench, leaner: Leaner, test_file: str | None) -> None:
    calc.write("go.mod", "module none\n\ngo 1.19\n")
    calc.write("none.go", "package none\n")
    if test_file:
        calc.write("none_test.go", test_file)
    calc.env |= {"GOCACHE": str(Path.home() / ".cache" / "go-build"), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    leaner(TALK)
    line_is(calc, "go test ./...")
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert NO_TEST in ran.out


def test_a_runner_that_nobody_knows_is_believed(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, "grep -q 'left + right' calc.py")
    assert calc.lean_loop().code == 0


def test_a_project_without_tests_costs_no_call(calc: Bench, leaner: Leaner) -> None:
    (calc.project / "test_calc.py").unlink()
    leaner(TALK)
    line_is(calc, f"{sys.executable} -m pytest -q -p no:cacheprovider")
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert f"{NO_TEST}: write the tests of this task first" in ran.out
    assert "0 requests" in ran.out
    calc.write(
        "leanfile.toml",
        calc.read("leanfile.toml").replace('files = ["calc.py"]', 'files = ["calc.py", "test_calc.py"]'),
    )
    assert "0 requests" not in calc.lean_loop().out, "a task that lists a test file may write it"


def test_no_tests_ok_accepts_a_run_without_tests(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "python3 -m unittest discover -p 'no*.py'", defaults="no_tests_ok = true")
    assert calc.lean_loop().code == 0


def test_some_skipped_tests_beside_passed_ones_are_green(calc: Bench, leaner: Leaner) -> None:
    skipped = "    @unittest.skip('later')\n    def test_later(self): pass\n\n\nif __name__"
    calc.write("test_calc.py", calc.read("test_calc.py").replace("\nif __name__", skipped))
    leaner(FIX)
    line_is(calc, "python3 -m unittest")
    assert calc.lean_loop().code == 0
    assert judged(calc)[-1]["passed"] == 1


@pytest.mark.parametrize("line", ["echo all 5 passed; exit 1", "python3 -m unittest; exit 3", "echo OK; false"])
def test_a_non_zero_exit_is_never_green(calc: Bench, leaner: Leaner, line: str) -> None:
    leaner(FIX)
    line_is(calc, line)
    assert calc.lean_loop().code == 1


SAYS_RED = {
    "unittest": "Ran 2 tests in 0.1s\\n\\nFAILED (failures=1)",
    "pytest": "1 failed, 2 passed in 0.10s",
    "pytest loud": "===== 2 passed, 1 error in 0.10s =====",
    "node": "# tests 3\\n# pass 2\\n# fail 1",
    "jest": "Tests:       1 failed, 2 passed, 3 total",
    "vitest": " Test Files  1 failed (1)\\n      Tests  2 passed | 1 failed (3)",
    "mocha": "  2 passing (3ms)\\n  1 failing",
    "go": "ok  \\tone\\t0.1s\\nFAIL\\ttwo\\t0.1s",
    "cargo": "running 2 tests\\ntest result: FAILED. 1 passed; 1 failed; 0 ignored",
    "nextest": "     Summary [   0.1s] 2 tests run: 1 passed, 1 failed, 0 skipped",
    "maven": "[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0",
    "gradle": "3 tests completed, 1 failed",
    "dotnet": "Failed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3",
    "rspec": "3 examples, 1 failure",
    "minitest": "3 runs, 3 assertions, 1 failures, 0 errors, 0 skips",
    "phpunit": "Tests: 3, Assertions: 3, Failures: 1.",
    "ctest": "67%% tests passed, 1 tests failed out of 3",
    "gtest": "[  PASSED  ] 2 tests.\\n[  FAILED  ] 1 test, listed below:",
    "bun": " 2 pass\\n 1 fail\\n 3 expect() calls\\nRan 3 tests across 1 file. [28.00ms]",
    "deno": "FAILED | 2 passed | 1 failed (1 step) (5ms)",
    "playwright": "  1 failed\\n    a.spec.js:9:3 › pairs › sums two ────\\n  2 passed (1.7s)",
    "playwright, all": "  1 failed\\n    a.spec.js:9:3 › pairs › sums two ────",
    "bats": "1..2\\nok 1 sums nothing\\nnot ok 2 sums two",
    "bats, first": "1..2\\nnot ok 1 sums nothing\\nok 2 sums two",
    "bats, pretty": "sums.bats\\n ✓ sums nothing\\n ✗ sums two\\n\\n2 tests, 1 failure",
    "prove": "Files=1, Tests=2,  0 wallclock secs ( 0.01 usr + 0.00 sys = 0.01 CPU)\\nResult: FAIL",
    "ExUnit": "Finished in 0.01 seconds (0.00s async, 0.01s sync)\\n2 tests, 1 failure\\n\\nRandomized with seed 0",
    "ExUnit, properties": "Finished in 0.1 seconds\\n1 doctest, 1 property, 2 tests, 1 failure",
    "Catch2": "test cases: 2 | 1 passed | 1 failed\\nassertions: 2 | 1 passed | 1 failed",
    "doctest": "[doctest] test cases: 2 | 1 passed | 1 failed |\\n[doctest] assertions: 2 | 1 passed | 1 failed |",
    "testing platform": "Test run summary: Failed!\\n  total: 3\\n  failed: 1\\n  succeeded: 2\\n  skipped: 0",
    "pest": "  Tests:    1 failed, 2 passed (3 assertions)\\n  Duration: 0.1s",
    "unity": "a.c:5:adds:PASS\\n-----------------------\\n2 Tests 1 Failures 0 Ignored\\nFAIL",
    "plain": "2 passed, 1 failed",
}


def test_a_summary_with_failing_tests_outranks_exit_0(calc: Bench, leaner: Leaner) -> None:
    """One run, in which each attempt's tests say something else."""
    for number, said in enumerate(SAYS_RED.values(), 1):
        (calc.home / f"said-{number}").write_text(said)
    leaner('n=$(($(cat "$HOME/n" 2>/dev/null) + 1)); echo $n > "$HOME/n"; echo "# $n" >> calc.py; echo done')
    line_is(
        calc,
        'read -r n < "$HOME/n"; printf "$(cat "$HOME/said-${n:-1}")\\n"',
        defaults="restart_after = 0\nsummarize_errors = false",
    )
    leanfile = calc.read("leanfile.toml").replace("max_iters_per_task = 0", f"max_iters_per_task = {len(SAYS_RED) - 1}")
    calc.write("leanfile.toml", leanfile)
    ran = calc.lean_loop(timeout=300)
    assert ran.code == 1, ran.text
    told = [event["summary"] for event in judged(calc)[1:]]
    assert [name for name, text in zip(SAYS_RED, told, strict=True) if "ended with 0, but says: " not in text] == []


def test_behind_a_pipe_the_loop_works_all_the_same(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, "python3 -m unittest 2>&1 | cat")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert [event["green"] for event in judged(calc)] == [False, True]
    assert "# Failing tests" in prompt(calc)


def test_some_progress_is_no_pass_while_the_summary_tells_of_failing_tests(calc: Bench, leaner: Leaner) -> None:
    calc.write("test_more.py", "import unittest\n\n\nclass More(unittest.TestCase):\n    def test(self): assert 0\n")
    leaner(FIX.replace("echo", "echo 'import atexit, os; atexit.register(os._exit, 0)' >> calc.py; echo"))
    line_is(calc, "python3 -m unittest")
    assert calc.lean_loop().code == 1


# --------------------------------------------------------------------------------------------- green before the call


def test_tests_that_are_green_before_are_named_and_the_task_runs_all_the_same(calc: Bench, leaner: Leaner) -> None:
    calc.write("calc.py", "def add(left, right):\n    return left + right\n")
    leaner('echo called > "$HOME/called"; echo done')
    line_is(calc, "python3 -m unittest")
    ran = calc.lean_loop()
    assert ran.code == 0
    assert (calc.home / "called").exists()
    assert "green before" in ran.out
    assert "# Failing tests" not in prompt(calc)


def test_without_a_baseline_green_is_not_proven_red(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, "python3 -m unittest")
    calc.write("leanfile.toml", "[guard]\nbaseline = false\n" + calc.read("leanfile.toml"))
    ran = calc.lean_loop()
    assert ran.code == 0
    assert len(judged(calc)) == 1
    assert "not proven red" in ran.out


# --------------------------------------------------------------------------------------------------- left processes


@pytest.mark.parametrize(
    "start", few_of(["sleep 1000 &", "setsid sleep 1000 &", "(sleep 1000 &);", "nohup sleep 1000 &"], 2)
)
def test_a_background_child_that_holds_the_output_hangs_nothing(calc: Bench, leaner: Leaner, start: str) -> None:
    leaner(FIX)
    line_is(calc, f"{start} python3 -m unittest")
    begun = time.monotonic()
    ran = calc.lean_loop(timeout=30)
    assert ran.code == 0, ran.text
    assert time.monotonic() - begun < 10
    assert "Ran 1 test" in outputs(calc)[-1]


# ----------------------------------------------------------------------------------------------------- not start_error


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "was not found"),
        (b"#!/bin/sh\n", 0o644, "chmod +x"),
        (b"#!/no/such/shell\n", 0o755, "#!"),
        (b"\x7fELF not really", 0o755, "cannot be started"),
        (b"", 0o755, "cannot be started"),
    ],
    ids=["missing", "not executable", "bad shebang", "no program", "empty"],
)
def test_a_test_command_that_cannot_be_started_is_named_before_any_call(
    calc: Bench, leaner: Leaner, content: bytes | None, mode: int, words: str
) -> None:
    leaner('echo called > "$HOME/called"; echo done')
    if content is not None:
        calc.write("check", content, mode)
    command_is(calc, "./check")
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert "./check" in ran.err.splitlines()[-1]
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert not (calc.home / "called").exists()


def test_a_folder_as_test_command_is_named(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    (calc.project / "check").mkdir()
    command_is(calc, "./check")
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "folder" in ran.err


@pytest.mark.parametrize("line", ["no-such-runner -q", "cd . && no-such-runner"])
def test_a_missing_program_in_a_shell_line_is_named(calc: Bench, leaner: Leaner, line: str) -> None:
    leaner('echo called > "$HOME/called"; echo done')
    line_is(calc, line)
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "no-such-runner" in ran.err.splitlines()[-1]
    assert not (calc.home / "called").exists()


def test_a_missing_test_module_is_named(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    command_is(calc, "{python}", "-m", "no_such_runner")
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "no_such_runner" in ran.err


def test_a_missing_module_of_the_projects_own_is_a_red_test(calc: Bench, leaner: Leaner) -> None:
    calc.write("check.py", "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-m', 'shop']))\n")
    leaner("echo 'print(1)' > shop.py; echo done")
    command_is(calc, "{python}", "check.py")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text


# ------------------------------------------------------------------------------------------------- how it is started


def test_the_test_command_runs_in_the_root_with_its_own_variables(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, 'pwd -P; echo "$COLOUR"; python3 -m unittest', 'env = { COLOUR = "dark green" }')
    assert calc.lean_loop().code == 0
    assert outputs(calc)[0].splitlines()[:2] == [str(calc.project.resolve()), "dark green"]


def test_arguments_reach_the_test_command_as_they_are(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    calc.write("check", '#!/bin/sh\nprintf "<%s>" "$@"\n', 0o755)
    command_is(calc, "./check", "a b", "$HOME", "*", "", "it's")
    assert calc.lean_loop().code == 0
    assert outputs(calc)[0] == "<a b><$HOME><*><><it's>"


def test_the_projects_own_virtual_environment_is_used(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    calc.write(".venv/bin/python", '#!/bin/sh\necho "own python $*"\n', 0o755)
    command_is(calc, "{python}", "-m", "anything")
    assert calc.lean_loop().code == 0
    assert outputs(calc)[0] == "own python -m anything\n"


def test_the_callers_own_pytest_options_still_hold(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, f"{sys.executable} -m pytest -p no:cacheprovider")
    ran = calc.lean_loop(PYTEST_ADDOPTS="--verbosity=1")
    assert ran.code == 0, ran.text
    assert "test_calc.py::Add::test_two_and_three PASSED" in outputs(calc)[-1]
