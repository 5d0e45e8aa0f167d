"""Voices that tests listen to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Told:
    """Keeps every remark, and every warning apart.

    Attributes:
        said: remarks, in order.
        warned: warnings, in order.
    """

    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def info(self, text: str) -> None:
        """Keep a remark."""
        self.said.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warned.append(text)
