"""How much work INT8 is worth."""

from __future__ import annotations

from dataclasses import dataclass

from yolov12edge.errors import UsageError


@dataclass(frozen=True)
class Effort:
    """What is done beyond ranges and corrected biases.

    Attributes:
        name: as users say it.
        measured: leave in float what loses most on the images, not what rules name.
        iterations: of learning in every convolution; 0 rounds to the nearest.
        images: to learn from.
    """

    name: str
    measured: bool
    iterations: int = 0
    images: int = 0


EFFORTS = {
    effort.name: effort
    for effort in (
        Effort("quick", measured=False),
        Effort("normal", measured=True, iterations=100, images=64),
        Effort("thorough", measured=True, iterations=500, images=128),
    )
}
DEFAULT = "normal"


def choose_effort(text: str | None) -> Effort:
    """An effort by name; normal if absent.

    Raises:
        UsageError: no such effort.
    """
    name = DEFAULT if text is None else text
    if name not in EFFORTS:
        raise UsageError(f"no effort is called {name!r}", f"use {', '.join(EFFORTS)}")
    return EFFORTS[name]
