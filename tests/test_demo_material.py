"""Prove the demo's material: its tasks are red by failing tests, and the recorded answers turn them green."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import leanloop
from conftest import ROOT, Bench
from playground.serve import ChatServer, Recording

DEMO = ROOT / "playground" / "demo"
RUNNERS = {"unittest": ["-m", "unittest"], "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}
TASKS = leanloop.load(DEMO / "leanfile.toml").tasks


@pytest.fixture
def demo(bench: Bench) -> Bench:
    """Copy the demo into the bench's project."""
    shutil.copytree(DEMO, bench.project, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return bench


def run_tests(demo: Bench, runner: str, test_files: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the demo's tests with RUNNER; nothing but the work itself is left in the folder."""
    argv = [sys.executable, "-B", *RUNNERS[runner], *test_files]
    return subprocess.run(
        argv, cwd=demo.project, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )


def events(demo: Bench, kind: str) -> list[dict[str, Any]]:
    """List the events of KIND in the only run's record."""
    (run,) = demo.runs()
    told = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [event for event in told if event["event"] == kind]


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_task_is_red_by_a_failing_test_before_it_is_worked_on(demo: Bench, runner: str) -> None:
    outputs = [run_tests(demo, runner, task.test_files) for task in TASKS]
    assert [run.returncode for run in outputs] == [1, 1, 1]
    assert ["SyntaxError" in run.stdout or "ImportError" in run.stdout for run in outputs] == [False] * 3


def test_the_recorded_answers_bring_every_task_to_green_with_one_fix(demo: Bench) -> None:
    recording = Recording.read(DEMO / "answers")
    with ChatServer(recording) as server:
        config = demo.home / "config.toml"
        config.write_text(f'[lean]\nbase_url = "{server.base_url}"\n')
        before = {path: path.read_bytes() for path in demo.project.rglob("*") if path.is_file()}
        assert demo.lean_loop("-g", str(config)).code == 0
    assert [answer.given for answer in recording.answers] == [1] * 5
    assert [event["green"] for event in events(demo, "attempt")] == [True, True, False, True]
    assert {runner: run_tests(demo, runner).returncode for runner in RUNNERS} == {"unittest": 0, "pytest": 0}
    after = {path: path.read_bytes() for path in demo.project.rglob("*") if path.is_file()}
    changed = {path.relative_to(demo.project).as_posix() for path in after if after[path] != before.get(path)}
    assert changed == {file for task in TASKS for file in task.files}


def test_plain_unittest_finds_the_tests_of_all_tasks(demo: Bench) -> None:
    named = [file for task in TASKS for file in task.test_files]
    assert sorted(named) == sorted(path.name for path in Path(demo.project).glob("test_*.py"))
    outputs = [run_tests(demo, "unittest", files).stdout for files in ((), named)]
    counts = [re.findall(r"^Ran (\d+) tests", output, re.MULTILINE) for output in outputs]
    assert counts[0] == counts[1] != []
