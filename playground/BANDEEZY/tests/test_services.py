"""The rules of offers and bookings, and how offers are searched."""

from datetime import date, timedelta

import pytest
from bandeezy import services
from bandeezy.bookings import Bookings
from bandeezy.models import BookingStatus, OfferStatus
from bandeezy.offers import PER_PAGE, Offers, Search
from bandeezy.services import RuleError
from bandeezy.users import Users


@pytest.fixture
def offer(db, people, draft):
    """Return an open offer of the owls."""
    return services.make_offer(db, people.owls, draft())


def titles(db, **wanted):
    """Search, and return the titles of what was found."""
    return [offer.title for offer in Offers(db).search(Search(**wanted)).items]


def statuses(db, *bookings):
    """Return where bookings stand."""
    return [Bookings(db).get(booking.id).status for booking in bookings]


def test_an_offer_is_open_and_tells_its_band(db, people, offer):
    assert (offer.band_name, offer.town, offer.status) == ("Owls", "Port Alder", OfferStatus.OPEN)
    assert Offers(db).of_band(people.owls.id) == [offer]


@pytest.mark.parametrize("wrong", [{"title": ""}, {"genre": "polka"}, {"days": 0}, {"fee": -1}, {"fee": 100_001}])
def test_an_offer_must_make_sense(db, people, draft, wrong):
    with pytest.raises(RuleError):
        services.make_offer(db, people.owls, draft(**wrong))
    assert titles(db) == []


def test_a_search_narrows_by_genre_town_and_date(db, people, draft):
    services.make_offer(db, people.owls, draft("later folk", days=30))
    services.make_offer(db, people.owls, draft("folk"))
    services.make_offer(db, people.foxes, draft("jazz", "jazz", days=5))
    assert titles(db) == ["jazz", "folk", "later folk"]
    assert titles(db, genre="folk") == ["folk", "later folk"]
    assert titles(db, town="EAST") == ["jazz"]
    assert titles(db, earliest=date.today() + timedelta(20)) == ["later folk"]
    assert titles(db, genre="jazz", town="port") == []


def test_a_search_comes_in_pages(db, people, draft):
    for number in range(PER_PAGE + 1):
        services.make_offer(db, people.owls, draft(f"night {number}", days=number + 1))
    second = Offers(db).search(Search(page=2))
    assert ([offer.title for offer in second.items], second.total, second.count) == (["night 10"], PER_PAGE + 1, 2)
    assert Offers(db).search(Search(page=-3)).number == 1


def test_offers_of_a_closed_account_are_not_found(db, people, offer):
    Users(db).set_active(people.owls.id, False)
    assert titles(db) == []


def test_a_confirmed_booking_takes_the_evening_from_the_others(db, people, offer):
    first = services.request_booking(db, people.barn, offer.id, "please")
    second = services.request_booking(db, people.cellar, offer.id, "us too")
    services.confirm_booking(db, people.owls, second.id)
    assert statuses(db, first, second) == [BookingStatus.DECLINED, BookingStatus.CONFIRMED]
    assert Offers(db).get(offer.id).status == OfferStatus.BOOKED
    with pytest.raises(RuleError, match="not open"):
        services.request_booking(db, people.barn, offer.id, "again")


def test_a_cancelled_booking_opens_the_evening_again(db, people, offer):
    booking = services.request_booking(db, people.barn, offer.id, "please")
    services.confirm_booking(db, people.owls, booking.id)
    services.cancel_booking(db, people.barn, booking.id, "the roof leaks")
    assert Bookings(db).get(booking.id).reason == "the roof leaks"
    assert Offers(db).get(offer.id).status == OfferStatus.OPEN


def test_a_withdrawn_offer_declines_who_waits(db, people, offer):
    booking = services.request_booking(db, people.barn, offer.id, "please")
    services.withdraw_offer(db, people.desk, offer.id)
    assert statuses(db, booking) == [BookingStatus.DECLINED]
    assert titles(db) == []


def test_a_declined_venue_may_ask_again(db, people, offer):
    booking = services.request_booking(db, people.barn, offer.id, "please")
    services.decline_booking(db, people.owls, booking.id)
    assert services.request_booking(db, people.barn, offer.id, "pretty please").status == BookingStatus.REQUESTED


def test_nobody_steps_over_the_rules(db, people, offer):
    booking = services.request_booking(db, people.barn, offer.id, "please")
    forbidden = [
        lambda: services.request_booking(db, people.barn, offer.id, "twice"),
        lambda: services.request_booking(db, people.barn, 99, "nowhere"),
        lambda: services.confirm_booking(db, people.foxes, booking.id),
        lambda: services.confirm_booking(db, people.barn, booking.id),
        lambda: services.cancel_booking(db, people.cellar, booking.id, "not mine"),
        lambda: services.cancel_booking(db, people.barn, booking.id, ""),
        lambda: services.withdraw_offer(db, people.foxes, offer.id),
    ]
    for step in forbidden:
        with pytest.raises(RuleError):
            step()
    assert statuses(db, booking) == [BookingStatus.REQUESTED]


def test_what_is_over_stays_over(db, people, offer):
    booking = services.request_booking(db, people.barn, offer.id, "please")
    services.decline_booking(db, people.owls, booking.id)
    for step in (services.confirm_booking, services.decline_booking):
        with pytest.raises(RuleError, match="answered already"):
            step(db, people.owls, booking.id)
    with pytest.raises(RuleError, match="is over"):
        services.cancel_booking(db, people.barn, booking.id, "late")


def test_followers_of_a_genre_are_active_venues(db, people):
    users = Users(db)
    users.set_favourites(people.cellar.id, ["folk", "jazz", "folk"])
    assert users.favourites(people.cellar.id) == {"folk", "jazz"}
    assert [user.name for user in users.following("folk")] == ["The Barn", "The Cellar"]
    users.set_active(people.barn.id, False)
    assert [user.name for user in users.following("folk")] == ["The Cellar"]
