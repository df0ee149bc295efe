"""Ask an OpenAI-compatible server: one call's settings, one streamed answer, and what the server tells of itself.

    settings -> request, tried again plainer or later -> events -> answer -> its text, or why there is none

Nothing is known here of files and edits; nothing is kept between calls but what one server told.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _answers import first_line, spoken

# --- errors: what is said, and the exit code of the contract ----------------------------------------------------------


class Stop(Exception):
    """End the call; the message is the last line on standard error."""

    code = 1


class Unusable(Stop):
    """The answer holds no edit that may be applied; `kind` is one word for what it was instead, `said` its words."""

    def __init__(self, message: str, kind: str = "refused", said: str = "") -> None:
        super().__init__(message)
        self.kind, self.said = kind, said


class Misconfigured(Stop):
    """A setting, the key or the model is wrong: the next call would fail alike."""

    code = 2


class ServerTrouble(Stop):
    """The server is down, busy or silent: worth another try later."""

    code = 75


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """What is asked, of which server, about which files; each setting travels as LEAN_<NAME>, 0 tokens: not known."""

    prompt: str
    base_url: str = "http://127.0.0.1:8080/v1"
    files: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    mode: str = "edit"
    brief: bool = False
    api_key: str = ""
    model: str = ""
    timeout: float = 600.0
    idle: float = 120.0
    context_tokens: int = 0
    edit_format: str = "auto"
    edit_retries: int = 1
    thinking: str = ""
    temperature: float | None = None
    max_output_tokens: int = 0
    stop: list[Any] = field(default_factory=list)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = False
    usage_file: str = ""
    answer_file: str = ""
    draft: str = ""

    def body(self) -> dict[str, Any]:
        """Return what the request says of the answer."""
        limits = {"max_tokens": self.max_output_tokens, "stop": self.stop}
        asked = {key: value for key, value in limits.items() if value}
        heat = {} if self.temperature is None else {"temperature": self.temperature}
        return {**heat, **asked, **self.extra_body}


# --- the server -------------------------------------------------------------------------------------------------------

FEW_TOKENS = 1500  # a prompt below this fits everywhere: the server's context size is not asked for
BUSY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between tries at a busy server that names no time itself
CONTEXT_ERROR = re.compile(
    r"(?i)context[_ ](?:length|size|window)|exceed_context|maximum context|prompt is too long|too many tokens"
)
SOURCES = (  # where servers tell the size of a model's context, and which server does so
    ("/props", "llama.cpp"),
    ("/props?model={model}", "llama.cpp"),
    ("{base}/models", "OpenAI-compatible"),
    ("/api/v0/models", "LM Studio"),
    ("/api/ps", "Ollama"),
)
SIZES = ("max_model_len", "loaded_context_length", "n_ctx", "context_length", "context_window", "max_context_length")
NO_CHAT = re.compile(r"(?i)embed|rerank|\bbert|minilm|\b(?:bge|gte|e5)\b|whisper|\btts\b|diffusion|moderation")
LOCAL = re.compile(r"https?://(?:localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0)(?=[:/]|$)")
PORTS = (8080, 9931, 11434, 1234)  # where servers on one's own machine listen
BROKEN = (OSError, http.client.HTTPException)
CIRCLE, COPIES = 2000, 4  # what an answer's end repeats in so many characters and times is no code any more
STRIDE = 200  # characters of an answer between two looks at it
LAST_WORDS = 5.0  # seconds that a server may take to end its stream after it said that the answer is done
HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
NO_API = "{url} is no OpenAI-compatible API ({status}): {said}. Does base_url end in /v1?"
NO_MODEL = "The server has no model {model!r}: {said}. Set model in [lean]{known}."
FAULTS: tuple[tuple[str, type[Stop], str], ...] = (  # the first row that fits "STATUS what is said" tells what is wrong
    ("40[13]", Misconfigured, "The server refuses the key ({status}): {said}. Set api_key or api_key_env in [lean]."),
    ("[2-4].. <html>", Misconfigured, NO_API),
    ("(?i)404 .*model", Misconfigured, NO_MODEL),
    ("(?i)400 .*(?:(?:valid|unknown) model|model.* (?:exist|found))", Misconfigured, NO_MODEL),
    ("200|404|405", Misconfigured, NO_API),
    ("3", Misconfigured, "Nothing answers at {url} ({status}): {said}. Set base_url in [lean]."),
    ("429|503", ServerTrouble, "The server is busy ({status}): {said}.{wait}"),
    ("408|5", ServerTrouble, "The server failed ({status}): {said}."),
    ("", Misconfigured, "The server refuses the request ({status}): {said}."),
)


@dataclass
class Server:
    """One OpenAI-compatible server; `used` sums up what its answers took, `refused` holds what it does not know."""

    call: Call
    used: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    model: str = ""
    kind: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def base(self) -> str:
        """The path of base_url."""
        return re.sub(r"^\w+://[^/]*", "", self.call.base_url).rstrip("/")

    def left(self) -> float:
        """Return the seconds that are left of the time limit; ServerTrouble when none are."""
        left = self.begun + self.call.timeout - time.monotonic()
        if left <= 0:
            raise ServerTrouble(f"The time limit of {self.call.timeout:g} s is over ([lean] timeout).")
        return left

    def open(self, path: str, body: Any = None, patience: float = 10.0, root: bool = False) -> http.client.HTTPResponse:
        """Send one request and return the response; `root`: the path is not below base_url but at the server's root."""
        where, patience = self.call.base_url, min(patience, self.left())
        headers = HEADERS | ({"Authorization": f"Bearer {self.call.api_key}"} if self.call.api_key else {})
        try:
            parts = urllib.parse.urlsplit(where)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(where)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname, parts.port, timeout=patience)
            data = body and json.dumps(body).encode()
            connection.request("POST" if data else "GET", ("" if root else self.base) + path, data, headers)
            return connection.getresponse()
        except TimeoutError as error:
            raise ServerTrouble(f"{where} gave no answer within {patience:.0f} s ([lean] idle, timeout).") from error
        except (ValueError, http.client.InvalidURL) as error:
            raise Misconfigured(f"base_url {where!r} is no http(s) URL, or api_key no key: set [lean].") from error
        except BROKEN as error:
            raise self.unreached(error) from error

    def unreached(self, error: Exception) -> Stop:
        """Return what a failed connection means; a server that answers at another of the usual ports is named."""
        where, said = self.call.base_url, first_line(str(error)) or type(error).__name__
        if "WRONG_VERSION_NUMBER" in said:
            return Misconfigured(f"{where}: the server speaks no TLS. Write http:// for https:// in [lean] base_url.")
        for port in PORTS if isinstance(error, ConnectionRefusedError) and LOCAL.match(where) else ():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)  # the key is not for this one
            with suppress(*BROKEN):
                connection.request("GET", f"{self.base}/models")
                if parsed(body_of(connection.getresponse())):
                    said += f"; a server answers at http://127.0.0.1:{port}{self.base}: set base_url in [lean]"
        return ServerTrouble(f"No server answers at {where}: {said}.")

    def look_up(self, path: str, body: Any = None) -> Any:
        """Fetch JSON from the server's root, once; None where there is none."""
        if path not in self.told:
            self.told[path] = None
            with suppress(ServerTrouble):
                response = self.open(path, body, root=True)
                self.told[path] = parsed(body_of(response)) if response.status < 300 else None
        return self.told[path]

    def names(self) -> list[str]:
        """Return the models that the server lists, without those that cannot chat; raise where it has no list."""
        raw = body_of(self.send("/models"))
        self.told[f"{self.base}/models"] = found = parsed(raw)
        if found is None:
            raise self.failure(200 if raw else 504, raw)
        return chatting(found)

    def choose_model(self, names: Sequence[str]) -> str:
        """Return the model to ask: the only one, the first that is loaded, or the first of a server on this machine."""
        loaded = self.loaded() if len(names) > 1 else None
        likely = [name for name in names if loaded is None or name in loaded]
        if len(names) == 1 or (likely and (loaded is not None or LOCAL.match(self.call.base_url))):
            return (likely or names)[0]
        hint = f" to one of: {', '.join(names[:20])}" if names else ""
        raise Misconfigured(f"{self.call.base_url} lists {len(names) or 'no'} models. Set model in [lean]{hint}.")

    def loaded(self) -> list[str] | None:
        """Return the models in the server's memory; None where it does not tell."""
        for path in (f"{self.base}/models", "/api/v0/models", "/running"):
            rows = rows_of(self.look_up(path))
            states = [get(get(row, "status"), "value") or get(row, "state") for row in rows]
            if any(states):
                return [name_of(row) for row, state in zip(rows, states, strict=True) if state in ("loaded", "ready")]
        return None if self.look_up("/api/ps") is None else [name_of(row) for row in rows_of(self.look_up("/api/ps"))]

    def context(self) -> int:
        """Return the context size in tokens, as set or as the server tells it; 0 if it does not."""
        for path, kind in () if self.call.context_tokens else SOURCES:
            found = self.look_up(path.format(base=self.base, model=urllib.parse.quote(self.model)))
            rows = rows_of(found) or [found]
            told = json.dumps([row for row in rows if len(rows) == 1 or name_of(row) == self.model])
            for key in SIZES:
                if size := re.search(rf'"{key}": ([1-9]\d*)', told):
                    self.kind = kind
                    return int(size[1])
        return self.call.context_tokens

    def check_size(self, text: str) -> None:
        """Refuse a prompt that will not fit, with both numbers; llama.cpp counts it where it may be close."""
        tokens = estimate(text)
        size = self.context() if tokens > FEW_TOKENS else self.call.context_tokens
        if size and tokens > size / 2:
            self.told.pop("/tokenize", None)
            tokens = len(get(self.look_up("/tokenize", {"content": text}), "tokens") or ()) or tokens
        if size and tokens >= size:
            raise too_long(tokens, size)

    def ask(
        self,
        system: str,
        prompt: str,
        longest: int = 0,
        stops: Sequence[str] = (),
        enough: Enough | None = None,
        heat: float = 0,
    ) -> str:
        """Return the text of the answer to one request; Unusable where there is none that could stand.

        The answer ends at the first of `stops`, where it is `enough`, and after `longest` tokens (0: as the server sees
        fit) unless max_output_tokens says how many. `heat` is the least temperature (0: as it is set). A model that
        thinks has no such bounds at the server, but on this side.
        """
        self.model = self.model or self.call.model or self.choose_model(self.names())
        self.check_size(system + prompt)
        longest = 0 if self.call.max_output_tokens else longest
        bounds, (settings, thinks) = {"max_tokens": longest, "stop": [*stops, *self.call.stop]}, self.settings()
        bounds = {} if thinks else {key: value for key, value in bounds.items() if value}
        settings |= {"temperature": max(heat, settings.get("temperature") or 0)} if heat else {}
        answer = self.request(system, prompt, settings | bounds, Answer(self.call, longest, stops, enough))
        if bounds and not answer.said() and (stops or answer.finish == "length"):  # it began with its thoughts
            answer = self.request(system, prompt, settings, Answer(self.call, longest, stops, enough))
        text = answer.result()
        if folder := self.call.options.get("record"):
            record(Path(folder), self.call.mode, prompt, text)
        return text

    def settings(self) -> tuple[dict[str, Any], bool]:
        """Return what a request says of its answer, the user's word over the card's, and if the model thinks first."""
        call = self.call
        told = recommended(f"{self.model} {call.thinking}") if call.options.get("models", True) else {}
        level, _ = call.thinking or told.get("thinking", ""), told.pop("thinking", "")
        words = {"reasoning_effort": level.replace("off", "none")}
        words |= {"chat_template_kwargs": {"enable_thinking": level != "off"}}
        if level not in ("", "always") and not words.keys() & call.extra_body.keys():
            told |= words
        return told | call.body(), level not in ("", "off")

    def request(self, system: str, prompt: str, settings: dict[str, Any], answer: Answer) -> Answer:
        """Send one request and take in its answer."""
        said = (("system", system), ("user", prompt))
        messages = [{"role": role, "content": content} for role, content in said if content]
        body = {"model": self.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        body = {key: value for key, value in (body | settings).items() if key not in self.refused}
        # A slow machine needs time to read a long prompt before its first word: a second for twenty tokens.
        patience = self.call.idle + estimate(system + prompt) / 20
        try:
            with self.send("/chat/completions", body, patience) as response:
                self.receive(response, answer)
        finally:
            if answer.events:
                self.used += answer.used(estimate(system + prompt))
                answer.keep()
        return answer

    def send(self, path: str, body: dict[str, Any] | None = None, patience: float = 10.0) -> http.client.HTTPResponse:
        """Send a request; wait and try again where the server is busy, or asks for a plainer request."""
        waits = iter(BUSY_WAITS)
        while True:
            response = self.open(path, body, patience)
            if response.status == 200:
                return response
            raw = body_of(response)
            if body and response.status in (400, 422) and (plainer := self.without_refused(body, raw)):
                body = plainer
                continue
            asked, busy = response.headers.get("Retry-After"), response.status in (429, 503)
            pause = retry_after(asked) if asked else next(waits, None)
            if not busy or pause is None or pause >= self.left():
                moved = response.headers.get("Location")
                said = f"it has moved to {moved}".encode() if moved else raw
                raise self.failure(response.status, said, (asked and pause) or 0, body)
            time.sleep(pause)

    def without_refused(self, body: dict[str, Any], raw: bytes) -> dict[str, Any] | None:
        """Return the request without what the server says it does not take; None where the user asked for that.

        A temperature is left out even then: a sample without it is better than none.
        """
        said, (first, *rest) = raw.decode("utf-8", "replace").lower(), body["messages"]
        if "max_completion_tokens" in said and "max_tokens" in body and not CONTEXT_ERROR.search(said):
            plain = {key: value for key, value in body.items() if key != "max_tokens"}
            return {**plain, "max_completion_tokens": body["max_tokens"]}
        if "system" in said and "role" in said and rest:
            return {**body, "messages": [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}]}
        own = {*self.call.body(), "model", "messages"} - {"temperature"}
        for key in sorted(body.keys() - own, key=len, reverse=True):
            if re.search(rf"\b{key}", said):
                self.refused.add(key)
                if not key.startswith("stream"):
                    print(f"warning: the server does not take {key}: asked without it", file=sys.stderr)
                return {name: value for name, value in body.items() if name != key}
        return None

    def receive(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        """Read an answer; what goes wrong at its end does not matter where it can stand."""
        try:
            self.read(response, answer)
        except Stop:
            if not answer.stands():
                raise

    def read(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        """Read an answer, streamed or whole; ServerTrouble where it stalls or breaks off."""
        try:
            while not answer.ended and (line := self.next_line(response, answer)):
                name, _, data = line.partition(b":")
                if line.lstrip()[:1] in (b"{", b"[", b"<"):  # an answer as a whole, or no answer
                    self.take(answer, line + response.read(), whole=True)
                elif data.strip() == b"[DONE]":
                    answer.ended = True
                elif name in (b"data", b"error") and data.strip():
                    self.take(answer, data)
        except TimeoutError as error:
            self.left()
            raise ServerTrouble(
                f"The server fell silent for {self.call.idle:g} s in its answer ([lean] idle)."
            ) from error
        except BROKEN as error:
            raise ServerTrouble(f"The connection broke in the middle of the answer: {error or 'closed'}.") from error
        if not answer.stands():
            when = "in the middle of" if answer.events else "before a word of"
            raise ServerTrouble(f"The server closed the connection {when} the answer.")

    def next_line(self, response: http.client.HTTPResponse, answer: Answer) -> bytes:
        """Read one line of a stream within the idle limit and the time limit."""
        if sock := getattr(getattr(response.fp, "raw", None), "_sock", None):
            sock.settimeout(min(LAST_WORDS if answer.is_over() else self.call.idle, self.left()))
        return response.readline(10_000_000)

    def take(self, answer: Answer, raw: bytes, whole: bool = False) -> None:
        """Add what the server sent to the answer; raise the error that it may hold, pass over what is neither."""
        found = parsed(raw)
        error = get(found, "error") or ("error" in (get(found, "object"), get(found, "type")) and found)
        garbled = found is None and raw.strip() != b"null"
        if garbled and answer.events:
            raise ServerTrouble(f"The server's answer is garbled: {first_line(raw.decode('utf-8', 'replace'), 80)}")
        if error:
            status = number(error, "code") or number(found, "code")
            raise self.failure(status if 400 <= status < 600 else 500, raw)
        if isinstance(get(found, "choices"), list):
            answer.take(found)
        elif whole or garbled:
            raise self.failure(200, raw)
        answer.usage = get(found, "usage") or answer.usage
        answer.ended = answer.ended or whole

    def failure(self, status: int, raw: bytes, pause: float = 0, asked: Mapping[str, Any] | None = None) -> Stop:
        """Return what a status and its body mean."""
        html = "<html> " if raw.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else ""
        if not html and CONTEXT_ERROR.search(raw.decode("utf-8", "replace")):
            return context_error(raw, asked or {})
        told = {"status": status, "said": error_text(raw), "url": self.call.base_url, "model": self.model}
        wait = f" It asks to wait {pause:.0f} s." if pause else ""
        _, kind, words = next(row for row in FAULTS if re.match(row[0], f"{status} {html}{told['said']}"))
        names = chatting(self.look_up(f"{self.base}/models")) if words is NO_MODEL else ()
        known = f" to one of: {', '.join(names[:20])}" if names else ""
        return kind(words.format(**told, wait=wait, known=known))

    def health(self, path: str) -> bytes:
        """Return what stands at a path below base_url; raise where the server is not ready, or wrongly set up."""
        response = self.open(path)
        raw, status = body_of(response), response.status
        if status in (401, 403, 404, 429) or status >= 500:
            raise self.failure(status, raw)
        return raw

    def probe(self) -> dict[str, Any]:
        """Return what the server tells: its kind, the models, those loaded, the one to ask or why none, sizes."""
        raw, why = self.health("/models"), ""
        self.told[f"{self.base}/models"] = parsed(raw)
        names = chatting(parsed(raw))
        self.model = self.call.model
        try:
            self.model = self.model or self.choose_model(names)
        except Misconfigured as error:
            why = str(error)
        if self.model and names and self.model not in names:
            why = f"{self.model} is not listed there: {', '.join(names[:20])}"
        loaded = self.loaded() if len(names) > 1 else []
        told = {"health": "ok", "models": names, "loaded": loaded or [], "model": self.model, "why": why}
        slots = number(self.look_up("/props"), "total_slots")
        return {**told, "context": self.context(), "slots": slots, "kind": self.kind}


Enough = Callable[[str], bool]
FENCE_CLOSED = re.compile(r"\n`{3,}[ \t]*\n?\Z")


@dataclass
class Answer:
    """An answer as it comes in, piece by piece."""

    call: Call
    longest: int = 0
    stops: Sequence[str] = ()
    enough: Enough | None = None
    full: bool = False
    begun: float = field(default_factory=time.monotonic)
    shown: float = 0.0
    looked: int = 0
    text: str = ""
    thought: str = ""
    refusal: str = ""
    finish: str = ""
    finishes: int = 0
    tools: bool = False
    ended: bool = False
    events: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)

    def take(self, found: Mapping[str, Any]) -> None:
        """Add one event of a stream, or a whole answer: they differ in one key."""
        self.events += 1
        self.timings = found.get("timings") or self.timings
        for choice in [each for each in found["choices"] if not get(each, "index")][:1]:
            delta, message = get(choice, "delta"), get(choice, "message")
            part = delta or message or {"content": get(choice, "text")}
            said = flat(get(part, "content"))
            if self.full and said.strip():  # only the end was waited for, with its figures
                self.finish, self.ended = "stop", True
                return
            repeats = part is message and said.startswith(self.text)  # some say all at the end once more
            self.text = said if repeats else self.text + said
            self.thought += flat(get(part, "reasoning_content") or get(part, "reasoning"))
            self.refusal += flat(get(part, "refusal"))
            self.tools = self.tools or bool(get(part, "tool_calls"))
            finish = flat(get(choice, "finish_reason"))
            if finish not in ("", "null"):
                self.finish, self.finishes = finish, self.finishes + bool(said)
        self.bound()
        self.show_progress()

    def bound(self) -> None:
        """End the answer where enough is said: at a stop text, at its longest, or where it runs in circles."""
        said = self.said() if self.stops else ""
        if ends := [at for stop in self.stops if (at := said.find(stop, 1)) > 0]:
            self.text, self.finish, self.ended = said[: min(ends)], "stop", True
        if self.enough and FENCE_CLOSED.search(self.text) and self.enough(self.text):
            self.full = True
        size = len(self.text) + len(self.thought)
        if not self.ended and size < self.looked + STRIDE:
            return
        self.looked = size
        if (end := first_copy_end(self.text)) or first_copy_end(self.thought):
            self.text, self.finish, self.ended = self.text[:end], "circles", True
        elif self.longest and estimate(self.said()) > self.longest:
            self.finish, self.ended = "length", True

    def said(self) -> str:
        """Return the text without thoughts."""
        return spoken(self.text).strip()

    def stands(self) -> bool:
        """Tell whether nothing is missing: the server said so, or the answer can stand as it is."""
        return self.ended or self.is_over() or bool(finished_part(self.text, self.call.mode))

    def is_over(self) -> bool:
        """Tell whether the server said that the answer is over; some say so with each piece, which means nothing."""
        return bool(self.finish) and self.finishes <= 1

    def keep(self) -> None:
        """Add what the model said to the record of this call."""
        if self.call.answer_file:
            thought = f"<think>\n{self.thought}\n</think>\n" if self.thought else ""
            with suppress(OSError), Path(self.call.answer_file).open("a", encoding="utf-8", errors="replace") as file:
                file.write(("\n--- the next answer ---\n" if file.tell() else "") + thought + self.text)

    def show_progress(self) -> None:
        """Print tokens and tokens a second: a live line on a terminal, lines for the loop."""
        now = time.monotonic()
        if now - self.shown < 0.5 or not (self.call.progress or sys.stderr.isatty()):
            return
        count, self.shown = number(self.usage, "completion_tokens") or self.events, now
        rate = count / max(0.001, now - self.begun)
        line = f"progress: {count} {rate:.1f}\n" if self.call.progress else f"\r\033[K{count} tokens, {rate:.1f}/s\r"
        print(line, end="", file=sys.stderr, flush=True)

    def used(self, guess: int) -> Counter[str]:
        """Return what the server said of tokens, or estimates, and how many of its answers were estimated."""
        details = self.usage.get("prompt_tokens_details")
        cached = number(details, "cached_tokens") or number(self.timings, "cache_n")
        timed = number(self.timings, "prompt_n")
        sent = number(self.usage, "prompt_tokens") or (timed and timed + cached)
        got = number(self.usage, "completion_tokens") or number(self.timings, "predicted_n")
        got = got or estimate(self.text + self.thought)
        figures = {"requests": 1, "input_tokens": sent or guess, "output_tokens": got, "cached_tokens": cached}
        return Counter({**figures, "estimated": int(not sent)})

    def result(self) -> str:
        """Return the answer's text; Unusable where it is a refusal, a tool call, cut off or nothing at all."""
        text = self.text
        if self.finish in ("length", "circles"):
            text = finished_part(text, self.call.mode)
            if not text:
                raise self.cut_off()
        if self.refusal or self.finish == "content_filter":
            raise Unusable(f"The model refused: {first_line(self.refusal) or 'its answer was filtered'}")
        text = text if text.strip() else self.thought
        if not spoken(text).strip():
            tool = "The model answered with a tool call, although no tools were offered; try another chat template."
            raise Unusable(tool if self.tools else "The model's answer is empty.")
        return text

    def cut_off(self) -> Unusable:
        """Say where an answer was cut off, and what to set."""
        count, said = number(self.usage, "completion_tokens"), self.said()
        if self.finish == "circles":
            where = f" after {first_line(self.text[-80:])!r}" if said else " in its thoughts"
            return Unusable(f"The model ran in circles{where}: set temperature, or a repetition penalty in extra_body.")
        what = "The answer was" if said else "The model was still thinking when it was"
        hint = "name fewer or smaller files" if said else 'set thinking = "off"'
        when = f" after {count} tokens" if count else ""
        limits = "raise max_output_tokens or the server's context"
        return Unusable(f"{what} cut off{when} (finish_reason length): {limits}, or {hint}.")


def first_copy_end(text: str) -> int | None:
    """Return where the first copy ends of what a text's end repeats in circles; None where it does not.

    Equal rows of data, closing lines and drawings stay below COPIES copies or CIRCLE characters.
    """
    end = text[-50:]
    at = text.rfind(end, 0, -1) if len(text) >= CIRCLE else -1
    while at >= 0 and COPIES * (period := len(text) - len(end) - at) <= len(text):
        size = max(CIRCLE, COPIES * period)
        if text[-size:-period] == text[period - size :]:
            while size < len(text) and text[-size - 1] == text[period - size - 1]:
                size += 1
            return len(text) - size + period
        at = text.rfind(end, 0, at + len(end) - 1)
    return None


def finished_part(text: str, mode: str) -> str:
    """Return what can stand of an answer whose end never came: edits if all fences are closed, whole sentences."""
    if mode == "ask":
        sentences = re.match(r"(?s).*[.!?](?=\W*(?:\s|$))", spoken(text))
        return sentences[0] if sentences else ""
    fence, closed, lines = "", False, spoken(text).split("\n")
    for line in lines:
        ticks = re.match(r"\s*(`{3,}|~{3,})(.*)", line)
        if ticks and not fence:
            fence = ticks[1]
        elif ticks and ticks[1].startswith(fence) and not ticks[2].strip():
            fence, closed = "", True
    heads, tails = (sum(line.startswith(mark) for line in lines) for mark in ("<<<<<<< S", ">>>>>>> R"))
    return text if (closed or tails) and heads == tails and not fence else ""


def body_of(response: http.client.HTTPResponse) -> bytes:
    """Read what a response holds; nothing where it breaks off."""
    with response, suppress(*BROKEN):
        return response.read(50_000_000)
    return b""


def flat(content: Any) -> str:
    """Return the text of a message's content, also where it comes in parts."""
    if isinstance(content, list):
        return "".join(flat(get(part, "text")) for part in content)
    return content if isinstance(content, str) else ""


def parsed(raw: bytes) -> Any:
    """Parse JSON; None where it is none."""
    with suppress(ValueError):
        return json.loads(raw)
    return None


def get(place: Any, key: str) -> Any:
    return place.get(key) if isinstance(place, dict) else None


def rows_of(listing: Any) -> list[Any]:
    """Return the models of a listing: OpenAI's and LM Studio's, Ollama's, or a bare list."""
    rows = get(listing, "data") or get(listing, "models") or listing
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def name_of(row: Any) -> str:
    return str(get(row, "id") or get(row, "name") or get(row, "model"))


def number(place: Any, key: str) -> int:
    """Read a number from a JSON object; 0 where there is none."""
    value = get(place, key)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def estimate(text: str) -> int:
    """Guess tokens at four bytes each."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def retry_after(value: str) -> float | None:
    """Read a Retry-After header, seconds or a date; None if it is neither."""
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def error_text(raw: bytes) -> str:
    """Find the sentence in an error's body, whatever its form."""
    found = parsed(raw)
    if found is None:
        text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", raw.decode("utf-8", "replace"))
        return first_line(text).rstrip(".") or "no reason given"
    for key in ("error", "detail", "message", "msg"):
        while get(found, key):
            found = found[key]
    return first_line(found if isinstance(found, str) else json.dumps(found)).rstrip(".")


def chatting(listing: Any) -> list[str]:
    """Return the names of the models in a listing, without those that only embed, rank, hear or speak."""
    return [name_of(row) for row in rows_of(listing) if not NO_CHAT.search(f"{name_of(row)} {get(row, 'type')}")]


def recommended(name: str) -> dict[str, Any]:
    """Return the settings that the card of a model recommends: the first row of _models.txt that fits its name."""
    with suppress(OSError):
        for line in Path(__file__).with_name("_models.txt").read_text(encoding="utf-8").splitlines():
            pattern, *pairs = line.split() or ("#",)
            if not pattern.startswith("#") and re.search(pattern, name, re.IGNORECASE):
                settings = dict(pair.split("=") for pair in pairs)
                return {key: value if key == "thinking" else json.loads(value) for key, value in settings.items()}
    return {}


def context_error(raw: bytes, body: Mapping[str, Any]) -> Misconfigured:
    """Turn a server's word on its context into ours, with the numbers that it tells."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", raw.decode("utf-8", "replace"))
    limit = re.search(r'"n_ctx"\D+(\d+)', text) or re.search(r"context\D{0,60}?(\d{3,})", text)
    size, answer = int(limit[1]) if limit else 0, number(body, "max_tokens") or number(body, "max_completion_tokens")
    figures = [int(found) for found in re.findall(r"\d{3,9}", text) if int(found) not in (size, answer)]
    tokens = next((figure for figure in figures if figure > size > 0), 0) - (answer if str(answer) in text else 0)
    if own := re.search(r"(\d+) (?:tokens )?(?:in the |from the |)(?:messages|prompt|input)", text):
        tokens = int(own[1])
    if not size or tokens <= 0:
        return Misconfigured(f"The prompt does not fit the server's context: {error_text(raw)}.")
    return too_long(tokens, size, answer)


def too_long(tokens: int, size: int, answer: int = 0) -> Misconfigured:
    """Say which of the prompt and the answer is too long for the context."""
    if tokens < size:
        words = f"The prompt has about {tokens} tokens, the answer may have {answer or 'as many as are left'}"
        return Misconfigured(f"{words}, the server's context {size}. Lower max_output_tokens in [lean].")
    hint = "Give the server a larger context, or the task fewer or smaller files (context_tokens)."
    return Misconfigured(f"The prompt has about {tokens} tokens, the server's context {size}. {hint}")


def record(folder: Path, mode: str, prompt: str, text: str) -> None:
    """Keep the answer to a prompt in the form that playground/serve.py plays."""
    task = None if mode == "ask" else re.search(r"^# Task: .+$", prompt, re.MULTILINE)
    when = task[0] if task else " ".join(first_line(prompt).split(" ")[:6])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(list(folder.glob('*.md'))) + 1:02d}.md"
        told = f"<!-- when: {when.replace('-->', '').split(' | ')[0].strip()} -->\n{text}\n"
        path.write_text(told, encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"options.record: {folder}: {error.strerror}. Name another folder in [lean].") from error
