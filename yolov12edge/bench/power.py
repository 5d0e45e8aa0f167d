"""Energy over a window of time, from whatever sensor this machine has.

In order of preference: the GPU's energy counter (NVML, Volta on), its power reading sampled
(NVML), a Jetson's power rails sampled (tegrastats), and for CPU artifacts the processor package's
energy counter (RAPL, readable by root on most systems).
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from yolov12edge.bench.nvml import energy_counter, power_gauge
from yolov12edge.bench.tegrastats import Tegrastats

_INTERVAL = 0.05
_RAPL = "sys/class/powercap/intel-rapl:0"


@dataclass(frozen=True)
class Energy:
    """Joules over a window, and what they cover."""

    joules: float
    sensor: str


class Meter(Protocol):
    """Measures the energy between `start` and `stop`."""

    def start(self) -> None:
        """Begin the window."""

    def stop(self) -> Energy | None:
        """End the window; None if the sensor said nothing in it."""


def find_meter(on_gpu: bool, root: Path = Path("/")) -> Meter | None:
    """The sensor for artifacts that run on the GPU, or on the CPU; None where there is none.

    Args:
        on_gpu: where the artifact runs.
        root: where /sys is, for tests.
    """
    if shutil.which("tegrastats"):
        return TegraMeter()
    if on_gpu:
        counter, gauge = energy_counter(), power_gauge()
        if counter is not None:
            return CounterMeter(counter, "NVML energy counter, whole GPU board")
        return GaugeMeter(gauge, "NVML power reading, whole GPU board") if gauge else None
    return _rapl_meter(root / _RAPL)


class CounterMeter:
    """A counter of joules that only rises, or starts again at 0 after `wrap`."""

    def __init__(
        self, counter: Callable[[], float], sensor: str, wrap: float | None = None
    ) -> None:
        self._counter = counter
        self._sensor = sensor
        self._wrap = wrap

    def start(self) -> None:
        """Begin the window."""
        self._first = self._counter()

    def stop(self) -> Energy | None:
        """End the window."""
        used = self._counter() - self._first
        if used < 0 and self._wrap:
            used += self._wrap
        return Energy(used, self._sensor) if used > 0 else None


class GaugeMeter:
    """A reading of watts, sampled by a thread and summed by the trapezoid rule."""

    def __init__(
        self,
        gauge: Callable[[], float],
        sensor: str,
        interval: float = _INTERVAL,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._gauge = gauge
        self._sensor = sensor
        self._interval = interval
        self._clock = clock

    def start(self) -> None:
        """Begin the window."""
        self._samples: list[tuple[float, float]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> Energy | None:
        """End the window."""
        self._done.set()
        self._thread.join()
        pairs = zip(self._samples, self._samples[1:], strict=False)
        joules = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs)
        return Energy(joules, self._sensor) if joules > 0 else None

    def _sample(self) -> None:
        with contextlib.suppress(Exception):  # a sensor that fails ends the samples, not the run
            while True:
                self._samples.append((self._clock(), self._gauge()))
                if self._done.wait(self._interval):
                    self._samples.append((self._clock(), self._gauge()))
                    return


class TegraMeter:
    """A Jetson's power rails: their mean over the window times its length."""

    def start(self) -> None:
        """Begin the window."""
        self._begun = time.perf_counter()
        self._tegrastats = Tegrastats()

    def stop(self) -> Energy | None:
        """End the window."""
        seconds = time.perf_counter() - self._begun
        self._tegrastats.stop()
        states = [state for state in self._tegrastats.states if state.watts is not None]
        if not states:
            return None
        watts = sum(state.watts or 0.0 for state in states) / len(states)
        return Energy(watts * seconds, f"tegrastats {states[0].sensor}")


def _rapl_meter(folder: Path) -> Meter | None:
    counter = folder / "energy_uj"

    def joules() -> float:
        return int(counter.read_text()) / 1e6

    try:
        joules()
        wrap = int((folder / "max_energy_range_uj").read_text()) / 1e6
    except (OSError, ValueError):
        return None
    return CounterMeter(joules, "RAPL, whole processor package", wrap)
