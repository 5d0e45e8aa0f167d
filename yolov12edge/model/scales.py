"""What distinguishes one YOLOv12 from another: scale, layout, classes.

Figures: scaling table and special cases of the YOLOv12 release (arXiv:2502.12524) and of the
later "turbo" release, which splits qkv into qk + v, shrinks pe to 5x5 and groups the stem.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from yolov12edge.errors import UsageError

Scale = Literal["n", "s", "m", "l", "x"]
Layout = Literal["v1", "turbo"]

SCALES: tuple[Scale, ...] = get_args(Scale)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
STRIDES = (8, 16, 32)
HEAD_DIM = 32


@dataclass(frozen=True)
class Scaling:
    """Multipliers of one scale: `depth` on repeats, `width` on channels after the cap."""

    depth: float
    width: float
    max_channels: int

    def channels(self, base: int) -> int:
        """Scaled output channels of a layer with `base` channels, rounded up to a multiple of 8."""
        return math.ceil(min(base, self.max_channels) * self.width / 8) * 8

    def repeats(self, base: int) -> int:
        """Scaled number of inner units of a layer listed with `base`."""
        return max(round(base * self.depth), 1) if base > 1 else base


SCALING: dict[Scale, Scaling] = {
    "n": Scaling(0.50, 0.25, 1024),
    "s": Scaling(0.50, 0.50, 1024),
    "m": Scaling(0.50, 1.00, 512),
    "l": Scaling(1.00, 1.00, 512),
    "x": Scaling(1.00, 1.50, 512),
}


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build the network; equal fields mean interchangeable checkpoints.

    Attributes:
        scale: n, s, m, l or x.
        layout: "v1" has one qkv projection, "turbo" has qk and v.
        num_classes: at least 1.
        pe_kernel: side of the depthwise position convolution (7 in v1, 5 in turbo).
        mlp_ratio: hidden width of an attention block's MLP over its input width.
        stem_groups: convolution groups of layers 1 and 3.
        class_width: hidden channels of the class branch where they do not follow from the classes,
            as in a head that was fine-tuned from one for more classes.
    """

    scale: Scale
    layout: Layout
    num_classes: int
    pe_kernel: int
    mlp_ratio: float
    stem_groups: tuple[int, int]
    class_width: int | None = None

    @property
    def scaling(self) -> Scaling:
        """Depth and width multipliers."""
        return SCALING[self.scale]

    @property
    def is_large(self) -> bool:
        """l and x add a scaled residual around the attention stages."""
        return self.scale in ("l", "x")

    @property
    def forces_c3k(self) -> bool:
        """m, l and x use C3k inside the first two C3k2 stages."""
        return self.scale in ("m", "l", "x")

    def mlp_width(self, width: int) -> int:
        """Hidden channels of an attention block `width` wide; truncated, as published."""
        return int(width * self.mlp_ratio)


def published_architecture(
    scale: str, layout: str = "turbo", num_classes: int = 80
) -> Architecture:
    """The architecture as released.

    Raises:
        UsageError: unknown scale or layout, or fewer than one class.
    """
    if scale not in SCALES:
        raise UsageError(f"unknown scale {scale!r}", f"use one of: {', '.join(SCALES)}")
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}", f"use one of: {', '.join(LAYOUTS)}")
    if num_classes < 1:
        raise UsageError(f"num_classes is {num_classes}", "a detector needs at least one class")
    turbo = layout == "turbo"
    large_ratio = 1.5 if turbo else 1.2
    return Architecture(
        scale=scale,
        layout=layout,
        num_classes=num_classes,
        pe_kernel=5 if turbo else 7,
        mlp_ratio=large_ratio if scale in ("l", "x") else 2.0,
        stem_groups=(2, 4) if turbo else (1, 1),
    )
