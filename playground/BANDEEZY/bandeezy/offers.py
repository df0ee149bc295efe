"""Offers in the database, and how they are searched."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import date

from bandeezy.models import Offer, OfferStatus, Page

PER_PAGE = 10
SELECT = (
    "SELECT offers.*, users.name AS band_name, users.town AS town"
    " FROM offers JOIN users ON users.id = offers.band_id AND users.active = 1"
)


@dataclass(frozen=True)
class Draft:
    """An offer before it is made."""

    title: str
    genre: str
    evening: date
    fee: int
    notes: str = ""


@dataclass(frozen=True)
class Search:
    """What somebody looks for among the open offers; what is empty does not narrow."""

    genre: str = ""
    town: str = ""
    earliest: date | None = None
    page: int = 1

    def conditions(self) -> dict[str, object]:
        """Return the SQL conditions with the value that each one takes."""
        wanted: dict[str, object] = {
            "offers.status = ?": OfferStatus.OPEN,
            "offers.evening >= ?": (self.earliest or date.today()).isoformat(),
        }
        if self.genre:
            wanted["offers.genre = ?"] = self.genre
        if self.town:
            wanted["instr(lower(users.town), lower(?)) > 0"] = self.town
        return wanted


@dataclass(frozen=True)
class Offers:
    """Keep offers."""

    db: sqlite3.Connection

    def add(self, band_id: int, draft: Draft) -> Offer:
        """Add an open offer."""
        cursor = self.db.execute(
            "INSERT INTO offers (band_id, title, genre, evening, fee, notes) VALUES (?, ?, ?, ?, ?, ?)",
            (band_id, draft.title, draft.genre, draft.evening.isoformat(), draft.fee, draft.notes),
        )
        return self._read(f"{SELECT} WHERE offers.id = ?", cursor.lastrowid)[0]

    def get(self, offer_id: int) -> Offer | None:
        """Return the offer with that id; a closed account's offers are not seen."""
        return next(iter(self._read(f"{SELECT} WHERE offers.id = ?", offer_id)), None)

    def of_band(self, band_id: int) -> list[Offer]:
        """Return a band's offers, the next evening first."""
        return self._read(f"{SELECT} WHERE band_id = ? ORDER BY evening, offers.id", band_id)

    def search(self, search: Search) -> Page[Offer]:
        """Return the page of open offers that SEARCH asks for, the next evening first."""
        conditions = search.conditions()
        where, values = " AND ".join(conditions), list(conditions.values())
        total = self.db.execute(f"SELECT count(*) FROM ({SELECT} WHERE {where})", values).fetchone()[0]
        page = max(1, search.page)
        items = self._read(
            f"{SELECT} WHERE {where} ORDER BY evening, offers.id LIMIT ? OFFSET ?",
            *values,
            PER_PAGE,
            (page - 1) * PER_PAGE,
        )
        return Page(items, page, PER_PAGE, total)

    def set_status(self, offer_id: int, status: OfferStatus) -> None:
        """Change where an offer stands."""
        self.db.execute("UPDATE offers SET status = ? WHERE id = ?", (status, offer_id))

    def counts(self) -> dict[str, int]:
        """Return how many open offers each genre has."""
        rows = self.db.execute(
            "SELECT genre, count(*) FROM offers WHERE status = ? GROUP BY genre", (OfferStatus.OPEN,)
        )
        return dict(rows.fetchall())

    def _read(self, query: str, *values: object) -> list[Offer]:
        return [read_offer(row) for row in self.db.execute(query, values)]


def read_offer(row: sqlite3.Row) -> Offer:
    """Make an offer of a row of SELECT."""
    return Offer(
        id=row["id"],
        band_id=row["band_id"],
        band_name=row["band_name"],
        town=row["town"],
        title=row["title"],
        genre=row["genre"],
        evening=date.fromisoformat(row["evening"]),
        fee=row["fee"],
        notes=row["notes"],
        status=OfferStatus(row["status"]),
    )
