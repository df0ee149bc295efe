"""Build HTML from Python calls: text is escaped unless it is markup already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

VOID = frozenset({"hr", "input", "link", "meta"})


class Markup(str):
    """HTML that needs no escaping any more."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Value: TypeAlias = str | int | bool | None


def h(tag: str, *children: Child, **attributes: Value) -> Markup:
    """Make an element: `h("a", "Offers", href="/", class_="active", data_count=3)`.

    A trailing underscore of an attribute's name is dropped, the others become hyphens. False and None leave an
    attribute out, True gives it without a value.
    """
    opening = f"<{tag}{''.join(attribute(name, value) for name, value in attributes.items())}>"
    return Markup(opening if tag in VOID else f"{opening}{join(children)}</{tag}>")


def attribute(name: str, value: Value) -> str:
    """Write one attribute, with the blank before it."""
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(str(value))}"'


def join(children: Iterable[Child]) -> Markup:
    """Put children in a row, whatever they are; None is nothing."""
    return Markup("".join(text(child) for child in children))


def text(child: Child) -> str:
    """Write one child: markup as it is, other text escaped, a list one after the other."""
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return escape(str(child)) if isinstance(child, str | int) else join(child)
