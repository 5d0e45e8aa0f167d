"""One executor of a loaded plan: named tensors, pinned memory, a stream of its own, CUDA graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from yolov12edge.errors import CheckpointError, UnsupportedError
from yolov12edge.runtime.cuda_stream import Graph, Stream, Wait
from yolov12edge.runtime.tensorrt_log import LibraryLog


class LoadedPlan(Protocol):
    """What a context has to know about its engine; see PlanEngine."""

    title: str
    path: Path
    log: LibraryLog
    names: tuple[str, ...]
    input: str
    output: str
    image: tuple[int, int]
    smallest: int
    largest: int

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """NumPy's type of a tensor."""


class PlanContext:
    """One executor of an engine; calls on different ones overlap, calls on one must not.

    The steps of a call are there one by one, so that they can be timed and overlapped: `stage`,
    `upload`, `enqueue`, `download`, `wait`, `result`.

    Attributes:
        stream: where its work goes.
        note: why there is no CUDA graph although one was asked for, or None.
    """

    def __init__(
        self, engine: LoadedPlan, context: Any, stream: Stream, cuda_graph: bool, wait: Wait
    ) -> None:
        self.engine = engine
        self.stream = stream
        self.cuda_graph = cuda_graph
        self.note: str | None = None
        self._context = context
        self._wait: Wait = wait
        self._batch = 0
        self._graphs: dict[int, Graph] = {}
        self._memory: dict[str, int] = {}
        self._host: dict[str, npt.NDArray[Any]] = {}
        try:
            self._allocate()
        except BaseException:
            self.close()
            raise

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the detections at the largest batch."""
        return self._host[self.engine.output].shape

    def stage(self, images: npt.NDArray[Any]) -> None:
        """Put (B, 3, H, W) images, uint8 or float in 0..1, into pinned memory in the plan's type.

        A batch below the plan's smallest is filled up with zeros.
        """
        source = self._host[self.engine.input]
        count = len(images)
        batch = max(count, self.engine.smallest)
        if images.dtype == np.uint8 and source.dtype != np.uint8:
            np.multiply(images, 1 / 255, out=source[:count], casting="unsafe")
        elif images.dtype != np.uint8 and source.dtype == np.uint8:
            source[:count] = np.rint(np.clip(images, 0, 1) * 255)
        else:
            source[:count] = images
        source[count:batch] = 0
        self._set_batch(batch)

    def upload(self) -> None:
        """Queue the copy of the staged images to the GPU."""
        name = self.engine.input
        self.stream.upload(self._memory[name], self._host[name][: self._batch])

    def enqueue(self) -> None:
        """Queue the network, on what was uploaded last.

        Raises:
            UnsupportedError: the GPU refused.
        """
        graph = self._graphs.get(self._batch)
        if graph is not None:
            self.stream.launch(graph)
            return
        self._execute()
        if self.cuda_graph:
            self._capture()

    def download(self) -> None:
        """Queue the copy of the detections back."""
        name = self.engine.output
        self.stream.download(self._host[name][: self._batch], self._memory[name])

    def wait(self) -> None:
        """Wait until everything queued is done."""
        self.stream.synchronize(self._wait)

    def result(self, count: int) -> npt.NDArray[np.float32]:
        """A copy of the first `count` images' detections, after `wait`."""
        return self._host[self.engine.output][:count].astype(np.float32, copy=True)

    def __call__(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """All steps for at most `engine.largest` images: (B, 4 + classes, A), B as given."""
        self.stream.make_current()
        self.stage(images)
        self.upload()
        self.enqueue()
        self.download()
        self.wait()
        return self.result(len(images))

    def attach_profiler(self, profiler: Any) -> None:
        """Have the library report each layer's time to its own kind of IProfiler.

        Calls get slower, and a CUDA graph would report nothing: use a context without one.
        """
        self._context.profiler = profiler

    def close(self) -> None:
        """Free its memory; the engine stays."""
        self._context = None
        self._host.clear()
        self.stream.close()

    def _allocate(self) -> None:
        engine = self.engine
        self._set_batch(engine.largest)
        for tensor in engine.names:
            shape = tuple(self._context.get_tensor_shape(tensor))
            dtype = engine.dtype(tensor)
            self._memory[tensor] = self.stream.allocate(int(np.prod(shape)) * dtype.itemsize)
            if tensor in (engine.input, engine.output):
                self._host[tensor] = self.stream.pinned(shape, dtype)
        shape = self.output_shape
        if len(shape) != 3 or shape[1] < 5:
            raise CheckpointError(
                f"{engine.path} is not a detector: its output {engine.output} has shape {shape}",
                "pass a plan whose output is (batch, 4 + classes, anchors)",
            )
        for tensor, address in self._memory.items():
            self._context.set_tensor_address(tensor, address)

    def _set_batch(self, batch: int) -> None:
        if batch == self._batch:
            return
        with self.engine.log.capture() as said:
            accepted = self._context.set_input_shape(
                self.engine.input, (batch, 3, *self.engine.image)
            )
        if not accepted:
            raise self._failure(said.reason(f"it does not take a batch of {batch}"))
        self._batch = batch

    def _execute(self) -> None:
        with self.engine.log.capture() as said:
            started = self._context.execute_async_v3(self.stream.handle)
        if not started:
            raise self._failure(said.reason("it gave no reason"))

    def _capture(self) -> None:
        """Capture the run that was just made; the library wants that first one outside."""
        self.stream.synchronize()
        try:
            self.stream.begin_capture()
            try:
                self._execute()
            finally:
                graph = self.stream.end_capture()
        except UnsupportedError as error:
            self.cuda_graph = False
            self.note = f"no CUDA graph, kernels are queued one by one: {error.message}"
            return
        self._graphs[self._batch] = graph

    def _failure(self, reason: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self.engine.title} could not run: {reason}",
            "check the GPU's free memory and that the plan was built on this machine",
        )
