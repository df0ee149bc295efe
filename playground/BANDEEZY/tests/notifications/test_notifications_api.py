"""Task api: notifications for programs."""

import pytest
from bandeezy.notifications import PER_PAGE, Kind, Notifications


@pytest.fixture
def kept(db, people):
    """Return one notification more than a page of the barn's holds, oldest first."""
    with db:
        return [
            Notifications(db).add(people.barn.id, Kind.OFFER, f"message {n}", f"/offers/{n}")
            for n in range(PER_PAGE + 1)
        ]


@pytest.fixture
def barn(signed_in):
    """Return the barn, signed in."""
    return signed_in("barn")


def test_the_list_shows_the_newest_first(barn, kept):
    listed = barn.get("/api/notifications").json()
    newest = kept[-1]
    assert listed["notifications"][0] == {
        "id": newest.id,
        "kind": "offer",
        "message": newest.message,
        "link": newest.link,
        "created_at": newest.created_at.isoformat(),
        "read": False,
    }
    assert (listed["page"], listed["pages"], listed["unread"]) == (1, 2, PER_PAGE + 1)


def test_the_last_page_holds_the_oldest(barn, kept):
    listed = barn.get("/api/notifications?page=2").json()
    assert [item["message"] for item in listed["notifications"]] == ["message 0"]
    assert listed["page"] == 2


def test_the_unread_count_is_there_alone(barn, kept):
    assert barn.get("/api/notifications/unread").json() == {"unread": PER_PAGE + 1}


def test_marking_one_read_lasts(barn, kept):
    answer = barn.post(f"/api/notifications/{kept[-1].id}/read")
    assert (answer.status, answer.json()) == (200, {"unread": PER_PAGE})
    assert barn.get("/api/notifications/unread").json() == {"unread": PER_PAGE}
    assert barn.get("/api/notifications").json()["notifications"][0]["read"] is True


def test_marking_all_read_lasts(barn, kept):
    assert barn.post("/api/notifications/read-all").json() == {"unread": 0}
    assert barn.get("/api/notifications/unread").json() == {"unread": 0}


def test_the_notifications_of_others_are_not_there(signed_in, barn, kept):
    cellar = signed_in("cellar")
    assert cellar.get("/api/notifications").json()["notifications"] == []
    answer = cellar.post(f"/api/notifications/{kept[0].id}/read")
    assert (answer.status, answer.json()) == (404, {"error": "no such notification"})
    assert barn.get("/api/notifications/unread").json() == {"unread": PER_PAGE + 1}


def test_visitors_are_sent_to_sign_in(visitor):
    assert visitor.get("/api/notifications").location == "/sign-in?next=/api/notifications"


def test_the_token_is_needed_to_change_something(barn, kept):
    assert barn.send("POST", "/api/notifications/read-all").status == 403
    sent = {"HTTP_X_CSRF_TOKEN": barn.token()}
    assert barn.send("POST", "/api/notifications/read-all", **sent).status == 200
