"""What each epoch gave: one row of results.csv each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from yolov12edge.errors import CheckpointError
from yolov12edge.files import write_bytes


@dataclass(frozen=True)
class QatRow:
    """One epoch.

    Attributes:
        epoch: counted from 1; 0 is what calibration left.
        seconds: of the training part.
        updates: since the start of the run.
        scores, boxes, features: mean losses against the teacher, weights applied.
        error: of the head on held-back images.
    """

    epoch: int
    seconds: float
    updates: int
    scores: float
    boxes: float
    features: float
    error: float


_NAMES = [field.name for field in fields(QatRow)]
_WHOLE = ("epoch", "updates")
# Errors are compared after a run was resumed: they are read back as they were.
_EXACT = (*_WHOLE, "error")


def write_rows(path: Path, rows: Sequence[QatRow]) -> None:
    """Write all rows as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_NAMES)
    for row in rows:
        writer.writerow(
            value if name in _EXACT else f"{value:.6g}" for name, value in asdict(row).items()
        )
    write_bytes(path, text.getvalue().encode())


def read_rows(path: Path, epochs: int) -> list[QatRow]:
    """Row 0 and those of the first `epochs` epochs, as `write_rows` wrote them.

    Raises:
        CheckpointError: the file is damaged, or has fewer.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_row(line) for line in csv.DictReader(file)][: epochs + 1]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged or missing: {error}", "restore it, or train anew with --out"
        ) from error
    if [row.epoch for row in rows] != list(range(epochs + 1)):
        raise CheckpointError(
            f"{path} lacks some of the {epochs} epochs that the state has seen",
            "restore it, or train anew with --out",
        )
    return rows


def _row(line: dict[str, str]) -> QatRow:
    whole = {name: int(line[name]) for name in _WHOLE}
    rest = {name: float(line[name]) for name in _NAMES if name not in _WHOLE}
    return QatRow(**whole, **rest)  # type: ignore[arg-type]
