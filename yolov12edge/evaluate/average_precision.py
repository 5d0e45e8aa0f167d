"""COCO average precision, one image at a time, and its bootstrap.

The figures are those of pycocotools' COCOeval for boxes (all areas, 100 detections a class and
image, no crowds), which the tests compare with. By hand, since COCOeval keeps a dict for every
detection and counts no image twice, as a resample does: here a detection costs a dozen bytes, and a
resample of the images a fraction of a second, since the matches are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import pairwise_iou
from yolov12edge.evaluate.detections import Detections

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_PER_CLASS = 100

# Weights of a block of resamples times detections: bounds the memory of a bootstrap to some 100 MB.
_BLOCK = 4_000_000

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class AveragePrecision:
    """COCO figures in 0..1; None where there is nothing to find.

    Attributes:
        map: mean over classes and IoU 0.50:0.05:0.95.
        map50: mean over classes at IoU 0.50.
        per_class: by class name, mean over IoU 0.50:0.05:0.95.
    """

    map: float | None
    map50: float | None
    per_class: dict[str, float | None]


def average_precision(
    detections: Sequence[Detections], truth: Sequence[Detections], names: Sequence[str]
) -> AveragePrecision:
    """COCO average precision of detections against the truth, image by image.

    Args:
        detections: per image, in the same pixels as the truth; any order.
        truth: per image, the objects; their scores do not matter.
        names: class names, by class index.
    """
    table = MatchTable(names)
    for found, objects in zip(detections, truth, strict=True):
        table.add(found, objects)
    return table.average_precision()


class MatchTable:
    """Which detection matches an object, at each IoU threshold, over a set of images.

    Args:
        names: class names, by class index.
        sampled: average the precision at COCO's 101 recalls; otherwise take the whole area under
            the curve. Where all but one object is found, sampling loses a whole hundredth.
    """

    def __init__(self, names: Sequence[str], sampled: bool = True) -> None:
        self.names = tuple(names)
        self.sampled = sampled
        self.images = 0
        self._objects: list[NDArray[np.int32]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._keys: list[NDArray[np.int32]] = []
        self._matches: list[NDArray[np.bool_]] = []

    def add(self, detections: Detections, truth: Detections) -> None:
        """Match the detections of one more image with its objects."""
        image = self.images
        self.images += 1
        self._objects.append(_pairs(image, truth.classes))
        order = np.argsort(-detections.scores, kind="stable")
        for kind in np.unique(detections.classes):
            chosen = order[detections.classes[order] == kind][:MAX_PER_CLASS]
            objects = truth.boxes[truth.classes == kind]
            self._scores.append(detections.scores[chosen])
            self._keys.append(_pairs(image, detections.classes[chosen]))
            self._matches.append(_match(detections.boxes[chosen], objects))

    def average_precision(self) -> AveragePrecision:
        """The figures over all images."""
        table = self.resampled(np.ones((1, self.images), dtype=np.int64))[0]
        per_class = {
            name: None if np.isnan(row[0]) else float(row.mean())
            for name, row in zip(self.names, table, strict=True)
        }
        present = table[~np.isnan(table[:, 0])]
        if not len(present):
            return AveragePrecision(None, None, per_class)
        return AveragePrecision(float(present.mean()), float(present[:, 0].mean()), per_class)

    def resampled_map(self, weights: NDArray[np.int64]) -> Float64Array:
        """(R, images) times that each image is drawn to (R,) mAP50-95; NaN without any object."""
        table = self.resampled(weights)
        present = ~np.isnan(table[:, :, 0])
        total: Float64Array = np.where(present, table.mean(axis=2), 0).sum(axis=1)
        total[~present.any(axis=1)] = np.nan
        mean: Float64Array = total / np.maximum(present.sum(axis=1), 1)
        return mean

    def resampled(self, weights: NDArray[np.int64]) -> Float64Array:
        """(R, images) times that each image is drawn to (R, classes, IoU thresholds) AP.

        NaN where a class has no objects.
        """
        objects = np.concatenate([np.zeros((0, 2), np.int32), *self._objects])
        keys = np.concatenate([np.zeros((0, 2), np.int32), *self._keys])
        scores = np.concatenate([np.zeros(0, np.float32), *self._scores])
        matches = np.concatenate([np.zeros((0, len(IOU_THRESHOLDS)), bool), *self._matches])
        order = np.argsort(-scores, kind="stable")
        keys, matches = keys[order], matches[order]
        result = np.full((len(weights), len(self.names), len(IOU_THRESHOLDS)), np.nan)
        for kind in np.unique(objects[:, 1]):
            of_class = keys[:, 1] == kind
            block = max(1, _BLOCK // max(1, int(of_class.sum())))
            for start in range(0, len(weights), block):
                part = weights[start : start + block]
                result[start : start + block, kind] = _interpolated(
                    part[:, keys[of_class, 0]],
                    matches[of_class],
                    part[:, objects[objects[:, 1] == kind, 0]].sum(axis=1),
                    self.sampled,
                )
        return result


def _pairs(image: int, classes: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.stack([np.full(len(classes), image), classes], axis=1).astype(np.int32)


def _match(boxes: NDArray[np.float32], objects: NDArray[np.float32]) -> NDArray[np.bool_]:
    """COCO's matching: (n, 4) boxes, best first, and (m, 4) objects to (n, thresholds) hits.

    Each box takes the free object of highest IoU, the last of equals, if that reaches the
    threshold.
    """
    hits = np.zeros((len(boxes), len(IOU_THRESHOLDS)), dtype=bool)
    if not len(objects):
        return hits
    overlaps = pairwise_iou(boxes.astype(np.float64), objects.astype(np.float64))
    free = np.ones((len(IOU_THRESHOLDS), len(objects)), dtype=bool)
    for index in np.flatnonzero(overlaps.max(axis=1) >= IOU_THRESHOLDS[0]):
        overlap = overlaps[index]
        eligible = np.where(free & (overlap >= IOU_THRESHOLDS[:, None]), overlap, -1.0)
        last_best = eligible.shape[1] - 1 - eligible[:, ::-1].argmax(axis=1)
        hit = eligible.max(axis=1) >= 0
        hits[index] = hit
        free[hit, last_best[hit]] = False
    return hits


def _interpolated(
    weights: NDArray[np.int64],
    matches: NDArray[np.bool_],
    objects: NDArray[np.int64],
    sampled: bool,
) -> Float64Array:
    """Average of one class's precision over recall, made monotonous from the right.

    Args:
        weights: (R, n) how often each detection counts, best score first.
        matches: (n, thresholds).
        objects: (R,) number of objects.
        sampled: at 101 recalls, else everywhere.

    Returns:
        (R, thresholds); NaN where there are no objects.
    """
    result = np.zeros((len(weights), matches.shape[1]))
    seen = np.cumsum(weights, axis=1)
    for threshold in range(matches.shape[1]):
        hits = np.flatnonzero(matches[:, threshold])
        found = np.cumsum(weights[:, hits], axis=1)
        precision = found / np.maximum(seen[:, hits], 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = found / np.maximum(objects, 1)[:, None]
        if sampled:
            # A recall point takes the precision of the first detection that reaches it.
            reached = np.searchsorted(RECALLS, recall.ravel(), side="right")
            recall = reached.reshape(recall.shape) / len(RECALLS)
        result[:, threshold] = (best * np.diff(recall, axis=1, prepend=0)).sum(axis=1)
    result[objects == 0] = np.nan
    return result
