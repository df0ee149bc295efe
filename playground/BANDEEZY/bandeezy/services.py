"""The rules: who may offer, book, confirm and cancel, and what follows from it.

Each function is one whole step: it commits, or raises RuleError and changes nothing.
"""

from __future__ import annotations

import sqlite3
from datetime import date

from bandeezy.bookings import Bookings
from bandeezy.models import GENRES, Booking, BookingStatus, Offer, OfferStatus, Role, User
from bandeezy.offers import Draft, Offers

HIGHEST_FEE = 100_000
# How many characters a text may have.
LONGEST_NAME = 60
LONGEST_TITLE = 80
LONGEST_REASON = 200
LONGEST_NOTE = 400


class RuleError(Exception):
    """A step that the rules forbid; the text is for the reader."""


class MissingError(RuleError):
    """A step on something that is not there, or is none of this user's business."""


def make_offer(db: sqlite3.Connection, band: User, draft: Draft) -> Offer:
    """Offer an evening."""
    require(0 < len(draft.title) <= LONGEST_TITLE, f"Give the evening a title of up to {LONGEST_TITLE} characters.")
    require(len(draft.notes) <= LONGEST_NOTE, f"The notes have room for {LONGEST_NOTE} characters.")
    require(draft.genre in GENRES, "Choose a genre from the list.")
    require(draft.evening > date.today(), "The evening must lie in the future.")
    require(0 <= draft.fee <= HIGHEST_FEE, f"The fee must be between 0 and {HIGHEST_FEE:,} euros.")
    with db:
        return Offers(db).add(band.id, draft)


def withdraw_offer(db: sqlite3.Connection, user: User, offer_id: int) -> Offer:
    """Take an open offer back, as its band or an admin; requests that wait for it are declined."""
    offer = find_offer(db, offer_id)
    require(user.id == offer.band_id or user.role == Role.ADMIN, "Only its band can withdraw an offer.")
    require(offer.status == OfferStatus.OPEN, "Only an open offer can be withdrawn.")
    with db:
        Offers(db).set_status(offer.id, OfferStatus.WITHDRAWN)
        decline_all(db, offer.id, "The offer was withdrawn.")
    return offer


def request_booking(db: sqlite3.Connection, venue: User, offer_id: int, message: str) -> Booking:
    """Ask for an offered evening."""
    offer = find_offer(db, offer_id)
    require(offer.status == OfferStatus.OPEN, "This evening is not open.")
    require(offer.evening > date.today(), "This evening is over.")
    waiting = {booking.venue_id for booking in Bookings(db).live_of_offer(offer.id)}
    require(venue.id not in waiting, "You have asked for this evening already.")
    require(len(message) <= LONGEST_NOTE, f"A word to the band has up to {LONGEST_NOTE} characters.")
    with db:
        return Bookings(db).add(offer.id, venue.id, message)


def confirm_booking(db: sqlite3.Connection, band: User, booking_id: int) -> Booking:
    """Promise the evening to one venue; the other requests are declined."""
    booking = find_request(db, band, booking_id)
    with db:
        Bookings(db).set_status(booking.id, BookingStatus.CONFIRMED)
        Offers(db).set_status(booking.offer_id, OfferStatus.BOOKED)
        decline_all(db, booking.offer_id, "The evening went to another venue.")
    return booking


def decline_booking(db: sqlite3.Connection, band: User, booking_id: int) -> Booking:
    """Turn a request down."""
    booking = find_request(db, band, booking_id)
    with db:
        Bookings(db).set_status(booking.id, BookingStatus.DECLINED)
    return booking


def cancel_booking(db: sqlite3.Connection, user: User, booking_id: int, reason: str) -> Booking:
    """Call a booking off, as its band or its venue; a promised evening is open again."""
    booking = find_booking(db, user, booking_id)
    require(booking.is_live, "This booking is over.")
    require(0 < len(reason) <= LONGEST_REASON, f"Say why, in up to {LONGEST_REASON} characters.")
    with db:
        Bookings(db).set_status(booking.id, BookingStatus.CANCELLED, reason)
        if booking.status == BookingStatus.CONFIRMED:
            Offers(db).set_status(booking.offer_id, OfferStatus.OPEN)
    return booking


def decline_all(db: sqlite3.Connection, offer_id: int, reason: str) -> None:
    """Decline every request that waits for an offer."""
    for booking in Bookings(db).live_of_offer(offer_id):
        if booking.status == BookingStatus.REQUESTED:
            Bookings(db).set_status(booking.id, BookingStatus.DECLINED, reason)


def find_offer(db: sqlite3.Connection, offer_id: int) -> Offer:
    """Return an offer that must be there."""
    offer = Offers(db).get(offer_id)
    if offer is None:
        raise MissingError("There is no such offer.")
    return offer


def find_booking(db: sqlite3.Connection, user: User, booking_id: int) -> Booking:
    """Return a booking that must be there and concern USER."""
    booking = Bookings(db).get(booking_id)
    if booking is None or user.id not in {booking.band_id, booking.venue_id}:
        raise MissingError("There is no such booking.")
    return booking


def find_request(db: sqlite3.Connection, band: User, booking_id: int) -> Booking:
    """Return a booking that waits for this band's word."""
    booking = find_booking(db, band, booking_id)
    require(booking.band_id == band.id, "Only the band can answer a request.")
    require(booking.status == BookingStatus.REQUESTED, "This request was answered already.")
    return booking


def require(holds: bool, message: str) -> None:
    """Raise RuleError with MESSAGE unless the rule holds."""
    if not holds:
        raise RuleError(message)
