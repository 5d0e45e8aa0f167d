"""How to time: every choice that changes a figure, with its default."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from yolov12edge.errors import UsageError
from yolov12edge.runtime.cuda_stream import Wait

Like = Literal["trtexec-10", "trtexec-11"]
LIKES = ("trtexec", "trtexec-10", "trtexec-11")


@dataclass(frozen=True)
class Settings:
    """The choices of one benchmark; the defaults are what a caller of the Python API sees.

    Attributes:
        batch: images a call.
        duration: seconds of timed and settling calls for each artifact, when `runs` is None.
        runs: timed calls of each artifact; `least_runs` are made in any case.
        least_runs: as `runs`, of a `duration`.
        patience: how many times `duration` may be spent while a ratio is still uncertain.
        warmup_ms: least time of the warm-up, which also goes on until the times settle.
        rest_ms: pause before an artifact's turn among others that run on the CPU: threads of a
            runtime go on polling for a while after a call, and would take a core from the next.
        streams: callers at once in the throughput window, each with an executor of its own.
        window: seconds of the throughput window of each artifact; 0 leaves it out.
        transfers: whether copies to the device and back are inside a call's time. GPU only.
        cuda_graph: whether calls are replayed from a captured CUDA graph. GPU only.
        wait: how the host waits for the GPU: it sleeps ("block"), polls ("spin"), or does as the
            driver likes ("auto"). GPU only.
        interleaved: whether artifacts take turns, call by call, which ratios need.
        like: whose definition this is; None is our own.
        threads: CPU threads asked of the runtimes; None leaves it to them.
        seed: of the order of calls and of generated pictures.
    """

    batch: int = 1
    duration: float = 5.0
    runs: int | None = None
    least_runs: int = 20
    patience: float = 1.0
    warmup_ms: float = 200.0
    rest_ms: float = 30.0
    streams: int = 1
    window: float = 1.0
    transfers: bool = True
    cuda_graph: bool = False
    wait: Wait = "block"
    interleaved: bool = True
    like: Like | None = None
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (self.batch, self.streams, self.least_runs, self.runs or 1)
        if min(positive) < 1 or (self.runs is not None and self.runs < 1):
            raise UsageError("batch, runs and streams start at 1", "see: yolov12edge bench --help")
        if self.duration <= 0 or min(self.window, self.warmup_ms, self.rest_ms) < 0:
            raise UsageError(
                "duration is more than 0, warm-up and rest at least 0",
                "see: yolov12edge bench --help",
            )


def like_trtexec(settings: Settings, generation: int) -> Settings:
    """The definition of trtexec 8 and 10, or of 11, where its defaults changed.

    Both: 200 ms of warm-up, then 3 s and at least 10 queries, one engine alone, back to back, and
    latencies on the GPU's clock: copy in, network and copy back. Until 10 transfers are part of
    the latency, kernels are enqueued one by one and the host sleeps; from 11 on inputs stay on
    the GPU, a CUDA graph is replayed and the host polls (samples/common/sampleOptions of
    NVIDIA/TensorRT, branches 10.x and 11.x).

    Args:
        settings: batch, threads, seed and streams are kept.
        generation: TensorRT's major version.
    """
    new = generation >= 11
    return replace(
        settings,
        duration=3.0,
        runs=None,
        least_runs=10,
        warmup_ms=200.0,
        window=0.0,
        transfers=not new,
        cuda_graph=new,
        wait="spin" if new else "block",
        interleaved=False,
        like="trtexec-11" if new else "trtexec-10",
    )
