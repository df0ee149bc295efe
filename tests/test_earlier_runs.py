"""Earlier runs: any state comes back, a killed run is tidied up and gone on with, and no edit of the user's is lost."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Bench, Leaner, is_alive
from forked import Fork
from test_processes import pids

TASK = '[[tasks]]\nname = "{name}"\nprompt = "write {name}"\nfiles = ["{name}.txt"]\n'


def set_up(bench: Bench, *names: str, test: str = "true", fixes: int = 0, tables: str = "") -> Bench:
    """A committed project with a task for each name, and TEST, a line for the shell, as test command."""
    runner = f"[runner]\ncommand = {json.dumps(test)}\nshell = true\n"
    defaults = f"[defaults]\nsummarize_errors = false\nmax_iters_per_task = {fixes}\nno_tests_ok = true\n"
    tasks = "".join(TASK.format(name=name) for name in names)
    bench.write("leanfile.toml", f"{defaults}{runner}{tables}\n{tasks}")
    bench.write("notes.txt", "notes\n")
    bench.write("old.txt", "old\n")
    bench.commit()
    return bench


def events(bench: Bench, kind: str, run: int = -1) -> list[dict[str, Any]]:
    lines = (bench.runs()[run] / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


# ---------------------------------------------------------------------------------------------------- restore, undo


def test_undo_brings_back_the_state_before_a_run_and_undo_takes_that_back(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", "two")
    leaner("echo new > one.txt; echo changed > notes.txt; rm -f old.txt; echo done")
    bench.lean_loop()
    ran = bench.lean_loop("--undo")
    assert ran.code == 0, ran.text
    assert "3 files put back" in ran.out and "lean-loop --undo" in ran.out
    assert (bench.read("notes.txt"), bench.read("old.txt")) == ("notes\n", "old\n")
    assert not (bench.project / "one.txt").exists()
    assert bench.lean_loop("--undo").code == 0
    assert (bench.read("notes.txt"), bench.read("one.txt")) == ("changed\n", "new\n")
    assert not (bench.project / "old.txt").exists()
    again = bench.lean_loop("--restore", "last")
    assert again.out.startswith("0 files put back to "), again.text


def test_undo_means_the_last_run_that_changed_something(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo new > one.txt; echo done")
    bench.lean_loop()
    assert bench.lean_loop("--restore", "last/0", "nowhere.txt").code == 2
    bench.write("leanfile.toml", bench.read("leanfile.toml").replace('command = "true"', 'command = "no-such-command"'))
    assert bench.lean_loop().code == 3
    assert bench.lean_loop("--undo").code == 0
    assert not (bench.project / "one.txt").exists()


def test_undo_leaves_what_the_user_edited_since_and_names_how_to_get_it_back(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo new > one.txt; echo changed > notes.txt; echo done")
    bench.lean_loop()
    bench.write("notes.txt", "mine\n")
    bench.write("other.txt", "mine too\n")
    ran = bench.lean_loop("--undo")
    assert "left alone: notes.txt" in ran.out
    assert (bench.read("notes.txt"), bench.read("other.txt")) == ("mine\n", "mine too\n")
    assert not (bench.project / "one.txt").exists()
    command = ran.out.partition("put that back too: lean-loop ")[2].partition(". To take")[0].split()
    assert bench.lean_loop(*command).code == 0
    assert bench.read("notes.txt") == "notes\n"
    assert bench.lean_loop("--undo").code == 0
    assert bench.read("notes.txt") == "mine\n"


def test_every_attempt_of_a_red_task_comes_back_by_the_name_that_is_told(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", test="false", fixes=2, tables='[guard]\non_fail = "restore"\n')
    leaner("echo line >> one.txt; echo done")
    ran = bench.lean_loop()
    assert ran.code == 1
    assert "lean-loop --undo" in ran.out and "--restore last/1.3" in ran.out
    assert not (bench.project / "one.txt").exists()
    name = bench.runs()[-1].name
    for number in (1, 2, 3):
        ran = bench.lean_loop("--restore", f"{name}/1.{number}")
        assert bench.read("one.txt") == "line\n" * number, ran.text
        assert bench.lean_loop("--undo").code == 0
    assert not (bench.project / "one.txt").exists()


def test_one_file_comes_back_from_any_folder(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    bench.write("inner/a b.txt", "inner\n")
    leaner("echo changed | tee 'inner/a b.txt' notes.txt; echo done")
    bench.lean_loop()
    inner = Bench(bench.home, bench.project / "inner", bench.env)
    ran = inner.lean_loop("-c", "../leanfile.toml", "--restore", "last/0", "a b.txt")
    assert ran.code == 0, ran.text
    assert (bench.read("inner/a b.txt"), bench.read("notes.txt")) == ("inner\n", "changed\n")


def test_a_folder_comes_back_with_all_that_lay_in_it(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    bench.write("inner/deep/a.txt", "a\n")
    bench.write("inner/b.txt", "b\n")
    leaner("rm -r inner; echo changed > notes.txt; echo done")
    bench.lean_loop()
    assert bench.lean_loop("--restore", "last/0", "inner").code == 0
    assert (bench.read("inner/deep/a.txt"), bench.read("inner/b.txt")) == ("a\n", "b\n")
    assert bench.read("notes.txt") == "changed\n"


def test_what_the_user_edited_during_a_run_is_not_undone(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", test="echo mine > notes.txt")
    leaner("echo new > one.txt; echo done")
    assert bench.lean_loop().code == 0
    assert bench.lean_loop("--undo").code == 0
    assert bench.read("notes.txt") == "mine\n"
    assert not (bench.project / "one.txt").exists()


def test_an_unknown_run_state_or_file_is_named_and_nothing_is_changed(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo new > one.txt; echo done")
    assert bench.lean_loop("--undo").code == 2
    bench.lean_loop()
    name = bench.runs()[-1].name
    for given, told in ((["20011231"], name), (["last/7.1"], "1.0"), (["last/0", "no/such"], "no/such")):
        ran = bench.lean_loop("--restore", *given)
        assert ran.code == 2 and told in ran.err, ran.text
    assert bench.read("one.txt") == "new\n"
    assert bench.lean_loop("--undo", name[:-1]).code == 0
    assert not (bench.project / "one.txt").exists()


def test_undo_works_where_the_leanfile_is_gone_or_broken(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner("echo new > one.txt; echo done")
    bench.lean_loop()
    bench.write("leanfile.toml", "[broken")
    assert bench.lean_loop("--undo").code == 0
    assert not (bench.project / "one.txt").exists()
    assert bench.read("leanfile.toml") == "[broken"


def test_the_trees_of_kept_runs_stay_and_those_of_older_ones_go(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", tables="[guard]\nkeep_runs = 2\n")
    leaner("date +%N > one.txt; echo done")
    for _ in range(3):
        assert bench.lean_loop().code == 0
        with (bench.runs()[-1] / "events.jsonl").open("a") as record:  # of a long run
            record.write(json.dumps({"event": "note", "time": 0, "text": "x" * 2_000_000}) + "\n")
    assert len(bench.runs()) == 2
    store = f"--git-dir={bench.runs()[0].parent.parent / 'snapshots.git'}"
    trees = [event["tree"] for run in (-2, -1) for kind in ("run", "result") for event in events(bench, kind, run)]
    assert [bench.git(store, "cat-file", "-t", tree) for tree in trees] == ["tree\n"] * 4
    bench.git(store, "fsck", "--no-dangling")
    first = bench.read("one.txt")
    assert bench.lean_loop("--undo").code == 0
    assert bench.read("one.txt") != first


def test_a_state_comes_back_though_git_has_cleared_away_what_it_was_made_of(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    bench.write("notes.txt", "first\n")
    bench.commit("first")
    bench.git("gc", "-q")
    leaner("echo x > one.txt; echo x > notes.txt; echo done")
    assert bench.lean_loop().code == 0
    bench.git("reset", "-q", "--hard", "HEAD~1")
    bench.git("reflog", "expire", "--expire=now", "--all")
    bench.git("gc", "-q", "--prune=now")
    for _ in range(2):
        assert bench.lean_loop().code == 0
        bench.commit("more")
        bench.git("gc", "-q")
    ran = bench.lean_loop("--restore", f"{bench.runs()[0].name}/0")
    assert ran.code == 0, ran.text
    assert bench.read("notes.txt") == "first\n"
    assert len(list(bench.home.glob("state/lean-loop/*/snapshots.git/objects/pack/*.pack"))) == 1


# ----------------------------------------------------------------------------------------------------- killed runs


@contextlib.contextmanager
def started(bench: Bench, *args: str) -> Iterator[Fork | subprocess.Popen[bytes]]:
    """Start the real command, and go on when a script has made the file `ready` in the home folder."""
    ready, log = bench.home / "ready", (bench.home / "log").open("ab")
    ready.unlink(missing_ok=True)
    process = bench.start(*args, log=log)
    try:
        deadline = time.monotonic() + 20
        while not ready.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def kill_during(bench: Bench, *args: str) -> None:
    """Start a run, and kill it when its script says that it is ready."""
    with started(bench, *args) as process:
        process.send_signal(signal.SIGKILL)


# It is ready once the loop has given a sign of life after what was done before: by that it is told whose a file is.
RECORDS = '"$XDG_STATE_HOME"/lean-loop/*/runs/*/events.jsonl'
BEATEN = f'touch "$HOME/mark"; until find {RECORDS} -newer "$HOME/mark" | grep -q .; do sleep 0.05; done'
HANG = f'echo $$ >> "$HOME/pids"; {BEATEN}; touch "$HOME/ready"; sleep 1000'


def test_after_a_kill_during_a_call_the_next_run_puts_back_and_keeps_what_is_younger(
    bench: Bench, leaner: Leaner
) -> None:
    set_up(bench, "one")
    leaner(f"[ -e $HOME/ready ] || {{ echo half > one.txt; echo half > notes.txt; rm old.txt; {HANG}; }}; echo ok")
    kill_during(bench)
    time.sleep(1)
    bench.write("mine.txt", "mine\n")
    bench.write("notes.txt", "mine too\n")
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert "was killed" in ran.err and "left running" not in ran.err
    assert bench.read("mine.txt") == "mine\n" and bench.read("notes.txt") == "mine too\n"
    assert bench.read("old.txt") == "old\n"
    assert not (bench.project / "one.txt").exists()
    assert "notes.txt" in next(line for line in ran.err.splitlines() if "put back" in line)


def test_a_leaner_does_not_outlive_a_killed_loop(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner(HANG)
    kill_during(bench)
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids(bench)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids(bench) if is_alive(pid)] == []


EDIT = "echo x > one.txt; echo done"
AWAY = {  # the leaner's script, the test command and the after-command; one of them starts what goes AWAY
    "a leaner": ("AWAY", "true", "true"),
    "a leaner, without variables": ("env -i AWAY", "true", "true"),
    "tests": (EDIT, "[ ! -e one.txt ] || { env -i AWAY; }", "true"),
    "an after-command": (EDIT, "true", "env -i AWAY"),
}


@pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="variables of processes are read from /proc")
@pytest.mark.parametrize("who", AWAY)
def test_the_next_run_ends_what_left_the_group(bench: Bench, leaner: Leaner, who: str) -> None:
    known = f"grep -qs pid...$$, {bench.home}/state/lean-loop/*/runs/*/events.jsonl"  # it is on record
    waits = f"until {known}; do sleep 0.05; done; touch {bench.home}/ready; exec sleep 1000"
    away = f"setsid sh -c 'echo $$ >> {bench.home}/pids; {waits}' &"
    script, test, after = (word.replace("AWAY", f"{away} sleep 1000") for word in AWAY[who])
    set_up(bench, "one", test=test)
    bench.write("leanfile.toml", f"{bench.read('leanfile.toml')}after = [{json.dumps(after)}]\n")
    leaner(f"[ -e $HOME/ready ] && exit; {script}")
    kill_during(bench)
    (pid,) = pids(bench)
    assert is_alive(pid)
    ran = bench.lean_loop("--undo")
    assert ran.code == 0 and "left running was ended" in ran.err, ran.text
    assert not is_alive(pid)


def test_an_edit_that_was_not_judged_is_put_back(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", test=f"[ -e one.txt ] && [ ! -e $HOME/ready ] && {{ {HANG}; }}; true")
    leaner("echo x > one.txt; echo '[broken' > leanfile.toml; echo done")
    kill_during(bench)
    assert bench.lean_loop("--undo").code == 0
    assert not (bench.project / "one.txt").exists()
    assert "[runner]" in bench.read("leanfile.toml")


# ---------------------------------------------------------------------------------------------------------- resume

COUNTING = 'name=$(basename "$LEAN_FILES"); echo $name >> "$HOME/calls"; echo x > "$name"; echo done'
STOP_AT_TWO = f'[ "$(basename "$LEAN_FILES")" = two.txt ] && [ ! -e "$HOME/ready" ] && {{ {HANG}; }}\n{COUNTING}'


def called(bench: Bench) -> list[str]:
    return (bench.home / "calls").read_text().split()


def test_resume_goes_on_after_the_green_tasks(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", "two", "three")
    leaner(STOP_AT_TWO)
    kill_during(bench)
    ran = bench.lean_loop("--resume")
    assert ran.code == 0, ran.text
    assert called(bench) == ["one.txt", "two.txt", "three.txt"]
    assert bench.lean_loop("--resume").code == 0
    assert len(called(bench)) == 3


def test_resume_does_again_what_was_undone(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", test="test -e one.txt")
    leaner('echo done > one.txt; echo one.txt >> "$HOME/calls"; echo done')
    assert bench.lean_loop().code == 0
    assert bench.lean_loop("--undo").code == 0
    ran = bench.lean_loop("--resume")
    assert ran.code == 0, ran.text
    assert bench.read("one.txt") == "done\n"
    assert called(bench) == ["one.txt", "one.txt"]


def test_a_task_that_was_changed_runs_again(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", "two")
    leaner(COUNTING)
    bench.lean_loop()
    bench.write("leanfile.toml", bench.read("leanfile.toml").replace("write one", "write one anew"))
    assert bench.lean_loop("--resume").code == 0
    assert called(bench) == ["one.txt", "two.txt", "one.txt"]


def test_a_green_task_that_may_only_try_longer_is_not_run_again(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner(COUNTING)
    bench.lean_loop()
    longer = bench.read("leanfile.toml").replace("max_iters_per_task = 0", "max_iters_per_task = 3")
    bench.write("leanfile.toml", longer.replace("[runner]", "[runner]\ntimeout = 900"))
    assert bench.lean_loop("--resume").code == 0
    assert called(bench) == ["one.txt"]


def test_a_run_of_another_leanfile_is_not_resumed(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    bench.write("other.toml", bench.read("leanfile.toml"))
    leaner(COUNTING)
    bench.lean_loop()
    assert bench.lean_loop("--resume", "-c", "other.toml").code == 0
    assert len(called(bench)) == 2


def test_calls_of_the_run_that_is_resumed_count_for_the_limits(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one", "two", "three", tables="[limits]\ncalls = 2\n")
    leaner(STOP_AT_TWO)
    kill_during(bench)
    ran = bench.lean_loop("--resume")
    assert ran.code == 1 and "the limit of 2 calls is reached" in ran.out
    assert called(bench) == ["one.txt", "two.txt"]
    assert bench.lean_loop("--resume").code == 1
    assert len(called(bench)) == 2


def test_attempts_of_a_task_that_was_cut_count_when_it_is_resumed(bench: Bench, leaner: Leaner) -> None:
    test = f'[ "$(wc -l < "$HOME/calls")" = 3 ] && [ ! -e "$HOME/ready" ] && {{ {HANG}; }}; false'
    set_up(bench, "one", test=f"touch $HOME/calls; {test}", fixes=4, tables='[guard]\non_fail = "keep"\n')
    leaner('echo x >> "$HOME/calls"; wc -l < "$HOME/calls" > one.txt; echo done')
    kill_during(bench)
    assert len(called(bench)) == 3
    assert bench.lean_loop("--resume").code == 1
    assert len(called(bench)) == 6


def test_attempts_of_a_task_that_was_cut_twice_count_too(bench: Bench, leaner: Leaner) -> None:
    once = f'n=$(wc -l < "$HOME/calls"); case $n in 2|4) mkdir "$HOME/hung-$n" 2> /dev/null && {{ {HANG}; }};; esac'
    set_up(bench, "one", test=f"touch $HOME/calls; {once}; false", fixes=4, tables='[guard]\non_fail = "keep"\n')
    leaner('echo x >> "$HOME/calls"; wc -l < "$HOME/calls" > one.txt; echo done')
    kill_during(bench)
    kill_during(bench, "--resume")
    assert len(called(bench)) == 4
    assert bench.lean_loop("--resume").code == 1
    assert len(called(bench)) == 7


def test_what_changes_while_something_is_left_running_is_put_back_and_kept(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    away = f"cd {bench.project}; echo $$ >> {bench.home}/pids; while :; do echo cheat > notes.txt; sleep 0.1; done"
    leaner(f"[ -e $HOME/ready ] && exit; env -i setsid bash -c '{away}' & sleep 0.5; {HANG}")
    kill_during(bench)
    notes = bench.git("show", "HEAD:notes.txt")
    time.sleep(1)
    ran = bench.lean_loop("--undo")
    assert ran.code == 0 and "put back: notes.txt" in ran.err, ran.text
    assert bench.read("notes.txt") == notes
    (tidied,) = [run.name for run in bench.runs() if '"protected"' in (run / "events.jsonl").read_text()]
    assert bench.lean_loop("--restore", f"{tidied}/found-1", "notes.txt").code == 0
    assert bench.read("notes.txt") == "cheat\n"


# ------------------------------------------------------------------------------------------------------------ lock


def test_a_second_run_says_who_holds_the_project(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner(HANG)
    with started(bench) as process:
        ran = bench.lean_loop()
        assert ran.code == 3
        assert f"process {process.pid}" in ran.err and "leanfile.toml" in ran.err
        assert bench.lean_loop("--undo").code == 3


@pytest.mark.parametrize("verb", [(), ("--check",)], ids=["a run", "a check"])
def test_a_run_that_is_stopped_is_told_from_one_that_is_at_work(
    bench: Bench, leaner: Leaner, verb: tuple[str, ...]
) -> None:
    set_up(bench, "one")
    leaner('kill -STOP $PPID; touch "$HOME/ready"; sleep 1000')
    with started(bench) as process:
        ran = bench.lean_loop(*verb)
        process.send_signal(signal.SIGCONT)
    assert ran.code == 3
    assert f"the run {bench.runs()[0].name} of process {process.pid} is stopped" in ran.text


def test_the_lock_of_a_dead_run_is_taken_over(bench: Bench, leaner: Leaner) -> None:
    set_up(bench, "one")
    leaner(f"[ -e $HOME/ready ] || {{ {HANG}; }}; echo x > one.txt; echo done")
    kill_during(bench)
    ran = bench.lean_loop()
    assert ran.code == 0, ran.text
    assert bench.read("one.txt") == "x\n"
