"""The main job on real input: projects from PyPI with a planted fault, brought back to green by their own tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import Bench, Serve, is_ask
from playground.serve import Body, ChatServer, said

pytestmark = pytest.mark.heavy
PYTEST = "9.2.0"


@dataclass(frozen=True)
class Real:
    """A source distribution, its own test command, and a fault: in `file`, `right` is replaced by `fault`.

    `wrong` is what a first try makes of it, `tests` what a task on it is narrowed to, `passes` how many tests it has.
    """

    name: str
    version: str
    args: tuple[str, ...]
    file: str
    right: str
    fault: str
    wrong: str
    prompt: str
    tests: str
    passes: int


BISECT = """\
        pos = bisect_right(_maxes, value)

        if pos == len(_maxes):
            return self._len

        {}"""
PROJECTS = (
    Real(
        "sortedcontainers",  # its tests are the examples in its docstrings; the file has 2,600 lines
        "2.4.0",
        ("--doctest-modules", "--ignore=setup.py"),
        "sortedcontainers/sortedlist.py",
        BISECT.format("idx = bisect_right(self._lists[pos], value)"),
        BISECT.format("idx = bisect_left(self._lists[pos], value)"),
        BISECT.format("idx = bisect_right(self._lists[pos], value) + 1"),
        "SortedList.bisect_right gives the place before equal values; it must give the one behind them.",
        "sortedcontainers/sortedlist.py",
        66,
    ),
    Real(
        "sqlparse",  # a package; the fault lies deeper than what the first failing test calls
        "0.5.3",
        (),
        "sqlparse/utils.py",
        "        val = val[1:-1]",
        "        val = val[1:]",
        "        val = val[:-1]",
        "remove_quotes in sqlparse/utils.py leaves the closing quote where it is.",
        "tests/test_utils.py",
        461,
    ),
    Real(
        "inflection",  # one module, hundreds of parametrized tests
        "0.5.1",
        (),
        "inflection/__init__.py",
        "    if number % 100 in (11, 12, 13):",
        "    if number % 100 in (11, 12):",
        "    if number % 100 in (12, 13):",
        "ordinal says 13rd. It must be 13th.",
        "test_inflection.py",
        455,
    ),
)


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of a cached environment that has pytest and nothing else."""
    from conftest import CACHE

    folder = CACHE / f"pytest-{PYTEST}"
    make_once(folder, install_pytest)
    return folder / "bin" / "python"


def install_pytest(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", f"pytest=={PYTEST}"], check=True)


def make_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make FOLDER beside its place and move it there, so that it is whole or not there, whoever else makes it too."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name) / folder.name
        make(made)
        if not folder.exists():
            made.rename(folder)


def source_of(real: Real, cache: Path) -> Path:
    """Give the unpacked source distribution, downloaded once by name and version."""
    folder = cache / f"sdist-{real.name}-{real.version}"

    def download(target: Path) -> None:
        argv = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        argv += ["--no-binary", real.name, "-d", str(target), f"{real.name}=={real.version}"]
        subprocess.run(argv, check=True)
        (packed,) = target.glob("*.tar.gz")
        with tarfile.open(packed) as archive:
            archive.extractall(target, filter="data")
        packed.unlink()

    make_once(folder, download)
    return folder / f"{real.name}-{real.version}"


def plant(bench: Bench, real: Real, source: Path) -> None:
    """Copy the project into the bench, with its fault, and commit it."""
    shutil.copytree(source, bench.project, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    text = bench.read(real.file)
    assert text.count(real.right) == 1
    (bench.project / real.file).write_text(text.replace(real.right, real.fault), encoding="utf-8")
    bench.commit()


class Mender:
    """A model that mends what it is shown: asked without the faulty lines, it asks for their file."""

    def __init__(self, real: Real, wrong_first: bool) -> None:
        self.real, self.wrong_first, self.asked = real, wrong_first, list[str]()

    def __call__(self, body: Body) -> str:
        if is_ask(body):
            return f"The fault is in {self.real.file}."
        prompt, real = said(body), self.real
        if self.wrong_first:
            self.wrong_first = False
            return self.edit("wrong first", real.fault, real.wrong)
        if real.wrong in prompt:
            return self.edit("mended", real.wrong, real.right)
        if real.fault in prompt:
            return self.edit("mended", real.fault, real.right)
        self.asked.append("read")
        return f"I do not see the code of {real.file}."

    def edit(self, why: str, old: str, new: str) -> str:
        self.asked.append(why)
        block = f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE"
        return f"{self.real.file}\n```python\n{block}\n```\n"


def is_mended(bench: Bench, real: Real, source: Path, python: Path) -> None:
    """Check with the project's own tests, without lean-loop, and against what was downloaded."""
    assert bench.read(real.file) == (source / real.file).read_text(encoding="utf-8")
    argv = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *real.args]
    done = subprocess.run(argv, cwd=bench.project, env=bench.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert f"{real.passes} passed" in done.stdout


def leanfile(real: Real, python: Path) -> str:
    args = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *real.args]
    return f'[runner]\ncommand = "{python}"\nargs = {json.dumps(args)}\n'


def figures(server: ChatServer, mender: Mender, mode: str) -> None:
    words = sum(len(said(body).split()) for body in server.requests)
    print(f"{mender.real.name}, {mode}: {len(server.requests)} requests, {words:,} words; {', '.join(mender.asked)}")


@pytest.mark.parametrize("real", PROJECTS, ids=lambda real: real.name)
def test_a_task_brings_a_real_project_back_to_green(
    bench: Bench, serve: Serve, cache: Path, python: Path, real: Real
) -> None:
    source = source_of(real, cache)
    plant(bench, real, source)
    mender = Mender(real, wrong_first=True)
    server = serve(answer=mender, trace="auto")
    task = (
        f'[[tasks]]\nname = "mend"\nprompt = "{real.prompt}"\nfiles = ["{real.file}"]\ntest_files = ["{real.tests}"]\n'
    )
    bench.write("leanfile.toml", leanfile(real, python) + task)
    ran = bench.lean_loop(timeout=180)
    figures(server, mender, "task")
    assert ran.code == 0, ran.text
    assert "green: mend: 2 attempts" in ran.out
    is_mended(bench, real, source, python)


@pytest.mark.parametrize("real", PROJECTS, ids=lambda real: real.name)
def test_direct_mode_brings_a_real_project_back_to_green(
    bench: Bench, serve: Serve, cache: Path, python: Path, real: Real
) -> None:
    source = source_of(real, cache)
    plant(bench, real, source)
    mender = Mender(real, wrong_first=False)
    server = serve(answer=mender, trace="auto")
    bench.write("leanfile.toml", leanfile(real, python))
    ran = bench.lean_loop(timeout=180)
    figures(server, mender, "direct mode")
    assert ran.code == 0, ran.text
    is_mended(bench, real, source, python)
