"""What a prompt carries: the functions that a failing test ran, outlines of large files, no secret, nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import _locate
import leanloop
import locating
from _definitions import Definition
from conftest import ROOT, Bench, Leaner, working

TRACER = ROOT / "leaners" / "_trace.py"
KEEP = 'cp "$LEAN_PROMPT_FILE" "$HOME/prompt.md"; exit 2'
# The test's own text leads nowhere: what runs is found in a table, and only one of its entries is at fault.
RULES = """
def by_weight(parcel):
    heavy = parcel["kg"] > 20
    return 9 if heavy else 4


def by_zone(parcel):
    far = parcel["zone"] in ("b", "c")
    return 7 if far else 2


def by_hand(parcel):
    return 1


RULES = {name: rule for name, rule in globals().items() if name.startswith("by_")}
"""
COST = """
from post.rules import RULES


def cost(parcel, *names):
    return sum(RULES["by_" + name](parcel) for name in names)
"""
TESTS = """
import unittest

from post import cost


class Cost(unittest.TestCase):
    def test_weight(self):
        self.assertEqual(cost({"kg": 30}, "weight"), 9)

    def test_hand(self):
        self.assertEqual(cost({}, "hand"), 1)

    def test_zone(self):
        self.assertEqual(cost({"zone": "c"}, "zone", "hand"), 3)
"""
PYTEST = '["-m", "pytest", "-q", "-p", "no:cacheprovider"]'
UNITTEST = '["-m", "unittest", "-q"]'


@pytest.fixture
def post(bench: Bench, leaner: Leaner) -> Bench:
    """A project whose one failing test reaches the faulty function through a table; a leaner keeps the prompt."""
    bench.write("post/__init__.py", "from post.cost import cost\n")
    bench.write("post/cost.py", COST)
    bench.write("post/rules.py", RULES)
    bench.write("test_cost.py", TESTS)
    leaner(KEEP, trace="auto")
    return bench


def prompt(bench: Bench, args: str = PYTEST, more: str = "", tasks: str = "") -> str:
    """Run the loop with a test command until its first prompt, and give that."""
    bench.write("leanfile.toml", f'[runner]\ncommand = "{{python}}"\nargs = {args}\n[defaults]\n{more}\n{tasks}')
    bench.commit()
    ran = bench.lean_loop()
    assert (bench.home / "prompt.md").is_file(), ran.text
    return (bench.home / "prompt.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("args", [PYTEST, UNITTEST])
def test_the_function_that_only_the_failing_test_ran_comes_first(post: Bench, args: str) -> None:
    code = prompt(post, args).split("# Code\n")[1]
    assert code.startswith("post/rules.py (lines 6-")
    assert code.splitlines()[2] == "def by_zone(parcel):"


# The tests start the project as a program of its own: what it runs there counts for the test that started it.
PROGRAM = "import sys\n\nfrom post import cost\n\nprint(cost(eval(sys.argv[1]), *sys.argv[2:]))\n"
PROGRAM_TESTS = """
import subprocess
import sys
import unittest


def told(parcel, *names):
    done = subprocess.run([sys.executable, "-m", "post", parcel, *names], capture_output=True)
    if done.returncode:
        raise OSError(done.stderr)
    return done.stdout.strip()


class Told(unittest.TestCase):
    def test_weight(self):
        self.assertEqual(told("{'kg': 30}", "weight"), b"9")

    def test_zone(self):
        self.assertEqual(told("{'zone': 'c'}", "zone"), b"3")
"""


@pytest.mark.parametrize("args", [PYTEST, UNITTEST])
def test_what_a_program_runs_that_the_failing_test_started_counts(post: Bench, args: str) -> None:
    post.write("post/__main__.py", PROGRAM)
    post.write("test_cost.py", PROGRAM_TESTS)
    code = prompt(post, args).split("# Code\n")[1].split("# The test")[0]
    assert "def by_zone(parcel):" in code
    assert "def by_weight(parcel):" not in code


def test_a_traceback_that_an_error_quotes_leads_to_its_functions(post: Bench) -> None:
    post.write("post/__main__.py", PROGRAM)
    post.write("post/rules.py", RULES.replace("return 1", "return 1 + None"))
    post.write("test_cost.py", PROGRAM_TESTS.replace("zone", "hand"))
    code = prompt(post, more='trace = "off"').split("# Code\n")[1]
    assert code.startswith("post/rules.py (lines 11-")
    assert "def by_hand(parcel):\n    return 1 + None" in code


def test_a_small_context_keeps_the_failing_test_and_its_error(post: Bench) -> None:
    many = "".join(
        f"    assert sum([{n}, 0]) == {n}  # a line that says nothing of what is wrong here\n" for n in range(60)
    )
    post.write("test_cost.py", f"def test_deep():\n{many}    assert {{'far': 1}}['near'] == 1\n")
    told = prompt(post, more="error_tail_lines = 70\n[lean]\ncontext_tokens = 700")
    assert leanloop.tokens(told) <= 700 * 6 // 10
    assert "test_cost.py::test_deep" in told
    assert "KeyError: 'near'" in told
    assert "lines left out" in told
    assert "(left out: " in told


def test_without_the_tracer_names_alone_lead_on(post: Bench) -> None:
    assert "def by_zone(parcel):" not in prompt(post, more='trace = "off"')


WORKERS = pytest.param("-n 2", marks=pytest.mark.slow)


@pytest.mark.parametrize("addopts", ["-x --maxfail=1", WORKERS, "--junitxml=report.xml --tb=no"])
def test_options_of_the_project_do_not_stop_the_tracer(post: Bench, addopts: str) -> None:
    post.env.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # xdist is one
    post.write("pytest.ini", f"[pytest]\naddopts = {addopts}\n")
    post.write(
        "test_cost.py", TESTS.replace("class Cost", "def test_first():\n    assert cost({}, 'zone')\n\n\nclass Cost")
    )
    told = prompt(post)
    traced = [path.read_text(encoding="utf-8") for path in post.home.rglob("*-trace.txt")]
    assert "def by_zone(parcel):" in told, f"{told}\n{traced}"


def test_what_counts_as_slow_is_the_tests_and_not_the_start_of_their_runner() -> None:
    report = leanloop.Report(
        frozenset({"test_cost.test_hand"}), frozenset(), frozenset(), (("test_cost.test_hand", 0.0),)
    )
    verdict = leanloop.Verdict(True, leanloop.Failure((), "", ""), 1, seconds=25.0, report=report)
    assert verdict.seconds_of("test_cost.py") == 0
    assert verdict.seconds_of("test_other.py") == 25


def test_the_tracer_leaves_nothing_in_the_project_and_judges_nothing(post: Bench) -> None:
    before = sorted(path.name for path in post.project.rglob("*"))
    prompt(post, '["-m", "pytest", "-q"]', 'trace = "on"')
    left = {path.name for path in post.project.rglob("*") if ".git" not in path.parts} - {*before, "leanfile.toml"}
    assert not [name for name in left if name == "__pycache__" or name.endswith((".pyc", ".json"))]
    (run,) = post.runs()
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert events.count("tested") == 1
    assert not (run / "trace").exists()


def traced(folder: Path, python: str, args: list[str], seconds: float) -> list[dict[str, object]]:
    """Run a test command of a project in FOLDER under the tracer alone; give its records."""
    load = folder.parent / "load"
    load.mkdir()
    for name in ("leanloop_trace", "sitecustomize"):
        shutil.copy(TRACER, load / f"{name}.py")
    told = {"root": str(folder), "files": ["test_cost.py"], "folder": str(load), "seconds": seconds, "passing": 9}
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(load), "LEANLOOP_TRACE": json.dumps(told)}
    env |= {"PYTEST_ADDOPTS": "-p leanloop_trace", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([python, *args], cwd=folder, env=env, capture_output=True, timeout=30)
    return [test for path in load.glob("*.json") for test in json.loads(path.read_text())["tests"]]


@pytest.mark.parametrize("args", [["-m", "pytest", "-q"], ["-m", "unittest"]])
def test_a_test_that_never_ends_is_recorded_all_the_same(post: Bench, args: list[str]) -> None:
    post.write("post/rules.py", RULES.replace("    return 7", "    while far:\n        pass\n    return 7"))
    tests = traced(post.project, sys.executable, args, 1.5)
    assert [test["failed"] for test in tests if "test_zone" in str(test["name"])] == [True]


@pytest.mark.heavy
@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_the_tracer_runs_on_every_python(post: Bench, version: str) -> None:
    own = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    python = str(own[-1]) if own else working(f"python{version}")
    if not python:
        pytest.skip(f"Python {version} is not installed")
    tests = traced(post.project, python, ["-m", "unittest", "-q"], 20)
    assert {str(test["name"]).split(".")[-1]: test["failed"] for test in tests} == {
        "test_weight": False, "test_hand": False, "test_zone": True,
    }  # fmt: skip
    assert all("post/rules.py" in test["lines"] for test in tests)  # type: ignore[operator]


LARGE = "".join(
    f"def part_{number}(value):\n    total = value + {number}\n    return total\n\n" for number in range(1250)
)
TASK = '[[tasks]]\nname = "parts"\nprompt = "part_777 must give its number."\nfiles = ["parts.py"]\n'


def test_a_file_of_5000_lines_costs_1500_tokens_at_most(post: Bench) -> None:
    post.write("parts.py", LARGE)
    told = prompt(post, tasks=TASK)
    assert leanloop.tokens(told.split("# Large files\n")[1].split("# Code")[0]) <= 1500
    assert leanloop.tokens(told) <= 2000
    assert "def part_777(value):\n    total = value + 777" in told
    assert "1: def part_0(value):" in told
    assert "more definitions are not listed)" in told


def test_a_small_file_is_shown_whole_and_no_part_of_it_twice(post: Bench) -> None:
    told = prompt(post, tasks=TASK.replace("parts.py", "post/rules.py"))
    assert told.count("def by_zone(parcel):") == 1
    assert "RULES = {name: rule" in told


def test_secrets_are_masked_in_every_prompt(post: Bench) -> None:
    post.write("post/rules.py", RULES.replace("return 1", 'return 1 if "pw-4711-abcd" else "the-configured-key"'))
    guard = '[guard]\nmask = ["pw-[0-9]+-[a-z]+"]\n[lean]\napi_key = "the-configured-key"\n'
    told = prompt(post, tasks=guard + TASK.replace("parts.py", "post/rules.py"))
    assert "def by_hand(parcel):" in told
    assert "pw-4711" not in told
    assert "the-configured-key" not in told


def test_a_method_of_a_decorated_class_is_shown_below_the_line_of_the_class(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "@wraps\nclass Box(\n    dict\n):\n    size = 3\n\n    def half(self):\n        return self.size // 2\n"
    )
    project = locating.project(tmp_path)
    half = _locate.Candidate(locating.find(project, "a.py", "half"))
    assert _locate.show(project, [half]).code.splitlines()[:3] == [
        "class Box(",
        "    # ... 2 lines omitted",
        "    size = 3",
    ]


def test_a_long_function_is_cut_around_the_line_in_question(tmp_path: Path) -> None:
    body = "".join(f"    step_{number} = compute_the_next_value(step_{number - 1})\n" for number in range(1, 200))
    (tmp_path / "a.py").write_text(f"def walk(step_0):\n{body}    return step_199\n")
    failure = leanloop.Failure(("walks",), "", "", (leanloop.Frame("a.py", 120),))
    shown = locating.located(tmp_path, failure).code
    assert "def walk(step_0):\n    # ... " in shown
    assert "step_119 = compute" in shown
    assert "step_60 = compute" not in shown


def concerned(root: Path, files: dict[str, str], failing: str) -> list[str]:
    """Name what lean-loop follows a failing test's names to, the likeliest first."""
    for name, text in files.items():
        (root / name).write_text(text)
    failure = leanloop.Failure((failing,), "expected 3 to be 4", "")
    return [f"{item.path}:{item.name}" for item in locating.concerned(root, failure)]


def test_a_call_on_an_object_of_its_own_leads_to_all_that_override_it(tmp_path: Path) -> None:
    base = "export class Base {\n  run(x) {\n    return this.read(x);\n  }\n}\n"
    kinds = {
        f"{kind}.js": f"class {kind} extends Base {{\n  read(x) {{\n    return x + 1;\n  }}\n}}\n" for kind in "ABCDE"
    }
    test = "test('works', () => {\n  expect(base.run(0)).toBe(0);\n});\n"
    found = concerned(tmp_path, {**kinds, "base.js": base, "base.test.js": test}, "works")
    assert {f"{path}:read" for path in kinds} <= {*found}


def test_what_a_test_quotes_in_capitals_and_a_table_of_a_nameless_struct_are_found(tmp_path: Path) -> None:
    units = "static const struct {\n    char letter;\n    long by;\n} UNITS[] = {{'k', 1000}, {'m', 1000}};\n\n"
    median = "long median(long n)\n{\n    return n * UNITS[0].by / 2;\n}\n"
    test = 'void test_middle(void)\n{\n    check(run("MEDIAN"), 3);\n}\n'
    found = concerned(tmp_path, {"calc.c": units + median, "test_calc.c": test}, "test_middle")
    assert {"calc.c:median", "calc.c:UNITS"} <= {*found}


def test_a_function_that_the_title_of_a_test_ends_with_is_not_the_test(tmp_path: Path) -> None:
    scoped = Definition("lib/compose.js", "scoped", 1, 3, kind="function")
    told = [leanloop.Failure((name,), "", "") for name in ("middleware is scoped", "layers::tests::scoped", "scoped")]
    assert [locating.ranking(tmp_path, failure).is_tests_own(scoped) for failure in told] == [False, True, True]


def test_a_failure_outside_any_function_of_a_short_file_is_shown(calc: Bench) -> None:
    calc.write("calc.py", "# nothing yet\n")
    ran = calc.lean_loop("--dry-run")
    assert ran.code == 0, ran.text
    assert "from calc import add\n" in ran.out
    assert "ImportError: cannot import name 'add'" in ran.out
