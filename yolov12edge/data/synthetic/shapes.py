"""Outlines of the objects to find, and of clutter that belongs to no class.

All lie within a circle of diameter 1 around the origin and vary with the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A flat body.

    Attributes:
        parts: (ring, solid) in the order of drawing: solid rings add, others cut holes.
        grooves: lines that are cut into the surface.
        bevel: width of the rounded edge, as a fraction of the diameter.
    """

    parts: tuple[tuple[Points, bool], ...]
    grooves: tuple[Points, ...] = ()
    bevel: float = 0.06


Draw = Callable[[np.random.Generator], Shape]


def gear(rng: np.random.Generator) -> Shape:
    """A cogwheel with a bore, some with holes in the web."""
    teeth = int(rng.integers(8, 17))
    root = rng.uniform(0.36, 0.42)
    flank, land = rng.uniform(0.12, 0.2), rng.uniform(0.2, 0.3)
    pitch = 2 * np.pi / teeth
    starts = np.arange(teeth) * pitch
    angles = (
        starts[:, None] + pitch * np.array([0, flank, flank + land, 2 * flank + land])
    ).ravel()
    radii = np.tile([root, 0.5, 0.5, root], teeth)
    bore = rng.uniform(0.07, 0.15)
    parts = [(_polar(radii, angles), True), (circle(bore), False)]
    if rng.random() < 0.5:
        holes = int(rng.integers(3, 7))
        middle, radius = (bore + root) / 2, min(0.3 * (root - bore), 0.6 * np.pi * 0.25 / holes)
        for angle in np.arange(holes) * 2 * np.pi / holes:
            parts.append((circle(radius, middle * np.cos(angle), middle * np.sin(angle)), False))
    grooves = (circle(rng.uniform(0.75, 0.9) * root),) if rng.random() < 0.5 else ()
    return Shape(tuple(parts), grooves)


def bolt(rng: np.random.Generator) -> Shape:
    """A hexagon bolt from the side: head, shank, thread."""
    head_width, head_height = rng.uniform(0.36, 0.5), rng.uniform(0.16, 0.24)
    shank = head_width * rng.uniform(0.4, 0.55)
    chamfer = 0.03
    top, neck, tip = -0.5, -0.5 + head_height, 0.5
    w = head_width / 2
    right = np.array([(w, neck), (w, top + chamfer), (w - chamfer, top)])
    head = np.concatenate([right, right[::-1] * (-1, 1)])
    s, depth = shank / 2, shank * 0.09
    thread_start = neck + (tip - neck) * rng.uniform(0.0, 0.4)
    turns = int(rng.integers(7, 13))
    y = np.linspace(thread_start, tip - 0.04, 2 * turns + 1)
    zigzag = s - depth * (np.arange(len(y)) % 2)
    thread = np.column_stack([zigzag, y])
    end = np.array([(0.7 * s, tip), (-0.7 * s, tip)])
    far = thread[::-1] * (-1, 1)
    body = np.concatenate([[(s, neck - 0.02)], thread, end, far, [(-s, neck - 0.02)]])
    grooves = [np.array([(-s, a), (s, b)]) for a, b in zip(y[1::2], y[2::2], strict=False)]
    edges = [np.array([(x, top + chamfer), (x, neck)]) for x in (-w * 0.5, w * 0.5)]
    return Shape(((body, True), (head, True)), (*grooves, *edges), 0.07)


def washer(rng: np.random.Generator) -> Shape:
    """A flat ring, some split."""
    inner = rng.uniform(0.22, 0.36)
    parts = [(circle(0.5), True), (circle(inner), False)]
    if rng.random() < 0.3:
        half = rng.uniform(0.015, 0.035)
        parts.append((_box(inner - 0.02, -half, 0.52, half), False))
    return Shape(tuple(parts), (), 0.04)


def wrench(rng: np.random.Generator) -> Shape:
    """An open-ended wrench with a ring at its other end."""
    jaw, eye = rng.uniform(0.15, 0.19), rng.uniform(0.09, 0.13)
    handle = rng.uniform(0.035, 0.055)
    gap = jaw * rng.uniform(0.45, 0.6)
    tilt = rng.uniform(-0.35, 0.35)
    head_x, eye_x = -0.5 + jaw, 0.5 - eye
    mouth = _turned(_box(-jaw * 1.3, -gap, jaw * 0.15, gap), tilt)
    mouth[:, 0] += head_x
    parts = [
        (_box(head_x, -handle, eye_x, handle), True),
        (circle(jaw, head_x), True),
        (circle(eye, eye_x), True),
        (mouth, False),
        (circle(eye * rng.uniform(0.5, 0.65), eye_x), False),
    ]
    inner = handle * 0.45
    grooves = (_closed(_box(head_x + jaw * 1.2, -inner, eye_x - eye * 1.3, inner)),)
    return Shape(tuple(parts), grooves if rng.random() < 0.6 else (), 0.04)


def mug(rng: np.random.Generator) -> Shape:
    """A mug from the side, its handle to the right and its rim seen from above."""
    height, width = rng.uniform(0.6, 0.78), rng.uniform(0.44, 0.56)
    taper = rng.uniform(0.78, 1.0)
    left, right = -0.42, -0.42 + width
    top, bottom = -height / 2, height / 2
    inset = width * (1 - taper) / 2
    curve = np.linspace(0, np.pi, 24)
    middle, depth = (left + right) / 2, width * rng.uniform(0.1, 0.2)
    base = np.column_stack(
        [middle + (width / 2 - inset) * np.cos(curve), bottom - 0.05 + depth * 0.6 * np.sin(curve)]
    )
    crown = np.column_stack(
        [middle - width / 2 * np.cos(curve), top + 0.06 - depth * np.sin(curve)]
    )
    loop_y, loop_w, loop_h = rng.uniform(-0.05, 0.05), rng.uniform(0.2, 0.27), height * 0.33
    wall = rng.uniform(0.62, 0.74)
    parts = (
        (ellipse(loop_w, loop_h, right, loop_y), True),
        (ellipse(loop_w * wall, loop_h * wall, right, loop_y), False),
        (np.concatenate([base, crown]), True),
    )
    rim = ellipse(width / 2 * 0.9, depth * 0.8, middle, top + 0.06)
    bands = []
    if rng.random() < 0.4:
        for share in (0.3, 0.7):
            side, y = inset * share, top + height * share
            bands.append(np.array([(left + side, y), (right - side, y)]))
    return Shape(parts, (_closed(rim), *bands), 0.14)


CLASSES: dict[str, Draw] = {
    "gear": gear,
    "bolt": bolt,
    "washer": washer,
    "wrench": wrench,
    "mug": mug,
}
NAMES = tuple(CLASSES)


def clutter(rng: np.random.Generator) -> Shape:
    """A body of no class: disc, rod, triangle, pebble, angle, crescent or drilled plate."""
    kind = int(rng.integers(7))
    if kind == 0:
        return Shape(((ellipse(0.5, rng.uniform(0.3, 0.5)), True),), (), rng.uniform(0.03, 0.4))
    if kind == 1:
        half = rng.uniform(0.03, 0.12)
        return Shape(((_box(-0.5, -half, 0.5, half), True),), (), half)
    if kind == 2:
        angles = np.array([0, 2.1, 4.2]) + rng.uniform(-0.4, 0.4, 3)
        return Shape(((_polar(np.full(3, 0.5), angles), True),))
    if kind == 3:
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        waves = sum(
            rng.uniform(-0.09, 0.09) * np.cos(n * angles + rng.uniform(0, 7)) for n in (2, 3, 4)
        )
        return Shape(((_polar(np.clip(0.38 + waves, 0.1, 0.5), angles), True),), (), 0.3)
    if kind == 4:
        t = rng.uniform(0.1, 0.2)
        ring = np.array([(-0.4, -0.4), (-0.4 + t, -0.4), (-0.4 + t, 0.4 - t), (0.4, 0.4 - t)])
        return Shape(((np.concatenate([ring, [(0.4, 0.4), (-0.4, 0.4)]]), True),))
    if kind == 5:
        shift = rng.uniform(0.15, 0.3)
        return Shape(((circle(0.5), True), (circle(0.45, shift), False)))
    half = rng.uniform(0.2, 0.35)
    corners = [(x, y) for x in (-0.32, 0.32) for y in (-half * 0.65, half * 0.65)]
    holes = [(circle(0.05, x, y), False) for x, y in corners]
    return Shape(((_box(-0.42, -half, 0.42, half), True), *holes))


def circle(radius: float, x: float = 0.0, y: float = 0.0) -> Points:
    """(k, 2) points of a circle."""
    return ellipse(radius, radius, x, y)


def ellipse(a: float, b: float, x: float = 0.0, y: float = 0.0) -> Points:
    """(k, 2) points of an ellipse with half axes a and b."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.column_stack([x + a * np.cos(angles), y + b * np.sin(angles)])


def _polar(radii: Points, angles: Points) -> Points:
    return np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _turned(points: Points, angle: float) -> Points:
    c, s = np.cos(angle), np.sin(angle)
    turned: Points = points @ np.array([[c, s], [-s, c]])
    return turned


def _closed(points: Points) -> Points:
    return np.concatenate([points, points[:1]])
