"""Changes of colour and sharpness that leave objects where they are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.augment.settings import Augmentation
from yolov12edge.data.letterbox import Image


def hsv(image: Image, augmentation: Augmentation, rng: np.random.Generator) -> Image:
    """Multiply hue, saturation and value by 1 + U(-1, 1) * gain, in OpenCV's 8-bit HSV.

    There the hue has 180 steps and wraps around; the others saturate at 255.

    Args:
        image: (h, w, 3) uint8 RGB.
        augmentation: the three gains.
        rng: decides.
    """
    gains = np.array([augmentation.hue, augmentation.saturation, augmentation.value])
    factors = 1 + rng.uniform(-1, 1, 3) * gains
    if not gains.any():
        return image
    converted = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    converted = cv2.LUT(converted, hsv_table(factors), converted)
    result: Image = cv2.cvtColor(converted, cv2.COLOR_HSV2RGB, converted)
    return result


def hsv_table(factors: NDArray[np.float64]) -> Image:
    """(256, 1, 3) table of 8-bit hue, saturation and value times three factors."""
    levels = np.arange(256)[:, None] * factors
    levels[:, 0] %= 180
    table: Image = np.clip(levels, 0, 255).astype(np.uint8).reshape(256, 1, 3)
    return table


def degrade(image: Image, probability: float, rng: np.random.Generator) -> Image:
    """Blur, median blur, gray and local contrast, each with a small probability.

    Args:
        image: (h, w, 3) uint8 RGB.
        probability: of each of the four.
        rng: decides.
    """
    blur, median, gray, contrast = rng.random(4) < probability
    if blur:
        side = int(rng.integers(3, 8))
        image = cv2.blur(image, (side, side))
    if median:
        image = cv2.medianBlur(image, int(rng.choice([3, 5, 7])))
    if gray:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if contrast:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        lab[..., 0] = cv2.createCLAHE(float(rng.uniform(1, 4)), (8, 8)).apply(lab[..., 0])
        image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return image
