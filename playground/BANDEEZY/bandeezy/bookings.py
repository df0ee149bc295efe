"""Bookings in the database."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import date

from bandeezy.database import stamp
from bandeezy.models import Booking, BookingStatus

SELECT = (
    "SELECT bookings.*, offers.title, offers.evening, offers.band_id,"
    " bands.name AS band_name, venues.name AS venue_name"
    " FROM bookings JOIN offers ON offers.id = bookings.offer_id"
    " JOIN users AS bands ON bands.id = offers.band_id"
    " JOIN users AS venues ON venues.id = bookings.venue_id"
)


@dataclass(frozen=True)
class Bookings:
    """Keep bookings."""

    db: sqlite3.Connection

    def add(self, offer_id: int, venue_id: int, message: str) -> Booking:
        """Add a request. Raise sqlite3.IntegrityError where this venue's last one still waits."""
        cursor = self.db.execute(
            "INSERT INTO bookings (offer_id, venue_id, message, created_at) VALUES (?, ?, ?, ?)",
            (offer_id, venue_id, message, stamp()),
        )
        return self._read(f"{SELECT} WHERE bookings.id = ?", cursor.lastrowid)[0]

    def get(self, booking_id: int) -> Booking | None:
        """Return the booking with that id."""
        return next(iter(self._read(f"{SELECT} WHERE bookings.id = ?", booking_id)), None)

    def of_user(self, user_id: int) -> list[Booking]:
        """Return the bookings that a band or a venue is part of, the newest first."""
        where = "WHERE offers.band_id = ? OR bookings.venue_id = ? ORDER BY bookings.id DESC"
        return self._read(f"{SELECT} {where}", user_id, user_id)

    def live_of_offer(self, offer_id: int) -> list[Booking]:
        """Return an offer's bookings that still wait or stand, the oldest first."""
        bookings = self._read(f"{SELECT} WHERE offer_id = ? ORDER BY bookings.id", offer_id)
        return [booking for booking in bookings if booking.is_live]

    def set_status(self, booking_id: int, status: BookingStatus, reason: str = "") -> None:
        """Change where a booking stands, and say why."""
        self.db.execute("UPDATE bookings SET status = ?, reason = ? WHERE id = ?", (status, reason, booking_id))

    def counts(self) -> dict[str, int]:
        """Return how many bookings stand at each status."""
        return dict(self.db.execute("SELECT status, count(*) FROM bookings GROUP BY status").fetchall())

    def _read(self, query: str, *values: object) -> list[Booking]:
        return [read_booking(row) for row in self.db.execute(query, values)]


def read_booking(row: sqlite3.Row) -> Booking:
    """Make a booking of a row of SELECT."""
    return Booking(
        id=row["id"],
        offer_id=row["offer_id"],
        title=row["title"],
        evening=date.fromisoformat(row["evening"]),
        band_id=row["band_id"],
        band_name=row["band_name"],
        venue_id=row["venue_id"],
        venue_name=row["venue_name"],
        message=row["message"],
        reason=row["reason"],
        status=BookingStatus(row["status"]),
    )
