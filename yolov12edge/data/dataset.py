"""Labelled image sets for evaluation: a data.yaml with YOLO text labels or COCO json files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.data.coco import read_coco
from yolov12edge.data.description import read_description
from yolov12edge.data.labels import Labels, label_path, read_labels
from yolov12edge.errors import DataError

__all__ = ["Dataset", "Labels", "label_path", "load_dataset", "read_labels"]


@dataclass(frozen=True)
class Dataset:
    """One split of an image set.

    Attributes:
        names: class names, by class index.
        images: image files, sorted within each folder.
        labels: per image an (n, 5) float32 array of class, cx, cy, w, h with the box as a
            fraction of the image's size; None if no image of the split has a label file.
    """

    names: tuple[str, ...]
    images: tuple[Path, ...]
    labels: tuple[Labels, ...] | None


def load_dataset(path: Path, split: str = "val") -> Dataset:
    """Load one split of a data.yaml, strictly: figures must not rest on half of a set.

    `train`, `val` and `test` each name a folder, a text file that lists images, a COCO .json
    file, or a list of those; `path` is their base, relative to the yaml. The labels of
    `images/a.jpg` are in `labels/a.txt` (the last folder called images is replaced), or beside
    the image; an image without a label file is a background image.

    Args:
        path: the yaml file.
        split: "train", "val" or "test".

    Raises:
        DataError: anything is missing or malformed; the message names the file and the line.
    """
    description = read_description(path, split)
    names, images = description.names, list(description.images)
    files = [label_path(image) for image in images]
    labels: list[Labels] | None = None
    if any(file.is_file() for file in files) or description.documents:
        labels = [read_labels(file, len(names or ())) for file in files]
    for document in description.documents:
        coco = read_coco(document, description.image_folders, names)
        left_out = [problem for problem in coco.problems if problem.skipped]
        if left_out:
            raise DataError(f"{document}: {left_out[0]}", "correct the entry or remove it")
        names = coco.names
        assert labels is not None
        images += [item.path for item in coco.items]
        labels += [item.rows for item in coco.items]
    assert names is not None
    return Dataset(names, tuple(images), None if labels is None else tuple(labels))
