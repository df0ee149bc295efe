"""The database: connections, migrations and how moments are stored.

Repositories never commit. Whoever changes data does it within `with db:`, which commits at the end, or rolls back.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"


def connect(path: Path | str) -> sqlite3.Connection:
    """Open the database at PATH; rows can be read by column name, and references are enforced."""
    db = sqlite3.connect(path, timeout=10)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    return db


def migrate(db: sqlite3.Connection, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the migrations in FOLDER that DB has not seen, in the order of their numbers; return their names."""
    done = version(db)
    pending = [path for path in sorted(folder.glob("*.sql")) if number(path) > done]
    for path in pending:
        apply(db, path)
    return [path.stem for path in pending]


def version(db: sqlite3.Connection) -> int:
    """Return the number of the last migration that DB has seen, 0 for an empty one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def number(path: Path) -> int:
    """Return the number that a migration's file name begins with."""
    return int(path.stem.partition("_")[0])


def apply(db: sqlite3.Connection, path: Path) -> None:
    """Run one migration as a whole: its statements and its number, or nothing of it."""
    script = path.read_text(encoding="utf-8")
    try:
        db.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number(path)};\nCOMMIT;")
    except sqlite3.Error:
        db.rollback()
        raise


def stamp(at: datetime | None = None) -> str:
    """Write a moment as the database keeps it: UTC, to the second, so that text order is time order."""
    return (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read a moment that `stamp` wrote."""
    return datetime.fromisoformat(text)
