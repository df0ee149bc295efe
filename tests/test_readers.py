"""Whose output it is, which tests failed and what the closing words say: whatever the code under test prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import make
import pytest

import _failures
import _wrapping

GOLDEN = {path.stem: make.load(path) for path in sorted(make.GOLDEN.glob("*.txt"))}

# What code under test may print: one line each, near to what runners print.
LOGS = """
error: not a number: x
ERROR: could not reach db
ERROR could not reach db - retrying
FAIL: connection refused
FAILED: job 7
FAILED tests/test_x.py::test_log - assert 1
--- FAIL: TestLog (0.00s)
✗ log check failed
  ● log › fails
 FAIL  log.test.js > a > b
  1) from the log:
  1 failing
# fail 3
ℹ fail 3
[  FAILED  ] Log.Test
Ran 3 tests in 0.1s
(fail) log > one
Test run summary: Failed!
Result: FAIL
test cases: 2 | 1 passed | 1 failed
> Task :log
error[E0308]: log
running 2 tests
5 pending
5 skipped
expected 3, got 4
AssertionError: from the log
Traceback (most recent call last):
panic: log
12:30:01 error E1 something
main.c:3:4: error: from the log
BUILD FAILED
make: *** [log] Error 1
Failed 3 times
""".strip("\n").splitlines()

# The same, but whole closing lines of some runner.
SUMMARIES = """
FAIL\tlog/pkg\t0.1s
not ok 3 - from the log
1 failed, 2 passed in 0.10s
Tests: 1 failed, 2 passed, 3 total
test result: FAILED. 1 passed; 1 failed; 0 ignored
[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0
3 tests completed, 1 failed
Failed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3
3 examples, 1 failure
3 runs, 3 assertions, 1 failures, 0 errors, 0 skips
Tests: 3, Assertions: 3, Failures: 1.
67% tests passed, 1 tests failed out of 3
FAILED | 1 passed | 1 failed (1 step) (5ms)
2 tests, 1 failure
""".strip("\n").splitlines()

# How runners close a green run of three tests: the command, and what is printed.
GREEN = {
    "pytest": ("python -m pytest -q", "...                  [100%]\n3 passed in 0.03s\n"),
    "unittest": (
        "python3 -m unittest",
        "...\n----------------------------------------------------------------------\nRan 3 tests in 0.001s\n\nOK\n",
    ),
    "go": ("go test ./...", "ok  \tgarden/bed\t0.003s\n"),
    "cargo": (
        "cargo test",
        "\n"
        "running 3 tests\n"
        "test tests::a ... ok\n"
        "test tests::b ... ok\n"
        "\n"
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
        "\n",
    ),
    "nextest": (
        "cargo nextest run",
        "        PASS [   0.004s] orchard tests::a\n"
        "────────────\n"
        "     Summary [   0.010s] 3 tests run: 3 passed, 0 skipped\n",
    ),
    "jest": (
        "npx jest",
        "PASS test/a.test.js\n"
        "  ✓ adds (2 ms)\n"
        "\n"
        "Test Suites: 1 passed, 1 total\n"
        "Tests:       3 passed, 3 total\n"
        "Snapshots:   0 total\n"
        "Time:        0.3 s\n"
        "Ran all test suites.\n",
    ),
    "vitest": (
        "npx vitest run",
        "\n"
        " RUN  v3.0.0 /project\n"
        "\n"
        " ✓ a.test.js (3 tests) 2ms\n"
        "\n"
        " Test Files  1 passed (1)\n"
        "      Tests  3 passed (3)\n"
        "   Start at  10:00:00\n"
        "   Duration  200ms\n",
    ),
    "node": (
        "node --test",
        "✔ adds (1.2ms)\n"
        "ℹ tests 3\n"
        "ℹ suites 0\n"
        "ℹ pass 3\n"
        "ℹ fail 0\n"
        "ℹ cancelled 0\n"
        "ℹ skipped 0\n"
        "ℹ todo 0\n"
        "ℹ duration_ms 50\n",
    ),
    "mocha": ("npx mocha", "\n  sums\n    ✔ adds\n\n\n  3 passing (3ms)\n\n"),
    "bun": (
        "bun test",
        "bun test v1.4.5\n"
        "\n"
        "a.test.js:\n"
        "(pass) adds [0.1ms]\n"
        "\n"
        " 3 pass\n"
        " 0 fail\n"
        " 3 expect() calls\n"
        "Ran 3 tests across 1 file. [28.00ms]\n",
    ),
    "deno": ("deno test", "running 3 tests from ./a_test.js\nadds ... ok (0ms)\n\nok | 3 passed | 0 failed (5ms)\n\n"),
    "playwright": (
        "npx playwright test",
        "\nRunning 3 tests using 1 worker\n\n  ✓  1 a.spec.js:4:1 › adds (18ms)\n\n  3 passed (1.7s)\n",
    ),
    "prove": (
        "prove",
        "t/a.t .. ok\n"
        "All tests successful.\n"
        "Files=1, Tests=3,  0 wallclock secs ( 0.01 usr  0.00 sys +  0.03 cusr  0.01 csys =  0.05 CPU)\n"
        "Result: PASS\n",
    ),
    "bats": ("bats t.bats", "1..3\nok 1 adds\nok 2 subs\nok 3 muls\n"),
    "junit5": (
        "java -jar junit-platform-console.jar",
        "[         3 tests found           ]\n"
        "[         3 tests successful      ]\n"
        "[         0 tests failed          ]\n",
    ),
    "maven": (
        "mvn -q test",
        "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.01 s -- in A\n"
        "[INFO] \n"
        "[INFO] Results:\n"
        "[INFO] \n"
        "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0\n"
        "[INFO] \n"
        "[INFO] BUILD SUCCESS\n",
    ),
    "gradle": ("./gradlew test", "> Task :test\n\nBUILD SUCCESSFUL in 3s\n2 actionable tasks: 2 executed\n"),
    "dotnet": (
        "dotnet test",
        "Passed!  - Failed:     0, Passed:     3, Skipped:     0, Total:     3, Duration: 5 ms\n",
    ),
    "mtp": (
        "dotnet test",
        "\nTest run summary: Passed!\n  total: 3\n  failed: 0\n  succeeded: 3\n  skipped: 0\n  duration: 1s 415ms\n",
    ),
    "rspec": (
        "bundle exec rspec",
        "...\n\nFinished in 0.003 seconds (files took 0.1 seconds to load)\n3 examples, 0 failures\n\n",
    ),
    "minitest": (
        "ruby test/a.rb",
        "Run options: --seed 1\n"
        "\n"
        "# Running:\n"
        "\n"
        "...\n"
        "\n"
        "Finished in 0.001s, 10 runs/s, 10 assertions/s.\n"
        "\n"
        "3 runs, 3 assertions, 0 failures, 0 errors, 0 skips\n",
    ),
    "phpunit": ("phpunit", "PHPUnit 10\n\n...   3 / 3 (100%)\n\nTime: 00:00\n\nOK (3 tests, 3 assertions)\n"),
    "exunit": (
        "mix test",
        "...\n\nFinished in 0.01 seconds (0.00s async, 0.01s sync)\n3 tests, 0 failures\n\nRandomized with seed 0\n",
    ),
    "ctest": (
        "ctest",
        "1/3 Test #1: a ...   Passed    0.00 sec\n"
        "\n"
        "100% tests passed, 0 tests failed out of 3\n"
        "\n"
        "Total Test time (real) =   0.01 sec\n",
    ),
    "gtest": (
        "./a_test",
        "[==========] Running 3 tests from 1 test suite.\n"
        "[ RUN      ] A.b\n"
        "[       OK ] A.b (0 ms)\n"
        "[==========] 3 tests from 1 test suite ran. (0 ms total)\n"
        "[  PASSED  ] 3 tests.\n",
    ),
    "catch2": (
        "./a_test",
        "===============================================================================\n"
        "All tests passed (3 assertions in 3 test cases)\n"
        "\n",
    ),
}


def test_no_line_of_a_green_run_is_taken_for_its_summary() -> None:
    wrong = []
    for name, (command, output) in GREEN.items():
        said = _failures.read_summary(output, command)
        assert said == _failures.read_summary(output, "./check"), name
        assert said.passed in ((None,) if name == "gradle" else (1,) if name == "go" else (3,)), name
        logs = "\n".join(LOGS)
        for text, told in (
            (f"{logs}\n{output}", command),
            (f"{logs}\n{output}", "./check"),
            (f"{output}{logs}\n", command),
        ):
            if _failures.read_summary(text, told) != said:
                wrong.append((name, told, _failures.read_summary(text, told)))
    assert not wrong


def test_where_a_runner_was_started_directly_a_red_summary_beside_its_green_one_was_printed() -> None:
    for name, (command, output) in GREEN.items():
        if not command.startswith("./a_test"):
            told = [_failures.read_summary(f"{log}\n{output}{log}\n", command) for log in SUMMARIES]
            assert not [said for said in told if said.red or said.passed == 0], name


@pytest.mark.parametrize("hiding", ["{} | cat", "{}; true", "{} || true"])
def test_where_a_shell_may_hide_the_exit_code_any_red_summary_counts(hiding: str) -> None:
    output = "Ran 3 tests in 0.1s\n\nFAILED (failures=1)\n" + GREEN["unittest"][1]
    assert (
        _failures.read_summary(output, hiding.format("python3 -m unittest")).red
        == "Ran 3 tests in 0.1s FAILED (failures=1)"
    )


# These print a whole line of their own runner's report, or come of no runner: a guess is all that there is.
OWN = {
    "bats": "not ok", "bats-pretty": "not ok", "bun": "(fail)", "cmocka": "[  FAILED  ]", "gtest": "[  FAILED  ]",
    "mocha": "  1", "rspec-syntax": "  1", "pytest-no": "FAILED", "compiler": "main.c", "go": "--- FAIL",
}  # fmt: skip


def test_no_line_of_a_red_run_is_taken_for_a_failing_test(tmp_path: Path) -> None:
    wrong = []
    for name, golden in GOLDEN.items():
        root = make.write(golden.files, tmp_path / name)
        raw = golden.raw.replace("/project", str(root))
        right = _failures.read_failure(raw, root, command=golden.head)
        own = OWN.get(name) or OWN.get(right.reader.split(" ")[0]) or "\0"
        logs = "".join(f"{log}\n" for log in LOGS if not log.startswith(own))
        for text in (f"{logs}{raw}", f"{raw}{logs}") if right.reader != "plain" else ():
            read = _failures.read_failure(text, root, command=golden.head)
            if (read.reader, read.tests) != (right.reader, right.tests):
                wrong.append((name, read.reader, read.tests))
    assert not wrong


def test_of_a_runner_that_nobody_knows_a_sentence_is_no_test(tmp_path: Path) -> None:
    logs = ("FAIL: connection refused", "FAILED: job 7", "BUILD FAILED", "Result: FAIL", "ERROR: could not reach db")
    output = "".join(f"{log}\n" for log in logs) + "FAIL: test_add\nmath/half ... FAILED\n✗ adds two numbers\n"
    for name in _failures.read_failure(output, tmp_path).tests:
        assert not [log for log in logs if name in log]


# What tools put before the lines of what they run; two of them run a second program at the same time.
LABELS = {
    "turborepo": ("api:test: ", "web:build: "),
    "turborepo, scoped": ("@shop/api:test:unit: ", "@shop/web:build: "),
    "concurrently": ("[0] ", "[1] "),
    "concurrently, named": ("[npm:test] ", "[npm:watch] "),
    "docker compose": ("tests-1  | ", "db-1     | "),
    "docker compose, with times": ("tests-1  | 2026-11-28T17:35:09.123456789Z ", "db-1     | 2026-11-28T17:35:09.1Z "),
    "foreman": ("17:35:09 web.1  | ", "17:35:10 db.1   | "),
    "docker build": ("#12 0.512 ", "#11 1.204 "),
    "docker logs": ("2026-11-28T17:35:09.123456789Z ", ""),
    "a log": ("2026-11-28 17:35:09,120 ", ""),
    "in brackets": ("[17:35:09] ", ""),
    "ts": ("Nov 28 17:35:09 ", ""),
}
RUNS = ["pytest-q", "unittest", "jest", "vitest", "go", "cargo", "node-tap", "mocha", "playwright", "exunit", "maven"]


@pytest.mark.parametrize("name", LABELS)
def test_what_stands_before_every_line_is_taken_off(tmp_path: Path, name: str) -> None:
    label, other = LABELS[name]
    for case in RUNS:
        golden = GOLDEN[case]
        root = make.write(golden.files, tmp_path / case)
        raw = golden.raw.replace("/project", str(root))
        lines = [f"{label}{line}" for line in raw.splitlines()]
        if other:
            lines[1::2] = [f"{line}\n{other}LOG:  checkpoint starting" for line in lines[1::2]]
        text = "\n".join(["Attaching to the others", *lines, " ERROR  run failed", ""])
        right, read = _failures.read_failure(raw, root), _failures.read_failure(text, root)
        assert (read.reader, read.tests, read.summary) == (right.reader, right.tests, right.summary), case
        assert {(frame.path, frame.line) for frame in read.frames} == {
            (frame.path, frame.line) for frame in right.frames
        }, case
        assert _failures.read_summary(text).passed == _failures.read_summary(raw).passed, case


def test_what_no_label_is_stays() -> None:
    kept = (
        "calc.py:3: error: A\ncalc.py:3: error: B\ncalc.py:3: note: C\nFound 2 errors\n",
        "  3 | let x\n  4 | let y\n  5 | let z\n",
        "[INFO] a\n[ERROR] b\n[INFO] c\n[ERROR] d\n",
        "src/a.c:3:4: error: A\nsrc/a.c:3:4: note: B\nsrc/a.c:3:4: note: C\n",
        "[  FAILED  ] A.b\n[  FAILED  ] A.c\n[  FAILED  ] A.d\n",
        "[one] x\nsome text\nmore text\nstill more\n[one] y\n[one] z\n",
    )
    assert [text for text in kept if _wrapping.drop_labels(text) != text] == []


CLOSING = {  # closing words of runners that have no row, or only closing words: how many passed and failed
    "2 specs, 1 failure\nFinished in 0.01 seconds": (1, 1),
    "TOTAL: 1 FAILED, 3 SUCCESS": (3, 1),
    "0 features passed, 1 failed, 0 skipped\n1 scenario passed, 2 failed, 0 skipped\nTook 0m0.000s": (1, 2),
    "2 scenarios (1 failed, 1 passed)\n0m00.01s": (1, 1),
    "[info] done\n[error] Failed: Total 2, Failed 1, Errors 0, Passed 1": (1, 1),
    "1 success / 2 failures / 0 errors / 0 pending : 0.001 seconds": (1, 2),
    "FAIL! -- 1 Passed | 1 Failed | 0 Pending | 0 Skipped\n": (1, 1),
    "Ran 2 tests containing 3 assertions.\n1 failures, 0 errors.": (2, 1),
    "[ FAIL 1 | WARN 0 | SKIP 0 | PASS 2 ]": (2, 1),
    "\t Executed 2 tests, with 1 failure (0 unexpected) in 0.001 (0.002) seconds": (1, 1),
    "00:00 +3 ~1 -1: Some tests failed.": (3, 1),
    "  3 tests failed": (0, 3),
    "0 of 14 tests failed, 14 passed": (14, 0),
    "2 out of 12 tests failed (0.01s)": (10, 2),
    "14 tests passed\nupload: 1 failed, 9 passed": (14, 0),
    "Ok:                 1\nExpected Fail:      0\nFail:               2\nSkipped:            1": (1, 2),
    "# TOTAL: 4\n# PASS:  2\n# XFAIL: 1\n# FAIL:  1": (2, 1),
    "     2  Tests Encountered\n     1  Passes   (50.0%)\n     1  Failures (50.0%)": (1, 1),
    "test cases: 1 | 1 failed as expected\nassertions: 1 | 1 failed as expected\n": (1, 0),
    "test result: ok. 0 passed; 0 failed; 0 ignored\n[Summary]\n1 feature\n1 scenario (1 passed)": (1, 0),
    "api  | Ran 3 tests in 0.001s\napi  | \napi  | FAILED (failures=1)\napi  | \nweb  | PASS\n"
    "web  | Test Suites: 1 passed, 1 total\nweb  | Tests:       3 passed, 3 total\n"
    "api exited with code 1\nweb exited with code 0": (3, 1),
}  # fmt: skip


def test_closing_words_that_count_are_read_whatever_runner_says_them() -> None:
    said = {words: _failures.read_summary(f"starting\n{words}\n", "./check") for words in CLOSING}
    assert {words: (summary.passed, summary.failed) for words, summary in said.items()} == CLOSING


NOTHING = [  # what says that no test ran, by runners whose closing words count none
    "No tests found, exiting with code 0", "No test files found, exiting with code 0", "[INFO] No tests to run.",
    "> Task :test NO-SOURCE", "make: Nothing to be done for 'test'.", "make: 'test' is up to date.", "1..0",
    "DONE 0 tests in 0.312s", "All 0 tests passed.", "No tests defined.", "No test is available in /app/Shop.dll.",
    "Finished in 0.02 seconds\n4 tests, 0 failures, 4 excluded", "1 example, 0 failures, 1 pending",
    "--- SKIP: TestTotal (0.00s)\nPASS\nok  \texample.com/shop\t0.002s",
    "100% tests passed, 0 tests failed out of 1\n\nThe following tests did not run:\n\t  1 - db (Skipped)",
    "  py39: SKIP (0.00 seconds)\n  evaluation failed :( (0.05 seconds)", "Ok:     0\nFail:   0\nSkipped: 2",
    "nox > Session tests-3.9 skipped: Python interpreter 3.9 not found.",
    "No tasks were executed as part of this run.", "No projects matched the filters", "0 scenarios", "  2 skipped",
]  # fmt: skip
STAYS = [  # what is green though a word of it says otherwise
    "Ran 3 tests in 0.001s\n\nOK (expected failures=1)",
    "test cases:  3 |  2 passed | 1 failed as expected\nassertions: 4 | 3 passed | 1 failed as expected",
    "\t Executed 0 tests, with 0 failures (0 unexpected) in 0.0 (0.0) seconds\n"
    "✔ Test run with 3 tests passed after 0.1 seconds.",
    "  3 passing (9ms)\n\n  0 passing (1ms)\n  1 pending",
    "  1 flaky\n    e2e/a.spec.ts:4:5 › pays\n  2 passed (3.1s)",
    "No files changed\nNo packages to install\nall is well",
    "--- SKIP: TestDb (0.00s)\n--- PASS: TestTotal (0.00s)\nPASS\nok  \texample.com/shop\t0.002s",
    "jobs: 1 failure, 3 passed\n22 tests, 0 failures",
    "tests-1 exited with code 0\ndb-1 exited with code 137",
]


def test_what_says_that_nothing_ran_is_heard() -> None:
    assert [said for said in NOTHING if _failures.read_summary(f"starting\n{said}\n", "./check").passed != 0] == []


def test_a_red_count_of_tape_is_read() -> None:
    assert _failures.read_summary("not ok 1 a\n\n1..2\n# tests 2\n# pass  1\n# fail  1\n", "node test.js || true").red


def test_what_is_green_stays_green() -> None:
    told = {said: _failures.read_summary(f"starting\n{said}\n", "./check") for said in STAYS}
    assert [said for said, summary in told.items() if summary.red or summary.passed == 0] == []


LOST = [
    "./run | tee log",
    "./run 2>&1 | cat",
    "./run; true",
    "./run || true",
    "./run; echo done",
    "cd a && ./run | tail -5",
]
KEPT = [
    "./run",
    "a | xargs ./run",
    "set -o pipefail; ./run | tee log",
    ". env.sh; ./run",
    "./build && ./run",
    "yes | ./run",
]


def test_a_command_that_loses_the_exit_code_is_told() -> None:
    assert [command for command in LOST if not _failures.loses_exit(command)] == []
    assert [command for command in KEPT if _failures.loses_exit(command)] == []


PREFIXES = ["packages/shop test: ", "[CI/test]   | ", "@org/shop: ", "[@org/shop]: ", "shop:test | ", "+test | "]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_of_any_shape_is_taken_off(prefix: str) -> None:
    lines = ["E", "=" * 70, "ERROR: test_a (test_a.A)", "-" * 70, "KeyError: 1", "", "-" * 70, "Ran 1 test in 0.1s", "",
             "FAILED (errors=1)"]  # fmt: skip
    said = _failures.read_summary("".join(f"{prefix}{line}\n" for line in lines), "./check")
    assert (said.passed, said.failed) == (0, 1)


ENDS = {  # how runners name a failing test
    "  1 failed\n    [chromium] › e2e/a.spec.ts:4:5 › pays ─────\n  2 passed (3.1s)":
    "[chromium] › e2e/a.spec.ts:4:5 › pays",
    "Failure:\nCartTest#test_total [test/cart_test.rb:9]:\nExpected: 3\n  Actual: 4\n\n"
    "2 runs, 2 assertions, 1 failures, 0 errors, 0 skips": "CartTest#test_total",
    "Failures:\n1) cart totals\n  Message:\n    Expected 4 to be 3.\n\n3 specs, 1 failure": "cart totals",
    "a.swift:12: error: CartTests.testTotal : XCTAssertEqual failed\n"
    "Test Case 'CartTests.testTotal' failed (0.002 seconds)\n"
    "\t Executed 2 tests, with 1 failure (0 unexpected) in 0.003 (0.003) seconds": "CartTests.testTotal",
    "=== FAIL: . TestTotal (0.00s)\n    cart_test.go:9: got 4\n\nDONE 5 tests, 1 failure in 0.412s": "TestTotal",
    "[info] - should total *** FAILED ***\n[info]   4 did not equal 3\n"
    "[info] Tests: succeeded 1, failed 1, canceled 0, ignored 0, pending 0": "should total",
    "0% tests passed, 1 tests failed out of 1\n\nThe following tests FAILED:\n"
    "\t  1 - Cart totals two (Failed)": "Cart totals two",
    "Totals :: All of it             | FAIL |\n4 != 3\n-----\nCart        | FAIL |\n2 tests, 1 passed, 1 failed\n"
    "==========\nOutput:  /src/output.xml": "Totals",
    "  adds:   OK\n  totals: FAIL (0.01s)\n    expected: 3\n\n1 out of 2 tests failed (0.01s)": "totals",
    "> [FAIL]        cart          1   totals.\n│ [FAIL]        cart          1   totals.        │\nFAIL total\n\n"
    "1 failure! in 0.001s. 2 tests run.": "cart 1 totals",
    "Failure (test-cart.R:8:3): totals two\n4 not equal to 3.\n[ FAIL 1 | WARN 0 | SKIP 0 | PASS 1 ]": "totals two",
    "  1) cart_tests:totals_test/0: module 'cart_tests'\n\n2 tests, 1 failures": "cart_tests:totals_test/0",
    "error: 'cart.test.totals two' failed: expected 3, found 4\n└─ run test 1/2 passed, 1 failed":
    "cart.test.totals two",
    "[FAIL: assertion failed: 4 != 3] test_totals() (gas: 31325)\n\nEncountered a total of 1 failing tests, "
    "1 tests succeeded": "test_totals()",
    "PASS : Cart::adds()\nFAIL!  : Cart::totals() Compared values differ\nTotals: 1 passed, 1 failed, 0 skipped":
    "Cart::totals()",
    "    ✘ totals two (2ms)\n\n1 specs\n2 examples (1 passed, 1 failed)": "totals two",
    '(12): error: in "cart/totals": check has failed\n\n*** 1 failure is detected in the test module "shop"':
    "cart/totals",
    "Chrome 120 (Linux) Cart totals two FAILED\n\tError: Expected 4 to be 3.\n"
    "Chrome 120 (Linux): Executed 3 of 3 (1 FAILED) (0.012 secs)": "Cart totals two",
    "Failure → spec/cart_spec.lua @ 7\ncart totals two\nspec/cart_spec.lua:8: not equal\n"
    "1 success / 1 failure / 0 errors / 0 pending : 0.001 seconds": "cart totals two",
    "SUBFAILED[m] (i=1) tests/test_cart.py::test_total - assert 1 == 0\n1 failed, 1 passed in 0.05s":
    "tests/test_cart.py::test_total",
}  # fmt: skip


@pytest.mark.parametrize("said", ENDS)
def test_the_failing_test_is_named(said: str, tmp_path: Path) -> None:
    assert _failures.read_failure(f"starting\n{said}\n", tmp_path).tests == (ENDS[said],)


def outputs() -> Iterator[tuple[dict[str, Any], str]]:
    """Give the outputs of outputs.txt, each after what must be read of it."""
    text = (Path(__file__).parent / "outputs.txt").read_text(encoding="utf-8")
    for case in text.split("@@@ ")[1:]:
        head, _, output = case.partition("\n")
        yield json.loads(head), output


def read(case: dict[str, Any], output: str, root: Path) -> dict[str, Any]:
    """Read OUTPUT as the loop does: the same keys as CASE, as far as what is read fits it."""
    text, code, command = output.replace("/src/", f"{root}/"), case["exit"], case["command"]
    said = _failures.read_summary(text, command, green=code == 0)
    red = code or said.red or (said.passed is None and _failures.loses_exit(command))
    failure = _failures.read_failure(text, root, command=command)
    places = {f"{frame.path}:{frame.line}" for frame in failure.frames}
    short = failure.summary or failure.excerpt
    return {
        "verdict": "red" if red else "nothing" if said.passed == 0 else "green",
        "passed": said.passed,
        "failed": said.failed,
        "tests": fitting(case.get("tests", []), failure.tests),
        "error": case.get("error") if case.get("error", "") in short else short,
        "places": [place for place in case.get("places", ()) if place in places],
    }


def fitting(wanted: list[str], names: tuple[str, ...]) -> list[str]:
    """Give WANTED where each of NAMES holds one of them, as many as they are, else NAMES."""
    flat = [" ".join(name.split()) for name in wanted]
    held = all(any(name in long for long in names) for name in flat)
    return wanted if held and len(names) == len(flat) else list(names)


def test_outputs_of_many_runners_are_read_as_they_say(tmp_path: Path) -> None:
    cases, wrong = list(outputs()), []
    for place in {place.rpartition(":")[0] for case, _ in cases for place in case.get("places", ())}:
        make.write({place: "x\n" * 200}, tmp_path)
    for case, output in cases:
        own = read(case, output, tmp_path)
        asked = {key: own[key] for key in own.keys() & case.keys()}
        if case["verdict"] != "red":
            asked |= {key: case[key] for key in asked if key == "failed" or own[key] is None}
        if any(case[key] != told for key, told in asked.items()):
            wrong.append((case["of"], asked))
    assert not wrong


def test_a_line_printed_before_an_output_adds_no_failing_test(tmp_path: Path) -> None:
    wrong, readers = [], {reader.name: reader for reader in _failures.output_readers()}
    for case, output in outputs():
        right = _failures.read_failure(output, tmp_path, command=case["command"])
        reader = readers.get(right.reader)
        if not case["exit"] or not reader or right.reader == "plain":
            continue
        for log in LOGS[::5]:
            if not _failures.extract_names(reader.failing, log):  # no program can print that but by imitation
                read = _failures.read_failure(f"{log}\n{output}", tmp_path, command=case["command"])
                wrong += [(case["of"], log, name) for name in read.tests if name not in right.tests]
    assert not wrong


def test_what_a_program_counts_on_the_way_is_no_closing_word() -> None:
    told = ("2 failed, 3 passed validation", "upload: 1 failed, 9 passed", "tests: 1 failed, 2 passed")
    for line in told:
        text = "\n".join(["start", line, *(f"step {number}" for number in range(20)), "done"])
        assert _failures.read_summary(text, "./check").red == "", line


NAMED = """
import pytest


@pytest.mark.parametrize("case", ["high - big", "a [b] - c", "x] - y", "1.5", "ä ö", "a::b", "FAILED - no"])
def test_add(case):
    assert case == "assert [1] - [2]"


@pytest.fixture
def broken():
    raise OSError("no - [db]")


class TestSums:
    @pytest.mark.parametrize("case", ["low - big", "two  blanks"])
    def test_half(self, case, broken):
        pass
"""


@pytest.mark.parametrize("options", [["-q"], ["-v"], ["-v", "-rN"], ["-rN", "-q"], ["--tb=line"]])
def test_names_with_spaces_and_brackets_stay_whole(tmp_path: Path, options: list[str]) -> None:

    (tmp_path / "test_named.py").write_text(NAMED)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    tests = _failures.read_failure(done.stdout, tmp_path, command="pytest").tests
    assert len(tests) == 9, tests
    assert [name for name in tests if name.endswith("test_add[high - big]")]
    assert [name for name in tests if name.endswith("test_half[low - big]")]


def test_a_project_with_a_short_path_keeps_longer_ones() -> None:
    longer = "shop/app/stock.txt, /srv/app/stock.txt, http://localhost/app/stock, web-app/app/x, ~/app/x, .app/x"
    failure = _failures.read_failure(
        f"OSError: (/app/run.py:3, '/app/a.py', file:///app/b.py): {longer}\n", Path("/app")
    )
    assert failure.excerpt == f"OSError: (run.py:3, 'a.py', file://b.py): {longer}"
