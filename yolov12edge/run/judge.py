"""Which processor judged a run: integer arithmetic, and so INT8, differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.processor import processor
from yolov12edge.run.facts import read_document
from yolov12edge.run.names import MANIFEST_FILE


@dataclass(frozen=True)
class Judge:
    """A processor, as far as results depend on it.

    Attributes:
        model: its name.
        int8_level: the instruction set that INT8 runs in, as `Processor.int8_level`.
    """

    model: str
    int8_level: str

    @property
    def text(self) -> str:
        """Name and INT8 level for people."""
        return f"{self.model} ({self.int8_level})"


def this_judge() -> Judge:
    """The processor of this machine."""
    return Judge(processor().model, processor().int8_level)


def recorded_judge(folder: Path) -> Judge | None:
    """The processor that a run folder's manifest names; None where it names none."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        entry: Any = read_document(path, errors="replace").get("judged_on")
        return Judge(str(entry["model"]), str(entry["int8_level"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
