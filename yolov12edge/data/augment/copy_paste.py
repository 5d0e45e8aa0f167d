"""Objects pasted once more, mirrored, where they hide little."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.augment.instances import Float32Array, Instances
from yolov12edge.data.letterbox import Image

MAX_HIDDEN = 0.30


def copy_paste(image: Image, instances: Instances, share: float) -> tuple[Image, Instances]:
    """Paste mirrored copies of objects with outlines into their own picture.

    Every copy lies where its original lies in the left-right mirrored picture. Candidates hide
    less than 0.30 of the box of every object; `round(share * candidates)` of them are pasted,
    those first that hide least.

    Args:
        image: (h, w, 3) uint8.
        instances: its objects.
        share: 0 to 1.

    Returns:
        A new image, or the same if nothing was pasted, and all objects.
    """
    outlined = instances.outlined()
    if share == 0 or not outlined.any():
        return image, instances
    width = image.shape[1]
    mirrored = mirrored_instances(instances, width)
    hidden = hidden_share(mirrored.boxes, instances.boxes).max(axis=1)
    candidates = np.flatnonzero(outlined & (hidden < MAX_HIDDEN))
    count = round(share * len(candidates))
    if count == 0:
        return image, instances
    chosen = np.zeros(len(instances), dtype=bool)
    chosen[candidates[np.argsort(hidden[candidates], kind="stable")[:count]]] = True
    pasted = mirrored.select(chosen)
    result = image.copy()
    for number in range(len(pasted)):
        _paste(result, image, pasted, number)
    return result, Instances.joined([instances, pasted])


def mirrored_instances(instances: Instances, width: int) -> Instances:
    """Objects in the left-right mirrored picture."""
    boxes = instances.boxes.copy()
    boxes[:, [0, 2]] = width - instances.boxes[:, [2, 0]]
    points = instances.polygons.points.copy()
    points[:, 0] = width - points[:, 0]
    return Instances(boxes, instances.classes, instances.polygons.moved(points))


def hidden_share(covers: Float32Array, boxes: Float32Array) -> NDArray[np.float32]:
    """(m, n) share of each of n boxes that each of m others covers."""
    low = np.maximum(covers[:, None, :2], boxes[None, :, :2])
    high = np.minimum(covers[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    share: NDArray[np.float32] = common / np.maximum(areas, 1e-9)
    return share


def _paste(result: Image, image: Image, pasted: Instances, number: int) -> None:
    """Copy the mirrored pixels inside the outline of one object."""
    height, width = image.shape[:2]
    low = np.clip(np.floor(pasted.boxes[number, :2]), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(pasted.boxes[number, 2:]), 0, (width, height)).astype(int)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    if left >= right or top >= bottom:
        return
    mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
    polygons = pasted.polygons
    mine = polygons.owners == number
    # Pixel centres have whole coordinates in OpenCV, halves in boxes and outlines.
    points = np.round(polygons.points[mine] - low - 0.5).astype(np.int32)
    rings = polygons.rings[mine]
    for ring in np.split(points, np.flatnonzero(np.diff(rings)) + 1):
        cv2.fillPoly(mask, [ring], 255)
    source = image[top:bottom, width - right : width - left][:, ::-1]
    region = result[top:bottom, left:right]
    region[mask > 0] = source[mask > 0]
