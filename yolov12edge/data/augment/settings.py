"""The strengths of the augmentations, and the published ones for each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from yolov12edge.documents import Document
from yolov12edge.errors import UsageError

Probability = Annotated[float, Field(ge=0, le=1)]

_PUBLISHED = {
    "n": {"scale": 0.5, "mixup": 0.0, "copy_paste": 0.1},
    "s": {"scale": 0.9, "mixup": 0.05, "copy_paste": 0.15},
    "m": {"scale": 0.9, "mixup": 0.15, "copy_paste": 0.4},
    "l": {"scale": 0.9, "mixup": 0.15, "copy_paste": 0.5},
    "x": {"scale": 0.9, "mixup": 0.2, "copy_paste": 0.6},
}


class Augmentation(Document):
    """How strongly training pictures are altered; the defaults are those of scale n.

    Attributes:
        mosaic: probability that four images are joined.
        copy_paste: share of the objects with outlines that are pasted once more, mirrored.
        mixup: probability that a second picture is blended in.
        scale: sizes change by a factor in 1 - scale to 1 + scale.
        translate: shift as a fraction of the picture, both ways.
        degrees: rotation, both ways.
        shear: shear in degrees, both ways, on both axes.
        hue, saturation, value: gains in 1 - g to 1 + g in HSV.
        flip_lr, flip_ud: probability of a mirror image.
        degrade: probability of each of blur, median blur, gray and local contrast.
    """

    mosaic: Probability = 1.0
    copy_paste: Probability = 0.1
    mixup: Probability = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    translate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0
    hue: Probability = 0.015
    saturation: Probability = 0.7
    value: Probability = 0.4
    flip_lr: Probability = 0.5
    flip_ud: Probability = 0.0
    degrade: Probability = 0.01

    @classmethod
    def published(cls, scale: str) -> Augmentation:
        """What the published detector of a scale was trained with.

        Args:
            scale: n, s, m, l or x.

        Raises:
            UsageError: no such scale.
        """
        if scale not in _PUBLISHED:
            raise UsageError(f"no scale {scale!r}", f"use one of: {', '.join(_PUBLISHED)}")
        return cls(**_PUBLISHED[scale])

    def without_mosaic(self) -> Augmentation:
        """For the last epochs: real pictures, neither joined nor blended nor pasted into."""
        return self.model_copy(update={"mosaic": 0.0, "copy_paste": 0.0, "mixup": 0.0})
