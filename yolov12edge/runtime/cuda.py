"""The NVIDIA driver through ctypes: which GPUs there are, and calls that say what went wrong.

Every machine with an NVIDIA GPU has the driver's own library, Jetson included, so running a plan
needs no CUDA build of torch, no cuda-python and no pycuda, and works beside each of them.

By hand, and not cuda-python: thirty calls of a stable C interface against a package whose version
has to follow CUDA's. Tests run them on a stand-in library with the driver's ABI.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from typing import Any

from yolov12edge.errors import UnsupportedError

# CUdevice_attribute of cuda.h
_COMPUTE_CAPABILITY_MAJOR = 75
_COMPUTE_CAPABILITY_MINOR = 76


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

    def call(self, name: str, *arguments: Any, allowed: tuple[int, ...] = ()) -> int:
        """Call `name`; its status, which is CUDA_SUCCESS or one of `allowed`."""
        status: int = getattr(self._library, name)(*arguments)
        if status != 0 and status not in allowed:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(ctypes.c_int(status), ctypes.byref(text))
            reason = text.value.decode() if text.value else f"error {status}"
            raise UnsupportedError(
                f"CUDA failed in {name}: {reason}",
                "check the NVIDIA driver and free GPU memory (nvidia-smi or tegrastats)",
            )
        return status

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
