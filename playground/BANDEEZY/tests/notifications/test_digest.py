"""Task digest: what is unread, as one letter for each user."""

from datetime import UTC, datetime, timedelta

import pytest
from bandeezy.digest import compose, digests
from bandeezy.notifications import Kind, Notifications
from bandeezy.users import Users

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def tell(db):
    """Return a function that tells a user something, some hours after noon."""

    def add(user, kind, message, hours=0):
        return Notifications(db).add(user.id, kind, message, "/", NOON + timedelta(hours=hours))

    return add


def test_a_letter_is_grouped_by_kind(people, tell):
    items = [
        tell(people.barn, Kind.CANCELLATION, "Owls cancelled Songs: no voice"),
        tell(people.barn, Kind.OFFER, "Owls offers a folk evening: Songs"),
        tell(people.barn, Kind.OFFER, "Tin Foxes offers a folk evening: Reels"),
    ]
    letter = compose(people.barn, items)
    assert letter.user == people.barn
    assert letter.subject == "3 unread notifications"
    assert letter.body == (
        "Hello The Barn,\n"
        "\n"
        "Offers\n"
        "- Owls offers a folk evening: Songs\n"
        "- Tin Foxes offers a folk evening: Reels\n"
        "\n"
        "Cancellations\n"
        "- Owls cancelled Songs: no voice\n"
    )


def test_one_is_not_many(people, tell):
    assert compose(people.barn, [tell(people.barn, Kind.BOOKING, "x")]).subject == "1 unread notification"


def test_letters_go_to_those_with_something_unread_since_then(db, people, tell):
    tell(people.barn, Kind.OFFER, "old", hours=-1)
    tell(people.barn, Kind.OFFER, "new", hours=1)
    tell(people.owls, Kind.BOOKING, "asked")
    tell(people.cellar, Kind.OFFER, "old", hours=-2)
    read = tell(people.foxes, Kind.BOOKING, "read already")
    Notifications(db).mark_read(people.foxes.id, read.id)
    letters = digests(db, NOON)
    assert [letter.user.handle for letter in letters] == ["owls", "barn"]
    assert "new" in letters[1].body
    assert "old" not in letters[1].body


def test_closed_accounts_get_no_letter(db, people, tell):
    tell(people.owls, Kind.BOOKING, "asked")
    Users(db).set_active(people.owls.id, False)
    assert digests(db, NOON) == []
