"""Bodies in a scene: where they lie, what they cover, and how they look in its light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.synthetic.shapes import Points, Shape

# Outlines are drawn to 1/16 pixel.
_SHIFT = 4
_MARGIN = 3

Plane = NDArray[np.float32]
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Light:
    """The light of a scene.

    Attributes:
        direction: (3,) float32 unit vector to the light; x right, y down, z to the viewer.
        ambient: share of the light that comes from everywhere.
        shadow: darkness of cast shadows, 0 to 1.
    """

    direction: Plane
    ambient: float
    shadow: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Light:
        """From above at any side."""
        turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
        vector = np.array([np.cos(turn), np.sin(turn), height])
        return cls(
            (vector / np.linalg.norm(vector)).astype(np.float32),
            rng.uniform(0.25, 0.5),
            rng.uniform(0.2, 0.6),
        )


@dataclass(frozen=True)
class Material:
    """How a surface answers light.

    Attributes:
        color: (3,) float32 RGB, 0 to 255.
        gloss: strength of highlights.
        sharpness: exponent of highlights.
        grain: strength of its texture.
    """

    color: Plane
    gloss: float
    sharpness: float
    grain: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Material:
        """Steel, brass or copper, paint or plastic, or dark rubber."""
        kind = rng.random()
        if kind < 0.35:
            hsv = (rng.integers(90, 125), rng.integers(0, 40), rng.integers(110, 225))
            gloss, sharpness = rng.uniform(0.4, 0.9), rng.uniform(8, 30)
        elif kind < 0.5:
            hsv = (rng.integers(8, 26), rng.integers(90, 180), rng.integers(130, 225))
            gloss, sharpness = rng.uniform(0.3, 0.8), rng.uniform(8, 25)
        elif kind < 0.88:
            hsv = (rng.integers(180), rng.integers(60, 230), rng.integers(80, 240))
            gloss, sharpness = rng.uniform(0.1, 0.5), rng.uniform(15, 50)
        else:
            hsv = (rng.integers(180), rng.integers(0, 60), rng.integers(30, 75))
            gloss, sharpness = rng.uniform(0.05, 0.25), rng.uniform(4, 12)
        color = cv2.cvtColor(np.array([[hsv]], dtype=np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        return cls(color.astype(np.float32), gloss, sharpness, rng.uniform(0.03, 0.25))


@dataclass(frozen=True)
class Body:
    """A shape laid into a scene.

    Attributes:
        kind: class index; -1 for clutter.
        left, top: of `cover` in the scene; may be negative.
        cover: (h, w) uint8, how much of each pixel it covers.
        grooves: (h, w) uint8, lines in its surface.
        bevel: width of its rounded edge in pixels.
    """

    kind: int
    left: int
    top: int
    cover: Mask
    grooves: Mask
    bevel: float

    def window(self, size: int) -> tuple[slice, slice, slice, slice] | None:
        """Rows and columns of the scene, and the same ones of `cover`; None if outside."""
        height, width = self.cover.shape
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.top + height, size), min(self.left + width, size)
        if top >= bottom or left >= right:
            return None
        return (
            slice(top, bottom),
            slice(left, right),
            slice(top - self.top, bottom - self.top),
            slice(left - self.left, right - self.left),
        )


def lay(shape: Shape, kind: int, diameter: float, center: Points, rng: np.random.Generator) -> Body:
    """Lay a shape into a scene: turned at random, slightly foreshortened.

    Args:
        shape: outline of diameter 1.
        kind: class index; -1 for clutter.
        diameter: in pixels.
        center: (2,) x, y in pixels.
        rng: decides.
    """
    turn, axis = rng.uniform(0, 2 * np.pi, 2)
    squeeze = _rotation(axis) @ np.diag([1, rng.uniform(0.75, 1)]) @ _rotation(-axis)
    matrix = diameter * squeeze @ _rotation(turn)
    rings = [(ring @ matrix.T + center, solid) for ring, solid in shape.parts]
    solid_points = np.concatenate([ring for ring, solid in rings if solid])
    low = np.floor(solid_points.min(axis=0)).astype(int) - _MARGIN
    high = np.ceil(solid_points.max(axis=0)).astype(int) + _MARGIN
    cover = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
    for ring, solid in rings:
        cv2.fillPoly(cover, [_fixed(ring - low)], 255 * solid, cv2.LINE_AA, _SHIFT)
    grooves = np.zeros_like(cover)
    width = max(1, round(diameter / 60))
    lines = [_fixed(line @ matrix.T + center - low) for line in shape.grooves]
    if lines:
        cv2.polylines(grooves, lines, False, 255, width, cv2.LINE_AA, _SHIFT)
    return Body(kind, int(low[0]), int(low[1]), cover, grooves, shape.bevel * diameter)


def paint(canvas: Plane, body: Body, light: Light, material: Material, texture: Plane) -> None:
    """Draw a body and its shadow onto a (size, size, 3) float32 canvas.

    The surface rises over the bevel like a quarter circle; it is lit after Blinn and Phong.
    `texture` is a (size, size) field of values around 0.
    """
    _cast_shadow(canvas, body, light)
    window = body.window(len(canvas))
    if window is None:
        return
    rows, columns, own_rows, own_columns = window
    solid = (body.cover > 127).astype(np.uint8)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    slope = np.clip(depth / max(body.bevel, 1.0), 0, 1)
    height = np.sqrt(slope * (2 - slope)) * np.float32(max(body.bevel, 1.0) * 0.7)
    height -= body.grooves * np.float32(0.004 * max(body.bevel, 2.0))
    height = cv2.GaussianBlur(height, (3, 3), 0)
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)[own_rows, own_columns]
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)[own_rows, own_columns]
    norm = np.sqrt(dx * dx + dy * dy + np.float32(1))
    x, y, z = light.direction
    diffuse = np.maximum((z - dx * x - dy * y) / norm, 0)
    half = light.direction + np.array([0, 0, 1], dtype=np.float32)
    half /= np.linalg.norm(half)
    highlight = np.maximum((half[2] - dx * half[0] - dy * half[1]) / norm, 0)
    highlight = highlight ** np.float32(material.sharpness) * np.float32(255 * material.gloss)
    grain = 1 + np.float32(2 * material.grain) * texture[rows, columns]
    shade = (np.float32(light.ambient) + np.float32(1.2 - light.ambient) * diffuse) * grain
    shade *= 1 - body.grooves[own_rows, own_columns] * np.float32(0.4 / 255)
    color = shade[..., None] * material.color + (highlight * np.float32(0.6))[..., None]
    share = (body.cover[own_rows, own_columns] * np.float32(1 / 255))[..., None]
    region = canvas[rows, columns]
    region += share * (color - region)


def _cast_shadow(canvas: Plane, body: Body, light: Light) -> None:
    reach = 1.5 + 0.35 * body.bevel
    blur = 0.4 * reach + 0.8
    pad = int(3 * blur)
    spread = cv2.copyMakeBorder(body.cover, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    spread = cv2.GaussianBlur(spread, (0, 0), blur)
    left = body.left - pad - round(reach * float(light.direction[0] / light.direction[2]))
    top = body.top - pad - round(reach * float(light.direction[1] / light.direction[2]))
    window = Body(-1, left, top, spread, spread, 0).window(len(canvas))
    if window is not None:
        rows, columns, own_rows, own_columns = window
        dark = spread[own_rows, own_columns] * np.float32(light.shadow / 255)
        canvas[rows, columns] *= 1 - dark[..., None]


def _rotation(angle: float) -> Points:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _fixed(points: Points) -> NDArray[np.int32]:
    """OpenCV's fixed-point coordinates, in which pixel centres are whole numbers."""
    return np.round((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
