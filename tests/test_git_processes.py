"""How many processes of git one iteration of the loop starts: a diagnosis, a fix and a test run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from conftest import RIGHT, WRONG, Bench, Leaner, Serve, few_of

# Another wrong edit at each call, as often as $WRONG says, of a file that the task lists, and then the right one.
AGENT = """
[ $LEAN_MODE = ask ] && { echo why; exit; }
echo x >> "$HOME/edits"; number=$(wc -l < "$HOME/edits")
[ $number -le $WRONG ] && edit="* right + $number" || edit="+ right"
printf 'def add(left, right):\\n    return left %s\\n' "$edit" > calc.py
echo done
"""


@pytest.fixture
def gits(calc: Bench) -> Path:
    """Put a git first in PATH that notes each call in the file given."""
    log, place = calc.home / "gits", calc.home / "bin"
    place.mkdir()
    (place / "git").write_text(f'#!/bin/sh\necho "$*" >> "{log}"\nexec "{shutil.which("git")}" "$@"\n')
    (place / "git").chmod(0o755)
    calc.env["PATH"] = f"{place}{os.pathsep}{calc.env['PATH']}"
    calc.write("leanfile.toml", f"[defaults]\nrestart_after = 0\n{calc.read('leanfile.toml')}")
    calc.write("other.txt", "other")
    calc.commit()
    return log


MOST = {"direct": 15, "an agent": 16, "an agent with files of its own": 17}


@pytest.mark.parametrize("who", few_of(MOST))
def test_an_iteration_starts_few_gits(calc: Bench, serve: Serve, leaner: Leaner, gits: Path, who: str) -> None:
    counts = []
    for wrong in (1, 2, 3):  # the first run makes the private repository, too
        if who == "direct":
            serve(*(WRONG.replace("* right", f"* right + {number}") for number in range(wrong)), RIGHT, trace="auto")
        else:
            own = "echo $number | tee other.txt > $number.txt; " if "own" in who else ""
            leaner(AGENT.replace("echo done", f"{own}echo done"), trace="auto")
        calc.git("checkout", "-q", "calc.py", "other.txt")
        (calc.home / "edits").unlink(missing_ok=True)
        gits.unlink()
        ran = calc.lean_loop(WRONG=str(wrong))
        assert ran.code == 0 and ran.err.count("tests: 1 failing") == wrong + 1, ran.text
        counts.append(len(gits.read_text().splitlines()))
    assert 0 < counts[2] - counts[1] <= MOST[who], counts
