#!/usr/bin/env python3
# lean: overhead=607 idle=own edits=told
"""Ask an OpenAI-compatible server for a change, and make it: the leanest hands a model can have.

    prompt -> one streamed request -> answer -> edits -> new texts -> files, all or none

An answer holds edits as plain text, because that is what models of any size write best: a path and a fenced block with
the whole file or with the definitions that change, SEARCH/REPLACE blocks, or a unified diff. What is clear is taken as
it is meant; what is not clear is refused with its reason, after one small request to send it again.

Settings come as LEAN_* variables (README.md beside this file) or as options. Exit codes: 0 done, 1 no usable edit,
2 wrongly set up, 75 trouble of the server. Nothing is kept: every call is a fresh conversation.
"""

from __future__ import annotations

import argparse
import difflib
import email.utils
import errno
import http.client
import json
import os
import re
import signal
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

if (here := str(Path(__file__).resolve().parent)) not in sys.path:
    sys.path.insert(0, here)

from _definitions import decode, definitions
from _edits import (
    TOOL_CALL,
    Change,
    Code,
    Edit,
    Plan,
    Read,
    Reader,
    Refusal,
    Refused,
    below,
    first_line,
    place_all,
    resolve,
    spoken,
    tidy,
    without_tools,
)

SYSTEM = "You are a careful programmer. You answer with code that can be put into the project as it stands."
BLOCK_OF = {  # what a fenced block of the answer holds, by edit_format and by what the prompt shows
    "new": "the whole file",
    "whole": "the whole file",
    "parts": "every function that must change, each complete",
}
SEARCH_FORM = """\
Now write the changes. For each: the file's path alone on a line, then a fenced block that holds
<<<<<<< SEARCH
lines exactly as they are
=======
lines as they shall be
>>>>>>> REPLACE"""
FEW_TOKENS = 1500  # a prompt below this fits everywhere: the server's context size is not asked for
ROOM_TO_ANSWER, DEFAULT_CONTEXT = 1024, 8192
MASK = "[masked by lean-loop]"  # what the loop puts in the place of a secret in prompts
BUSY_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between tries at a busy server that names no time itself


# --- errors: what is said, and the exit code of the contract ----------------------------------------------------------


class Stop(Exception):
    """End the call; the message is the last line on standard error."""

    code = 1


class Unusable(Stop):
    """The answer holds no edit that may be applied; `kind` is one word for what it was instead."""

    def __init__(self, message: str, kind: str = "no-edit") -> None:
        super().__init__(message)
        self.kind = kind


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
    api_key: str = ""
    model: str = ""
    timeout: float = 600.0
    idle: float = 120.0
    context_tokens: int = 0
    edit_format: str = "auto"
    edit_retries: int = 1
    temperature: float | None = None
    max_output_tokens: int = 0
    stop: list[Any] = field(default_factory=list)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = False
    usage_file: str = ""

    def body(self) -> dict[str, Any]:
        """Return what the request says of the answer."""
        limits = {"max_tokens": self.max_output_tokens, "stop": self.stop}
        asked = {key: value for key, value in limits.items() if value}
        heat = {} if self.temperature is None else {"temperature": self.temperature}
        return {**heat, **asked, **self.extra_body}


# --- files: names, bytes <-> text, and writing all or nothing ---------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """A file as it lies on disk: its bytes, how they are read, and its text."""

    raw: bytes
    encoding: str
    content: str

    @property
    def text(self) -> str:
        """The text with plain newlines."""
        return self.content.replace("\r\n", "\n")

    def encode(self, text: str) -> bytes:
        """Write a new text the way the file is written: line endings, encoding, byte order mark."""
        mark = self.raw[: len(self.raw) - len(self.content.encode(self.encoding))]
        return mark + endings_like(self.content, text).encode(self.encoding)


def endings_like(old: str, new: str) -> str:
    """Give lines the endings of the old text: of the same line where it stays, else of most lines."""
    olds, news = re.findall(r"[^\n]*\n", old), re.findall(r"[^\n]*\n|[^\n]+", new)
    crlf = sum(line.endswith("\r\n") for line in olds)
    usual = "\r\n" if crlf * 2 > len(olds) else "\n"
    written = [line.replace("\n", usual) for line in news]
    if 0 < crlf < len(olds):
        plain = [line.replace("\r\n", "\n") for line in olds]
        for block in difflib.SequenceMatcher(None, plain, news, False).get_matching_blocks():
            written[block.b : block.b + block.size] = olds[block.a : block.a + block.size]
    return "".join(written)


class Project:
    """The files below a root, as the reading and placing of edits knows them."""

    def __init__(self, root: Path, call: Call) -> None:
        self.place_of, self.call, self.root = root.resolve(), call, root.resolve().as_posix()
        self.prompt, self.listed = call.prompt.replace("\r\n", "\n"), list[str]()
        for path in map(tidy, call.files):
            try:
                self.read(path)
                self.listed.append(path)
            except Refusal as refusal:
                if refusal.kind == "encoding":
                    raise Misconfigured(f"{refusal} Save it as UTF-8, or declare its encoding in it.") from None

    def protects(self, path: str) -> bool:
        return protected(path, self.call.protect)

    def place(self, path: str) -> Path:
        """Return where a path lies; Refusal where it, or what it links to, lies outside the root or in .git."""
        place = self.place_of / below(path, self)
        with suppress(OSError, RuntimeError, ValueError):
            inside = place.resolve().relative_to(self.place_of)
            if inside.parts and ".git" not in map(str.lower, inside.parts):
                return place
        raise Refusal("outside", f"{path!r} lies outside the project: it is not edited.")

    def read(self, path: str) -> Stored | None:
        """Read a file; None if there is none."""
        try:
            raw = self.place(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            raise Refusal("no-place", f"{path} is a folder: it is not edited.") from None
        except OSError as error:
            raise Refusal("no-place", f"{path[:200]} cannot be read: {error.strerror}.") from error
        if not (found := decode(raw)):
            binary = b"\0" in raw
            what = "is a binary file: it is not edited." if binary else "is in an encoding that cannot be told."
            raise Refusal("binary" if binary else "encoding", f"{path} {what}")
        return Stored(raw, found[1], found[0])

    def text(self, path: str) -> str | None:
        stored = self.read(path)
        return stored.text if stored else None


def protected(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether gitignore-like patterns cover a path; the last that fits decides, `!` excepts."""
    verdict = False
    for pattern in patterns:
        if glob(pattern.removeprefix("!")).match(path):
            verdict = not pattern.startswith("!")
    return verdict


def glob(pattern: str) -> re.Pattern[str]:
    """Compile a gitignore-like pattern: a name at any depth, a path from the root, a folder and all below it."""
    table = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", pattern.strip("/"))
    body = "".join(table.get(part, part.replace("[!", "[^") if part[1:] else re.escape(part)) for part in parts)
    return re.compile(("" if "/" in pattern.rstrip("/") else "(?:.*/)?") + body + r"(?:/.*)?\Z", re.DOTALL)


def write_all(project: Project, plan: Plan) -> None:
    """Write every new text, or none: stage all, put all in place, and take back what was done on an error."""
    before = {path: project.read(path) for path in plan}
    try:
        with ExitStack() as undo:
            texts = {path: text for path, text in plan.items() if text is not None}
            staged = {path: stage(project, path, before[path], text, undo) for path, text in texts.items()}
            for path, stored in before.items():
                target = project.place(path).resolve()
                back = partial(target.write_bytes, stored.raw) if stored else partial(target.unlink, missing_ok=True)
                undo.callback(back)
                staged[path].replace(target) if path in staged else target.unlink()
            undo.pop_all()
    except OSError as error:
        settled = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC)
        kind = Misconfigured if settled else Unusable
        raise kind(f"Cannot write {error.filename}: {error.strerror}. No file was changed.") from error


def stage(project: Project, path: str, stored: Stored | None, text: str, undo: ExitStack) -> Path:
    """Write a text to a new file beside its place, with the mode of the file that is there."""
    try:
        raw = stored.encode(text) if stored else text.encode()
    except UnicodeEncodeError:
        raise Unusable(
            f"{path} cannot hold the new text in its encoding ({stored and stored.encoding}).", "encoding"
        ) from None
    place = project.place(path).resolve()
    for folder in [parent for parent in reversed(place.parents) if not parent.exists()]:
        folder.mkdir()
        undo.callback(folder.rmdir)
    temporary = place.with_name(f".{place.name[:60]}.{os.getpid()}.lean")
    undo.callback(temporary.unlink, missing_ok=True)
    with temporary.open("xb") as file:
        file.write(raw)
    if stored:
        temporary.chmod(place.stat().st_mode & 0o7777)
    return temporary


# --- the server -------------------------------------------------------------------------------------------------------

CONTEXT_ERROR = re.compile(
    r"(?i)context[_ ](?:length|size|window)|exceed_context|maximum context|prompt is too long|too many tokens"
)
SIZES = ("max_model_len", "loaded_context_length", "n_ctx", "context_length", "context_window", "max_context_length")
BROKEN = (OSError, http.client.HTTPException)
HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
NO_API = "{url} is no OpenAI-compatible API ({status}): {said}. Does base_url end in /v1?"
NO_MODEL = "The server has no model {model!r}: {said}. Set model in [lean]."
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
    """One OpenAI-compatible server; `used` sums up what its answers took."""

    call: Call
    used: Counter[str] = field(default_factory=Counter)
    model: str = ""
    begun: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return the seconds that are left of the time limit; ServerTrouble when none are."""
        left = self.begun + self.call.timeout - time.monotonic()
        if left <= 0:
            raise ServerTrouble(f"The time limit of {self.call.timeout:g} s is over.")
        return left

    def open(self, path: str, body: Any = None, patience: float = 10.0, root: bool = False) -> http.client.HTTPResponse:
        """Send one request and return the response; `root`: the path is not below base_url but at the server's root."""
        where = self.call.base_url
        parts = urllib.parse.urlsplit(where)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"base_url {where!r} is no http(s) URL. Set base_url in [lean].")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = HEADERS | ({"Authorization": f"Bearer {self.call.api_key}"} if self.call.api_key else {})
        url, patience = ("" if root else parts.path.rstrip("/")) + path, min(patience, self.left())
        try:
            connection = kind(parts.hostname, parts.port, timeout=patience)
            connection.request("GET" if body is None else "POST", url, body and json.dumps(body).encode(), headers)
            return connection.getresponse()
        except TimeoutError as error:
            raise ServerTrouble(f"{where} gave no answer within {patience:.0f} s.") from error
        except BROKEN as error:
            said = first_line(str(error)) or type(error).__name__
            raise ServerTrouble(f"No server answers at {where}: {said}.") from error
        except ValueError as error:
            raise Misconfigured(f"base_url or api_key is not valid: {error}.") from error

    def look_up(self, path: str, body: Any = None) -> Any:
        """Fetch JSON from the server's root; None where there is none."""
        with suppress(ServerTrouble):
            response = self.open(path, body, root=True)
            return parsed(body_of(response)) if response.status == 200 else None
        return None

    def choose_model(self) -> str:
        """Return the model to ask for: the configured one, else the only one listed, or the first of a local server."""
        if self.call.model:
            return self.call.model
        raw = body_of(self.send("/models"))
        if parsed(raw) is None:
            raise self.failure(200 if raw else 504, raw)
        names = [name_of(row) for row in rows_of(parsed(raw))]
        host = urllib.parse.urlsplit(self.call.base_url).hostname or ""
        if len(names) == 1 or (names and re.match(r"localhost$|127\.|::1$|0\.0\.0\.0$", host)):
            return names[0]
        hint = f" to one of: {', '.join(names[:20])}" if names else ""
        raise Misconfigured(f"{self.call.base_url} lists {len(names) or 'no'} models. Set model in [lean]{hint}.")

    def context(self) -> int:
        """Return the context size in tokens, as set or as the server tells it; 0 if it does not."""
        base = urllib.parse.urlsplit(self.call.base_url).path.rstrip("/")
        sources = ("/props", f"{base}/models", "/api/v0/models", "/api/ps")  # llama.cpp, vLLM, LM Studio, Ollama
        for path in () if self.call.context_tokens else sources:
            found = self.look_up(path)
            rows = rows_of(found) or [found]
            told = json.dumps([row for row in rows if len(rows) == 1 or name_of(row) == self.model])
            for key in SIZES:
                if size := re.search(rf'"{key}": ([1-9]\d*)', told):
                    return int(size[1])
        return self.call.context_tokens

    def check_size(self, text: str) -> None:
        """Refuse a prompt that will not fit, with both numbers; llama.cpp counts it where it may be close."""
        tokens = estimate(text)
        size = self.context() if tokens > FEW_TOKENS else self.call.context_tokens
        if size and tokens > size / 2:
            tokens = len(get(self.look_up("/tokenize", {"content": text}), "tokens") or ()) or tokens
        if size and tokens >= size:
            raise too_long(tokens, size)

    def ask(self, system: str, prompt: str) -> str:
        """Send one request and return the text of the answer."""
        self.model = self.model or self.choose_model()
        self.check_size(system + prompt)
        said = (("system", system), ("user", prompt))
        messages = [{"role": role, "content": content} for role, content in said if content]
        body = {"model": self.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        # A slow machine needs time to read a long prompt before its first word: a second for twenty tokens.
        patience, answer = self.call.idle + estimate(system + prompt) / 20, Answer(self.call)
        try:
            with self.send("/chat/completions", body | self.call.body(), patience) as response:
                self.receive(response, answer)
        finally:
            if answer.events:
                self.used += answer.used(estimate(system + prompt))
        text = answer.result()
        if folder := self.call.options.get("record"):
            record(Path(folder), self.call.mode, prompt, text)
        return text

    def send(self, path: str, body: dict[str, Any] | None = None, patience: float = 10.0) -> http.client.HTTPResponse:
        """Send a request; wait and try again where the server is busy, or asks for a plainer request."""
        waits = iter(BUSY_WAITS)
        while True:
            response = self.open(path, body, patience)
            if response.status == 200:
                return response
            raw = body_of(response)
            if body and response.status in (400, 422) and (plainer := without_refused(body, raw)):
                body = plainer
                continue
            asked, busy = response.headers.get("Retry-After"), response.status in (429, 503)
            pause = retry_after(asked) if asked else next(waits, None)
            if not busy or pause is None or pause >= self.left():
                moved = response.headers.get("Location")
                said = f"it has moved to {moved}".encode() if moved else raw
                raise self.failure(response.status, said, (asked and pause) or 0)
            time.sleep(pause)

    def receive(self, response: http.client.HTTPResponse, answer: Answer) -> None:
        """Read an answer, streamed or whole; ServerTrouble where it stalls or breaks off."""
        try:
            while not answer.ended and (line := self.next_line(response)):
                name, _, data = line.partition(b":")
                if line.lstrip()[:1] in (b"{", b"[", b"<"):  # an answer as a whole, or no answer
                    self.take(answer, line + response.read())
                elif data.strip() == b"[DONE]":
                    answer.ended = True
                elif name in (b"data", b"error"):
                    self.take(answer, data)
        except TimeoutError as error:
            self.left()
            words = f"The server fell silent for {self.call.idle:g} s in the middle of its answer."
            raise ServerTrouble(words) from error
        except BROKEN as error:
            raise ServerTrouble(f"The connection broke in the middle of the answer: {error or 'closed'}.") from error
        if not (answer.ended or answer.finish):
            when = "in the middle of" if answer.events else "before a word of"
            raise ServerTrouble(f"The server closed the connection {when} the answer.")

    def next_line(self, response: http.client.HTTPResponse) -> bytes:
        """Read one line of a stream within the idle limit and the time limit."""
        if sock := getattr(getattr(response.fp, "raw", None), "_sock", None):
            sock.settimeout(min(self.call.idle, self.left()))
        return response.readline(10_000_000)

    def take(self, answer: Answer, raw: bytes) -> None:
        """Add a JSON object from the server to the answer; raise the error that it may hold instead."""
        found = parsed(raw)
        if not isinstance(get(found, "choices"), list):
            error = get(found, "error") or get(found, "message")
            if found is None and answer.events:
                raise ServerTrouble(f"The server's answer is garbled: {first_line(raw.decode('utf-8', 'replace'), 80)}")
            status = number(error, "code") or number(found, "code")
            raise self.failure(status if 400 <= status < 600 else 500 if error else 200, raw)
        answer.take(found)

    def failure(self, status: int, raw: bytes, pause: float = 0) -> Stop:
        """Return what a status and its body mean."""
        html = "<html> " if raw.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else ""
        if not html and CONTEXT_ERROR.search(raw.decode("utf-8", "replace")):
            return context_error(raw)
        told = {"status": status, "said": error_text(raw), "url": self.call.base_url, "model": self.model}
        wait = f" It asks to wait {pause:.0f} s." if pause else ""
        fits = (row for row in FAULTS if re.match(row[0], f"{status} {html}{told['said']}"))
        _, kind, words = next(fits)
        return kind(words.format(**told, wait=wait))


@dataclass
class Answer:
    """An answer as it comes in, piece by piece."""

    call: Call
    begun: float = field(default_factory=time.monotonic)
    shown: float = 0.0
    text: str = ""
    thought: str = ""
    refusal: str = ""
    finish: str = ""
    tools: bool = False
    ended: bool = False
    events: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)

    def take(self, found: Mapping[str, Any]) -> None:
        """Add one event of a stream, or a whole answer: they differ in one key."""
        self.events += 1
        self.usage = found.get("usage") or self.usage
        self.timings = found.get("timings") or self.timings
        for choice in found["choices"][:1]:
            part = get(choice, "delta") or get(choice, "message") or {"content": get(choice, "text")}
            self.text += flat(get(part, "content"))
            self.thought += flat(get(part, "reasoning_content") or get(part, "reasoning"))
            self.refusal += flat(get(part, "refusal"))
            self.tools = self.tools or bool(get(part, "tool_calls"))
            self.finish = flat(get(choice, "finish_reason")) or self.finish
            self.ended = self.ended or bool(get(choice, "message"))
        self.ended = self.ended or bool(self.finish and self.usage)
        self.show_progress()

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
        text = self.text if self.text.strip() or self.finish == "length" else self.thought
        said, count = spoken(text).strip(), number(self.usage, "completion_tokens")
        if self.finish == "length":
            what = "The answer was" if said else "The model was still thinking when it was"
            hint = "name fewer or smaller files" if said else "turn thinking off with extra_body"
            limits = "raise max_output_tokens or the server's context"
            when = f" after {count} tokens" if count else ""
            raise Unusable(f"{what} cut off{when} (finish_reason length): {limits}, or {hint}.")
        if self.refusal or self.finish == "content_filter":
            raise Unusable(f"The model refused: {first_line(self.refusal) or 'its answer was filtered'}")
        if not said:
            tool = "The model answered with a tool call, although no tools were offered; try another chat template."
            raise Unusable(tool if self.tools else "The model's answer is empty.")
        return text


def without_refused(body: dict[str, Any], raw: bytes) -> dict[str, Any] | None:
    """Return the request without what the server says it does not know; None if that is not the matter."""
    said, plain, (first, *rest) = raw.lower(), dict(body), body["messages"]
    if b"stream_options" in said and plain.pop("stream_options", None):
        return plain
    if b"streaming" in said and plain.pop("stream", None):
        return plain
    if b"max_completion_tokens" in said and (most := plain.pop("max_tokens", None)):
        return {**plain, "max_completion_tokens": most}
    if b"system" in said and b"role" in said and rest:
        return {**body, "messages": [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}]}
    return None


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


def context_error(raw: bytes) -> Misconfigured:
    """Turn a server's word on its context into ours, with both numbers where it tells them."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", raw.decode("utf-8", "replace"))
    limit = re.search(r'"n_ctx"\D+(\d+)', text) or re.search(r"context\D{0,60}?(\d{3,})", text)
    size = int(limit[1]) if limit else 0
    over = [figure for figure in map(int, re.findall(r"\d{3,9}", text)) if figure > size > 0]
    if not over:
        return Misconfigured(f"The prompt does not fit the server's context: {error_text(raw)}.")
    return too_long(over[0], size)


def too_long(tokens: int, size: int) -> Misconfigured:
    hint = "Give the server a larger context, or the task fewer or smaller files (context_tokens)."
    return Misconfigured(f"The prompt has about {tokens} tokens, the server's context {size}. {hint}")


# --- one call ---------------------------------------------------------------------------------------------------------


def run(call: Call, root: Path) -> str:
    """Do one call and return the words that tell what was done."""
    server, project, plan, kind = Server(call), Project(root, call), Plan(), ""
    try:
        if call.mode == "ask":
            return spoken(server.ask("", call.prompt)).strip()
        plan = make_plan(server, project)
        told = [tell(path, project.text(path) or "", text) for path, text in plan.items()]
        write_all(project, plan)
        return "\n".join(told)
    except Refusal as refusal:
        kind = refusal.kind
        raise Unusable(str(refusal), kind) from None
    except Unusable as unusable:
        kind = unusable.kind
        raise
    finally:
        figures = {name: server.used[name] for name in ("requests", "input_tokens", "output_tokens", "cached_tokens")}
        about: dict[str, Any] = {"estimated": True} if server.used["estimated"] else {}
        about |= {"refused": kind} if kind else {}
        with suppress(OSError):
            if call.usage_file:
                Path(call.usage_file).write_text(
                    json.dumps({"files": list(plan), **figures, **about}), encoding="utf-8"
                )


def make_plan(server: Server, project: Project) -> Plan:
    """Ask for edits until each has its place: once, once more to read, and at most `edit_retries` times to repair."""
    call, plan = project.call, Plan()
    prompt = f"{call.prompt.rstrip()}\n\n{closing(project)}"
    edits, reads = understood(server.ask(SYSTEM, prompt), project)
    if reads and not edits:
        prompt += "\n\n" + requested(reads, project, (server.context() or DEFAULT_CONTEXT) - estimate(SYSTEM + prompt))
        edits, reads = understood(server.ask(SYSTEM, prompt), project)
        if not edits:
            raise Unusable("The model asked to read more a second time instead of editing.")
    refused = place_all(edits, project, plan)
    for _ in range(call.edit_retries if refused else 0):
        edits, _ = understood(server.ask(SYSTEM, repair_prompt(refused)), project)
        if not (refused := place_all(edits, project, plan)):
            break
    for edit, refusal in refused:
        raise Unusable(f"No edit was applied{f' ({edit.path})' if edit.path else ''}: {refusal}.", refusal.kind)
    check_plan(plan, project)
    return plan


def check_plan(plan: Plan, project: Project) -> None:
    """Refuse a plan that changes nothing, or what may not change."""
    if not plan:
        raise Unusable("The answer changes nothing: every file would stay as it is.", "unchanged")
    for path, text in plan.items():
        if project.protects(path):
            raise Unusable(f"{path} is protected: it may be read, not changed.", "protected")
        if os.access(project.place(path), os.F_OK) and not os.access(project.place(path), os.W_OK):
            raise Unusable(f"{path} is read-only: it is not edited.", "protected")
        if MASK in (text or "") and MASK not in (project.text(path) or ""):
            raise Unusable(f"The answer for {path} holds {MASK} in the place of a secret: it is not written.", "masked")


def understood(text: str, project: Project) -> tuple[list[Edit], list[Read]]:
    """Read an answer's edits and wishes; Unusable if it has neither."""
    reader, said = Reader(project), spoken(text)
    edits, reads = reader.read(text)
    if not edits and not reads:
        edits, reads = reader.read(without_tools(said))
    if not edits and not reads:
        if TOOL_CALL.search(text):
            said = "The model wrote a tool call instead of an edit, although no tools were offered."
            raise Unusable(said, "tool-call")
        raise Unusable(f"The answer holds no edit: {first_line(said, 160)}")
    return edits, reads


def closing(project: Project) -> str:
    """Say what to answer, for the case at hand: it stands last, and what a small model reads last is what it does."""
    wanted, listed = project.call.edit_format, project.listed
    if wanted == "search":
        return SEARCH_FORM
    if not listed:
        return "Now give the corrected function, complete, in one fenced block."
    forms = {path: BLOCK_OF["whole" if wanted == "whole" else form_of(path, project)] for path in listed}
    if len(listed) == 1:
        (path, form), *_ = forms.items()
        return f"Now write the code. First the path {path} alone on a line, then one fenced block with {form}."
    said = "; ".join(f"for {path}: {form}" for path, form in forms.items())
    words = "Now write the code. For each file that must change: its path alone on a line, then one fenced block"
    return f"{words} ({said})." if len(set(forms.values())) > 1 else f"{words} with {next(iter(forms.values()))}."


def form_of(path: str, project: Project) -> str:
    """Choose what a block holds: a new file or a text without functions is sent whole."""
    text = project.text(path)
    if text is None or not text.strip():
        return "new"
    return "parts" if definitions(path, text) else "whole"


def requested(reads: Sequence[Read], project: Project, tokens: int) -> str:
    """Return the lines that the model asked for; Unusable where they would not fit beside an answer."""
    parts: list[str] = []
    for read in reads[:8]:
        path = resolve(read.path, project)
        text = None if PurePosixPath(path).name.startswith(".env") else project.text(path)
        if text is None:
            raise Unusable(f"The model asked to read {path}, which is not there.")
        lines = text.rstrip("\n").split("\n")
        first, last = min(max(1, read.first), len(lines)), min(len(lines), read.last or len(lines))
        parts.append(f"{path} (lines {first}-{last} of {len(lines)})\n" + fenced("\n".join(lines[first - 1 : last])))
    if estimate("\n".join(parts)) > tokens - ROOM_TO_ANSWER:
        paths = ", ".join(read.path for read in reads)
        raise Unusable(f"The model asked to read {paths}: too much for the context.")
    return "\n".join(["# Requested", *parts])


def fenced(body: str) -> str:
    """Fence a text with more backticks than it holds."""
    ticks = "`" * (1 + max((len(found) for found in re.findall(r"`{3,}", body)), default=2))
    return f"{ticks}\n{body}\n{ticks}"


def repair_prompt(refused: Refused) -> str:
    """Ask again for the edits that could not be placed, with the lines that they may have meant."""
    parts: list[str] = []
    for edit, refusal in refused[:4]:
        parts.append(f"This edit was not applied, {refusal}:\n{fenced(quoted(edit)[:8000])}")
        if refusal.near:
            parts.append(f"The nearest lines of {edit.path or 'the file'}:\n{fenced(refusal.near[:8000])}")
    return "\n\n".join([*parts, "Send only this again, so that it fits."])


def quoted(edit: Edit) -> str:
    """Show an edit the way it was sent."""
    if isinstance(edit, Change) and edit.readings:
        return "{}\n<<<<<<< SEARCH\n{}\n=======\n{}\n>>>>>>> REPLACE".format(edit.path, *edit.readings[0])
    return f"{edit.path}\n{edit.text}" if isinstance(edit, Code) else f"DELETE {edit.path}"


def tell(path: str, old: str, new: str | None) -> str:
    """Say what was done with a file."""
    if new is None:
        return f"deleted {path}"
    diff = [line[:1] for line in difflib.unified_diff(old.split("\n"), new.split("\n"), n=0)][2:]
    return f"wrote {path} (+{diff.count('+')} -{diff.count('-')})"


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


# --- the command line -------------------------------------------------------------------------------------------------


READERS: dict[type, tuple[Callable[[str], Any], str]] = {  # by the kind of the default: how to read, what it has to be
    str: (str, "a text"),
    bool: ("1".__eq__, "1"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    type(None): (float, "a number"),
    tuple: (lambda text: tuple(filter(None, text.split("\n"))), "lines"),
    list: (json.loads, "a JSON list"),
    dict: (json.loads, "a JSON object"),
}
CHOICES = {"mode": ("edit", "ask"), "edit_format": ("auto", "whole", "search")}


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="direct.py",
        description="Ask an OpenAI-compatible server for a change, and make it.",
        epilog="LEAN_BASE_URL names the server (else http://127.0.0.1:8080/v1); LEAN_MODEL, LEAN_API_KEY and the other "
        "LEAN_* variables of leaners/README.md set the rest.",
    )
    options.add_argument("-p", dest="prompt", metavar="PROMPT", help="what is to be done")
    options.add_argument("--files", nargs="+", metavar="FILE", help="files to show and to change (else LEAN_FILES)")
    options.add_argument("--ask", action="store_true", help="print the answer, change nothing")
    options.add_argument("--record", metavar="FOLDER", help="keep each answer there, for playground/serve.py to play")
    return options.parse_args(argv)


def read_call(given: argparse.Namespace, env: Mapping[str, str], root: Path) -> Call:
    """Read what is asked and how, from the options and the LEAN_* variables; files that are given are shown too."""
    file, call = env.get("LEAN_PROMPT_FILE"), Call("")
    try:
        prompt = Path(file).read_text(encoding="utf-8", errors="replace") if file else given.prompt or ""
    except OSError as error:
        raise Misconfigured(f"LEAN_PROMPT_FILE {file} cannot be read: {error.strerror}.") from error
    if not prompt.strip():
        raise Misconfigured("There is no prompt: give -p PROMPT.")
    told = {name: env.get(f"LEAN_{name.upper()}") for name in vars(call) if name != "prompt"}
    found = {name: setting(name, text, getattr(call, name)) for name, text in told.items() if text}
    chosen = {"mode": given.ask and "ask", "options": given.record and {"record": given.record}, "files": given.files}
    call = replace(call, prompt=prompt, **found | {name: value for name, value in chosen.items() if value})
    project, parts = Project(root, call), [prompt, "# Files"]
    for path in map(tidy, given.files or ()):
        text = project.text(path)
        parts.append(f"{path} (does not exist yet)" if text is None else f"{path}\n{fenced(text.rstrip(chr(10)))}")
    return replace(call, prompt="\n\n".join(parts)) if given.files else call


def setting(name: str, text: str, default: Any) -> Any:
    """Read a setting's text as its default is; Misconfigured where it is of another kind."""
    read, kind = READERS[type(default)]
    kind = " or ".join(CHOICES.get(name, (kind,)))
    with suppress(ValueError):
        value = read(text)
        if value in CHOICES.get(name, (value,)) and (default is None or type(value) is type(default)):
            return value
    raise Misconfigured(f"LEAN_{name.upper()} is {text!r}: it has to be {kind}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one call; the exit code is the contract's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    options = read_options(argv)
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the ordinary way, so that nothing half written stays
    try:
        print(run(read_call(options, os.environ, Path.cwd()), Path.cwd()), flush=True)
    except Stop as stop:
        print(f"direct: {stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
