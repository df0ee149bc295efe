"""The guide for cloud models: short, true for the project at hand, and its sample works."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import leanloop
from conftest import Bench
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


@pytest.mark.parametrize("files", PROJECTS.values(), ids=PROJECTS)
def test_the_sample_in_the_guide_is_a_leanfile_that_loads(bench: Bench, files: dict[str, str]) -> None:
    (sample,) = re.findall(r"```toml\n(.+?)```", fill(bench, files), re.DOTALL)
    config = leanloop.load(bench.write("leanfile.toml", sample))
    assert [task.name for task in config.tasks] == ["week dates"]
    assert config.tasks[0].runner.args[-1] == "tests/test_dates.py"


def test_the_guide_names_the_projects_own_test_command_and_layout(bench: Bench) -> None:
    guide = fill(bench, PROJECTS["node"])
    assert 'command = "node"' in guide
    assert "lib/*.js (1)" in guide


def test_every_key_that_the_guide_names_is_one(bench: Bench) -> None:
    guide = fill(bench, {})
    keys = set(re.findall(r"\b(\w+) = ", guide))
    known = {item.name for cls in (*leanloop.TABLES.values(), leanloop.Task) for item in fields(cls)}
    assert keys <= known


def test_every_option_that_the_guide_names_is_one(bench: Bench) -> None:
    options = {option for action in leanloop.parser()._actions for option in action.option_strings}
    assert set(re.findall(r"(?<=[ `])--\w[\w-]*", fill(bench, {}))) <= options
