"""SIGKILL at any instant: nothing of the user's is lost, the next run tidies up, and `--resume` ends green."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from conftest import ROOT, Bench, Leaner
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
    process = bench.start(log=log)
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


# What the loop is about to do when it is killed: a method, and which of its calls.
KILLED = """
import os, signal, sys

sys.path[0] = {root!r}
import leanloop

for name in ("_workspace", "_snapshots"):
    leanloop.load_beside(name)


def kill_before(where, name, test):
    act = getattr(where, name)

    def wrapped(*args, **options):
        if test(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*args, **options)

    setattr(where, name, wrapped)


Workspace, Snapshots = sys.modules["_workspace"].Workspace, sys.modules["_snapshots"].Snapshots
{moment}
sys.exit(leanloop.main())
"""
MOMENTS = {
    "the call has ended": "kill_before(Workspace, 'settle', lambda *args: True)",
    "half is put back": "kill_before(Snapshots, 'restore_path', lambda self, path, *args: path == 'test_calc.py')",
    "it is put back": "kill_before(leanloop.Reporter, 'emit', lambda self, kind: kind == 'settled')",
    "it is settled": "kill_before(leanloop.Reporter, 'emit', lambda self, kind: kind == 'answered')",
    "it is answered": "kill_before(leanloop.Verifier, 'test', lambda self, *args: not self.pristine)",
}
WEAKEN = "sed -i 's/, 5)/, -1)/' test_calc.py; echo junk > junk.txt; echo '# more' >> calc.py; rm notes.txt\n"


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_run_had_not_settled_is_settled_by_the_next_before_it_tests(
    calc: Bench, leaner: Leaner, moment: str
) -> None:
    calc.write("notes.txt", "mine\n")
    before = facts(calc.project)
    leaner(f'[ -e "$HOME/once" ] || {{ touch "$HOME/once"; {WEAKEN} }}\necho done\n', "source")
    script = KILLED.format(root=str(ROOT), moment=MOMENTS[moment])
    argv = [sys.executable, "-c", script]
    killed = subprocess.run(argv, cwd=calc.project, env=calc.env, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    ran = calc.lean_loop()
    assert (ran.code, "was killed" in ran.err) == (1, True), ran.text
    assert facts(calc.project) == before, ran.text


LEAVES = """
git stash -q -u; rm -rf ../tree ../beside; chmod 666 deploy.key; mkfifo calc/.gitattributes; mkdir -p void/deep
rmdir empty; rm notes.txt; mkfifo notes.txt; kill -KILL $PPID; sleep 9
"""


def test_what_a_killed_call_left_beside_the_project_and_of_rights_and_fifos_is_undone(
    calc: Bench, leaner: Leaner
) -> None:
    inner = calc.project / "app"
    inner.mkdir()
    for path in calc.project.iterdir():
        if path not in (inner, calc.project / ".git"):
            path.rename(inner / path.name)
    calc.commit()
    calc.git("worktree", "add", "-q", str(calc.project / "tree"))
    for name, mode in (
        ("app/deploy.key", 0o600),
        ("app/notes.txt", None),
        ("tree/new.txt", None),
        ("beside/new.txt", None),
    ):
        calc.write(name, "mine\n", mode)
    calc.write("app/calc/x.txt", "x\n")
    (inner / "empty").mkdir(0o700)
    before = without(facts(calc.project), "app/calc.py")
    leaner(f'[ -e "$HOME/once" ] && {{ sed -i "s/left - right/left + right/" calc.py; echo done; exit; }}\n'
           f'touch "$HOME/once"; {LEAVES}', "source")  # fmt: skip
    assert calc.lean_loop(below="app").code == -signal.SIGKILL
    ran = calc.lean_loop(below="app")
    assert (ran.code, "../beside/new.txt" in ran.err) == (0, True), ran.text
    assert without(facts(calc.project), "app/calc.py") == before, ran.text


def test_another_leanfile_of_the_project_settles_too(calc: Bench, leaner: Leaner) -> None:
    calc.write("other.toml", calc.read("leanfile.toml"))
    before = facts(calc.project)
    leaner(f'[ -e "$HOME/once" ] || {{ touch "$HOME/once"; {WEAKEN}kill -KILL $PPID; }}\necho done\n', "source")
    assert calc.lean_loop().code == -signal.SIGKILL
    ran = calc.lean_loop("-c", "other.toml")
    assert (ran.code, "was killed" in ran.err) == (1, True), ran.text
    assert facts(calc.project) == before, ran.text


def test_a_run_goes_on_where_the_states_of_a_killed_one_are_gone(calc: Bench, leaner: Leaner) -> None:
    calc.write("notes.txt", "mine\n")
    leaner('[ -e "$HOME/once" ] || { touch "$HOME/once"; rm -rf "$XDG_STATE_HOME"/lean-loop/*/snapshots.git;'
           ' rm -f notes.txt; kill -KILL $PPID; }\necho done\n', "source")  # fmt: skip
    assert calc.lean_loop().code == -signal.SIGKILL
    ran = calc.lean_loop()
    assert (ran.code, "stays as it is, for its state is not there" in ran.err) == (1, True), ran.text


FAILS = """
def fail_once(act=Workspace.undo_forbidden):
    def wrapped(*args):
        Workspace.undo_forbidden = act
        raise OSError(28, "No space left on device", "somewhere")

    Workspace.undo_forbidden = wrapped


fail_once()
"""


def test_a_call_that_cannot_be_put_in_order_is_undone_and_the_error_is_told(calc: Bench, leaner: Leaner) -> None:
    calc.write("notes.txt", "mine\n")
    before = facts(calc.project)
    leaner(f"{WEAKEN}echo done\n", "source")
    argv = [sys.executable, "-c", KILLED.format(root=str(ROOT), moment=FAILS)]
    ran = subprocess.run(argv, cwd=calc.project, env=calc.env, capture_output=True, text=True)
    assert (ran.returncode, "No space left" in ran.stderr) == (3, True), ran.stdout + ran.stderr
    assert facts(calc.project) == before, ran.stderr
    assert [json.loads(line)["event"] for line in (calc.runs()[0] / "events.jsonl").open()].count("settled") == 1


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
