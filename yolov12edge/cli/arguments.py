"""Reading of option values that are more than one word to typer."""

from __future__ import annotations

import re

from yolov12edge.errors import UsageError


def parse_image_size(text: str) -> tuple[int, int]:
    """Read "640" or "480x640" as (height, width).

    Raises:
        UsageError: neither form.
    """
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    if match is None:
        raise UsageError(f"cannot read the image size {text!r}", "write 640 or 480x640 (HxW)")
    height = int(match[1])
    return height, int(match[2]) if match[2] else height


def parse_words(text: str) -> tuple[str, ...]:
    """Read a list whose parts commas or spaces separate."""
    return tuple(text.replace(",", " ").split())
