"""The ferry to the island: when it leaves."""


def minutes(clock: str) -> int:
    """Turn "HH:MM" into minutes since midnight."""
    hours, rest = clock.split(":")
    return 60 * int(hours) + int(rest)


def in_words(wait: int) -> str:
    """Say a wait in minutes the way the board on the pier does."""
    raise NotImplementedError


def next_boat(departures: list[str], now: str) -> str | None:
    """Return the first departure that can still be caught, None after the last one."""
    for clock in departures:
        if minutes(clock) > minutes(now):
            return clock
    return None
