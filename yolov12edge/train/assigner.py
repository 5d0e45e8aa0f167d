"""Which anchors learn which object: the task-aligned assigner (TOOD, arXiv:2108.07755).

Only anchors whose centre lies inside an object are ever looked at, as a flat list of (object,
anchor) pairs; nothing of size images x most objects x anchors is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov12edge.train.iou import complete_iou

INSIDE = 1e-9
EPS = 1e-9


@dataclass(frozen=True)
class Assignment:
    """The positive anchors, each once.

    Attributes:
        anchor: (K,) indices into the flattened (images * anchors).
        target: (K,) the row of the object each learns.
        score: (K,) soft target of that object's class, 0..1.
    """

    anchor: Tensor
    target: Tensor
    score: Tensor


@dataclass(frozen=True)
class Objects:
    """What is in a batch of images, one row an object.

    Attributes:
        image: (n,) index of the image.
        label: (n,) class.
        corners: (n, 4) xyxy in input pixels.
    """

    image: Tensor
    label: Tensor
    corners: Tensor


@dataclass(frozen=True)
class TaskAlignedAssigner:
    """Gives each object the anchors inside it that score and fit best.

    The metric of a pair is score^alpha * CIoU^beta, CIoU not below 0. An object chooses the `topk`
    anchors of highest metric among all anchors, of which those inside it count; outside it the
    metric is 0, and of equal metrics the lower anchor goes first. An anchor that several objects
    chose goes to the object, of all objects around it, that its box fits best (the first of equal
    ones). The target score is the metric, scaled so that an object's best is its best CIoU.
    """

    topk: int = 10
    alpha: float = 0.5
    beta: float = 6.0

    @torch.no_grad()
    def __call__(
        self, logits: Tensor, boxes: Tensor, objects: Objects, pairs: tuple[Tensor, Tensor]
    ) -> Assignment:
        """Assign a batch.

        Args:
            logits: (B, A, classes) raw class scores, float32 or wider.
            boxes: (B, A, 4) predicted xyxy in input pixels.
            objects: of the whole batch, in any order of images.
            pairs: (P,) object rows and (P,) anchors, from `candidate_pairs`.
        """
        target, inside = pairs
        cells = logits.shape[1]
        anchor = objects.image[target] * cells + inside
        overlap = complete_iou(
            objects.corners[target], boxes.reshape(-1, 4).index_select(0, anchor)
        ).clamp(min=0)
        scores = logits.reshape(-1, logits.shape[2])[anchor, objects.label[target]].sigmoid()
        metric = scores.pow(self.alpha) * overlap.pow(self.beta)

        count = len(objects.image)
        chosen = _rank(metric, target, inside, count) < self.topk
        positive = _settle(chosen, overlap, anchor, logits.shape[0] * cells).nonzero().squeeze(1)
        anchor, target = anchor[positive], target[positive]
        metric, overlap = metric[positive], overlap[positive]
        best_metric = metric.new_zeros(count).scatter_reduce_(0, target, metric, "amax")
        best_overlap = overlap.new_zeros(count).scatter_reduce_(0, target, overlap, "amax")
        score = metric * (best_overlap / (best_metric + EPS))[target]
        return Assignment(anchor, target, score)


def candidate_pairs(
    corners: Tensor, shapes: Sequence[tuple[int, int]], strides: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Every (object, anchor) whose anchor centre is strictly inside the object.

    Args:
        corners: (n, 4) xyxy in input pixels.
        shapes: rows and columns of each level.
        strides: of the levels, in input pixels.

    Returns:
        (P,) object rows, ascending, and (P,) anchors over all levels, row-major, ascending in each
        object.
    """
    left, top, right, bottom = corners.unsqueeze(2).unbind(1)
    levels = []
    for (rows, columns), stride in zip(shapes, strides, strict=True):
        x = (torch.arange(columns, device=corners.device, dtype=corners.dtype) + 0.5) * stride
        y = (torch.arange(rows, device=corners.device, dtype=corners.dtype) + 0.5) * stride
        inside_x = (x - left).minimum(right - x) > INSIDE
        inside_y = (y - top).minimum(bottom - y) > INSIDE
        levels.append((inside_y.unsqueeze(2) & inside_x.unsqueeze(1)).flatten(1))
    target, anchor = torch.cat(levels, dim=1).nonzero(as_tuple=True)
    return target, anchor


def _rank(metric: Tensor, target: Tensor, anchor: Tensor, count: int) -> Tensor:
    """Place of each pair in its object's order of all anchors: metric down, then anchor up.

    `target` ascends, `anchor` ascends in each target. Anchors without a pair have metric 0.
    """
    order = metric.argsort(descending=True, stable=True)
    order = order[target[order].argsort(stable=True)]
    place = torch.arange(len(metric), device=metric.device)
    pairs = target.new_zeros(count).index_add_(0, target, torch.ones_like(target))
    first = (pairs.cumsum(0) - pairs)[target]
    rank = torch.empty_like(order)
    rank[order] = place - first

    # A pair of metric 0 stands behind the good ones and all anchors of metric 0 before it.
    good = (metric > 0).long()
    before = good.cumsum(0) - good
    good_of_target = good.new_zeros(count).index_add_(0, target, good)[target]
    rank_of_zero = good_of_target + anchor - (before - before[first])
    return torch.where(good.bool(), rank, rank_of_zero)


def _settle(chosen: Tensor, overlap: Tensor, anchor: Tensor, anchors: int) -> Tensor:
    """(P,) bool: `chosen`, but an anchor chosen more than once belongs to its best overlap."""
    times = anchor.new_zeros(anchors).index_add_(0, anchor, chosen.long())[anchor]
    best = overlap.new_zeros(anchors).scatter_reduce_(0, anchor, overlap, "amax")[anchor]
    place = torch.arange(len(anchor), device=anchor.device)
    place_of_best = torch.where(overlap == best, place, len(place))
    winner = anchor.new_full((anchors,), len(place)).scatter_reduce_(
        0, anchor, place_of_best, "amin"
    )[anchor]
    return torch.where(times > 1, place == winner, chosen)
