"""The guide for cloud models: short, true for the project at hand, and its sample works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import leanloop
from conftest import ROOT, Bench
from tokens import counter

MOST_TOKENS = 900
PROJECTS = {
    "pytest": {"pyproject.toml": "[tool.pytest.ini_options]\n", "src/tea.py": "", "tests/test_tea.py": ""},
    "node": {"package.json": '{"scripts": {"test": "node --test"}}', "lib/sky.js": "", "test/sky.test.js": ""},
    "nothing": {},
}


def fill(bench: Bench, files: dict[str, str]) -> str:
    """Write FILES into the project, and return the guide for it."""
    for path, text in files.items():
        bench.write(path, text)
    bench.git("init", "-q")
    ran = bench.lean_loop("--guide")
    assert ran.code == 0, ran.err
    return ran.out


@pytest.mark.parametrize("files", PROJECTS.values(), ids=PROJECTS)
def test_the_guide_has_at_most_900_tokens(bench: Bench, cache: Path, files: dict[str, str]) -> None:
    count = counter(cache, fetch=False)(fill(bench, files))
    print(f"{count} tokens")
    assert count <= MOST_TOKENS


@pytest.mark.parametrize(
    ("name", "narrow"),
    [("pytest", "tests/test_dates.py"), ("node", "test/dates.test.js")],
)
def test_the_sample_in_the_guide_is_a_leanfile_that_loads(bench: Bench, name: str, narrow: str) -> None:
    (sample,) = re.findall(r"```toml\n(.+?)```", fill(bench, PROJECTS[name]), re.DOTALL)
    config = leanloop.load(bench.write("leanfile.toml", sample))
    assert [task.name for task in config.tasks] == ["week dates"]
    assert config.tasks[0].runner.args == (*config.runner.args, narrow)


UNITTEST, PYTEST = "import unittest\n\nclass T(unittest.TestCase): ...\n", "def test_add():\n    assert True\n"
RUNNERS = {
    "unittest alone": ({"test_a.py": UNITTEST}, "{python} -m unittest"),
    "unittest in a package of tests": (
        {"pyproject.toml": "", "tests/__init__.py": "", "tests/test_a.py": UNITTEST}, "{python} -m unittest",
    ),
    "a folder that unittest does not search": ({"tests/test_a.py": UNITTEST}, "{python} -m pytest -q"),
    "some tests of pytest": ({"test_a.py": UNITTEST, "test_b.py": PYTEST}, "{python} -m pytest -q"),
    "pytest configured": ({"pytest.ini": "", "test_a.py": UNITTEST}, "{python} -m pytest -q"),
    "a package alone": ({"setup.py": ""}, "{python} -m pytest -q"),
    "go": ({"go.mod": "module x\n"}, "go test ./..."),
    "make": ({"Makefile": "all:\n\ntest:\n\techo\n"}, "make test"),
    "make without tests": ({"Makefile": "all:\n"}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("files", "command"), RUNNERS.values(), ids=RUNNERS)
def test_the_test_command_is_found(bench: Bench, files: dict[str, str], command: str) -> None:
    for path, text in files.items():
        bench.write(path, text)
    runner = tomllib.loads(bench.lean_loop("--init").out)["runner"]
    assert " ".join([runner["command"], *runner["args"]]) == command


def test_what_was_installed_is_no_part_of_the_layout(bench: Bench) -> None:
    files = {"app.js": "", "package.json": "{}", "node_modules/x/y.js": "", ".venv/lib/z.py": "", "venv/bin/q.py": ""}
    assert "This project: *.js (1), *.json (1). Test" in fill(bench, files)


def test_the_guide_says_what_lean_loop_is_called_where_it_is_not_on_the_path(bench: Bench) -> None:
    env = {**bench.env, "PATH": os.pathsep.join(["/usr/bin", "/bin"])}
    argv = [sys.executable, str(ROOT / "leanloop.py"), "--guide"]
    guide = subprocess.run(argv, cwd=bench.project, env=env, capture_output=True, text=True, check=True).stdout
    assert f"(Here `lean-loop` stands for `{ROOT / 'leanloop.py'}`.)" in guide
    assert "stands for" not in fill(bench, {})


def test_the_guide_names_the_projects_own_test_command_and_layout(bench: Bench) -> None:
    guide = fill(bench, PROJECTS["node"])
    assert 'command = "node"' in guide
    assert "lib/*.js (1)" in guide


def test_every_key_that_the_guide_names_is_one(bench: Bench) -> None:
    guide = fill(bench, {})
    keys = set(re.findall(r"\b(\w+) = ", guide))
    known = {item.name for cls in (*leanloop.TABLES.values(), leanloop.Task) for item in leanloop.fields(cls)}
    assert keys <= known


def test_every_option_that_the_guide_names_is_one(bench: Bench) -> None:
    options = {option for action in leanloop.parser()._actions for option in action.option_strings}
    assert set(re.findall(r"(?<=[ `])--\w[\w-]*", fill(bench, {}))) <= options
