"""Read every example's leanfile, and run its tests: red before each task, green with the solution that stands here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HOME = Path.home()
CACHE = Path(os.environ.get("LEANLOOP_CACHE", HOME / ".cache" / "lean-loop-tests"))
TWO_SCREENS = 50

Table = dict[str, Any]


@dataclass(frozen=True)
class Edit:
    """Text that stands once in a file, and what takes its place; without OLD, what is added at the end."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Example:
    """An example's folder, the program that its tests need, how its runner says red, and each task's solution."""

    name: str
    program: str
    red: str
    solutions: dict[str, tuple[Edit, ...]]


PYTEST = Example(
    "pytest",
    "python",
    r"\d failed",
    {
        "half grams": (Edit("tea.py", "round(tea.grams * litres, 1)", "round(tea.grams * litres * 2) / 2"),),
        "infusions": (
            Edit(
                "tea.py",
                "",
                "\n\ndef infusion(tea: Tea, number: int) -> int:\n"
                "    if number < 1:\n"
                '        raise ValueError(f"there is no infusion {number}")\n'
                "    return tea.seconds + 15 * (number - 1)\n",
            ),
        ),
    },
)
GO = Example(
    "go",
    "go",
    "--- FAIL",
    {
        "lit": (
            Edit("light.go", "int(at / time.Second)", "int(at % l.Period / time.Second)"),
            Edit("light.go", "second/2 <= l.Flashes", "second/2 < l.Flashes"),
        )
    },
)
JEST = Example(
    "jest",
    "npx",
    r"Tests: +\d failed",
    {
        "ready frames": (Edit("hive.js", "a.grams - b.grams", "b.grams - a.grams"),),
        "harvest": (
            Edit(
                "hive.js",
                "",
                "\nmodule.exports.harvest = (frames) => {\n"
                "  const all = frames.reduce((sum, frame) => sum + honey(frame.grams), 0);\n"
                "  return all - Math.min(all / 2, 9000);\n"
                "};\n",
            ),
        ),
    },
)
NODE = Example(
    "node",
    "node",
    "# fail [1-9]",
    {
        "parse": (
            Edit("sky.js", 'line.split(";")', 'line.split(";").map((field) => field.trim())'),
            Edit("sky.js", "parseInt(magnitude)", "Number(magnitude)"),
        ),
        "by constellation": (
            Edit(
                "sky.js",
                "",
                "\nexport function byConstellation(stars) {\n"
                "  const groups = {};\n"
                "  for (const star of stars) (groups[star.constellation] ??= []).push(star.name);\n"
                "  return groups;\n"
                "}\n",
            ),
        ),
    },
)
CARGO = Example(
    "cargo",
    "cargo",
    "test result: FAILED. .* [1-9] failed",
    {
        "twelfths": (Edit("src/lib.rs", "take(hours as usize + 1)", "take(hours as usize)"),),
        "falling tide": (Edit("src/lib.rs", "twelfths(hours) / 12", "twelfths(hours.min(2 * RISE - hours)) / 12"),),
    },
)
ALL = (PYTEST, GO, JEST, NODE, CARGO)
TO_RUN = [
    pytest.param(example, marks=[pytest.mark.heavy] if example is JEST else [], id=example.name) for example in ALL
]

LEAN = (
    "base_url api_key api_key_env model approval_mode timeout idle context_tokens edit_format edit_retries temperature"
    " max_output_tokens stop extra_body lean_prompt context_files options"
)
KEYS = {
    table: set(keys.split())
    for table, keys in {
        "lean": "binary " + LEAN,
        "health": "check_url max_wait",
        "runner": "command args timeout shell env",
        "defaults": "project_root source_prefix test_prefix source_window error_tail_lines max_iters_per_task"
        " summarize_errors restart_after trace global_message after_command_timeout no_tests_ok commit",
        "prompts": "summary",
        "guard": "protect allow protect_tests baseline confirm on_fail keep_runs max_file mask",
        "limits": "minutes tokens calls",
        "escalate": "after binary " + LEAN,
        "tasks": "name prompt files runner test_files context_tokens max_iters after skip_tests",
    }.items()
}


def unknown_keys(leanfile: Table) -> list[str]:
    """List the tables and keys of a leanfile that are in no table of the configuration."""
    tables = [
        (name, row) for name, value in leanfile.items() for row in (value if isinstance(value, list) else [value])
    ]
    return [f"{name}.{key}" for name, row in tables for key in row if key not in KEYS.get(name, ())]


def read(example: Example) -> Table:
    """Read an example's leanfile."""
    return tomllib.loads((EXAMPLES / example.name / "leanfile.toml").read_text(encoding="utf-8"))


def command(runner: Table, test_files: list[str]) -> list[str]:
    """Build the command line as the loop does: `{test_files}` filled in, or the files at the end."""
    argv: list[str] = []
    for arg in [runner["command"], *runner["args"]]:
        argv += test_files if arg == "{test_files}" else [arg.replace("{python}", sys.executable)]
    return argv if "{test_files}" in runner["args"] else [*argv, *test_files]


def sealed(tmp_path: Path) -> dict[str, str]:
    """Seal HOME and the network off; toolchains stay where they are, caches lie outside the checkout."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(HOME / ".rustup")),
        "CARGO_NET_OFFLINE": "true",
        "GOCACHE": str(CACHE / "go-build"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }


def run_tests(folder: Path, leanfile: Table, test_files: list[str]) -> subprocess.CompletedProcess[str]:
    """Run an example's test command in FOLDER."""
    runner = leanfile["runner"]
    argv = command(runner, test_files)
    return subprocess.run(
        [shutil.which(argv[0]) or argv[0], *argv[1:]],
        cwd=folder,
        env=sealed(folder.parent) | runner.get("env", {}),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=runner.get("timeout", 120),
    )


def solve(folder: Path, edits: tuple[Edit, ...]) -> None:
    """Apply a task's solution; its old text must stand exactly once."""
    for edit in edits:
        path = folder / edit.path
        text = path.read_text(encoding="utf-8")
        assert not edit.old or text.count(edit.old) == 1, edit
        path.write_text(text.replace(edit.old, edit.new) if edit.old else text + edit.new, encoding="utf-8")


def install_jest(folder: Path) -> None:
    """Put the pinned jest beside the example, installed once into the cache."""
    version = json.loads((folder / "package.json").read_text())["devDependencies"]["jest"]
    cached = CACHE / f"jest-{version}"
    if not cached.exists():
        fresh = CACHE / f"jest-{version}.{os.getpid()}"
        fresh.mkdir(parents=True)
        shutil.copy(folder / "package.json", fresh)
        install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        subprocess.run(install, cwd=fresh, check=True, capture_output=True, timeout=300)
        fresh.rename(cached)
    (folder / "node_modules").symlink_to(cached / "node_modules")


@pytest.mark.parametrize("example", ALL, ids=lambda example: str(example.name))
def test_leanfile_holds_known_keys_and_a_solution_for_every_task(example: Example) -> None:
    leanfile = read(example)
    assert unknown_keys(leanfile) == []
    assert [task["name"] for task in leanfile["tasks"]] == list(example.solutions)
    assert [
        path for task in leanfile["tasks"] for path in task["files"] if not (EXAMPLES / example.name / path).is_file()
    ] == []


def test_every_folder_is_an_example_that_runs_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == {example.name for example in ALL}


@pytest.mark.parametrize("example", TO_RUN)
def test_each_task_is_red_before_and_green_after(example: Example, tmp_path: Path) -> None:
    if example.program != "python" and not shutil.which(example.program):
        pytest.skip(f"{example.program} is not on PATH")
    folder = Path(shutil.copytree(EXAMPLES / example.name, tmp_path / example.name))
    if example is JEST:
        install_jest(folder)
    leanfile = read(example)
    for task in leanfile["tasks"]:
        test_files = task.get("test_files", [])
        red = run_tests(folder, leanfile, test_files)
        assert red.returncode != 0
        assert re.search(example.red, red.stdout), red.stdout
        solve(folder, example.solutions[task["name"]])
        green = run_tests(folder, leanfile, test_files)
        assert green.returncode == 0, green.stdout
        for after in task.get("after", []):
            subprocess.run(after.split(), cwd=folder, check=True, timeout=60)
    whole = run_tests(folder, leanfile, [])
    assert whole.returncode == 0, whole.stdout


def sample() -> str:
    """Fill in the sample leanfile as `--init` does for pytest."""
    text = (EXAMPLES / "leanfile.toml").read_text(encoding="utf-8")
    words = {"@COMMAND@": '"{python}"', "@ARGS@": '["-m", "pytest", "-q"]', "@TEST_HINT@": '["tests/test_first.py"]'}
    for word, value in words.items():
        assert text.count(word) == 1, word
        text = text.replace(word, value)
    return text


def test_the_sample_is_short_and_holds_one_live_task() -> None:
    leanfile = tomllib.loads(sample())
    assert unknown_keys(leanfile) == []
    assert len(leanfile["tasks"]) == 1
    assert sample().count("\n") <= TWO_SCREENS


def test_what_the_sample_comments_out_is_right_as_well() -> None:
    switched_on = re.sub(r"^# (?=\[|[a-z_]+ = )", "", sample(), flags=re.MULTILINE)
    leanfile = tomllib.loads(switched_on)
    assert unknown_keys(leanfile) == []
    assert {"runner", "defaults", "limits", "escalate", "guard", "tasks"} == set(leanfile)
    assert leanfile["tasks"][0].keys() >= {"test_files", "max_iters", "after"}
