"""Summaries of measured times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolov12edge.bench.report import Latency, Ratio

RESAMPLES = 2000


def summarize(milliseconds: Sequence[float]) -> Latency:
    """Percentiles (linear between ranks, as NumPy's default) and moments of a sample."""
    times = np.asarray(milliseconds, np.float64)
    p50, p90, p99 = np.percentile(times, (50, 90, 99))
    return Latency(
        min=float(times.min()),
        mean=float(times.mean()),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        std=float(times.std(ddof=1)) if len(times) > 1 else 0.0,
        n=len(times),
    )


def paired_ratio(
    name: str, baseline: str, rounds: Sequence[float], base: Sequence[float], seed: int
) -> Ratio:
    """Median of the per-round ratios and its bootstrap 95% interval (percentile method).

    Pairing cancels what slows both artifacts down in the same round: clocks, other processes.

    Args:
        name: of the artifact.
        baseline: of what it is compared with.
        rounds: one latency a round of the artifact.
        base: the baseline's, in the same rounds.
        seed: of the resampling.
    """
    logs: NDArray[np.float64] = np.log(np.asarray(rounds) / np.asarray(base))
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(logs), (RESAMPLES, len(logs)))
    low, high = np.exp(np.percentile(np.median(logs[picks], axis=1), (2.5, 97.5)))
    ratio = float(np.exp(np.median(logs)))
    return Ratio(name=name, baseline=baseline, ratio=ratio, low=float(low), high=float(high))


def settled(milliseconds: Sequence[float], window: int = 3, tolerance: float = 0.05) -> bool:
    """Whether the last `window` times agree with the `window` before them, by their medians."""
    if len(milliseconds) < 2 * window:
        return False
    before = float(np.median(milliseconds[-2 * window : -window]))
    last = float(np.median(milliseconds[-window:]))
    return abs(last - before) <= tolerance * before
