"""The simulation of strategies runs lean-loop's own strategy, and shows what the README says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIMULATION = (sys.executable, str(Path(__file__).with_name("strategies.py")))


def rates(*args: str) -> dict[str, list[float]]:
    """Run the simulation; give the row of each strategy, in per cent."""
    done = subprocess.run([*SIMULATION, *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = (line.split() for line in done.stdout.splitlines()[1:])
    found = ([word for word in row if word.endswith("%")] for row in rows)
    plain, one, two, three, large = ([float(word[:-1]) for word in row] for row in found)
    return {"plain": plain, "one": one, "two": two, "three": three, "large": large}


def test_a_fresh_start_solves_more_at_equal_calls() -> None:
    found = rates("--tasks", "1500", "--calls", "2", "9")
    assert found["plain"][0] == found["two"][0]
    assert found["two"][1] > found["plain"][1] + 5
    assert found["large"][1] > found["two"][1]


@pytest.mark.heavy
def test_the_figures_of_the_readme() -> None:
    found = rates("--calls", "6", "12")
    assert [round(rate) for rate in found["plain"]] == [56, 58]
    assert [round(rate) for rate in found["two"]] == [62, 71]
    assert [round(rate) for rate in found["large"]] == [79, 87]
