"""Joining, signing in and out, and the profile."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from http import HTTPStatus

from bandeezy.html import Markup, h
from bandeezy.layout import checkbox, choice, field, form, hidden, page, problem
from bandeezy.models import GENRES, Role, User
from bandeezy.passwords import SHORTEST, hash_password, matches
from bandeezy.routing import SIGNED_IN, Routes
from bandeezy.services import LONGEST_NAME, RuleError, require
from bandeezy.sessions import LIFETIME, Sessions
from bandeezy.users import Users
from bandeezy.web import COOKIE, Request, Response, cookie, redirect

routes = Routes()

HANDLE = re.compile(r"[a-z0-9][a-z0-9-]{2,29}")
UNKNOWN = hash_password("nobody has this one")


@routes.get("/sign-in")
def show_sign_in(request: Request, message: str = "") -> Response:
    """Show the form to sign in."""
    target = request.query.text("next") or request.form.text("next")
    content = form(
        request,
        "/sign-in",
        problem(message),
        field("Handle", "handle", request.form.text("handle"), autocomplete="username", required=True),
        field("Password", "password", type="password", autocomplete="current-password", required=True),
        hidden("next", target),
        button="Sign in",
        class_="stack",
    )
    return page(request, "Sign in", content, status=HTTPStatus.UNAUTHORIZED if message else HTTPStatus.OK)


@routes.post("/sign-in")
def sign_in(request: Request) -> Response:
    """Sign in; a wrong handle takes as long as a wrong password."""
    user = Users(request.db).by_handle(request.form.text("handle"))
    right = matches(request.form.text("password"), user.password if user else UNKNOWN)
    if user is None or not right or not user.active:
        return show_sign_in(request, "Handle and password do not match.")
    return welcome(request, user, local(request.form.text("next")))


@routes.post("/sign-out", *SIGNED_IN)
def sign_out(request: Request) -> Response:
    """Sign out."""
    with request.db:
        Sessions(request.db).close(request.session)
    return redirect("/", "See you soon.").with_headers(cookie(COOKIE, "", 0))


@routes.get("/join")
def show_join(request: Request, message: str = "") -> Response:
    """Show the form for a new account."""
    sent = request.form
    content = form(
        request,
        "/join",
        problem(message),
        choice("We are a", "role", [(role, role) for role in (Role.BAND, Role.VENUE)], sent.text("role")),
        name_and_town(sent.text("name"), sent.text("town")),
        field("Handle", "handle", sent.text("handle"), pattern=HANDLE.pattern, required=True),
        field("Password", "password", type="password", minlength=SHORTEST, required=True),
        button="Join",
        class_="stack",
    )
    return page(request, "Join", content, status=HTTPStatus.CONFLICT if message else HTTPStatus.OK)


@routes.post("/join")
def join(request: Request) -> Response:
    """Make an account and sign in."""
    try:
        user = make_account(request)
    except RuleError as error:
        return show_join(request, str(error))
    return welcome(request, user, "/profile" if user.role == Role.VENUE else "/offers/new")


def make_account(request: Request) -> User:
    """Add the user that the form describes; raise RuleError for what is not right with it."""
    sent = request.form
    handle, password = sent.text("handle"), sent.text("password")
    require(sent.text("role") in {Role.BAND, Role.VENUE}, "Choose band or venue.")
    name, town = read_name_and_town(request)
    require(bool(HANDLE.fullmatch(handle)), "A handle has 3 to 30 small letters, digits and hyphens.")
    require(len(password) >= SHORTEST, f"A password has at least {SHORTEST} characters.")
    try:
        with request.db:
            return Users(request.db).add(handle, name, Role(sent.text("role")), town, hash_password(password))
    except sqlite3.IntegrityError as error:
        raise RuleError("This handle is taken.") from error


@routes.get("/profile", *SIGNED_IN)
def show_profile(request: Request) -> Response:
    """Show what a user can change."""
    user = request.user
    content = form(
        request,
        "/profile",
        name_and_town(user.name, user.town),
        genre_boxes(Users(request.db).favourites(user.id)) if user.role == Role.VENUE else None,
        button="Save",
        class_="stack",
    )
    return page(request, "Profile", content)


def genre_boxes(chosen: Iterable[str]) -> Markup:
    """Build a box for each genre that a venue can follow."""
    boxes = [checkbox(genre, "genre", genre, genre in chosen) for genre in GENRES]
    return h("fieldset", h("legend", "Genres we follow"), boxes)


@routes.post("/profile", *SIGNED_IN)
def save_profile(request: Request) -> Response:
    """Save the profile."""
    name, town = read_name_and_town(request)
    users = Users(request.db)
    with request.db:
        users.rename(request.user.id, name, town)
        if request.user.role == Role.VENUE:
            users.set_favourites(request.user.id, [genre for genre in request.form.all("genre") if genre in GENRES])
    return redirect("/profile", "Saved.")


def name_and_town(name: str, town: str) -> list[Markup]:
    """Build the fields for what others see of a user."""
    return [
        field("Name", "name", name, maxlength=LONGEST_NAME, required=True),
        field("Town", "town", town, maxlength=LONGEST_NAME, required=True),
    ]


def read_name_and_town(request: Request) -> tuple[str, str]:
    """Read these fields; raise RuleError for what is not right with them."""
    name, town = request.form.text("name"), request.form.text("town")
    longest = max(len(name), len(town))
    require(bool(name and town), "Give a name and a town.")
    require(longest <= LONGEST_NAME, f"A name and a town have up to {LONGEST_NAME} characters each.")
    return name, town


def welcome(request: Request, user: User, target: str) -> Response:
    """Sign a user in and send them on."""
    with request.db:
        session = Sessions(request.db).open(user)
    seconds = int(LIFETIME.total_seconds())
    return redirect(target, f"Welcome, {user.name}.").with_headers(cookie(COOKIE, session.token, seconds))


def local(target: str) -> str:
    """Return where to go after signing in: a path of this site, or the first page."""
    return target if re.fullmatch(r"/(?![/\\])[\w/-]*", target, re.ASCII) else "/"
