"""Images a second, and images a joule, with one or more callers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from yolov12edge.bench.contender import Clock
from yolov12edge.bench.power import Energy, Meter
from yolov12edge.bench.report import Throughput

Caller = Callable[[], object]


def measure_throughput(
    callers: Sequence[Caller],
    batch: int,
    seconds: float,
    meter: Meter | None = None,
    clock: Clock = time.perf_counter,
) -> Throughput:
    """Run call after call for a while, each caller in a thread of its own.

    Args:
        callers: each makes one call; they are called once before the window.
        batch: images a call.
        seconds: length of the window; calls under way when it ends are finished and counted.
        meter: a power sensor.
        clock: seconds, for tests.
    """
    for call in callers:
        call()
    if meter is not None:
        meter.start()
    began = clock()
    calls = _run_all(callers, began + seconds, clock)
    elapsed = clock() - began
    energy = meter.stop() if meter is not None else None
    return _throughput(calls * batch, elapsed, len(callers), energy)


def _run_all(callers: Sequence[Caller], end: float, clock: Clock) -> int:
    """Calls that were made until `end`, together."""
    if len(callers) == 1:
        return _run_until(callers[0], end, clock)
    counts: list[int] = []
    errors: list[BaseException] = []

    def work(call: Caller) -> None:
        try:
            counts.append(_run_until(call, end, clock))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(call,)) for call in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts)


def _run_until(call: Caller, end: float, clock: Clock) -> int:
    calls = 0
    while calls == 0 or clock() < end:
        call()
        calls += 1
    return calls


def _throughput(images: int, seconds: float, streams: int, energy: Energy | None) -> Throughput:
    joules = energy.joules if energy else None
    return Throughput(
        streams=streams,
        seconds=seconds,
        images=images,
        images_per_second=images / seconds,
        watts=joules / seconds if joules else None,
        joules_per_image=joules / images if joules else None,
        images_per_joule=images / joules if joules else None,
        sensor=energy.sensor if energy else None,
    )
