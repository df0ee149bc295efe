"""The README: every command in it is run as it stands there, and every example in it is loaded."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import leanloop
from conftest import RIGHT, ROOT, Bench, Serve
from playground.serve import ChatServer, Recording

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]
COMMANDS = [*BLOCKS, *dict.fromkeys(re.findall(r"`(lean-loop --[^`]+)`", README))]
TESTS = next(line for line in COMMANDS if "pytest" in line)
IN_A_CLONE = ["./leanloop.py --demo"]
IN_A_PROJECT = [line for line in COMMANDS if line.startswith("lean-loop ")]
INSTALLS = ["pipx install ."]


@pytest.fixture
def clone(bench: Bench) -> Path:
    """A copy of the tracked files, as a clone would have them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = bench.project / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return bench.project


def shell(line: str, bench: Bench, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], cwd=bench.project, env=bench.env, capture_output=True, text=True, timeout=timeout
    )


def test_it_takes_two_minutes_to_read() -> None:
    assert len(README.split()) <= 1200
    assert README[: README.index("## Options")].count("\n") <= 120


def test_every_command_belongs_to_a_test_below() -> None:
    assert sorted([TESTS, *IN_A_CLONE, *IN_A_PROJECT, *INSTALLS]) == sorted(COMMANDS)


def test_ci_runs_the_test_command_as_it_stands_in_the_readme() -> None:
    assert ".venv/bin/pytest" in TESTS
    assert "grep -m1 -F '.venv/bin/pytest' README.md" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert README.count(".venv/bin/pytest") == 1


def test_the_first_command_shows_three_tasks_going_green(bench: Bench, clone: Path) -> None:
    ran = shell(IN_A_CLONE[0], bench)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(re.findall(r"^green: ", ran.stdout, re.MULTILINE)) == 3


def test_the_demo_runs_where_it_lies_and_git_resets_it(bench: Bench, clone: Path) -> None:
    bench.commit()
    with ChatServer(Recording.read(ROOT / "playground/demo/answers")) as server:
        (bench.home / "config.toml").write_text(f'[lean]\nbase_url = "{server.base_url}"\n')
        bench.env["LEANLOOP_CONFIG"] = str(bench.home / "config.toml")
        ran = shell("cd playground/demo && ../../leanloop.py -c leanfile.toml", bench)
    assert ran.returncode == 0, ran.stderr
    assert bench.git("status", "--porcelain").split() == [
        "M",
        "playground/demo/fares.py",
        "M",
        "playground/demo/timetable.py",
    ]
    bench.git("checkout", "-q", "playground/demo")
    assert bench.git("status", "--porcelain") == ""


def test_the_commands_for_real_work_run_as_they_stand(calc: Bench, serve: Serve) -> None:
    commands = calc.home / "bin"
    commands.mkdir()
    for name, line in (("lean-loop", f'"{sys.executable}" "{ROOT}/leanloop.py" "$@"'), ("qwen", "true")):
        (commands / name).write_text(f"#!/bin/sh\nexec {line}\n")
        (commands / name).chmod(0o755)
    calc.env["PATH"] = f"{commands}:{calc.env['PATH']}"
    serve(RIGHT)
    (calc.project / "leanfile.toml").unlink()
    assert {line: ran.stderr for line in IN_A_PROJECT if (ran := shell(line, calc)).returncode} == {}
    assert 'binary = "qwen"' in (calc.home / "config.toml").read_text()


def test_the_example_leanfile_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "leanfile.toml").write_text(block)
    config = leanloop.load(tmp_path / "leanfile.toml")
    assert [task.name for task in config.tasks] == ["parse dates"]
    assert config.tasks[0].runner.args[-1] == "tests/test_dates.py"


def test_every_option_stands_in_the_readme() -> None:
    actions = leanloop.parser()._actions
    named = [action.option_strings[-1] for action in actions if action.dest not in ("help", "config")]
    assert [name for name in named if f"`{name}" not in README and f" {name} " not in README] == []


@pytest.mark.heavy
def test_pipx_installs_a_command_that_works(bench: Bench, clone: Path, cache: Path) -> None:
    venv = cache / "pipx-1"
    if not (venv / "bin/pipx").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin/pip"), "install", "-q", "pipx"], check=True)
    bench.env |= {"PIPX_HOME": str(bench.home / "pipx"), "PIPX_BIN_DIR": str(bench.home / "bin")}
    bench.env["PATH"] = f"{venv / 'bin'}:{bench.home / 'bin'}:{bench.env['PATH']}"
    ran = shell(INSTALLS[0], bench, timeout=300)
    assert ran.returncode == 0, ran.stderr
    ran = shell("lean-loop --demo", bench)
    assert ran.returncode == 0, ran.stderr
