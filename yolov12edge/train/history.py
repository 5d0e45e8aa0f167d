"""What each epoch gave: one row of results.csv each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yolov12edge.errors import CheckpointError
from yolov12edge.files import write_bytes

FIXED = ("epoch", "seconds", "images_per_second", "updates", "lr", "box", "cls", "dfl")
MEASURED = ("map", "map50")


@dataclass(frozen=True)
class Evaluation:
    """COCO average precision on the validation images, in 0..1; None where nothing is to be found.

    Attributes:
        map: mean over classes and IoU 0.50:0.05:0.95.
        map50: at IoU 0.50.
        per_class: by class name, mean over IoU 0.50:0.05:0.95.
        images: how many were looked at.
        seconds: what it took.
    """

    map: float | None
    map50: float | None
    per_class: dict[str, float | None] = field(default_factory=dict)
    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class EpochRow:
    """One epoch.

    Attributes:
        epoch: counted from 1.
        seconds: of the training part.
        images_per_second: of the training part.
        updates: of the weights, since the start of the run.
        lr: learning rate of the last step.
        box, cls, dfl: mean losses, gains applied.
        evaluation: None where none was made.
    """

    epoch: int
    seconds: float
    images_per_second: float
    updates: int
    lr: float
    box: float
    cls: float
    dfl: float
    evaluation: Evaluation | None = None


def write_history(path: Path, rows: Sequence[EpochRow], names: Sequence[str]) -> None:
    """Write all rows as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED, *MEASURED, *(f"map_{name}" for name in names)])
    for row in rows:
        found = row.evaluation
        measured = [""] * (len(MEASURED) + len(names))
        if found is not None:
            values = [found.map, found.map50, *(found.per_class.get(name) for name in names)]
            measured = ["" if value is None else f"{value:.6f}" for value in values]
        losses = [f"{value:.6g}" for value in (row.lr, row.box, row.cls, row.dfl)]
        pace = [f"{row.seconds:.2f}", f"{row.images_per_second:.2f}"]
        writer.writerow([row.epoch, *pace, row.updates, *losses, *measured])
    write_bytes(path, text.getvalue().encode())


def read_history(path: Path, epochs: int, names: Sequence[str]) -> list[EpochRow]:
    """The rows of the first `epochs` epochs, as `write_history` wrote them.

    Raises:
        CheckpointError: the file is damaged, or has fewer.
    """
    if epochs == 0:
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_row(line, names) for line in csv.DictReader(file)][:epochs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged or missing: {error}", "restore it, or train anew with --out"
        ) from error
    if [row.epoch for row in rows] != list(range(1, epochs + 1)):
        raise CheckpointError(
            f"{path} lacks some of the {epochs} epochs that the state has seen",
            "restore it, or train anew with --out",
        )
    return rows


def _row(line: dict[str, str], names: Sequence[str]) -> EpochRow:
    measured = [_number(line[key]) for key in MEASURED]
    evaluation = None
    if any(value is not None for value in measured):
        per_class = {name: _number(line[f"map_{name}"]) for name in names}
        evaluation = Evaluation(measured[0], measured[1], per_class)
    return EpochRow(
        int(line["epoch"]),
        float(line["seconds"]),
        float(line["images_per_second"]),
        int(line["updates"]),
        float(line["lr"]),
        float(line["box"]),
        float(line["cls"]),
        float(line["dfl"]),
        evaluation,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
