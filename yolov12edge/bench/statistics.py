"""Summaries of measured times, and ratios that a noisy machine cannot fool.

A ratio comes from rounds in which every artifact was timed once, in a random order. Other work on
the machine, also that of other tenants of its processor, only ever makes a call longer, often by
half and for seconds at a time. So:

1. an artifact counts with the mean of the fastest of its calls, one in `FASTEST`, which were left
   alone, and the ratio is that of an artifact over that of the baseline;
2. its 95% interval is the jackknife's: the rounds are cut, in order of time, into `BLOCKS` blocks,
   the ratio is made again without each of them, and Student's t over these holds the interval
   honest where neighbouring rounds resemble each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolov12edge.bench.report import Latency, Ratio

FASTEST = 10
# A ratio whose 95% interval is no wider than this is certain.
CERTAIN = 0.05
BLOCKS = 10
LEAST_QUIET = 5
# Student's t, two-sided 95%, for 1 to 9 degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def summarize(milliseconds: Sequence[float]) -> Latency:
    """Percentiles (linear between ranks, as NumPy's default) and moments of a sample."""
    times = np.asarray(milliseconds, np.float64)
    p50, p90, p95, p99 = np.percentile(times, (50, 90, 95, 99))
    return Latency(
        min=float(times.min()),
        mean=float(times.mean()),
        p50=float(p50),
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        max=float(times.max()),
        std=float(times.std(ddof=1)) if len(times) > 1 else 0.0,
        n=len(times),
    )


def paired_ratio(
    name: str, baseline: str, times: Sequence[float], base: Sequence[float]
) -> Ratio | None:
    """How much longer an artifact takes than the baseline; None from fewer than two rounds.

    Args:
        name: of the artifact.
        baseline: of what it is compared with.
        times: one latency a round of the artifact.
        base: the baseline's, in the same rounds.
    """
    if len(times) < 2:
        return None
    mine, others = np.asarray(times, np.float64), np.asarray(base, np.float64)
    blocks = np.array_split(np.arange(len(mine)), min(BLOCKS, len(mine)))
    middle = _log_ratio(mine, others)
    without = np.array(
        [_log_ratio(np.delete(mine, block), np.delete(others, block)) for block in blocks]
    )
    count = len(blocks)
    spread = ((count - 1) / count * ((without - without.mean()) ** 2).sum()) ** 0.5
    margin = _STUDENT[count - 2] * float(spread)
    low, ratio, high = np.exp([middle - margin, middle, middle + margin])
    return Ratio(
        name=name,
        baseline=baseline,
        ratio=float(ratio),
        low=float(low),
        high=float(high),
        rounds=len(times),
    )


def certain(ratio: Ratio) -> bool:
    """Whether the interval is narrow."""
    return ratio.high / ratio.low - 1 <= CERTAIN


def enough_quiet(calls: int, quiet: int) -> bool:
    """Whether so many of an artifact's calls were left alone that all the fastest can be."""
    return quiet >= min(calls, max(LEAST_QUIET, -(-calls // FASTEST)))


def undisturbed(milliseconds: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of the fastest tenth of the times, at least one."""
    count = -(-len(milliseconds) // FASTEST)
    return float(np.sort(np.asarray(milliseconds, np.float64))[:count].mean())


def _log_ratio(times: NDArray[np.float64], base: NDArray[np.float64]) -> float:
    return float(np.log(undisturbed(times) / undisturbed(base)))


def settled(milliseconds: Sequence[float], window: int = 3, tolerance: float = 0.05) -> bool:
    """Whether the last `window` times agree with the `window` before them, by their medians."""
    if len(milliseconds) < 2 * window:
        return False
    before = float(np.median(milliseconds[-2 * window : -window]))
    last = float(np.median(milliseconds[-window:]))
    return abs(last - before) <= tolerance * before
