"""Users and the genres they follow, in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from bandeezy.models import Role, User


@dataclass(frozen=True)
class Users:
    """Keep users."""

    db: sqlite3.Connection

    def add(self, handle: str, name: str, role: Role, town: str, password: str) -> User:
        """Add a user; PASSWORD is hashed already. Raise sqlite3.IntegrityError for a handle that is taken."""
        cursor = self.db.execute(
            "INSERT INTO users (handle, name, role, town, password) VALUES (?, ?, ?, ?, ?)",
            (handle, name, role, town, password),
        )
        return User(int(cursor.lastrowid or 0), handle, name, role, town, password)

    def get(self, user_id: int) -> User | None:
        """Return the user with that id."""
        return self._one("SELECT * FROM users WHERE id = ?", user_id)

    def by_handle(self, handle: str) -> User | None:
        """Return the user with that handle."""
        return self._one("SELECT * FROM users WHERE handle = ?", handle)

    def all(self) -> list[User]:
        """Return all users by role and name."""
        return [read_user(row) for row in self.db.execute("SELECT * FROM users ORDER BY role, name")]

    def following(self, genre: str) -> list[User]:
        """Return the active venues that follow GENRE, by name."""
        rows = self.db.execute(
            "SELECT users.* FROM users JOIN favourites ON favourites.user_id = users.id"
            " WHERE favourites.genre = ? AND users.role = ? AND users.active = 1 ORDER BY users.name",
            (genre, Role.VENUE),
        )
        return [read_user(row) for row in rows]

    def rename(self, user_id: int, name: str, town: str) -> None:
        """Change what others see of a user."""
        self.db.execute("UPDATE users SET name = ?, town = ? WHERE id = ?", (name, town, user_id))

    def set_active(self, user_id: int, active: bool) -> None:
        """Open or close an account; a closed one loses its sessions."""
        self.db.execute("UPDATE users SET active = ? WHERE id = ?", (active, user_id))
        if not active:
            self.db.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))

    def favourites(self, user_id: int) -> set[str]:
        """Return the genres that a user follows."""
        rows = self.db.execute("SELECT genre FROM favourites WHERE user_id = ?", (user_id,))
        return {row["genre"] for row in rows}

    def set_favourites(self, user_id: int, genres: Iterable[str]) -> None:
        """Replace the genres that a user follows."""
        self.db.execute("DELETE FROM favourites WHERE user_id = ?", (user_id,))
        self.db.executemany("INSERT INTO favourites VALUES (?, ?)", [(user_id, genre) for genre in set(genres)])

    def _one(self, query: str, value: int | str) -> User | None:
        row = self.db.execute(query, (value,)).fetchone()
        return read_user(row) if row else None


def read_user(row: sqlite3.Row) -> User:
    """Make a user of a row of the table."""
    return User(
        row["id"], row["handle"], row["name"], Role(row["role"]), row["town"], row["password"], bool(row["active"])
    )
