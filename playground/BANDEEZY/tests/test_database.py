"""Migrations, moments and passwords."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from bandeezy.database import MIGRATIONS, connect, migrate, moment, stamp, version
from bandeezy.passwords import hash_password, matches


def test_migrations_run_once_in_the_order_of_their_numbers(tmp_path):
    names = [path.stem for path in sorted(MIGRATIONS.glob("*.sql"))]
    with closing(connect(tmp_path / "new.db")) as db:
        assert migrate(db) == names
        assert version(db) == len(names)
        assert migrate(db) == []


def test_a_later_migration_runs_on_a_database_that_has_the_earlier_ones(tmp_path):
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (x);")
    with closing(connect(":memory:")) as db:
        migrate(db, tmp_path)
        db.execute("INSERT INTO a VALUES (1)")
        db.commit()
        (tmp_path / "0002_second.sql").write_text("ALTER TABLE a ADD COLUMN y;")
        assert migrate(db, tmp_path) == ["0002_second"]
        assert tuple(db.execute("SELECT x, y FROM a").fetchone()) == (1, None)


def test_a_broken_migration_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "0001_broken.sql").write_text("CREATE TABLE a (x); CREATE TABLE a (x);")
    with closing(connect(":memory:")) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, tmp_path)
        assert version(db) == 0
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_references_are_enforced(db):
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO favourites VALUES (99, 'folk')")


def test_a_moment_is_kept_in_utc_to_the_second():
    at = datetime(2030, 5, 1, 12, 30, 15, 999, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(at) == "2030-05-01T10:30:15Z"
    assert moment(stamp(at)) == datetime(2030, 5, 1, 10, 30, 15, tzinfo=UTC)


def test_a_password_matches_its_own_hash_only():
    stored = hash_password("a long evening", cost=2)
    assert matches("a long evening", stored)
    assert not matches("a short evening", stored)
    assert "evening" not in stored
    assert hash_password("a long evening", cost=2) != stored
