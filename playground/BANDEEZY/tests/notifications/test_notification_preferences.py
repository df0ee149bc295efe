"""Task preferences: which kinds of notification a user wants."""

from contextlib import closing

from bandeezy.database import connect
from bandeezy.notifications import Kind
from bandeezy.preferences import Preferences


def test_every_kind_is_wanted_at_first(db, people):
    preferences = Preferences(db)
    assert preferences.all(people.barn.id) == {Kind.OFFER: True, Kind.BOOKING: True, Kind.CANCELLATION: True}
    assert all(preferences.wants(people.barn.id, kind) for kind in Kind)


def test_a_kind_can_be_refused_and_wanted_again(db, people):
    preferences = Preferences(db)
    preferences.set(people.barn.id, Kind.OFFER, False)
    assert not preferences.wants(people.barn.id, Kind.OFFER)
    assert preferences.wants(people.barn.id, Kind.BOOKING)
    preferences.set(people.barn.id, Kind.OFFER, True)
    assert preferences.wants(people.barn.id, Kind.OFFER)


def test_preferences_are_each_users_own(db, people):
    Preferences(db).set(people.barn.id, Kind.BOOKING, False)
    assert Preferences(db).wants(people.cellar.id, Kind.BOOKING)
    assert Preferences(db).all(people.barn.id)[Kind.BOOKING] is False


def test_the_caller_commits(db, database, people):
    Preferences(db).set(people.barn.id, Kind.OFFER, False)
    with closing(connect(database)) as other:
        assert Preferences(other).wants(people.barn.id, Kind.OFFER)
    db.commit()
    with closing(connect(database)) as other:
        assert not Preferences(other).wants(people.barn.id, Kind.OFFER)
