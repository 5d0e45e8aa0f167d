"""The training loss: class scores, boxes and box distributions of task-aligned anchors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from yolov12edge.model import Detector
from yolov12edge.model.head import REG_MAX, anchor_centres
from yolov12edge.train.assigner import (
    Assignment,
    Objects,
    TaskAlignedAssigner,
    candidate_pairs,
)
from yolov12edge.train.iou import complete_iou

GAINS = (7.5, 0.5, 1.5)
LAST_BIN = REG_MAX - 1 - 0.01


class DetectionLoss:
    """Loss of a detector's raw output against objects (TOOD, arXiv:2108.07755; GFL, 2006.04388).

    Args:
        model: the detector, for its classes and strides.
        gains: weights of box, class and distribution loss.
        reduce: for a batch that is spread over processes: maps a tensor to its sum over all of them
            (a mean serves too, but for batches with next to no objects). Then the gradients
            *summed* over the processes are those of one process that has the whole batch; where
            they are averaged, multiply `total` by the number of processes.
    """

    def __init__(
        self,
        model: Detector,
        gains: tuple[float, float, float] = GAINS,
        reduce: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.num_classes = model.architecture.num_classes
        self.strides = model.strides
        self.gains = gains
        self.reduce = reduce
        self.assigner = TaskAlignedAssigner()

    def __call__(self, raw_levels: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch, computed in float32 (float64 for float64 levels).

        Args:
            raw_levels: P3, P4, P5 from `model.raw`, (B, 64 + classes, h, w) each.
            targets: (n, 6) image, class, cx, cy, w, h as fractions of the input; objects without
                area are padding. Left on the CPU, they cost a GPU one wait less.

        Returns:
            total, a scalar: the sum of the items times B; items (3,) without gradient: box, class
            and distribution loss, gains applied, divided by the sum of target scores (at least 1).
        """
        device_type = raw_levels[0].device.type
        with torch.autocast(device_type, enabled=False):
            return self._loss(raw_levels, targets)

    def _loss(self, raw_levels: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        device = raw_levels[0].device
        flat = torch.cat([level.flatten(2).transpose(1, 2) for level in raw_levels], dim=1)
        flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
        bins, logits = torch.split(flat, [4 * REG_MAX, self.num_classes], dim=2)

        shapes = [(level.shape[2], level.shape[3]) for level in raw_levels]
        height, width = (side * self.strides[0] for side in shapes[0])
        centres, strides = (grid.T for grid in anchor_centres(height, width, device, flat.dtype))
        objects = _objects(targets.to(flat.dtype), height, width)
        pairs = candidate_pairs(objects.corners, shapes, self.strides)
        objects, pairs = _move(objects, pairs, device)

        with torch.no_grad():
            boxes = _boxes(torch.unflatten(bins, 2, (4, REG_MAX)), centres) * strides
        found = self.assigner(logits, boxes, objects, pairs)

        box, dfl = self._box_losses(bins, centres, strides, objects, found)
        classes = _class_loss(logits, objects.label[found.target], found)
        # Filled, not copied from the host: a GPU would have to be waited for.
        share = torch.stack([found.score.sum(), found.score.new_full((), len(flat))])
        if self.reduce is not None:
            share = self.reduce(share)
        losses = zip((box, classes, dfl), self.gains, strict=True)
        items = torch.stack([loss * gain for loss, gain in losses]) / share[0].clamp(min=1)
        return items.sum() * share[1], items.detach()

    def _box_losses(
        self, bins: Tensor, centres: Tensor, strides: Tensor, objects: Objects, found: Assignment
    ) -> tuple[Tensor, Tensor]:
        """Sums over positives of (1 - CIoU) and of the distribution loss, weighted by score."""
        cell = found.anchor % bins.shape[1]
        centre = centres[cell]
        logits = bins.reshape(-1, 4, REG_MAX)[found.anchor]
        corners = objects.corners[found.target] / strides[cell]
        box = ((1 - complete_iou(_boxes(logits, centre), corners)) * found.score).sum()

        sides = torch.cat([centre - corners[:, :2], corners[:, 2:] - centre], dim=1)
        dfl = (distribution_loss(logits, sides) * found.score).sum()
        return box, dfl


def distribution_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (arXiv:2006.04388), mean of the four sides.

    Args:
        logits: (K, 4, 16) of the bins 0..15.
        distances: (K, 4) from the anchor to the sides in grid units; cut to 0..14.99.

    Returns:
        (K,) cross entropy with the two bins next to each distance, by nearness.
    """
    distances = distances.clamp(0, LAST_BIN)
    left = distances.floor()
    right_weight = distances - left
    log_probability = logits.log_softmax(dim=2)
    index = left.long().unsqueeze(2)
    below = log_probability.gather(2, index).squeeze(2)
    above = log_probability.gather(2, index + 1).squeeze(2)
    return -(below * (1 - right_weight) + above * right_weight).mean(dim=1)


def _class_loss(logits: Tensor, labels: Tensor, found: Assignment) -> Tensor:
    """Summed binary cross entropy: softplus(x) - t x, whose second term only positives have."""
    at_positives = logits.reshape(-1, logits.shape[2])[found.anchor, labels]
    return functional.softplus(logits).sum() - (found.score * at_positives).sum()


def _boxes(logits: Tensor, centres: Tensor) -> Tensor:
    """(..., 4, 16) bin logits and (..., 2) centres to (..., 4) xyxy, all in grid units."""
    bins = torch.arange(REG_MAX, device=logits.device, dtype=logits.dtype)
    left_top, right_bottom = (logits.softmax(dim=-1) @ bins).chunk(2, dim=-1)
    return torch.cat([centres - left_top, centres + right_bottom], dim=-1)


def _objects(targets: Tensor, height: int, width: int) -> Objects:
    """Targets as rows of objects in pixels."""
    scale = targets.new_tensor([width, height])
    centre, half = targets[:, 2:4] * scale, targets[:, 4:6] * scale / 2
    corners = torch.cat([centre - half, centre + half], dim=1)
    return Objects(targets[:, 0].long(), targets[:, 1].long(), corners)


def _move(
    objects: Objects, pairs: tuple[Tensor, Tensor], device: torch.device
) -> tuple[Objects, tuple[Tensor, Tensor]]:
    image, label, corners, target, anchor = (
        x.to(device, non_blocking=True)
        for x in (objects.image, objects.label, objects.corners, *pairs)
    )
    return Objects(image, label, corners), (target, anchor)
