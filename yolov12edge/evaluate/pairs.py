"""Which detections of two detectors are the same object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import pairwise_iou
from yolov12edge.evaluate.detections import Detections

MATCH_IOU = 0.5


@dataclass(frozen=True)
class Pairs:
    """Detections of a reference that another detector found again.

    Attributes:
        first: (k,) indices into the reference's detections.
        second: (k,) indices into the other's, each at most once.
        iou: (k,) overlap of each pair.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    iou: NDArray[np.float64]


def pair(reference: Detections, other: Detections) -> Pairs:
    """Pair detections of the same class with an IoU of at least 0.5.

    In the order of its scores, each of the reference's takes the free one of highest IoU.
    """
    overlaps = pairwise_iou(reference.boxes.astype(np.float64), other.boxes.astype(np.float64))
    overlaps[reference.classes[:, None] != other.classes[None, :]] = 0
    first, second, iou = [], [], []
    for index in np.argsort(-reference.scores, kind="stable") if len(other) else ():
        best = overlaps[index].argmax()
        if overlaps[index, best] >= MATCH_IOU:
            first.append(index)
            second.append(best)
            iou.append(overlaps[index, best])
            overlaps[:, best] = 0
    return Pairs(
        np.array(first, dtype=np.int64),
        np.array(second, dtype=np.int64),
        np.array(iou, dtype=np.float64),
    )
