"""Text from another machine, made fit for a terminal."""

from __future__ import annotations

import re

# Escape sequences of terminals, then what is left of the control characters.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(content: bytes | str) -> str:
    """Text without control characters, whatever bytes came; tabs and line ends stay."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def last_line(content: bytes | str) -> str:
    """The last line that says something, at most 300 characters of it."""
    lines = [line.strip() for line in plain(content).splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
