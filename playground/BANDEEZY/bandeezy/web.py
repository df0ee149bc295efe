"""Requests and responses: what a page is given, and what it gives back."""

from __future__ import annotations

import hmac
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qs, quote, unquote

from bandeezy.models import User
from bandeezy.sessions import Session

COOKIE = "bandeezy"
FLASH = "bandeezy_flash"


class HttpError(Exception):
    """End a request with a status and a sentence for the reader."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Fields:
    """The fields of a query or a form; a name may come more than once."""

    def __init__(self, encoded: str) -> None:
        self.values = parse_qs(encoded, keep_blank_values=True)

    def text(self, name: str, default: str = "") -> str:
        """Return the last value of NAME without blanks around it; browsers end lines with two characters."""
        return self.values.get(name, [default])[-1].strip().replace("\r\n", "\n")

    def number(self, name: str, default: int) -> int:
        """Return the last value of NAME as a whole number of up to nine digits, DEFAULT where it is none."""
        text = self.text(name)
        return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else default

    def all(self, name: str) -> list[str]:
        """Return every value of NAME."""
        return self.values.get(name, [])


@dataclass(frozen=True)
class Request:
    """What came in, the visit it belongs to, and a connection that lasts until the answer."""

    method: str
    path: str
    query: Fields
    form: Fields
    csrf_header: str
    cookies: Mapping[str, str]
    session: Session
    db: sqlite3.Connection

    @property
    def user(self) -> User:
        """Return the user who signed in; routes with roles are reached by such only."""
        if self.session.user is None:
            raise HttpError(HTTPStatus.FORBIDDEN, "Sign in first.")
        return self.session.user

    @property
    def flash(self) -> str:
        """Return the sentence that the page before left for this one."""
        return unquote(self.cookies.get(FLASH, ""))

    @property
    def is_genuine(self) -> bool:
        """Tell whether a POST carries this visit's token, in its form or in the X-CSRF-Token header."""
        sent = self.csrf_header or self.form.text("csrf")
        return hmac.compare_digest(sent.encode(), self.session.csrf.encode())


@dataclass(frozen=True)
class Response:
    """What goes out."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *headers: tuple[str, str]) -> Response:
        """Return the same response with more headers."""
        return replace(self, headers=self.headers + headers)


def html(body: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Answer with a page."""
    return Response(body.encode(), status, (("Content-Type", "text/html; charset=utf-8"),))


def plain(text: str, status: HTTPStatus) -> Response:
    """Answer with a line of text."""
    return Response(text.encode(), status, (("Content-Type", "text/plain; charset=utf-8"),))


def as_json(data: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Answer with JSON."""
    return Response(json.dumps(data).encode(), status, (("Content-Type", "application/json"),))


def redirect(location: str, flash: str = "") -> Response:
    """Send the reader on after a POST, with a sentence for the next page."""
    response = plain(location, HTTPStatus.SEE_OTHER).with_headers(("Location", location))
    return response.with_headers(cookie(FLASH, quote(flash))) if flash else response


def cookie(name: str, value: str, seconds: int | None = None) -> tuple[str, str]:
    """Write a cookie's header; without SECONDS it lasts until the browser closes, with 0 it goes at once."""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return "Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}"
