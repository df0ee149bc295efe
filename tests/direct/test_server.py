"""The server as it is: what each of its faults is called, and which exit code the loop gets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import PROGRAM, Done, Scripted, call, direct, holds, piece, reply, stream
from support import server as server_module

pytestmark = pytest.mark.usefixtures("sealed")

EDIT = "a.py\n```python\nx = 2\n```\n"
PROMPT = "# Task: two\nSet x to 2.\n\n# Files\na.py\n```\nx = 1\n```"
Script = Callable[[Any, Any], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a project with one file."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("x = 1\n")
    return tmp_path / "project"


def ask(root: Path, script: Script, **settings: object) -> tuple[Done, Scripted]:
    """Run a call against a scripted server."""
    with Scripted(script) as server:
        given = {"base_url": server.base_url, "files": "a.py", "model": "m", "edit_retries": 0, **settings}
        return call(root, PROMPT, **given), server


def unchanged(root: Path) -> bool:
    return holds(root) == {"a.py": b"x = 1\n"}


FAULTS: dict[str, tuple[Script, int, str]] = {
    "html": (lambda h, b: reply(h, "<!doctype html><title>Router</title><p>Hello"), 2, "is no OpenAI-compatible API"),
    "html 404": (lambda h, b: reply(h, "<html><h1>Not Found</h1></html>", 404), 2, "Does base_url end in /v1?"),
    "html 502": (lambda h, b: reply(h, "<html><h1>Bad Gateway</h1></html>", 502), 75, "Bad Gateway"),
    "key": (
        lambda h, b: reply(h, {"error": {"message": "Invalid API Key", "type": "auth"}}, 401),
        2,
        "refuses the key",
    ),
    "forbidden": (lambda h, b: reply(h, {"detail": "no access"}, 403), 2, "no access"),
    "model": (lambda h, b: reply(h, {"error": {"message": "model 'm' not found"}}, 404), 2, "no model 'm'"),
    "path": (lambda h, b: reply(h, {"detail": "Not Found"}, 404), 2, "Does base_url end in /v1?"),
    "bad request": (lambda h, b: reply(h, {"error": "unknown field: frob"}, 400), 2, "unknown field: frob"),
    "broken": (lambda h, b: reply(h, {"error": {"message": "CUDA error"}}, 500), 75, "CUDA error"),
    "busy for long": (lambda h, b: reply(h, {"error": "slow down"}, 429, Retry_After="900"), 75, "asks to wait 900 s"),
    "busy by date": (
        lambda h, b: reply(h, {"error": "slow down"}, 429, Retry_After="Wed, 01 Jan 2120 00:00:00 GMT"),
        75,
        "is busy (429)",
    ),
    "no json": (lambda h, b: reply(h, {"hello": "world"}), 2, "is no OpenAI-compatible API"),
    "a list": (lambda h, b: reply(h, [1, 2]), 2, "is no OpenAI-compatible API"),
    "broken event": (lambda h, b: stream(h, b"data: {not json\n\n"), 2, "is no OpenAI-compatible API"),
    "garbled": (lambda h, b: stream(h, piece("a.py\n"), b"data: {not json\n\n"), 75, "answer is garbled: {not json"),
    "moved": (lambda h, b: reply(h, "", 301, Location="https://x.example/v1"), 2, "moved to https://x.example/v1"),
    "no such model": (lambda h, b: reply(h, {"error": "m is not a valid model ID"}, 400), 2, "no model 'm'"),
    "no HTTP": (lambda h, b: h.wfile.write(b"SSH-2.0-x\r\n"), 75, "SSH-2.0-x."),
    "error event": (
        lambda h, b: stream(h, piece("a"), {"error": {"code": 500, "message": "slot died"}}),
        75,
        "slot died",
    ),
    "dropped": (lambda h, b: stream(h, piece(EDIT[:-4]), done=False), 75, "closed the connection in the middle"),
    "dropped at once": (lambda h, b: h.connection.shutdown(socket.SHUT_RDWR), 75, "No server answers"),
    "empty": (lambda h, b: stream(h, piece("", "stop")), 1, "answer is empty"),
    "nothing": (lambda h, b: stream(h), 1, "answer is empty"),
    "refusal": (
        lambda h, b: stream(h, piece(refusal="I cannot do that."), piece("", "stop")),
        1,
        "refused: I cannot do",
    ),
    "filter": (lambda h, b: stream(h, piece("a.py\n"), piece("", "content_filter")), 1, "was filtered"),
    "tool": (lambda h, b: stream(h, piece(tool_calls=[{"id": "1"}]), piece("", "tool_calls")), 1, "a tool call"),
    "length": (
        lambda h, b: stream(
            h, piece(EDIT[:-4]), {**piece("", "length"), "usage": {"prompt_tokens": 9, "completion_tokens": 77}}
        ),
        1,
        "cut off after 77 tokens (finish_reason length)",
    ),
    "length in thought": (
        lambda h, b: stream(h, piece(reasoning_content="Let me see"), piece("", "length")),
        1,
        "still thinking when it was cut off",
    ),
    "openai context": (
        lambda h, b: reply(
            h,
            {
                "error": {
                    "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in"
                    " 10123 tokens. Please reduce the length of the messages.",
                    "code": "context_length_exceeded",
                }
            },
            400,
        ),
        2,
        "has about 10123 tokens, the server's context 8192",
    ),
    "llama.cpp context": (
        lambda h, b: reply(
            h,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 5321,
                    "n_ctx": 4096,
                }
            },
            400,
        ),
        2,
        "has about 5321 tokens, the server's context 4096",
    ),
    "vllm context": (
        lambda h, b: reply(
            h,
            {
                "object": "error",
                "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
                " (4800 in the messages, 200 in the completion).",
            },
            400,
        ),
        2,
        "has about 4800 tokens, the server's context 4096",
    ),
    "context without numbers": (
        lambda h, b: reply(h, {"error": "prompt exceeds context window"}, 400),
        2,
        "does not fit the server's context",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, root: Path) -> None:
    script, code, words = FAULTS[name]
    done, _ = ask(root, script, timeout=20)
    assert (done.code, unchanged(root)) == (code, True), done.err
    assert words in done.reason
    assert done.out == ""
    assert done.reason.startswith("direct: ")


@pytest.mark.parametrize("model", ["m", ""])
def test_an_error_whose_body_never_comes(root: Path, model: str) -> None:
    def script(handler: Any, body: Any) -> None:
        handler.send_response(500 if body else 200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        time.sleep(3)

    done, _ = ask(root, script, model=model, timeout=1)
    assert (done.code, unchanged(root)) == (75, True), done.err


def test_nobody_listens(root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = call(root, PROMPT, base_url=f"http://127.0.0.1:{port}/v1", model="m")
    assert done.code == 75
    assert f"No server answers at http://127.0.0.1:{port}/v1" in done.reason


@pytest.mark.parametrize("url", ["ftp://x/v1", "localhost:8080", "", "http://"])
def test_base_url_that_is_none(root: Path, url: str) -> None:
    done = call(root, PROMPT, base_url=url or "/v1", model="m")
    assert (done.code, "is no http(s) URL" in done.reason) == (2, True)


def test_stalled_stream_is_noticed_by_silence(root: Path) -> None:
    begun = time.monotonic()
    done, _ = ask(root, lambda h, b: stream(h, piece(EDIT[:-4]), 20), idle=1, timeout=30)
    assert (done.code, unchanged(root)) == (75, True)
    assert "fell silent for 1 s" in done.reason and "[lean] idle" in done.reason
    assert time.monotonic() - begun < 10


def test_trickling_stream_ends_at_the_time_limit(root: Path) -> None:
    begun = time.monotonic()
    done, _ = ask(root, lambda h, b: stream(h, *(x for _ in range(200) for x in (piece("a"), 0.1))), idle=5, timeout=2)
    assert (done.code, unchanged(root)) == (75, True)
    assert "time limit of 2 s" in done.reason and "[lean] timeout" in done.reason
    assert time.monotonic() - begun < 10


def test_silent_before_the_first_word(root: Path) -> None:
    done, _ = ask(root, lambda h, b: time.sleep(4), idle=1, timeout=2)
    assert (done.code, unchanged(root)) == (75, True)
    assert "gave no answer within 2 s ([lean] idle, timeout)" in done.reason


@pytest.mark.parametrize(("status", "header"), [(429, {"Retry_After": "1"}), (503, {"Retry_After": "0.2"}), (503, {})])
def test_busy_server_is_waited_for(root: Path, status: int, header: dict[str, str]) -> None:
    turns = iter([True, False])

    def script(handler: Any, body: Any) -> None:
        if next(turns):
            reply(handler, {"error": {"message": "Loading model"}}, status, **header)
        else:
            stream(handler, piece(EDIT, "stop"))

    done, server = ask(root, script, timeout=20)
    assert done.code == 0, done.err
    assert len(server.asked) == 2
    assert done.usage["requests"] == 1


def test_whole_answer_instead_of_a_stream(root: Path) -> None:
    answer = {"choices": [{"message": {"content": [{"type": "text", "text": EDIT}]}, "finish_reason": "stop"}]}
    done, _ = ask(root, lambda h, b: reply(h, answer))
    assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n")
    assert done.usage["estimated"] is True


def test_reasoning_content_is_not_the_answer(root: Path) -> None:
    events = [piece(reasoning_content="a.py\n```\nx = 3\n```\n"), piece(EDIT), piece("", "stop")]
    done, _ = ask(root, lambda h, b: stream(h, *events))
    assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n")


def test_answer_in_reasoning_content_only(root: Path) -> None:
    done, _ = ask(root, lambda h, b: stream(h, piece(reasoning_content=EDIT), piece("", "stop")))
    assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n")


FIGURES = {"model": "m", "requests": 1, "input_tokens": 120, "output_tokens": 9, "cached_tokens": 100}


def test_usage_is_the_servers_own(root: Path) -> None:
    usage = {"prompt_tokens": 120, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 100}}
    done, _ = ask(root, lambda h, b: stream(h, piece(EDIT, "stop"), {"choices": [], "usage": usage}))
    assert done.usage == {**FIGURES, "files": ["a.py"]}


def test_usage_from_timings(root: Path) -> None:
    timings = {"prompt_n": 20, "cache_n": 100, "predicted_n": 9}
    done, _ = ask(root, lambda h, b: stream(h, {**piece(EDIT, "stop"), "timings": timings}))
    assert done.usage == {**FIGURES, "files": ["a.py"]}


def test_usage_of_a_failed_call(root: Path) -> None:
    usage = {"prompt_tokens": 120, "completion_tokens": 9}
    done, _ = ask(root, lambda h, b: stream(h, {**piece("Sorry.", "stop"), "usage": usage}))
    assert (done.code, done.usage["input_tokens"]) == (1, 120)


def test_usage_estimate_is_marked(root: Path) -> None:
    done, server = ask(root, lambda h, b: stream(h, piece(EDIT, "stop")))
    sent = sum(len(message["content"]) for message in server.asked[0]["messages"])
    assert done.usage["estimated"] is True
    assert abs(done.usage["input_tokens"] - sent / 4) <= 1


def models(*rows: dict[str, object]) -> Script:
    """Serve a model listing, and an edit."""

    def script(handler: Any, body: Any) -> None:
        listing = {"object": "list", "data": list(rows)}
        reply(handler, listing) if handler.path.endswith("/models") else stream(handler, piece(EDIT, "stop"))

    return script


CHAT, EMBED = {"id": "chat"}, {"id": "nomic-embed-text-v1.5"}
LISTED: dict[str, tuple[dict[str, Any], str]] = {  # what a server says at its paths, and the model that is asked
    "one": ({"/v1/models": [CHAT]}, "chat"),
    "several on this machine": ({"/v1/models": [CHAT, {"id": "other"}]}, "chat"),
    "an embedding model first": ({"/v1/models": [EMBED, CHAT]}, "chat"),
    "told by its kind": ({"/v1/models": [{"id": "x", "type": "embeddings"}, {"id": "chat", "type": "llm"}]}, "chat"),
    "router": (
        {"/v1/models": [{"id": "a", "status": {"value": "unloaded"}}, {"id": "b", "status": {"value": "loaded"}}]},
        "b",
    ),
    "LM Studio": (
        {"/v1/models": [{"id": "a"}, {"id": "b"}],
         "/api/v0/models": [{"id": "a", "state": "not-loaded"}, {"id": "b", "state": "loaded"}]},
        "b",
    ),
    "Ollama": ({"/v1/models": [{"id": "a"}, {"id": "b:7b"}], "/api/ps": [{"name": "b:7b", "size": 4096}]}, "b:7b"),
    "none is loaded": ({"/v1/models": [{"id": "a"}, {"id": "b"}], "/api/ps": []}, ""),
    "embedding alone": ({"/v1/models": [EMBED]}, ""),
}  # fmt: skip


def listing(paths: dict[str, Any]) -> Script:
    """Serve the models of several paths, and an edit."""

    def script(handler: Any, body: Any) -> None:
        if body and handler.path.endswith("/chat/completions"):
            stream(handler, piece(EDIT, "stop"))
        elif handler.path in paths:
            reply(handler, {"models" if handler.path == "/api/ps" else "data": paths[handler.path]})
        else:
            reply(handler, {"error": "no such path"}, 404)

    return script


@pytest.mark.parametrize(("paths", "asked"), LISTED.values(), ids=LISTED)
def test_the_model_that_is_asked(root: Path, paths: dict[str, Any], asked: str) -> None:
    done, server = ask(root, listing(paths), model="")
    if asked:
        assert (done.code, server.asked[0]["model"], done.usage["model"]) == (0, asked, asked), done.err
    else:
        assert (done.code, server.asked) == (2, [])
        assert "Set model in [lean]" in done.reason and "embed" not in done.reason


def test_a_wrong_name_lists_the_right_ones(root: Path) -> None:
    def script(handler: Any, body: Any) -> None:
        if body:
            reply(handler, {"error": {"message": "model 'm' not found, try pulling it first"}}, 404)
        else:
            listing({"/v1/models": [EMBED, CHAT, {"id": "b"}]})(handler, body)

    done, _ = ask(root, script)
    assert (done.code, done.reason.endswith("Set model in [lean] to one of: chat, b.")) == (2, True), done.reason


def test_no_model_listed(root: Path) -> None:
    done, _ = ask(root, models(), model="")
    assert (done.code, "lists no models. Set model in [lean]." in done.reason) == (2, True)


def test_a_listing_that_is_a_page(root: Path) -> None:
    done, _ = ask(root, lambda handler, _: reply(handler, "<html><h1>Welcome</h1></html>"), model="")
    assert (done.code, "no OpenAI-compatible API (200): Welcome" in done.reason) == (2, True), done.reason


def test_key_is_refused_at_the_listing(root: Path) -> None:
    done, _ = ask(root, lambda h, b: reply(h, {"error": "bad key"}, 401), model="")
    assert (done.code, "refuses the key" in done.reason) == (2, True)


def test_key_is_sent(root: Path) -> None:
    _, server = ask(root, models({"id": "m"}), model="", api_key="secret-key")
    assert {headers["Authorization"] for _, _, headers, _ in server.seen} == {"Bearer secret-key"}


LONG = PROMPT + "\n" + "word " * 8000
SIZES: dict[str, dict[str, object]] = {
    "/props": {"default_generation_settings": {"n_ctx": 4096}},
    "/v1/models": {"data": [{"id": "m", "max_model_len": 4096}, {"id": "n", "max_model_len": 99999}]},
    "/api/v0/models": {"data": [{"id": "m", "max_context_length": 131072, "loaded_context_length": 4096}]},
    "/api/ps": {"models": [{"name": "m", "context_length": 4096}]},
}


@pytest.mark.parametrize("place", SIZES)
def test_prompt_that_will_not_fit_is_not_sent(root: Path, place: str) -> None:
    def script(handler: Any, body: Any) -> None:
        reply(handler, SIZES[place]) if handler.path == place else reply(handler, {"error": "no such path"}, 404)

    with Scripted(script) as server:
        done = call(root, LONG, base_url=server.base_url, files="a.py", model="m")
    assert (done.code, server.asked) == (2, [])
    assert "the server's context 4096" in done.reason
    assert int(done.reason.split(" tokens")[0].split()[-1]) > 8000


def test_prompt_is_counted_by_the_server(root: Path) -> None:
    def script(handler: Any, body: Any) -> None:
        known = {**SIZES, "/tokenize": {"tokens": list(range(4321))}}
        reply(handler, known[handler.path]) if handler.path in known else stream(handler, piece(EDIT, "stop"))

    with Scripted(script) as server:
        done = call(root, LONG, base_url=server.base_url, files="a.py", model="m")
    assert (done.code, server.asked) == (2, [])
    assert "has about 4321 tokens, the server's context 4096" in done.reason


def test_context_as_set(root: Path) -> None:
    done, server = ask(root, models({"id": "m"}), context_tokens=50)
    assert (done.code, server.asked) == (2, [])
    assert "the server's context 50" in done.reason


def test_short_prompt_asks_for_no_sizes(root: Path) -> None:
    _, server = ask(root, models({"id": "m"}))
    assert [path for _, path, _, _ in server.seen] == ["/v1/chat/completions"]


def test_request_is_lean_and_the_same_each_time(root: Path) -> None:
    done, server = ask(root, lambda h, b: stream(h, piece(EDIT, "stop")))
    (root / "a.py").write_text("x = 1\n")
    _, again = ask(root, lambda h, b: stream(h, piece(EDIT, "stop")))
    assert done.code == 0
    body = server.asked[0]
    assert body == again.asked[0]
    own = len(json.dumps(body).encode()) - len(json.dumps(PROMPT).encode())
    assert own <= 1200, own
    assert "tools" not in body and body["messages"][1]["content"].startswith(PROMPT)


def test_settings_pass_through(root: Path) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "top_p": 0.9}
    _, server = ask(
        root, lambda h, b: stream(h, piece(EDIT, "stop")),
        temperature=0, max_output_tokens=500, stop='["END"]', extra_body=json.dumps(extra),
    )  # fmt: skip
    body = server.asked[0]
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (0, 500, ["END"])
    assert (body["chat_template_kwargs"], body["top_p"]) == ({"enable_thinking": False}, 0.9)


# What a model writes again and again is stopped; what stands before it counts if it is whole.

LINE = "        total = total + 1  # add one\n"
FUNCTION = "def area(width, height):\n    # The area of a rectangle.\n    return width * height\n\n\n"
CIRCLES: dict[str, tuple[str, str, str]] = {  # before it, what is repeated, what stays
    "a line": ("def f():\n", LINE, "def f():\n" + LINE.rstrip()),
    "a definition": ("a.py\n```\n", FUNCTION, "a.py\n```\n" + FUNCTION.rstrip()),
    "a whole answer": ("Well. ", f"{EDIT}\nThis sets x to 2.\n\n", f"Well. {EDIT}\nThis sets x to 2."),
    "characters": ("x = '", "ab", "x = 'ab"),
    "blanks": ("x = 2", "\n", "x = 2"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "again", "stays"), CIRCLES.values(), ids=CIRCLES)
@pytest.mark.parametrize("rest", [0, 1, 7])
def test_circles_are_seen(before: str, again: str, stays: str, rest: int) -> None:
    text = before + again * (4000 // len(again)) + again[:rest]
    assert text[: server_module.first_copy_end(text)].rstrip() == stays


ROWS = "\n".join(f"        elif code == {n}:\n            return 'value {n}'" for n in range(300))
STRAIGHT: dict[str, str] = {
    "a chain": ROWS,
    "numbered rows": "".join(f"    ({n}, {n * n}),\n" for n in range(500)),
    "equal rows": "board = [\n" + "    [0, 0, 0, 0, 0, 0, 0, 0, 0],\n" * 40,
    "an empty screen": ("." * 80 + "\n") * 24,
    "closing lines": LINE + "}\n" * 30,
    "closing tags": "</div>\n" * 60,
    "a rule": "x = 1\n# " + "-" * 200,
    "a table of zeros": "table = [" + "0x00, " * 256,
    "cards": '<div class="card">\n  <h2>Item</h2>\n  <p>Some words about it.</p>\n</div>\n' * 12,
    "two copies": ROWS[:6000] * 2,
    "nothing": "",
}


@pytest.mark.parametrize("text", STRAIGHT.values(), ids=STRAIGHT)
def test_code_that_repeats_itself_is_no_circle(text: str) -> None:
    assert [end for end in range(0, len(text) + 1, 50) if server_module.first_copy_end(text[:end])] == []


def test_the_look_for_circles_costs_little() -> None:
    text, begun = ROWS * 20 + "-" * 1900, time.monotonic()
    for _ in range(20):
        assert server_module.first_copy_end(text) is None
    assert time.monotonic() - begun < 2


def endless(*pieces: str) -> tuple[Script, list[int]]:
    """Return a server that never ends, and how many pieces it got rid of."""
    sent: list[int] = []

    def script(handler: Any, body: Any) -> None:
        stream(handler, piece(pieces[0]), done=False)
        with contextlib.suppress(OSError):
            for n in range(1, 100_000):
                handler.wfile.write(f"data: {json.dumps(piece(pieces[n % len(pieces)]))}\n\n".encode())
                sent[:] = [n]

    return script, sent


def test_an_answer_in_circles_is_cut_and_used(root: Path) -> None:
    script, sent = endless(EDIT, "\nThis sets x to 2, as you asked me to.\n\n")
    done, server = ask(root, script, timeout=30)
    assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n"), done.err
    assert len(server.asked) == 1
    assert sent[0] < 99_000, "the connection was closed"


@pytest.mark.parametrize(("field", "words"), [("content", "in circles after 'a = 1 a = 1"), ("reasoning", "thoughts")])
def test_an_answer_in_circles_without_an_edit_is_refused(root: Path, field: str, words: str) -> None:
    events = [piece(**{field: "a.py\n```\n"}), *(piece(**{field: "a = 1\n"}) for _ in range(2000)), 20]
    done, _ = ask(root, lambda h, b: stream(h, *events), timeout=15)
    assert (done.code, unchanged(root)) == (1, True), done.err
    assert "ran in circles" in done.reason and words.split(" a")[0] in done.reason, done.reason


# An answer is bounded: at the server, and on this side.


def bounded(
    script: Script, mode: str = "ask", longest: int = 0, stops: tuple[str, ...] = (), **more: Any
) -> tuple[str, Scripted]:
    """Ask within bounds, as a call of the program does."""
    with Scripted(script) as server:
        made = direct.Call("", base_url=server.base_url, model="m", mode=mode, timeout=20.0, **more)
        return direct.Server(made).ask("", "Why?", longest, stops), server


WHY = "The sign is wrong."


def test_bounds_are_sent(root: Path) -> None:
    said, server = bounded(lambda h, b: stream(h, piece(WHY, "stop")), longest=60, stops=("\n\n", "```"))
    assert said == WHY
    assert (server.asked[0]["max_tokens"], server.asked[0]["stop"]) == (60, ["\n\n", "```"])


def test_bounds_of_the_users_come_first(root: Path) -> None:
    script: Script = lambda h, b: stream(h, piece(WHY, "stop"))  # noqa: E731
    _, server = bounded(script, longest=60, stops=("\n\n",), max_output_tokens=99, stop=["END"])
    assert (server.asked[0]["max_tokens"], server.asked[0]["stop"]) == (99, ["\n\n", "END"])


@pytest.mark.parametrize("head", ["", "\n\n", "<think>a\n\nb</think>\n\n"])
@pytest.mark.parametrize("text", [f"{WHY}\n\nMore.", f"{WHY}\n```python\nx = 1\n"])
def test_a_server_that_knows_no_stop_texts_is_stopped(head: str, text: str) -> None:
    said, server = bounded(lambda h, b: stream(h, *map(piece, head + text), 20), stops=("\n\n", "```"))
    assert (said.strip(), len(server.asked)) == (WHY, 1)


def test_a_server_that_knows_no_limit_is_stopped() -> None:
    script, sent = endless(*(f"{WHY} It has to be number {n}, " for n in range(5000)))
    said, _ = bounded(script, longest=100)
    assert said.endswith(WHY) and 300 < len(said) < 1000
    assert sent[0] < 99_000, "the connection was closed"


@pytest.mark.parametrize("part", [piece("<think>Hm"), piece(reasoning_content="Hm"), piece("\n\n")])
def test_bounds_do_not_end_a_models_thoughts(part: dict[str, object]) -> None:
    def script(handler: Any, body: Any) -> None:
        stream(
            handler,
            part,
            *([piece("", "length")] if "max_tokens" in body else [piece("</think>\n"), piece(WHY, "stop")]),
        )

    said, server = bounded(script, longest=60, stops=("\n\n",))
    assert (said.endswith(WHY), len(server.asked)) == (True, 2)
    assert "stop" not in server.asked[1]


CUT: dict[str, tuple[str, str, bool]] = {
    "all fences closed": ("edit", EDIT + "\nThis is because th", True),
    "a search block": ("edit", "a.py\n<<<<<<< SEARCH\nx = 1\n=======\nx = 2\n>>>>>>> REPLACE\nAs y", True),
    "an open fence": ("edit", EDIT + "\nb.py\n```\ny = ", False),
    "an open search block": ("edit", EDIT + "a.py\n<<<<<<< SEARCH\nx = 1\n=======\nx =", False),
    "no edit": ("edit", "The sign is wrong. It", False),
    "a sentence": ("ask", f"{WHY} It", True),
    "no sentence": ("ask", "The sign is", False),
}


@pytest.mark.parametrize(("mode", "text", "stands"), CUT.values(), ids=CUT)
def test_what_is_whole_of_an_answer_that_was_cut_off_counts(root: Path, mode: str, text: str, stands: bool) -> None:
    done, server = ask(root, lambda h, b: stream(h, piece(text), piece("", "length")), mode=mode)
    assert (done.code, len(server.asked)) == (0 if stands else 1, 1), done.err
    if mode == "ask":
        assert done.out == (WHY + "\n" if stands else "")
    else:
        assert (root / "a.py").read_text() == ("x = 2\n" if stands else "x = 1\n")


# Streams in the wild: what is no piece of the answer is passed over, what is complete is an answer.

NO_PIECES: dict[str, list[object]] = {
    "a ping": [{"type": "ping"}],
    "null choices": [{"choices": None}],
    "usage alone": [{"usage": {"prompt_tokens": 5}}],
    "no data": [b"data:\n\n", b"data: \n\n"],
    "null": [b"data: null\n\n", b"data: []\n\n"],
    "a comment": [b": OPENROUTER PROCESSING\n\n", b":\n\n"],
    "a filter's results": [{"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}],
    "a status": [{"object": "status", "message": "warming up"}],
    "no error": [{"error": None, "id": 1}],
    "other fields": [b"event: message\nid: 7\nretry: 100\n\n"],
}


@pytest.mark.parametrize("events", NO_PIECES.values(), ids=NO_PIECES)
def test_an_event_without_a_piece_is_passed_over(events: list[object]) -> None:
    said = [*events, piece(EDIT[:9]), *events, piece(EDIT[9:]), piece("", "stop"), *events]
    assert bounded(lambda h, b: stream(h, *said), "edit")[0] == EDIT


def reset(handler: Any, *events: object) -> None:
    """Send what there is, and end the connection the hard way."""
    stream(handler, *events, done=False)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


ENDS: dict[str, Script] = {
    "no finish_reason": lambda h, b: stream(h, piece(EDIT), done=False),
    "no finish_reason, but done": lambda h, b: stream(h, piece(EDIT)),
    "reset": lambda h, b: reset(h, piece(EDIT)),
    "silence": lambda h, b: stream(h, piece(EDIT), 20, done=False),
    "silence after its end": lambda h, b: stream(h, piece(EDIT, "stop"), 20, done=False),
    "an error": lambda h, b: stream(h, piece(EDIT), {"error": {"message": "slot died"}}),
    "garbage": lambda h, b: stream(h, piece(EDIT), b"data: {oops\n\n"),
    "finish_reason everywhere": lambda h, b: stream(h, *(piece(part, "stop") for part in EDIT)),
    "usage and finish_reason everywhere": lambda h, b: stream(
        h, *({**piece(part, "stop"), "usage": {"completion_tokens": n}} for n, part in enumerate(EDIT))
    ),
    "the text null": lambda h, b: stream(h, *(piece(part, "null") for part in EDIT), piece("", "stop")),
    "delta and message": lambda h, b: stream(
        h, *({"choices": [{"delta": {"content": x}, "message": {"content": x}}]} for x in EDIT), piece("", "stop")
    ),
    "a message at the end": lambda h, b: stream(
        h, *map(piece, EDIT), {"choices": [{"delta": {}, "message": {"content": EDIT}, "finish_reason": "stop"}]}
    ),
    "messages": lambda h, b: stream(h, *({"choices": [{"message": {"content": part}}]} for part in EDIT)),
    "one message": lambda h, b: reply(h, {"choices": [{"message": {"content": EDIT}}]}),
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a server may take for its last words."""
    monkeypatch.setattr(server_module, "LAST_WORDS", 0.5)


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_a_complete_answer_is_one_however_it_ends(script: Script, hasty: None) -> None:
    said, server = bounded(script, "edit", idle=1.5)
    assert (said, len(server.asked)) == (EDIT, 1)


def test_an_answer_that_could_stand_is_given_time_to_go_on(hasty: None) -> None:
    events = [
        piece("The sign is wrong."),
        1.0,
        piece(" It has to be a plus."),
        piece("", "stop"),
    ]
    assert bounded(lambda h, b: stream(h, *events))[0] == "The sign is wrong. It has to be a plus."


@pytest.mark.parametrize("text", ["a.py\n```python\nx = 2\n", "", "I would set"])
@pytest.mark.parametrize("end", [stream, reset])
def test_half_an_answer_is_none(text: str, end: Any) -> None:
    more = {"done": False} if end is stream else {}
    with pytest.raises(server_module.ServerTrouble, match="connection"):
        bounded(lambda h, b: end(h, *(piece(part, "stop") for part in text), **more), "edit")


# What the prompt and the answer may have.

TOO_MUCH: dict[str, tuple[str, str]] = {
    "OpenAI": (
        "This model's maximum context length is 8192 tokens. However, you requested 32345 tokens (345 in the messages,"
        " 32000 in the completion). Please reduce the length of the messages or completion.",
        "The prompt has about 345 tokens, the answer may have 32000, the server's context 8192.",
    ),
    "vLLM": (
        "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 8192"
        " tokens and your request has 345 input tokens (32000 > 8192 - 345).",
        "The prompt has about 345 tokens, the answer may have 32000, the server's context 8192.",
    ),
    "a sum": (
        "context length exceeded: 8192 < 32345 = prompt + 32000",
        "The prompt has about 345 tokens, the answer may have 32000, the server's context 8192.",
    ),
    "too long a prompt": (
        "This model's maximum context length is 8192 tokens. However, you requested 41000 tokens (9000 in the messages,"
        " 32000 in the completion).",
        "The prompt has about 9000 tokens, the server's context 8192. Give the server a larger context",
    ),
}


@pytest.mark.parametrize(("told", "words"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_long_is_named_with_its_number(told: str, words: str) -> None:
    with pytest.raises(direct.Misconfigured) as stop:
        bounded(lambda h, b: reply(h, {"error": {"message": told}}, 400), max_output_tokens=32000)
    assert str(stop.value).startswith(words)


def test_a_server_at_another_port_is_named() -> None:
    with Scripted(listing({"/v1/models": [CHAT]})) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        silent, port = free.getsockname()[1], server.http.server_address[1]
        call = direct.Call("", base_url=f"http://localhost:{silent}/v1", api_key="a secret")
        server_module.PORTS, ports = (silent, port), server_module.PORTS
        try:
            with pytest.raises(server_module.ServerTrouble) as stop:
                direct.Server(call).ask("", "Why?")
        finally:
            server_module.PORTS = ports
    assert f"a server answers at http://127.0.0.1:{port}/v1: set base_url in [lean]" in str(stop.value)
    assert 9931 in ports and 8080 in ports
    assert all("Authorization" not in headers for _, _, headers, _ in server.seen)


# What a request says of its answer: the model's card, then what is set.


def sent(model: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a request for a model."""
    with Scripted(lambda h, b: stream(h, piece(WHY, "stop"))) as server:
        direct.Server(direct.Call("", base_url=server.base_url, model=model, mode="ask", **more)).ask("", "Why?")
    return {key: told for key, told in server.asked[0].items() if not re.match("model|messages|stream", key)}


OFF = {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}}
ON = {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": True}}
OWN = {"top_p": 1, "reasoning_effort": "low"}
QWEN = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
CARDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "unknown": ("m", {}, {}),
    "known": ("unsloth/Devstral-Small-2507-GGUF", {}, {"temperature": 0.15}),
    "thinks": ("qwen3:8b", {}, {**QWEN, **OFF}),
    "shall think": ("Qwen3-8B", {"thinking": "high"}, {"temperature": 0.6, "top_p": 0.95, "top_k": 20, **ON}),
    "shall not think": ("m", {"thinking": "off"}, OFF),
    "temperature set": ("devstral", {"temperature": 0.0}, {"temperature": 0.0}),
    "more set": ("qwen3-4b", {"extra_body": OWN}, {**QWEN, **OWN}),
    "turned off": ("qwen3-4b", {"options": {"models": False}}, {}),
}


@pytest.mark.parametrize(("model", "settings", "body"), CARDS.values(), ids=CARDS)
def test_settings_of_a_models_card(model: str, settings: dict[str, Any], body: dict[str, Any]) -> None:
    assert sent(model, **settings) == body


def test_the_table_of_models_is_sound() -> None:
    for line in (PROGRAM.parent / "_models.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, *pairs = line.split()
            assert re.compile(pattern) and pairs
            assert {pair.partition("=")[0] for pair in pairs} <= {
                "temperature", "top_p", "top_k", "repeat_penalty", "repetition_penalty", "thinking",
            }  # fmt: skip


def test_a_setting_that_the_server_refuses_is_left_out_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def script(handler: Any, body: Any) -> None:
        if "chat_template_kwargs" in body:
            reply(handler, {"error": {"message": "Unrecognized request argument supplied: chat_template_kwargs"}}, 400)
        else:
            stream(handler, piece(WHY, "stop"))

    with Scripted(script) as server:
        asking = direct.Server(direct.Call("", base_url=server.base_url, model="m", mode="ask", thinking="off"))
        assert [asking.ask("", "Why?"), asking.ask("", "Why?")] == [WHY, WHY]
    told = [("chat_template_kwargs" in body, body["reasoning_effort"]) for body in server.asked]
    assert told == [(True, "none"), (False, "none"), (False, "none")]
    assert capsys.readouterr().err == "warning: the server does not take chat_template_kwargs: asked without it\n"


def test_a_temperature_that_the_server_refuses_is_left_out_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def script(handler: Any, body: Any) -> None:
        if "temperature" in body:
            reply(handler, {"error": {"message": "Unsupported value: 'temperature' does not support 0.8"}}, 400)
        else:
            stream(handler, piece(WHY, "stop"))

    with Scripted(script) as server:
        asking = direct.Server(direct.Call("", base_url=server.base_url, model="m", mode="ask", temperature=0.8))
        assert [asking.ask("", "Why?"), asking.ask("", "Why?")] == [WHY, WHY]
    assert ["temperature" in body for body in server.asked] == [True, False, False]
    assert capsys.readouterr().err == "warning: the server does not take temperature: asked without it\n"


def test_what_the_user_set_is_not_left_out(root: Path) -> None:
    done, server = ask(root, lambda h, b: reply(h, {"error": "unknown field: top_q"}, 400), extra_body='{"top_q": 1}')
    assert (done.code, len(server.asked), "unknown field: top_q" in done.reason) == (2, 1, True)


def test_a_model_that_thinks_gets_no_bounds_for_its_thoughts() -> None:
    _, server = bounded(lambda h, b: stream(h, piece(WHY, "stop")), longest=60, stops=("\n\n",), thinking="low")
    assert {"max_tokens", "stop"} & server.asked[0].keys() == set()


# --probe: what the server tells of itself.


def probe(script: Script, *options: str, **settings: Any) -> tuple[Done, Scripted]:
    """Ask the program what a server tells."""
    with Scripted(script) as server:
        env = {f"LEAN_{key.upper()}": str(value) for key, value in {"base_url": server.base_url, **settings}.items()}
        command = [sys.executable, str(PROGRAM), "--probe", *(option.format(server.base_url) for option in options)]
        done = subprocess.run(
            command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr, json.loads(done.stdout) if done.stdout else {}), server


def llama(handler: Any, body: Any) -> None:
    """Tell what llama.cpp's server tells."""
    props = {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4}
    known = {"/v1/models": {"data": [{"id": "small.gguf", "owned_by": "llamacpp"}]}, "/props": props}
    reply(handler, known[handler.path]) if handler.path in known else reply(handler, {"error": "File Not Found"}, 404)


def test_probe_tells_all() -> None:
    done, server = probe(llama)
    told = {"kind": "llama.cpp", "health": "ok", "models": ["small.gguf"], "model": "small.gguf", "why": ""}
    assert (done.code, done.usage) == (0, {**told, "loaded": [], "context": 4096, "slots": 4}), done.err
    assert server.asked == []


def test_probe_says_why_no_model_is_asked() -> None:
    done, _ = probe(listing({"/v1/models": [EMBED, CHAT, {"id": "b"}], "/api/ps": []}))
    assert (done.code, done.usage["models"], done.usage["model"]) == (0, ["chat", "b"], "")
    assert "Set model in [lean] to one of: chat, b" in done.usage["why"]
    done, _ = probe(listing({"/v1/models": [CHAT, {"id": "b"}], "/api/ps": [{"name": "b"}]}), model="wrong")
    assert (done.usage["model"], done.usage["loaded"]) == ("wrong", ["b"])
    assert done.usage["why"] == "wrong is not listed there: chat, b"


@pytest.mark.parametrize(
    ("status", "code", "words"), [(503, 75, "busy (503)"), (500, 75, "failed (500)"), (401, 2, "key"), (404, 2, "/v1?")]
)
def test_probe_of_a_server_that_is_not_well(status: int, code: int, words: str) -> None:
    done, server = probe(lambda h, b: reply(h, {"error": "no"}, status))
    assert (done.code, done.out, words in done.reason) == (code, "", True), done.err
    assert len(server.seen) == 1


def test_probe_of_a_url_tells_if_it_is_well() -> None:
    done, server = probe(lambda h, b: reply(h, "OK"), "{}/health")
    assert (done.code, done.usage) == (0, {"health": "ok"}), done.err
    assert [path for _, path, _, _ in server.seen] == ["/v1/health"]


REFUSED: dict[str, tuple[str, Callable[[Any], bool], dict[str, object]]] = {
    "stream_options": ("Unrecognized request argument: stream_options", lambda body: "stream_options" not in body, {}),
    "max_tokens": (
        "Use 'max_completion_tokens' instead",
        lambda body: body.get("max_completion_tokens") == 9,
        {"max_output_tokens": 9},
    ),
    "system": ("System role not supported", lambda body: len(body["messages"]) == 1, {}),
    "stream": ("Streaming is not supported", lambda body: "stream" not in body, {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_plainer_request_for_a_server_that_refuses(root: Path, name: str) -> None:
    words, plain, settings = REFUSED[name]

    def script(handler: Any, body: Any) -> None:
        stream(handler, piece(EDIT, "stop")) if plain(body) else reply(handler, {"error": {"message": words}}, 400)

    done, server = ask(root, script, **settings)
    assert (done.code, len(server.asked)) == (0, 2), done.err


def test_progress_for_the_loop(root: Path) -> None:
    events = [x for part in EDIT.splitlines(keepends=True) for x in (piece(part), 0.3)]
    done, _ = ask(root, lambda h, b: stream(h, *events, piece("", "stop")), progress=1)
    lines = [line.split() for line in done.err.strip().split("\n")]
    assert done.code == 0
    assert len(lines) >= 2
    assert all(word == "progress:" and int(tokens) > 0 and float(rate) > 0 for word, tokens, rate in lines)


def test_bad_settings(root: Path) -> None:
    for name, value in {
        "timeout": "soon",
        "edit_format": "magic",
        "stop": "{}",
        "extra_body": "[",
        "mode": "guess",
    }.items():
        done, server = ask(root, models({"id": "m"}), **{name: value})
        assert (done.code, server.seen) == (2, []), name
        assert f"LEAN_{name.upper()}" in done.reason


def test_stream_without_a_word(root: Path) -> None:
    done, _ = ask(root, lambda h, b: stream(h, done=False))
    assert (done.code, "before a word of the answer" in done.reason) == (75, True)


def test_progress_on_a_terminal(root: Path) -> None:
    events = [x for part in EDIT.splitlines(keepends=True) for x in (piece(part), 0.3)]
    ours, theirs = os.openpty()
    with Scripted(lambda h, b: stream(h, *events, piece("", "stop"))) as server:
        env = {**os.environ, "LEAN_BASE_URL": server.base_url, "LEAN_FILES": "a.py", "LEAN_MODEL": "m"}
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "-p", PROMPT], cwd=root, env=env, stdin=subprocess.DEVNULL, stderr=theirs
        )
        assert process.wait(20) == 0
    shown = os.read(ours, 10_000).decode()
    assert re.search(r"\d+ tokens, \d+\.\d/s", shown)
    assert "\n" not in shown
    os.close(ours)
    os.close(theirs)


def untyped(handler: Any, body: Any) -> None:
    """Send a stream that does not say what it is."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(f"data: {json.dumps(piece(EDIT, 'stop'))}\n\n".encode())
    handler.close_connection = True


def other(text: str, finish: str | None = None) -> dict[str, object]:
    """Make one event of a second answer, which `n` in extra_body asks for."""
    return {"choices": [{"index": 1, "delta": {"content": text}, "finish_reason": finish}]}


ODD: dict[str, Script] = {
    "no type": untyped,
    "no done": lambda h, b: stream(h, piece(EDIT), piece("", "stop"), done=False),
    "pings": lambda h, b: stream(h, b": ping\n\n", piece(EDIT), b"event: x\n\n", b": ping\n\n", piece("", "stop")),
    "carriage returns": lambda h, b: stream(h, f"data: {json.dumps(piece(EDIT))}\r\n\r\n".encode(), piece("", "stop")),
    "usage first": lambda h, b: stream(h, {**piece(), "usage": {"prompt_tokens": 5}}, piece(EDIT), piece("", "stop")),
    "two answers": lambda h, b: stream(h, other("no"), piece(EDIT[:9]), other("!", "stop"), piece(EDIT[9:], "stop")),
    "no choice": lambda h, b: stream(h, {"choices": []}, piece(EDIT), piece("", "stop"), {"choices": [None]}),
    "null fields": lambda h, b: stream(h, {"choices": [{"delta": None, "finish_reason": None}]}, piece(EDIT, "stop")),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_stream(root: Path, name: str) -> None:
    done, _ = ask(root, ODD[name])
    assert (done.code, (root / "a.py").read_text()) == (0, "x = 2\n"), done.err
