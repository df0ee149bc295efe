"""The tasks for real models: red for the right reason, green when solved, split as promised, giving nothing away."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import python_faults, real_tasks
from bench.real_tasks import BenchTask, Runner, load_tasks
from conftest import few_of

COUNTS = {"functions": (24, 12), "faults": (12, 6), "features": (2, 1)}
WRITTEN = [
    task for kind in ("functions", "features") for split in real_tasks.SPLITS for task in load_tasks(kind, split)
]
TESTS_RUN = re.compile(r"\b(?:Ran|tests) (\d+)\b")  # unittest, node --test
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def named(task: BenchTask) -> str:
    """Give a test case its task's name."""
    return task.name


def run(runner: Runner, folder: Path, test_files: Sequence[str] = ()) -> tuple[int, int]:
    """Run tests; give the exit code, and how many tests ran."""
    argv = [runner.command.replace("{python}", sys.executable), *runner.args, *test_files]
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is not there")
    done = subprocess.run(argv, cwd=folder, text=True, capture_output=True, timeout=60)
    return done.returncode, int(TESTS_RUN.findall(done.stdout + done.stderr)[-1])


@pytest.mark.parametrize("task", few_of(WRITTEN, 4), ids=named)
def test_every_step_is_red_before_and_green_when_solved(task: BenchTask, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    real_tasks.write_project(task, folder)
    red = [run(real_tasks.runner_of(step), folder, step.test_files) for step in task.steps]
    real_tasks.solve(task, folder)
    endings = {Path(path).suffix for path in task.tests}
    green = [run(real_tasks.RUNNERS[ending], folder) for ending in endings]
    assert all(code for code, _ in red), "no test fails"
    assert not any(code for code, _ in green), "the solution is wrong"
    # A test file that does not load counts as one test.
    assert sum(number for _, number in red) == sum(number for _, number in green)


@pytest.mark.parametrize("kind", COUNTS)
def test_the_split_has_the_promised_sizes(kind: str) -> None:
    rows = (real_tasks.TASKS / "faults.toml").read_text(encoding="utf-8") if kind == "faults" else ""
    told = tomllib.loads(rows).get("faults") or [{"split": task.split} for task in WRITTEN if task.kind == kind]
    counts = Counter(row["split"] for row in told)
    assert (counts["tune"], counts["held out"]) == COUNTS[kind]


def test_levels_and_languages_are_spread_over_both_splits() -> None:
    functions = [task for task in WRITTEN if task.kind == "functions"]
    assert Counter(task.level for task in functions) == {1: 12, 2: 12, 3: 12}
    assert Counter(task.language for task in functions) == {"python": 24, "javascript": 12}
    for split, count in zip(real_tasks.SPLITS, (8, 4), strict=True):
        assert Counter(task.level for task in functions if task.split == split) == dict.fromkeys((1, 2, 3), count)
        assert Counter(task.language for task in functions if task.split == split)["javascript"] == count


@pytest.mark.parametrize("task", WRITTEN, ids=named)
def test_a_prompt_is_short_and_gives_no_line_of_the_solution_away(task: BenchTask) -> None:
    known = {line.strip() for text in (*task.before.values(), *task.tests.values()) for line in text.splitlines()}
    solved = {line.strip() for text in task.solution.values() for line in text.splitlines()} - known
    for step in task.steps:
        assert 1 <= len(SENTENCE_END.findall(step.prompt)) <= 5
        assert not [line for line in solved if len(line) > 8 and line in step.prompt]


@pytest.mark.parametrize("task", WRITTEN, ids=named)
def test_a_solution_changes_the_listed_files_alone(task: BenchTask) -> None:
    assert set(task.solution) <= set(task.files)
    assert set(task.tests) == {path for step in task.steps for path in step.test_files}
    assert all(task.before.get(path) != text for path, text in task.solution.items())


@pytest.mark.heavy
@pytest.mark.parametrize("split", real_tasks.SPLITS)
def test_every_fault_is_red_before_and_green_when_solved(split: str, tmp_path: Path) -> None:
    for task in load_tasks("faults", split):
        assert task.fault and task.function and len(task.function.text.splitlines()) <= 40
        folder = tmp_path / task.name
        real_tasks.write_project(task, folder)
        assert pytest_code(task, folder) == 1, task.name
        assert task.function.text in (folder / task.fault.path).read_text(encoding="utf-8")
        real_tasks.solve(task, folder)
        assert pytest_code(task, folder) == 0, task.name


def pytest_code(task: BenchTask, folder: Path) -> int:
    """Run a PyPI project's tests; give pytest's exit code."""
    env = python_faults.sealed(folder.parent, task.runner.env["PYTHONPATH"])
    argv = [task.runner.command, *task.runner.args]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, timeout=300).returncode
