"""The server is waited for before each call, and what will not get better is explained."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import RIGHT, Bench, Leaner, Serve
from playground.serve import Body

COUNT = 'n=$(($(cat "$HOME/n" 2>/dev/null) + 1)); echo $n > "$HOME/n"\n'
FIX = "printf 'def add(left, right):\\n    return left + right\\n' > calc.py; echo done\n"
THIRD = f"{COUNT}if [ $n -ge 3 ]; then {FIX} else echo looked; fi\n"
SILENT, BROKEN, GARBAGE = 0, 1, 2
BODIES: dict[int, object] = {
    200: {"data": []},
    206: {"n_ctx": 2048},
    503: {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
}


@dataclass
class Asked:
    """What a health server was asked, and the status of each answer (the last one again and again)."""

    url: str
    answers: list[int]
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def next(self) -> int:
        return self.answers[min(len(self.paths), len(self.answers)) - 1]


class Handler(BaseHTTPRequestHandler):
    """Answer as scripted: an HTTP status, or one of SILENT, BROKEN and GARBAGE."""

    asked: Asked

    def do_GET(self) -> None:
        self.asked.paths.append(self.path)
        self.asked.keys.append(self.headers.get("Authorization"))
        status = self.asked.next()
        if status == SILENT:
            time.sleep(3)
        elif status == GARBAGE:
            self.wfile.write(b"\x00\xffnot http at all\r\n\r\n")
        elif status != BROKEN:
            body = json.dumps(BODIES.get(status, {"error": {"message": "no"}})).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


Health = Callable[..., Asked]


@pytest.fixture
def health() -> Iterator[Health]:
    """Start a server that gives ANSWERS to health checks; PORT 0 takes a free one, AFTER seconds pass before."""
    servers: list[ThreadingHTTPServer] = []
    timers: list[threading.Timer] = []

    def start(*answers: int, port: int = 0, after: float = 0) -> Asked:
        asked = Asked("", list(answers))
        kind = type("Scripted", (Handler,), {"asked": asked})

        def begin(port: int) -> None:
            server = ThreadingHTTPServer(("127.0.0.1", port), kind)
            server.daemon_threads = True
            servers.append(server)
            asked.url = f"http://127.0.0.1:{server.server_address[1]}"
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

        if after:
            timers.append(threading.Timer(after, begin, [port]))
            timers[-1].start()
        else:
            begin(port)
        return asked

    yield start
    for timer in timers:
        timer.join()
    for server in servers:
        server.shutdown()
        with suppress(OSError):
            server.socket.close()


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def settings(bench: Bench, tables: str) -> None:
    bench.write("leanfile.toml", f"{tables}\n{bench.read('leanfile.toml')}")


def checked(bench: Bench, url: str, most: float = 10) -> None:
    """Set the URL that is looked at, and the seconds to wait."""
    settings(bench, f'[health]\ncheck_url = "{url}/health"\nmax_wait = {most}')


def calls(bench: Bench) -> int:
    """How often a script that begins with COUNT was called."""
    count = bench.home / "n"
    return int(count.read_text()) if count.exists() else 0


# ------------------------------------------------------------------------------------------------------------- waiting


def test_the_context_is_asked_for_once_the_server_is_ready(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(503, 206)
    settings(calc, f'[lean]\nbase_url = "{asked.url}/v1"')
    assert calc.lean_loop().code == 0
    assert asked.paths == ["/v1/models", "/v1/models", "/props"]


def test_https_for_a_server_without_it_is_told_at_once(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    checked(calc, health(200).url.replace("http:", "https:"), most=600)
    ran = calc.lean_loop()
    assert ran.code == 3, ran.text
    assert "the server speaks no TLS. Write http:// for https://" in ran.err


def test_a_server_that_refuses_is_waited_for(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    port = free_port()
    asked = health(200, port=port, after=1.5)
    checked(calc, f"http://127.0.0.1:{port}")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert asked.paths == ["/health"]
    assert "waiting for the server" in ran.err


@pytest.mark.parametrize(
    "trouble", [503, BROKEN, *(pytest.param(n, marks=pytest.mark.slow) for n in (429, 500, GARBAGE))]
)
def test_a_server_in_trouble_is_waited_for(calc: Bench, leaner: Leaner, health: Health, trouble: int) -> None:
    leaner(FIX)
    asked = health(trouble, 200)
    checked(calc, asked.url)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert len(asked.paths) == 2


def test_the_remaining_seconds_are_recorded_and_grow_fewer(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(503, 503, 200)
    checked(calc, asked.url, 30)
    calc.lean_loop()
    (run,) = calc.runs()
    left = [int(found) for found in re.findall(r'"waiting".*"left": (\d+)', (run / "events.jsonl").read_text())]
    assert len(left) == 2
    assert 30 >= left[0] > left[1] >= 25


@pytest.mark.parametrize("trouble", [503, SILENT, GARBAGE])
def test_a_server_that_stays_in_trouble_ends_the_run_in_time(
    calc: Bench, leaner: Leaner, health: Health, trouble: int
) -> None:
    leaner(COUNT + FIX)
    asked = health(trouble)
    checked(calc, asked.url, 1)
    begun = time.monotonic()
    ran = calc.lean_loop()
    assert time.monotonic() - begun < 15
    assert ran.code == 3, ran.text
    assert asked.url in ran.err.splitlines()[-1]
    assert "max_wait" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert calls(calc) == 0


def test_the_reason_of_the_trouble_is_said(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    checked(calc, health(503).url, 0)
    assert "503" in calc.lean_loop().err.splitlines()[-1]


def test_a_refusing_server_is_said_to_refuse_and_the_setting_is_named(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, f'[lean]\nbase_url = "http://127.0.0.1:{free_port()}/v1"\n[health]\nmax_wait = 1')
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "refused" in ran.err.splitlines()[-1]
    assert "[lean] base_url" in ran.err.splitlines()[-1]


def test_a_silent_server_is_waited_for(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(SILENT, 200)
    checked(calc, asked.url, 20)
    assert calc.lean_loop().code == 0


# ------------------------------------------------------------------------------------------- what does not get better


@pytest.mark.parametrize(("status", "words"), [(401, "api_key"), (403, "api_key"), (404, "base_url")])
def test_what_waiting_will_not_mend_says_what_to_set(
    calc: Bench, leaner: Leaner, health: Health, status: int, words: str
) -> None:
    leaner(COUNT + FIX)
    asked = health(status)
    checked(calc, asked.url, 60)
    begun = time.monotonic()
    ran = calc.lean_loop()
    assert time.monotonic() - begun < 15
    assert ran.code == 3
    assert str(status) in ran.err.splitlines()[-1]
    assert words in ran.err.splitlines()[-1]
    assert len(asked.paths) == 1
    assert calls(calc) == 0


@pytest.mark.parametrize("url", ["not a url", "ftp//x", "http://", "file:///etc/passwd", "http://[::1", "http://a b/"])
def test_a_url_that_is_none_is_named_without_waiting(calc: Bench, leaner: Leaner, url: str) -> None:
    leaner(COUNT + FIX)
    settings(calc, f'[health]\ncheck_url = "{url}"\nmax_wait = 60')
    begun = time.monotonic()
    ran = calc.lean_loop()
    assert time.monotonic() - begun < 15
    assert ran.code in (2, 3), ran.text
    assert url in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_a_host_that_does_not_exist_is_named(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    settings(calc, '[health]\ncheck_url = "http://no-such-host.invalid/v1/models"\nmax_wait = 1')
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "no-such-host.invalid" in ran.err.splitlines()[-1]


# ----------------------------------------------------------------------------------------------- when it is looked at


def test_the_server_is_looked_at_before_each_call(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(THIRD)
    asked = health(200)
    checked(calc, asked.url)
    assert calc.lean_loop().code == 0
    assert len(asked.paths) == calls(calc) == 3


def test_a_server_that_fails_between_calls_is_waited_for_there(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(THIRD)
    asked = health(200, 503, 200)
    checked(calc, asked.url)
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert ran.err.count("waiting for the server") == 1
    assert len(asked.paths) == 4


def test_a_server_that_goes_away_for_good_leaves_the_last_edit(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner("printf 'def add(left, right):\\n    return left * right\\n' > calc.py; echo done")
    asked = health(200, 503)
    checked(calc, asked.url, 0.5)
    ran = calc.lean_loop()
    assert ran.code == 3
    assert "left * right" in calc.read("calc.py")


def test_the_tests_run_before_the_server_is_needed(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    checked(calc, health(404).url)
    assert "tests: 1 failing" in calc.lean_loop().err


def test_without_tasks_a_green_project_needs_no_server(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(503)
    calc.write("calc.py", "def add(left, right):\n    return left + right\n")
    calc.write("leanfile.toml", '[runner]\ncommand = "{python}"\nargs = ["-m", "unittest"]\n')
    checked(calc, asked.url)
    assert calc.lean_loop().code == 0
    assert asked.paths == []


# -------------------------------------------------------------------------------------------------- what is looked at


def test_an_empty_check_url_means_no_check(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(503)
    settings(calc, f'[lean]\nbase_url = "{asked.url}/v1"\n[health]\ncheck_url = ""\nmax_wait = 1')
    assert calc.lean_loop().code == 0
    assert "/health" not in asked.paths


def test_without_check_url_the_models_of_base_url_are_looked_at(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(200)
    settings(calc, f'[lean]\nbase_url = "{asked.url}/v1/"')
    assert calc.lean_loop().code == 0
    assert "/v1/models" in asked.paths


def test_without_base_url_nothing_is_looked_at(calc: Bench, leaner: Leaner) -> None:
    leaner(FIX)
    ran = calc.lean_loop()
    assert ran.code == 0
    assert "waiting" not in ran.err


def test_the_key_travels_with_the_check(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    asked = health(200)
    checked(calc, asked.url)
    settings(calc, '[lean]\napi_key_env = "MY_KEY"')
    assert calc.lean_loop(MY_KEY="sk-of-the-test").code == 0
    assert asked.keys == ["Bearer sk-of-the-test"]


@pytest.mark.parametrize("key", ["sk-0123456789é", "sk-0123456789\n", "sk-0123456789\r", "sk-0123456789漢"])
def test_a_key_that_no_header_can_hold_is_not_shown(calc: Bench, leaner: Leaner, health: Health, key: str) -> None:
    leaner(FIX)
    checked(calc, health(200).url, 0.5)
    settings(calc, '[lean]\napi_key_env = "MY_KEY"')
    ran = calc.lean_loop(MY_KEY=key)
    assert "sk-0123456789" not in ran.text
    assert "Traceback" not in ran.err
    assert ran.code in (0, 2, 3)


def test_a_proxy_is_not_asked_for_this_machine(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(FIX)
    proxy, asked = health(502), health(200)
    checked(calc, asked.url)
    assert calc.lean_loop(http_proxy=proxy.url, NO_PROXY="").code == 0
    assert proxy.paths == []


def test_trouble_told_by_the_leaner_looks_at_the_server_again(calc: Bench, leaner: Leaner, health: Health) -> None:
    leaner(f"{COUNT}if [ $n = 1 ]; then echo overloaded >&2; exit 75; fi\n{FIX}")
    asked = health(200)
    checked(calc, asked.url)
    assert calc.lean_loop().code == 0
    assert len(asked.paths) == calls(calc) == 2


@pytest.mark.parametrize("script", ["#!/bin/sh\necho overloaded >&2; exit 75\n", "#!/no/such/interpreter\n"])
def test_what_is_edited_and_removed_after_a_call_that_ended_the_run_stays(calc: Bench, script: str) -> None:
    helper = calc.home / "helper"
    helper.write_text(script)
    helper.chmod(0o755)
    settings(calc, f'[lean]\nbinary = "{helper}"\nbase_url = ""\n[health]\nmax_wait = 0')
    calc.write("notes.txt", "mine")
    assert calc.lean_loop().code == 3
    (calc.project / "notes.txt").unlink()
    calc.write("calc.py", "# mine\n")
    again = calc.lean_loop()
    assert (again.code, "tidying up" in again.err) == (3, False), again.text
    assert (calc.project / "notes.txt").exists() is False
    assert calc.read("calc.py") == "# mine\n"


def test_a_server_that_falls_silent_is_asked_again(calc: Bench, serve: Serve) -> None:
    """Though the call took longer than the server is waited for."""
    silences = iter([3])

    def answer(body: Body) -> str:
        time.sleep(next(silences, 0))
        return RIGHT

    server = serve(answer=answer)
    settings(calc, "[lean]\ntimeout = 2\n[health]\nmax_wait = 1.5")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    assert len(server.requests) == 2
    assert "trouble: The time limit of 2 s is over ([lean] timeout)" in ran.err or "([lean] idle, timeout)" in ran.err
