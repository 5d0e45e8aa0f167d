"""One synthetic scene: objects and clutter on a ground, with the boxes of what is visible."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.letterbox import Image
from yolov12edge.data.synthetic.bodies import Body, Light, Material, lay, paint
from yolov12edge.data.synthetic.camera import expose
from yolov12edge.data.synthetic.grounds import fractal, ground
from yolov12edge.data.synthetic.shapes import CLASSES, NAMES, clutter

# An object is placed only where at least this share of it stays visible, counting what lies
# beyond the border as hidden; so nothing is hidden so far that it should not count.
MIN_VISIBLE = 0.55
OBJECTS = (2, 7)
CLUTTER = (1, 5)
# Diameters in pixels of a scene of 320.
SMALLEST, LARGEST = 34, 140
# Long thin bodies vanish at a size at which others are small.
LONGER = {"bolt": 1.3, "wrench": 1.6}

_ATTEMPTS = 12
# Outlines: how far they may cut corners, in pixels.
_MAGNIFY, _TOLERANCE = 2, 0.5


@dataclass(frozen=True)
class Scene:
    """A picture and its objects.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        boxes: (n, 4) float64 left, top, right, bottom of the visible pixels.
        classes: (n,) int64 indices into `NAMES`.
        polygons: per object the outer contours of its visible parts, (k, 2) x, y.
        areas: (n,) int64 visible pixels.
    """

    image: Image
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    polygons: tuple[tuple[NDArray[np.float64], ...], ...]
    areas: NDArray[np.int64]


def make_scene(seed: int, index: int, size: int = 320) -> Scene:
    """Scene `index` of a seed; it depends on these and the size alone.

    Args:
        seed: of the set.
        index: of the scene, from 0.
        size: width and height in pixels.
    """
    rng = np.random.default_rng([seed, index])
    canvas = ground(size, rng)
    bodies, owners = _place(size, rng)
    light = Light.random(rng)
    texture = fractal(size, rng, 3, 7) - np.float32(0.5)
    for body in reversed(bodies):
        shifted = np.roll(texture, rng.integers(size, size=2), (0, 1))
        paint(canvas, body, light, Material.random(rng), shifted)
    image = expose(canvas, rng)
    numbers = [number for number, body in enumerate(bodies) if body.kind >= 0]
    outlines = [_visible(owners, number) for number in numbers]
    return Scene(
        image,
        np.array([box for box, _, _ in outlines], dtype=np.float64).reshape(-1, 4),
        np.array([bodies[number].kind for number in numbers], dtype=np.int64),
        tuple(polygons for _, polygons, _ in outlines),
        np.array([area for _, _, area in outlines], dtype=np.int64),
    )


def _place(size: int, rng: np.random.Generator) -> tuple[list[Body], NDArray[np.int8]]:
    """Bodies from front to back, and the one that is seen at each pixel; -1 for the ground."""
    owners = np.full((size, size), -1, dtype=np.int8)
    kinds = rng.integers(len(NAMES), size=rng.integers(OBJECTS[0], OBJECTS[1] + 1)).tolist()
    kinds += [-1] * int(rng.integers(CLUTTER[0], CLUTTER[1] + 1))
    rng.shuffle(kinds)
    bodies: list[Body] = []
    for kind in kinds:
        shape = clutter(rng) if kind < 0 else CLASSES[NAMES[kind]](rng)
        longer = LONGER.get(NAMES[kind], 1.0) if kind >= 0 else 1.0
        smallest, largest = np.log([SMALLEST * longer, LARGEST]) + np.log(size / 320)
        for _ in range(_ATTEMPTS):
            diameter = float(np.exp(rng.uniform(smallest, largest)))
            body = lay(shape, kind, diameter, rng.uniform(0.02, 0.98, 2) * size, rng)
            window = body.window(size)
            if window is None:
                continue
            rows, columns, own_rows, own_columns = window
            solid = body.cover[own_rows, own_columns] > 127
            seen = solid & (owners[rows, columns] < 0)
            share = seen.sum() / max(int((body.cover > 127).sum()), 1)
            # Clutter must not lie wholly hidden, objects have to be seen well.
            if share >= (MIN_VISIBLE if kind >= 0 else 0.3):
                owners[rows, columns][seen] = len(bodies)
                bodies.append(body)
                break
    return bodies, owners


def _visible(
    owners: NDArray[np.int8], number: int
) -> tuple[list[float], tuple[NDArray[np.float64], ...], int]:
    """Box, outer contours and number of the visible pixels of a body."""
    mask = (owners == number).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    # Contours run through the centres of the border pixels; of a magnified mask, close to their
    # outer edges.
    magnified = (
        mask[top : top + height, left : left + width].repeat(_MAGNIFY, 0).repeat(_MAGNIFY, 1)
    )
    found, _ = cv2.findContours(magnified, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, _TOLERANCE * _MAGNIFY, True)[:, 0] for contour in found]
    # Slivers that enclose nothing count as hidden.
    kept = [index for index, ring in enumerate(simple) if len(ring) >= 3]
    pixels = np.concatenate([found[index][:, 0] for index in kept]) // _MAGNIFY
    low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
    corners = np.concatenate([simple[index] for index in kept])
    first, last = corners.min(axis=0), corners.max(axis=0)
    # Stretched by less than a pixel, the outline encloses all of each.
    stretch = (high - low) / np.maximum(last - first, 1)
    origin = np.array([left, top]) + low
    polygons = tuple(origin + (simple[index] - first) * stretch for index in kept)
    box = np.concatenate([origin, origin + high - low]).tolist()
    return box, polygons, int(mask.sum())
