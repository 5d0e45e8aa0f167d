"""Two pictures blended into one."""

from __future__ import annotations

import cv2
import numpy as np

from yolov12edge.data.augment.instances import Instances
from yolov12edge.data.letterbox import Image

BETA = 32.0


def mixup(
    first: tuple[Image, Instances], second: tuple[Image, Instances], rng: np.random.Generator
) -> tuple[Image, Instances]:
    """Blend two pictures of one size, r to 1 - r with r from Beta(32, 32); keep all objects."""
    ratio = float(rng.beta(BETA, BETA))
    image: Image = cv2.addWeighted(first[0], ratio, second[0], 1 - ratio, 0)
    return image, Instances.joined([first[1], second[1]])
