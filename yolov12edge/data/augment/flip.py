"""Mirror images."""

from __future__ import annotations

import cv2
import numpy as np

from yolov12edge.data.augment.instances import Instances
from yolov12edge.data.letterbox import Image


def flip_lr(image: Image, instances: Instances) -> tuple[Image, Instances]:
    """Left becomes right."""
    return _flip(image, instances, axis=0)


def flip_ud(image: Image, instances: Instances) -> tuple[Image, Instances]:
    """Top becomes bottom."""
    return _flip(image, instances, axis=1)


def _flip(image: Image, instances: Instances, axis: int) -> tuple[Image, Instances]:
    extent = image.shape[1 - axis]
    boxes = instances.boxes.copy()
    boxes[:, [axis, axis + 2]] = extent - instances.boxes[:, [axis + 2, axis]]
    points = instances.polygons.points.copy()
    points[:, axis] = extent - points[:, axis]
    moved = Instances(
        np.ascontiguousarray(boxes), instances.classes, instances.polygons.moved(points)
    )
    return cv2.flip(image, 1 - axis), moved
