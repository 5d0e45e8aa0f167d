"""Small image sets that the tests of this folder write."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from yolov12edge.data.augment import Augmentation

# Every chance and every range is zero.
LETTERBOX_ONLY = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0.0))


def write_image(path: Path, width: int = 60, height: int = 40, seed: int = 0) -> Path:
    """A smooth seeded picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))
    return path


def write_yolo(root: Path, labels: dict[str, str | None], names: str = "cat, dog") -> Path:
    """A data.yaml with images of these stems, their label text, or no label file."""
    for seed, (stem, text) in enumerate(labels.items()):
        write_image(root / f"images/train/{stem}.jpg", seed=seed)
        if text is not None:
            path = root / f"labels/train/{stem}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    data = root / "data.yaml"
    data.write_text(f"train: images/train\nval: images/train\nnames: [{names}]\n")
    return data


def write_coco(root: Path, images: list, annotations: list, categories: list | None = None) -> Path:
    """annotations/train.json beside an images folder."""
    path = root / "annotations/train.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = categories or [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    document = {"images": images, "annotations": annotations, "categories": kinds}
    path.write_text(json.dumps(document))
    return path


def coco_box(image: int, box: list, category: int = 3, **more) -> dict:
    """One annotation."""
    return {"id": 1, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, **more}
