"""Prove the demo's material without the loop: its tasks are red, and the recorded answers turn them green."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playground.serve import ChatServer, Recording, said  # noqa: E402

DEMO = ROOT / "playground" / "demo"
MOST_BYTES = 18_000  # of all prompts together: under 4,500 tokens, for these texts have more than four bytes a token
RUNNERS = {"unittest": ["-m", "unittest"], "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}


@dataclass(frozen=True)
class Task:
    """One task of the demo's leanfile."""

    name: str
    prompt: str
    files: tuple[str, ...]
    test_files: tuple[str, ...]


def read_tasks() -> list[Task]:
    """Read the tasks of the demo's leanfile."""
    tables = tomllib.loads((DEMO / "leanfile.toml").read_text(encoding="utf-8"))["tasks"]
    return [Task(t["name"], t["prompt"], tuple(t["files"]), tuple(t["test_files"])) for t in tables]


TASKS = read_tasks()


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """Copy the demo to a folder of its own."""
    return Path(shutil.copytree(DEMO, tmp_path / "demo", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def server(demo: Path) -> Iterator[ChatServer]:
    """Serve the demo's recorded answers."""
    with ChatServer(Recording.read(demo / "answers")) as server:
        yield server


def run_tests(demo: Path, runner: str, test_files: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the demo's tests with RUNNER; nothing but the work itself is left in the folder."""
    argv = [sys.executable, "-B", *RUNNERS[runner], *test_files]
    return subprocess.run(argv, cwd=demo, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)


def ask_direct(demo: Path, server: ChatServer, task: Task, mode: str, prompt: str) -> str:
    """Hand PROMPT to the real `direct` leaner as the contract says, and return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEAN_")}
    (demo.parent / "prompt.md").write_text(prompt, encoding="utf-8")
    env = {
        **clean,
        "HOME": str(demo.parent),
        "LEAN_BASE_URL": server.base_url,
        "LEAN_FILES": "\n".join(task.files),
        "LEAN_MODE": mode,
        "LEAN_PROMPT_FILE": str(demo.parent / "prompt.md"),
    }
    argv = [sys.executable, str(ROOT / "leaners" / "direct.py"), "-p", prompt]
    done = subprocess.run(argv, cwd=demo, env=env, text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def edit_prompt(demo: Path, task: Task, failure: str, diagnosis: str = "") -> str:
    """Say what the loop says: the task, its files, the failing tests, and in a fix the diagnosis."""
    files = [f"{name}\n```python\n{(demo / name).read_text(encoding='utf-8')}```" for name in task.files]
    parts = [f"# Task: {task.name}\n{task.prompt}", "# Files\n\n" + "\n\n".join(files), f"# Failing tests\n{failure}"]
    return "\n\n".join([*parts, f"# Diagnosis\n{diagnosis}"] if diagnosis else parts)


def work(demo: Path, server: ChatServer, task: Task) -> list[int]:
    """Work on TASK until it is green, three fixes at most; return the exit codes of its test runs."""
    run = run_tests(demo, "unittest", task.test_files)
    codes, diagnosis = [run.returncode], ""
    while run.returncode and len(codes) < 5:
        ask_direct(demo, server, task, "edit", edit_prompt(demo, task, run.stdout, diagnosis))
        run = run_tests(demo, "unittest", task.test_files)
        codes.append(run.returncode)
        if run.returncode:
            question = f"In one sentence, say why this fails.\n\n# Failing tests\n{run.stdout}"
            diagnosis = ask_direct(demo, server, task, "ask", question)
    return codes


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_task_is_red_by_a_failing_test_before_it_is_worked_on(demo: Path, runner: str) -> None:
    outputs = [run_tests(demo, runner, task.test_files) for task in TASKS]
    assert [run.returncode for run in outputs] == [1, 1, 1]
    assert ["SyntaxError" in run.stdout or "ImportError" in run.stdout for run in outputs] == [False] * 3


def test_the_recorded_answers_bring_every_task_to_green_with_one_fix(demo: Path, server: ChatServer) -> None:
    codes = [work(demo, server, task) for task in TASKS]
    assert codes == [[1, 0], [1, 0], [1, 1, 0]]
    assert len(server.requests) == 5
    assert {runner: run_tests(demo, runner).returncode for runner in RUNNERS} == {"unittest": 0, "pytest": 0}


def test_every_recorded_answer_is_given_once_and_all_prompts_stay_small(demo: Path) -> None:
    recording = Recording.read(demo / "answers")
    with ChatServer(recording) as server:
        for task in TASKS:
            work(demo, server, task)
        assert [answer.given for answer in recording.answers] == [1] * 5
        assert sum(len(said(body).encode()) for body in server.requests) < MOST_BYTES


def test_answers_change_only_the_files_of_their_task(demo: Path, server: ChatServer) -> None:
    for task in TASKS:
        before = {path: path.read_bytes() for path in demo.rglob("*") if path.is_file()}
        work(demo, server, task)
        after = {path: path.read_bytes() for path in demo.rglob("*") if path.is_file()}
        changed = {path.relative_to(demo).as_posix() for path in after if after[path] != before.get(path)}
        assert changed == set(task.files)
        assert before.keys() == after.keys()


def test_plain_unittest_finds_the_tests_of_all_tasks(demo: Path) -> None:
    named = sum((task.test_files for task in TASKS), ())
    assert sorted(named) == sorted(path.name for path in demo.glob("test_*.py"))
    outputs = [run_tests(demo, "unittest", files).stdout for files in ((), named)]
    counts = [re.findall(r"^Ran (\d+) tests", output, re.MULTILINE) for output in outputs]
    assert counts[0] == counts[1] != []
