"""Detections and how they come out of a detector's decoded output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import cxcywh_to_xyxy
from yolov12edge.data.letterbox import Image, Placement, to_batch
from yolov12edge.runtime import Artifact
from yolov12edge.thresholds import SHOWN, Thresholds

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

    @classmethod
    def truth(cls, classes: NDArray[Any], boxes: FloatArray, placement: Placement) -> Detections:
        """The labelled objects of an image, in its pixels.

        Args:
            classes: (n,) class indices.
            boxes: (n, 4) cx, cy, w, h as fractions of the image.
            placement: tells the image's size.
        """
        size = np.array([placement.width, placement.height] * 2, dtype=np.float32)
        pixels = cxcywh_to_xyxy(boxes * size).astype(np.float32)
        return cls(pixels, np.ones(len(pixels), np.float32), classes.astype(np.int64))

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


def detect(
    artifact: Artifact, image: Image, thresholds: Thresholds = SHOWN, clip: bool = True
) -> Detections:
    """Find the objects in one RGB image, (h, w, 3) uint8.

    Args:
        artifact: what detects.
        image: of any size.
        thresholds: what counts.
        clip: cut boxes to the image.

    Returns:
        detections in pixels of the image, best first.
    """
    fitted, placement = artifact.letterbox(image)
    outputs = artifact.runner(to_batch([fitted]))
    return detections_of(outputs, [placement], thresholds, clip)[0]


def detections_of(
    outputs: FloatArray, placements: Sequence[Placement], thresholds: Thresholds, clip: bool = True
) -> list[Detections]:
    """What the decoded outputs of a batch hold, in pixels of each image; else as `detect`.

    Args:
        outputs: (B, 4 + classes, A), as `non_max_suppression` takes each.
        placements: of the B letterboxed images.
    """
    return [
        non_max_suppression(decoded, thresholds).to_image(placement, clip)
        for decoded, placement in zip(outputs, placements, strict=True)
    ]


def non_max_suppression(decoded: FloatArray, thresholds: Thresholds = SHOWN) -> Detections:
    """Keep the best of overlapping boxes of one class, as YOLOv12's published evaluation does.

    At most 30000 of the best candidates enter. In the order of their scores each is kept unless
    its IoU with a kept one of its class is above the threshold (torchvision's `nms`, float32). By
    hand, since the C++ runtime has to give the same bits, and torchvision would be a dependency
    for these lines alone.

    Args:
        decoded: (4 + classes, A) cx, cy, w, h in input pixels, then class scores. Anchors with a
            box that is not finite are passed over.
        thresholds: what counts; `SHOWN` to predict, `COUNTED` to evaluate.

    Returns:
        detections in input pixels, best first; boxes may reach beyond the input.
    """
    boxes, scores, classes = _candidates(decoded, thresholds)
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    offset = classes.astype(np.float32)[:, None] * CLASS_OFFSET
    kept = _suppress(boxes + offset, np.float32(thresholds.iou), thresholds.max_detections)
    return Detections(boxes[kept], scores[kept], classes[kept])


def _candidates(
    decoded: FloatArray, thresholds: Thresholds
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    scores, confidence = decoded[4:], thresholds.confidence
    if thresholds.multi_label:
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
