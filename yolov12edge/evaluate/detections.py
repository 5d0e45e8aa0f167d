"""Detections and how they come out of a detector's decoded output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import cxcywh_to_xyxy
from yolov12edge.data.letterbox import Placement

MAX_CANDIDATES = 30_000

# Boxes of different classes are moved this far apart, so that one pass of NMS serves all classes.
CLASS_OFFSET = np.float32(7680)

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """The boxes found in, or annotated on, one image.

    Attributes:
        boxes: (n, 4) float32, left, top, right, bottom in pixels.
        scores: (n,) float32 in 0..1; 1 for annotations.
        classes: (n,) int64 class indices.

    Example:
        >>> found = Detections.empty()
        >>> len(found.above(0.5))
        0
    """

    boxes: FloatArray
    scores: FloatArray
    classes: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> Detections:
        """Those with a score above `score`."""
        keep = self.scores > score
        return Detections(self.boxes[keep], self.scores[keep], self.classes[keep])

    def to_image(self, placement: Placement, clip: bool = True) -> Detections:
        """From input pixels to pixels of the original image, clipped to it if asked."""
        boxes = placement.to_image(self.boxes, clip).astype(np.float32, copy=False)
        return Detections(boxes, self.scores, self.classes)

    def clipped(self, width: int, height: int) -> Detections:
        """Cut to an image of `width` x `height` pixels."""
        limits = np.array([width, height] * 2, dtype=np.float32)
        return Detections(np.clip(self.boxes, 0, limits), self.scores, self.classes)


def non_max_suppression(
    decoded: FloatArray,
    confidence: float = 0.25,
    iou: float = 0.7,
    max_detections: int = 300,
    multi_label: bool = False,
) -> Detections:
    """Keep the best of overlapping boxes of one class, as YOLOv12's published evaluation does.

    Candidates score above `confidence`; at most 30000 of the best enter. In the order of their
    scores each is kept unless its IoU with a kept one of its class is above `iou` (torchvision's
    `nms`, float32). By hand, since the C++ runtime has to give the same bits, and torchvision would
    be a dependency for these lines alone.

    Args:
        decoded: (4 + classes, A) cx, cy, w, h in input pixels, then class scores. Anchors with a
            box that is not finite are passed over.
        confidence: 0.25 to predict, 0.001 to evaluate.
        iou: overlap above which the lower score goes.
        max_detections: keep at most this many.
        multi_label: an anchor may give one box for every class above `confidence` (evaluation);
            otherwise its best class only (prediction).

    Returns:
        detections in input pixels, best first; boxes may reach beyond the input.
    """
    boxes, scores, classes = _candidates(decoded, confidence, multi_label)
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    offset = classes.astype(np.float32)[:, None] * CLASS_OFFSET
    kept = _suppress(boxes + offset, np.float32(iou), max_detections)
    return Detections(boxes[kept], scores[kept], classes[kept])


def _candidates(
    decoded: FloatArray, confidence: float, multi_label: bool
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    scores = decoded[4:]
    if multi_label:
        anchors, classes = np.nonzero(confidence < scores.T)
    else:
        best = scores.argmax(axis=0)
        anchors = np.flatnonzero(scores[best, np.arange(scores.shape[1])] > confidence)
        classes = best[anchors]
    finite = np.isfinite(decoded[:4, anchors]).all(axis=0)
    anchors, classes = anchors[finite], classes[finite]
    boxes = cxcywh_to_xyxy(decoded[:4, anchors].T).astype(np.float32, copy=False)
    return boxes, scores[classes, anchors], classes


def _suppress(boxes: FloatArray, iou: np.float32, limit: int) -> list[int]:
    """Indices of the boxes that survive; `boxes` is (n, 4) xyxy, best first."""
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    area = (right - left) * (bottom - top)
    rest = np.arange(len(boxes))
    kept: list[int] = []
    while len(rest) and len(kept) < limit:
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        # Most candidates lie elsewhere or belong to another class: look at the near ones only.
        near = (
            (left[rest] < right[best])
            & (right[rest] > left[best])
            & (top[rest] < bottom[best])
            & (bottom[rest] > top[best])
        )
        others = rest[near]
        width = np.minimum(right[others], right[best]) - np.maximum(left[others], left[best])
        height = np.minimum(bottom[others], bottom[best]) - np.maximum(top[others], top[best])
        overlap = width * height
        suppressed = overlap / (area[best] + area[others] - overlap) > iou
        near[near] = suppressed
        rest = rest[~near]
    return kept
