"""What the tests share: a migrated database with a few accounts, and visitors who are signed in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
from bandeezy.app import App
from bandeezy.database import connect, migrate
from bandeezy.models import Role, User
from bandeezy.offers import Draft
from bandeezy.passwords import hash_password
from bandeezy.users import Users
from client import PASSWORD, Client

CHEAP = hash_password(PASSWORD, cost=2)


@dataclass(frozen=True)
class People:
    """The accounts of the tests: `barn` and `cellar` are venues, and the barn follows folk."""

    owls: User
    foxes: User
    barn: User
    cellar: User
    desk: User


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of a migrated database."""
    path = tmp_path / "test.db"
    with closing(connect(path)) as db:
        migrate(db)
    return path


@pytest.fixture
def db(database: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection of its own to the database."""
    with closing(connect(database)) as db:
        yield db


@pytest.fixture
def people(db: sqlite3.Connection) -> People:
    """Add the accounts."""
    users = Users(db)
    with db:
        people = People(
            users.add("owls", "Owls", Role.BAND, "Port Alder", CHEAP),
            users.add("foxes", "Tin Foxes", Role.BAND, "Eastmere", CHEAP),
            users.add("barn", "The Barn", Role.VENUE, "Port Alder", CHEAP),
            users.add("cellar", "The Cellar", Role.VENUE, "Eastmere", CHEAP),
            users.add("desk", "Front Desk", Role.ADMIN, "Eastmere", CHEAP),
        )
        users.set_favourites(people.barn.id, ["folk"])
    return people


@pytest.fixture
def visitor(database: Path) -> Client:
    """Return somebody who is not signed in."""
    return Client(App(database))


@pytest.fixture
def signed_in(database: Path, people: People) -> Callable[[str], Client]:
    """Return a function that signs somebody in by handle."""

    def sign_in(handle: str) -> Client:
        client = Client(App(database))
        assert client.sign_in(handle).status == 303
        return client

    return sign_in


@pytest.fixture
def draft() -> Callable[..., Draft]:
    """Return a function that drafts an offer: a folk evening in ten days unless told otherwise."""

    def make(title: str = "Songs", genre: str = "folk", days: int = 10, fee: int = 200) -> Draft:
        return Draft(title, genre, date.today() + timedelta(days), fee, "Bring chairs.")

    return make
