#!/usr/bin/env python3
"""Play recorded answers: a loopback server that speaks the chat-completions API.

A recording is a folder of Markdown files, one answer each, read in the order of their names. The first line may say
when an answer fits: `<!-- when: one text | another text -->` (all of them must stand in the request's messages). Each
request gets the first fitting answer that was not given yet; when all that fit were given, the last of them again.

Run by itself, `serve.py FOLDER` prints its base URL and serves until it is ended.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Body = dict[str, Any]
MODEL = "recorded"
NO_ANSWER = "There is no recorded answer for this request."


@dataclass
class Answer:
    """One recorded answer: the texts that must stand in a request, and what is said then."""

    when: tuple[str, ...]
    text: str
    given: int = 0


@dataclass
class Recording:
    """Answers in their order; call it with a request's body to get the text of the next one that fits."""

    answers: list[Answer]
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read `*.md` in FOLDER, in the order of the file names."""
        return cls([parse(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.md"))])

    def __call__(self, body: Body) -> str:
        prompt = said(body)
        with self.lock:
            fitting = [answer for answer in self.answers if all(text in prompt for text in answer.when)]
            if not fitting:
                return NO_ANSWER
            answer = next((answer for answer in fitting if not answer.given), fitting[-1])
            answer.given += 1
            return answer.text


class Loopback:
    """Serve with HANDLER on a free loopback port, within a `with` statement."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.http.shutdown()
        self.http.server_close()


class ChatServer(Loopback):
    """Serve chat completions on a free loopback port; `answer` maps a request's body to the answer's text.

    `requests` keeps every completion request's body, in order of arrival; CONTEXT is told as the model's size in
    tokens, where it is not 0. Use it in a `with` statement.
    """

    def __init__(self, answer: Callable[[Body], str], model: str = MODEL, pause: float = 0.0, context: int = 0) -> None:
        super().__init__(type("Handler", (ChatHandler,), {"chat": self}))
        self.answer, self.model, self.pause, self.context = answer, model, pause, context
        self.requests: list[Body] = []

    @property
    def base_url(self) -> str:
        """The URL to set as `[lean] base_url`."""
        return f"{self.origin}/v1"


class JsonHandler(BaseHTTPRequestHandler):
    """Send JSON, whole or as server-sent events, and keep quiet: the terminal belongs to lean-loop."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client may hang up
            super().handle()

    def reply(self, data: Body, status: int = 200) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, data: Body, name: str = "") -> None:
        head = f"event: {name}\n" if name else ""
        self.wfile.write(f"{head}data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class ChatHandler(JsonHandler):
    """Answer `/v1/models`, `/health` and `/v1/chat/completions`, streamed or whole."""

    chat: ChatServer

    def do_GET(self) -> None:
        if self.path.endswith("/models"):
            told = {"max_model_len": self.chat.context} if self.chat.context else {}
            self.reply({"object": "list", "data": [{"id": self.chat.model, "object": "model", **told}]})
        elif self.path == "/health":
            self.reply({"status": "ok"})
        else:
            self.reply({"error": {"message": f"no such path: {self.path}"}}, 404)

    def do_POST(self) -> None:
        body: Body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if not self.path.endswith("/chat/completions"):
            self.reply({"error": {"message": f"no such path: {self.path}"}}, 404)
            return
        self.chat.requests.append(body)
        text = self.chat.answer(body)
        used = usage(body, text)
        if body.get("stream"):
            self.stream(text, used)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self.reply({"id": "recorded", "object": "chat.completion", "choices": [choice], "usage": used})

    def stream(self, text: str, used: Body) -> None:
        """Send TEXT as server-sent events, a line of it at a time, then the usage."""
        self.begin_stream()
        for piece in text.splitlines(keepends=True):
            self.chunk({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
            time.sleep(self.chat.pause)
        self.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.chunk({"choices": [], "usage": used})
        self.wfile.write(b"data: [DONE]\n\n")

    def chunk(self, data: Body) -> None:
        self.event({"object": "chat.completion.chunk", **data})


def parse(text: str) -> Answer:
    """Split a recorded answer into the texts of its `when` line and the answer itself."""
    head, _, rest = text.partition("\n")
    if not (head.startswith("<!-- when:") and head.endswith("-->")):
        return Answer((), text)
    return Answer(tuple(part.strip() for part in head[10:-3].split(" | ")), rest.lstrip("\n"))


def said(body: Body) -> str:
    """Join the text of all messages of a request."""
    return "\n".join(str(message.get("content", "")) for message in body.get("messages", []))


@contextmanager
def replayed(playground: Path) -> Iterator[tuple[Path, Body]]:
    """Copy PLAYGROUND to a temporary folder and serve its answers; give the copy and the `[lean]` settings for it."""
    work = Path(tempfile.mkdtemp(prefix="lean-loop-")) / playground.name
    unwanted = shutil.ignore_patterns("answers", "__pycache__", ".pytest_cache", "*.db")
    shutil.copytree(playground, work, ignore=unwanted)
    (work.parent / ".lean-loop-demo").touch()  # --runs --prune removes what has it
    with ChatServer(Recording.read(playground / "answers")) as server:
        yield work, {"binary": "direct", "base_url": server.base_url, "model": server.model, "context_tokens": 8192}


def usage(body: Body, text: str) -> Body:
    """Estimate a request's usage at four bytes a token: there is no tokenizer here."""
    sent, got = (max(1, len(part.encode()) // 4) for part in (said(body), text))
    return {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}


def main() -> int:
    if len(sys.argv) != 2 or not any(Path(sys.argv[1]).glob("*.md")):
        print("usage: serve.py FOLDER (one that holds recorded answers, *.md)", file=sys.stderr)
        return 2
    with ChatServer(Recording.read(Path(sys.argv[1]))) as server:
        print(server.base_url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
