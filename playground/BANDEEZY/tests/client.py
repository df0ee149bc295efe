"""A browser without a window, for the tests: it keeps cookies and sends the form's token."""

from __future__ import annotations

import io
import json
import re
from contextlib import closing
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from bandeezy.app import App

PASSWORD = "loud-and-early"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def location(self) -> str:
        """Return where the reader is sent."""
        return self.headers["Location"]

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.text)


@dataclass
class Client:
    """One visitor of an application."""

    app: App
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Answer:
        """Load a page."""
        return self.send("GET", path)

    def post(self, path: str, **form: str | list[str]) -> Answer:
        """Send a form with this visit's token."""
        return self.send("POST", path, {"csrf": self.token(), **form})

    def sign_in(self, handle: str, password: str = PASSWORD) -> Answer:
        """Sign in."""
        return self.post("/sign-in", handle=handle, password=password)

    def token(self) -> str:
        """Read this visit's token from a page."""
        found = re.search(r'name="csrf-token" content="(\w+)"', self.get("/").text)
        assert found, "the page holds no token"
        return found[1]

    def send(self, method: str, path: str, form: dict[str, str | list[str]] | None = None, **headers: str) -> Answer:
        """Send any request; HEADERS are named as WSGI names them."""
        environ = {**self.environ(method, path, urlencode(form or {}, doseq=True).encode()), **headers}
        started: list[tuple[str, list[tuple[str, str]]]] = []
        with closing(validator(self.app)(environ, lambda *sent: started.append(sent))) as chunks:
            body = b"".join(chunks)
        status, received = started[0]
        self.keep_cookies(received)
        return Answer(int(status[:3]), dict(received), body.decode())

    def environ(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """Build what a server hands to the application."""
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        environ["SCRIPT_NAME"] = ""
        environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
            environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
        setup_testing_defaults(environ)
        return environ

    def keep_cookies(self, headers: list[tuple[str, str]]) -> None:
        """Keep the cookies that were set, drop those that were taken away."""
        for name, value in headers:
            if name == "Set-Cookie":
                for key, morsel in SimpleCookie(value).items():
                    self.cookies[key] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[key]
