"""What is installed is what was cloned: wheel, editable install and clone have their leaners and demo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from conftest import LEANLOOP, ROOT, Bench

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
    run += [path for path in (ROOT / "leaners").iterdir() if path.suffix in (".py", ".sh") and path.name[0] != "_"]
    assert [path.name for path in run if not os.access(path, os.X_OK)] == []


def venv_with(folder: Path, *what: str) -> Path:
    """Make an empty environment, install into it, and return its folder of commands."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", *what], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a clone."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(folder / "clone")]
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
def test_the_wheel_starts_as_a_module_too(bench: Bench, wheel: Path) -> None:
    bin_folder = venv_with(bench.home / "venv", str(wheel))
    argv = [str(bin_folder / "python"), "-m", "leanloop", "--version"]
    done = subprocess.run(argv, cwd=bench.project, env=bench.env, capture_output=True, text=True)
    assert done.stdout.startswith("lean-loop "), done.stderr
    assert str(bench.home / "venv/share/lean-loop") in done.stdout


@pytest.mark.heavy
def test_all_ways_to_install_tell_the_same_version(bench: Bench, wheel: Path) -> None:
    plain = subprocess.run([*LEANLOOP, "--version"], capture_output=True, text=True).stdout.split()[1]
    assert wheel.name.split("-")[1] == plain


@pytest.mark.heavy
def test_a_plain_clone_works_as_it_is(bench: Bench) -> None:
    clone = bench.home / "clone with a blank"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    works(bench, clone / "leanloop.py", clone)
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout
    assert changed == ""


def test_the_demo_needs_python_and_git_and_nothing_else(bench: Bench) -> None:
    for program in ("git", "python3"):
        found = sys.executable if program == "python3" else shutil.which(program)
        (bench.home / "bin").mkdir(exist_ok=True)
        (bench.home / "bin" / program).symlink_to(found or pytest.fail(f"{program} is not installed"))
    bench.env["PATH"] = str(bench.home / "bin")
    ran = bench.lean_loop("--demo")
    assert ran.code == 0, ran.text
    assert ran.out.count("green: ") == 3
    assert "recorded" in ran.err


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from a clone and unpacked."""
    pytest.importorskip("build", reason="build is not installed: pip install -e '.[heavy]'")
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    argv = [sys.executable, "-m", "build", "--sdist", "-o", str(folder), str(folder / "clone")]
    subprocess.run(argv, check=True, capture_output=True)
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return packed.with_name(packed.name.removesuffix(".tar.gz"))


@pytest.mark.heavy
def test_the_sdist_holds_all_that_is_committed(sdist: Path) -> None:
    committed = ["git", "ls-tree", "-r", "-z", "--name-only", "HEAD"]
    names = subprocess.run(committed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    assert [name for name in names if not (sdist / name).is_file()] == []


@pytest.mark.heavy
def test_the_sdist_passes_its_tests(sdist: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_loop.py",
        "tests/test_examples.py",
    ]
    done = subprocess.run(argv, cwd=sdist, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.heavy
def test_a_wheel_of_the_sdist_is_the_wheel_of_the_clone(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(sdist)]
    subprocess.run(argv, check=True)
    (built,) = tmp_path.glob("*.whl")
    here, there = (set(zipfile.ZipFile(path).namelist()) for path in (built, wheel))
    assert here == there


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
