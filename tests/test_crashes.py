"""SIGKILL at any instant: nothing of the user's is lost, the next run tidies up, and `--resume` ends green."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from conftest import LEANLOOP, Bench, Leaner
from test_earlier_runs import set_up
from test_repository import without_objects
from test_snapshots import facts, repository, without

TASKS = ("one", "two", "three")
INSTANTS = [pytest.param(seed, marks=[pytest.mark.slow] if seed > 2 else []) for seed in range(40)]

# Each call wrecks first and mends then; a task's first edit is wrong. A call that is only to answer wrecks too.
WRECKER = """
file="$LEAN_FILES"; first="$HOME/first-$file"
export GIT_AUTHOR_NAME=agent GIT_AUTHOR_EMAIL=agent@localhost
echo half > "$file"; echo junk > stray.txt; mkdir -p made/deep; echo junk > made/deep/x; rm -f old.txt; sleep 0.04
case "$file" in one.txt) git add -A; git commit -q -m agent;; two.txt) git stash -q -u;; *) rm -rf .git;; esac
sleep 0.04
echo '[broken' > leanfile.toml; echo junk > .env; sleep 0.04
[ "$LEAN_MODE" = ask ] && { echo why; exit; }
rm -rf stray.txt made; echo old > old.txt; echo PORT=1 > .env; sleep 0.04
if [ -e "$first" ]; then echo right > "$file"; else echo wrong > "$file"; touch "$first"; fi
echo done
"""


@contextlib.contextmanager
def killed_after(bench: Bench, seconds: float) -> Iterator[bool]:
    """Run the real command and kill it after some seconds; tells whether it was still running."""
    log = (bench.home / "log").open("ab")
    process = subprocess.Popen([*LEANLOOP], cwd=bench.project, env=bench.env, stdout=log, stderr=log)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    log.close()
    yield running


@pytest.mark.parametrize("seed", INSTANTS)
def test_a_kill_at_any_instant_loses_nothing_and_resume_ends_green(bench: Bench, leaner: Leaner, seed: int) -> None:
    set_up(
        bench,
        *TASKS,
        fixes=3,
        test="for f in one two three; do [ ! -e $f.txt ] || grep -q right $f.txt || exit 1; done",
        tables=f"[lean]\nsamples = {1 + seed % 3}\n",
    )
    bench.write(
        "leanfile.toml", bench.read("leanfile.toml").replace("summarize_errors = false", "summarize_errors = true")
    )
    bench.write(".gitignore", ".env\n")
    bench.write("readme.txt", "readme\n")
    bench.commit("all")
    bench.write("notes.txt", "notes\nstaged\n")
    bench.git("add", "notes.txt")
    bench.write("notes.txt", "notes\nstaged\nunstaged\n")
    bench.write("loose.txt", "loose\n")
    bench.write(".env", "PORT=1\n")
    before, tree = repository(bench), facts(bench.project)
    leaner(WRECKER)
    chance = random.Random(seed)
    with killed_after(bench, chance.uniform(0.1, 3.0)):
        time.sleep(1)
        bench.write("mine.txt", "mine\n")
        bench.write("readme.txt", "readme\nmine\n")
    ran = bench.lean_loop("--resume")
    assert ran.code == 0, ran.text
    assert without_objects(repository(bench)) == without_objects(before), ran.text
    assert "error" not in str(repository(bench)["fsck"])
    after, written = facts(bench.project), [f"{name}.txt" for name in TASKS]
    assert without(after, "mine.txt", "readme.txt", *written) == without(tree, "readme.txt"), ran.text
    assert (bench.read("mine.txt"), bench.read("readme.txt")) == ("mine\n", "readme\nmine\n")
    assert [bench.read(name) for name in written] == ["right\n"] * 3


def test_a_record_that_ends_after_any_kind_of_line_is_read_and_gone_on_with(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, *TASKS[:2], fixes=2, test="grep -q right one.txt && { [ ! -e two.txt ] || grep -q right two.txt; }")
    bench.commit("all")
    leaner(
        '[ -e "$HOME/first-$LEAN_FILES" ] && text=right || text=wrong; touch "$HOME/first-$LEAN_FILES"\n'
        'echo $text > "$LEAN_FILES"; echo done\n'
    )
    assert bench.lean_loop().code == 0
    (record,) = bench.home.rglob("events.jsonl")
    lines = record.read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["event"] for line in lines]
    assert len(set(kinds)) > 8
    for end in sorted(kinds.index(kind) + 1 for kind in {*kinds} - {"outcome"}):
        record.write_text("".join(lines[:end]))
        for verb in ("--report", "--runs", "--resume"):
            ran = bench.lean_loop(verb)
            assert "Traceback" not in ran.text, (lines[end - 1], ran.text)
        assert ran.code == 0, (lines[end - 1], ran.text)
        for later in record.parent.parent.iterdir():
            if later != record.parent:
                shutil.rmtree(later)
