"""The pages, one module for each part of the site."""

from bandeezy.pages import account, admin, bookings, offers

ALL = (
    offers.routes,
    bookings.routes,
    account.routes,
    admin.routes,
)
