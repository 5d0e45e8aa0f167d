"""What a quantization-aware training was asked for, stored so that it can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from yolov12edge.documents import Document
from yolov12edge.pipeline.training.request import read_arguments, write_arguments
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.settings import CacheName

_KEY = "qat"


class QatSettings(Document):
    """How learning goes.

    Attributes:
        epochs: passes over the images that teach.
        batch: images a step.
        image_size: (height, width) of the input; the checkpoint's, else 640, if None.
        lr: of Adam, of weights in steps of their scale, after the warm-up; falls to 0 by a cosine.
            Other numbers have their share of it (`QatRates`).
        box, feature: what boxes and maps count beside scores in distillation.
        detection: what the loss against labels counts beside distillation; where there are any.
        flip_lr: probability of a mirror image, the only augmentation.
        seed: of calibration, order and flips.
        workers: threads that make pictures ahead.
        cache: of decoded images.
        save_minutes: minutes between two states within an epoch; after every epoch anyway.
        save_steps: steps between two states within an epoch; None for by time only.
    """

    epochs: int = Field(default=3, ge=1, le=100_000)
    batch: int = Field(default=8, ge=1, le=1 << 16)
    image_size: tuple[int, int] | None = None
    lr: float = Field(default=0.001, gt=0, le=10)
    box: float = Field(default=1.0, ge=0)
    feature: float = Field(default=0.1, ge=0)
    detection: float = Field(default=0.0, ge=0)
    flip_lr: float = Field(default=0.5, ge=0, le=1)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    workers: int = Field(default=0, ge=0, le=256)
    cache: CacheName = "auto"
    save_minutes: float = Field(default=10.0, gt=0)
    save_steps: int | None = Field(default=None, ge=1)


class QatRequest(Document):
    """A quantization-aware training.

    Attributes:
        data: data.yaml, a folder with one, a folder of images, or a .txt list of them.
        weights: the checkpoint whose INT8 form learns.
        teacher: a detector of the same classes to learn from; the checkpoint itself if None.
        target: recipe whose INT8 it is; the one that serves this machine if None.
        settings: how learning goes.
    """

    data: Path
    weights: Path
    teacher: Path | None = None
    target: str | None = None
    settings: QatSettings = QatSettings()


def is_qat(folder: TrainingFolder) -> bool:
    """Whether a folder is one of quantization-aware training."""
    try:
        return _KEY in json.loads(folder.arguments.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def write_request(folder: TrainingFolder, request: QatRequest, chosen: dict[str, Any]) -> None:
    """Write args.json.

    Args:
        chosen: what was left open and then chosen, for people to read.
    """
    write_arguments(folder, _KEY, request, chosen)


def read_request(folder: TrainingFolder) -> QatRequest:
    """The request that a folder was made for.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    return read_arguments(folder, _KEY, QatRequest)
