"""A picture of a batch, so that a person sees what is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from yolov12edge.data.batches import Batch
from yolov12edge.data.draw import draw_boxes
from yolov12edge.data.letterbox import Image
from yolov12edge.errors import UsageError
from yolov12edge.files import atomic_path

MAX_PICTURES = 16
_GAP = 4


def save_batch_picture(batch: Batch, names: Sequence[str], path: Path) -> None:
    """Save the first 16 pictures of a batch with boxes and class names, as PNG or JPEG.

    Args:
        batch: augmented pictures.
        names: class names, by class index.
        path: file to write, atomically.

    Raises:
        UsageError: the file cannot be written.
    """
    picture = batch_picture(batch, names)
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
            raise UsageError(f"cannot write {path}", "use a .jpg or .png name")


def batch_picture(batch: Batch, names: Sequence[str]) -> Image:
    """The first 16 pictures of a batch side by side, (h, w, 3) uint8 RGB."""
    images = batch.images[:MAX_PICTURES].permute(0, 2, 3, 1).numpy()
    targets = batch.targets.numpy()
    tiles = []
    for index, image in enumerate(images):
        rows = targets[targets[:, 0] == index]
        extent = np.array([image.shape[1], image.shape[0]] * 2, dtype=np.float32)
        boxes = np.concatenate([rows[:, 2:4] - rows[:, 4:] / 2, rows[:, 2:4] + rows[:, 4:] / 2], 1)
        kinds = rows[:, 1].astype(np.int64)
        tiles.append(draw_boxes(np.ascontiguousarray(image), boxes * extent, None, kinds, names))
    columns = math.ceil(math.sqrt(len(tiles)))
    height, width = tiles[0].shape[0] + _GAP, tiles[0].shape[1] + _GAP
    lines = math.ceil(len(tiles) / columns)
    sheet = np.full((lines * height - _GAP, columns * width - _GAP, 3), 255, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * height, index % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
