"""The outcome in one line: the fastest, and whether INT8 earned its keep."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from yolov12edge.bench.environment import read_cpu
from yolov12edge.bench.report import Int8Verdict, Ratio, Timing
from yolov12edge.bench.statistics import certain, enough_quiet, paired_ratio, undisturbed

_FLOATS = ("fp16", "bf16", "fp32")


def verdict(timings: Sequence[Timing], times: Mapping[str, Sequence[float]]) -> str:
    """The fastest artifact, against the baseline or, if that is itself the fastest, the runner-up.

    Args:
        timings: of every artifact, the baseline first.
        times: latencies by name, in the same rounds; empty if the artifacts did not take turns.
    """
    ranked = sorted(timings, key=lambda timing: _least(timing, times))
    first = ranked[0]
    if len(ranked) == 1:
        return (
            f"{first.name}: median {first.latency_ms.p50:.1f} ms, {first.throughput:.1f} images/s"
        )
    other = timings[0] if first.name != timings[0].name else ranked[1]
    ratio = paired_ratio(
        first.name, other.name, *(times.get(n, ()) for n in (first.name, other.name))
    )
    if ratio is None:
        factor = other.latency_ms.p50 / first.latency_ms.p50
        return (
            f"fastest by its median: {first.name}, {factor:.2f} times as fast as {other.name} "
            "(timed one after the other: no interval)"
        )
    if not ratio.significant:
        return (
            f"no measurable difference between {first.name} and {other.name} "
            f"(ratio {ratio.ratio:.3f}, 95% interval {ratio.low:.3f} to {ratio.high:.3f})"
        )
    return f"fastest: {first.name}, {_times_as_fast(ratio)} as {other.name} ({_interval(ratio)})"


def doubts(
    timings: Sequence[Timing], ratios: Sequence[Ratio], load: float | None = None
) -> list[str]:
    """Why figures may be off, a line each: wide intervals, other work on the machine.

    Args:
        timings: of every artifact.
        ratios: against the baseline.
        load: the load average before; it serves where nobody looked at the cores.
    """
    found = [
        f"{ratio.name}: its ratio is uncertain, its 95% interval is "
        f"{ratio.high / ratio.low - 1:.0%} wide: run again, or with a longer --duration"
        for ratio in ratios
        if not certain(ratio)
    ]
    looked = [(one.latency_ms.n, one.quiet_calls) for one in timings if one.quiet_calls is not None]
    if not all(itertools.starmap(enough_quiet, looked)):
        calls, quiet = (sum(numbers) for numbers in zip(*looked, strict=True))
        found.append(
            f"the processor's cores were slowed in {1 - quiet / calls:.0%} of the calls, by other "
            "work on this machine or its host, or by heat: run again when it is quiet"
        )
    if not looked and load is not None and load > read_cpu().available / 2:
        found.append(f"the machine was busy (load average {load:.1f}): trust ratios, not times")
    return found


def int8_verdicts(
    timings: Sequence[Timing], times: Mapping[str, Sequence[float]]
) -> tuple[Int8Verdict, ...]:
    """Every INT8 artifact against the fastest FP16 (else FP32) one of the same runtime."""
    found = []
    for one in timings:
        rivals = [
            other
            for precision in _FLOATS
            for other in timings
            if other.precision == precision and other.runtime == one.runtime
        ]
        if one.precision != "int8" or not rivals:
            continue
        best = min(
            (rival for rival in rivals if rival.precision == rivals[0].precision),
            key=lambda rival: _least(rival, times),
        )
        ratio = paired_ratio(one.name, best.name, times.get(one.name, ()), times.get(best.name, ()))
        if ratio is not None:
            found.append(
                Int8Verdict(
                    name=one.name,
                    against=best.name,
                    ratio=ratio.ratio,
                    low=ratio.low,
                    high=ratio.high,
                    earned=ratio.high < 1,
                )
            )
    return tuple(found)


def int8_text(found: Int8Verdict, timings: Sequence[Timing]) -> str:
    """What an INT8 verdict means, in words."""
    precision = {timing.name: timing.precision for timing in timings}[found.against] or "float"
    ratio = Ratio(
        name=found.name,
        baseline=found.against,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        rounds=0,
    )
    title = precision.upper()
    if found.earned:
        return f"INT8 earned its keep: {_times_as_fast(ratio)} as {title} ({_interval(ratio)})"
    return (
        f"INT8 did not earn its keep: {found.ratio:.2f} of the time of {title} "
        f"(95% interval {found.low:.2f} to {found.high:.2f}): use {title}"
    )


def _least(timing: Timing, times: Mapping[str, Sequence[float]]) -> float:
    """What ratios go by; the median where there are none."""
    found = times.get(timing.name)
    return undisturbed(found) if found else timing.latency_ms.p50


def _times_as_fast(ratio: Ratio) -> str:
    return f"{1 / ratio.ratio:.2f} times as fast"


def _interval(ratio: Ratio) -> str:
    return f"95% interval {1 / ratio.high:.2f} to {1 / ratio.low:.2f}"
