"""YOLO text labels: strict for evaluation, forgiving for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.description import read_text
from yolov12edge.data.problems import Problem
from yolov12edge.errors import DataError

Labels = NDArray[np.float32]
Ring = NDArray[np.float32]

# Labels are written with few decimals; less than this beyond the border is rounding.
ROUNDING = 1e-3
# Fractions beyond this are no positions any more.
ABSURD = 1e4

PARTLY_OUTSIDE = "the box reaches beyond the image, it is cut at the border"
OUTSIDE = "the box lies outside the image"
NO_AREA = "the box has no area"
NOT_FINITE = "a value is not finite or absurdly large"
CLASS_RANGE = "the class is out of range"
DUPLICATE = "the same label stands there twice"
MALFORMED = "not a label"
NO_TEXT = "the label file cannot be read, its image is left out"
NONE_USABLE = "the image has labels, but none that can be used"
NO_FILE = "no label file, taken as an image without objects"


@dataclass(frozen=True)
class RawLabels:
    """Labels of one image as they are written.

    Attributes:
        rows: (n, 5) float64: class, cx, cy, w, h, fractions of the image.
        rings: per label the rings of its outline, (k, 2) fractions; empty for a plain box.
        lines: per label its line in the file, or None.
    """

    rows: NDArray[np.float64]
    rings: tuple[tuple[Ring, ...], ...]
    lines: tuple[int | None, ...]


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
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            try:
                fields = line.split()
                values = _parse(fields)
                _check_strictly(values, fields, num_classes)
                rows.append(_row(values)[0])
                if (rows[-1][3:] <= 0).any():
                    raise ValueError("the box has no area")
            except ValueError as error:
                raise DataError(
                    f"{path}, line {number}: {error}", "correct the line or remove it"
                ) from error
    return np.array(rows, dtype=np.float32).reshape(-1, 5)


def read_raw_labels(path: Path) -> tuple[RawLabels, list[Problem]]:
    """Read a YOLO label file line by line; lines that are no labels are named and left out.

    Raises:
        DataError: the file cannot be read as text.
    """
    rows, rings, lines = [], [], []
    problems = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = _parse(line.split())
        except ValueError as error:
            problems.append(Problem(path, number, MALFORMED, True, str(error)))
            continue
        row, outline = _row(values)
        rows.append(row)
        rings.append(() if outline is None else (outline,))
        lines.append(number)
    stacked = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return RawLabels(stacked, tuple(rings), tuple(lines)), problems


def clean_labels(
    raw: RawLabels, num_classes: int, path: Path, rounding: float = ROUNDING
) -> tuple[Labels, tuple[tuple[Ring, ...], ...], list[Problem]]:
    """Keep the labels that can be learnt from, cut at the image's border.

    Args:
        raw: labels as written.
        num_classes: classes are 0 to num_classes - 1.
        path: file that the problems name.
        rounding: how far beyond the border is not worth a word, as a fraction.

    Returns:
        (n, 5) float32 class, cx, cy, w, h; the rings of each; what is wrong.
    """
    rows = raw.rows
    if not len(rows):
        return np.zeros((0, 5), np.float32), (), []
    if _flawless(raw, num_classes, rounding):
        return rows.astype(np.float32), raw.rings, []
    finite: NDArray[np.bool_] = np.all(np.abs(rows) < ABSURD, axis=1)
    with np.errstate(invalid="ignore"):
        known: NDArray[np.bool_] = (
            (rows[:, 0] >= 0) & (rows[:, 0] < num_classes) & (rows[:, 0] % 1 == 0)
        )
        low, high = rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2
        area: NDArray[np.bool_] = np.all(rows[:, 3:] > 0, axis=1)
        cut_low, cut_high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        inside: NDArray[np.bool_] = np.all(cut_high > cut_low, axis=1)
        beyond: NDArray[np.bool_] = np.maximum(-low, high - 1).max(axis=1) > rounding
    fresh = _first_of_its_kind(raw)
    kept = finite & known & area & inside & fresh
    problems = []
    for index in np.flatnonzero(~kept | beyond):
        for good, what in (
            (finite[index], NOT_FINITE),
            (known[index], CLASS_RANGE),
            (area[index], NO_AREA),
            (inside[index], OUTSIDE),
            (fresh[index], DUPLICATE),
            (not beyond[index], PARTLY_OUTSIDE),
        ):
            if not good:
                detail = _detail(rows[index], num_classes) if what == CLASS_RANGE else ""
                skipped = what != PARTLY_OUTSIDE
                problems.append(Problem(path, raw.lines[index], what, skipped, detail))
                break
    cut = np.concatenate([(cut_low + cut_high) / 2, cut_high - cut_low], axis=1)
    cleaned = np.column_stack([rows[:, 0], np.where(beyond[:, None], cut, rows[:, 1:])])
    rings = tuple(rings for rings, keep in zip(raw.rings, kept, strict=True) if keep)
    return cleaned[kept].astype(np.float32), rings, problems


def _flawless(raw: RawLabels, num_classes: int, rounding: float) -> bool:
    """Whether nothing has to be said or changed; quick, since it holds for most images."""
    if not np.abs(raw.rows).max() < ABSURD:
        return False
    kinds, sizes = raw.rows[:, 0], raw.rows[:, 3:]
    low, high = raw.rows[:, 1:3] - sizes / 2, raw.rows[:, 1:3] + sizes / 2
    return bool(
        kinds.min() >= 0
        and kinds.max() < num_classes
        and not (kinds % 1).any()
        and sizes.min() > 0
        and low.min() >= -rounding
        and high.max() <= 1 + rounding
        and low.max() < 1
        and high.min() > 0
        and _first_of_its_kind(raw).all()
    )


def _first_of_its_kind(raw: RawLabels) -> NDArray[np.bool_]:
    """(n,) False where an equal label came before."""
    seen = set()
    fresh = np.ones(len(raw.rows), dtype=bool)
    for index, (row, rings) in enumerate(zip(raw.rows, raw.rings, strict=True)):
        key = (row.tobytes(), *(ring.tobytes() for ring in rings))
        fresh[index] = key not in seen
        seen.add(key)
    return fresh


def _detail(row: NDArray[np.float64], num_classes: int) -> str:
    return f"class {row[0]:g}, there are {num_classes}: 0 to {num_classes - 1}"


def _parse(fields: list[str]) -> list[float]:
    if len(fields) != 5 and (len(fields) < 7 or len(fields) % 2 == 0):
        raise ValueError(f"{len(fields)} values, expected 5 (class cx cy w h) or an outline")
    try:
        return [float(field) for field in fields]
    except ValueError:
        raise ValueError("a value is not a number") from None


def _row(values: list[float]) -> tuple[NDArray[np.float64], Ring | None]:
    """class, cx, cy, w, h and the outline, if there is one."""
    numbers = np.array(values)
    if len(values) == 5:
        return numbers, None
    points = numbers[1:].reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    row = np.concatenate([numbers[:1], (low + high) / 2, high - low])
    return row, np.clip(points, -ABSURD, ABSURD).astype(np.float32)


def _check_strictly(values: list[float], fields: list[str], num_classes: int) -> None:
    kind, *coordinates = values
    if not kind.is_integer():
        raise ValueError(f"class {fields[0]} is not a whole number")
    if not 0 <= kind < num_classes:
        raise ValueError(
            f"class {int(kind)} is not one of the {num_classes} classes (0 to {num_classes - 1})"
        )
    if not (np.isfinite(coordinates).all() and min(coordinates) >= 0):
        raise ValueError("a coordinate is negative or not finite")
    if max(coordinates) > 1:
        raise ValueError("a coordinate is above 1; they are fractions of the image's size")
