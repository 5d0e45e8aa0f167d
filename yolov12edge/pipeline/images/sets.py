"""The images of an export: those that calibrate, those that judge, those for a device to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.data import Dataset, load_dataset
from yolov12edge.errors import DataError
from yolov12edge.pipeline.images.sources import (
    FEW_IMAGES,
    CalibrationImages,
    calibration_images,
    train_images,
    verification_images,
)
from yolov12edge.run.recipe import Precision
from yolov12edge.voice import Voice


@dataclass(frozen=True)
class ImageSets:
    """Images by what they are for.

    Attributes:
        calibration: decide about precision; None where nothing is to be decided, in float32.
        judges: measure drift; None where it is not to be measured, or there are none.
        golden: files to take golden inputs from; empty where there are none.
    """

    calibration: CalibrationImages | None
    judges: Dataset | None
    golden: tuple[Path, ...]


def gather_images(
    precision: Precision,
    calibration: Path | None,
    data: Path | None,
    *,
    limit: int | None,
    seed: int,
    verify: bool,
    voice: Voice,
) -> ImageSets:
    """Read what was given: `--calib`, `--data`, or one for the other.

    Args:
        calibration: what `calibration_images` takes; the train split of `data` if None.
        data: a data.yaml; its val split judges. The calibration images do if None.
        limit: most calibration images.
        verify: whether anything is to be judged.

    Raises:
        DataError: images are missing that the precision needs, or cannot be read.
    """
    found = None
    if calibration is not None:
        found = calibration_images(calibration, limit, seed)
    elif data is not None and precision != "fp32":
        found = train_images(data, limit, seed)
    _check(precision, found, voice)
    judges = verification_images(data, found) if verify else None
    if verify and judges is None:
        voice.warn("drift is not measured: no images; pass --data data.yaml or --calib DIR")
    return ImageSets(None if precision == "fp32" else found, judges, _golden(judges, found, data))


def _check(precision: Precision, calibration: CalibrationImages | None, voice: Voice) -> None:
    if precision == "fp32":
        return
    if calibration is None or not len(calibration):
        raise DataError(
            f"{precision} needs real images, and none were given",
            "pass --calib DIR (pictures as the camera sees them) or --data data.yaml",
        )
    if precision == "int8" and len(calibration) < FEW_IMAGES:
        voice.warn(f"only {len(calibration)} calibration images; {FEW_IMAGES} or more are better")


def _golden(
    judges: Dataset | None, calibration: CalibrationImages | None, data: Path | None
) -> tuple[Path, ...]:
    if judges is not None:
        return judges.images
    if calibration is not None:
        return calibration.files
    return load_dataset(data, "val").images if data is not None else ()
