"""Task schema: the tables that hold notifications and preferences."""

import sqlite3

import pytest

ADD = "INSERT INTO notifications (user_id, kind, message, link, created_at) VALUES (?, ?, 'Hello', '/', '2030-01-01')"
PREFER = "INSERT INTO notification_preferences (user_id, kind, enabled) VALUES (?, ?, ?)"


def columns(db, table):
    """Return a table's columns: name, and whether a value is needed."""
    return {row["name"]: bool(row["notnull"] or row["pk"]) for row in db.execute(f"PRAGMA table_info({table})")}


def test_notifications_have_their_columns(db):
    needed = dict.fromkeys(("id", "user_id", "kind", "message", "link", "created_at"), True)
    assert columns(db, "notifications") == {**needed, "read_at": False}


def test_preferences_have_their_columns(db):
    assert columns(db, "notification_preferences") == {"user_id": True, "kind": True, "enabled": True}


@pytest.mark.parametrize("kind", ["offer", "booking", "cancellation"])
def test_each_kind_can_be_kept(db, people, kind):
    db.execute(ADD, (people.barn.id, kind))
    db.execute(PREFER, (people.barn.id, kind, 0))
    assert db.execute("SELECT read_at FROM notifications").fetchone()[0] is None


@pytest.mark.parametrize("statement", [ADD, PREFER.replace("?)", "1)")])
def test_other_kinds_are_refused(db, people, statement):
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        db.execute(statement, (people.barn.id, "gossip"))


def test_a_preference_is_kept_once_for_each_kind(db, people):
    db.execute(PREFER, (people.barn.id, "offer", 1))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        db.execute(PREFER, (people.barn.id, "offer", 0))


def test_a_deleted_user_takes_both_along(db, people):
    db.execute(ADD, (people.barn.id, "offer"))
    db.execute(PREFER, (people.barn.id, "offer", 0))
    db.execute("DELETE FROM users WHERE id = ?", (people.barn.id,))
    for table in ("notifications", "notification_preferences"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0


def test_the_unread_ones_of_a_user_are_found_by_an_index(db):
    plan = db.execute("EXPLAIN QUERY PLAN SELECT id FROM notifications WHERE user_id = 1 AND read_at IS NULL")
    assert "USING" in plan.fetchone()["detail"]
