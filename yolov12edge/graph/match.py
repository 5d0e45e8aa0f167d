"""What a rule or a lint says of one node: whether it applies, and the reason either way."""

from __future__ import annotations

from typing import NamedTuple


class Match(NamedTuple):
    """One rule or lint beside one node.

    Attributes:
        rule: its name.
        applies: whether it does something to the node, or finds something wrong with it.
        reason: why, or why not; one line.
    """

    rule: str
    applies: bool
    reason: str
