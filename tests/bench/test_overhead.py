"""The benchmark of the loop's own share runs, and prints what the README quotes; the figures are not judged here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.overhead import snapshots

OVERHEAD = (sys.executable, str(Path(__file__).with_name("overhead.py")))
SHAPES = (
    r"start: \d+\.\d times a bare Python \(\d+ against \d+ ms\)",
    r"start of an installed one: \d+\.\d times \(\d+ ms\)",
    r"iteration, 5 files: -?\d+\.\d times a bare script \(adds -?\d+ ms\)",
    r"snapshot, 5 files: \d+\.\d\d of a `git status`, \d+\.\d\d after an edit \(\d+ and \d+ ms\)",
    r"iteration, 1,200 files: -?\d+\.\d times a bare script \(adds -?\d+ ms\)",
    r"snapshot, 1,200 files: \d+\.\d\d of a `git status`, \d+\.\d\d after an edit \(\d+ and \d+ ms\)",
)


@pytest.mark.heavy
def test_the_benchmark_prints_a_ratio_for_start_and_iterations() -> None:
    tiny = ("--files", "5", "1200", "--few", "1", "--many", "3", "--rounds", "1")
    done = subprocess.run([*OVERHEAD, *tiny], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(SHAPES)
    assert [line for line, shape in zip(lines, SHAPES, strict=True) if not re.fullmatch(shape, line)] == []


@pytest.mark.heavy
def test_a_snapshot_of_20_000_files_costs_less_than_two_git_status(tmp_path: Path) -> None:
    status, unchanged, edited = snapshots(tmp_path, 20_000, 9)
    assert max(unchanged, edited) < 2 * status


def test_the_benchmark_says_what_it_measures() -> None:
    done = subprocess.run([*OVERHEAD, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "bare shell script" in done.stdout
    assert "--rounds" in done.stdout
