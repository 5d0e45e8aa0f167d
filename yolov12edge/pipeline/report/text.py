"""Numbers as a report writes them."""

from __future__ import annotations

from collections.abc import Sequence

from yolov12edge.page import Items

NOTHING = "-"
_MOST_ITEMS = 300


def number(value: float | None, form: str = ".4f") -> str:
    """A number in a format, or a dash."""
    return NOTHING if value is None else format(value, form)


def percent(value: float | None, form: str = ".2%") -> str:
    """A share as percent, or a dash."""
    return number(value, form)


def count(amount: int, noun: str) -> str:
    """1 image, 2 images."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def items(summary: str, names: Sequence[str]) -> Items:
    """A folded list that does not make the page endless."""
    shown = tuple(names[:_MOST_ITEMS])
    return Items(summary, shown, len(names) - len(shown))
