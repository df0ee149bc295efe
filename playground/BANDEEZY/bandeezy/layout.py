"""What the pages share: the frame, forms, lists and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from bandeezy.html import Child, Markup, Value, h
from bandeezy.models import Page, Role
from bandeezy.web import Request, Response, html

MENU: dict[Role, tuple[tuple[str, str], ...]] = {
    Role.BAND: (("Offers", "/"), ("My offers", "/offers/mine"), ("Bookings", "/bookings")),
    Role.VENUE: (("Offers", "/"), ("Bookings", "/bookings")),
    Role.ADMIN: (("Offers", "/"), ("Accounts", "/admin")),
}
VISITORS_MENU = (("Offers", "/"), ("Sign in", "/sign-in"), ("Join", "/join"))


def page(request: Request, title: str, *content: Child, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Answer with a page in the frame that all pages share."""
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="csrf-token", content=request.session.csrf),
        h("title", f"{title} · BANDEEZY"),
        h("link", rel="stylesheet", href="/static/style.css"),
        h("script", type="module", src="/static/app.js"),
    )
    flash = h("p", request.flash, class_="flash", role="status") if request.flash else None
    body = h("body", header(request), h("main", flash, h("h1", title), *content))
    return html(f"<!doctype html>{h('html', head, body, lang='en')}", status)


def header(request: Request) -> Markup:
    """Build the bar on top: the name, the menu, and who is signed in."""
    user = request.session.user
    menu = MENU[user.role] if user else VISITORS_MENU
    links = [h("a", label, href=path, aria_current="page" if path == request.path else None) for label, path in menu]
    account = None
    if user:
        profile = h("a", user.name, href="/profile", class_="who")
        sign_out = form(request, "/sign-out", button="Sign out")
        account = h("div", profile, sign_out, class_="account")
    return h("header", h("a", "BANDEEZY", href="/", class_="brand"), h("nav", links), account)


def form(request: Request, action: str, *content: Child, button: str, **attributes: Value) -> Markup:
    """Build a form that is posted, with the token of this visit."""
    token = hidden("csrf", request.session.csrf)
    return h("form", token, *content, h("button", button), method="post", action=action, **attributes)


def hidden(name: str, value: str) -> Markup:
    """Build a field that is sent along and not seen."""
    return h("input", type="hidden", name=name, value=value)


def field(label: str, name: str, value: Value = "", **attributes: Value) -> Markup:
    """Build a labelled input of one line."""
    return h("label", h("span", label), h("input", name=name, value=value, **attributes))


def area(label: str, name: str, longest: int, value: str = "") -> Markup:
    """Build a labelled input of several lines that counts what may still be written."""
    counter = h("small", class_="remaining")
    return h("label", h("span", label), h("textarea", value, name=name, maxlength=longest, rows=4), counter)


def choice(label: str, name: str, options: Iterable[tuple[str, str]], chosen: str = "") -> Markup:
    """Build a labelled list to choose from; OPTIONS are pairs of value and text."""
    items = [h("option", text, value=value, selected=value == chosen) for value, text in options]
    return h("label", h("span", label), h("select", items, name=name))


def checkbox(label: str, name: str, value: str, checked: bool) -> Markup:
    """Build a box to tick, with its label after it."""
    return h("label", h("input", type="checkbox", name=name, value=value, checked=checked), label, class_="check")


def problem(message: str) -> Markup | None:
    """Build the sentence that says what is wrong with a form."""
    return h("p", message, class_="problem", role="alert") if message else None


def table(headings: Iterable[str], rows: Iterable[Iterable[Child]]) -> Markup:
    """Build a table."""
    head = h("tr", [h("th", heading, scope="col") for heading in headings])
    return h("table", h("thead", head), h("tbody", [h("tr", [h("td", cell) for cell in row]) for row in rows]))


def pager(shown: Page[Any], path: str, query: Mapping[str, str]) -> Markup | None:
    """Build the links to the pages before and after; QUERY is what else stands in their address."""

    def link(label: str, number: int, rel: str) -> Markup:
        return h("a", label, href=f"{path}?{urlencode({**query, 'page': number})}", rel=rel)

    if shown.count == 1:
        return None
    before = link("← Earlier page", shown.number - 1, "prev") if shown.number > 1 else None
    after = link("Next page →", shown.number + 1, "next") if shown.number < shown.count else None
    return h("nav", before, h("span", f"Page {shown.number} of {shown.count}"), after, class_="pager")


def label(text: str) -> Markup:
    """Build the small label that tells a status or a genre; each has its own colour."""
    return h("span", text, class_=f"label {text}")


def day(evening: date) -> Markup:
    """Build a date; the script adds how far it is away."""
    return h("time", f"{evening:%a} {evening.day} {evening:%b %Y}", datetime=evening.isoformat(), class_="day")
