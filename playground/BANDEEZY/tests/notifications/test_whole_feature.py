"""Task everything: the feature from an offer to the digest, through the running program."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

APP = Path(__file__).resolve().parents[2]


def digest(database, *options):
    """Run the program with --digest; return its exit code and what it printed."""
    command = [sys.executable, "-m", "bandeezy", "--db", str(database), *options, "--digest"]
    done = subprocess.run(command, cwd=APP, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout


def test_from_an_offer_to_the_cancellation(signed_in, db):
    owls, barn = signed_in("owls"), signed_in("barn")
    evening = (date.today() + timedelta(10)).isoformat()
    offer = owls.post("/offers/new", title="Songs", genre="folk", evening=evening, fee="200").location
    assert barn.get("/api/notifications/unread").json() == {"unread": 1}
    heard = barn.get("/api/notifications").json()["notifications"][0]
    assert barn.post(f"/notifications/{heard['id']}/open").location == offer
    barn.post(f"{offer}/book", message="please")
    asked = owls.get("/api/notifications").json()["notifications"][0]
    owls.post(f"{asked['link']}/confirm")
    barn.post(f"{asked['link']}/cancel", reason="the roof leaks")
    assert [item["kind"] for item in owls.get("/api/notifications").json()["notifications"]] == [
        "cancellation",
        "booking",
    ]
    assert 'class="count">2<' in owls.get("/").text


def test_what_is_refused_in_the_settings_does_not_come(signed_in):
    owls, barn = signed_in("owls"), signed_in("barn")
    barn.post("/notifications/settings", kind="booking")
    evening = (date.today() + timedelta(10)).isoformat()
    owls.post("/offers/new", title="Songs", genre="folk", evening=evening, fee="200")
    assert barn.get("/api/notifications/unread").json() == {"unread": 0}


def test_the_program_prints_the_digest_of_the_last_day(tmp_path):
    code, text = digest(tmp_path / "sample.db")
    assert code == 0
    assert "To: Comet Marmalade\nSubject: 2 unread notifications\n\nHello Comet Marmalade,\n" in text
    assert "- Upside Down Cellar asks for Slow jazz for a late house\n" in text
    assert "To: Tramline Owls" not in text


def test_a_day_without_news_is_silent(db, database, people):
    assert digest(database) == (0, "nothing unread\n")
