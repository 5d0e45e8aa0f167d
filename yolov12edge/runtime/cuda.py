"""The few CUDA driver calls that running a plan needs, through ctypes.

Every machine with an NVIDIA GPU has the driver's own library, Jetson included, so no CUDA build
of torch, no cuda-python and no pycuda is needed. The primary context is used, the one that
TensorRT, torch and the CUDA runtime share.

The calls are checked here against a stand-in library with the driver's ABI; no GPU was at hand.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from yolov12edge.errors import UnsupportedError

# CUdevice_attribute of cuda.h
_COMPUTE_CAPABILITY_MAJOR = 75
_COMPUTE_CAPABILITY_MINOR = 76
_STREAM_NON_BLOCKING = 1


@dataclass(frozen=True)
class Gpu:
    """One CUDA device: its name, its compute capability (86 for SM 8.6) and memory in bytes."""

    index: int
    name: str
    compute_capability: int
    memory: int


class Driver:
    """The CUDA driver API; every failing call raises UnsupportedError with CUDA's own name."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, name: str, *arguments: Any) -> None:
        """Call `name`; raise unless it returns CUDA_SUCCESS."""
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(ctypes.c_int(status), ctypes.byref(text))
            reason = text.value.decode() if text.value else f"error {status}"
            raise UnsupportedError(
                f"CUDA failed in {name}: {reason}",
                "check the NVIDIA driver and free GPU memory (nvidia-smi or tegrastats)",
            )

    def version(self) -> str:
        """The CUDA version that the driver supports: "13.0"."""
        number = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    def gpus(self) -> tuple[Gpu, ...]:
        """The devices this process may use (CUDA_VISIBLE_DEVICES is honoured)."""
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        return tuple(self._gpu(index) for index in range(count.value))

    def _gpu(self, index: int) -> Gpu:
        device = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, ctypes.c_int(len(name)), device)
        memory = ctypes.c_size_t()
        self.call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        major, minor = (
            self._attribute(attribute, device)
            for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR)
        )
        text = name.value.decode(errors="replace")
        return Gpu(index, text, major * 10 + minor, memory.value)

    def _attribute(self, attribute: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), device)
        return value.value


@functools.lru_cache(maxsize=1)
def driver() -> Driver:
    """The driver of this machine.

    Raises:
        UnsupportedError: no NVIDIA driver, or it does not start.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise UnsupportedError(
            "this machine has no NVIDIA driver", "run this on the machine that has the GPU"
        ) from error
    return Driver(library)


def find_gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine; empty where there is no driver or it does not start."""
    try:
        return driver().gpus()
    except UnsupportedError:
        return ()


class Stream:
    """One device's primary context with a stream and the buffers that live on it.

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

    def synchronize(self) -> None:
        """Wait for everything queued so far."""
        self._api.call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Free the stream, its buffers and this hold on the context."""
        if self._context.value is None:
            return
        self.make_current()
        for address in self._device_memory:
            self._api.call("cuMemFree_v2", address)
        for pointer in self._host_memory:
            self._api.call("cuMemFreeHost", pointer)
        self._device_memory.clear()
        self._host_memory.clear()
        self._api.call("cuStreamDestroy_v2", self._stream)
        self._api.call("cuDevicePrimaryCtxRelease_v2", self._device)
        self._context = ctypes.c_void_p()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
