"""Weights as INT8, one scale an output channel, and the bias that makes up for their rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov12edge.quantize.limits import Limit

Array = NDArray[np.float32]

WEIGHT_MAX = 127
# FP16's smallest normal number: below it a scale loses bits, in FP16 and in what is built from it.
SMALLEST_SCALE = float(np.finfo(np.float16).tiny)
# Candidate scales, as a share of the one that just reaches the largest weight.
_SHARES = np.linspace(0.5, 1.0, 51)
# Steps wider than that needs pay where weights must stay small: 2 is seven bits.
_LIMITED_SHARES = np.geomspace(0.6, 2.0, 61)


@dataclass(frozen=True)
class QuantizedWeight:
    """INT8 weights.

    Attributes:
        values: (O, I, kh, kw) int8 in -127..127.
        scales: (O,) float32; weight = values * scale.
    """

    values: NDArray[np.int8]
    scales: Array

    @property
    def restored(self) -> NDArray[np.float64]:
        """(O, I, kh, kw) what the INT8 weights stand for."""
        return self.values * _each(self.scales.astype(np.float64))


def quantize_weight(
    weight: Array, half_scales: bool, limit: Limit | None = None
) -> QuantizedWeight:
    """Round weights to INT8, each output channel with the scale of least squared error.

    Args:
        weight: (O, I, kh, kw).
        half_scales: round scales to FP16 first, for graphs that store them so.
        limit: makes whole numbers ones that no processor overflows (quantize/limits.py).
    """
    exact = weight.astype(np.float64)
    reach = np.abs(exact).max(axis=(1, 2, 3))
    best_error = np.full(len(exact), np.inf)
    best_scale = np.ones(len(exact))
    best = np.zeros(weight.shape, np.int8)
    for share in _LIMITED_SHARES if limit else _SHARES:
        scale = _storable(reach * share / WEIGHT_MAX, half_scales)
        rounded = _round(exact, scale)
        if limit is not None:
            rounded = limit(rounded)
        error = ((rounded * _each(scale) - exact) ** 2).sum(axis=(1, 2, 3))
        better = error < best_error
        best_error[better], best_scale[better] = error[better], scale[better]
        best[better] = rounded[better]
    return QuantizedWeight(best, best_scale.astype(np.float32))


def corrected_bias(
    bias: Array,
    weight: Array,
    quantized: QuantizedWeight,
    means: NDArray[np.float64],
    group: int,
    shifts: NDArray[np.float64] | None = None,
) -> Array:
    """Bias that keeps every output channel's mean.

    Rounding changes the weights by dW and the inputs by dx, and so the mean output by
    (W + dW) x E[x + dx] - W x E[x]; the bias takes it back (bias correction: Nagel et al.,
    "Data-free quantization", arXiv 1906.04721, section 4.2).

    Args:
        bias: (O,).
        weight: (O, I / group, kh, kw).
        means: (I,) mean of every input channel over the calibration images.
        group: of the convolution.
        shifts: (I,) mean of dx for every input channel; zero if None.
    """
    outputs = len(weight) // group

    def product(weights: NDArray[np.float64], channels: NDArray[np.float64]) -> NDArray[np.float64]:
        inputs = channels.reshape(group, -1).repeat(outputs, axis=0)
        found: NDArray[np.float64] = (weights.sum(axis=(2, 3)) * inputs).sum(axis=1)
        return found

    change = product(quantized.restored - weight, means)
    if shifts is not None:
        change += product(quantized.restored, shifts)
    corrected: Array = (bias - change).astype(np.float32)
    return corrected


def _storable(scale: NDArray[np.float64], half: bool) -> NDArray[np.float64]:
    stored = np.maximum(scale, SMALLEST_SCALE)
    rounded: NDArray[np.float64] = stored.astype(np.float16 if half else np.float32).astype(
        np.float64
    )
    return rounded


def _round(exact: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.clip(np.round(exact / _each(scale)), -WEIGHT_MAX, WEIGHT_MAX)
    return rounded


def _each(scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """(O, 1, 1, 1): a number for every output channel."""
    return scales.reshape(-1, 1, 1, 1)
