"""Read every example's leanfile, and run its tests: red before each task, green with the solution that stands here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import leanloop  # noqa: E402
from playground.serve import Body, ChatServer, said  # noqa: E402

EXAMPLES = ROOT / "examples"
HOME = Path.home()
CACHE = Path(os.environ.get("LEANLOOP_CACHE", HOME / ".cache" / "lean-loop-tests"))
TWO_SCREENS = 50


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


def read(example: Example) -> leanloop.Config:
    """Read and check an example's leanfile as the loop does."""
    return leanloop.load(EXAMPLES / example.name / "leanfile.toml")


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


def run_tests(folder: Path, runner: leanloop.Runner) -> subprocess.CompletedProcess[str]:
    """Run an example's test command in FOLDER, under the Python that runs this test."""
    argv = [word.replace("{python}", sys.executable) for word in (runner.command, *runner.args)]
    return subprocess.run(
        [shutil.which(argv[0]) or argv[0], *argv[1:]],
        cwd=folder,
        env={**sealed(folder.parent), **runner.env},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=runner.timeout,
    )


def solved(text: str, edits: tuple[Edit, ...]) -> str:
    """Apply a task's solution to its file's text; what it replaces must stand there exactly once."""
    for edit in edits:
        assert not edit.old or text.count(edit.old) == 1, edit
        text = text.replace(edit.old, edit.new) if edit.old else text + edit.new
    return text


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
def test_leanfile_is_right_and_every_task_has_its_solution_here(example: Example) -> None:
    config = read(example)
    assert [task.name for task in config.tasks] == list(example.solutions)
    listed = [config.root / file for task in config.tasks for file in task.files]
    assert [path for path in listed if not path.is_file()] == []


def test_every_folder_is_an_example_that_runs_here() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/leanfile.toml")}
    assert folders == {example.name for example in ALL}


@pytest.fixture(params=TO_RUN)
def example(request: pytest.FixtureRequest) -> Example:
    """Give each example whose program is here."""
    found: Example = request.param
    if found.program != "python" and not shutil.which(found.program):
        pytest.skip(f"{found.program} is not on PATH")
    return found


@pytest.fixture
def folder(example: Example, tmp_path: Path) -> Path:
    """Copy the example to a folder of its own, with what its runner needs."""
    copy = Path(shutil.copytree(EXAMPLES / example.name, tmp_path / example.name))
    if example is JEST:
        install_jest(copy)
    return copy


@pytest.mark.heavy
def test_each_task_is_red_before_and_green_after(example: Example, folder: Path) -> None:
    config = read(example)
    for task in config.tasks:
        red = run_tests(folder, task.runner)
        assert red.returncode != 0
        assert re.search(example.red, red.stdout), red.stdout
        source = folder / example.solutions[task.name][0].path
        source.write_text(solved(source.read_text(encoding="utf-8"), example.solutions[task.name]), encoding="utf-8")
        green = run_tests(folder, task.runner)
        assert green.returncode == 0, green.stdout
        for command in task.after:
            subprocess.run(command, shell=True, cwd=folder, check=True, timeout=60)
    whole = run_tests(folder, leanloop.insert_test_files(config.runner, ()))
    assert whole.returncode == 0, whole.stdout


@pytest.mark.heavy
def test_the_loop_turns_the_example_green(example: Example, folder: Path, tmp_path: Path) -> None:
    def answer(body: Body) -> str:
        edits = next(edits for name, edits in example.solutions.items() if f"# Task: {name}\n" in said(body))
        path = edits[0].path
        return f"{path}\n```\n{solved((folder / path).read_text(encoding='utf-8'), edits)}```\n"

    static = tmp_path / "config.toml"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/claude").write_text("#!/bin/sh\nexit 1\n")  # only has to be there: nothing is escalated
    (tmp_path / "bin/claude").chmod(0o755)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(tmp_path / "bin")])
    argv = [sys.executable, str(ROOT / "leanloop.py"), "-g", str(static), "-c", "leanfile.toml"]
    with ChatServer(answer) as server:
        static.write_text(f'[lean]\nbase_url = "{server.base_url}"\nmodel = "{server.model}"\n', encoding="utf-8")
        env = {**sealed(tmp_path), "PATH": path}
        done = subprocess.run(argv, cwd=folder, env=env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.requests) == len(example.solutions)


def fill_in(folder: Path, switched_on: bool) -> Path:
    """Write the sample as `--init` fills it in for pytest; SWITCHED_ON takes the # off every key and table."""
    text = (EXAMPLES / "leanfile.toml").read_text(encoding="utf-8")
    words = {
        "@COMMAND@": '"{python}"',
        "@ARGS@": '["-m", "pytest", "-q"]',
        "@MORE@": "",
        "@NARROW@": '["tests/test_first.py"]',
        "@TEST_HINT@": "pytest: conftest.py is here",
    }
    for word, value in words.items():
        assert text.count(word) == 1, word
        text = text.replace(word, value)
    path = folder / "leanfile.toml"
    path.write_text(re.sub(r"^# (?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE) if switched_on else text)
    return path


def test_the_sample_is_short_and_holds_one_live_task(tmp_path: Path) -> None:
    sample = fill_in(tmp_path, switched_on=False)
    config = leanloop.load(sample)
    assert (len(config.tasks), config.taskless) == (1, False)
    assert config.runner == leanloop.Runner("{python}", ("-m", "pytest", "-q"))
    assert len(sample.read_text().splitlines()) <= TWO_SCREENS


def test_what_the_sample_comments_out_is_right_as_well(tmp_path: Path) -> None:
    config = leanloop.load(fill_in(tmp_path, switched_on=True))
    task = config.tasks[0]
    assert (config.limits.calls, config.escalate[0].name, config.defaults.commit) == (50, "claude", True)
    assert config.guard.protect
    assert task.max_iters == 3
    assert task.after
    assert task.runner.args[-1] == task.test_files[0]
