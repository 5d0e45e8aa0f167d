"""How much work INT8 is worth."""

from __future__ import annotations

from dataclasses import dataclass

from yolov12edge.errors import UsageError
from yolov12edge.quantize import Dialect


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


def choose_effort(text: str | None, dialect: Dialect) -> Effort:
    """An effort by name; if absent, normal where a measurement may choose what stays float.

    Elsewhere learning gains too little for its time (docs/quantization.md).

    Raises:
        UsageError: no such effort.
    """
    if text is None:
        return EFFORTS["quick" if dialect.budget is None else "normal"]
    if text not in EFFORTS:
        raise UsageError(f"no effort is called {text!r}", f"use {', '.join(EFFORTS)}")
    return EFFORTS[text]
