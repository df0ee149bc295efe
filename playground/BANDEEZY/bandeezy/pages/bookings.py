"""Asking for an evening, and answering."""

from __future__ import annotations

from bandeezy.bookings import Bookings
from bandeezy.html import Markup, h
from bandeezy.layout import day, field, form, label, page, table
from bandeezy.models import Booking, BookingStatus, Role, User
from bandeezy.routing import Routes
from bandeezy.services import (
    LONGEST_REASON,
    cancel_booking,
    confirm_booking,
    decline_booking,
    find_booking,
    request_booking,
)
from bandeezy.web import Request, Response, redirect

routes = Routes()

PARTIES = (Role.BAND, Role.VENUE)


@routes.get("/bookings", *PARTIES)
def list_bookings(request: Request) -> Response:
    """Show a band or a venue what it has asked for, was asked for and agreed on."""
    bookings = Bookings(request.db).of_user(request.user.id)
    if not bookings:
        return page(request, "Bookings", h("p", "No bookings yet.", class_="empty"))
    rows = [
        (
            h("a", booking.title, href=f"/bookings/{booking.id}"),
            partner(request.user, booking),
            day(booking.evening),
            label(booking.status),
        )
        for booking in bookings
    ]
    return page(request, "Bookings", table(("Evening", "With", "Date", "Status"), rows))


@routes.get("/bookings/{booking_id}", *PARTIES)
def show_booking(request: Request, booking_id: int) -> Response:
    """Show one booking, with what this party can do about it."""
    booking = find_booking(request.db, request.user, booking_id)
    return page(
        request,
        booking.title,
        h("p", label(booking.status), f" {booking.band_name} at {booking.venue_name}, ", day(booking.evening)),
        h("p", booking.message, class_="notes"),
        h("p", booking.reason, class_="reason") if booking.reason else None,
        h("div", answers(request, booking), class_="actions"),
        cancellation(request, booking),
    )


@routes.post("/offers/{offer_id}/book", Role.VENUE)
def book(request: Request, offer_id: int) -> Response:
    """Ask for an evening."""
    booking = request_booking(request.db, request.user, offer_id, request.form.text("message"))
    return redirect(f"/bookings/{booking.id}", "The band will answer you.")


@routes.post("/bookings/{booking_id}/confirm", Role.BAND)
def confirm(request: Request, booking_id: int) -> Response:
    """Promise the evening to this venue."""
    confirm_booking(request.db, request.user, booking_id)
    return redirect(f"/bookings/{booking_id}", "The evening is booked.")


@routes.post("/bookings/{booking_id}/decline", Role.BAND)
def decline(request: Request, booking_id: int) -> Response:
    """Turn this venue down."""
    decline_booking(request.db, request.user, booking_id)
    return redirect(f"/bookings/{booking_id}", "The request is declined.")


@routes.post("/bookings/{booking_id}/cancel", *PARTIES)
def cancel(request: Request, booking_id: int) -> Response:
    """Call the booking off."""
    cancel_booking(request.db, request.user, booking_id, request.form.text("reason"))
    return redirect(f"/bookings/{booking_id}", "The booking is cancelled.")


def answers(request: Request, booking: Booking) -> list[Markup]:
    """Build the band's two answers to a request."""
    if request.user.id != booking.band_id or booking.status != BookingStatus.REQUESTED:
        return []
    here = f"/bookings/{booking.id}"
    return [form(request, f"{here}/confirm", button="Confirm"), form(request, f"{here}/decline", button="Decline")]


def cancellation(request: Request, booking: Booking) -> Markup | None:
    """Build the form that calls a booking off."""
    if not booking.is_live:
        return None
    return form(
        request,
        f"/bookings/{booking.id}/cancel",
        field("Reason", "reason", maxlength=LONGEST_REASON, required=True),
        button="Cancel booking",
        class_="stack",
        data_confirm="Cancel this booking?",
    )


def partner(user: User, booking: Booking) -> str:
    """Return the name of the other party."""
    return booking.venue_name if user.id == booking.band_id else booking.band_name
