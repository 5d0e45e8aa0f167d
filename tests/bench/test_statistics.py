from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolov12edge.bench.statistics import paired_ratio, settled, summarize

TIMES = st.lists(st.floats(0.1, 1000), min_size=2, max_size=200)


@given(TIMES)
def test_summary_agrees_with_the_standard_library(times: list[float]) -> None:
    latency = summarize(times)
    quantiles = statistics.quantiles(times, n=100, method="inclusive")
    assert latency.p50 == pytest.approx(statistics.median(times))
    assert latency.p90 == pytest.approx(quantiles[89])
    assert latency.p99 == pytest.approx(quantiles[98])
    assert latency.mean == pytest.approx(statistics.fmean(times))
    assert latency.std == pytest.approx(statistics.stdev(times), abs=1e-6)
    assert (latency.min, latency.n) == (min(times), len(times))


def test_one_time_has_no_spread() -> None:
    assert summarize([3.0]).std == 0


@given(st.floats(0.1, 10), TIMES)
def test_a_constant_factor_is_found_exactly(factor: float, base: list[float]) -> None:
    ratio = paired_ratio("a", "b", [factor * time for time in base], base, seed=0)
    assert ratio.ratio == pytest.approx(factor)
    assert ratio.low == pytest.approx(factor)
    assert ratio.high == pytest.approx(factor)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """95% nominal; a percentile bootstrap of a median of 40 keeps between 90% and 99%."""
    rng = np.random.default_rng(11)
    held = 0
    for trial in range(200):
        load = rng.lognormal(0, 0.5, 40)
        base = 10 * load * rng.lognormal(0, 0.05, 40)
        other = 8 * load * rng.lognormal(0, 0.05, 40)
        ratio = paired_ratio("a", "b", list(other), list(base), seed=trial)
        held += ratio.low <= 0.8 <= ratio.high
    assert 180 <= held <= 198


def test_warm_up_settles_when_times_stop_falling() -> None:
    assert not settled([10.0] * 5)
    assert settled([10.0] * 6)
    assert not settled([100.0, 50.0, 25.0, 12.0, 11.0, 10.0])
    assert settled([100.0, 50.0, 10.2, 10.1, 10.0, 10.0, 9.9, 10.0])
