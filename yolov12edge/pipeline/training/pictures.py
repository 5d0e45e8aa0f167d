"""Pictures of a run: what is trained on, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolov12edge.data.batches import Batch
from yolov12edge.data.draw import draw_boxes
from yolov12edge.data.letterbox import Image
from yolov12edge.data.preview import save_batch_picture
from yolov12edge.evaluate.detections import Detections
from yolov12edge.files import atomic_path
from yolov12edge.thresholds import SHOWN

PREVIEWS = 3
EXAMPLES = 8
_COLUMNS = 4


@dataclass(frozen=True)
class Example:
    """A letterboxed validation image and what was found on it, in input pixels."""

    image: Image
    found: Detections


def save_batch(folder: Path, step: int, batch: Batch, names: Sequence[str]) -> None:
    """Save the pictures of one of the first batches, counted from 1."""
    save_batch_picture(batch, names, folder / f"train_batch{step}.jpg")


def save_predictions(folder: Path, examples: Sequence[Example], names: Sequence[str]) -> None:
    """Save a sheet of validation images with what the detector found above a score of 0.25."""
    if not examples:
        return
    tiles = []
    for example in examples:
        seen = example.found.above(SHOWN.confidence)
        tiles.append(draw_boxes(example.image, seen.boxes, seen.scores, seen.classes, names))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % _COLUMNS if len(tiles) > _COLUMNS else 0)
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    with atomic_path(folder / "val_predictions.jpg") as temporary:
        temporary.write_bytes(cv2.imencode(".jpg", sheet)[1].tobytes())
