"""What lean-loop keeps and nobody needs: --runs --prune removes it, says so, and leaves the rest usable."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

from conftest import Bench, Leaner
from test_earlier_runs import HANG, set_up, started


def states(bench: Bench) -> list[str]:
    """Name the projects of which something is kept."""
    return sorted(path.name.rpartition("-")[0] for path in bench.home.glob("state/lean-loop/*"))


def test_prune_removes_what_nobody_needs_and_says_how_much(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner('echo x >> one.txt; head -c 100000 /dev/urandom > "big-$(date +%N).bin"; echo done')
    for _ in range(3):
        bench.lean_loop()
    gone = bench.home / "gone"
    shutil.copytree(bench.project, gone)
    bench.lean_loop("-c", str(gone / "leanfile.toml"))
    shutil.rmtree(gone)
    bench.lean_loop("--demo", TMPDIR=bench.env["TMPDIR"])
    assert states(bench) == ["demo", "gone", "project"]
    settings = bench.read("leanfile.toml")
    bench.write("leanfile.toml", f"[guard]\nkeep_runs = 1\n{settings}")
    ran = bench.lean_loop("--runs", "--prune")
    assert ran.code == 0, ran.text
    assert states(bench) == ["project"] and list(Path(bench.env["TMPDIR"]).iterdir()) == []
    assert all(words in ran.out for words in ("2 runs", "the folder is gone", "a copy of a demo")), ran.out
    freed = re.search(r"([\d,]+) bytes freed in ", ran.out)
    assert freed and int(freed[1].replace(",", "")) > 200_000, ran.out
    before = bench.read("one.txt")
    assert bench.lean_loop("--undo").code == 0
    assert bench.read("one.txt") != before
    assert bench.lean_loop("--runs", "--prune").out.count("\n") <= 2


def test_what_is_in_use_is_left_alone(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner(HANG)
    with started(bench) as process:
        ran = bench.lean_loop("--runs", "--prune")
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert ran.code == 0 and "in use" in ran.out
    assert len(bench.runs()) == 1


def test_prune_alone_starts_no_run(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo x > one.txt")
    broken = bench.home / "state/lean-loop/broken-0123456789ab/runs/1"
    broken.mkdir(parents=True)
    (broken / "events.jsonl").write_text('{"event": "warning"}\n{')
    os.mkfifo(broken.parents[1] / "lock")
    assert bench.lean_loop("--runs", "--prune").code == 0 and broken.exists()
    (broken.parents[1] / "lock").unlink()
    assert bench.lean_loop("--runs", "--prune").code == 0 and not broken.exists()
    ran = bench.lean_loop("--prune")
    assert (ran.code, bench.runs()) == (2, []), ran.text
    assert "lean-loop --runs --prune" in ran.err


def test_nothing_is_pruned_that_lean_loop_did_not_make_or_that_may_come_back(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo x > one.txt; echo done")
    own = Path(bench.env["TMPDIR"], "lean-loop-mine/project")  # called like a copy of --demo
    shutil.copytree(bench.project, own)
    assert bench.lean_loop("-c", str(own / "leanfile.toml")).code == 0
    drive = bench.home / "drive/project"
    shutil.copytree(bench.project, drive)
    assert bench.lean_loop("-c", str(drive / "leanfile.toml")).code == 0
    drive.parent.rename(bench.home / "unplugged")
    state, other = bench.home / "state/lean-loop", bench.home / "other"
    for folder in (state / "mine", other / "runs"):
        folder.mkdir(parents=True)
    (state / "link-0123456789ab").symlink_to(other)
    ran = bench.lean_loop("--runs", "--prune")
    assert ran.code == 0 and (own / "one.txt").exists(), ran.text
    assert "left alone" in ran.out and states(bench).count("project") == 2, ran.out
    assert (state / "mine").is_dir() and sorted(path.name for path in other.iterdir()) == ["runs"]


def test_runs_are_listed_whatever_a_record_holds(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo x > one.txt; echo done")
    for _ in range(2):
        assert bench.lean_loop().code == 0
    events = bench.runs()[0] / "events.jsonl"
    for text in (
        '{"event": "run", "time": 3, "root": 5, "id": {}}\n',
        '{"event": "run"}\n',
        "[]",
        events.read_text()[:90],
    ):
        events.write_text(text)
        for verb in ("--runs", "--stats", "--report"):
            ran = bench.lean_loop(verb)
            assert ran.code == 0 and bench.runs()[1].name in bench.lean_loop("--runs").out, ran.text
