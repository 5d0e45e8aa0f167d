"""Fit an image into a detector's input and map boxes back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import FloatArray
from yolov12edge.errors import UsageError

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where a letterboxed image lies in the detector's input.

    Attributes:
        gain: input pixels per original pixel.
        left: columns of padding before the image.
        top: rows of padding above the image.
        width: width of the original image in pixels.
        height: height of the original image in pixels.
    """

    gain: float
    left: int
    top: int
    width: int
    height: int

    def to_image(self, boxes: FloatArray, clip: bool = True) -> FloatArray:
        """(..., 4) xyxy boxes in input pixels to original pixels, clipped to the image if asked.

        Example:
            >>> Placement(0.5, 0, 70, 640, 480).to_image(np.array([[10.0, 80.0, 20.0, 90.0]]))
            array([[20., 20., 40., 40.]])
        """
        boxes = (boxes - np.array([self.left, self.top] * 2, dtype=boxes.dtype)) / self.gain
        if not clip:
            return boxes
        return np.clip(boxes, 0, np.array([self.width, self.height] * 2, dtype=boxes.dtype))


@dataclass(frozen=True)
class Letterbox:
    """Scales an image to fit `height` x `width`, keeping its shape, and pads the rest.

    The pixels equal those of the detector's published validation: bilinear to
    min(ceil(side * gain), limit) with gain = min(height / h, width / w), then, when centred,
    round(d / 2 - 0.1) of the d missing rows (columns) above (left of) the image.

    Attributes:
        height: input height in pixels.
        width: input width in pixels.
        pad_value: value of the padding in all three channels, 0 to 255.
        center: pad on both sides; otherwise only below and right.
        scale_up: enlarge images smaller than the input.
    """

    height: int
    width: int
    pad_value: int = 114
    center: bool = True
    scale_up: bool = True

    def __call__(self, image: Image) -> tuple[Image, Placement]:
        """Fit one RGB image, (h, w, 3) uint8, into (height, width, 3) uint8.

        Raises:
            UsageError: not an (h, w, 3) uint8 image of at least one pixel.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise UsageError(
                f"letterbox needs an (h, w, 3) uint8 image, got {image.shape} {image.dtype}",
                "read images with yolov12edge.data.read_image",
            )
        original_height, original_width = image.shape[:2]
        gain = min(self.height / original_height, self.width / original_width)
        if not self.scale_up:
            gain = min(gain, 1.0)
        height = min(math.ceil(original_height * gain), self.height)
        width = min(math.ceil(original_width * gain), self.width)
        if (height, width) != (original_height, original_width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        top = round((self.height - height) / 2 - 0.1) if self.center else 0
        left = round((self.width - width) / 2 - 0.1) if self.center else 0
        canvas = np.full((self.height, self.width, 3), self.pad_value, dtype=np.uint8)
        canvas[top : top + height, left : left + width] = image
        return canvas, Placement(gain, left, top, original_width, original_height)


def to_batch(images: Sequence[Image]) -> NDArray[np.float32]:
    """Stack (H, W, 3) uint8 images into the detector's (B, 3, H, W) float32 in 0..1."""
    stacked = np.stack(images).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, dtype=np.float32) / np.float32(255)
