"""What is timed: an artifact in a runtime, and one call of it the way the settings ask."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.bench.gpu_calls import GpuCalls, HasEngine
from yolov12edge.bench.report import Precision
from yolov12edge.bench.settings import Settings
from yolov12edge.bench.statistics import settled
from yolov12edge.data import Letterbox
from yolov12edge.errors import UsageError
from yolov12edge.run.names import PLAN_BACKENDS
from yolov12edge.runtime.runner import FloatArray, Runner

Clock = Callable[[], float]

MOST_WARMUPS = 2000
MOST_WARMUP_MS = 10_000.0


@dataclass(frozen=True)
class Contender:
    """One artifact to time.

    Attributes:
        name: shown in the report.
        runner: runs it.
        letterbox: how pictures are fitted to it; None is the usual one at its size.
        path: its file.
        loaded: bytes that the process grew by while loading it.
        precision: what most of it computes in.
        reopen: opens it once more, for several streams.
    """

    name: str
    runner: Runner
    letterbox: Letterbox | None = None
    path: Path | None = None
    loaded: int | None = None
    precision: Precision | None = None
    reopen: Callable[[], Runner] | None = None


class Track:
    """One contender's course through a benchmark.

    Args:
        entry: who.
        batches: different inputs, used in turn.
        settings: how a call is made.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        entry: Contender,
        batches: Sequence[FloatArray],
        settings: Settings,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.entry = entry
        self.name = entry.name
        self.times: list[float] = []
        # Which look at the cores came before each timed call, if there were looks.
        self.looks: list[int] = []
        self.warmup = 0
        self.clock = clock
        self.settings = settings
        self.gpu: GpuCalls | None = None
        if isinstance(entry.runner, HasEngine):
            self.gpu = GpuCalls(entry.runner.engine, settings)
        self._first = batches[0]
        self._batches = itertools.cycle(batches)

    @property
    def cuda_graph(self) -> bool | None:
        """Whether a graph is really replayed; None where there is no such choice."""
        return self.gpu.context.cuda_graph if self.gpu is not None else None

    @property
    def note(self) -> str | None:
        """What could not be done as asked."""
        note = self.gpu.context.note if self.gpu is not None else None
        return f"{self.name}: {note}" if note else None

    @property
    def transfers(self) -> bool | None:
        """Whether a call copies to the device and back; None where there is nothing to copy."""
        return self.settings.transfers if self.gpu is not None else None

    def call(self) -> float:
        """One call; returns its milliseconds."""
        images = next(self._batches)
        if self.gpu is not None and self.settings.like is not None:
            return self.gpu.gpu_time(images)
        if self.gpu is not None and not self.settings.transfers:
            return self.call_placed()
        start = self.clock()
        self.output = self.gpu.whole(images) if self.gpu else self.entry.runner(images)
        return (self.clock() - start) * 1e3

    def call_placed(self) -> float:
        """One call on images that are on the GPU already; returns its milliseconds."""
        assert self.gpu is not None
        start = self.clock()
        self.gpu.placed()
        return (self.clock() - start) * 1e3

    def warm_up(self) -> None:
        """Call until the times settle, and for at least the settings' warm-up time."""
        self.output = (self.gpu.whole if self.gpu else self.entry.runner)(self._first)
        if self.gpu is not None:
            self.gpu.place(self._first)
        times: list[float] = []
        spent = 0.0
        while len(times) < MOST_WARMUPS and spent < MOST_WARMUP_MS:
            if settled(times) and spent >= self.settings.warmup_ms:
                break
            times.append(self.call())
            spent += times[-1]
        self.warmup = len(times) + 1

    def turn(self, settle: bool) -> None:
        """One timed call; before it an untimed one, if another contender was at work."""
        if settle:
            self.call()
        self.times.append(self.call())

    def callers(self, stack: contextlib.ExitStack) -> list[Callable[[], object]]:
        """One caller for each stream, each with an executor of its own.

        Args:
            stack: closes what was opened.

        Raises:
            UsageError: more than one stream of something that cannot be opened again.
        """
        settings, images = self.settings, self._first
        if self.gpu is not None and isinstance(self.entry.runner, HasEngine):
            calls = [self.gpu]
            for _ in range(settings.streams - 1):
                calls.append(GpuCalls(self.entry.runner.engine, settings))
                calls[-1].place(images)
            return [
                functools.partial(one.whole, images) if settings.transfers else one.placed
                for one in calls
            ]
        runners = [self.entry.runner]
        for _ in range(settings.streams - 1):
            if self.entry.reopen is None:
                raise UsageError(f"{self.name} runs in one stream only", "leave out --streams")
            runners.append(self.entry.reopen())
            stack.callback(runners[-1].close)
        return [functools.partial(runner, images) for runner in runners]


def on_gpu(runner: Runner) -> bool:
    """Whether a runner computes on an NVIDIA GPU."""
    return runner.name in PLAN_BACKENDS or any(
        word in runner.device.lower() for word in ("cuda", "tensorrt")
    )
