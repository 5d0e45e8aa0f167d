"""How long work tells what it does: progress that counts, remarks and warnings for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

# Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def no_progress(label: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


class Voice(Protocol):
    """Where remarks for people go."""

    def info(self, text: str) -> None:
        """A remark."""

    def warn(self, text: str) -> None:
        """A warning."""


class Silence:
    """A voice that says nothing."""

    def info(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""


SILENCE = Silence()
