"""One training picture: which images make it up, and the augmentations in their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from yolov12edge.data.augment.affine import affine
from yolov12edge.data.augment.color import degrade, hsv
from yolov12edge.data.augment.copy_paste import copy_paste
from yolov12edge.data.augment.flip import flip_lr, flip_ud
from yolov12edge.data.augment.instances import Instances
from yolov12edge.data.augment.mixup import mixup
from yolov12edge.data.augment.mosaic import mosaic
from yolov12edge.data.augment.settings import Augmentation
from yolov12edge.data.letterbox import Image, Letterbox

Picture = tuple[Image, Instances]


def compose(
    first: int,
    partner: Callable[[np.random.Generator], int],
    load: Callable[[int], Picture],
    size: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Picture:
    """Make the training picture of one image.

    mosaic or letterbox -> copy-paste -> affine -> mixup with another such picture -> blur and the
    like -> HSV -> flips.

    Args:
        first: number of the image.
        partner: draws the number of another image, for mosaic and mixup.
        load: an image by number, scaled to fit `size`, and its objects.
        size: height and width of the detector's input.
        augmentation: strengths.
        rng: decides everything; the same state gives the same picture.

    Returns:
        (H, W, 3) uint8 RGB and the objects in its pixels.
    """
    picture = _geometric(first, partner, load, size, augmentation, rng)
    if rng.random() < augmentation.mixup:
        other = _geometric(partner(rng), partner, load, size, augmentation, rng)
        picture = mixup(picture, other, rng)
    image, instances = picture
    image = degrade(image, augmentation.degrade, rng)
    image = hsv(image, augmentation, rng)
    if rng.random() < augmentation.flip_ud:
        image, instances = flip_ud(image, instances)
    if rng.random() < augmentation.flip_lr:
        image, instances = flip_lr(image, instances)
    return image, instances


def _geometric(
    first: int,
    partner: Callable[[np.random.Generator], int],
    load: Callable[[int], Picture],
    size: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Picture:
    if rng.random() < augmentation.mosaic:
        numbers = [first, *(partner(rng) for _ in range(3))]
        image, instances = mosaic([load(number) for number in numbers], size, rng)
    else:
        image, instances = letterboxed(*load(first), size)
    image, instances = copy_paste(image, instances, augmentation.copy_paste)
    return affine(image, instances, size, augmentation, rng)


def letterboxed(image: Image, instances: Instances, size: tuple[int, int]) -> Picture:
    """A picture that fits `size`, centred on grey."""
    placed, placement = Letterbox(*size, scale_up=False)(image)
    return placed, instances.shifted(placement.left, placement.top)
