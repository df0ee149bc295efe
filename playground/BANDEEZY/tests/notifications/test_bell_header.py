"""Task bell-header: the bell in the bar on top."""

import re

import pytest
from bandeezy.notifications import Kind, Notifications


@pytest.fixture
def barn(signed_in):
    """Return the barn, signed in."""
    return signed_in("barn")


@pytest.fixture
def tell(db, people):
    """Return a function that tells the barn something as often as is said."""

    def add(times):
        with db:
            for _ in range(times):
                Notifications(db).add(people.barn.id, Kind.OFFER, "Songs", "/")

    return add


def bell(client):
    """Return the bell's label and the element of its count."""
    link = re.search(r'<a href="/notifications"[^>]*>.*?</a>', client.get("/").text)
    assert link, "there is no bell"
    assert 'class="bell" data-bell' in link[0]
    return re.search('aria-label="(.*?)"', link[0])[1], re.search('<span class="count".*?</span>', link[0])[0]


def test_a_quiet_bell_hides_its_count(barn):
    assert bell(barn) == ("Notifications", '<span class="count" hidden></span>')


@pytest.mark.parametrize(
    ("times", "label", "shown"),
    [
        (1, "1 unread notification", "1"),
        (99, "99 unread notifications", "99"),
        (100, "100 unread notifications", "99+"),
    ],
)
def test_the_bell_counts_what_is_unread(barn, tell, times, label, shown):
    tell(times)
    assert bell(barn) == (label, f'<span class="count">{shown}</span>')


def test_the_script_and_the_style_come_with_the_page(barn):
    text = barn.get("/").text
    assert '<script type="module" src="/static/bell.js"></script>' in text
    assert '<link rel="stylesheet" href="/static/notifications.css">' in text
    assert ".bell" in barn.get("/static/notifications.css").text


def test_visitors_see_no_bell(visitor):
    text = visitor.get("/").text
    assert "data-bell" not in text
    assert "bell.js" not in text
