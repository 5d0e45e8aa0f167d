"""The detection loss again, in plain loops over plain numbers (float64), as the tests' truth.

Written from the published description alone: one image, one object, one anchor at a time, with
the whole table of metrics of every object and anchor. Of equal metrics the lower anchor goes
first, of equal overlaps the earlier object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STRIDES = (8, 16, 32)
TOPK = 10


@dataclass
class Positive:
    """One anchor that learns an object; `alpha` weighs the aspect term of its CIoU."""

    image: int
    anchor: int
    label: int
    corners: Array
    score: float
    alpha: float


def loss(levels: list[Array], targets: Array) -> tuple[float, Array]:
    """Total and (box, cls, dfl) of raw levels (B, 64 + classes, h, w) and rows of targets."""
    return loss_of(levels, positives(levels, targets))


def loss_of(levels: list[Array], found: list[Positive]) -> tuple[float, Array]:
    """The same for anchors that are already assigned."""
    rows, centres, strides = flatten(levels)
    soft = np.zeros_like(rows[:, :, 64:])
    for positive in found:
        soft[positive.image, positive.anchor, positive.label] = positive.score
    normaliser = max(soft.sum(), 1.0)

    box, dfl = 0.0, 0.0
    for positive in found:
        row, stride = rows[positive.image, positive.anchor], strides[positive.anchor]
        centre = centres[positive.anchor]
        predicted = decode(row, centre)
        wanted = positive.corners / stride
        box += positive.score * (1 - ciou(wanted, predicted, positive.alpha)[0])
        x, y = centre
        sides = (x - wanted[0], y - wanted[1], wanted[2] - x, wanted[3] - y)
        entropy = 0.0
        for side, distance in enumerate(sides):
            distance = min(max(distance, 0.0), 14.99)
            low = math.floor(distance)
            bins = row[16 * side : 16 * side + 16]
            log_p = bins - bins.max() - math.log(np.exp(bins - bins.max()).sum())
            entropy -= (low + 1 - distance) * log_p[low] + (distance - low) * log_p[low + 1]
        dfl += positive.score * entropy / 4

    cls = 0.0
    for logit, target in zip(rows[:, :, 64:].ravel(), soft.ravel(), strict=True):
        cls += max(logit, 0.0) - logit * target + math.log1p(math.exp(-abs(logit)))

    items = np.array([7.5 * box, 0.5 * cls, 1.5 * dfl]) / normaliser
    return float(items.sum() * len(rows)), items


def positives(levels: list[Array], targets: Array) -> list[Positive]:
    """Task-aligned assignment of a batch."""
    rows, centres, strides = flatten(levels)
    height, width = (8 * side for side in levels[0].shape[2:])
    found = []
    for image in range(len(rows)):
        mine = [row for row in targets if row[0] == image and row[4] * row[5] > 0]
        if mine:
            labels = [int(row[1]) for row in mine]
            corners = [to_corners(row[2:], width, height) for row in mine]
            found += positives_of(image, rows[image], centres, strides, labels, corners)
    return found


def positives_of(
    image: int,
    rows: Array,
    centres: Array,
    strides: Array,
    labels: list[int],
    corners: list[Array],
) -> list[Positive]:
    """Task-aligned assignment of one image."""
    objects, anchors = len(labels), len(rows)
    candidate = np.zeros((objects, anchors), bool)
    overlap, metric = np.zeros((objects, anchors)), np.zeros((objects, anchors))
    for a in range(anchors):
        x, y = centres[a] * strides[a]
        predicted = decode(rows[a], centres[a]) * strides[a]
        for g, (x1, y1, x2, y2) in enumerate(corners):
            candidate[g, a] = min(x - x1, y - y1, x2 - x, y2 - y) > 1e-9
            if candidate[g, a]:
                value, _ = ciou(corners[g], predicted)
                overlap[g, a] = max(value, 0.0)
                score = 1 / (1 + math.exp(-rows[a, 64 + labels[g]]))
                metric[g, a] = score**0.5 * overlap[g, a] ** 6

    chosen = np.zeros((objects, anchors), bool)
    for g in range(objects):
        best = sorted(range(anchors), key=lambda a: (-metric[g, a], a))[:TOPK]
        for a in best:
            chosen[g, a] = candidate[g, a]
    for a in range(anchors):
        if chosen[:, a].sum() > 1:
            winner = int(np.argmax(overlap[:, a]))
            chosen[:, a] = False
            chosen[winner, a] = True

    found = []
    for g in range(objects):
        best_metric = max((metric[g, a] for a in range(anchors) if chosen[g, a]), default=0.0)
        best_overlap = max((overlap[g, a] for a in range(anchors) if chosen[g, a]), default=0.0)
        for a in range(anchors):
            if chosen[g, a]:
                score = metric[g, a] * best_overlap / (best_metric + 1e-9)
                alpha = ciou(corners[g] / strides[a], decode(rows[a], centres[a]))[1]
                found.append(Positive(image, a, labels[g], corners[g], score, alpha))
    return found


def ciou(first: Array, second: Array, alpha: float | None = None) -> tuple[float, float]:
    """Complete IoU of two xyxy boxes, and its alpha (which may be given)."""
    eps = 1e-7
    w1, h1 = first[2] - first[0], first[3] - first[1] + eps
    w2, h2 = second[2] - second[0], second[3] - second[1] + eps
    inter_w = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    inter_h = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    intersection = inter_w * inter_h
    iou = intersection / (w1 * h1 + w2 * h2 - intersection + eps)
    outer_w = max(first[2], second[2]) - min(first[0], second[0])
    outer_h = max(first[3], second[3]) - min(first[1], second[1])
    dx = (first[0] + first[2]) / 2 - (second[0] + second[2]) / 2
    dy = (first[1] + first[3]) / 2 - (second[1] + second[3]) / 2
    v = 4 / math.pi**2 * (math.atan(w2 / h2) - math.atan(w1 / h1)) ** 2
    if alpha is None:
        alpha = v / (v - iou + 1 + eps)
    return iou - (dx**2 + dy**2) / (outer_w**2 + outer_h**2 + eps) - alpha * v, alpha


def decode(row: Array, centre: Array) -> Array:
    """Box of one anchor, xyxy in grid units."""
    distances = []
    for side in range(4):
        weights = np.exp(row[16 * side : 16 * side + 16] - row[16 * side : 16 * side + 16].max())
        distances.append(float((weights * np.arange(16)).sum() / weights.sum()))
    left, top, right, bottom = distances
    x, y = centre
    return np.array([x - left, y - top, x + right, y + bottom])


def to_corners(box: Array, width: int, height: int) -> Array:
    """cx, cy, w, h fractions to xyxy pixels."""
    cx, cy, w, h = box * (width, height, width, height)
    return np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])


def flatten(levels: list[Array]) -> tuple[Array, Array, Array]:
    """Rows (B, A, 64 + classes), centres (A, 2) in grid units, strides (A,)."""
    rows, centres, strides = [], [], []
    for level, stride in zip(levels, STRIDES, strict=True):
        for y in range(level.shape[2]):
            for x in range(level.shape[3]):
                rows.append(level[:, :, y, x])
                centres.append((x + 0.5, y + 0.5))
                strides.append(stride)
    return np.stack(rows, axis=1), np.array(centres), np.array(strides, dtype=float)
