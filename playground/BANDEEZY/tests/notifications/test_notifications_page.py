"""Task page: the list of notifications that a user reads."""

import re

import pytest
from bandeezy.notifications import PER_PAGE, Kind, Notifications


@pytest.fixture
def barn(signed_in):
    """Return the barn, signed in."""
    return signed_in("barn")


@pytest.fixture
def tell(db, people):
    """Return a function that tells the barn something."""

    def add(message="<loud> folk", link="/bookings"):
        with db:
            return Notifications(db).add(people.barn.id, Kind.OFFER, message, link)

    return add


def test_an_empty_list_says_so(barn):
    text = barn.get("/notifications").text
    assert "<h1>Notifications</h1>" in text
    assert "Nothing has happened yet." in text
    assert "/notifications/read-all" not in text


def test_unread_ones_stand_out(barn, tell):
    tell()
    text = barn.get("/notifications").text
    assert '<ul class="notifications">' in text
    assert '<li class="unread">' in text
    assert "&lt;loud&gt; folk" in text
    assert " UTC</time>" in text
    assert '<span class="label offer">offer</span>' in text


def test_opening_one_reads_it_and_goes_where_it_points(barn, tell):
    item = tell()
    answer = barn.post(f"/notifications/{item.id}/open")
    assert (answer.status, answer.location) == (303, "/bookings")
    assert 'class="unread"' not in barn.get("/notifications").text


def test_all_can_be_read_at_once(barn, tell):
    tell("one")
    tell("two")
    assert "/notifications/read-all" in barn.get("/notifications").text
    assert barn.post("/notifications/read-all").location == "/notifications"
    text = barn.get("/notifications").text
    assert 'class="unread"' not in text
    assert "/notifications/read-all" not in text


def test_a_long_list_comes_in_pages(barn, tell):
    for number in range(PER_PAGE + 1):
        tell(f"number {number}.")
    first, second = (barn.get(f"/notifications?page={page}").text for page in (1, 2))
    assert len(re.findall("<li[ >]", first)) == PER_PAGE
    assert ("number 0." in first, "number 0." in second) == (False, True)
    assert 'href="/notifications?page=2"' in first


def test_what_others_were_told_stays_theirs(signed_in, tell):
    item = tell()
    cellar = signed_in("cellar")
    assert "Nothing has happened yet." in cellar.get("/notifications").text
    assert cellar.post(f"/notifications/{item.id}/open").status == 404


def test_visitors_sign_in_first(visitor):
    assert visitor.get("/notifications").location == "/sign-in?next=/notifications"
