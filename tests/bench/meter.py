"""A recording proxy before a model server: counts calls and tokens, holds a task to its limits, and can play again.

It passes requests on to an OpenAI-compatible server, gives each a seed where it has none, and keeps what came back. The
same request to the same model is answered from what was kept before, so that a second measurement with other reading
code and the same prompts costs no model time; seconds are then those of the first.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Body = dict[str, Any]
CHAT = "/chat/completions"


@dataclass(frozen=True)
class Limits:
    """What one task may cost: requests, answer tokens in all, and seconds of the clock."""

    calls: int = 4
    tokens: int = 3000
    seconds: float = 600


@dataclass
class Exchange:
    """One request and what the model said; tokens are the server's own count, seconds those that it took."""

    body: Body
    text: str = ""
    finish: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    @property
    def prompt(self) -> str:
        """The last message, as a person would read it."""
        return str(self.body["messages"][-1]["content"])


@dataclass
class Meter:
    """The proxy of one task."""

    upstream: str
    limits: Limits
    seed: int = 0
    kept: Path | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free loopback port; gives the base URL."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"meter": self}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()

    @property
    def spent(self) -> int:
        """Answer tokens so far."""
        return sum(exchange.output_tokens for exchange in self.exchanges)

    def admit(self, body: Body) -> Exchange | None:
        """Note a request and complete it with a seed and a limit; None where the task has used up what it may."""
        with self.lock:
            left = self.limits.tokens - self.spent
            if len(self.exchanges) >= self.limits.calls or left <= 0:
                self.over.set()
                return None
            body.setdefault("seed", self.seed * 1000 + len(self.exchanges))
            asked = body.pop("max_completion_tokens", None) or body.get("max_tokens")
            body["max_tokens"] = min(left, asked or left)
            if body.get("stream"):
                body |= {"stream_options": {"include_usage": True}, "timings_per_token": True}
            self.exchanges.append(Exchange(body))
            return self.exchanges[-1]

    def place_of(self, body: Body) -> Path | None:
        """Return where the answer to this very request is kept."""
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
        return self.kept / f"{key}.json" if self.kept else None

    def connect(self, timeout: float = 900) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(self.upstream)
        return http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)


class Handler(BaseHTTPRequestHandler):
    """Passes on what it is asked; answers to chats are measured."""

    meter: Meter
    protocol_version = "HTTP/1.0"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.pass_on("GET", None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.path.endswith(CHAT):
            return self.pass_on("POST", raw)
        exchange = self.meter.admit(json.loads(raw))
        if exchange is None:
            return self.reply(400, "application/json", b'{"error": {"message": "the task has used up its calls"}}')
        place = self.meter.place_of(exchange.body)
        if place and place.exists():
            return self.play(exchange, json.loads(place.read_text(encoding="utf-8")))
        return self.ask(exchange, place)

    def pass_on(self, method: str, raw: bytes | None) -> None:
        """Hand any other request through."""
        connection = self.meter.connect(30)
        connection.request(method, self.path, raw, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.reply(answer.status, answer.headers.get("Content-Type", ""), answer.read())

    def reply(self, status: int, kind: str, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(raw)

    def play(self, exchange: Exchange, kept: Body) -> None:
        """Answer as the model did before."""
        for name in ("text", "finish", "input_tokens", "output_tokens", "seconds"):
            setattr(exchange, name, kept[name])
        self.reply(200, kept["kind"], kept["raw"].encode())

    def ask(self, exchange: Exchange, place: Path | None) -> None:
        """Ask the server and hand its answer on while it comes; one that was read to its end is kept."""
        connection, begun, raw = self.meter.connect(), time.monotonic(), bytearray()
        connection.request("POST", self.path, json.dumps(exchange.body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.send_response(answer.status)
        kind = answer.headers.get("Content-Type", "")
        self.send_header("Content-Type", kind)
        self.end_headers()
        try:
            while line := answer.readline():
                raw += line
                self.wfile.write(line)
                self.wfile.flush()
        except OSError:
            pass  # whoever asked has heard enough: the same one will hear no more of it the next time
        finally:
            connection.close()
        exchange.seconds = time.monotonic() - begun
        read_answer(exchange, bytes(raw))
        if place and answer.status == 200:
            kept = asdict(exchange) | {"kind": kind, "raw": raw.decode("utf-8", "replace")}
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(kept), encoding="utf-8")


def read_answer(exchange: Exchange, raw: bytes) -> None:
    """Take text, end and tokens from an answer, streamed or whole; pieces are counted where no usage came."""
    lines = [line.removeprefix(b"data:").strip() for line in raw.split(b"\n")]
    pieces = 0
    for line in [raw] if raw.lstrip().startswith(b"{") else lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        for choice in event.get("choices") or ():
            part = choice.get("delta") or choice.get("message") or {}
            calls = [call.get("function", {}).get("arguments") or "" for call in part.get("tool_calls") or ()]
            said = "".join([part.get("content") or "", *calls])
            exchange.text += said
            exchange.finish = choice.get("finish_reason") or exchange.finish
            pieces += bool(said)
        usage, timings = event.get("usage") or {}, event.get("timings") or {}  # the latter with each piece
        sent = timings.get("prompt_n", 0) + timings.get("cache_n", 0)
        exchange.input_tokens = usage.get("prompt_tokens") or sent or exchange.input_tokens
        exchange.output_tokens = usage.get("completion_tokens") or timings.get("predicted_n") or exchange.output_tokens
    exchange.output_tokens = exchange.output_tokens or pieces
