"""What was asked for, stored beside the results so that a run can go on."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import Field, ValidationError

from yolov12edge import __version__
from yolov12edge.data.augment import Augmentation
from yolov12edge.documents import Document
from yolov12edge.errors import CheckpointError
from yolov12edge.files import write_json
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.settings import TrainingSettings

SCHEMA_VERSION = 1
_KEY = "request"
AnyRequest = TypeVar("AnyRequest", bound=Document)


class TrainRequest(Document):
    """A training job.

    Attributes:
        data: data.yaml, a folder with one, or a COCO .json.
        val: the same for validation; the val split of `data` if None.
        weights: a checkpoint or a part of one to start from; from scratch if None.
        teacher: a checkpoint of the same classes to learn from too; none if None.
        scale, layout: of the detector; as `weights` has them, else n and turbo, if None.
        settings: of the loop.
        augmentation: of the pictures; what is None in it is the scale's published value.
        device: auto, cpu, cuda or cuda:N.
    """

    data: Path
    val: Path | None = None
    weights: Path | None = None
    teacher: Path | None = None
    scale: str | None = None
    layout: str | None = None
    settings: TrainingSettings = TrainingSettings()
    augmentation: dict[str, float] = Field(default_factory=dict)
    device: str = "auto"

    def strengths(self, scale: str) -> Augmentation:
        """The augmentation of a scale, with what was asked for in place of the published."""
        published = Augmentation.published(scale).model_dump()
        return Augmentation(**{**published, **self.augmentation})


def absolute(request: AnyRequest) -> AnyRequest:
    """The same from any working folder."""
    places = {name: place.absolute() for name, place in request if isinstance(place, Path)}
    return request.model_copy(update=places)


def write_request(folder: TrainingFolder, request: TrainRequest, chosen: dict[str, Any]) -> None:
    """Write args.json.

    Args:
        chosen: what was left open and then chosen, for people to read.
    """
    write_arguments(folder, _KEY, request, chosen)


def read_request(folder: TrainingFolder) -> TrainRequest:
    """The request that a folder was made for.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    return read_arguments(folder, _KEY, TrainRequest)


def write_arguments(
    folder: TrainingFolder, key: str, request: Document, chosen: dict[str, Any]
) -> None:
    """Write args.json for a request of any kind.

    Args:
        key: that tells the kind.
        chosen: what was left open and then chosen, for people to read.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        key: request.model_dump(mode="json"),
        "chosen": chosen,
        "versions": {
            "yolov12edge": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    write_json(folder.arguments, document)


def read_arguments(folder: TrainingFolder, key: str, kind: type[AnyRequest]) -> AnyRequest:
    """The request in args.json.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    try:
        document = json.loads(folder.arguments.read_text(encoding="utf-8"))
        return kind.model_validate(document[key])
    except OSError as error:
        raise CheckpointError(
            f"{folder.path} is no folder of a training run: it has no {folder.arguments.name}",
            "pass the folder that --out named",
        ) from error
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(
            f"{folder.arguments} is damaged", "restore it, or train anew with --out"
        ) from error
