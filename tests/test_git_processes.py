"""How many processes of git one iteration of the loop starts: a diagnosis, a fix and a test run."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

import leanloop
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


MOST = {"direct": 13, "an agent": 14, "an agent with files of its own": 15}


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


def test_a_snapshot_sees_every_change_and_starts_no_git_where_there_is_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bench.project
    for path in ("calc.py", "one/two/old.txt", "venv/pyvenv.cfg"):
        bench.write(path, "A" * 9)
    bench.commit()
    taken = leanloop.load_beside("_snapshots").open_snapshots(root, bench.home, 10**6, 10**6)
    for change in (
        lambda: bench.write("calc.py", "B" * 9),
        lambda: bench.write("venv/pyvenv.cfg", "is recorded, though its folder is a generated one"),
        lambda: bench.write("one/two/three.txt", "new"),
        (root / "one/two/old.txt").unlink,
        lambda: (root / "calc.py").chmod(0o755),
        lambda: (root / "one").rename(root / "other"),
        lambda: (root / "one").symlink_to("other"),
    ):
        time.sleep(0.03)  # a file that is younger may change once more with the same time
        before = taken.take(), taken.take()
        with monkeypatch.context() as patched:
            patched.setattr(taken, "record", None)
            assert (taken.take(), taken.take()) == before
        change()
        assert taken.take() != before[0]
    for letter in "CDEF":  # of one size, within a tick of the clock
        before = taken.last, taken.last
        bench.write("calc.py", letter * 9)
        assert taken.take() != before[0]
