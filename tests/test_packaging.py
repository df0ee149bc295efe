"""What is installed is what was cloned: wheel, editable install and clone have their leaners, configuration and demo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Bench

TOP_LEVEL = {
    ".ci", ".gitattributes", ".gitignore", "LICENSE", "README.md", "config.toml", "examples", "leaners", "leanloop.py",
    "playground", "pyproject.toml", "tests",
}  # fmt: skip


def listed() -> list[str]:
    return subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")[:-1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the list of files is asked of git")
def test_the_top_level_is_the_one_that_was_designed() -> None:
    assert {name.split("/")[0] for name in listed()} == TOP_LEVEL


def test_what_is_run_by_its_name_may_be_run() -> None:
    run = [ROOT / "leanloop.py", ROOT / ".ci/run", ROOT / "playground/serve.py"]
    run += [path for path in (ROOT / "leaners").iterdir() if path.suffix in (".py", ".sh")]
    assert [path.name for path in run if not os.access(path, os.X_OK)] == []


def venv_with(folder: Path, *what: str) -> Path:
    """Make an empty environment, install into it, and return its folder of commands."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", *what], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(argv, check=True)
    (built,) = folder.glob("lean_loop-*.whl")
    return built


def works(bench: Bench, command: Path, lies_in: Path) -> None:
    """Use an installed command as a stranger would: from an empty folder, with an empty home."""
    bench.env["PATH"] = f"{command.parent}{os.pathsep}{bench.env['PATH']}"

    def said(*args: str) -> str:
        done = subprocess.run(
            [str(command), *args], cwd=bench.project, env=bench.env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert str(lies_in) in said("--version")
    assert said("--demo").count("green: ") == 3
    assert "* direct" in said("--list-leaners")
    assert "[[tasks]]" in said("--init")
    said("--set-leaner", "direct")


@pytest.mark.heavy
def test_the_wheel_has_all_that_it_needs(bench: Bench, wheel: Path) -> None:
    bin_folder = venv_with(bench.home / "venv", str(wheel))
    works(bench, bin_folder / "lean-loop", bench.home / "venv/share/lean-loop")
    own = (bench.home / "config/lean-loop/config.toml").read_text(encoding="utf-8")
    assert own == (ROOT / "config.toml").read_text(encoding="utf-8")


@pytest.mark.heavy
def test_the_wheel_needs_nothing_else(bench: Bench, wheel: Path) -> None:
    bin_folder = venv_with(bench.home / "venv", str(wheel))
    frozen = subprocess.run([str(bin_folder / "pip"), "list", "--format=freeze"], capture_output=True, text=True).stdout
    assert {line.split("==")[0] for line in frozen.split()} - {"pip", "setuptools", "wheel"} == {"lean-loop"}


@pytest.mark.heavy
def test_an_editable_install_uses_the_clone(bench: Bench) -> None:
    clone = bench.home / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    bin_folder = venv_with(bench.home / "venv", "-e", str(clone))
    works(bench, bin_folder / "lean-loop", clone)


@pytest.mark.heavy
def test_a_plain_install_of_the_clone_works(bench: Bench) -> None:
    clone = bench.home / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    bin_folder = venv_with(bench.home / "venv", str(clone))
    works(bench, bin_folder / "lean-loop", bench.home / "venv/share/lean-loop")
