"""From statistics to the range that 256 steps are spent on, by one of four methods.

All methods work on the histogram alone, so one calibration pass serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from yolov12edge.quantize.observers import BINS, TensorStatistics

Method = Literal["max", "percentile", "entropy", "mse"]
"""How a range is chosen; what lies outside is clipped.

max: nothing is clipped.
percentile: a hundred-thousandth of the values is clipped at each end.
entropy: the threshold whose quantized histogram diverges least (Kullback-Leibler) from the
    original, the method of NVIDIA's entropy calibrator (GTC 2017, "8-bit inference with TensorRT").
mse: the range with the least error of rounding and clipping together, to the power of 2.4: a
    little more than squared, so that rare large values, which are objects here, weigh more
    (the exponent is that of "Up or down?", arXiv 2004.10568; docs/quantization.md compares).
"""

METHODS: tuple[Method, ...] = get_args(Method)

PERCENTILE = 99.999
LEVELS = 256
ERROR_POWER = 2.4
# Candidate thresholds of the error search, as a share of the largest value.
_SHARES = np.geomspace(0.02, 1.0, 96)
_KL_BINS = 2048
_KL_START = 128
_KL_STEP = 16


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high` get their own steps; the rest is clipped."""

    low: float
    high: float


@dataclass(frozen=True)
class Histogram:
    """Values of one tensor, or of several that share a scale.

    Attributes:
        low, high: exact extremes.
        limit: the bins span [-limit, limit).
        counts: (BINS,) float64, weighted by the number of elements.
    """

    low: float
    high: float
    limit: float
    counts: NDArray[np.float64]

    @property
    def centres(self) -> NDArray[np.float64]:
        """(BINS,) middle of every bin."""
        middles = np.arange(BINS, dtype=np.float64) + 0.5
        centres: NDArray[np.float64] = middles * (2 * self.limit / BINS) - self.limit
        return centres


def join(parts: Sequence[TensorStatistics]) -> Histogram:
    """One histogram over all tensors, each weighted by its number of elements."""
    limit = max(part.limit for part in parts)
    counts = np.zeros(BINS)
    for part in parts:
        counts += part.widened(limit) * (part.elements / max(1, part.counts.sum()))
    return Histogram(
        low=min(part.low for part in parts),
        high=max(part.high for part in parts),
        limit=limit,
        counts=counts,
    )


def choose_range(values: Histogram, method: Method, symmetric: bool) -> Range:
    """Range of a tensor.

    Args:
        values: its histogram.
        method: see `Method`.
        symmetric: whether the range has to be centred on zero.

    Returns:
        a range that holds zero; it is empty only where every value was zero.
    """
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    if method == "max" or low == high:
        found = Range(low, high)
    elif method == "percentile":
        found = _percentile(values, low, high)
    elif method == "entropy":
        threshold = _entropy_threshold(values)
        found = Range(max(low, -threshold), min(high, threshold))
    else:
        return _least_error(values, low, high, symmetric)
    if symmetric:
        reach = max(-found.low, found.high)
        return Range(-reach, reach)
    return found


def _percentile(values: Histogram, low: float, high: float) -> Range:
    share = np.cumsum(values.counts) / values.counts.sum()
    edges = values.centres + values.limit / BINS
    tail = 1 - PERCENTILE / 100
    above = float(edges[np.searchsorted(share, 1 - tail)])
    below = float(edges[np.searchsorted(share, tail)] - 2 * values.limit / BINS)
    return Range(min(0.0, max(low, below)), max(0.0, min(high, above)))


def _least_error(values: Histogram, low: float, high: float, symmetric: bool) -> Range:
    if symmetric:
        reach = max(-low, high)
        candidates = reach * _SHARES
        best = float(candidates[np.argmin(_errors(values, -candidates, candidates, symmetric))])
        return Range(-best, best)
    # One end at a time; the second round sees where the first one ended.
    for _ in range(2):
        if high > 0:
            highs = max(values.high, 0.0) * _SHARES
            lows = np.full_like(highs, low)
            high = float(highs[np.argmin(_errors(values, lows, highs, symmetric))])
        if low < 0:
            lows = min(values.low, 0.0) * _SHARES
            highs = np.full_like(lows, high)
            low = float(lows[np.argmin(_errors(values, lows, highs, symmetric))])
    return Range(low, high)


def _errors(
    values: Histogram, lows: NDArray[np.float64], highs: NDArray[np.float64], symmetric: bool
) -> NDArray[np.float64]:
    """Weighted error of every candidate range."""
    used = values.counts > 0
    x, weight = values.centres[used], values.counts[used]
    steps = (LEVELS - 2) if symmetric else (LEVELS - 1)
    errors = np.empty(len(lows))
    for index, (low, high) in enumerate(zip(lows, highs, strict=True)):
        scale = max((high - low) / steps, 1e-30)
        zero = np.round(-low / scale)
        restored = (np.clip(np.round(x / scale) + zero, 0, steps) - zero) * scale
        errors[index] = float(np.dot(np.abs(restored - x) ** ERROR_POWER, weight))
    return errors


def _entropy_threshold(values: Histogram) -> float:
    """Threshold on the magnitude; candidates are ends of 2048 bins up to the largest value."""
    reach = max(-values.low, values.high)
    used = values.counts > 0
    magnitude, weight = np.abs(values.centres[used]), values.counts[used]
    index = np.minimum(magnitude * (_KL_BINS / reach), _KL_BINS - 1).astype(int)
    counts = np.bincount(index, weights=weight, minlength=_KL_BINS).astype(np.float64)
    # Exact zeros say nothing about where to clip, and there are many behind SiLU's flat part.
    counts[0] = counts[1]
    stops = np.arange(_KL_START, _KL_BINS + 1, _KL_STEP)
    divergences = [_divergence(counts, int(stop)) for stop in stops]
    return float(reach * stops[int(np.argmin(divergences))] / _KL_BINS)


def _divergence(counts: NDArray[np.float64], stop: int) -> float:
    """KL divergence of the first `stop` bins, the rest folded in, from their 128-level form."""
    reference = counts[:stop].copy()
    present = reference > 0
    group = (np.arange(stop) * _KL_START) // stop
    sums = np.bincount(group, weights=counts[:stop], minlength=_KL_START)
    members = np.bincount(group, weights=present, minlength=_KL_START)
    spread = np.where(present, (sums / np.maximum(members, 1))[group], 0.0)
    reference[-1] += counts[stop:].sum()
    if spread.sum() == 0:
        return float("inf")
    p, q = reference / reference.sum(), spread / spread.sum()
    both = (p > 0) & (q > 0)
    lost = p[(p > 0) & (q == 0)].sum()
    return float((p[both] * np.log(p[both] / q[both])).sum() + lost * 20)
