"""Task settings: the form where users choose what they are told."""

import re

import pytest
from bandeezy.notifications import Kind
from bandeezy.preferences import Preferences


@pytest.fixture
def barn(signed_in):
    """Return the barn, signed in."""
    return signed_in("barn")


def ticked(client):
    """Return the values of the boxes that are ticked."""
    return re.findall(r'name="kind" value="(\w+)" checked', client.get("/notifications/settings").text)


def test_every_box_is_ticked_at_first(barn):
    assert ticked(barn) == ["offer", "booking", "cancellation"]


def test_the_boxes_say_what_they_are_for(barn):
    text = barn.get("/notifications/settings").text
    for label in ("New offers in the genres I follow", "Requests and answers", "Cancellations"):
        assert label in text


def test_what_is_not_ticked_is_not_wanted(barn, db, people):
    answer = barn.post("/notifications/settings", kind=["booking", "gossip"])
    assert (answer.status, answer.location) == (303, "/notifications/settings")
    wanted = {Kind.OFFER: False, Kind.BOOKING: True, Kind.CANCELLATION: False}
    assert Preferences(db).all(people.barn.id) == wanted
    assert ticked(barn) == ["booking"]


def test_no_box_at_all_means_silence(barn):
    assert barn.post("/notifications/settings").status == 303
    assert ticked(barn) == []


def test_the_page_says_that_it_was_saved(barn):
    barn.post("/notifications/settings", kind="offer")
    assert "Saved." in barn.get("/notifications/settings").text


def test_the_profile_leads_there(barn):
    assert 'href="/notifications/settings"' in barn.get("/profile").text
