"""Four images joined around a random point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolov12edge.data.augment.instances import Instances
from yolov12edge.data.letterbox import Image

PAD_VALUE = 114


def mosaic(
    tiles: Sequence[tuple[Image, Instances]], size: tuple[int, int], rng: np.random.Generator
) -> tuple[Image, Instances]:
    """Join four images on a canvas twice as high and wide as the detector's input.

    They touch at a point that is uniform in the middle half of the canvas: the first image has it
    at its lower right corner, the others at their lower left, upper right and upper left ones.
    What lies beyond the canvas is cut off.

    Args:
        tiles: four (image, objects), each image at most `size`.
        size: height and width of the detector's input.
        rng: decides where they touch.

    Returns:
        (2H, 2W, 3) uint8 canvas, grey where no image lies, and its objects.
    """
    height, width = 2 * size[0], 2 * size[1]
    x = int(rng.uniform(width / 4, 3 * width / 4))
    y = int(rng.uniform(height / 4, 3 * height / 4))
    canvas = np.full((height, width, 3), PAD_VALUE, dtype=np.uint8)
    placed = []
    for corner, (image, instances) in enumerate(tiles):
        rows, columns = image.shape[:2]
        left = x if corner % 2 else x - columns
        top = y if corner > 1 else y - rows
        cut_left, cut_top = max(-left, 0), max(-top, 0)
        part = image[cut_top : height - top, cut_left : width - left]
        into_top, into_left = top + cut_top, left + cut_left
        canvas[into_top : into_top + part.shape[0], into_left : into_left + part.shape[1]] = part
        placed.append(instances.shifted(left, top))
    return canvas, Instances.joined(placed).clipped(width, height)
