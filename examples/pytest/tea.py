"""Brew tea: how long, how hot, and how much of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tea:
    """A kind of tea: grams a litre, degrees Celsius, and seconds for the first infusion."""

    name: str
    grams: float
    heat: int
    seconds: int


GREEN = Tea("green", 10, 75, 90)
BLACK = Tea("black", 12, 98, 180)
OOLONG = Tea("oolong", 14, 90, 45)


def leaves(tea: Tea, litres: float) -> float:
    """Return the grams of leaves for LITRES of water, rounded to half a gram."""
    return round(tea.grams * litres, 1)


def clock(seconds: int) -> str:
    """Show a time as the kitchen timer does: 90 is "1:30"."""
    return f"{seconds // 60}:{seconds % 60:02d}"
