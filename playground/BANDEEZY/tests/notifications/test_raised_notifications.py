"""Task raise: the services tell those whom a step concerns, in the same transaction."""

from contextlib import closing

import pytest
from bandeezy import services
from bandeezy.database import connect
from bandeezy.notifications import Notifications
from bandeezy.services import RuleError


@pytest.fixture
def told(database):
    """Return a function that tells what a user was told for good, the newest first."""

    def read(user):
        with closing(connect(database)) as other:
            return [item.message for item in Notifications(other).page(user.id).items]

    return read


@pytest.fixture
def offer(db, people, draft):
    """Return an offer of the owls."""
    return services.make_offer(db, people.owls, draft("Songs"))


def test_an_offer_is_told_to_its_followers(people, offer, told):
    assert told(people.barn) == ["Owls offers a folk evening: Songs"]
    assert told(people.cellar) == []


def test_an_offer_that_is_refused_is_told_to_nobody(db, people, draft, told):
    with pytest.raises(RuleError):
        services.make_offer(db, people.owls, draft(fee=-1))
    assert told(people.barn) == []


def test_a_request_is_told_to_the_band(db, people, offer, told):
    services.request_booking(db, people.cellar, offer.id, "")
    assert told(people.owls) == ["The Cellar asks for Songs"]


def test_a_confirmation_is_told_to_the_venue_and_to_those_who_lose(db, people, offer, told):
    booking = services.request_booking(db, people.cellar, offer.id, "")
    services.request_booking(db, people.barn, offer.id, "")
    services.confirm_booking(db, people.owls, booking.id)
    assert told(people.cellar) == ["Owls confirmed Songs"]
    assert told(people.barn)[0] == "Owls declined Songs"


def test_a_refusal_is_told_to_the_venue(db, people, offer, told):
    booking = services.request_booking(db, people.cellar, offer.id, "")
    services.decline_booking(db, people.owls, booking.id)
    assert told(people.cellar) == ["Owls declined Songs"]


def test_a_withdrawal_is_told_to_those_who_wait(db, people, offer, told):
    services.request_booking(db, people.cellar, offer.id, "")
    services.withdraw_offer(db, people.owls, offer.id)
    assert told(people.cellar) == ["Owls declined Songs"]


def test_a_cancellation_is_told_to_the_other_party(db, people, offer, told):
    booking = services.request_booking(db, people.cellar, offer.id, "")
    services.confirm_booking(db, people.owls, booking.id)
    services.cancel_booking(db, people.cellar, booking.id, "the roof leaks")
    assert told(people.owls)[0] == "The Cellar cancelled Songs: the roof leaks"
    assert told(people.cellar) == ["Owls confirmed Songs"]
