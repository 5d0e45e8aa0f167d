"""Summaries of measured times, and ratios that a noisy machine cannot fool.

A ratio comes from rounds in which every artifact was timed once, in a random order. Other work on
the machine only ever makes a call longer, and it comes and goes. So:

1. the rounds are cut, in order of time, into `BLOCKS` blocks;
2. in each block an artifact counts with its lower decile, the time of a call that was left alone,
   and the block with the logarithm of (that of the artifact / that of the baseline), so that what
   slowed both of them down for longer cancels;
3. blocks further than `OUTLIER` scaled median absolute deviations from the median are dropped;
4. the ratio is the mean of the others. Its 95% interval is Student's t over the blocks (batch
   means, which stay honest where neighbouring rounds resemble each other), in which a dropped
   block still counts as one that lies at the limit (winsorized).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolov12edge.bench.report import Latency, Ratio

BLOCKS = 10
OUTLIER = 3.0
# Percentile of a block's calls that stands for one that nothing disturbed.
_UNDISTURBED = 10
# A median absolute deviation of a normal distribution is this share of its standard deviation.
_MAD_SHARE = 0.6745
# Student's t, two-sided 95%, for 1 to 9 degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
# Times that agree this well have no spread that could be measured.
_TIE = 1e-9


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
    parts = np.array_split(np.arange(len(times)), min(BLOCKS, len(times)))
    mine, others = (
        np.array([np.percentile(np.asarray(all_times)[part], _UNDISTURBED) for part in parts])
        for all_times in (times, base)
    )
    blocks: NDArray[np.float64] = np.log(mine / others)
    dropped = outliers(blocks)
    kept = blocks[~dropped]
    middle = float(kept.mean())
    limited = np.clip(blocks, kept.min(), kept.max())
    spread = float(limited.std(ddof=1)) * len(blocks) ** 0.5 / len(kept)
    margin = _STUDENT[len(kept) - 2] * spread
    low, ratio, high = np.exp([middle - margin, middle, middle + margin])
    return Ratio(
        name=name,
        baseline=baseline,
        ratio=float(ratio),
        low=float(low),
        high=float(high),
        rounds=len(times),
        dropped=int(dropped.sum()),
    )


def outliers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values lie further than `OUTLIER` scaled median absolute deviations from the median.

    Never leaves fewer than two values.
    """
    distance = np.abs(values - np.median(values))
    scale = max(float(np.median(distance)) / _MAD_SHARE, _TIE)
    found: NDArray[np.bool_] = distance > OUTLIER * scale
    return found if np.count_nonzero(~found) >= 2 else np.zeros_like(found)


def settled(milliseconds: Sequence[float], window: int = 3, tolerance: float = 0.05) -> bool:
    """Whether the last `window` times agree with the `window` before them, by their medians."""
    if len(milliseconds) < 2 * window:
        return False
    before = float(np.median(milliseconds[-2 * window : -window]))
    last = float(np.median(milliseconds[-window:]))
    return abs(last - before) <= tolerance * before
