"""The ferry to the island: what the ride costs, in cents."""

ADULT = 640
CHILD = 320


def fare(age: int) -> int:
    """Return one passenger's fare."""
    if age < 6:
        return 0
    if age < 15:
        return CHILD
    return ADULT


def group_fare(ages: list[int]) -> int:
    """Return the fare of a group."""
    total = 0
    for age in ages:
        total += fare(age)
    return total
