"""What the application is about: users, offers, bookings, and pages of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

Item = TypeVar("Item")

GENRES = ("blues", "brass", "electronic", "folk", "funk", "jazz", "metal", "pop", "punk", "rock")


class Role(StrEnum):
    """What a user may do: bands offer, venues book, admins look after both."""

    BAND = "band"
    VENUE = "venue"
    ADMIN = "admin"


class OfferStatus(StrEnum):
    """Where an offer stands."""

    OPEN = "open"
    BOOKED = "booked"
    WITHDRAWN = "withdrawn"


class BookingStatus(StrEnum):
    """Where a booking stands."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class User:
    """An account: a band, a venue or an admin."""

    id: int
    handle: str
    name: str
    role: Role
    town: str
    password: str = field(repr=False)
    active: bool = True


@dataclass(frozen=True)
class Offer:
    """An evening that a band offers; the fee is in whole euros."""

    id: int
    band_id: int
    band_name: str
    town: str
    title: str
    genre: str
    evening: date
    fee: int
    notes: str
    status: OfferStatus


@dataclass(frozen=True)
class Booking:
    """A venue's wish to have an offered evening, and what became of it."""

    id: int
    offer_id: int
    title: str
    evening: date
    band_id: int
    band_name: str
    venue_id: int
    venue_name: str
    message: str
    reason: str
    status: BookingStatus

    @property
    def is_live(self) -> bool:
        """Tell whether the booking still waits or stands."""
        return self.status in {BookingStatus.REQUESTED, BookingStatus.CONFIRMED}


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a longer list; pages count from 1."""

    items: list[Item]
    number: int
    per_page: int
    total: int

    @property
    def count(self) -> int:
        """Return how many pages there are, at least one."""
        return max(1, -(-self.total // self.per_page))
