"""Draw boxes on an image so that people can check them.

Not supervision's annotators: they would bring SciPy, matplotlib, FFmpeg and requests to every edge
device for a rectangle and a line of text.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import FloatArray
from yolov12edge.data.letterbox import Image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO = 0.618034
_SMALLEST_SIDE = 320


def draw_boxes(
    image: Image,
    boxes: FloatArray,
    scores: NDArray[np.floating] | None,
    classes: NDArray[np.integer],
    names: Sequence[str],
) -> Image:
    """A copy of an RGB image with a box, a class name and a score for each detection.

    An image too small for letters is enlarged by a whole factor, until its shorter side has 320
    pixels. Lines and letters grow with the image; labels lie above their box, or inside it at the
    upper edge of the image, and in front of all boxes, the best one on top.

    Args:
        image: (h, w, 3) uint8 RGB.
        boxes: (n, 4) left, top, right, bottom in pixels.
        scores: (n,); None for annotations, which have none.
        classes: (n,) indices into `names`.
        names: class names.
    """
    factor = math.ceil(_SMALLEST_SIDE / min(image.shape[:2]))
    drawn = image.repeat(factor, axis=0).repeat(factor, axis=1)
    boxes = boxes * factor
    side = min(image.shape[:2])
    line = max(1, round(side / 300))
    worst_first = np.arange(len(boxes)) if scores is None else np.argsort(scores, kind="stable")
    for index in worst_first:
        left, top, right, bottom = _rounded(boxes[index])
        cv2.rectangle(drawn, (left, top), (right, bottom), class_color(classes[index]), line)
    scale = min(max(side / 1000, 0.35), 2.5)
    for index in worst_first:
        text = str(names[int(classes[index])])
        if scores is not None:
            text += f" {scores[index]:.2f}"
        _draw_label(drawn, text, _rounded(boxes[index]), class_color(classes[index]), scale, line)
    return drawn


def class_color(index: int) -> tuple[int, int, int]:
    """The RGB colour of a class: always the same, and far from its neighbours'."""
    hue = int(index) * _GOLDEN_RATIO % 1
    brightness = (1.0, 0.75)[int(index) // 8 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, brightness)
    return round(255 * red), round(255 * green), round(255 * blue)


def _rounded(box: FloatArray) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(side) for side in np.round(box))
    return left, top, right, bottom


def _draw_label(
    image: Image,
    text: str,
    box: tuple[int, int, int, int],
    color: tuple[int, int, int],
    scale: float,
    line: int,
) -> None:
    weight = max(1, round(1.5 * scale))
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, weight)
    pad = max(2, line)
    tall, wide = height + baseline + pad, width + 2 * pad
    left = max(0, min(box[0] - line // 2, image.shape[1] - wide))
    top = box[1] - tall if box[1] >= tall else box[1]
    cv2.rectangle(image, (left, top), (left + wide, top + tall), color, cv2.FILLED)
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = (0, 0, 0) if luminance > 110 else (255, 255, 255)
    origin = (left + pad, top + height + pad // 2 + 1)
    cv2.putText(image, text, origin, _FONT, scale, ink, weight, cv2.LINE_AA)
