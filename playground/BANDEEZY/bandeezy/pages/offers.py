"""Finding, making and withdrawing offers."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus

from bandeezy.html import Child, Markup, h
from bandeezy.layout import area, choice, day, field, form, label, page, pager, problem, table
from bandeezy.models import GENRES, Offer, OfferStatus, Role, User
from bandeezy.offers import Draft, Offers, Search
from bandeezy.routing import Routes
from bandeezy.services import (
    HIGHEST_FEE,
    LONGEST_NOTE,
    LONGEST_TITLE,
    RuleError,
    find_offer,
    make_offer,
    withdraw_offer,
)
from bandeezy.users import Users
from bandeezy.web import Request, Response, as_json, redirect

routes = Routes()


@routes.get("/")
def search_offers(request: Request) -> Response:
    """Show the open offers, narrowed by genre, town and date."""
    search = read_search(request)
    shown = Offers(request.db).search(search)
    query = {name: request.query.text(name) for name in ("genre", "town", "earliest")}
    return page(
        request,
        "Evenings on offer",
        search_form(search),
        follow_button(request, search.genre),
        h("ul", [card(offer) for offer in shown.items], class_="cards"),
        None if shown.items else h("p", "Nothing on offer here yet.", class_="empty"),
        pager(shown, "/", query),
    )


@routes.get("/api/offers")
def list_offers(request: Request) -> Response:
    """Give the same search to programs."""
    shown = Offers(request.db).search(read_search(request))
    return as_json({"offers": [as_data(offer) for offer in shown.items], "page": shown.number, "pages": shown.count})


@routes.post("/api/favourites", Role.VENUE)
def follow(request: Request) -> Response:
    """Follow a genre, or stop following it; the answer tells which genres are followed."""
    genre, users = request.form.text("genre"), Users(request.db)
    if genre not in GENRES:
        return as_json({"error": "unknown genre"}, HTTPStatus.BAD_REQUEST)
    with request.db:
        users.set_favourites(request.user.id, users.favourites(request.user.id) ^ {genre})
    return as_json({"following": sorted(users.favourites(request.user.id))})


@routes.get("/offers/new", Role.BAND)
def show_form(request: Request, message: str = "") -> Response:
    """Show the form for a new offer."""
    sent = request.form
    content = form(
        request,
        "/offers/new",
        problem(message),
        field("Title", "title", sent.text("title"), maxlength=LONGEST_TITLE, required=True),
        choice("Genre", "genre", [(genre, genre) for genre in GENRES], sent.text("genre")),
        field("Evening", "evening", sent.text("evening"), type="date", required=True),
        field("Fee in euros", "fee", sent.text("fee"), type="number", min=0, max=HIGHEST_FEE, required=True),
        area("Notes", "notes", LONGEST_NOTE, sent.text("notes")),
        button="Offer this evening",
        class_="stack",
    )
    return page(request, "Offer an evening", content, status=HTTPStatus.CONFLICT if message else HTTPStatus.OK)


@routes.post("/offers/new", Role.BAND)
def make(request: Request) -> Response:
    """Make an offer."""
    try:
        offer = make_offer(request.db, request.user, read_draft(request))
    except RuleError as error:
        return show_form(request, str(error))
    return redirect(f"/offers/{offer.id}", "Your evening is on offer.")


@routes.get("/offers/mine", Role.BAND)
def list_mine(request: Request) -> Response:
    """Show a band its own offers."""
    rows = [
        (h("a", offer.title, href=f"/offers/{offer.id}"), day(offer.evening), offer.genre, label(offer.status))
        for offer in Offers(request.db).of_band(request.user.id)
    ]
    new = h("p", h("a", "Offer an evening", href="/offers/new", class_="button"))
    return page(request, "My offers", new, table(("Title", "Evening", "Genre", "Status"), rows))


@routes.get("/offers/{offer_id}")
def show_offer(request: Request, offer_id: int) -> Response:
    """Show one offer, with what this reader can do about it."""
    offer = find_offer(request.db, offer_id)
    about = h("p", h("b", offer.band_name), f" of {offer.town}, ", day(offer.evening), ", ", euros(offer.fee))
    return page(
        request,
        offer.title,
        h("p", label(offer.genre), label(offer.status)),
        about,
        h("p", offer.notes, class_="notes"),
        actions(request, offer) if offer.status == OfferStatus.OPEN else None,
    )


@routes.post("/offers/{offer_id}/withdraw", Role.BAND, Role.ADMIN)
def withdraw(request: Request, offer_id: int) -> Response:
    """Take an offer back."""
    offer = withdraw_offer(request.db, request.user, offer_id)
    return redirect(f"/offers/{offer.id}", "The offer is withdrawn.")


def actions(request: Request, offer: Offer) -> Markup | None:
    """Build what this reader can do about an open offer."""
    user = request.session.user
    if user is None:
        return h("p", h("a", "Sign in", href=f"/sign-in?next=/offers/{offer.id}"), " to book this evening.")
    if user.role == Role.VENUE:
        message = area("A word to the band", "message", LONGEST_NOTE)
        return form(request, f"/offers/{offer.id}/book", message, button="Ask for this evening", class_="stack")
    if may_withdraw(user, offer):
        return form(request, f"/offers/{offer.id}/withdraw", button="Withdraw", data_confirm="Withdraw this offer?")
    return None


def may_withdraw(user: User, offer: Offer) -> bool:
    """Tell whether the offer is this band's own, or the user is an admin."""
    return user.role == Role.ADMIN or user.id == offer.band_id


def search_form(search: Search) -> Markup:
    """Build the form that narrows the list."""
    genres = [("", "any genre"), *((genre, genre) for genre in GENRES)]
    earliest = search.earliest.isoformat() if search.earliest else ""
    fields: tuple[Child, ...] = (
        choice("Genre", "genre", genres, search.genre),
        field("Town", "town", search.town, type="search"),
        field("From", "earliest", earliest, type="date"),
    )
    return h("form", *fields, h("button", "Search"), class_="search", role="search")


def follow_button(request: Request, genre: str) -> Markup | None:
    """Build the button that follows the genre searched for; only venues see it."""
    user = request.session.user
    if user is None or user.role != Role.VENUE or genre not in GENRES:
        return None
    pressed = genre in Users(request.db).favourites(user.id)
    return h("button", f"Follow {genre}", class_="follow", data_follow=genre, aria_pressed=str(pressed).lower())


def card(offer: Offer) -> Markup:
    """Build an offer's place in the list."""
    title = h("h2", h("a", offer.title, href=f"/offers/{offer.id}"))
    who = h("p", offer.band_name, ", ", offer.town)
    return h("li", title, who, h("p", label(offer.genre), day(offer.evening), ", ", euros(offer.fee)))


def euros(fee: int) -> str:
    """Write a fee, with a blank at which no line breaks."""
    return f"{fee}\N{NO-BREAK SPACE}€"


def as_data(offer: Offer) -> dict[str, object]:
    """Return what programs are told about an offer."""
    shared = {"id": offer.id, "title": offer.title, "genre": offer.genre, "fee": offer.fee}
    return {**shared, "band": offer.band_name, "town": offer.town, "evening": offer.evening.isoformat()}


def read_search(request: Request) -> Search:
    """Read what is searched for from the address."""
    query = request.query
    return Search(query.text("genre"), query.text("town"), read_day(query.text("earliest")), query.number("page", 1))


def read_draft(request: Request) -> Draft:
    """Read a new offer from its form; raise RuleError where the date is none."""
    sent = request.form
    evening = read_day(sent.text("evening"))
    if evening is None:
        raise RuleError("Give the evening as a date.")
    return Draft(sent.text("title"), sent.text("genre"), evening, sent.number("fee", -1), sent.text("notes"))


def read_day(text: str) -> date | None:
    """Read a date in ISO form, None where it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
