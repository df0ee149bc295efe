"""Task repository: notifications in the database."""

from datetime import UTC, datetime, timedelta

import pytest
from bandeezy.notifications import Kind, Notification, Notifications

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def kept(db, people):
    """Return five notifications of the barn, one a minute, and one of the cellar after them."""
    notifications = Notifications(db)
    added = [
        notifications.add(people.barn.id, Kind.OFFER, f"message {n}", f"/offers/{n}", NOON + timedelta(minutes=n))
        for n in range(5)
    ]
    return [*added, notifications.add(people.cellar.id, Kind.BOOKING, "message 5", "/bookings/1", NOON)]


def messages(page):
    """Return the messages of a page."""
    return [notification.message for notification in page.items]


def test_what_is_added_is_returned_and_kept(db, people, kept):
    first = kept[0]
    assert first == Notification(first.id, people.barn.id, Kind.OFFER, "message 0", "/offers/0", NOON, None)
    assert first.is_unread
    assert Notifications(db).get(people.barn.id, first.id) == first


def test_a_notification_is_its_users_own(db, people, kept):
    assert Notifications(db).get(people.cellar.id, kept[0].id) is None
    assert Notifications(db).get(people.barn.id, 999) is None


def test_the_moment_is_this_one_unless_it_is_given(db, people):
    added = Notifications(db).add(people.barn.id, Kind.OFFER, "new", "/")
    assert abs(datetime.now(UTC) - added.created_at) < timedelta(seconds=5)


def test_reading_one_lowers_the_count(db, people, kept):
    notifications = Notifications(db)
    assert notifications.unread_count(people.barn.id) == 5
    assert notifications.mark_read(people.barn.id, kept[2].id)
    assert notifications.unread_count(people.barn.id) == 4
    assert not notifications.get(people.barn.id, kept[2].id).is_unread


def test_reading_twice_keeps_the_first_moment(db, people, kept):
    notifications = Notifications(db)
    notifications.mark_read(people.barn.id, kept[0].id, NOON)
    assert notifications.mark_read(people.barn.id, kept[0].id, NOON + timedelta(hours=1))
    assert notifications.get(people.barn.id, kept[0].id).read_at == NOON


def test_nobody_reads_for_others(db, people, kept):
    assert not Notifications(db).mark_read(people.cellar.id, kept[0].id)
    assert Notifications(db).unread_count(people.barn.id) == 5


def test_all_can_be_read_at_once(db, people, kept):
    notifications = Notifications(db)
    notifications.mark_read(people.barn.id, kept[0].id)
    assert notifications.mark_all_read(people.barn.id) == 4
    assert notifications.unread_count(people.barn.id) == 0
    assert notifications.unread_count(people.cellar.id) == 1


def test_pages_show_the_newest_first(db, people, kept):
    first = Notifications(db).page(people.barn.id, 1, per_page=2)
    assert messages(first) == ["message 4", "message 3"]
    assert (first.number, first.per_page, first.total, first.count) == (1, 2, 5, 3)


def test_the_last_page_holds_the_rest(db, people, kept):
    assert messages(Notifications(db).page(people.barn.id, 3, per_page=2)) == ["message 0"]
    assert messages(Notifications(db).page(people.barn.id, 4, per_page=2)) == []


def test_a_page_before_the_first_is_the_first(db, people, kept):
    page = Notifications(db).page(people.barn.id, 0)
    assert (page.number, len(page.items)) == (1, 5)


def test_unread_ones_since_a_moment_come_oldest_first(db, people, kept):
    notifications = Notifications(db)
    notifications.mark_read(people.barn.id, kept[3].id)
    since = notifications.unread_since(people.barn.id, NOON + timedelta(minutes=2))
    assert [notification.message for notification in since] == ["message 2", "message 4"]
