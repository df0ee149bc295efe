"""The application: from a WSGI request to the page that answers it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bandeezy.database import connect
from bandeezy.layout import page
from bandeezy.pages import ALL
from bandeezy.routing import match
from bandeezy.services import MissingError, RuleError
from bandeezy.sessions import Sessions
from bandeezy.web import COOKIE, FLASH, Fields, HttpError, Request, Response, cookie, plain, redirect

Environ = dict[str, Any]
STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
LONGEST_FORM = 64_000
SAFETY = (
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; form-action 'self'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)


@dataclass(frozen=True)
class App:
    """The WSGI application over one database."""

    database: Path

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request with a connection of its own."""
        with closing(connect(self.database)) as db:
            response = respond(environ, db).with_headers(*SAFETY)
        headers = [*response.headers, ("Content-Length", str(len(response.body)))]
        start_response(f"{response.status.value} {response.status.phrase}", headers)
        return [response.body]


def respond(environ: Environ, db: sqlite3.Connection) -> Response:
    """Answer one request: a file of the pages, or a page."""
    if environ["PATH_INFO"].startswith("/static/"):
        return static(environ["PATH_INFO"].removeprefix("/static/"))
    request = read_request(environ, db)
    return with_cookies(request, answer(request))


def read_request(environ: Environ, db: sqlite3.Connection) -> Request:
    """Take a request apart."""
    cookies = read_cookies(environ.get("HTTP_COOKIE", ""))
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        query=Fields(environ.get("QUERY_STRING", "")),
        form=Fields(read_body(environ)),
        csrf_header=environ.get("HTTP_X_CSRF_TOKEN", ""),
        cookies=cookies,
        session=Sessions(db).find(cookies.get(COOKIE, "")),
        db=db,
    )


def read_body(environ: Environ) -> str:
    """Read what was posted, up to the longest form there is."""
    length = environ.get("CONTENT_LENGTH") or ""
    raw: bytes = environ["wsgi.input"].read(min(int(length), LONGEST_FORM)) if length.isdecimal() else b""
    return raw.decode("utf-8", "replace")


def read_cookies(header: str) -> dict[str, str]:
    """Read the cookies that were sent; a broken header holds none."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def answer(request: Request) -> Response:
    """Find the page for a request, see that it is allowed, and let it answer.

    A POST has the database to itself from its first look on, so that no two of them go by what is changing.
    """
    try:
        found = match(ALL, request.method, request.path)
        if not found.route.allows(request.session.user):
            return refuse(request)
        if request.method == "POST":
            if not request.is_genuine:
                raise HttpError(HTTPStatus.FORBIDDEN, "This form is out of date. Load its page again.")
            request.db.execute("BEGIN IMMEDIATE")
        return found.route.handler(request, **found.numbers)
    except HttpError as error:
        return page(request, error.status.phrase, error.message, status=error.status)
    except MissingError as error:
        return page(request, HTTPStatus.NOT_FOUND.phrase, str(error), status=HTTPStatus.NOT_FOUND)
    except RuleError as error:
        return page(request, "That does not work", str(error), status=HTTPStatus.CONFLICT)


def refuse(request: Request) -> Response:
    """Send visitors to sign in first; others are in the wrong place."""
    if request.session.user is None:
        return redirect(f"/sign-in?next={quote(request.path)}", "Sign in first.")
    raise HttpError(HTTPStatus.FORBIDDEN, "This page is not for your account.")


def with_cookies(request: Request, response: Response) -> Response:
    """Give a new visitor the visit's cookie, and take away a sentence that was shown."""
    known = request.cookies.get(COOKIE) == request.session.token
    if not known and not any(value.startswith(f"{COOKIE}=") for _, value in response.headers):
        response = response.with_headers(cookie(COOKIE, request.session.token))
    if request.flash and response.status != HTTPStatus.SEE_OTHER:
        response = response.with_headers(cookie(FLASH, "", 0))
    return response


def static(name: str) -> Response:
    """Answer with a file of the static folder."""
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}
    if name not in files:
        return plain("There is no such file.", HTTPStatus.NOT_FOUND)
    return Response(files[name].read_bytes(), headers=(("Content-Type", TYPES[files[name].suffix]),))
