"""Several answers to one prompt, written at the same time: each is tried as it comes, and the rest is hung up on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import LEANLOOP, PATIENCE, ROOT, Bench, is_alive
from slots import DROPPED, Said, Slots, never, wait_until
from test_showing import is_valid
from test_verdict import TASK, UNITTEST, events, prompts

Start = Callable[..., Slots]


def points(text: str, until: Callable[[], bool] | None = None) -> Said:
    return Said(f"score.py\n```python\nPOINTS = [{text}]\n```\n", until)


@pytest.fixture
def start(bench: Bench) -> Iterator[Start]:
    """Start a server with slots, and write a leanfile that lets a prompt have SAMPLES answers."""
    servers = list[Slots]()

    def begin(*said: Said, slots: int = 4, gather: int = 1, samples: int = 4, lean: str = "", more: str = "") -> Slots:
        servers.append(Slots(*said, slots=slots, gather=gather).__enter__())
        tables = f'[lean]\nbase_url = "{servers[-1].base_url}"\nsamples = {samples}\n{lean}\n{more}'
        rest = "[defaults]\nmax_iters_per_task = 0\n" + UNITTEST + TASK.replace("calc.py", "score.py")
        bench.write("leanfile.toml", tables + rest)
        return servers[-1]

    yield begin
    for server in servers:
        server.__exit__(None, None, None)


def attempts(bench: Bench) -> Callable[[int], bool]:
    """Tell later whether so many attempts were judged."""

    def reached(number: int) -> bool:
        begun = [run for run in bench.runs() if (run / "events.jsonl").exists()]
        return bool(begun) and len(events(bench, "attempt")) >= number

    return reached


def test_the_answers_to_a_prompt_are_written_at_once_and_the_first_green_one_ends_it(
    scored: Bench, start: Start
) -> None:
    server = start(gather=4)
    server.said = (points("1"), points("1,2,3,4", lambda: attempts(scored)(1)), *[points("7", never)] * 2)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert scored.read("score.py") == "POINTS = [1,2,3,4]\n"
    assert server.most == 4 and len(server.asked) == 4
    assert sorted(server.heats(), key=str) == [0.8, 0.8, 0.8, None]
    assert len({str(body["messages"]) for body in server.asked}) == 1
    assert wait_until(lambda: sorted(server.cut) == [3, 4])
    assert [event["green"] for event in events(scored, "attempt")] == [False, True]  # the second came after the first
    assert [event["round"] for event in events(scored, "attempt")] == [1, 1]
    dropped = events(scored, "dropped")
    assert [event["reason"] for event in dropped] == ["not needed any more"] * 2
    assert all(event["usage"]["estimated"] and event["usage"]["input_tokens"] > 50 for event in dropped)
    assert [event["usage"]["input_tokens"] for event in events(scored, "answered")] == [100, 100]
    assert [event for kind in ("drafting", "dropped") for event in events(scored, kind) if not is_valid(event)] == []
    assert list(scored.runs()[-1].glob("*drafts*")) == []
    assert "4 requests" in ran.out


def test_as_many_are_written_at_once_as_is_set_and_the_next_begins_where_one_ends(scored: Bench, start: Start) -> None:
    said = (points("1"), points("1,2"), points("1,2,3"), points("1,2,3,4"))
    server = start(*said, slots=0, gather=2, lean="parallel = 2")
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert server.most == 2 and len(server.asked) == 4


@pytest.mark.parametrize(("slots", "lean"), [(1, ""), (4, "parallel = 1"), (0, "")])
def test_one_slot_writes_one_answer_after_the_other(
    scored: Bench,
    start: Start,
    slots: int,
    lean: str,
) -> None:
    server = start(points("1"), points("1,2,3,4"), slots=slots, lean=lean)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert server.most == 1 and len(server.asked) == 2
    assert events(scored, "drafting") == []


def test_answers_of_no_use_are_attempts_and_the_record_has_what_the_model_said(scored: Bench, start: Start) -> None:
    server = start(Said("I would rather not."), Said(""), slots=2, gather=2, samples=2, lean="edit_retries = 0")
    ran = scored.lean_loop()
    assert ran.code == 1, ran.text
    reasons = " ".join(event["reason"] for event in events(scored, "answered"))
    assert "holds no edit: I would rather not" in reasons and "answer is empty" in reasons
    assert len(server.asked) == 2
    said = "".join(path.read_text() for path in scored.runs()[-1].glob("*answer.txt"))
    assert said.count("I would rather not.") == 2  # what the model said, and what the leaner says of it
    assert len(prompts(scored)) == 2


# ------------------------------------------------------------------------------------------------- what goes wrong


TROUBLES = {
    "a slot that vanished": Said("no slot is free", status=503),
    "a closed connection": Said(status=DROPPED),
    "a refused request": Said("bad luck", status=400),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_request_that_fails_is_no_attempt_and_its_answer_is_drawn_later(
    scored: Bench, start: Start, trouble: Said
) -> None:
    server = start(points("1"), trouble, points("1,2,3,4"), slots=2, gather=2, samples=2)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert len(server.asked) == 3
    assert [event["green"] for event in events(scored, "attempt")] == [False, True]
    assert len(events(scored, "trouble")) == 1
    assert [event["seconds"] for event in events(scored, "trouble") if not is_valid(event)] == []


def test_a_key_that_is_refused_ends_the_run_and_says_so(scored: Bench, start: Start) -> None:
    start(Said("wrong key", status=401), slots=2, samples=2)
    ran = scored.lean_loop()
    assert ran.code == 3, ran.text
    assert "refuses the key" in ran.err.splitlines()[-1]
    assert scored.read("score.py") == "POINTS = []\n"


def test_an_edit_without_a_place_is_asked_for_again_while_others_are_written(scored: Bench, start: Start) -> None:
    lost = Said("score.py\n<<<<<<< SEARCH\nNOTHING OF THE KIND\n=======\nPOINTS = [1]\n>>>>>>> REPLACE\n")
    server = start(lost, points("7", never), points("1,2,3,4"), slots=2, gather=2, samples=2)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert "Send only this again" in str(server.asked[2]["messages"])
    assert events(scored, "answered")[0]["usage"]["requests"] == 2
    assert wait_until(lambda: server.cut == [2])


def test_a_temperature_that_the_server_refuses_is_said_once(scored: Bench, start: Start) -> None:
    server = start(slots=3, samples=3, gather=3)
    green_last = points("1,2,3,4", lambda: attempts(scored)(2))  # one at least of the two before it was refused
    server.said, server.refused = (points("1"), points("1,2"), green_last), "temperature"
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert ran.err.count("does not take temperature: asked without it") == 1
    assert len(server.asked) == 5 and server.heats().count(0.8) == 2


def test_no_request_is_begun_beyond_a_limit_of_calls(scored: Bench, start: Start) -> None:
    server = start(points("1"), points("1,2"), more="[limits]\ncalls = 2\n")
    ran = scored.lean_loop()
    assert ran.code == 1, ran.text
    assert "the limit of 2 calls is reached" in ran.out
    assert len(server.asked) == 2
    assert scored.read("score.py") == "POINTS = [1,2]\n"  # the best one


@pytest.mark.parametrize("limit", ["tokens = 50", f"minutes = {0.05 * PATIENCE:g}"])
def test_a_limit_that_is_reached_in_the_middle_of_a_round_ends_what_runs(
    scored: Bench, start: Start, limit: str
) -> None:
    server = start(points("1"), points("1,2,3,4", never), slots=3, gather=3, samples=3, more=f"[limits]\n{limit}\n")
    ran = scored.lean_loop()
    assert ran.code == 1, ran.text
    assert f"the limit of {limit.partition(' = ')[2]} {limit.partition(' ')[0]} is reached" in ran.out
    assert len(server.asked) == 3
    assert wait_until(lambda: sorted(server.cut) == [2, 3])
    assert len(events(scored, "dropped")) == 2
    assert scored.read("score.py") == "POINTS = [1]\n"


def test_a_limit_of_minutes_ends_an_answer_that_is_drawn_alone(scored: Bench, start: Start) -> None:
    minutes = f"minutes = {0.05 * PATIENCE:g}"
    server = start(points("1,2,3,4", never), slots=1, samples=1, more=f"[limits]\n{minutes}\n")
    ran = scored.lean_loop()
    assert ran.code == 1, ran.text
    assert "it was ended after" in ran.err and "([limits] minutes)" in ran.err
    assert len(server.asked) == 1
    assert wait_until(lambda: server.cut == [1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_answers_are_written_leaves_no_process_and_a_judged_state(
    scored: Bench, start: Start, number: signal.Signals
) -> None:
    server = start(points("1"), points("1,2,3,4", never), slots=3, gather=3, samples=3)
    process = subprocess.Popen([*LEANLOOP, "--quiet"], cwd=scored.project, env=scored.env, start_new_session=True)
    assert wait_until(lambda: attempts(scored)(1))
    children = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if belongs(path, scored.home)]
    assert len(children) > 2
    process.send_signal(number)
    assert process.wait(20 * PATIENCE) == (130 if number == signal.SIGINT else -9)
    assert wait_until(lambda: sorted(server.cut) == [2, 3])
    assert wait_until(lambda: not any(map(is_alive, children)))
    assert scored.read("score.py") == "POINTS = [1]\n"
    server.said = (points("1,2,3,4"),)
    ran = scored.lean_loop()
    assert ran.code == 0, ran.text
    assert scored.read("score.py") == "POINTS = [1,2,3,4]\n"


def belongs(environ: Path, home: Path) -> bool:
    """Tell whether a process was started for a test with this HOME."""
    try:
        return os.fsencode(home) in environ.read_bytes()
    except OSError:
        return False


def test_a_draft_touches_no_file_and_is_made_into_edits_later(scored: Bench, start: Start) -> None:
    server = start(points("1"))
    draft = scored.home / "draft.json"
    env = scored.env | {"LEAN_BASE_URL": server.base_url, "LEAN_FILES": "score.py", "LEAN_DRAFT": str(draft)}

    def call(mode: str, **more: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(ROOT / "leaners/direct.py"), "-p", "mend"]
        told = {**env, "LEAN_MODE": mode, **more}
        return subprocess.run(argv, cwd=scored.project, env=told, capture_output=True, text=True, check=False)

    assert call("draft").returncode == 0
    assert scored.read("score.py") == "POINTS = []\n"
    assert json.loads(draft.read_text())["model"] == "scripted"
    ran = call("edit")
    assert (ran.returncode, ran.stdout) == (0, "wrote score.py (+1 -1)\n")
    assert len(server.asked) == 1
    draft.write_text("nonsense")
    for mode, more, words in (("edit", {}, "holds no draft"), ("draft", {"LEAN_DRAFT": ""}, "LEAN_DRAFT")):
        ran = call(mode, **more)
        assert ran.returncode == 2 and words in ran.stderr and "Traceback" not in ran.stderr
