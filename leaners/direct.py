#!/usr/bin/env python3
# lean: overhead=607 idle=own check=own edits=told
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
    repeats,
    resolve,
    spoken,
    tidy,
    without_tools,
)

SYSTEM = "You are a careful programmer. You answer with code that can be put into the project as it stands."
DRAWN_AGAIN, HOTTER = ("no-edit", "unchanged", "repeats-prompt"), 0.8  # at which temperature
SENTENCE = (120, ("\n\n", "\n```"))  # what one sentence may take: tokens, and where it ends
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
        """Return the request without what the server says it does not know, and the user did not ask for; else None."""
        said, (first, *rest) = raw.decode("utf-8", "replace").lower(), body["messages"]
        if "max_completion_tokens" in said and "max_tokens" in body and not CONTEXT_ERROR.search(said):
            plain = {key: value for key, value in body.items() if key != "max_tokens"}
            return {**plain, "max_completion_tokens": body["max_tokens"]}
        if "system" in said and "role" in said and rest:
            return {**body, "messages": [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}]}
        for key in sorted(body.keys() - self.call.body().keys() - {"model", "messages"}, key=len, reverse=True):
            if re.search(rf"\b{key}", said):
                self.refused.add(key)
                if not key.startswith("stream"):
                    print(f"direct: the server does not take {key}: asked without it", file=sys.stderr)
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
        for choice in found["choices"][:1]:
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


# --- one call ---------------------------------------------------------------------------------------------------------


def run(call: Call, root: Path) -> str:
    """Do one call and return the words that tell what was done."""
    server, project, plan, kind = Server(call), Project(root, call), Plan(), ""
    try:
        if call.mode == "ask":
            return spoken(server.ask("", call.prompt, *(SENTENCE if call.brief else ()))).strip()
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
                    json.dumps({"model": server.model, "files": list(plan), **figures, **about}), encoding="utf-8"
                )


def told_by_server(call: Call, url: str) -> str:
    """Return as JSON what the server tells of itself, or with a URL only that it answers there."""
    server = Server(replace(call, base_url=url or call.base_url))
    return json.dumps(server.probe() if not url else {"health": server.health("") and "ok"})


def make_plan(server: Server, project: Project) -> Plan:
    """Ask for edits until each has its place, at most `edit_retries` times more; Unusable where none has.

    What fitted stays, and only the rest is asked for again.
    """
    plan, prompt, heat = Plan(), f"{project.call.prompt.rstrip()}\n\n{closing(project, project.call.prompt)}", 0.0
    left = project.call.edit_retries
    while True:
        refused: Refused = []
        try:
            refused = place_all(asked_edits(server, project, prompt, heat), project, plan)
            for edit, refusal in refused:
                where = f" ({edit.path})" if edit.path else ""
                raise Unusable(f"No edit was applied{where}: {refusal}.", refusal.kind)
            check_plan(plan, project)
            return plan
        except Unusable as unusable:
            if not left or not (refused or unusable.kind in DRAWN_AGAIN):
                raise
            why = unusable
        left -= 1
        prompt, heat = again(project, prompt, refused, why)


def again(project: Project, prompt: str, refused: Refused, why: Unusable) -> tuple[str, float]:
    """Return the prompt and the least temperature of a second try.

    What did not fit is asked for alone. A diagnosis without code is shown to the model, which then writes the code. An
    answer that changes nothing is drawn again, hotter: a model that is asked the same in the same way says the same.
    """
    if refused:
        return repair_prompt(refused), 0.0
    if last_section(project.call.prompt) == "Failing" and why.kind == "no-edit" and why.said:
        diagnosed = f"{project.call.prompt.rstrip()}\n\n# Diagnosis\n{why.said}"
        return f"{diagnosed}\n\n{closing(project, diagnosed)}", 0.0
    return prompt, HOTTER


def asked_edits(server: Server, project: Project, prompt: str, heat: float) -> list[Edit]:
    """Ask for edits; where the model wishes to see more first, show it that once and ask again."""
    ask = partial(server.ask, SYSTEM, longest=longest_answer(project), enough=partial(is_enough, project), heat=heat)
    edits, reads = understood(ask(prompt), project)
    if edits or not reads:
        return edits
    room = (server.context() or DEFAULT_CONTEXT) - estimate(SYSTEM + prompt)
    edits, _ = understood(ask(f"{prompt}\n\n{requested(reads, project, room)}"), project)
    if not edits:
        raise Unusable("The model asked to read more a second time instead of editing.")
    return edits


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
    try:
        edits, reads = reader.read(text)
    except Refusal as refusal:
        raise Unusable(str(refusal), refusal.kind) from None
    if not edits and not reads:
        edits, reads = reader.read(without_tools(said))
    if not reads and repeats(said, project.prompt) and not (place_all(edits, project, trial := Plan()) or trial):
        raise Unusable("The answer repeats the prompt instead of answering it.", "repeats-prompt")
    if not edits and not reads:
        if TOOL_CALL.search(text):
            said = "The model wrote a tool call instead of an edit, although no tools were offered."
            raise Unusable(said, "tool-call")
        raise Unusable(f"The answer holds no edit: {first_line(said, 160)}", "no-edit", first_line(said, 400))
    return edits, reads


def last_section(prompt: str) -> str:
    """Name the last section of a prompt."""
    return re.findall(r"^# ([A-Z]\w*)", f"# Task\n{FENCED.sub('', prompt)}", re.MULTILINE)[-1]


def closing(project: Project, prompt: str) -> str:
    """Say what to answer to PROMPT: it stands last, and what a small model reads last is what it does.

    Where failing tests stand last, the code above is the model's own. Asked for code alone it sends that back as it is;
    a sentence before the code breaks that (tests/bench/README.md).
    """
    if project.call.edit_format == "search":
        return SEARCH_FORM
    if last_section(prompt) != "Failing":
        return f"Now {asked_code(project, 'complete')} No tests, no explanation."
    code = asked_code(project, "corrected and complete")
    return f"The code above fails this test. First say in one sentence what the code does wrong. Then {code} No tests."


def asked_code(project: Project, how: str) -> str:
    """Name the code that is to be written, HOW, and the one form of it."""
    listed = project.listed
    if not listed:
        return f"give the corrected function, {how}, in one fenced block."
    wanted = [wanted_of(path, project) for path in listed]
    if len(listed) == 1:
        return f"write {wanted[0]}, {how}, in one ```{tag(listed[0])} block."
    words = "write the code. For each file that must change: its path alone on a line, then one fenced block with"
    return f"{words} {' or '.join(wanted)}, {how}."


def wanted_of(path: str, project: Project) -> str:
    """Name what shall be written of a file: what the prompt names in it, else the whole of it or its functions."""
    names = [] if project.call.edit_format == "whole" else targets(path, project)
    if names and (new := missing(project)) and len(project.listed) == 1:
        return f"the new {', '.join(new)}, and what must change of {', '.join(names)}, in {path}"
    if not names:
        return f"the file {path}" if is_written_whole(path, project) else f"each function of {path} that must change"
    if len(names) == 1:
        return f"{names[0]} of {path}"
    return f"those of {', '.join(names)} in {path} that must change"


def longest_answer(project: Project) -> int:
    """Return the tokens that an answer may have: what it could send back of the files, and room for new code."""
    shown = estimate(project.call.prompt)
    files = sum(estimate(project.text(path) or "") for path in project.listed)
    return ROOM_TO_ANSWER + min(shown, files or shown)


def is_enough(project: Project, said: str) -> bool:
    """Tell whether the one file that is asked for got all its code: what follows are tests and explanations."""
    if len(project.listed) != 1 or not said.rstrip().endswith("```") or project.listed[0].endswith(".md"):
        return False
    names = [name.split()[-1] for name in targets(project.listed[0], project)] + missing(project)
    if not names and not is_written_whole(project.listed[0], project):
        return False
    with suppress(Unusable):
        edits, _ = understood(said, project)
        plan, sent = Plan(), " ".join(edit.text for edit in edits if isinstance(edit, Code))
        return not place_all(edits, project, plan) and project.listed[0] in plan and all(name in sent for name in names)
    return False


def is_written_whole(path: str, project: Project) -> bool:
    """Tell whether a file is new, has no definitions, or shall be sent whole."""
    text = project.text(path) or ""
    return project.call.edit_format == "whole" or not definitions(path, text)


FENCED = re.compile(r"^(`{3,}).*?^\1", re.DOTALL | re.MULTILINE)


def targets(path: str, project: Project) -> list[str]:
    """Name the definitions of a file that the prompt's prose names, with their kinds; code in fences does not count."""
    words = set(re.findall(r"\w+", FENCED.sub("", project.call.prompt)))
    found = [item for item in definitions(path, project.text(path) or "") if item.name in words]
    return [f"the {item.kind} {item.name}" for item in found if item.kind in ("class", "function")]


def missing(project: Project) -> list[str]:
    """List what is to be written anew: calls in the prompt's prose that its code makes too, and no listed file has."""
    calls = re.compile(r"\b([A-Za-z_]\w*)\(")
    code = "\n".join(found[0] for found in FENCED.finditer(project.call.prompt))
    made = set(calls.findall(code)) - set(
        re.findall(r"\w+", "\n".join(project.text(path) or "" for path in project.listed))
    )
    return [name for name in dict.fromkeys(calls.findall(FENCED.sub("", project.call.prompt))) if name in made]


def tag(path: str) -> str:
    """Return what a fence of code of a file is marked with."""
    suffix = PurePosixPath(path).suffix[1:]
    return {"py": "python", "js": "javascript", "ts": "typescript"}.get(suffix, suffix)


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
CHOICES = {
    "thinking": ("off", "low", "medium", "high"),
    "mode": ("edit", "ask"),
    "edit_format": ("auto", "whole", "search"),
}


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
    options.add_argument(
        "--probe", nargs="?", const="", metavar="URL", help="tell what the server is; URL: if it is well"
    )
    options.add_argument("--record", metavar="FOLDER", help="keep each answer there, for playground/serve.py to play")
    return options.parse_args(argv)


def read_call(given: argparse.Namespace, env: Mapping[str, str], root: Path) -> Call:
    """Read what is asked and how, from the options and the LEAN_* variables; files that are given are shown too."""
    file, call = env.get("LEAN_PROMPT_FILE"), Call("")
    try:
        prompt = Path(file).read_text(encoding="utf-8", errors="replace") if file else given.prompt or ""
    except OSError as error:
        raise Misconfigured(f"LEAN_PROMPT_FILE {file} cannot be read: {error.strerror}.") from error
    if not prompt.strip() and given.probe is None:
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
        call = read_call(options, os.environ, Path.cwd())
        print(run(call, Path.cwd()) if options.probe is None else told_by_server(call, options.probe), flush=True)
    except (Stop, Refusal) as stop:
        print(f"direct: {stop}", file=sys.stderr)
        return getattr(stop, "code", 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
