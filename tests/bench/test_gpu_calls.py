"""How a plan's calls are made, on a stand-in whose steps take known times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.bench.test_measure import Array, Clock
from yolov12edge.bench import Contender, Settings, like_trtexec, measure
from yolov12edge.errors import UsageError

UPLOAD, NETWORK, DOWNLOAD, LAUNCH = 0.002, 0.010, 0.001, 0.0005


class FakeStream:
    """Events remember the GPU's time: everything queued takes effect at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.gpu = 0.0

    def make_current(self) -> None: ...

    def event(self) -> dict[str, float]:
        return {}

    def record(self, event: dict[str, float]) -> None:
        event["at"] = self.gpu

    def elapsed(self, first: dict[str, float], last: dict[str, float]) -> float:
        return (last["at"] - first["at"]) * 1e3


class FakeContext:
    refuses_graphs = False

    def __init__(self, clock: Clock, cuda_graph: bool, wait: str, steps: list[str]) -> None:
        self.stream = FakeStream(clock)
        self.cuda_graph = cuda_graph and not self.refuses_graphs
        self.note = "no CUDA graph" if cuda_graph and self.refuses_graphs else None
        self.wait_kind = wait
        self.steps = steps
        self.clock = clock

    def _do(self, step: str, seconds: float) -> None:
        self.steps.append(step)
        self.stream.gpu += seconds
        self.clock.spend(seconds + LAUNCH)

    def stage(self, images: Array) -> None:
        self.count = len(images)

    def upload(self) -> None:
        self._do("upload", UPLOAD)

    def enqueue(self) -> None:
        self._do("graph" if self.cuda_graph else "network", NETWORK)

    def download(self) -> None:
        self._do("download", DOWNLOAD)

    def wait(self) -> None: ...

    def result(self, count: int) -> Array:
        return np.zeros((count, 6, 10), np.float32)


class FakePlanRunner:
    """Has an `engine`, as the runner of a plan does, and is one itself."""

    name = "tensorrt"
    version = "10.13.3"
    device = "a stand-in"
    input_shape = (1, 3, 32, 64)
    num_classes = 2

    def __init__(self) -> None:
        self.clock = Clock()
        self.steps: list[str] = []
        self.contexts: list[FakeContext] = []
        self.engine = self

    def context(self, *, cuda_graph: bool = False, wait: str = "auto") -> FakeContext:
        self.contexts.append(FakeContext(self.clock, cuda_graph, wait, self.steps))
        return self.contexts[-1]

    def __call__(self, images: Array) -> Array:
        raise AssertionError("timed calls go through the context")

    def close(self) -> None: ...


def timed(settings: Settings) -> tuple[Any, FakePlanRunner]:
    runner = FakePlanRunner()
    report = measure([Contender("plan", runner)], settings=settings, clock=runner.clock)
    return report.artifacts[0], runner


def test_a_whole_call_copies_in_and_out() -> None:
    timing, runner = timed(Settings(runs=5, window=0))
    assert timing.latency_ms.p50 == pytest.approx((UPLOAD + NETWORK + DOWNLOAD + 3 * LAUNCH) * 1e3)
    assert (timing.transfers, timing.cuda_graph, timing.wait) == (True, False, "block")
    assert runner.contexts[0].wait_kind == "block"
    assert timing.stages_ms.infer == pytest.approx((NETWORK + LAUNCH) * 1e3)
    assert timing.stages_ms.copies == pytest.approx((UPLOAD + DOWNLOAD + 2 * LAUNCH) * 1e3)


def test_without_transfers_nothing_is_copied() -> None:
    timing, runner = timed(
        Settings(runs=5, window=0, transfers=False, cuda_graph=True, wait="spin")
    )
    assert timing.latency_ms.p50 == pytest.approx((NETWORK + LAUNCH) * 1e3)
    assert (timing.transfers, timing.cuda_graph, timing.wait) == (False, True, "spin")
    assert runner.contexts[0].wait_kind == "spin"
    assert runner.steps[-5:] == ["graph"] * 5
    assert timing.stages_ms.copies == 0


def test_a_graph_that_was_refused_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeContext, "refuses_graphs", True)
    runner = FakePlanRunner()
    settings = Settings(runs=2, window=0, cuda_graph=True)
    report = measure([Contender("plan", runner)], settings=settings, clock=runner.clock)
    assert report.artifacts[0].cuda_graph is False
    assert report.notes == ("plan: no CUDA graph",)


def test_every_stream_has_a_context() -> None:
    timing, runner = timed(Settings(runs=2, window=0.1, streams=3))
    assert len(runner.contexts) == 3
    assert timing.window.streams == 3
    assert timing.window.images >= 3


@pytest.mark.parametrize(
    ("generation", "milliseconds", "graph"),
    [(8, UPLOAD + NETWORK + DOWNLOAD, False), (10, UPLOAD + NETWORK + DOWNLOAD, False),
     (11, NETWORK, True)],
)  # fmt: skip
def test_trtexec_counts_on_the_gpus_clock(
    generation: int, milliseconds: float, graph: bool
) -> None:
    """Launching takes host time, which trtexec's latency does not hold."""
    settings = like_trtexec(Settings(), generation)
    timing, runner = timed(settings)
    assert timing.latency_ms.p50 == pytest.approx(milliseconds * 1e3)
    assert timing.latency_ms.n >= 10
    assert timing.cuda_graph is graph
    assert runner.contexts[0].wait_kind == ("spin" if graph else "block")
    spent = timing.latency_ms.n * (milliseconds + LAUNCH * (1 if graph else 3))
    assert spent == pytest.approx(3.0, rel=0.02)


def test_trtexecs_definition_in_figures() -> None:
    """Defaults of samples/common/sampleOptions: warmUp 200 ms, duration 3 s, iterations 10."""
    for generation, transfers, graph, wait in (
        (10, True, False, "block"),
        (11, False, True, "spin"),
    ):
        settings = like_trtexec(Settings(batch=4, threads=1, seed=9), generation)
        assert (settings.warmup_ms, settings.duration, settings.least_runs) == (200, 3, 10)
        assert (settings.transfers, settings.cuda_graph, settings.wait) == (transfers, graph, wait)
        assert (settings.batch, settings.threads, settings.seed) == (4, 1, 9)
        assert not settings.interleaved


def test_streams_need_something_to_open_again() -> None:
    runner = FakePlanRunner()
    del runner.engine
    runner.__class__ = type("Plain", (FakePlanRunner,), {"__call__": lambda self, x: np.zeros(1)})
    with pytest.raises(UsageError):
        measure([Contender("plain", runner)], settings=Settings(runs=1, streams=2, warmup_ms=0))
