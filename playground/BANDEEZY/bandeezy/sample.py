"""Sample data: a few bands and venues that exist nowhere else."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta

from bandeezy.models import Role, User
from bandeezy.offers import Draft
from bandeezy.passwords import COST, hash_password
from bandeezy.services import confirm_booking, make_offer, request_booking
from bandeezy.users import Users

PASSWORD = "encore-encore"

ACCOUNTS = (
    ("comet-marmalade", "Comet Marmalade", Role.BAND, "Port Alder"),
    ("teapot-sirens", "The Teapot Sirens", Role.BAND, "Eastmere"),
    ("brass-umbrella", "Brass Umbrella Club", Role.BAND, "Grandholt"),
    ("tramline-owls", "Tramline Owls", Role.BAND, "Port Alder"),
    ("crooked-lantern", "The Crooked Lantern", Role.VENUE, "Port Alder"),
    ("barn-four", "Barn Number Four", Role.VENUE, "Lower Fennick"),
    ("upside-cellar", "Upside Down Cellar", Role.VENUE, "Eastmere"),
    ("stage-door", "Stage Door Desk", Role.ADMIN, "Grandholt"),
)

FAVOURITES = {
    "crooked-lantern": ("jazz", "folk"),
    "barn-four": ("folk", "brass", "punk"),
    "upside-cellar": ("electronic", "jazz"),
}

# Who offers what, how many days from today, and for how much.
OFFERS = (
    ("comet-marmalade", "Slow jazz for a late house", "jazz", 12, 480, "Four of us, and our own piano."),
    ("comet-marmalade", "Sunday matinee", "jazz", 20, 350, "Quiet enough for a dining room."),
    ("teapot-sirens", "Folk songs in five voices", "folk", 9, 300, "No amplifiers needed."),
    ("teapot-sirens", "A dance in the barn", "folk", 33, 520, "We call the steps too."),
    ("brass-umbrella", "Brass in the open air", "brass", 15, 700, "Nine players. Rain is no trouble."),
    ("brass-umbrella", "Street parade", "brass", 41, 850, ""),
    ("tramline-owls", "Loud and over by eleven", "punk", 18, 260, "Ninety minutes, no interval."),
    ("tramline-owls", "The quiet album, played loud", "rock", 27, 400, "Needs a stage of six metres."),
)


def fill(db: sqlite3.Connection, cost: int = COST) -> None:
    """Put the sample data into an empty database; COST is the work factor of the passwords."""
    users = add_users(db, cost)
    offers = [
        make_offer(db, users[handle], Draft(title, genre, date.today() + timedelta(days), fee, notes))
        for handle, title, genre, days, fee, notes in OFFERS
    ]
    request_booking(db, users["crooked-lantern"], offers[0].id, "We close at one, so take your time.")
    request_booking(db, users["upside-cellar"], offers[0].id, "There is a piano here too.")
    agreed = request_booking(db, users["barn-four"], offers[3].id, "The floor has been waxed.")
    confirm_booking(db, users["teapot-sirens"], agreed.id)


def add_users(db: sqlite3.Connection, cost: int) -> dict[str, User]:
    """Add the sample accounts and what the venues among them follow; return them by handle."""
    password = hash_password(PASSWORD, cost)
    with db:
        added = {handle: Users(db).add(handle, name, role, town, password) for handle, name, role, town in ACCOUNTS}
        for handle, genres in FAVOURITES.items():
            Users(db).set_favourites(added[handle].id, genres)
    return added


def is_empty(db: sqlite3.Connection) -> bool:
    """Tell whether nobody has an account yet."""
    return not Users(db).all()
