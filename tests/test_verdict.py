"""What counts as green, how a task goes on when it is red, and what is said of both: through the real command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Bench, Leaner

PYTEST = '[runner]\ncommand = "{python}"\nargs = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]\n'
UNITTEST = '[runner]\ncommand = "{python}"\nargs = ["-m", "unittest", "-q"]\n'
ONE = "[defaults]\nmax_iters_per_task = 0\n"
QUIET = "[defaults]\nsummarize_errors = false\n"
TASK = '[[tasks]]\nname = "add"\nprompt = "mend"\nfiles = ["calc.py"]\n'
FIX = "sed -i s/left.-.right/left+right/ calc.py; echo done\n"
COUNT = 'echo x >> "$HOME/n"; n=$(wc -l < "$HOME/n")\n'


@pytest.fixture
def suite(calc: Bench) -> Bench:
    """The little project, with pytest and one task of a single call."""
    calc.write("test_calc.py", "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    calc.write("leanfile.toml", ONE + PYTEST + TASK)
    calc.commit()
    return calc


def events(bench: Bench, kind: str) -> list[dict[str, Any]]:
    """Read the events of a kind in the last run."""
    lines = (bench.runs()[-1] / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def warnings(bench: Bench) -> str:
    return "\n".join(text for result in events(bench, "result") for text in result["warnings"])


def prompts(bench: Bench) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(bench.runs()[-1].glob("*prompt.md"))]


# ------------------------------------------------------------------------------------------- what a leaner may change

FORBIDDEN = {
    "package.json": 'echo \'{"scripts": {"test": "true"}}\' > package.json',
    "data.csv": "echo 1,2 > data.csv",
    ".env": "echo KEY=1 > .env",
    "calc.pyc": "echo > calc.pyc",
    "vite.config.ts": "echo > vite.config.ts",
    "statistics.py": "echo > statistics.py",
    "link.py": "ln -s calc.py link.py",
    "inner/": "git init -q inner; echo 'def test(): pass' > inner/plugin.py",
}


def test_what_is_no_source_is_put_back_and_named(calc: Bench, leaner: Leaner) -> None:
    calc.write("package.json", "{}\n")
    leaner("\n".join(FORBIDDEN.values()) + f"\necho > more.py; echo > page.html\n{FIX}", scope="source")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    (put_back,) = events(calc, "protected")
    assert sorted(put_back["paths"]) == sorted(FORBIDDEN)
    assert "list them in files to allow them" in ran.err
    assert calc.read("package.json") == "{}\n"
    there = {path.name for path in calc.project.iterdir()}
    assert there >= {"more.py", "page.html"}
    assert there.isdisjoint(name.strip("/") for name in FORBIDDEN if name != "package.json")


@pytest.mark.parametrize(
    ("scope", "table", "kept"),
    [
        ("source", "", ["more.py"]),
        ("source", 'allow = ["*.json"]', ["more.json", "more.py"]),
        ("files", "", []),
        ("any", "", ["more.json", "more.py"]),
    ],
)
def test_a_scope_says_what_may_change(calc: Bench, leaner: Leaner, scope: str, table: str, kept: list[str]) -> None:
    calc.write("leanfile.toml", f"[guard]\n{table}\n{calc.read('leanfile.toml')}")
    leaner(f"echo > more.py; echo > more.json; echo > conftest.py; {FIX}", scope=scope)
    assert calc.lean_loop().code == 0
    assert sorted(path.name for path in calc.project.glob("more.*")) == kept
    assert not (calc.project / "conftest.py").exists()


def test_a_listed_file_of_any_kind_may_change(calc: Bench, leaner: Leaner) -> None:
    calc.write("package.json", "{}\n")
    calc.write("leanfile.toml", ONE + UNITTEST + TASK.replace('["calc.py"]', '["calc.py", "package.json"]'))
    leaner(f"echo '[]' > package.json; {FIX}", scope="source")
    assert calc.lean_loop().code == 0
    assert calc.read("package.json") == "[]\n"
    assert "package.json judges this task" in warnings(calc)


def test_a_listed_script_that_the_command_starts_may_change_and_the_outcome_says_so(
    calc: Bench, leaner: Leaner
) -> None:
    calc.write("tools/all.sh", "sh tools/check.sh\n")
    calc.write("tools/check.sh", "python3 -m unittest\n")
    runner = '[runner]\ncommand = "sh"\nargs = ["tools/all.sh"]\n'
    calc.write("leanfile.toml", ONE + runner + TASK.replace('["calc.py"]', '["calc.py", "tools/check.sh"]'))
    calc.commit()
    leaner(f"echo '# more' >> tools/check.sh; {FIX}", scope="source")
    assert calc.lean_loop().code == 0
    assert "# more" in calc.read("tools/check.sh")
    assert "tools/check.sh judges this task" in warnings(calc)


def test_what_was_put_back_can_be_brought_back(calc: Bench, leaner: Leaner) -> None:
    calc.write("notes.csv", "1\n")
    leaner(f"echo 2 > notes.csv; echo 3 > new.csv; {FIX}", scope="source")
    assert calc.lean_loop().code == 0
    assert calc.read("notes.csv") == "1\n"
    first = calc.runs()[-1].name
    assert calc.lean_loop("--restore", f"{first}/found-1", "notes.csv").code == 0
    assert calc.read("notes.csv") == "2\n" and not (calc.project / "new.csv").exists()
    assert calc.lean_loop("--restore", f"{first}/found-1").code == 0
    assert calc.read("new.csv") == "3\n"


@pytest.mark.parametrize("code", [1, 2, 75])
def test_what_a_leaner_changed_is_put_back_however_it_ends(calc: Bench, leaner: Leaner, code: int) -> None:
    calc.write("leanfile.toml", ONE + "[health]\nmax_wait = 0\n" + calc.read("leanfile.toml"))
    before = calc.read("test_calc.py")
    leaner(f"echo > test_calc.py; exit {code}")
    assert calc.lean_loop().code in (1, 3)
    assert calc.read("test_calc.py") == before


@pytest.mark.parametrize("optimize", ["", "1"])
def test_the_rights_of_a_test_are_put_back_under_an_optimizing_python(
    calc: Bench, leaner: Leaner, optimize: str
) -> None:
    before = (calc.project / "test_calc.py").stat().st_mode
    leaner(f"chmod 777 test_calc.py; {FIX}")
    assert calc.lean_loop(PYTHONOPTIMIZE=optimize).code == 0
    assert (calc.project / "test_calc.py").stat().st_mode == before


def test_what_is_put_back_is_kept_and_the_next_prompt_says_so(suite: Bench, leaner: Leaner) -> None:
    suite.write("leanfile.toml", QUIET + PYTEST + TASK)
    leaner(COUNT + f"if [ $n = 1 ]; then echo 'hook = 1' > conftest.py; echo hi; else {FIX} fi")
    assert suite.lean_loop().code == 0
    assert any("hook = 1" in path.read_text() for path in suite.runs()[-1].glob("*put-back*"))
    assert "conftest.py" in prompts(suite)[1]


def test_a_task_that_lists_its_test_may_edit_it_and_the_outcome_says_so(suite: Bench, leaner: Leaner) -> None:
    suite.write("leanfile.toml", ONE + PYTEST + TASK.replace('["calc.py"]', '["calc.py", "test_calc.py"]'))
    leaner("printf '\\n\\ndef test_more():\\n    assert add(1, 1) == 2\\n' >> test_calc.py\n" + FIX)
    assert suite.lean_loop().code == 0
    assert "test_calc.py judges this task" in warnings(suite)


def test_what_tests_write_among_themselves_is_no_cheat(suite: Bench, leaner: Leaner) -> None:
    write = "import pathlib, time\npathlib.Path('tests').mkdir(exist_ok=True)\n"
    write += "pathlib.Path('tests/out.log').write_text(str(time.time()))\n"
    suite.write("test_calc.py", write + suite.read("test_calc.py"))
    leaner(FIX)
    assert suite.lean_loop().code == 0


def test_a_test_that_the_user_edits_while_tests_run_is_kept_and_not_used(suite: Bench, leaner: Leaner) -> None:
    once = "import os, pathlib\n"
    once += "if os.path.exists(os.environ['HOME'] + '/go'):\n    os.remove(os.environ['HOME'] + '/go')\n"
    once += "    pathlib.Path('test_calc.py').write_text('def test_mine(): pass\\n')\n"
    suite.write("conftest.py", once)
    leaner("touch $HOME/go; echo >> calc.py; echo done")
    ran = suite.lean_loop()
    assert ran.code == 1
    assert suite.read("test_calc.py") == "def test_mine(): pass\n"
    assert "changed while the tests ran" in ran.err


# ------------------------------------------------------------------------------------------------- red, then green


def test_the_record_counts_what_went_from_red_to_green(suite: Bench, leaner: Leaner) -> None:
    suite.write("test_calc.py", suite.read("test_calc.py") + "\n\ndef test_kept():\n    assert add(1, 0) == 1\n")
    leaner(FIX)
    assert suite.lean_loop().code == 0
    (result,) = events(suite, "result")
    assert (result["red_to_green"], result["fixed"], result["kept"]) == (1, ["test_calc.test_add"], 1)
    assert (result["broke"], result["warnings"]) == ([], [])


def test_a_module_that_could_not_be_imported_counts_as_its_tests(suite: Bench, leaner: Leaner) -> None:
    suite.write("test_calc.py", "from calc import add, sub\n\n\ndef test_a(): pass\n\n\ndef test_b(): pass\n")
    leaner("echo 'def sub(): pass' >> calc.py; echo done")
    assert suite.lean_loop().code == 0
    assert events(suite, "result")[0]["red_to_green"] == 2


def test_tests_that_were_green_before_did_not_prove_the_task(suite: Bench, leaner: Leaner) -> None:
    suite.write("calc.py", "def add(left, right):\n    return left + right\n")
    leaner("echo >> calc.py; echo done")
    assert suite.lean_loop().code == 0
    assert "did not prove" in warnings(suite)


def test_without_a_baseline_it_is_said_that_nothing_was_proven_red(suite: Bench, leaner: Leaner) -> None:
    suite.write("leanfile.toml", "[guard]\nbaseline = false\n" + suite.read("leanfile.toml"))
    leaner(FIX)
    assert suite.lean_loop().code == 0
    assert "not proven red" in warnings(suite)


def test_a_report_with_a_red_test_outranks_exit_0(suite: Bench, leaner: Leaner) -> None:
    line = "python -m pytest -q -p no:cacheprovider; true"
    suite.write("leanfile.toml", f"{ONE}[runner]\ncommand = {json.dumps(line)}\nshell = true\n{TASK}")
    leaner("echo >> calc.py; echo done")
    ran = suite.lean_loop()
    assert ran.code == 1
    assert "its report has 1 failing" in ran.err


CASES = "import pytest\n\nfrom calc import add, CASES\n\n\n@pytest.mark.parametrize('case', CASES)\n"
CASES += "def test_case(case):\n    assert case != 2\n\n\ndef test_one(): pass\n"


def test_a_red_test_that_vanishes_is_no_pass(suite: Bench, leaner: Leaner) -> None:
    suite.write("test_calc.py", CASES)
    suite.write("calc.py", suite.read("calc.py") + "\n\nCASES = [1, 2]\n")
    leaner("sed -i 's/CASES = .*/CASES = [1]/' calc.py; echo done")
    ran = suite.lean_loop()
    assert ran.code == 1
    assert "have vanished" in ran.text


def test_a_green_case_that_vanishes_is_red(suite: Bench, leaner: Leaner) -> None:
    suite.write("test_calc.py", CASES + "\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    suite.write("calc.py", suite.read("calc.py") + "\n\nCASES = [1, 3]\n")
    leaner("sed -i 's/CASES = .*/CASES = [1]/' calc.py\n" + FIX)
    ran = suite.lean_loop()
    assert ran.code == 1
    assert "test_calc.test_case[3]" in ran.text


def test_counts_tell_too_where_no_names_are_told(calc: Bench, leaner: Leaner) -> None:
    calc.write("leanfile.toml", ONE + calc.read("leanfile.toml"))
    leaner("sed -i 's/return left.*/import unittest; raise unittest.SkipTest/' calc.py; echo done")
    ran = calc.lean_loop()
    assert ran.code == 1


def test_a_runner_that_falls_silent_is_not_believed(calc: Bench, leaner: Leaner) -> None:
    line = "python -m unittest test_calc"
    calc.write("leanfile.toml", f"{ONE}[runner]\ncommand = {json.dumps(line)}\nshell = true\n{TASK}")
    leaner("echo 'import os; os._exit(0)' >> calc.py; echo done")
    ran = calc.lean_loop()
    assert ran.code == 1
    assert "told nothing of its tests" in ran.text


RUST = "running 3 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... FAILED\n\n"
RUST += "---- b stdout ----\nb\n\n---- c stdout ----\nc\n\ntest result: FAILED. 1 passed; 2 failed; 0 ignored\n"
GO = "--- FAIL: TestA (0.00s)\n    a_test.go:5: a\n--- FAIL: TestB (0.00s)\n    a_test.go:9: b\nFAIL\nFAIL\tone\t0.1s\n"
TOLD = {
    "all pass": (RUST, "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored\n", 0),
    "one has vanished": (RUST, "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n", 1),
    "one is skipped": (RUST, "running 3 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored\n", 1),
    "a package passes": (GO, "ok  \tone\t0.1s\n", 0),
    "another is not told of": (GO + "ok  \ttwo\t0.1s\n", "ok  \tone\t0.1s\n", 1),
}


@pytest.mark.parametrize("case", TOLD)
def test_counts_tell_of_failing_tests_that_did_not_pass(calc: Bench, leaner: Leaner, case: str) -> None:
    red, after, code = TOLD[case]
    for name, text in (("red", red), ("after", after)):
        (calc.home / name).write_text(text)
    line = 'if grep -q "left+right" calc.py; then cat $HOME/after; else cat $HOME/red; exit 1; fi'
    calc.write("leanfile.toml", f"{ONE}[runner]\ncommand = {json.dumps(line)}\nshell = true\n{TASK}")
    leaner(FIX)
    ran = calc.lean_loop()
    assert ran.code == code, ran.text
    assert ("have vanished" in ran.text) == bool(code)
    assert "fewer tests" not in warnings(calc)


TWO = '[[tasks]]\nname = "a"\nprompt = "a"\nfiles = ["a.txt"]\ntest_files = ["test_a.py"]\n'
TWO += '[[tasks]]\nname = "b"\nprompt = "b"\nfiles = ["b.txt"]\ntest_files = ["test_b.py"]\n'


def test_what_a_task_made_green_must_be_green_at_the_end(suite: Bench, leaner: Leaner) -> None:
    for name in "ab":
        suite.write(f"test_{name}.py", f"def test_{name}():\n    assert open('{name}.txt').read() == 'yes'\n")
    (suite.project / "test_calc.py").unlink()
    suite.write("leanfile.toml", ONE + PYTEST + TWO)
    leaner(COUNT + "if [ $n = 1 ]; then printf yes > a.txt; else echo no > a.txt; printf yes > b.txt; fi; echo done")
    ran = suite.lean_loop()
    assert ran.code == 1
    assert "green: a" in ran.out
    assert "green: b" in ran.out
    assert "test_a.test_a" in ran.out


OTHERS = "import unittest\n\nimport calc\n\n\nclass Others(unittest.TestCase):\n    pass\n\n\nfor case in calc.CASES:\n"
OTHERS += "    setattr(Others, f'test_{case}', lambda self: None)\n"
WHOLE = {
    "by names": (PYTEST, '["-m", "pytest", "-q", "test_calc.py"]', "test_others.Others.test_three (lost)"),
    "by counts": (UNITTEST, '["-m", "unittest", "-q", "test_calc"]', "1 of those that passed (lost)"),
}


@pytest.mark.parametrize("told", WHOLE)
def test_a_green_test_that_the_whole_suite_loses_is_red(calc: Bench, leaner: Leaner, told: str) -> None:
    whole, narrow, words = WHOLE[told]
    calc.write("test_others.py", OTHERS)
    calc.write("calc.py", calc.read("calc.py") + "\n\nCASES = ['two', 'three', 'four']\n")
    calc.write("leanfile.toml", f"{ONE}{whole}{TASK}runner = {{ args = {narrow} }}\n")
    calc.commit()
    leaner("sed -i \"s/, 'three', 'four'//; s/left - right/left + right/\" calc.py; echo done")
    ran = calc.lean_loop()
    assert (ran.code, words in ran.out) == (1, True), ran.text


RUNS = "import os\nopen(os.environ['HOME'] + '/runs', 'a').write('x')\n"
RUNS += "RUN = os.path.getsize(os.environ['HOME'] + '/runs')\n\n\ndef test_it():\n    assert RUN {}\n"


def test_a_suite_that_turns_green_by_itself_is_flaky_and_not_fixed(suite: Bench, leaner: Leaner) -> None:
    suite.write("test_calc.py", RUNS.format(">= 2"))
    suite.write("leanfile.toml", QUIET + PYTEST + TASK)
    leaner("echo it works")
    ran = suite.lean_loop()
    assert ran.code == 1
    assert "flaky, not fixed" in ran.out


def test_confirm_runs_a_green_suite_again(suite: Bench, leaner: Leaner) -> None:
    suite.write("test_calc.py", RUNS.format("in (2, 3, 5)"))
    suite.write("leanfile.toml", f"[guard]\nconfirm = 2\n{ONE}trace = 'off'\n{PYTEST}{TASK}")
    leaner("echo >> calc.py; echo done")
    ran = suite.lean_loop()
    assert ran.code == 1
    assert [event["green"] for event in events(suite, "tested")] == [False, True, True, False]
    assert "flaky" in ran.text


# ------------------------------------------------------------------------------------------------------ doubts

DOUBTS = {
    "patches pytest": ("echo 'import _pytest.python as p; p.Function.runtest = print' >> calc.py", "_pytest"),
    "knows the test run": (
        "sed -i 's/return.*/import sys; return 5 if \"pytest\" in sys.modules else 0/' calc.py",
        "pytest",
    ),
}


@pytest.mark.parametrize("deed", DOUBTS)
def test_source_that_reaches_for_the_test_runner_is_named(suite: Bench, leaner: Leaner, deed: str) -> None:
    script, word = DOUBTS[deed]
    leaner(f"{script}; echo done")
    suite.lean_loop()
    assert f"calc.py reaches for the test runner ({word})" in warnings(suite)


def test_code_that_equals_everything_is_not_caught(suite: Bench, leaner: Leaner) -> None:
    leaner(
        "printf 'class Any(int):\\n    __eq__ = lambda *a: True\\ndef add(*a): return Any()\\n' > calc.py; echo done"
    )
    assert suite.lean_loop().code == 0


INNER = {
    "lib.rs": (
        "#[cfg(test)]\nmod tests {\n    #[test]\n    fn one() {\n        assert!(false);\n    }\n}\n",
        "false",
        "true",
    ),
    "doc.py": ('"""Add.\n\n>>> 1 + 1\n3\n"""\n', "^3", "2"),
}


@pytest.mark.parametrize("path", INNER)
def test_a_changed_test_inside_a_source_file_is_undone_but_where_a_task_lists_it(
    suite: Bench, leaner: Leaner, path: str
) -> None:
    text, old, new = INNER[path]
    suite.write(path, text)
    suite.commit()
    leaner(f"sed -i 's/{old}/{new}/' {path}\necho '# more' >> other.py\n" + FIX, "source")
    ran = suite.lean_loop()
    assert ran.code == 0 and f"put back: {path}" in ran.text and suite.read(path) == text
    assert (suite.project / "other.py").exists()
    suite.write("leanfile.toml", suite.read("leanfile.toml").replace('files = ["', f'files = ["{path}", "'))
    suite.write("calc.py", suite.git("show", "HEAD:calc.py"))
    assert suite.lean_loop().code == 0
    assert f"{path}: tests inside it were changed or removed (1)" in warnings(suite)


# ------------------------------------------------------------------------------------------------------- attempts


@pytest.fixture
def score(scored: Bench) -> Bench:
    """The scored project with a leanfile."""
    scored.write("leanfile.toml", QUIET + UNITTEST + TASK.replace("calc.py", "score.py"))
    scored.commit()
    return scored


def begun_from(bench: Bench, leaner: Leaner, *points: str) -> list[str]:
    """Let an agent write POINTS one attempt after the other; say what each found in the file."""
    cases = "".join(f"{n}) p='{text}';;" for n, text in enumerate(points, 1))
    leaner(f'{COUNT}cat score.py >> "$HOME/found"; case $n in {cases} esac; echo "POINTS = [$p]" > score.py; echo done')
    bench.lean_loop()
    return (bench.home / "found").read_text().replace("POINTS = ", "").split("\n")[:-1]


def test_two_fixes_without_progress_lead_back_to_the_start(score: Bench, leaner: Leaner) -> None:
    found = begun_from(score, leaner, "7", "8", "9", "10", "11", "12")
    assert found == ["[]", "[7]", "[8]", "[]", "[10]", "[11]"]


def test_progress_goes_on(score: Bench, leaner: Leaner) -> None:
    found = begun_from(score, leaner, "7", "1", "1,2", "1,2,3", "1,2,3,4")
    assert found == ["[]", "[7]", "[1]", "[1,2]", "[1,2,3]"]


def test_every_prompt_starts_from_the_best_state(score: Bench, leaner: Leaner) -> None:
    found = begun_from(score, leaner, "1,2", "1", "2", "1,2,3", "9", "8")
    assert found == ["[]", "[1,2]", "[1,2]", "[1,2]", "[1,2,3]", "[1,2,3]"]


def test_a_tree_that_comes_back_leads_back_at_once(score: Bench, leaner: Leaner) -> None:
    found = begun_from(score, leaner, "7", "8", "7", "9", "10", "11")
    assert found == ["[]", "[7]", "[8]", "[]", "[9]", "[10]"]


def test_nothing_changed_twice_leads_back(score: Bench, leaner: Leaner) -> None:
    found = begun_from(score, leaner, "7", "7", "7", "8", "9", "10")
    assert found == ["[]", "[7]", "[7]", "[]", "[8]", "[9]"]


def test_restart_after_0_never_leads_back(score: Bench, leaner: Leaner) -> None:
    score.write("leanfile.toml", score.read("leanfile.toml").replace(QUIET, QUIET + "restart_after = 0\n"))
    found = begun_from(score, leaner, "7", "8", "9", "10", "11", "12")
    assert found == ["[]", "[7]", "[8]", "[9]", "[10]", "[11]"]


def test_a_fresh_start_knows_what_was_tried(score: Bench, leaner: Leaner) -> None:
    begun_from(score, leaner, "7", "8", "9", "10", "11", "12")
    fresh = prompts(score)[3]
    assert "changed score.py" in fresh
    assert [f"{n}. " in fresh for n in (1, 2, 3, 4)] == [True, True, True, False]


def test_the_record_names_the_leaner_of_each_attempt(score: Bench, leaner: Leaner) -> None:
    leaner("echo 'POINTS = [9]' > score.py; echo done")
    strong = score.home / "strong.sh"
    strong.write_text("echo 'POINTS = [1, 2, 3, 4]' > score.py; echo done")
    more = f'[[escalate]]\nafter = 2\nbinary = "{strong}"\nmodel = "large"\n'
    score.write("leanfile.toml", score.read("leanfile.toml") + more)
    ran = score.lean_loop()
    assert ran.code == 0, ran.text
    assert [event["leaner"] for event in events(score, "attempt")] == ["leaner", "leaner", "strong large"]
    assert "strong large" in ran.out


# ------------------------------------------------------------------------------- tests that a task is not about

OLD = "def test_old():\n    assert 'tea' == 'coffee'\n"


@pytest.fixture
def with_old(suite: Bench) -> Bench:
    """A suite in which a test was red before, and has nothing to do with the task."""
    suite.write("test_old.py", OLD)
    suite.write(
        "test_words.py", "import calc\n\n\ndef test_words():\n    assert calc.__doc__.strip() == 'Small sums.'\n"
    )
    suite.write("leanfile.toml", QUIET + PYTEST + TASK)
    suite.commit()
    return suite


def test_a_test_that_was_red_before_and_is_another_matter_costs_no_call(with_old: Bench, leaner: Leaner) -> None:
    leaner(COUNT + FIX)
    ran = with_old.lean_loop()
    assert (ran.code, len(events(with_old, "answered"))) == (0, 1), ran.text
    told = "warning: red before this task, which is not about them (test_files narrows): test_old.test_old"
    assert ran.err.index(told) < ran.err.index("leaner: edit")


def test_a_test_that_was_green_is_missed_beside_one_that_was_red(with_old: Bench, leaner: Leaner) -> None:
    leaner(FIX + "sed -i s/Small/Large/ calc.py")
    ran = with_old.lean_loop()
    assert (ran.code, ran.out.splitlines()[0][:4]) == (1, "red:"), ran.text
    with_old.git("checkout", "-q", "calc.py")
    leaner(FIX + 'sed -i \'/^"""/d\' calc.py; rm -f test_words.py; echo > test_words.py')
    assert with_old.lean_loop().code == 1


@pytest.mark.parametrize("about", ["import calc\n", "# add_all\n"])
def test_a_red_test_that_a_task_is_about_has_to_pass(with_old: Bench, leaner: Leaner, about: str) -> None:
    leaner(FIX)
    with_old.write("test_old.py", about + OLD)
    with_old.write("leanfile.toml", ONE + PYTEST + TASK.replace('"mend"', '"mend add_all in calc"'))
    assert with_old.lean_loop().code == 1
    assert "which is not about them" not in with_old.lean_loop().err


def test_a_demand_on_the_coverage_is_heard_beside_a_red_test_that_is_another_matter(
    with_old: Bench, leaner: Leaner
) -> None:
    leaner(FIX)
    told = "ERROR: Required test coverage of 80% not reached. Total coverage: 50.00%"
    with_old.write(
        "conftest.py", f"def pytest_terminal_summary(terminalreporter):\n    terminalreporter.write_line({told!r})\n"
    )
    with_old.write("leanfile.toml", ONE + PYTEST + TASK)
    assert with_old.lean_loop().code == 1


def test_checks_are_run_where_a_red_test_is_another_matter(with_old: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    with_old.write("leanfile.toml", ONE + PYTEST + TASK + 'checks = ["grep -q nothing calc.py"]\n')
    assert with_old.lean_loop().code == 1
