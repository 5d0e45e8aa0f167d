from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from yolov12edge.bench.report import Ratio
from yolov12edge.bench.statistics import paired_ratio, settled, summarize, undisturbed

Array = NDArray[np.float64]
TIMES = st.lists(st.floats(0.1, 1000), min_size=2, max_size=200)


@settings(deadline=None)
@given(TIMES)
def test_summary_agrees_with_the_standard_library(times: list[float]) -> None:
    latency = summarize(times)
    quantiles = statistics.quantiles(times, n=100, method="inclusive")
    assert latency.p50 == pytest.approx(statistics.median(times))
    assert latency.p90 == pytest.approx(quantiles[89])
    assert latency.p99 == pytest.approx(quantiles[98])
    assert latency.mean == pytest.approx(statistics.fmean(times))
    assert latency.std == pytest.approx(statistics.stdev(times), abs=1e-6)
    assert (latency.min, latency.max, latency.n) == (min(times), max(times), len(times))
    assert latency.p95 == pytest.approx(quantiles[94])


def test_one_time_has_no_spread() -> None:
    assert summarize([3.0]).std == 0


def ratio_of(times: NDArray[np.float64], base: NDArray[np.float64]) -> Ratio:
    ratio = paired_ratio("a", "b", list(times), list(base))
    assert ratio is not None
    return ratio


@settings(deadline=None)
@given(st.floats(0.1, 10), TIMES)
def test_a_constant_factor_is_found_exactly(factor: float, base: list[float]) -> None:
    ratio = ratio_of(factor * np.array(base), np.array(base))
    assert ratio.ratio == pytest.approx(factor)
    assert ratio.low == pytest.approx(factor)
    assert ratio.high == pytest.approx(factor)


@settings(deadline=None)
@given(TIMES, st.integers(0, 2**32 - 1))
def test_swapping_the_artifacts_inverts_the_ratio(times: list[float], seed: int) -> None:
    base = np.array(times) * np.random.default_rng(seed).lognormal(0, 0.1, len(times))
    there, back = ratio_of(np.array(times), base), ratio_of(base, np.array(times))
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))


def busy_pair(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Times on a busy machine, true ratio 0.8: a wandering load, half the calls held up by it."""
    load = np.exp(np.cumsum(rng.normal(0, 0.01, count)))

    def held_up() -> Array:
        return 1 + (rng.random(count) < 0.5) * rng.exponential(0.6, count)

    times, base = (
        scale * load * rng.lognormal(0, 0.02, count) * held_up() for scale in (8.0, 10.0)
    )
    return times, base


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    for count in (40, 200):
        trials = [ratio_of(*busy_pair(rng, count)) for _ in range(300)]
        held = sum(ratio.low <= 0.8 <= ratio.high for ratio in trials)
        assert 0.9 * len(trials) <= held <= 0.99 * len(trials)


def test_repeats_agree_where_plain_medians_do_not() -> None:
    rng = np.random.default_rng(5)
    pairs = [busy_pair(rng, 100) for _ in range(100)]
    robust = [ratio_of(*pair).ratio for pair in pairs]
    plain = [np.median(times) / np.median(base) for times, base in pairs]
    assert max(abs(np.array(robust) / 0.8 - 1)) < 0.05
    assert np.std(robust) < np.std(plain) / 3


def test_neighbours_that_slow_the_machine_for_seconds_change_nothing() -> None:
    """Two speeds, as seen on a shared machine: most calls take half as long again."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        slow = np.repeat(rng.random(14) < 0.6, 5)
        pair = [
            scale * rng.lognormal(0, 0.01, 70) * np.where(slow, rng.uniform(1.3, 1.7), 1)
            for scale in (8.0, 10.0)
        ]
        found.append(ratio_of(*pair).ratio)
    assert max(abs(np.array(found) / 0.8 - 1)) < 0.05


def test_an_artifact_counts_with_the_fastest_tenth_of_its_calls() -> None:
    assert undisturbed([5.0, 3.0, 4.0]) == 3.0
    assert undisturbed([*range(10, 30)]) == 10.5
    assert undisturbed([*range(10, 31)]) == 11.0


def test_one_round_makes_no_ratio() -> None:
    assert paired_ratio("a", "b", [1.0], [2.0]) is None


def test_warm_up_settles_when_times_stop_falling() -> None:
    assert not settled([10.0] * 5)
    assert settled([10.0] * 6)
    assert not settled([100.0, 50.0, 25.0, 12.0, 11.0, 10.0])
    assert settled([100.0, 50.0, 10.2, 10.1, 10.0, 10.0, 9.9, 10.0])
