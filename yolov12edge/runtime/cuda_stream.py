"""A CUDA stream with what lives on it: device and pinned memory, copies, events and graphs.

The primary context is used, the one that TensorRT, torch and the CUDA runtime share.
"""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yolov12edge.runtime.cuda import Driver, driver

# How to wait for the GPU: as the driver likes, by polling (lowest latency, one busy CPU core), or
# asleep until an interrupt (lowest CPU load).
Wait = Literal["auto", "spin", "block"]

# Constants of cuda.h
_STREAM_NON_BLOCKING = 1
_NOT_READY = 600
_EVENT_DEFAULT = 0
_EVENT_BLOCKING_SYNC_UNTIMED = 1 | 2
_CAPTURE_THREAD_LOCAL = 1


class Graph:
    """Work captured from a stream, launched as one; belongs to the stream that made it."""

    def __init__(self, executable: ctypes.c_void_p) -> None:
        self.executable = executable


class Event:
    """A point in a stream's work; belongs to the stream that made it."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self.handle = handle


class Stream:
    """One device's primary context with a stream and everything that lives on it.

    Args:
        device: index of the GPU.
        api: the driver; the machine's own by default.

    Raises:
        UnsupportedError: no driver, no such device, out of memory.
    """

    def __init__(self, device: int = 0, api: Driver | None = None) -> None:
        self._api = api or driver()
        self._device = ctypes.c_int()
        self._api.call("cuDeviceGet", ctypes.byref(self._device), ctypes.c_int(device))
        self._context = ctypes.c_void_p()
        self._api.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self._device_memory: list[ctypes.c_uint64] = []
        self._host_memory: list[ctypes.c_void_p] = []
        self._events: list[Event] = []
        self._graphs: list[Graph] = []
        self._asleep: Event | None = None
        self._stream = ctypes.c_void_p()
        self.make_current()
        self._api.call(
            "cuStreamCreate", ctypes.byref(self._stream), ctypes.c_uint(_STREAM_NON_BLOCKING)
        )

    @property
    def handle(self) -> int:
        """The stream as the integer that execute_async_v3 takes."""
        return self._stream.value or 0

    def make_current(self) -> None:
        """Bind the context to the calling thread, which every thread needs once."""
        self._api.call("cuCtxSetCurrent", self._context)

    def memory(self) -> tuple[int, int]:
        """(free, total) bytes of the device's memory; needs the context to be current."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._api.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def allocate(self, size: int) -> int:
        """`size` bytes of device memory; returns the address."""
        address = ctypes.c_uint64()
        self._api.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self._device_memory.append(address)
        return address.value

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A page-locked host array, which copies without a detour; valid until `close`."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        pointer = ctypes.c_void_p()
        self._api.call(
            "cuMemHostAlloc", ctypes.byref(pointer), ctypes.c_size_t(size), ctypes.c_uint(0)
        )
        self._host_memory.append(pointer)
        block: Any = (ctypes.c_char * size).from_address(pointer.value or 0)
        return np.ndarray(shape, kind, buffer=block)

    def upload(self, address: int, host: npt.NDArray[Any]) -> None:
        """Queue a copy of the contiguous `host` array to device memory."""
        self._api.call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(host.ctypes.data),
            ctypes.c_size_t(host.nbytes),
            self._stream,
        )

    def download(self, host: npt.NDArray[Any], address: int) -> None:
        """Queue a copy of device memory into the contiguous `host` array."""
        self._api.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(host.ctypes.data),
            ctypes.c_uint64(address),
            ctypes.c_size_t(host.nbytes),
            self._stream,
        )

    def synchronize(self, wait: Wait = "auto") -> None:
        """Wait for everything queued so far."""
        if wait == "auto":
            self._api.call("cuStreamSynchronize", self._stream)
        elif wait == "spin":
            while self._api.call("cuStreamQuery", self._stream, allowed=(_NOT_READY,)):
                pass
        else:
            self._asleep = self._asleep or self._new_event(_EVENT_BLOCKING_SYNC_UNTIMED)
            self.record(self._asleep)
            self._api.call("cuEventSynchronize", self._asleep.handle)

    def event(self) -> Event:
        """A new event that takes the time."""
        return self._new_event(_EVENT_DEFAULT)

    def record(self, event: Event) -> None:
        """Put an event behind everything queued so far."""
        self._api.call("cuEventRecord", event.handle, self._stream)

    def elapsed(self, first: Event, last: Event) -> float:
        """Milliseconds of GPU time between two events; `last` must have been waited for."""
        milliseconds = ctypes.c_float()
        self._api.call("cuEventElapsedTime", ctypes.byref(milliseconds), first.handle, last.handle)
        return milliseconds.value

    def begin_capture(self) -> None:
        """Collect what is queued from here on into a graph instead of running it."""
        self._api.call("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(_CAPTURE_THREAD_LOCAL))

    def end_capture(self) -> Graph:
        """The graph of what was queued since `begin_capture`.

        Raises:
            UnsupportedError: something was queued that a graph cannot hold.
        """
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._api.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            self._api.call(
                "cuGraphInstantiateWithFlags",
                ctypes.byref(executable),
                graph,
                ctypes.c_ulonglong(0),
            )
        finally:
            self._api.call("cuGraphDestroy", graph)
        self._graphs.append(Graph(executable))
        return self._graphs[-1]

    def launch(self, graph: Graph) -> None:
        """Queue a graph."""
        self._api.call("cuGraphLaunch", graph.executable, self._stream)

    def close(self) -> None:
        """Free the stream, what it made and this hold on the context."""
        if self._context.value is None:
            return
        self.make_current()
        for graph in self._graphs:
            self._api.call("cuGraphExecDestroy", graph.executable)
        for event in self._events:
            self._api.call("cuEventDestroy_v2", event.handle)
        for address in self._device_memory:
            self._api.call("cuMemFree_v2", address)
        for pointer in self._host_memory:
            self._api.call("cuMemFreeHost", pointer)
        for made in (self._graphs, self._events, self._device_memory, self._host_memory):
            made.clear()
        self._api.call("cuStreamDestroy_v2", self._stream)
        self._api.call("cuDevicePrimaryCtxRelease_v2", self._device)
        self._context = ctypes.c_void_p()

    def _new_event(self, flags: int) -> Event:
        handle = ctypes.c_void_p()
        self._api.call("cuEventCreate", ctypes.byref(handle), ctypes.c_uint(flags))
        self._events.append(Event(handle))
        return self._events[-1]

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
