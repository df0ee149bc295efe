"""The ferry to the island: what the ride costs, in cents."""

ADULT = 640
CHILD = 320


def fare(age: int) -> int:
    """Return one passenger's fare: free under 6, a child's ticket up to and including 15."""
    if age < 6:
        return 0
    if age < 15:
        return CHILD
    return ADULT
