"""Layers that keep what they know."""

from __future__ import annotations

from yolov12edge.errors import UsageError
from yolov12edge.model import Detector


def freeze(model: Detector, layers: int) -> None:
    """Take the first `layers` layers out of the training.

    Raises:
        UsageError: nothing would be left to train.
    """
    if layers >= len(model.model):
        raise UsageError(
            f"--freeze {layers} leaves nothing to train",
            f"the detector has {len(model.model)} layers; freeze fewer",
        )
    for layer in list(model.model)[:layers]:
        layer.requires_grad_(False)


def training_mode(model: Detector, layers: int) -> None:
    """Training mode, but for the first `layers` layers, whose batch statistics stay as they are."""
    model.train()
    for layer in list(model.model)[:layers]:
        layer.eval()
