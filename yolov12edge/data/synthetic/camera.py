"""What a camera adds: uneven light, blur, noise and compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.letterbox import Image


def expose(canvas: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """A photograph of a (size, size, 3) float32 RGB canvas, uint8."""
    size = len(canvas)
    canvas = canvas * _light_field(size, rng)[..., None]
    cast = np.array(1 + rng.uniform(-0.08, 0.08, 3), dtype=np.float32)
    canvas = canvas * (cast * np.float32(rng.uniform(0.75, 1.2)))
    kind = rng.random()
    if kind < 0.45:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 1.1) * size / 320)
    elif kind < 0.55:
        canvas = cv2.filter2D(canvas, -1, _motion(rng))
    canvas = canvas + _noise(canvas.shape, rng)
    image: Image = np.clip(canvas, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 90))]
        content = cv2.imencode(".jpg", image, quality)[1]
        image = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.uint8)
    return image


def _light_field(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(size, size) brightness: falls off to a side and to the corners."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25)
    across = np.add.outer(line * np.float32(np.sin(turn)), line * np.float32(np.cos(turn)))
    corners = np.add.outer(line * line, line * line) * np.float32(rng.uniform(0, 0.15))
    return np.asarray(1 + np.float32(slope) * across - corners, dtype=np.float32)


def _motion(rng: np.random.Generator) -> NDArray[np.float32]:
    """Kernel of a straight movement of two to four pixels."""
    kernel = np.zeros((5, 5), dtype=np.float32)
    turn, length = rng.uniform(0, np.pi), rng.uniform(1, 2)
    step = length * np.array([np.cos(turn), np.sin(turn)])
    start, end = (np.round((2 + way * step) * 16).astype(int).tolist() for way in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Sum of two uniform numbers a pixel: bell-shaped enough, and quick."""
    deviation = rng.uniform(0.5, 8)
    first = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), dtype=np.uint8)
    pairs = first.reshape(2, *shape).astype(np.float32)
    # A uniform byte has a deviation of 73.9, the sum of two 104.5.
    return np.asarray((pairs[0] + pairs[1] - 255) * np.float32(deviation / 104.5), np.float32)
