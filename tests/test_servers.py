"""Several servers: a task stays with one, samples are spread over all, and one that fails is left out of the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from conftest import RIGHT, WRONG, Bench, Leaner
from slots import DROPPED, Said, Slots, never
from test_health import free_port
from test_verdict import FIX, TASK, UNITTEST, events

DEAD = "http://127.0.0.1:{}/v1"
Start = Callable[..., list[Slots]]


@pytest.fixture
def start(calc: Bench) -> Iterator[Start]:
    """Start servers that give answers; the leanfile lists them, and each of DOWN among them at its place."""
    begun = list[Slots]()

    def begin(*answers: list[Said], down: tuple[int, ...] = (), samples: int = 1, more: str = "") -> list[Slots]:
        begun.extend(Slots(*said).__enter__() for said in answers)
        urls = [server.base_url for server in begun]
        for place in down:
            urls.insert(place, DEAD.format(free_port()))
        tables = f"[lean]\nbase_url = {urls}\nsamples = {samples}\n{more}"
        calc.write("leanfile.toml", f"{tables}[defaults]\nmax_iters_per_task = 2\n{UNITTEST}{TASK}")
        return begun

    yield begin
    for server in begun:
        server.__exit__(None, None, None)


def asked(servers: list[Slots]) -> list[int]:
    return [len(server.asked) for server in servers]


def left_out(bench: Bench) -> list[str]:
    """Tell of the servers that were left out."""
    return [event["text"] for event in events(bench, "warning") if "is left out of this run" in event["text"]]


def test_a_task_stays_with_the_first_server(calc: Bench, start: Start) -> None:
    servers = start([Said(WRONG), Said(WRONG), Said(RIGHT)], [Said(RIGHT)])
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert asked(servers) == [3, 0]


def test_a_server_that_is_down_from_the_start_is_left_out_and_named(calc: Bench, start: Start) -> None:
    servers = start([Said(WRONG), Said(RIGHT)], [Said(RIGHT)], down=(0,))
    begun = time.monotonic()
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert time.monotonic() - begun < 30  # it is not waited for
    assert asked(servers) == [2, 0]
    (told,) = left_out(calc)
    assert "refused" in told and told.startswith("the server http://127.0.0.1:")
    assert "is left out of this run" in ran.out


def test_a_server_that_dies_in_the_middle_of_an_answer_is_left_out(calc: Bench, start: Start) -> None:
    servers = start([Said("calc.py\n```", status=DROPPED)], [Said(WRONG), Said(RIGHT)])
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert asked(servers) == [1, 2]
    assert len(left_out(calc)) == 1
    assert len(events(calc, "attempt")) == 2


def test_the_samples_of_a_prompt_are_spread_over_the_servers(calc: Bench, start: Start) -> None:
    servers = start([], [], [], samples=3)
    for server, answer in zip(servers, (WRONG, WRONG, RIGHT), strict=True):
        server.said = (Said(answer, lambda: min(asked(servers)) == 1),)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert asked(servers) == [1, 1, 1]


def test_a_server_that_dies_in_a_round_is_left_out_and_the_others_write_its_answer(calc: Bench, start: Start) -> None:
    dies = Said("calc.py\n```", status=DROPPED)
    servers = start([Said(WRONG, never)], [dies], [Said(WRONG), Said(RIGHT)], down=(3,), samples=4)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert asked(servers) == [1, 1, 2]
    assert len(left_out(calc)) == 2
    assert [event["green"] for event in events(calc, "attempt")] == [False, True]


def test_all_servers_are_waited_for_where_none_is_well(calc: Bench, start: Start) -> None:
    start(down=(0, 1), more="[health]\nmax_wait = 1\n")
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert "the server is not ready after 1 s" in ran.err.splitlines()[-1]
    assert left_out(calc) == []


def test_a_wrapper_is_given_one_of_them_and_another_where_that_fails(calc: Bench, leaner: Leaner) -> None:
    leaner(f'echo "$LEAN_BASE_URL" >> "$HOME/urls"; [ "$LEAN_BASE_URL" = http://two/v1 ] || exit 75\n{FIX}')
    urls = 'base_url = ["http://one/v1", "http://two/v1"]'
    calc.write("leanfile.toml", f'[lean]\n{urls}\n[health]\ncheck_url = ""\n{UNITTEST}{TASK}')
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert (calc.home / "urls").read_text().split() == ["http://one/v1", "http://two/v1"]


def test_a_check_looks_at_each(calc: Bench, start: Start) -> None:
    (server,) = start([Said(RIGHT)], down=(1,))
    ran = calc.lean_loop("--check")
    assert ran.code == 3
    assert f"ok      server: {server.base_url}" in ran.out
    assert "error   server: http://127.0.0.1:" in ran.out


@pytest.mark.parametrize("value", ["[]", '[""]', "[1]", "8080"])
def test_what_is_no_address_and_no_list_of_them_is_refused(calc: Bench, value: str) -> None:
    calc.write("leanfile.toml", f"[lean]\nbase_url = {value}\n{UNITTEST}{TASK}")
    ran = calc.lean_loop()
    assert ran.code == 2
    assert "[lean]: base_url is a string or a list of several" in ran.err
