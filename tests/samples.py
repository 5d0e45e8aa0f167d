"""Small inputs that tests of commands and of the pipeline share."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.models import lively_model
from yolov12edge.checkpoints import save_safetensors
from yolov12edge.data.dataset import label_path
from yolov12edge.export import probe_picture

CLASSES = ("cat", "dog")


def write_weights(path: Path) -> Path:
    """A checkpoint of a seeded detector of scale n that knows `CLASSES`."""
    model = lively_model("n", num_classes=len(CLASSES))
    model.names = CLASSES
    return save_safetensors(model, path)


def write_pictures(folder: Path, count: int = 3) -> Path:
    """Drawn pictures, 96 x 64 pixels each."""
    folder.mkdir(parents=True)
    for seed in range(count):
        picture = probe_picture(64, 96, seed)[0].transpose(1, 2, 0)[..., ::-1]
        cv2.imwrite(str(folder / f"{seed}.png"), np.round(picture * 255).astype(np.uint8))
    return folder


def centred(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) corners to centre and size, as a detector's decoded output and labels have them."""
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    return np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def write_data(
    path: Path, images: Path, names: tuple[str, ...] = CLASSES, boxes: str | None = None
) -> Path:
    """A data.yaml that trains and validates on `images`; `boxes` is every image's label file."""
    path.write_text(f"train: {images}\nval: {images}\nnames: [{', '.join(names)}]\n")
    if boxes is not None:
        for image in images.glob("*.png"):
            labels = label_path(image)
            labels.parent.mkdir(exist_ok=True)
            labels.write_text(boxes)
    return path
