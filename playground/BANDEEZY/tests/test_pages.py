"""The pages, as a visitor, a band, a venue and an admin see them."""

import threading
import time
from datetime import date, timedelta

import pytest
from bandeezy import services
from bandeezy.bookings import Bookings
from bandeezy.offers import Offers
from bandeezy.users import Users

SOON = (date.today() + timedelta(10)).isoformat()
OFFER = {"title": "Songs <live>", "genre": "folk", "evening": SOON, "fee": "200", "notes": "Chairs, please."}


def test_joining_makes_an_account_and_signs_in(visitor, db):
    answer = visitor.post("/join", role="venue", name="Attic", town="Eastmere", handle="attic", password="long enough")
    assert (answer.status, answer.location) == (303, "/profile")
    assert "Welcome, Attic." in visitor.get("/profile").text
    assert Users(db).by_handle("attic").role == "venue"


@pytest.mark.parametrize(
    "wrong",
    [{"role": "admin"}, {"name": " "}, {"town": "x" * 61}, {"handle": "A!"}, {"password": "short"}, {"handle": "owls"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_joining_says_what_is_wrong(visitor, people, wrong):
    form = {"role": "band", "name": "Attic", "town": "Eastmere", "handle": "attic", "password": "long enough"}
    answer = visitor.post("/join", **{**form, **wrong})
    assert answer.status == 409
    assert 'class="problem"' in answer.text


def test_a_wrong_password_does_not_sign_in(visitor, people):
    for handle, password in (("owls", "wrong"), ("nobody", "loud-and-early")):
        answer = visitor.sign_in(handle, password)
        assert (answer.status, "do not match" in answer.text) == (401, True)
    assert visitor.get("/bookings").location == "/sign-in?next=/bookings"


def test_signing_in_changes_the_token_and_goes_on_to_this_site_only(visitor, people):
    visitor.get("/")
    before = visitor.cookies["bandeezy"]
    form = {"handle": "owls", "password": "loud-and-early"}
    assert visitor.post("/sign-in", next="/offers/mine", **form).location == "/offers/mine"
    assert visitor.cookies["bandeezy"] != before
    assert visitor.post("/sign-in", next="//elsewhere.example", **form).location == "/"


def test_signing_out_ends_the_session(signed_in):
    owls = signed_in("owls")
    stolen = dict(owls.cookies)
    owls.post("/sign-out")
    owls.cookies = stolen
    assert owls.get("/offers/mine").status == 303


def test_a_form_without_the_token_is_refused(signed_in, db, people):
    owls = signed_in("owls")
    for csrf in ("", "0" * 64, "ü"):
        assert owls.send("POST", "/offers/new", {**OFFER, "csrf": csrf}).status == 403
    assert Offers(db).of_band(people.owls.id) == []


@pytest.mark.parametrize(
    ("handle", "path"), [("barn", "/offers/new"), ("owls", "/admin"), ("desk", "/bookings"), ("owls", "/bookings/7x")]
)
def test_pages_of_others_are_closed(signed_in, handle, path):
    assert signed_in(handle).get(path).status in {403, 404}


def test_a_band_offers_an_evening_and_everybody_finds_it(signed_in, visitor):
    answer = signed_in("owls").post("/offers/new", **OFFER)
    assert answer.status == 303
    found = visitor.get("/?genre=folk").text
    assert "Songs &lt;live&gt;" in found
    assert "Nothing on offer" in visitor.get("/?genre=jazz").text
    assert "Chairs, please." in visitor.get(answer.location).text


def test_a_wrong_offer_keeps_what_was_written(signed_in):
    answer = signed_in("owls").post("/offers/new", **{**OFFER, "evening": "2001-01-01"})
    assert answer.status == 409
    assert "must lie in the future" in answer.text
    assert 'value="Songs &lt;live&gt;"' in answer.text


@pytest.mark.parametrize(("written", "status"), [("a\r\n" * 200, 303), ("a" * 401, 409)], ids=["fits", "too long"])
def test_what_is_written_is_as_long_as_the_browser_allows(signed_in, written, status):
    assert signed_in("owls").post("/offers/new", **{**OFFER, "notes": written}).status == status


def test_the_search_answers_programs_too(db, people, draft, visitor):
    services.make_offer(db, people.owls, draft())
    found = visitor.get("/api/offers?genre=folk").json()
    assert [offer["band"] for offer in found["offers"]] == ["Owls"]
    assert (found["page"], found["pages"]) == (1, 1)


def test_a_long_list_has_links_to_its_other_pages(db, people, draft, visitor):
    for number in range(11):
        services.make_offer(db, people.owls, draft(days=number + 1))
    first = visitor.get("/?genre=folk").text
    assert "genre=folk&amp;town=&amp;earliest=&amp;page=2" in first
    assert 'rel="prev"' not in first
    assert visitor.get(f"/?page={10**18}").text == visitor.get("/").text


def test_a_booking_from_request_to_cancellation(signed_in, db, people, draft):
    offer = services.make_offer(db, people.owls, draft())
    owls, barn = signed_in("owls"), signed_in("barn")
    booking = barn.post(f"/offers/{offer.id}/book", message="We have chairs.").location
    assert "We have chairs." in owls.get(booking).text
    assert "The Barn" in owls.get("/bookings").text
    assert owls.post(f"{booking}/confirm").location == booking
    assert ">confirmed<" in barn.get(booking).text
    barn.post(f"{booking}/cancel", reason="The roof leaks.")
    assert "The roof leaks." in owls.get(booking).text


def test_a_step_waits_for_the_one_before_and_goes_by_what_that_left(signed_in, db, people, draft):
    offer = services.make_offer(db, people.owls, draft())
    booking = services.request_booking(db, people.barn, offer.id, "")
    owls, statuses = signed_in("owls"), []
    token = owls.token()
    db.execute("BEGIN IMMEDIATE")
    path, form = f"/bookings/{booking.id}/confirm", {"csrf": token}
    confirmation = threading.Thread(target=lambda: statuses.append(owls.send("POST", path, form).status))
    confirmation.start()
    time.sleep(0.2)
    services.cancel_booking(db, people.barn, booking.id, "the roof leaks")
    confirmation.join()
    assert statuses == [409]
    assert Bookings(db).get(booking.id).status == "cancelled"


def test_a_declined_request_is_answered(signed_in, db, people, draft):
    offer = services.make_offer(db, people.owls, draft())
    booking = services.request_booking(db, people.barn, offer.id, "")
    signed_in("owls").post(f"/bookings/{booking.id}/decline")
    assert Bookings(db).get(booking.id).status == "declined"
    assert signed_in("cellar").get(f"/bookings/{booking.id}").status == 404


def test_a_band_withdraws_its_own_offer_only(signed_in, db, people, draft):
    offer = services.make_offer(db, people.owls, draft())
    assert signed_in("foxes").post(f"/offers/{offer.id}/withdraw").status == 409
    assert signed_in("owls").post(f"/offers/{offer.id}/withdraw").status == 303
    assert ">withdrawn<" in signed_in("owls").get("/offers/mine").text


def test_a_venue_follows_genres_by_profile_and_by_button(signed_in, db, people):
    barn = signed_in("barn")
    barn.post("/profile", name="The Barn", town="Port Alder", genre=["jazz", "polka"])
    assert Users(db).favourites(people.barn.id) == {"jazz"}
    sent = {"HTTP_X_CSRF_TOKEN": barn.token()}
    assert barn.send("POST", "/api/favourites", {"genre": "rock"}, **sent).json() == {"following": ["jazz", "rock"]}
    assert barn.send("POST", "/api/favourites", {"genre": "rock"}, **sent).json() == {"following": ["jazz"]}
    assert barn.send("POST", "/api/favourites", {"genre": "polka"}, **sent).status == 400
    assert 'aria-pressed="true"' in barn.get("/?genre=jazz").text


def test_an_admin_closes_an_account_and_opens_it_again(signed_in, people, visitor):
    desk, owls = signed_in("desk"), signed_in("owls")
    desk.post(f"/admin/users/{people.owls.id}/switch")
    assert owls.get("/offers/mine").status == 303
    assert visitor.sign_in("owls").status == 401
    desk.post(f"/admin/users/{people.owls.id}/switch")
    assert visitor.sign_in("owls").status == 303
    assert desk.post(f"/admin/users/{people.desk.id}/switch").status == 409


def test_only_files_of_the_static_folder_are_served(visitor):
    assert visitor.get("/static/style.css").headers["Content-Type"].startswith("text/css")
    assert visitor.get("/static/../app.py").status == 404


def test_every_answer_carries_the_headers_that_keep_it_safe(visitor):
    for path in ("/", "/nowhere", "/static/app.js"):
        assert "default-src 'self'" in visitor.get(path).headers["Content-Security-Policy"]
