"""Images inside a page, as data URIs that keep to a size."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_QUALITIES = (85, 70, 55)
_SMALLEST_SIDE = 64


def jpeg_uri(image: Image, limit: int) -> str:
    """An RGB image as a JPEG data URI.

    Quality goes down first, then the size, until the JPEG has at most `limit` bytes or cannot
    become smaller.

    Args:
        image: (h, w, 3) uint8 RGB.
        limit: of the JPEG in bytes; the URI is a third longer.
    """
    content = _jpeg(image, _QUALITIES[0])
    for quality in _QUALITIES[1:]:
        if len(content) <= limit:
            break
        content = _jpeg(image, quality)
    while len(content) > limit and min(image.shape[:2]) > _SMALLEST_SIDE:
        image = shrunk(image, round(max(image.shape[:2]) * 0.75))
        content = _jpeg(image, _QUALITIES[-1])
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def shrunk(image: Image, side: int) -> Image:
    """The image with its longer side at most `side` pixels."""
    height, width = image.shape[:2]
    gain = side / max(height, width)
    if gain >= 1:
        return image
    size = (max(1, round(width * gain)), max(1, round(height * gain)))
    small: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def _jpeg(image: Image, quality: int) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return content.tobytes()
