"""Textured grounds for scenes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def ground(size: int, rng: np.random.Generator) -> Plane:
    """(size, size, 3) float32 RGB, about 0 to 255: a pattern between two or three colours."""
    kind = rng.choice(len(_PATTERNS), p=_WEIGHTS)
    pattern = _PATTERNS[kind](size, rng)
    first, second = _color(rng), _color(rng)
    # Neighbouring shades, as most real surfaces have; seldom strong contrast.
    second = first + (second - first) * np.float32(rng.uniform(0.15, 0.8))
    image = first + (second - first) * pattern[..., None]
    grain = fractal(size, rng, 2, 5) - np.float32(0.5)
    return np.asarray(image * (1 + rng.uniform(0.05, 0.5) * grain[..., None]), dtype=np.float32)


def fractal(size: int, rng: np.random.Generator, first: int = 1, last: int = 5) -> Plane:
    """(size, size) float32 in 0..1: smooth noise, summed over octaves `first` to `last`.

    Octave n has 2^n cells along a side; each one weighs 0.6 of the one before.
    """
    total = np.zeros((size, size), dtype=np.float32)
    weight = 1.0
    for octave in range(first, last + 1):
        cells = rng.random((2**octave + 1, 2**octave + 1), dtype=np.float32)
        total += np.float32(weight) * cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC)
        weight *= 0.6
    low, high = float(total.min()), float(total.max())
    return (total - np.float32(low)) / np.float32(max(high - low, 1e-6))


def _clouds(size: int, rng: np.random.Generator) -> Plane:
    return fractal(size, rng, int(rng.integers(1, 4)), int(rng.integers(4, 7)))


def _gradient(size: int, rng: np.random.Generator) -> Plane:
    across = _across(size, rng.uniform(0, 2 * np.pi))
    return np.asarray((across - across.min()) / (across.max() - across.min()), dtype=np.float32)


def _stripes(size: int, rng: np.random.Generator) -> Plane:
    """Cloth, boards or corrugated sheet: waves, bent by noise."""
    period = size * rng.uniform(0.03, 0.25)
    bent = _across(size, rng.uniform(0, np.pi)) + fractal(size, rng, 1, 3) * np.float32(
        period * rng.uniform(0, 1.5)
    )
    wave = np.sin(bent * np.float32(2 * np.pi / period))
    sharp = np.float32(rng.uniform(0.7, 6))
    return np.clip(wave * sharp, -1, 1) * np.float32(0.5) + np.float32(0.5)


def _tiles(size: int, rng: np.random.Generator) -> Plane:
    """Checks or tiles with joints."""
    angle, period = rng.uniform(0, np.pi), np.float32(size * rng.uniform(0.08, 0.3))
    u, v = _across(size, angle) / period, _across(size, angle + np.pi / 2) / period
    if rng.random() < 0.5:
        checks: Plane = ((np.floor(u) + np.floor(v)) % 2).astype(np.float32)
        return checks
    joint = np.float32(rng.uniform(0.03, 0.08))
    edge = np.minimum(u % 1, v % 1)
    return np.asarray(np.minimum(edge / joint, 1), dtype=np.float32)


def _grain(size: int, rng: np.random.Generator) -> Plane:
    """Wood: rings of a bent distance."""
    u, v = _across(size, rng.uniform(0, np.pi)), _across(size, rng.uniform(0, np.pi))
    distance = np.hypot(u * np.float32(0.15), v) / np.float32(size) * np.float32(
        rng.uniform(6, 16)
    ) + fractal(size, rng, 1, 4) * np.float32(rng.uniform(1, 3))
    return np.asarray(distance % 1, dtype=np.float32)


def _spots(size: int, rng: np.random.Generator) -> Plane:
    """Terrazzo or camouflage: noise cut at a level."""
    noise = fractal(size, rng, int(rng.integers(2, 5)), 5)
    level, softness = rng.uniform(0.4, 0.6), rng.uniform(0.02, 0.15)
    pattern: Plane = np.clip((noise - np.float32(level)) / np.float32(softness), -0.5, 0.5)
    return pattern + np.float32(0.5)


_PATTERNS = (_clouds, _gradient, _stripes, _tiles, _grain, _spots)
_WEIGHTS = (0.25, 0.15, 0.15, 0.15, 0.15, 0.15)


def _across(size: int, angle: float) -> Plane:
    """(size, size) distance in pixels from the centre along a direction."""
    line = np.arange(size, dtype=np.float32) - np.float32(size / 2)
    rows, columns = line * np.float32(np.sin(angle)), line * np.float32(np.cos(angle))
    return np.asarray(np.add.outer(rows, columns), dtype=np.float32)


def _color(rng: np.random.Generator) -> Plane:
    """(3,) float32 RGB, mostly dull."""
    hue, saturation = rng.integers(180), int(255 * rng.beta(1.3, 3.5))
    pixel = np.array([[[hue, saturation, rng.integers(70, 240)]]], dtype=np.uint8)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0], dtype=np.float32)
