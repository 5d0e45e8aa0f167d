"""Calls of a plan step by step, on the host's clock and on the GPU's."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from yolov12edge.bench.settings import Settings
from yolov12edge.runtime.cuda_stream import Wait
from yolov12edge.runtime.runner import FloatArray


class GpuStream(Protocol):
    """A stream that takes the time; see runtime.cuda_stream.Stream."""

    def make_current(self) -> None:
        """Bind the context to the calling thread."""

    def event(self) -> Any:
        """A new event."""

    def record(self, event: Any) -> None:
        """Put an event behind everything queued so far."""

    def elapsed(self, first: Any, last: Any) -> float:
        """Milliseconds between two events."""


class GpuContext(Protocol):
    """An executor whose steps can be called one by one; see runtime.plan_engine.PlanContext."""

    @property
    def stream(self) -> GpuStream:
        """Where its work goes."""

    @property
    def cuda_graph(self) -> bool:
        """Whether it replays a graph."""

    @property
    def note(self) -> str | None:
        """Why there is no graph although one was asked for."""

    def stage(self, images: FloatArray) -> None:
        """Put images into pinned memory."""

    def upload(self) -> None:
        """Queue their copy to the GPU."""

    def enqueue(self) -> None:
        """Queue the network."""

    def download(self) -> None:
        """Queue the copy of the detections back."""

    def wait(self) -> None:
        """Wait until everything queued is done."""

    def result(self, count: int) -> FloatArray:
        """The detections of the first `count` images."""


class GpuEngine(Protocol):
    """A loaded plan that can have several contexts; see runtime.plan_engine.PlanEngine."""

    def context(self, *, cuda_graph: bool = False, wait: Wait = "auto") -> GpuContext:
        """A new executor."""


@runtime_checkable
class HasEngine(Protocol):
    """A runner of a plan."""

    @property
    def engine(self) -> GpuEngine:
        """The loaded plan."""


class GpuCalls:
    """One stream of calls of a plan, made the way the settings ask.

    Args:
        engine: the loaded plan.
        settings: CUDA graph, wait and transfers.
    """

    def __init__(self, engine: GpuEngine, settings: Settings) -> None:
        self.context = engine.context(cuda_graph=settings.cuda_graph, wait=settings.wait)
        self._transfers = settings.transfers
        self._events = [self.context.stream.event() for _ in range(4)]

    def whole(self, images: FloatArray) -> FloatArray:
        """From images in host memory to detections in host memory."""
        context = self.context
        context.stream.make_current()
        context.stage(images)
        context.upload()
        context.enqueue()
        context.download()
        context.wait()
        return context.result(len(images))

    def place(self, images: FloatArray) -> None:
        """Copy images to the GPU, where `placed` finds them."""
        self.context.stream.make_current()
        self.context.stage(images)
        self.context.upload()
        self.context.wait()

    def placed(self) -> None:
        """Run on what was placed, and wait for it; nothing is copied."""
        self.context.stream.make_current()
        self.context.enqueue()
        self.context.wait()

    def gpu_time(self, images: FloatArray) -> float:
        """One call's milliseconds as trtexec sums them up: copy in, network and copy back.

        On the GPU's clock, between events in the stream, so that neither launching nor waiting
        counts; without transfers, of the network alone.
        """
        context, stream, marks = self.context, self.context.stream, self._events
        stream.make_current()
        context.stage(images)
        stream.record(marks[0])
        if self._transfers:
            context.upload()
        stream.record(marks[1])
        context.enqueue()
        stream.record(marks[2])
        if self._transfers:
            context.download()
        stream.record(marks[3])
        context.wait()
        first, last = (0, 3) if self._transfers else (1, 2)
        # Events that block nothing: waiting for the stream has waited for them too.
        return stream.elapsed(marks[first], marks[last])
