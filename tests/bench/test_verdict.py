from __future__ import annotations

import re
import zlib

import numpy as np
import pytest

from yolov12edge.bench import verdict as module
from yolov12edge.bench.environment import Cpu
from yolov12edge.bench.report import Memory, Precision, Ratio, Stages, Timing
from yolov12edge.bench.statistics import summarize
from yolov12edge.bench.verdict import doubts, int8_text, int8_verdicts, verdict


def timing(
    name: str, milliseconds: float, precision: Precision | None, runtime: str = "tensorrt"
) -> tuple[Timing, list[float]]:
    """One name always has the same noise, whatever other tests draw."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    times = list(milliseconds * random.lognormal(0, 0.01, 60))
    return (
        Timing(
            name=name,
            sha256=None,
            precision=precision,
            runtime=runtime,
            version="10",
            device="GPU",
            input_shape=(1, 3, 640, 640),
            warmup=3,
            transfers=None,
            cuda_graph=None,
            wait=None,
            latency_ms=summarize(times),
            throughput=1e3 / milliseconds,
            window=None,
            stages_ms=Stages(decode=None, letterbox=1, copies=1, infer=milliseconds, nms=1),
            memory=Memory(file=None, loaded=None),
        ),
        times,
    )


def judged(*entries: tuple[Timing, list[float]]) -> tuple[list[Timing], dict[str, list[float]]]:
    return [entry[0] for entry in entries], {entry[0].name: entry[1] for entry in entries}


def assert_interval_around(text: str, factor: float) -> None:
    """The factor is the one of the medians, and its interval holds it in the middle (of logs)."""
    said, low, high = map(float, re.findall(r"(\d+\.\d\d)\b(?!%)", text))
    assert said == pytest.approx(factor, rel=0.03)
    assert low < said < high
    assert low * high == pytest.approx(said**2, rel=0.02)


def test_int8_that_is_faster_earned_its_keep() -> None:
    timings, times = judged(timing("f16", 2.0, "fp16"), timing("i8", 1.0, "int8"))
    (found,) = int8_verdicts(timings, times)
    assert found.earned
    assert found.ratio == pytest.approx(0.5, rel=0.02)
    text = int8_text(found, timings)
    assert text.startswith("INT8 earned its keep: ")
    assert "times as fast as FP16" in text
    assert_interval_around(text, 2.0)


def test_int8_that_is_slower_did_not() -> None:
    timings, times = judged(timing("f16", 2.0, "fp16"), timing("i8", 3.0, "int8"))
    (found,) = int8_verdicts(timings, times)
    text = int8_text(found, timings)
    assert not found.earned
    assert text.startswith("INT8 did not earn its keep: 1.49 of the time of FP16")
    assert text.endswith("use FP16")


def test_int8_that_is_as_fast_did_not() -> None:
    timings, times = judged(timing("f16", 2.0, "fp16"), timing("i8", 2.0, "int8"))
    times["i8"] = list(reversed(times["f16"]))
    (found,) = int8_verdicts(timings, times)
    assert found.low < 1 < found.high
    assert int8_text(found, timings).endswith("use FP16")
    times = {name: [2.0] * 60 for name in times}
    (found,) = int8_verdicts(timings, times)
    assert (found.ratio, found.high, found.earned) == (1, 1, False)


def test_int8_is_compared_with_fp16_of_its_own_runtime() -> None:
    timings, times = judged(
        timing("f32", 4.0, "fp32"),
        timing("f16", 2.0, "fp16"),
        timing("slow16", 3.0, "fp16"),
        timing("cpu16", 0.1, "fp16", "openvino"),
        timing("i8", 2.5, "int8"),
    )
    (found,) = int8_verdicts(timings, times)
    assert (found.against, found.earned) == ("f16", False)


def test_without_fp16_fp32_is_the_measure() -> None:
    timings, times = judged(timing("f32", 4.0, "fp32"), timing("i8", 2.0, "int8"))
    (found,) = int8_verdicts(timings, times)
    assert found.against == "f32"
    assert "as FP32" in int8_text(found, timings)


def test_nothing_to_compare_with() -> None:
    timings, times = judged(timing("i8", 2.0, "int8"), timing("other", 2.0, None))
    assert int8_verdicts(timings, times) == ()


def test_one_after_the_other_there_is_no_interval() -> None:
    timings, _ = judged(timing("a", 4.0, "fp16"), timing("b", 2.0, "int8"))
    text = verdict(timings, {})
    assert text.startswith("fastest by its median: b, ")
    assert "no interval" in text
    assert float(text.split()[5]) == pytest.approx(2.0, rel=0.02)
    assert int8_verdicts(timings, {}) == ()


@pytest.mark.parametrize(
    ("milliseconds", "first", "other", "factor"),
    [((2.0, 1.0, 1.5), "b", "a", 2.0), ((1.0, 3.0, 2.0), "a", "c", 2.0)],
)
def test_the_fastest_is_told_against_the_baseline_else_the_runner_up(
    milliseconds: tuple[float, ...], first: str, other: str, factor: float
) -> None:
    entries = [timing(name, each, "fp16") for name, each in zip("abc", milliseconds, strict=True)]
    text = verdict(*judged(*entries))
    assert text.startswith(f"fastest: {first}, ")
    assert f" times as fast as {other} (" in text
    assert_interval_around(text, factor)


def test_the_fastest_is_the_one_whose_undisturbed_calls_are() -> None:
    """Its median may be the worse one, where other work met it more often."""
    timings, times = judged(timing("a", 2.0, "fp16"), timing("b", 1.0, "fp16"))
    times["b"] = [value if index % 3 == 0 else value * 4 for index, value in enumerate(times["b"])]
    timings[1] = timings[1].model_copy(update={"latency_ms": summarize(times["b"])})
    assert timings[1].latency_ms.p50 > timings[0].latency_ms.p50
    assert verdict(timings, times).startswith(("fastest: b, 1.9", "fastest: b, 2.0"))


def test_int8_is_compared_with_the_float_whose_undisturbed_calls_are_fastest() -> None:
    timings, times = judged(
        timing("a", 2.0, "fp16"), timing("b", 1.0, "fp16"), timing("i8", 1.5, "int8")
    )
    times["b"] = [value if index % 3 == 0 else value * 4 for index, value in enumerate(times["b"])]
    timings[1] = timings[1].model_copy(update={"latency_ms": summarize(times["b"])})
    (found,) = int8_verdicts(timings, times)
    assert (found.against, found.earned) == ("b", False)


def ratio(low: float, high: float) -> Ratio:
    return Ratio(name="b", baseline="a", ratio=(low * high) ** 0.5, low=low, high=high, rounds=60)


@pytest.mark.parametrize(
    ("quiet", "interval", "expected"),
    [
        (60, (0.50, 0.52), []),
        (None, (0.50, 0.52), []),
        (60, (0.50, 0.55), ["b: its ratio is uncertain, its 95% interval is 10% wide"]),
        (5, (0.50, 0.52), ["the processor's cores were slowed in 46% of the calls"]),
        (0, (0.4, 0.6), ["its 95% interval is 50% wide", "in 50% of the calls"]),
    ],
)
def test_doubts_are_told(
    quiet: int | None, interval: tuple[float, float], expected: list[str]
) -> None:
    """Of 60 calls 6 make a ratio: so many must have been left alone, of both artifacts."""
    timings, _ = judged(timing("a", 2.0, "fp32"), timing("b", 1.0, "fp32"))
    timings = [
        one.model_copy(update={"quiet_calls": count if quiet is not None else None})
        for one, count in zip(timings, (60, quiet), strict=True)
    ]
    found = doubts(timings, [ratio(*interval)])
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("quiet", "load", "said"), [(None, 4.1, True), (None, 4.0, False), (60, 1e4, False)]
)
def test_a_load_average_serves_where_nobody_looked(
    monkeypatch: pytest.MonkeyPatch, quiet: int | None, load: float, said: bool
) -> None:
    """More than half of the cores that this process may use are busy."""
    cpu = Cpu(model="eight", cores=4, logical=16, available=8, governor=None)
    monkeypatch.setattr(module, "read_cpu", lambda: cpu)
    timings, _ = judged(timing("a", 2.0, "fp32"))
    timings = [timings[0].model_copy(update={"quiet_calls": quiet})]
    assert bool(doubts(timings, [], load)) is said
    assert doubts(timings, [], None) == []
