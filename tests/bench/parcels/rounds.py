"""The rounds of the vans: which stops, in which order, and when the van is where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

DEPOT = "depot"
LUNCH_AT, LUNCH_MINUTES = 12 * 60, 30


@dataclass(frozen=True)
class Stop:
    """A stop of a round: a place on the map in kilometres, the minutes it takes, and until when it must be served."""

    name: str
    x: float
    y: float
    minutes: int = 4
    until: int | None = None


@dataclass
class Round:
    """A van's day: it leaves the depot at `start` (minutes since midnight) and drives `speed` kilometres an hour."""

    van: str
    start: int = 8 * 60
    speed: float = 30.0
    stops: list[Stop] = field(default_factory=list)

    def add(self, stop: Stop) -> None:
        """Put a stop at the end; a stop is visited once."""
        if stop.name in self.names():
            raise ValueError(f"{stop.name} is on this round already")
        self.stops.append(stop)

    def names(self) -> list[str]:
        return [stop.name for stop in self.stops]

    def length(self) -> float:
        """Return the kilometres from the depot over all stops and back."""
        return sum(distance(one, other) for one, other in legs(self.stops))


def distance(one: Stop, other: Stop) -> float:
    """Return the kilometres between two stops: streets run north-south and east-west only."""
    return abs(one.x - other.x) + abs(one.y - other.y)


def legs(stops: Iterable[Stop]) -> Iterator[tuple[Stop, Stop]]:
    """Give the legs of a round, out of the depot and back to it."""
    depot = Stop(DEPOT, 0.0, 0.0, 0)
    yield from pairwise([depot, *stops, depot])


def clock(minutes: int) -> str:
    """Write minutes since midnight as "HH:MM"."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def drive_minutes(one: Stop, other: Stop, speed: float) -> int:
    """Return the minutes between two stops, each begun minute counted whole."""
    exact = distance(one, other) / speed * 60
    return int(exact) if exact == int(exact) else int(exact) + 1


def arrivals(route: Round) -> dict[str, int]:
    """Return when the van arrives at each stop, in minutes since midnight; lunch comes before the first leg at noon."""
    now, eaten, times = route.start, False, dict[str, int]()
    for one, other in legs(route.stops):
        if not eaten and now >= LUNCH_AT:
            now, eaten = now + LUNCH_MINUTES, True
        now += drive_minutes(one, other, route.speed)
        if other.name != DEPOT:
            times[other.name] = now
            now += other.minutes
    return times


def home_again(route: Round) -> int:
    """Return when the van is back at the depot."""
    if not route.stops:
        return route.start
    last = route.stops[-1]
    left = arrivals(route)[last.name] + last.minutes
    return left + drive_minutes(last, Stop(DEPOT, 0.0, 0.0, 0), route.speed)


def nearest_first(stops: Iterable[Stop]) -> list[Stop]:
    """Order stops so that the van always drives to the nearest one that is left; of equals, the first by name."""
    left, here, ordered = sorted(stops, key=lambda stop: stop.name), Stop(DEPOT, 0.0, 0.0, 0), list[Stop]()
    while left:
        here = min(left, key=lambda stop: distance(here, stop))
        left.remove(here)
        ordered.append(here)
    return ordered


def timetable(route: Round) -> list[str]:
    """Write a line for each stop: when, and where."""
    return [f"{clock(minutes)} {name}" for name, minutes in arrivals(route).items()]
