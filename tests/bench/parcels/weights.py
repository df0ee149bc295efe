"""Weights of parcels: read from what people write on the form, kept in whole grams, and written on labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GRAMS = {"g": 1, "kg": 1000}
HEAVIEST = 31_500


class BadWeight(ValueError):
    """What was written on the form is no weight, or none that is carried."""


@dataclass(frozen=True)
class Scale:
    """A scale at the counter: it shows multiples of `step` grams, and nothing above `most`."""

    name: str
    step: int
    most: int

    def shows(self, grams: int) -> int:
        """Return what the scale shows for a weight: rounded to the nearest step, halves upwards."""
        if grams > self.most:
            raise BadWeight(f"{self.name} ends at {written(self.most)}")
        return (grams + self.step // 2) // self.step * self.step


LETTERS = Scale("letter scale", 1, 2000)
COUNTER = Scale("counter scale", 10, 35_000)
HALL = Scale("hall scale", 500, 150_000)


def scale_for(grams: int) -> Scale:
    """Choose the finest scale that can weigh so many grams."""
    for scale in (LETTERS, COUNTER, HALL):
        if grams <= scale.most:
            return scale
    raise BadWeight(f"no scale here weighs {written(grams)}")


def read_weight(text: str) -> int:
    """Read a weight such as "300 g" or "1.5 kg" into grams.

    A comma may stand for the point, blanks may be missing, and the case of the unit does not matter. Everything else,
    a weight of nothing, and one above HEAVIEST is a BadWeight that names what was written.
    """
    raise NotImplementedError


def written(grams: int) -> str:
    """Write a weight on a label: grams below a kilogram, kilograms with at most two digits above."""
    if grams < 1000:
        return f"{grams} g"
    return f"{grams / 1000:.2f}".rstrip("0").rstrip(".") + " kg"


def total(grams: Iterable[int]) -> int:
    """Add up the weights of a load."""
    return sum(grams)


def heaviest_first(weights: dict[str, int]) -> list[str]:
    """List the parcels' numbers, the heaviest first; of equal ones the lower number first."""
    return sorted(weights, key=lambda number: (-weights[number], number))


def split_load(weights: dict[str, int], most: int) -> list[list[str]]:
    """Split parcels into loads of at most MOST grams each, the heaviest parcels first into the first load with room."""
    loads: list[list[str]] = []
    rooms: list[int] = []
    for number in heaviest_first(weights):
        if weights[number] > most:
            raise BadWeight(f"{number} alone weighs more than {written(most)}")
        for place, room in enumerate(rooms):
            if weights[number] <= room:
                loads[place].append(number)
                rooms[place] -= weights[number]
                break
        else:
            loads.append([number])
            rooms.append(most - weights[number])
    return loads
