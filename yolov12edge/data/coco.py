"""COCO json: images, boxes and outlines, read once for training and for evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.description import read_text
from yolov12edge.data.labels import ABSURD, NONE_USABLE, Labels, RawLabels, Ring, clean_labels
from yolov12edge.data.problems import Problem
from yolov12edge.data.scan import Header, scan_images
from yolov12edge.errors import DataError

MAX_JSON_BYTES = 2_000_000_000

DUPLICATE_ID = "an image id is used twice, only the first image is taken"
NO_IMAGE = "an annotation belongs to no image"
BAD_ENTRY = "an entry is malformed"
OTHER_SIZE = "the image has another size than stated, its boxes are scaled"
OTHER_SHAPE = "the image has another shape than stated"

_HINT = "a COCO file holds images, annotations and categories"
# Images shrunk after labelling have the stated shape but for rounding.
_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class CocoImage:
    """One image of a COCO file.

    Attributes:
        path: image file.
        rows: (n, 5) float32 class, cx, cy, w, h, fractions of the image as it is shown.
        rings: per label the rings of its outline, fractions too; empty where only a box is known.
        size: width and height as it is shown.
    """

    path: Path
    rows: Labels
    rings: tuple[tuple[Ring, ...], ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Coco:
    """What a COCO file holds.

    Attributes:
        names: class names; class i is the category with the i-th lowest id, unless names were
            given.
        items: usable images.
        problems: what is wrong or was left out.
        labels: annotations read, crowds not counted.
    """

    names: tuple[str, ...]
    items: tuple[CocoImage, ...]
    problems: tuple[Problem, ...]
    labels: int


def read_coco(path: Path, folders: Sequence[Path], names: tuple[str, ...] | None = None) -> Coco:
    """Read a COCO file of boxes; crowds are left out.

    Args:
        path: the json file.
        folders: where its images may be, besides beside it; the one that has them is taken.
        names: class names that its categories must be among; None takes them from the file.

    Raises:
        DataError: not a COCO file, no image is found, or categories do not fit `names`.
    """
    document = _read_document(path)
    classes, names = _classes(document["categories"], path, names)
    problems: list[Problem] = []
    entries = _images(document["images"], path, problems)
    folder = _image_folder(path, folders, [entry["file_name"] for entry in entries.values()])
    files = {key: folder / entry["file_name"] for key, entry in entries.items()}
    annotations, labels = _annotations(document["annotations"], path, files, classes, problems)
    scan = scan_images(files.values())
    problems += scan.problems
    items = []
    for key, entry in entries.items():
        file = files[key]
        header = scan.headers.get(file)
        if header is None:
            continue
        frame = _frame(entry, header, file, problems)
        if frame is None:
            continue
        raw = _raw_labels(annotations.get(key, []), frame, header)
        rows, rings, found = clean_labels(raw, len(names), file, 1 / min(frame))
        problems += found
        # As an image without objects it would teach what is wrong.
        if len(raw.rows) and not len(rows):
            problems.append(Problem(file, None, NONE_USABLE, True))
            continue
        items.append(CocoImage(file, rows, rings, header.shown))
    return Coco(names, tuple(items), tuple(problems), labels)


def _read_document(path: Path) -> dict[str, list[Any]]:
    try:
        document = json.loads(read_text(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", _HINT) from error
    parts = {} if not isinstance(document, dict) else document
    for key in ("images", "annotations", "categories"):
        if not isinstance(parts.get(key), list):
            raise DataError(f"{path} has no list of {key}", _HINT)
    return parts


def _classes(
    categories: list[Any], path: Path, names: tuple[str, ...] | None
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Class index by category id, and the class names."""
    known: dict[int, str] = {}
    for entry in categories:
        if not isinstance(entry, dict) or type(entry.get("id")) is not int or "name" not in entry:
            raise DataError(f"{path}: a category has no id or no name", _HINT)
        if entry["id"] in known:
            raise DataError(f"{path}: category id {entry['id']} is used twice", "number them anew")
        known[entry["id"]] = str(entry["name"])
    if not known:
        raise DataError(f"{path} has no categories", _HINT)
    if names is None:
        names = tuple(known[key] for key in sorted(known))
        return {key: index for index, key in enumerate(sorted(known))}, names
    missing = sorted(set(known.values()) - set(names))
    if missing:
        raise DataError(
            f"{path}: category {missing[0]!r} is not among the {len(names)} names",
            "make names: agree with the categories, or leave names: out",
        )
    return {key: names.index(name) for key, name in known.items()}, names


def _images(entries: list[Any], path: Path, problems: list[Problem]) -> dict[Any, dict[str, Any]]:
    images: dict[Any, dict[str, Any]] = {}
    for entry in entries:
        if not (
            isinstance(entry, dict)
            and isinstance(entry.get("id"), (int, str))
            and isinstance(entry.get("file_name"), str)
            and entry["file_name"]
            and "\0" not in entry["file_name"]
        ):
            problems.append(
                Problem(path, None, BAD_ENTRY, True, "an image without id or file_name")
            )
        elif entry["id"] in images:
            detail = f"id {entry['id']}: {entry['file_name']}"
            problems.append(Problem(path, None, DUPLICATE_ID, True, detail))
        else:
            images[entry["id"]] = entry
    return images


def _image_folder(path: Path, folders: Sequence[Path], files: Sequence[str]) -> Path:
    """The folder that holds most of the first images."""
    # instances_train2017.json belongs to train2017.
    split = path.stem.rpartition("_")[2]
    nearby = [
        base / inner
        for base in (path.parent, path.parent.parent, *folders)
        for inner in ("", "images", split, f"images/{split}")
    ]
    candidates = list(dict.fromkeys([*folders, *nearby]))
    tried = files[:20]
    found = [sum((folder / name).is_file() for name in tried) for folder in candidates]
    if not any(found):
        raise DataError(
            f"no image of {path} is found: {tried[0] if tried else 'it lists none'}",
            "name their folder in data.yaml as images:, or put them beside the file",
        )
    return candidates[found.index(max(found))]


def _annotations(
    entries: list[Any],
    path: Path,
    files: dict[Any, Path],
    classes: dict[int, int],
    problems: list[Problem],
) -> tuple[dict[Any, list[tuple[int, list[float], Any]]], int]:
    """By image id: class (-1 if unknown), x y w h in pixels, segmentation."""
    grouped: dict[Any, list[tuple[int, list[float], Any]]] = {}
    count = 0
    for entry in entries:
        box = entry.get("bbox") if isinstance(entry, dict) else None
        if not isinstance(box, list) or len(box) != 4 or not all(map(_number, box)):
            problems.append(Problem(path, None, BAD_ENTRY, True, "an annotation without a bbox"))
        elif entry.get("iscrowd") == 1:
            continue
        elif not isinstance(key := entry.get("image_id"), (int, str)) or key not in files:
            detail = f"image_id {str(key)[:40]}"
            problems.append(Problem(path, None, NO_IMAGE, True, detail))
        else:
            kind = entry.get("category_id")
            index = classes.get(kind, -1) if isinstance(kind, int) else -1
            grouped.setdefault(key, []).append((index, box, entry.get("segmentation")))
        count += 1
    return grouped, count


def _number(value: Any) -> bool:
    """Whether it is a number of sane size, or NaN, which has its own message."""
    return bool((isinstance(value, (int, float)) and abs(value) < 1e15) or value != value)


def _frame(
    entry: dict[str, Any], header: Header, file: Path, problems: list[Problem]
) -> tuple[int, int] | None:
    """Width and height that the annotations of an image refer to."""
    width, height = entry.get("width"), entry.get("height")
    if not all(type(side) is int and 0 < side < 10**6 for side in (width, height)):
        return header.shown
    assert isinstance(width, int)
    assert isinstance(height, int)
    if (width, height) in (header.shown, header.stored):
        return width, height
    detail = f"stated {width}x{height}, is {header.shown[0]}x{header.shown[1]}"
    ratio = (width / height) / (header.shown[0] / header.shown[1])
    if abs(ratio - 1) > _SAME_SHAPE:
        problems.append(Problem(file, None, OTHER_SHAPE, True, detail))
        return None
    problems.append(Problem(file, None, OTHER_SIZE, False, detail))
    return width, height


def _raw_labels(
    annotations: Sequence[tuple[int, list[float], Any]], frame: tuple[int, int], header: Header
) -> RawLabels:
    kinds = np.array([kind for kind, _, _ in annotations], dtype=np.float64)
    boxes = np.array([box for _, box, _ in annotations], dtype=np.float64).reshape(-1, 4)
    boxes[:, :2] += boxes[:, 2:] / 2
    boxes /= np.tile(frame, 2)
    rings = [_rings(segmentation, frame) for _, _, segmentation in annotations]
    # Labelled as stored, shown turned: for example a phone's picture in portrait format.
    if frame == header.stored and frame != header.shown:
        boxes[:, :2] = turned(boxes[:, :2], header.orientation)
        boxes[:, 2:] = boxes[:, [3, 2]]
        rings = [
            tuple(turned(ring, header.orientation).astype(np.float32) for ring in parts)
            for parts in rings
        ]
    rows = np.column_stack([kinds, boxes])
    return RawLabels(rows, tuple(rings), (None,) * len(rows))


def turned(points: NDArray[np.floating], orientation: int) -> NDArray[np.floating]:
    """(n, 2) x, y as fractions of the stored image, to fractions of the image as it is shown.

    Args:
        points: x right and y down, 0 to 1.
        orientation: EXIF orientation, 1 to 8: where the stored first row and column are shown.
    """
    x, y = points[:, 0], points[:, 1]
    columns = {
        1: (x, y),
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }
    return np.stack(columns[orientation], axis=1)


def _rings(segmentation: Any, frame: tuple[int, int]) -> tuple[Ring, ...]:
    """The rings of a polygon segmentation; none for run lengths and for what is malformed."""
    if not isinstance(segmentation, list):
        return ()
    rings: list[Ring] = []
    for part in segmentation:
        if isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0:
            try:
                points: Ring = np.array(part, dtype=np.float32).reshape(-1, 2)
            except (TypeError, ValueError, OverflowError):
                continue
            points = (points / np.array(frame)).astype(np.float32)
            if (np.abs(points) < ABSURD).all():
                rings.append(points)
    return tuple(rings)
