"""HTML, routes and sessions, without pages."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from bandeezy.database import stamp
from bandeezy.html import Markup, h
from bandeezy.models import Page
from bandeezy.routing import Routes, match
from bandeezy.sessions import Sessions
from bandeezy.users import Users
from bandeezy.web import Fields, HttpError, Response


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (h("p", "salt & <pepper>"), "<p>salt &amp; &lt;pepper&gt;</p>"),
        (h("p", Markup("<b>loud</b>")), "<p><b>loud</b></p>"),
        (h("ul", [h("li", number) for number in (1, 2)]), "<ul><li>1</li><li>2</li></ul>"),
        (h("p", None, "a", [None, ["b"]]), "<p>ab</p>"),
        (h("input", name="q", required=True, disabled=False, value=None), '<input name="q" required>'),
        (h("i", class_="x", data_count=3, title='"'), '<i class="x" data-count="3" title="&quot;"></i>'),
    ],
)
def test_html_is_escaped_unless_it_is_markup(made, written):
    assert made == written


def test_a_route_is_found_by_method_and_path():
    routes = Routes()
    routes.get("/offers/{offer_id}")(lambda request, offer_id: Response(b"one"))
    routes.post("/offers/new")(lambda request: Response(b"new"))
    assert match([routes], "GET", "/offers/12").numbers == {"offer_id": 12}
    assert match([routes], "POST", "/offers/new").route.handler(None).body == b"new"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/offers/new", HTTPStatus.METHOD_NOT_ALLOWED), ("GET", "/offers/x", HTTPStatus.NOT_FOUND)],
)
def test_a_request_that_nobody_answers_says_why(method, path, status):
    routes = Routes()
    routes.post("/offers/new")(lambda request: Response())
    routes.get("/offers/{offer_id}")(lambda request, offer_id: Response())
    with pytest.raises(HttpError) as raised:
        match([routes], method, path)
    assert raised.value.status == status


def test_fields_read_texts_and_numbers():
    fields = Fields("a=+x+&n=7&g=folk&g=jazz&empty=")
    assert (fields.text("a"), fields.text("empty"), fields.text("none", "?")) == ("x", "", "?")
    assert (fields.number("n", 1), fields.number("a", 1)) == (7, 1)
    assert fields.all("g") == ["folk", "jazz"]


def test_pages_are_counted_to_the_last_item():
    assert [Page([], 1, 10, total).count for total in (0, 10, 11)] == [1, 1, 2]


def test_a_session_is_found_by_its_token_until_it_is_closed(db, people):
    sessions = Sessions(db)
    opened = sessions.open(people.owls)
    assert sessions.find(opened.token).user == people.owls
    assert opened.token not in str([tuple(row) for row in db.execute("SELECT * FROM sessions")])
    sessions.close(opened)
    assert sessions.find(opened.token).user is None


def test_a_session_ends_with_its_time_or_its_account(db, people):
    sessions = Sessions(db)
    old, closed = sessions.open(people.owls), sessions.open(people.barn)
    db.execute("UPDATE sessions SET expires_at = ?", (stamp(datetime.now(UTC) - timedelta(seconds=1)),))
    assert sessions.find(old.token).user is None
    Users(db).set_active(people.barn.id, False)
    assert sessions.find(closed.token).user is None
