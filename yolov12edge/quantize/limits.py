"""Weights that no processor overflows: see graph/saturation.py for what can."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from yolov12edge.graph.saturation import PAIR_MAX

Limit = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From (O, I, ...) whole numbers in -127..127 to ones near them that keep within 16 bits."""


def limit_pairs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest weights of which no two neighbours can saturate.

    Args:
        values: (O, I, ...) whole numbers in -127..127.
    """
    if values.shape[1] % 2:
        # Who is whose neighbour depends on the runtime.
        return limit_bits(values)
    pairs = np.moveaxis(values.reshape(len(values), -1, 2, *values.shape[2:]), 2, 0).copy()
    # Only two of one sign can add up to more.
    far = np.nonzero(np.abs(pairs[0] + pairs[1]) > PAIR_MAX)
    first, second = pairs[0][far], pairs[1][far]
    excess = np.abs(first + second) - PAIR_MAX
    # Each gives half of it, which is the nearest; an odd rest is the larger's.
    rest = np.where(np.abs(first) >= np.abs(second), np.ceil(excess / 2), np.floor(excess / 2))
    pairs[0][far] = first - np.sign(first) * rest
    pairs[1][far] = second - np.sign(second) * (excess - rest)
    return np.moveaxis(pairs, 0, 2).reshape(values.shape)


def limit_bits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seven bits throughout: no two weights of a channel can saturate, neighbours or not."""
    return np.clip(values, -(PAIR_MAX // 2), PAIR_MAX // 2)
