"""What admins see: the accounts, and what is going on."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from bandeezy.bookings import Bookings
from bandeezy.html import Markup, h
from bandeezy.layout import form, label, page, table
from bandeezy.models import Role, User
from bandeezy.offers import Offers
from bandeezy.routing import Routes
from bandeezy.services import require
from bandeezy.users import Users
from bandeezy.web import HttpError, Request, Response, redirect

routes = Routes()


@routes.get("/admin", Role.ADMIN)
def show_admin(request: Request) -> Response:
    """Show all accounts, and how many offers and bookings there are."""
    rows = [
        (user.name, user.handle, label(user.role), user.town, switch(request, user)) for user in Users(request.db).all()
    ]
    return page(
        request,
        "Accounts",
        figures("Open offers", Offers(request.db).counts()),
        figures("Bookings", Bookings(request.db).counts()),
        table(("Name", "Handle", "Role", "Town", ""), rows),
    )


@routes.post("/admin/users/{user_id}/switch", Role.ADMIN)
def switch_user(request: Request, user_id: int) -> Response:
    """Close an account, or open it again."""
    users = Users(request.db)
    user = users.get(user_id)
    if user is None:
        raise HttpError(HTTPStatus.NOT_FOUND, "There is no such account.")
    require(user.id != request.user.id, "You cannot close your own account.")
    with request.db:
        users.set_active(user.id, not user.active)
    return redirect("/admin", f"{user.name} is {'closed' if user.active else 'open'}.")


def switch(request: Request, user: User) -> Markup | None:
    """Build the button that closes an account or opens it again; nobody closes their own."""
    if user.id == request.user.id:
        return None
    return form(request, f"/admin/users/{user.id}/switch", button="Close" if user.active else "Open")


def figures(title: str, counts: Mapping[str, int]) -> Markup:
    """Build a line of counts."""
    parts = [h("span", f"{name}: {count}") for name, count in sorted(counts.items())]
    return h("p", h("b", title), parts or h("span", "none"), class_="figures")
