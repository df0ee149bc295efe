"""A scripted model server with several slots: it plays answers that overlap, and notes which were cut off."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from conftest import PATIENCE
from playground.serve import Body, JsonHandler, Loopback

DROPPED = 0  # the connection is closed, before the answer or in the middle of it


@dataclass(frozen=True)
class Said:
    """An answer: its text, whole only once UNTIL holds; or a STATUS that is none, with its error."""

    text: str = ""
    until: Callable[[], bool] | None = None
    status: int = 200


def never() -> bool:
    return False


class Slots(Loopback):
    """Serve SAID, one answer a request in the order of arrival; the last one again and again.

    `asked` holds the bodies of requests, `whole` and `cut` the numbers of those that were answered to their end or hung
    up on, `most` how many were under way at once; a key that is `refused` brings an error. SLOTS are told where there
    are any. GATHER requests have to be there before the first is answered.
    """

    def __init__(self, *said: Said, slots: int = 0, gather: int = 1) -> None:
        super().__init__(type("Handler", (SlotHandler,), {"server_": self}))
        self.said, self.slots, self.gather = said, slots, gather
        self.asked, self.whole, self.cut = list[Body](), list[int](), list[int]()
        self.under_way = self.most = self.answered = 0
        self.refused = ""
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def heats(self) -> list[object]:
        """List the temperatures that were asked for."""
        return [body.get("temperature") for body in self.asked]


def wait_until(holds: Callable[[], bool], seconds: float = 20 * PATIENCE) -> bool:
    """Wait until something HOLDS; tell whether it did in time."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


class SlotHandler(JsonHandler):
    server_: Slots

    def do_GET(self) -> None:
        if self.path.endswith("/models"):
            self.reply({"object": "list", "data": [{"id": "scripted", "object": "model"}]})
        elif self.path == "/props" and self.server_.slots:
            self.reply({"total_slots": self.server_.slots, "default_generation_settings": {"n_ctx": 8192}})
        else:
            self.reply({"error": {"message": "no such path"}}, 404)

    def do_POST(self) -> None:
        body: Body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        server = self.server_
        with server.lock:
            server.asked.append(body)
            if server.refused in body:
                self.refuse(Said(f"'{server.refused}' is not supported", status=400))
                return
            server.answered += 1
            number = server.answered
            server.under_way += 1
            server.most = max(server.most, server.under_way)
        try:
            wait_until(lambda: server.answered >= server.gather)
            self.say(server.said[min(number, len(server.said)) - 1])
            server.whole.append(number)
        except ConnectionError:
            server.cut.append(number)
        finally:
            with server.lock:
                server.under_way -= 1

    def say(self, said: Said) -> None:
        if said.status == DROPPED:
            self.close_connection = True
            if said.text:
                self.begin_stream()
                self.piece(said.text)
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if said.status != 200:
            self.refuse(said)
            return
        self.begin_stream()
        end = time.monotonic() + 20 * PATIENCE
        while said.until and not said.until() and time.monotonic() < end:
            self.piece(" ")
            time.sleep(0.05)
        self.piece(said.text)
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.event({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10}})
        self.wfile.write(b"data: [DONE]\n\n")

    def piece(self, text: str) -> None:
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def refuse(self, said: Said) -> None:
        raw = json.dumps({"error": {"message": said.text}}).encode()
        self.send_response(said.status)
        self.send_header("Retry-After", "100000")  # no waiting in tests
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(raw)
