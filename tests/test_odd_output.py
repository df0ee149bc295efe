"""What leaners and tests may print, and how they may be named: read as it is meant, through the real command."""

from __future__ import annotations

import json

import pytest

from conftest import Bench, Leaner, few_of
from test_test_runs import FIX, TALK, judged, line_is

# ---------------------------------------------------------------------------------------------------------- log lines

UNITTEST = """
import sys
import unittest

from calc import add


class Add(unittest.TestCase):
    def test_two_and_three(self):
        print(LOG, file=sys.stderr)
        self.assertEqual(add(2, 3), 5)

    def test_nothing(self):
        print(LOG)
        self.assertEqual(add(0, 0), 0)
"""
LOGS = (
    "error: not a number: x",
    "ERROR: could not reach db",
    "running 0 tests",
    "--- FAIL: TestLog (0.00s)",
    "FAIL\tshop\t0.1s",
    "5 skipped, 3 pending",
    "> Task :test",
    "1 failed, 2 passed in 0.10s",
    "Tests: 1 failed, 2 passed, 3 total",
    "Ran 1 test in 0.1s\n\nFAILED (failures=1)",
)


def test_a_green_suite_stays_green_whatever_it_logs(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write("test_calc.py", UNITTEST.replace("LOG", repr("\n".join(LOGS))))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    before, after = judged(calc)
    assert (before["failing"], before["skipped"]) == (1, 0)
    assert (after["passed"], after["skipped"]) == (2, 0)
    assert "skipped" not in ran.text


def test_what_a_fix_silences_was_no_failing_test(calc: Bench, leaner: Leaner) -> None:
    source = "import sys\n\n\ndef add(left, right):\n    print('ERROR: could not reach db', file=sys.stderr)\n"
    calc.write("calc.py", f"{source}    return left - right\n")
    leaner(FIX)
    assert calc.lean_loop().code == 0
    assert judged(calc)[0]["tests"] == ["test_two_and_three (test_calc.Add.test_two_and_three)"]


@pytest.mark.parametrize("line", few_of(["make check", "npm test", "./check.sh", "sh check.sh"], 2))
def test_what_runs_is_found_behind_scripts_and_recipes(calc: Bench, leaner: Leaner, line: str) -> None:
    leaner(FIX)
    calc.write("Makefile", "check:\n\tpython3 -m unittest\n")
    calc.write("check.sh", "#!/bin/sh\nset -e\npython3 -m unittest\n", 0o755)
    calc.write("package.json", json.dumps({"scripts": {"test": "npm run unit", "unit": "sh check.sh"}}))
    calc.write("test_calc.py", UNITTEST.replace("LOG", repr("Tests: 1 failed, 2 passed, 3 total")))
    line_is(calc, line)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert judged(calc)[-1]["passed"] == 2


# -------------------------------------------------------------------------------------------- a demand on the coverage

GATES = (
    "FAIL Required test coverage of 80% not reached. Total coverage: 40.00%",
    'Jest: "global" coverage threshold for lines (80%) not met: 50%',
    "ERROR: Coverage for lines (33.33%) does not meet global threshold (90%)",
    "Line coverage (50.00%) is below the expected minimum coverage (90.00%).",
    "Coverage failure: total of 50 is less than fail-under=80",
    "Error: 50.00% line coverage does not meet threshold of 80%.",
    "[WARNING] Rule violated for bundle shop: lines covered ratio is 0.50, but expected minimum is 0.80",
    "Coverage test failed, threshold not met:",
)
GATED = """#!/bin/sh
python3 -m unittest $* || exit 1
test $# = 0 || { echo 'GATE'; exit 2; }
"""


@pytest.mark.parametrize("gate", few_of(GATES, 3))
def test_a_demand_on_the_coverage_that_a_narrowed_run_cannot_meet_is_no_failing_test(
    calc: Bench, leaner: Leaner, gate: str
) -> None:
    leaner(FIX)
    calc.write("check", GATED.replace("GATE", gate), 0o755)
    task = '[[tasks]]\nname = "add"\nprompt = "mend"\nfiles = ["calc.py"]\ntest_files = ["test_calc.py"]\n'
    calc.write("leanfile.toml", f'[defaults]\nmax_iters_per_task = 0\n[runner]\ncommand = "./check"\n{task}')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "coverage" in ran.text
    assert [event["green"] for event in judged(calc)].count(True) >= 2, "the whole suite has to meet it"


def test_a_demand_on_the_coverage_of_the_whole_suite_is_red(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    calc.write("check", GATED.replace("GATE", GATES[0]), 0o755)
    line_is(calc, "./check test_calc.py")
    ran = calc.lean_loop()
    assert ran.code == 1
    assert judged(calc)[-1]["failing"] == 0


# ------------------------------------------------------------------------------------- a test command that is to come

SCRIPT = "printf '#!/bin/sh\\npython3 -m unittest\\n' > check.sh; chmod +x check.sh; "
AWAITED = {
    "listed": ('command = "./check.sh"\nshell = true', "mend", ["calc.py", "check.sh"], SCRIPT),
    "by sh": ('command = "sh check.sh"\nshell = true', "mend", ["calc.py", "check.sh"], SCRIPT),
    "in a line": ('command = "cd . && ./check.sh -q"\nshell = true', "mend", ["check.sh", "calc.py"], SCRIPT),
    "without a shell": ('command = "./check.sh"', "mend", ["calc.py", "check.sh"], SCRIPT),
    "a module": (
        'command = "{python}"\nargs = ["-m", "checks.run"]',
        "mend",
        ["calc.py", "checks/run.py"],
        "mkdir -p checks; echo 'import unittest; unittest.main(\"test_calc\")' > checks/run.py; ",
    ),
}


@pytest.mark.parametrize("case", few_of(AWAITED, 3))
def test_a_script_that_a_task_is_to_write_is_red_before(calc: Bench, leaner: Leaner, case: str) -> None:
    runner, told, files, script = AWAITED[case]
    leaner(script + FIX)
    task = f'[[tasks]]\nname = "add"\nprompt = {json.dumps(told)}\nfiles = {json.dumps(files)}\n'
    calc.write("leanfile.toml", f"[defaults]\nmax_iters_per_task = 0\n[runner]\n{runner}\n{task}")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert [event["green"] for event in judged(calc)] == [False, True]


def test_a_script_that_nobody_is_to_write_is_not_ready(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    line_is(calc, "./chek.sh")
    assert calc.lean_loop().code == 3


# ------------------------------------------------------------------------------------------------ what leaners print

SAID = {
    "a title without an end": "printf '\\033]0;working\\nthe second line\\n'; ",
    "a link without an end": "printf 'see \\033]8;;http://x\\nthe second line\\n'; ",
    "a title cut off by a colour": "printf '\\033]0;working\\033[0m\\nthe second line\\n'; ",
    "a number of 5000 digits": "printf 'progress: '; printf '9%.0s' $(seq 5000); echo ' 1'; echo the second line; ",
    "a speed of 5000 digits": "printf 'progress: 20 '; printf '9%.0s' $(seq 5000); echo; echo the second line; ",
    "both on standard error": "echo progress: $(printf '9%.0s' $(seq 5000)) 1 >&2; echo the second line; ",
}


@pytest.mark.parametrize("case", few_of(SAID, 3))
def test_nothing_that_a_leaner_prints_swallows_what_comes_behind(calc: Bench, leaner: Leaner, case: str) -> None:
    leaner(SAID[case] + FIX.replace("echo done", "echo the last line"))
    ran = calc.lean_loop("--verbose")
    assert ran.code == 0, ran.text
    (folder,) = calc.runs()
    answer = min(folder.glob("*answer.txt")).read_text(encoding="utf-8")
    assert "the second line" in answer
    assert "the last line" in answer
    assert "the last line" in ran.err


@pytest.mark.parametrize("name", few_of([r"n\377w.py", r"tests/t\303.py", r"conf\377ig.toml"], 2))
def test_a_file_name_that_is_no_utf_8_hinders_nothing(calc: Bench, leaner: Leaner, name: str) -> None:
    count = 'echo x >> "$HOME/n"; mkdir -p tests; printf x > "$(printf \'NAME\')"\n'.replace("NAME", name)
    leaner(f'{count}if [ "$(wc -l < "$HOME/n")" -gt 3 ]; then {FIX} fi; echo "saw $(ls)"')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert calc.lean_loop("--undo").code == 0
    assert "left - right" in calc.read("calc.py")


@pytest.mark.parametrize("pattern", few_of(["[0-9a-f]{40}", "[0-9a-f]{16,}", r"\\b[0-9a-f]+\\b"], 2))
def test_a_mask_that_fits_the_names_of_states_leaves_them(calc: Bench, leaner: Leaner, pattern: str) -> None:
    leaner(f"echo {'ab' * 20}; {FIX}")
    calc.write("leanfile.toml", f'[guard]\nmask = ["{pattern}"]\n' + calc.read("leanfile.toml"))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    (folder,) = calc.runs()
    assert "ab" * 20 not in "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    undone = calc.lean_loop("--undo")
    assert undone.code == 0, undone.text
    assert "left - right" in calc.read("calc.py")


@pytest.mark.parametrize("name", ["~foo.txt", "~$calc.py", "~no-such-user/calc.py"])
def test_a_name_that_begins_with_a_tilde_is_a_name(calc: Bench, leaner: Leaner, name: str) -> None:
    leaner(FIX)
    calc.write("leanfile.toml", calc.read("leanfile.toml").replace('"calc.py"]', f'"calc.py", "{name}"]'))
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert "Traceback" not in ran.err


def test_a_number_of_5000_digits_in_a_report_is_read(calc: Bench, leaner: Leaner) -> None:
    leaner(TALK)
    line_is(calc, "printf '9%.0s' $(seq 5000); echo ' passed, 1 failed'; exit 1")
    assert calc.lean_loop().code == 1
