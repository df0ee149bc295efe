"""A scripted model behind every protocol that the agent CLIs speak: one loopback server, streamed and plain.

It speaks chat completions, Responses, Anthropic messages and Gemini's generateContent. What is said comes from a
script; each request is kept as it came over the wire, and what it and its answer cost is counted here.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from playground.serve import JsonHandler, Loopback

Body = dict[str, Any]
Event = tuple[str, Body]
MODEL = "scripted"
COUNT = itertools.count(1)


def call_id() -> str:
    """Make an id that no other call has: CLIs drop a call whose id they have seen."""
    return f"call_{next(COUNT)}"


def quarter(text: str) -> int:
    """Count a text's tokens roughly: one for four bytes."""
    return 1 + len(text.encode()) // 4


@dataclass(frozen=True)
class Say:
    """An answer: words, or one call of a tool; `free` is the text of a tool that takes text instead of JSON.

    `more` are further calls in the same answer, in Anthropic's protocol.
    """

    text: str = ""
    tool: str = ""
    arguments: Body = field(default_factory=dict)
    free: str = ""
    more: tuple[Say, ...] = ()

    @property
    def written(self) -> str:
        """All that the model wrote."""
        call = self.tool + json.dumps(self.arguments) if self.tool else ""
        return self.text + self.free + call + "".join(say.written for say in self.more)


@dataclass(frozen=True)
class Fail:
    """A refusal: a status, and an error of this kind in the protocol's own shape."""

    status: int
    message: str
    code: str = "error"


@dataclass(frozen=True)
class Cost:
    """Tokens of one request as the server counts them; `cached` ones are among those of the input."""

    sent: int = 0
    got: int = 0
    cached: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.sent + other.sent, self.got + other.got, self.cached + other.cached)


@dataclass(frozen=True)
class Request:
    """One request to a model, as it came over the wire."""

    path: str
    headers: dict[str, str]
    raw: bytes
    body: Body
    speech: Speech

    @property
    def turn(self) -> int:
        """How often the model has spoken before in this conversation."""
        return self.speech.turn(self.body)

    @property
    def tools(self) -> tuple[str, ...]:
        """The names of the tools that are offered."""
        return tuple(self.speech.tools(self.body))

    @property
    def key(self) -> str:
        """The key, wherever this protocol carries it."""
        named = (self.headers.get(name, "") for name in ("x-api-key", "x-goog-api-key", "authorization"))
        return next((value.removeprefix("Bearer ") for value in named if value), "")


Model = Callable[[Request], Say | Fail]


class Speech(Protocol):
    """What is particular to a protocol."""

    def turn(self, body: Body) -> int: ...
    def tools(self, body: Body) -> list[str]: ...
    def whole(self, say: Say, cost: Cost) -> Body: ...
    def pieces(self, say: Say, cost: Cost) -> Iterator[Event]: ...
    def failure(self, fail: Fail) -> Body: ...


class Chat:
    """OpenAI's chat completions."""

    def turn(self, body: Body) -> int:
        return sum(message["role"] == "assistant" for message in body["messages"])

    def tools(self, body: Body) -> list[str]:
        return [tool["function"]["name"] for tool in body.get("tools", [])]

    def calls(self, say: Say) -> list[Body]:
        function = {"name": say.tool, "arguments": json.dumps(say.arguments)}
        return [{"index": 0, "id": call_id(), "type": "function", "function": function}]

    def message(self, say: Say) -> Body:
        said: Body = {"role": "assistant", "content": say.text}
        return {**said, "tool_calls": self.calls(say)} if say.tool else said

    def usage(self, cost: Cost) -> Body:
        details = {"prompt_tokens_details": {"cached_tokens": cost.cached}}
        total = cost.sent + cost.got
        return {"prompt_tokens": cost.sent, "completion_tokens": cost.got, "total_tokens": total, **details}

    def head(self, kind: str) -> Body:
        return {"id": f"chatcmpl-{call_id()}", "object": kind, "created": 1, "model": MODEL}

    def whole(self, say: Say, cost: Cost) -> Body:
        choice = {"index": 0, "message": self.message(say), "finish_reason": "tool_calls" if say.tool else "stop"}
        return {**self.head("chat.completion"), "choices": [choice], "usage": self.usage(cost)}

    def pieces(self, say: Say, cost: Cost) -> Iterator[Event]:
        head = self.head("chat.completion.chunk")
        end = "tool_calls" if say.tool else "stop"
        for delta, reason in ((self.message(say), None), ({}, end)):
            yield "", {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        yield "", {**head, "choices": [], "usage": self.usage(cost)}

    def failure(self, fail: Fail) -> Body:
        return {"error": {"message": fail.message, "type": fail.code, "code": fail.code, "param": None}}


class Responses:
    """OpenAI's Responses."""

    def turn(self, body: Body) -> int:
        spoken = ("function_call", "custom_tool_call")
        return sum(item.get("type") in spoken or item.get("role") == "assistant" for item in body["input"])

    def tools(self, body: Body) -> list[str]:
        return [tool.get("name", tool["type"]) for tool in body.get("tools", [])]

    def item(self, say: Say) -> Body:
        call = {"id": "item_1", "call_id": call_id(), "name": say.tool, "status": "completed"}
        if say.free:
            return {**call, "type": "custom_tool_call", "input": say.free}
        if say.tool:
            return {**call, "type": "function_call", "arguments": json.dumps(say.arguments)}
        words = [{"type": "output_text", "text": say.text, "annotations": []}]
        return {"type": "message", "id": "item_1", "role": "assistant", "status": "completed", "content": words}

    def response(self, items: list[Body], cost: Cost | None) -> Body:
        counted: Body | None = None
        if cost:
            counted = {"input_tokens": cost.sent, "output_tokens": cost.got, "total_tokens": cost.sent + cost.got}
            counted |= {"input_tokens_details": {"cached_tokens": cost.cached}}
            counted |= {"output_tokens_details": {"reasoning_tokens": 0}}
        status = "completed" if cost else "in_progress"
        head = {"id": f"resp_{call_id()}", "object": "response", "created_at": 1, "model": MODEL}
        return {**head, "status": status, "output": items, "usage": counted}

    def whole(self, say: Say, cost: Cost) -> Body:
        return self.response([self.item(say)], cost)

    def pieces(self, say: Say, cost: Cost) -> Iterator[Event]:
        item, place = self.item(say), {"output_index": 0}
        yield "response.created", {"response": self.response([], None)}
        yield "response.output_item.added", {**place, "item": {**item, "status": "in_progress", "content": []}}
        if say.text:
            yield "response.output_text.delta", {**place, "item_id": "item_1", "content_index": 0, "delta": say.text}
        yield "response.output_item.done", {**place, "item": item}
        yield "response.completed", {"response": self.response([item], cost)}

    def failure(self, fail: Fail) -> Body:
        return Chat().failure(fail)


class Messages:
    """Anthropic's messages; its input_tokens leave out what was cached."""

    def turn(self, body: Body) -> int:
        return sum(message["role"] == "assistant" for message in body["messages"])

    def tools(self, body: Body) -> list[str]:
        return [tool["name"] for tool in body.get("tools", [])]

    def block(self, say: Say) -> Body:
        if say.tool:
            return {"type": "tool_use", "id": call_id(), "name": say.tool, "input": say.arguments}
        return {"type": "text", "text": say.text}

    def usage(self, cost: Cost) -> Body:
        cached = {"cache_read_input_tokens": cost.cached, "cache_creation_input_tokens": 0}
        return {"input_tokens": cost.sent - cost.cached, "output_tokens": cost.got, **cached}

    def message(self, blocks: list[Body], reason: str | None, cost: Cost) -> Body:
        head = {"id": f"msg_{call_id()}", "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None}
        return {**head, "content": blocks, "stop_reason": reason, "usage": self.usage(cost)}

    def whole(self, say: Say, cost: Cost) -> Body:
        blocks = [self.block(part) for part in (say, *say.more)]
        return self.message(blocks, "tool_use" if say.tool else "end_turn", cost)

    def pieces(self, say: Say, cost: Cost) -> Iterator[Event]:
        reason = {"stop_reason": "tool_use" if say.tool else "end_turn", "stop_sequence": None}
        yield "message_start", {"message": self.message([], None, cost)}
        for index, part in enumerate((say, *say.more)):
            empty: Body = {"input": {}} if part.tool else {"text": ""}
            delta: Body = {"type": "text_delta", "text": part.text}
            if part.tool:
                delta = {"type": "input_json_delta", "partial_json": json.dumps(part.arguments)}
            yield "content_block_start", {"index": index, "content_block": {**self.block(part), **empty}}
            yield "content_block_delta", {"index": index, "delta": delta}
            yield "content_block_stop", {"index": index}
        yield "message_delta", {"delta": reason, "usage": self.usage(cost)}
        yield "message_stop", {}

    def failure(self, fail: Fail) -> Body:
        kinds = {401: "authentication_error", 404: "not_found_error"}
        kind = kinds.get(fail.status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": fail.message}}


class Gemini:
    """Google's generateContent."""

    def turn(self, body: Body) -> int:
        return sum(content["role"] == "model" for content in body["contents"])

    def tools(self, body: Body) -> list[str]:
        return [tool["name"] for group in body.get("tools", []) for tool in group.get("functionDeclarations", [])]

    def whole(self, say: Say, cost: Cost) -> Body:
        call = {"functionCall": {"name": say.tool, "args": say.arguments}}
        content = {"role": "model", "parts": [call if say.tool else {"text": say.text}]}
        counted = {"promptTokenCount": cost.sent, "candidatesTokenCount": cost.got}
        counted |= {"cachedContentTokenCount": cost.cached, "totalTokenCount": cost.sent + cost.got}
        candidate = {"content": content, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], "usageMetadata": counted, "modelVersion": MODEL}

    def pieces(self, say: Say, cost: Cost) -> Iterator[Event]:
        yield "", self.whole(say, cost)

    def failure(self, fail: Fail) -> Body:
        kinds = {401: "UNAUTHENTICATED", 404: "NOT_FOUND"}
        status = kinds.get(fail.status, "INVALID_ARGUMENT")
        return {"error": {"code": fail.status, "message": fail.message, "status": status}}


SPEECHES: dict[str, Speech] = {
    "/chat/completions": Chat(),
    "/responses": Responses(),
    "/messages": Messages(),
    ":generateContent": Gemini(),
    ":streamGenerateContent": Gemini(),
}
DONE = {"/chat/completions": b"data: [DONE]\n\n"}


class Server(Loopback):
    """Serve a script on a free loopback port. `requests` are those to a model; `others` all other paths asked for.

    `count` tells how many tokens a text has; what it says of requests and answers is the usage that CLIs are told.
    """

    def __init__(self, model: Model, pause: float = 0.0, count: Callable[[str], int] = quarter) -> None:
        super().__init__(type("Handler", (Door,), {"server_": self}))
        self.model, self.pause, self.count = model, pause, count
        self.requests: list[Request] = []
        self.costs: list[Cost] = []
        self.others: list[str] = []

    @property
    def cost(self) -> Cost:
        """What all answers that were given cost together."""
        return sum(self.costs, Cost())


class Door(JsonHandler):
    """Take requests in, and send the script's answers out."""

    server_: Server

    def do_GET(self) -> None:
        self.server_.others.append(f"GET {self.path}")
        if self.path.endswith("/models"):
            self.reply({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self.reply({"error": {"message": f"no such path: {self.path}"}}, 404)

    def do_HEAD(self) -> None:
        self.server_.others.append(f"HEAD {self.path}")
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        ending = next((end for end in SPEECHES if path.endswith(end)), "")
        if not ending:
            self.server_.others.append(f"POST {path}")
            self.reply({"error": {"message": f"no such path: {path}"}}, 404)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(path, headers, raw, json.loads(raw), SPEECHES[ending])
        self.server_.requests.append(request)
        self.answer(request, ending)

    def answer(self, request: Request, ending: str) -> None:
        """Ask the script, and send what it says in the request's own protocol."""
        time.sleep(self.server_.pause)
        said = self.server_.model(request)
        if isinstance(said, Fail):
            self.reply(request.speech.failure(said), said.status)
            return
        sent = self.server_.count(request.raw.decode())
        got = self.server_.count(said.written)
        cost = Cost(sent, got, sent // 3)
        self.server_.costs.append(cost)
        if request.body.get("stream") or ending == ":streamGenerateContent":
            self.stream(request.speech.pieces(said, cost), DONE.get(ending, b""))
        else:
            self.reply(request.speech.whole(said, cost))

    def stream(self, events: Iterator[Event], last: bytes) -> None:
        self.begin_stream()
        for name, data in events:
            self.event({"type": name, **data} if name else data, name)
        self.wfile.write(last)
