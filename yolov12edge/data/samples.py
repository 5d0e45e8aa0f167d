"""What a training set is: images, boxes and outlines, and what had to be left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import labels as text_labels
from yolov12edge.data.augment.instances import Polygons
from yolov12edge.data.coco import read_coco
from yolov12edge.data.dataset import Dataset
from yolov12edge.data.description import Description, read_description
from yolov12edge.data.labels import Labels, Ring, clean_labels, label_path, read_raw_labels
from yolov12edge.data.problems import Problem, summarize
from yolov12edge.data.scan import Scan, scan_images
from yolov12edge.errors import DataError

DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
DUPLICATE_IMAGE = "the image is listed twice"


@dataclass(frozen=True)
class Sample:
    """One image and its objects.

    Attributes:
        path: image file.
        boxes: (n, 4) float32 cx, cy, w, h as fractions of the image as it is shown.
        classes: (n,) int64.
        polygons: outlines, fractions too; None where only boxes are known.
        size: width and height of the image as it is shown.
    """

    path: Path
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    polygons: Polygons | None
    size: tuple[int, int] | None


@dataclass(frozen=True)
class SampleSet:
    """One split of a data set, ready to train or to evaluate on.

    Attributes:
        names: class names, by class index.
        samples: images with and without objects.
        problems: what is wrong with the set, and what was left out.
    """

    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def summary(self) -> list[str]:
        """A line for each kind of problem, with its count and first case."""
        return summarize(self.problems)

    def counts(self) -> dict[str, int]:
        """Objects of each class, by name."""
        classes = np.concatenate([np.zeros(0, np.int64), *(s.classes for s in self.samples)])
        counted = np.bincount(classes, minlength=len(self.names))
        return dict(zip(self.names, counted.tolist(), strict=True))

    def dataset(self) -> Dataset:
        """The same images and boxes in the form that evaluation takes."""
        rows = tuple(
            np.column_stack([sample.classes, sample.boxes]).astype(np.float32).reshape(-1, 5)
            for sample in self.samples
        )
        return Dataset(self.names, tuple(sample.path for sample in self.samples), rows)


def load_samples(data: Path, split: str = "train") -> SampleSet:
    """Load one split; what is broken is named in `problems` and left out.

    Left out are unreadable and huge images, images of which no label is usable, and labels that
    are malformed, not finite, of an unknown class, without area, wholly outside of the image, or
    written twice. Boxes partly outside are cut. Crowds (COCO's iscrowd) are left out without a
    word. An image with an empty label file, or none, is a background image.

    Args:
        data: a data.yaml, a folder that holds one, or a COCO .json (then `split` is ignored).
        split: train, val or test.

    Raises:
        DataError: the description is wrong, most labels are of unknown classes or outside of
            their images, or nothing is left to learn from.
    """
    data = Path(data)
    description = _describe(data, split)
    scan = scan_images(description.images)
    names, samples, problems = description.names, [], [*scan.problems]
    labels = 0
    for document in description.documents:
        coco = read_coco(document, description.image_folders, names)
        names = coco.names
        samples += [
            Sample(
                item.path,
                item.rows[:, 1:],
                item.rows[:, 0].astype(np.int64),
                _polygons(item.rings),
                item.size,
            )
            for item in coco.items
        ]
        problems += coco.problems
        labels += coco.labels
    if description.images:
        assert names is not None
        texts, found, count = _text_samples(description, scan, names)
        samples += texts
        problems += found
        labels += count
    samples, repeated = _without_repeats(samples)
    result = SampleSet(names or (), tuple(samples), (*problems, *repeated))
    _check_usable(result, data, split, labels)
    return result


def _describe(data: Path, split: str) -> Description:
    if data.suffix.lower() == ".json":
        if not data.is_file():
            raise DataError(f"no such file: {data}", "pass a data.yaml or a COCO .json file")
        return Description(None, (), (data,), ())
    if data.is_dir():
        inside = [data / name for name in DESCRIPTIONS if (data / name).is_file()]
        if not inside:
            raise DataError(
                f"{data} holds no data.yaml", "pass a data.yaml with names:, train: and val:"
            )
        data = inside[0]
    return read_description(data, split)


def _text_samples(
    description: Description, scan: Scan, names: tuple[str, ...]
) -> tuple[list[Sample], list[Problem], int]:
    samples, problems = [], []
    labels = 0
    for image in description.images:
        header = scan.headers.get(image)
        if header is None:
            continue
        path = label_path(image)
        rows: Labels = np.zeros((0, 5), np.float32)
        rings: tuple[tuple[Ring, ...], ...] = ()
        if path.is_file():
            try:
                raw, malformed = read_raw_labels(path)
            except DataError as error:
                problems.append(Problem(path, None, text_labels.NO_TEXT, True, error.message))
                continue
            rows, rings, found = clean_labels(raw, len(names), path)
            problems += malformed + found
            labels += len(raw.rows) + len(malformed)
            # As an image without objects it would teach what is wrong.
            if not len(rows) and (len(raw.rows) or malformed):
                problems.append(Problem(image, None, text_labels.NONE_USABLE, True))
                continue
        else:
            problems.append(Problem(image, None, text_labels.NO_FILE, False))
        samples.append(
            Sample(image, rows[:, 1:], rows[:, 0].astype(np.int64), _polygons(rings), header.shown)
        )
    return samples, problems, labels


def _polygons(rings: tuple[tuple[Ring, ...], ...]) -> Polygons | None:
    return Polygons.of(rings) if any(rings) else None


def _without_repeats(samples: list[Sample]) -> tuple[list[Sample], list[Problem]]:
    seen: set[Path] = set()
    kept, problems = [], []
    for sample in samples:
        if sample.path in seen:
            problems.append(Problem(sample.path, None, DUPLICATE_IMAGE, True))
        else:
            seen.add(sample.path)
            kept.append(sample)
    return kept, problems


def _check_usable(found: SampleSet, data: Path, split: str, labels: int) -> None:
    """Stop where training would teach nothing, or the wrong thing."""
    counts = Counter(problem.what for problem in found.problems)
    if counts[text_labels.CLASS_RANGE] * 2 > labels:
        first = next(p for p in found.problems if p.what == text_labels.CLASS_RANGE)
        raise DataError(
            f"{counts[text_labels.CLASS_RANGE]} of {labels} labels of {data} ({split}) are of "
            f"unknown classes: {first}",
            "list every class under names:, counted from 0",
        )
    if counts[text_labels.OUTSIDE] * 2 > labels:
        raise DataError(
            f"{counts[text_labels.OUTSIDE]} of {labels} labels of {data} ({split}) lie outside "
            "of their images",
            "boxes are cx cy w h as fractions of the image's size, not pixels",
        )
    if not found.samples:
        lines = found.summary()
        raise DataError(
            f"no usable image in {data} ({split})" + (f"; {lines[0]}" if lines else ""),
            "correct the paths or the files",
        )
    if not any(len(sample.classes) for sample in found.samples):
        expected = label_path(found.samples[0].path)
        lines = found.summary()
        raise DataError(
            f"no usable label in {data} ({split})" + (f"; {lines[0]}" if lines else ""),
            f"labels of {found.samples[0].path.name} are expected at {expected}, or in COCO json",
        )
