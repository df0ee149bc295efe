"""Sessions: who is behind a cookie.

The cookie holds a random token; the database holds its hash, so that a stolen database opens no session. The token that
guards forms is derived from the cookie's, for visitors who are not signed in too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bandeezy.database import stamp
from bandeezy.models import User
from bandeezy.users import read_user

LIFETIME = timedelta(days=14)


@dataclass(frozen=True)
class Session:
    """A visit: the cookie's token, and the user once signed in."""

    token: str = field(repr=False)
    user: User | None = None

    @property
    def csrf(self) -> str:
        """Return the token that every form of this visit must carry."""
        return hmac.new(self.token.encode(), b"csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Sessions:
    """Keep sessions."""

    db: sqlite3.Connection

    def open(self, user: User) -> Session:
        """Sign a user in under a token of its own."""
        session = Session(new_token(), user)
        expires = stamp(datetime.now(UTC) + LIFETIME)
        self.db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (hashed(session.token), user.id, expires))
        return session

    def find(self, token: str) -> Session:
        """Return the visit that a cookie belongs to; an unknown or empty token makes a new visit."""
        row = self.db.execute(
            "SELECT users.* FROM sessions JOIN users ON users.id = sessions.user_id"
            " WHERE token_hash = ? AND expires_at > ? AND active = 1",
            (hashed(token), stamp()),
        ).fetchone()
        return Session(token or new_token(), read_user(row) if row else None)

    def close(self, session: Session) -> None:
        """Sign out, and clear away what has expired."""
        self.db.execute(
            "DELETE FROM sessions WHERE token_hash = ? OR expires_at <= ?", (hashed(session.token), stamp())
        )


def new_token() -> str:
    """Make a token that cannot be guessed."""
    return secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """Return what the database keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
