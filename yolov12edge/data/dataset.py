"""Labelled image sets described by a data.yaml, with YOLO text labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from yolov12edge.data.images import IMAGE_SUFFIXES, find_images
from yolov12edge.errors import DataError

MAX_TEXT_BYTES = 64_000_000
SPLITS = ("train", "val", "test")

Labels = NDArray[np.float32]


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
    """Load one split of a data.yaml.

    `train`, `val` and `test` each name a folder, a text file that lists images, or a list of
    those; `path` is their base, relative to the yaml. The labels of `images/a.jpg` are in
    `labels/a.txt` (the last folder called images is replaced), or beside the image; an image
    without a label file is a background image.

    Args:
        path: the yaml file.
        split: "train", "val" or "test".

    Raises:
        DataError: anything is missing or malformed; the message names the file and the line.
    """
    path = Path(path)
    document = _read_yaml(path)
    names = _names(document, path)
    if document.get(split) is None:
        present = [name for name in SPLITS if document.get(name) is not None]
        raise DataError(
            f"{path} has no {split!r} split",
            f"add it, or use one of: {', '.join(present)}" if present else f"add a {split} entry",
        )
    base = path.parent / str(document.get("path") or ".")
    images = _split_images(document[split], base, path)
    files = [label_path(image) for image in images]
    if not any(file.is_file() for file in files):
        return Dataset(names, images, None)
    return Dataset(names, images, tuple(read_labels(file, len(names)) for file in files))


def label_path(image: Path) -> Path:
    """The label file that belongs to an image."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def read_labels(path: Path, num_classes: int) -> Labels:
    """Read one YOLO label file; a missing or empty one is a background image.

    A line is `class cx cy w h`, or `class x1 y1 x2 y2 ...` with at least three points of an
    outline, whose enclosing box is taken; all coordinates are fractions of the image's size.

    Returns:
        (n, 5) float32: class, cx, cy, w, h.

    Raises:
        DataError: a line is malformed; the message names file and line.
    """
    if not path.is_file():
        return np.zeros((0, 5), dtype=np.float32)
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if line.strip():
            try:
                rows.append(_parse_label(line.split(), num_classes))
            except ValueError as error:
                raise DataError(
                    f"{path}, line {number}: {error}", "correct the line or remove it"
                ) from error
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


def _parse_label(fields: list[str], num_classes: int) -> list[float]:
    if len(fields) != 5 and (len(fields) < 7 or len(fields) % 2 == 0):
        raise ValueError(f"{len(fields)} values, expected 5 (class cx cy w h) or an outline")
    try:
        kind, *values = (float(field) for field in fields)
    except ValueError:
        raise ValueError("a value is not a number") from None
    if not kind.is_integer():
        raise ValueError(f"class {fields[0]} is not a whole number")
    if not 0 <= kind < num_classes:
        raise ValueError(
            f"class {int(kind)} is not one of the {num_classes} classes (0 to {num_classes - 1})"
        )
    coordinates = np.array(values)
    if not (np.isfinite(coordinates).all() and (coordinates >= 0).all()):
        raise ValueError("a coordinate is negative or not finite")
    if (coordinates > 1).any():
        raise ValueError("a coordinate is above 1; they are fractions of the image's size")
    if len(values) > 4:
        points = coordinates.reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        coordinates = np.concatenate([(low + high) / 2, high - low])
    if (coordinates[2:] <= 0).any():
        raise ValueError("the box has no area")
    return [kind, *coordinates.tolist()]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(_read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise DataError(f"{path}{where}: not valid YAML", "correct the file") from error
    if not isinstance(document, dict):
        raise DataError(
            f"{path} does not describe a data set", "it needs names: and train: or val: entries"
        )
    return document


def _names(document: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = document.get("names")
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(
            f"{path}: names must be a list, or a map from 0, 1, 2, ... to class names",
            "add a names: entry",
        )
    count = document.get("nc", len(names))
    if count != len(names):
        raise DataError(f"{path}: nc is {count}, but names lists {len(names)}", "make them agree")
    return tuple(str(name) for name in names)


def _split_images(entry: Any, base: Path, yaml_path: Path) -> tuple[Path, ...]:
    entries = entry if isinstance(entry, list) else [entry]
    images: list[Path] = []
    for item in entries:
        if not isinstance(item, str):
            raise DataError(
                f"{yaml_path}: {item!r} is not a folder or a list file", "give paths as text"
            )
        source = base / item
        if source.is_dir():
            images += find_images(source)
        elif source.is_file():
            images += _listed_images(source)
        else:
            raise DataError(
                f"{yaml_path}: {source} does not exist",
                "paths are relative to path:, which is relative to the yaml file",
            )
    return tuple(images)


def _listed_images(path: Path) -> list[Path]:
    images = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if line.strip():
            image = Path(os.path.normpath(path.parent / line.strip()))
            if image.suffix.lower() not in IMAGE_SUFFIXES or not image.is_file():
                raise DataError(
                    f"{path}, line {number}: {line.strip()} is not an image file",
                    "list one image a line, relative to the list file",
                )
            images.append(image)
    if not images:
        raise DataError(f"{path} lists no images", "list one image a line")
    return images


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise DataError(
                f"{path} is too large to be a text file of a data set", "check the path"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file", "check the path") from error
