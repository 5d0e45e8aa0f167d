"""Which processor judged a run: integer arithmetic, and so INT8, differs between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolov12edge.processor import Identity
from yolov12edge.run.facts import read_document
from yolov12edge.run.names import MANIFEST_FILE


def recorded_judge(folder: Path) -> Identity | None:
    """The processor that a run folder's manifest names; None where it names none."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        entry: Any = read_document(path, errors="replace").get("judged_on")
        return Identity(str(entry["model"]), str(entry["int8_level"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
