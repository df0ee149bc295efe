"""Several answers to one prompt: each starts from the same state, the tests choose, the best one is gone on from."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence

import pytest

from conftest import LEANLOOP, PATIENCE, Bench, Leaner
from test_verdict import COUNT, TASK, UNITTEST, events, prompts

PLACE = "[lean]\nsamples = {samples}\n[defaults]\nmax_iters_per_task = {fixes}\n"


def set_samples(bench: Bench, samples: int, fixes: int = 0, more: str = "") -> None:
    """Let each prompt be asked SAMPLES times, and FIXES prompts follow the first."""
    tables = PLACE.format(samples=samples, fixes=fixes)
    bench.write("leanfile.toml", tables + more + UNITTEST + TASK.replace("calc.py", "score.py"))


def let_answer(leaner: Leaner, points: Sequence[str]) -> None:
    """Let a leaner write POINTS, one call after the other, and note what it found and at what temperature."""
    cases = "".join(f"{number}) p='{text}';;" for number, text in enumerate(points, 1))
    noted = 'echo "$(cat score.py) ${LEAN_TEMPERATURE:-own}" >> "$HOME/found"; '
    leaner(f'{COUNT}{noted}case $n in {cases} esac; echo "POINTS = [$p]" > score.py; echo done')


def found(bench: Bench) -> list[str]:
    """List what each call found in the file, and its temperature."""
    return (bench.home / "found").read_text().replace("POINTS = ", "").splitlines()


def test_each_sample_starts_from_the_same_state_and_the_first_green_one_ends_it(scored: Bench, leaner: Leaner) -> None:
    let_answer(leaner, ("7", "1", "1,2,3,4", "9"))
    set_samples(scored, 4)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert found(scored) == ["[] own", "[] 0.8", "[] 0.8"]
    assert len({*prompts(scored)}) == 1
    assert [(event["round"], event["how"]) for event in events(scored, "attempt")] == [
        (1, "first attempt"),
        (1, "another answer"),
        (1, "another answer"),
    ]


def test_the_best_sample_is_the_base_of_the_next_prompt_which_tells_of_all(scored: Bench, leaner: Leaner) -> None:
    let_answer(leaner, ("7", "1,2", "1", "1,2,3", "5", "1,2,3,4"))
    set_samples(scored, 3, fixes=1, more="summarize_errors = false\n")
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert [line.split()[0] for line in found(scored)] == ["[]"] * 3 + ["[1,2]"] * 3
    fix = prompts(scored)[-1]
    assert fix.count(" -> changed score.py; then: ") == 2  # the third is the one that it goes on from
    assert "another answer -> changed score.py" in fix


def test_a_tree_that_was_judged_is_not_judged_again_and_drawing_ends_where_nothing_is_new(
    scored: Bench, leaner: Leaner
) -> None:
    let_answer(leaner, ("7",) * 8)
    set_samples(scored, 8)
    assert scored.lean_loop().code == 1
    assert len(found(scored)) == 3
    assert len(events(scored, "testing")) == 2  # before the task, and the one tree


def test_a_prompt_whose_answers_are_no_use_is_handed_to_the_next_leaner(scored: Bench, leaner: Leaner) -> None:
    let_answer(leaner, ("7", "8", "9"))
    strong = scored.home / "strong.sh"
    strong.write_text("echo 'POINTS = [1, 2, 3, 4]' > score.py; echo done")
    set_samples(scored, 2, fixes=3)
    more = f'[[escalate]]\nafter = 3\nbinary = "{strong}"\nsamples = 1\n'
    scored.write("leanfile.toml", scored.read("leanfile.toml") + more)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert [event["leaner"] for event in events(scored, "attempt")] == ["leaner", "leaner", "strong"]


def test_no_call_is_begun_beyond_a_limit_in_the_middle_of_a_prompts_samples(scored: Bench, leaner: Leaner) -> None:
    let_answer(leaner, ("1", "1,2", "1,2,3,4"))
    set_samples(scored, 3, more="[limits]\ncalls = 2\n")
    ran = scored.lean_loop()
    assert ran.code == 1, ran.text
    assert "the limit of 2 calls is reached" in ran.out
    assert len(found(scored)) == 2
    assert scored.read("score.py") == "POINTS = [1,2]\n"  # the best one


def test_none_is_no_number_of_samples(scored: Bench) -> None:
    set_samples(scored, 0)
    ran = scored.lean_loop()
    assert ran.code == 2
    assert "[lean]: samples is a whole number from 1" in ran.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_between_two_samples_leaves_a_state_that_was_judged(
    scored: Bench, leaner: Leaner, number: signal.Signals
) -> None:
    reached = scored.home / "reached"
    leaner(
        f'{COUNT}echo "$(cat score.py)" >> "$HOME/found"; '
        f'[ $n = 2 ] && {{ echo half > score.py; touch "{reached}"; sleep 60; }}\n'
        'echo "POINTS = [1]" > score.py; [ $n -gt 2 ] && echo "POINTS = [1, 2, 3, 4]" > score.py; echo done'
    )
    set_samples(scored, 3)
    process = subprocess.Popen([*LEANLOOP, "--quiet"], cwd=scored.project, env=scored.env, start_new_session=True)
    end = time.monotonic() + 20 * PATIENCE
    while not reached.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(20 * PATIENCE)
    if number == signal.SIGINT:
        assert scored.read("score.py") == "POINTS = []\n"
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert found(scored) == ["[]"] * 3
    assert scored.read("score.py") == "POINTS = [1, 2, 3, 4]\n"


def test_another_leaner_diagnoses_once_all_samples_are_red(scored: Bench, leaner: Leaner) -> None:
    let_answer(leaner, ("7", "1", "1,2,3,4"))
    wise = scored.home / "wise.sh"
    wise.write_text(
        'echo "$LEAN_MODE $LEAN_MODEL" >> "$HOME/asked"; echo ruined > score.py; echo "Points are missing."\n'
    )
    set_samples(scored, 2, fixes=1)
    scored.write("leanfile.toml", f'[diagnose]\nbinary = "{wise}"\nmodel = "large"\n{scored.read("leanfile.toml")}')
    scored.write(
        "leanfile.toml", scored.read("leanfile.toml").replace("[defaults]", "[defaults]\nsummarize_errors = false")
    )
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert (scored.home / "asked").read_text() == "ask large\n"
    assert [line.split()[0] for line in found(scored)] == ["[]", "[]", "[1]"]
    assert prompts(scored)[-1].rstrip().endswith("Points are missing.")
    assert events(scored, "attempt")[-1]["diagnosis"] == "Points are missing."
    wise.unlink()
    assert scored.lean_loop().code == 3
