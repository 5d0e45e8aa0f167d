"""The detector that a training starts with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from yolov12edge.checkpoints import (
    Fit,
    InitialWeights,
    for_classes,
    initialise,
    read_initial,
)
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector, published_architecture
from yolov12edge.pipeline.training.request import TrainRequest


def starting_model(
    request: TrainRequest, names: Sequence[str]
) -> tuple[Detector, InitialWeights | None, Fit | None]:
    """A detector for the classes of the data, seeded, with what fits of `request.weights`.

    Raises:
        CheckpointError: the file is none, or of another scale or layout than asked for.
    """
    torch.manual_seed(request.settings.seed)
    if request.weights is None:
        architecture = published_architecture(
            request.scale or "n", request.layout or "turbo", len(names)
        )
        return Detector(architecture, names), None, None
    initial = read_initial(request.weights)
    found = initial.architecture
    asked = (request.scale or found.scale, request.layout or found.layout)
    if asked != (found.scale, found.layout):
        raise CheckpointError(
            f"{request.weights} holds a YOLOv12-{found.scale} of layout {found.layout}, "
            f"not a YOLOv12-{asked[0]} of layout {asked[1]}",
            f"leave out --scale and --layout, or pass --scale {found.scale} "
            f"--layout {found.layout}",
        )
    detector = Detector(for_classes(found, len(names)), names)
    return detector, initial, initialise(detector, initial)


def fit_text(fit: Fit, request: TrainRequest) -> str:
    """How much of a file was taken, in one line."""
    text = f"{fit.taken} of {fit.total} tensors taken from {request.weights}"
    if fit.layers:
        text += f"; layers {', '.join(map(str, fit.layers))} start at random"
    return text
