"""Ranges from histograms, against NumPy on the raw values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yolov12edge.quantize import METHODS, Method
from yolov12edge.quantize.observers import TensorStatistics, empty_statistics
from yolov12edge.quantize.qdq import find_step
from yolov12edge.quantize.ranges import Range, choose_range, join


def seen(values: np.ndarray) -> TensorStatistics:
    statistics = empty_statistics()
    for part in values.astype(np.float32).reshape(-1, 4000):
        statistics.add(part[None])
    return statistics


def silu(values: np.ndarray) -> np.ndarray:
    return values / (1 + np.exp(-values))


NORMAL = np.random.default_rng(0).normal(0, 1, 80_000)
HEAVY = np.random.default_rng(1).standard_t(3, 80_000)
ACTIVATION = silu(np.random.default_rng(2).normal(-1, 2, 80_000))


def rounding_error(values: np.ndarray, found: Range, symmetric: bool) -> float:
    step = find_step(found, symmetric, half=False)
    low, high = (-127, 127) if symmetric else (0, 255)
    zero = float(step.zero)
    restored = (np.clip(np.round(values / step.scale) + zero, low, high) - zero) * step.scale
    return float((np.abs(restored - values) ** 2.4).mean())


@pytest.mark.parametrize(
    ("found", "scale", "zero"),
    [(Range(-1, 3), 4 / 255, 64), (Range(0, 2), 2 / 255, 0), (Range(-2, 0), 2 / 255, 255)],
)
def test_steps_divide_the_range_and_one_of_them_is_zero(
    found: Range, scale: float, zero: int
) -> None:
    uneven = find_step(found, symmetric=False, half=False)
    assert (uneven.scale, int(uneven.zero)) == (pytest.approx(scale, rel=1e-6), zero)
    assert isinstance(uneven.zero, np.uint8)
    even = find_step(found, symmetric=True, half=False)
    assert even.scale == pytest.approx(max(-found.low, found.high) / 127, rel=1e-6)
    assert (even.zero, type(even.zero)) == (0, np.int8)


def test_max_takes_everything() -> None:
    found = choose_range(join([seen(ACTIVATION)]), "max", symmetric=False)
    assert found.low == pytest.approx(ACTIVATION.min(), rel=1e-6)
    assert found.high == pytest.approx(ACTIVATION.max(), rel=1e-6)
    both = choose_range(join([seen(ACTIVATION)]), "max", symmetric=True)
    assert (both.low, both.high) == (-found.high, found.high)


@pytest.mark.parametrize("values", [NORMAL, HEAVY, ACTIVATION])
def test_percentile_is_numpy_s(values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolov12edge.quantize.ranges.PERCENTILE", 99.9)
    found = choose_range(join([seen(values)]), "percentile", symmetric=False)
    width = 2 * seen(values).limit / 8192
    assert found.high == pytest.approx(np.percentile(values, 99.9), abs=2.5 * width + 0.02)
    assert found.low == pytest.approx(np.percentile(values, 0.1), abs=2.5 * width + 0.02)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("values", [NORMAL, HEAVY, ACTIVATION, NORMAL * 0.01, -ACTIVATION])
def test_mse_is_near_the_best_of_all_ranges(values: np.ndarray, symmetric: bool) -> None:
    found = choose_range(join([seen(values)]), "mse", symmetric)
    shares = np.linspace(0.02, 1, 80)
    reach = np.abs(values).max()
    tried = [
        rounding_error(
            values,
            Range(-reach * s if symmetric else max(values.min(), -reach * s), reach * s),
            symmetric,
        )
        for s in shares
    ]
    assert rounding_error(values, found, symmetric) <= 1.05 * min(tried)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_scaled_tensor_has_the_scaled_range(method: Method, symmetric: bool) -> None:
    one = choose_range(join([seen(HEAVY)]), method, symmetric)
    small = choose_range(join([seen(HEAVY / 1024)]), method, symmetric)
    assert (small.low, small.high) == pytest.approx((one.low / 1024, one.high / 1024), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_mirrored_tensor_has_the_mirrored_range(method: Method) -> None:
    """One-sided, so that both searches have one end to find."""
    above = choose_range(join([seen(np.abs(HEAVY))]), method, symmetric=False)
    below = choose_range(join([seen(-np.abs(HEAVY))]), method, symmetric=False)
    assert above.low == below.high == 0
    assert -below.low == pytest.approx(above.high, rel=0.02)


def test_percentile_and_entropy_clip_a_lone_outlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolov12edge.quantize.ranges.PERCENTILE", 99.99)
    values = np.concatenate([NORMAL, np.full(4000, 0.0)])
    values[0] = 40.0
    statistics = join([seen(values)])
    assert choose_range(statistics, "max", symmetric=True).high == pytest.approx(40)
    assert choose_range(statistics, "percentile", symmetric=True).high < 10
    assert choose_range(statistics, "entropy", symmetric=True).high < 10


def divergence(counts: list[float], stop: int) -> float:
    """Kullback-Leibler divergence of `stop` bins from 128 levels, one bin at a time."""
    reference = [*counts[: stop - 1], sum(counts[stop - 1 :])]
    levels: list[list[int]] = [[] for _ in range(128)]
    for index in range(stop):
        levels[index * 128 // stop].append(index)
    spread = [0.0] * stop
    for level in levels:
        filled = [index for index in level if counts[index] > 0]
        for index in filled:
            spread[index] = sum(counts[one] for one in level) / len(filled)
    p, q = ([value / sum(values) for value in values] for values in (reference, spread))
    return sum(
        20 * one if other == 0 else one * math.log(one / other)
        for one, other in zip(p, q, strict=True)
        if one > 0
    )


@pytest.mark.parametrize("values", [NORMAL, HEAVY, ACTIVATION], ids=["normal", "heavy", "silu"])
def test_entropy_is_the_least_divergence(values: np.ndarray) -> None:
    """Of 2048 bins of magnitudes, the first of which counts as its neighbour does."""
    statistics = join([seen(values)])
    reach = float(np.abs(values.astype(np.float32)).max())
    magnitudes = np.minimum(np.abs(statistics.centres), reach)
    found, _ = np.histogram(magnitudes, 2048, (0, reach), weights=statistics.counts)
    counts = [float(found[1]), *found[1:].tolist()]
    candidates = range(128, 2049, 16)
    best = min(candidates, key=lambda stop: divergence(counts, stop))
    threshold = choose_range(statistics, "entropy", symmetric=True).high
    assert threshold == pytest.approx(reach * best / 2048)


def test_joined_tensors_share_their_range() -> None:
    small, large = seen(NORMAL * 0.01), seen(NORMAL * 10)
    found = choose_range(join([small, large]), "max", symmetric=True)
    assert found.high == pytest.approx(np.abs(NORMAL).max() * 10, rel=1e-5)


@given(
    low=st.floats(-100, 0),
    high=st.floats(0, 100),
    method=st.sampled_from(METHODS),
    symmetric=st.booleans(),
    seed=st.integers(0, 5),
)
# Values far below the narrowest histogram.
@example(low=-1.2e-38, high=0.0, method="entropy", symmetric=False, seed=0)
@settings(max_examples=40, deadline=None)
def test_a_range_holds_zero_and_no_more_than_was_seen(
    low: float, high: float, method: Method, symmetric: bool, seed: int
) -> None:
    values = np.random.default_rng(seed).uniform(low, high, 4000).astype(np.float32)
    found = choose_range(join([seen(values)]), method, symmetric)
    reach = float(np.abs(values).max())
    assert found.low <= 0 <= found.high
    assert max(-found.low, found.high) <= reach * 1.001 + 1e-6
    step = find_step(found, symmetric, half=True)
    assert np.isfinite(step.scale)
    assert step.scale >= 6e-5
    assert step.scale == float(np.float16(step.scale))
    assert not symmetric or step.zero == 0
