"""Routes: which function answers which path, and for whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from bandeezy.models import Role, User
from bandeezy.web import HttpError, Response

Handler = Callable[..., Response]
SIGNED_IN = tuple(Role)


@dataclass(frozen=True)
class Route:
    """One path and method; without roles it is open to visitors."""

    method: str
    pattern: re.Pattern[str]
    roles: tuple[Role, ...]
    handler: Handler

    def allows(self, user: User | None) -> bool:
        """Tell whether this visitor may come here."""
        return not self.roles or (user is not None and user.role in self.roles)


@dataclass(frozen=True)
class Match:
    """A route with the numbers that stood in the path."""

    route: Route
    numbers: dict[str, int]


@dataclass
class Routes:
    """The routes of one module; in a path `{name}` stands for a whole number."""

    table: list[Route] = field(default_factory=list)

    def get(self, path: str, *roles: Role) -> Callable[[Handler], Handler]:
        """Answer GET at PATH with the decorated function."""
        return self._add("GET", path, roles)

    def post(self, path: str, *roles: Role) -> Callable[[Handler], Handler]:
        """Answer POST at PATH with the decorated function."""
        return self._add("POST", path, roles)

    def _add(self, method: str, path: str, roles: tuple[Role, ...]) -> Callable[[Handler], Handler]:
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>\\d{1,18})", path))

        def keep(handler: Handler) -> Handler:
            self.table.append(Route(method, pattern, roles, handler))
            return handler

        return keep


def match(modules: Iterable[Routes], method: str, path: str) -> Match:
    """Find the route for a request; raise HttpError for a path or a method that nobody answers."""
    found = {
        route.method: Match(route, {name: int(digits) for name, digits in hit.groupdict().items()})
        for module in modules
        for route in module.table
        if (hit := route.pattern.fullmatch(path))
    }
    if not found:
        raise HttpError(HTTPStatus.NOT_FOUND, "There is no such page.")
    if method not in found:
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "This page cannot be used that way.")
    return found[method]
