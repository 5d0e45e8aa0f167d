"""Box formats and overlap, on plain NumPy arrays.

Formats: `xyxy` is left, top, right, bottom; `cxcywh` is centre and size; both in pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


def cxcywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """(..., 4) centre and size to corners."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def pairwise_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every pair: (n, 4), (m, 4) xyxy to (n, m); 0 for empty boxes."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=-1)
    union = _areas(first)[:, None] + _areas(second)[None, :] - intersection
    iou: FloatArray = np.divide(
        intersection, union, out=np.zeros_like(intersection), where=union > 0
    )
    return iou


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1)
    return areas
