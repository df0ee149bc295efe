"""Checks: commands that must pass once the tests do; what they print is mended like a failing test."""

from __future__ import annotations

from conftest import Bench, Leaner
from test_verdict import COUNT, ONE, QUIET, TASK, UNITTEST, events, prompts

TIDY = "! grep -n left+right {files}"
MENDS = (
    "{COUNT}[ $n = 1 ] && a=left+right || a='left + right'; sed -i \"s/left.*right$/$a/\" calc.py; echo done\n".replace(
        "{COUNT}", COUNT
    )
)


def set_checks(bench: Bench, task: str, before: str = QUIET) -> None:
    """Give the task its own CHECKS, and BEFORE the tables of all."""
    bench.write("leanfile.toml", f"{before}{UNITTEST}{TASK}{task}")


def test_what_a_check_says_goes_into_the_next_fix(calc: Bench, leaner: Leaner) -> None:
    leaner(MENDS)
    set_checks(calc, f'checks = ["{TIDY}"]\n')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "return left + right" in calc.read("calc.py")
    fix = prompts(calc)[-1]
    assert f"the check '{TIDY}' ended with exit code 1" in fix
    (failed,) = [event for event in events(calc, "tested") if "the check" in event["summary"]]
    assert failed["summary"].endswith("exit code 1: 6:    return left+right")
    assert "return left+right" in fix.rpartition("the check")[2]
    assert [event["command"] for event in events(calc, "check")] == [TIDY] * 2  # only once the tests pass
    assert [event["green"] for event in events(calc, "attempt")] == [False, True]


def test_checks_for_all_tasks_come_first_and_the_best_state_is_one_whose_tests_pass(
    calc: Bench, leaner: Leaner
) -> None:
    leaner(f'{COUNT}[ $n = 1 ] && a=left+right || a=left/right; sed -i "s|left.*right\\$|$a|" calc.py; echo done\n')
    set_checks(calc, f'checks = ["{TIDY}"]\n', '[defaults]\nmax_iters_per_task = 1\nchecks = ["test -f calc.py"]\n')
    ran = calc.lean_loop()
    assert ran.code == 1, ran.text
    assert "return left+right" in calc.read("calc.py")
    assert [event["command"] for event in events(calc, "check")] == ["test -f calc.py", TIDY]
    assert f"error: the check '{TIDY}'" in ran.out


def test_green_tests_whose_check_fails_are_work_where_no_task_is_listed(calc: Bench, leaner: Leaner) -> None:
    calc.write("calc.py", "def add(left, right):\n    return left+right\n")
    leaner("sed -i 's/left+right/left + right/' calc.py; echo done")
    calc.write("leanfile.toml", f'[defaults]\nchecks = ["! grep -rn left+right --include=c*.py {{files}}"]\n{UNITTEST}')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "return left + right" in calc.read("calc.py")
    assert "left+right" in prompts(calc)[0]


def test_a_check_that_is_not_installed_costs_no_further_call(calc: Bench, leaner: Leaner) -> None:
    leaner(MENDS)
    set_checks(calc, 'checks = ["no-such-checker {files}"]\n', ONE)
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "checks: 'no-such-checker {files}'" in ran.err and "Install it, or correct the command." in ran.err


def test_a_check_that_rewrites_files_is_named(calc: Bench, leaner: Leaner) -> None:
    leaner(MENDS)
    set_checks(calc, 'checks = ["echo >> calc.py; echo > report.txt", "true"]\n', ONE)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "the check 'echo >> calc.py; echo > report.txt' rewrote calc.py after the tests had run" in ran.out
    assert ran.out.count("after the tests had run") == 1
