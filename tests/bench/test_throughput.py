from __future__ import annotations

import functools
import threading
import time

import pytest

from yolov12edge.bench.power import Energy
from yolov12edge.bench.throughput import measure_throughput


class FakeMeter:
    def __init__(self, joules: float) -> None:
        self.joules = joules
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> Energy | None:
        self.running = False
        return Energy(self.joules, "a test") if self.joules else None


def test_images_seconds_and_joules() -> None:
    now = [0.0]
    meter = FakeMeter(30.0)
    seen = []

    def call() -> None:
        seen.append(meter.running)
        now[0] += 0.5

    found = measure_throughput([call], 4, 3.0, meter, lambda: now[0])
    assert seen == [False] + [True] * 6
    assert (found.images, found.seconds, found.images_per_second) == (24, 3.0, 8.0)
    assert (found.watts, found.joules_per_image, found.images_per_joule) == (10.0, 1.25, 0.8)
    assert found.sensor == "a test"


def test_without_a_sensor_nothing_is_made_up() -> None:
    found = measure_throughput([lambda: None], 1, 0.01, FakeMeter(0.0))
    assert (found.watts, found.images_per_joule, found.sensor) == (None, None, None)


def test_callers_run_at_once() -> None:
    """Each waits for the other, which only threads of their own can do."""
    barrier = threading.Barrier(2, timeout=10)
    calls = [0, 0]

    def caller(index: int) -> None:
        calls[index] += 1
        if calls[index] == 2:
            barrier.wait()
        time.sleep(0.005)

    callers = [functools.partial(caller, index) for index in (0, 1)]
    found = measure_throughput(callers, 3, 0.05)
    assert found.streams == 2
    assert found.images == 3 * (sum(calls) - 2)


def test_an_error_in_a_thread_is_raised() -> None:
    count = [0]

    def failing() -> None:
        count[0] += 1
        if count[0] > 2:
            raise MemoryError("full")

    with pytest.raises(MemoryError):
        measure_throughput([failing, lambda: time.sleep(0.001)], 1, 0.05)
