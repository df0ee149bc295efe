"""What a parcel costs, in cents: by zone, by weight class, and by what is done with it on the way."""

from __future__ import annotations

from dataclasses import dataclass

HOME, NEAR, FAR = 1, 2, 3
ZONES = {
    "AT": HOME,
    "BE": NEAR,
    "CH": NEAR,
    "CZ": NEAR,
    "DE": NEAR,
    "FR": NEAR,
    "IT": NEAR,
    "NO": FAR,
    "PT": FAR,
    "SE": FAR,
}

# Upper limits in grams, and the price in each zone up to and including the limit.
CLASSES: list[tuple[int, dict[int, int]]] = [
    (1000, {HOME: 450, NEAR: 990, FAR: 1390}),
    (2000, {HOME: 520, NEAR: 1190, FAR: 1690}),
    (5000, {HOME: 690, NEAR: 1490, FAR: 2190}),
    (10_000, {HOME: 940, NEAR: 1990, FAR: 2990}),
    (31_500, {HOME: 1590, NEAR: 2990, FAR: 4490}),
]
EXTRAS = {"registered": 280, "by hand": 350, "fragile": 400, "saturday": 600}


class NoTariff(ValueError):
    """Nothing is sent there, or nothing so heavy."""


@dataclass(frozen=True)
class Parcel:
    """A parcel as it is handed in: where to, how heavy in grams, worth how many cents, and what is asked for."""

    country: str
    grams: int
    value: int = 0
    extras: tuple[str, ...] = ()


def zone_of(country: str) -> int:
    """Return the zone of a country's two letters, in any case."""
    try:
        return ZONES[country.strip().upper()]
    except KeyError:
        raise NoTariff(f"nothing is sent to {country}") from None


def base_price(zone: int, grams: int) -> int:
    """Return the price of a weight in a zone: that of the lowest class whose limit is not exceeded."""
    for limit, prices in CLASSES:
        if grams < limit:
            return prices[zone]
    raise NoTariff(f"nothing so heavy is sent: {grams} g")


def extra_price(extras: tuple[str, ...]) -> int:
    """Add up what is asked for besides, each thing once."""
    unknown = sorted(set(extras) - set(EXTRAS))
    if unknown:
        raise NoTariff(f"not offered: {', '.join(unknown)}")
    return sum(EXTRAS[name] for name in set(extras))


def insurance(value: int) -> int:
    """Return the insurance of a value in cents: nothing up to 100.00, then 1.50 for each full or begun 500.00 above."""
    above = max(0, value - 10_000)
    return -(-above // 50_000) * 150


def price(parcel: Parcel) -> int:
    """Return what a parcel costs in all."""
    return base_price(zone_of(parcel.country), parcel.grams) + extra_price(parcel.extras) + insurance(parcel.value)


def receipt(parcel: Parcel) -> list[str]:
    """Write the lines of a receipt: what it is for, and the amount with two digits; lines of nothing are left out."""
    lines = [("parcel", base_price(zone_of(parcel.country), parcel.grams))]
    lines += [(name, EXTRAS[name]) for name in sorted(set(parcel.extras))]
    lines += [("insurance", insurance(parcel.value)), ("total", price(parcel))]
    return [f"{name:<12}{cents / 100:>8.2f}" for name, cents in lines if cents]
