"""Anchor-free detection head: box distributions and class logits on three levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolov12edge.model.blocks import Conv, DepthwiseConv
from yolov12edge.model.scales import STRIDES

REG_MAX = 16


def anchor_centres(
    height: int, width: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Anchor centres of an input and their strides, P3 to P5, row-major.

    Returns:
        centres (2, A) as x, y in grid units, strides (1, A) in input pixels.
    """
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(
            torch.arange(rows, device=device, dtype=dtype) + 0.5,
            torch.arange(columns, device=device, dtype=dtype) + 0.5,
            indexing="ij",
        )
        centres.append(torch.stack([x.flatten(), y.flatten()]))
        strides.append(torch.full((1, rows * columns), stride, device=device, dtype=dtype))
    return torch.cat(centres, dim=1), torch.cat(strides, dim=1)


class DistributionExpectation(nn.Module):
    """Expected value of a distribution over 0..15 (distribution focal loss, arXiv:2006.04388).

    Held as a frozen 1x1 convolution because published checkpoints carry it so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(REG_MAX, 1, 1, bias=False).requires_grad_(False)
        # Not arange: on the meta device it imports sympy, two seconds of every load.
        bins = torch.tensor([float(value) for value in range(REG_MAX)])
        self.conv.weight.data = bins.view(1, REG_MAX, 1, 1)

    def forward(self, logits: Tensor) -> Tensor:
        """(B, 64, A) bin logits, side-major, to (B, 4, A) distances in grid units."""
        batch, _, anchors = logits.shape
        bins = logits.view(batch, 4, REG_MAX, anchors).softmax(dim=2)
        return self.conv(bins.transpose(1, 2)).view(batch, 4, anchors)  # type: ignore[no-any-return]


class DetectionHead(nn.Module):
    """Box and class branches for each level.

    Args:
        channels: of the P3, P4 and P5 maps.
        num_classes: class logits per anchor.
        class_width: hidden channels of the class branches; by the published rule if None.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, class_width: int | None = None
    ) -> None:
        super().__init__()
        box_width = max(16, channels[0] // 4, 4 * REG_MAX)
        class_width = class_width or max(channels[0], min(num_classes, 100))
        self.num_classes = num_classes
        self.cv2 = nn.ModuleList(
            nn.Sequential(
                Conv(width, box_width, 3),
                Conv(box_width, box_width, 3),
                nn.Conv2d(box_width, 4 * REG_MAX, 1),
            )
            for width in channels
        )
        self.cv3 = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(DepthwiseConv(width, 3), Conv(width, class_width)),
                nn.Sequential(DepthwiseConv(class_width, 3), Conv(class_width, class_width)),
                nn.Conv2d(class_width, num_classes, 1),
            )
            for width in channels
        )
        self.dfl = DistributionExpectation()
        self._initialise_biases()

    def _initialise_biases(self) -> None:
        """Start at about five objects in a 640-pixel image, spread over the classes."""
        for box, classes, stride in zip(self.cv2, self.cv3, STRIDES, strict=True):
            nn.init.constant_(box[-1].bias, 1.0)  # type: ignore[index]
            prior = math.log(5 / self.num_classes / (640 / stride) ** 2)
            nn.init.constant_(classes[-1].bias, prior)  # type: ignore[index]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Three maps to three raw levels (B, 64 + classes, h, w): box bins, then class logits."""
        return [
            torch.cat([box(x), classes(x)], dim=1)
            for x, box, classes in zip(maps, self.cv2, self.cv3, strict=True)
        ]

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Raw levels to (B, 4 + classes, A): cx, cy, w, h in input pixels, then scores in 0..1."""
        height, width = (side * STRIDES[0] for side in levels[0].shape[2:])
        flat = torch.cat([level.flatten(2) for level in levels], dim=2)
        boxes, logits = flat[:, : 4 * REG_MAX], flat[:, 4 * REG_MAX :]
        centres, strides = anchor_centres(height, width, flat.device, flat.dtype)
        left_top, right_bottom = self.dfl(boxes).chunk(2, dim=1)
        top_left, bottom_right = centres - left_top, centres + right_bottom
        box = torch.cat([(top_left + bottom_right) / 2, bottom_right - top_left], dim=1)
        return torch.cat([box * strides, logits.sigmoid()], dim=1)
