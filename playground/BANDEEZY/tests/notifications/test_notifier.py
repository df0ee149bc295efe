"""Task notifier: who is told what."""

import pytest
from bandeezy import notifier
from bandeezy.bookings import Bookings
from bandeezy.notifications import Kind, Notifications
from bandeezy.offers import Offers
from bandeezy.preferences import Preferences
from bandeezy.users import Users


@pytest.fixture
def offer(db, people, draft):
    """Return an offer of the owls that nobody was told of."""
    return Offers(db).add(people.owls.id, draft("Songs"))


@pytest.fixture
def booking(db, people, offer):
    """Return the barn's request for that evening, that nobody was told of either."""
    return Bookings(db).add(offer.id, people.barn.id, "please")


def told(db, user):
    """Return what a user was told: kind, message and link."""
    return [(item.kind, item.message, item.link) for item in Notifications(db).page(user.id).items]


def test_venues_that_follow_the_genre_hear_of_an_offer(db, people, offer):
    notifier.offer_made(db, offer)
    assert told(db, people.barn) == [(Kind.OFFER, "Owls offers a folk evening: Songs", f"/offers/{offer.id}")]
    assert told(db, people.cellar) == told(db, people.owls) == []


def test_closed_accounts_hear_nothing(db, people, offer):
    Users(db).set_active(people.barn.id, False)
    notifier.offer_made(db, offer)
    assert told(db, people.barn) == []


def test_the_band_hears_of_a_request(db, people, booking):
    notifier.booking_requested(db, booking)
    assert told(db, people.owls) == [(Kind.BOOKING, "The Barn asks for Songs", f"/bookings/{booking.id}")]
    assert told(db, people.barn) == []


def test_the_venue_hears_the_answer(db, people, booking):
    notifier.booking_confirmed(db, booking)
    notifier.booking_declined(db, booking)
    assert [message for _, message, _ in told(db, people.barn)] == ["Owls declined Songs", "Owls confirmed Songs"]
    assert told(db, people.owls) == []


def test_the_other_party_hears_of_a_cancellation(db, people, booking):
    notifier.booking_cancelled(db, booking, people.barn, "the roof leaks")
    link = f"/bookings/{booking.id}"
    assert told(db, people.owls) == [(Kind.CANCELLATION, "The Barn cancelled Songs: the roof leaks", link)]
    assert told(db, people.barn) == []
    notifier.booking_cancelled(db, booking, people.owls, "no voice")
    assert told(db, people.barn) == [(Kind.CANCELLATION, "Owls cancelled Songs: no voice", link)]


def test_nobody_is_told_what_they_do_not_want(db, people, offer, booking):
    Preferences(db).set(people.barn.id, Kind.OFFER, False)
    notifier.offer_made(db, offer)
    notifier.booking_confirmed(db, booking)
    assert [kind for kind, _, _ in told(db, people.barn)] == [Kind.BOOKING]
