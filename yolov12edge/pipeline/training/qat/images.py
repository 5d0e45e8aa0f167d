"""Which images teach a quantized network, which judge it, and which calibrate it first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yolov12edge.data.description import read_description
from yolov12edge.data.labels import label_path
from yolov12edge.data.samples import DESCRIPTIONS, Sample, SampleSet, load_samples
from yolov12edge.errors import DataError
from yolov12edge.pipeline.images.sources import CalibrationImages, calibration_images

# An eighth of the images judges, at most so many.
HELD_BACK = 8
MOST_HELD_BACK = 64
# With fewer images nothing is taught: what they say of each other is not what others would say.
LEAST_IMAGES = 64


@dataclass(frozen=True)
class QatImages:
    """The images of a quantization-aware training.

    Attributes:
        teaching: samples that teach; their boxes are empty where there are no labels.
        judging: samples that only judge.
        labelled: whether there are labels.
        calibration: gives the ranges to begin with, as `export` would take it.
    """

    teaching: SampleSet
    judging: tuple[Sample, ...]
    labelled: bool
    calibration: CalibrationImages

    @property
    def enough(self) -> bool:
        """Whether there are enough to be taught by."""
        return len(self.teaching) + len(self.judging) >= LEAST_IMAGES


def gather(data: Path, names: tuple[str, ...] | None, classes: int, seed: int) -> QatImages:
    """Read the images, with labels or without.

    Args:
        data: data.yaml, a folder with one, a folder of images, or a .txt list of them.
        names: of the detector's classes, where it knows them.
        classes: how many it has.
        seed: of the calibration sample, and of which images are held back.

    Raises:
        DataError: no images, or labels of other classes.
    """
    described = _description(data)
    calibration = calibration_images(described or data, None, seed)
    if not calibration.files:
        raise DataError(
            f"{data} cannot be trained on", "pass a data.yaml, a folder of images or a .txt list"
        )
    if described is not None and _has_labels(described):
        found = load_samples(described, "train")
        if len(found.names) != classes or (names and tuple(names) != found.names):
            raise DataError(
                f"{data} has the classes {', '.join(found.names)}, the checkpoint "
                f"{', '.join(names) if names else f'{classes} without names'}",
                "pass the data set that the checkpoint was trained on, or a folder of its images",
            )
        return _split(found, True, calibration, seed)
    # Without a limit: the sample of the calibration may be smaller than the set.
    files = calibration_images(described or data, 1 << 31, seed).files
    known = names or tuple(str(index) for index in range(classes))
    return _split(SampleSet(known, tuple(map(_bare, files)), ()), False, calibration, seed)


def _description(data: Path) -> Path | None:
    """The data.yaml that is meant; None for images alone."""
    if data.is_dir():
        return next((data / name for name in DESCRIPTIONS if (data / name).is_file()), None)
    return data if data.suffix.lower() in (".yaml", ".yml") else None


def _has_labels(description: Path) -> bool:
    found = read_description(description, "train")
    return bool(found.documents) or any(label_path(image).is_file() for image in found.images)


def _split(
    found: SampleSet, labelled: bool, calibration: CalibrationImages, seed: int
) -> QatImages:
    count = len(found)
    held_back = min(MOST_HELD_BACK, count // HELD_BACK)
    order = np.random.default_rng([seed, count]).permutation(count).tolist()
    judging = tuple(found.samples[index] for index in sorted(order[:held_back]))
    teaching = tuple(found.samples[index] for index in sorted(order[held_back:]))
    return QatImages(replace(found, samples=teaching), judging, labelled, calibration)


def _bare(path: Path) -> Sample:
    """An image of whose objects nothing is known."""
    return Sample(path, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None, None)
