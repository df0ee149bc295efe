"""Runs that nobody watches: after a red task those go on that do not depend on it, and tasks are chosen by number."""

from __future__ import annotations

import json

import pytest

from conftest import Bench, Leaner
from test_earlier_runs import events
from test_showing import is_valid

TASK = """
[[tasks]]
name = "{name}"
prompt = "mend"
files = {files}
{more}runner = {{ command = "grep -q right {name}.txt", shell = true }}
"""
DEFAULTS = """
[defaults]
on_red = "{on_red}"
max_iters_per_task = 0
no_tests_ok = true
[runner]
command = "{whole}"
shell = true
"""
FAILS = "for f in $LEAN_FILES; do case $f in b*) t=wrong;; *) t=right;; esac; echo $t > $f; done; echo done"


def set_tasks(bench: Bench, *tasks: tuple[str, str], on_red: str = "continue", whole: str = "true") -> None:
    """Write a leanfile: each of TASKS with a name, its file's too, and what else stands in its table."""
    text = DEFAULTS.format(on_red=on_red, whole=whole)
    for name, more in tasks:
        files = more if more.startswith("[") else f'["{name}.txt"]'
        text += TASK.format(name=name, files=files, more="" if files == more else f"{more}\n")
        bench.write(f"{name}.txt", "old\n")
    bench.write("leanfile.toml", text)
    bench.commit()


def read_all(bench: Bench, names: str) -> list[str]:
    return [bench.read(f"{name}.txt").strip() for name in names]


def test_after_a_red_task_those_go_on_that_do_not_depend_on_it(bench: Bench, leaner: Leaner) -> None:
    leaner(FAILS)
    set_tasks(
        bench,
        ("a", ""),
        ("b", ""),
        ("c", '["c.txt", "b.txt"]'),  # lists a file of b
        ("d", 'depends_on = ["c"]'),
        ("e", "depends_on = []"),
    )
    ran = bench.lean_loop()
    assert ran.code == 1, ran.text
    assert read_all(bench, "abcde") == ["right", "old", "old", "old", "right"]
    assert "not run: c: it depends on b, which is red" in ran.out
    assert "not run: d: it depends on c, which was not run" in ran.out
    assert "--restore last/2 brings its best state, which is left out" in ran.out
    assert ran.out.splitlines()[-1].startswith("2/5 green")
    assert [
        event for kind in ("omitted", "result", "outcome") for event in events(bench, kind) if not is_valid(event)
    ] == []
    assert bench.lean_loop("--restore", "last/2").code == 0
    assert read_all(bench, "abe") == ["right", "wrong", "old"]


def test_a_resumed_run_goes_on_with_the_red_task_and_those_that_waited(bench: Bench, leaner: Leaner) -> None:
    leaner(FAILS)
    set_tasks(bench, ("a", ""), ("b", ""), ("c", 'depends_on = ["b"]'), ("d", ""))
    assert bench.lean_loop().code == 1
    leaner("for f in $LEAN_FILES; do echo right > $f; done; echo done")
    ran = bench.lean_loop("--resume")
    assert ran.code == 0, ran.text
    assert [event["name"] for event in events(bench, "skipped")] == ["a", "d"]
    assert read_all(bench, "abcd") == ["right"] * 4


def test_the_first_red_task_ends_the_run_by_default(bench: Bench, leaner: Leaner) -> None:
    leaner(FAILS)
    set_tasks(bench, ("a", ""), ("b", ""), ("c", ""), on_red="stop")
    assert bench.lean_loop().code == 1
    assert read_all(bench, "abc") == ["right", "wrong", "old"]


def test_what_a_green_task_broke_is_told_though_another_is_red(bench: Bench, leaner: Leaner) -> None:
    leaner(FAILS)
    set_tasks(bench, ("a", ""), ("b", ""), whole="! grep -q right a.txt")
    ran = bench.lean_loop()
    assert ran.code == 1
    assert "red: the whole suite is worse than before the run" in ran.out


def test_a_limit_lets_no_further_task_begin(bench: Bench, leaner: Leaner) -> None:
    leaner(FAILS)
    set_tasks(bench, ("b", ""), ("c", ""))
    bench.write("leanfile.toml", f"[limits]\ncalls = 1\n{bench.read('leanfile.toml')}")
    ran = bench.lean_loop()
    assert ran.code == 1
    assert "not run: c: the limit of 1 calls is reached" in ran.out
    assert len(events(bench, "asking")) == 1


def test_a_run_that_is_killed_before_it_leaves_a_red_state_out_leaves_it_out_later(
    bench: Bench, leaner: Leaner
) -> None:
    leaner(FAILS)
    set_tasks(bench, ("a", ""), ("b", ""), ("c", ""))
    bench.write("own.txt", "own\n")
    assert bench.lean_loop().code == 1
    (record,) = bench.home.rglob("events.jsonl")
    lines = record.read_text().splitlines(keepends=True)
    (last,) = [at for at, line in enumerate(lines) if json.loads(line).get("left_out")]
    for name, text in (("b", "wrong"), ("c", "old"), ("own", "edited")):  # as it was at that instant
        bench.write(f"{name}.txt", f"{text}\n")
    record.write_text("".join(lines[: last + 1]))
    ran = bench.lean_loop("--task", "c")
    assert ran.code == 0, ran.text
    assert read_all(bench, "abc") == ["right", "old", "right"]
    assert bench.read("own.txt") == "edited\n"


def test_tasks_are_chosen_by_their_numbers(bench: Bench, leaner: Leaner) -> None:
    leaner("for f in $LEAN_FILES; do echo right > $f; done; echo done")
    set_tasks(bench, *((name, "") for name in "abcdefg"))
    ran = bench.lean_loop("--tasks", "2,4-5", "--tasks", "7-", "--task", "a")
    assert ran.code == 0, ran.text
    assert read_all(bench, "abcdefg") == ["right", "right", "old", "right", "right", "old", "right"]
    for numbers in ("0", "8", "5-3", "x", "2-9", ""):
        ran = bench.lean_loop("--tasks", numbers)
        assert ran.code == 2
        assert f"--tasks: '{numbers}' is no number of a task and no range of them. They go from 1 to 7" in ran.err


@pytest.mark.parametrize(
    ("needs", "why"), [("b", "does not stand before"), ("a", "does not stand"), ("z", "is no task")]
)
def test_a_task_depends_on_tasks_before_it_alone(bench: Bench, needs: str, why: str) -> None:
    set_tasks(bench, ("a", f'depends_on = ["{needs}"]'), ("b", 'depends_on = ["a"]'))
    ran = bench.lean_loop()
    assert ran.code == 2
    assert f"task 'a': depends_on: '{needs}' {why}" in ran.err
