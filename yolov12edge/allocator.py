"""Memory for PyTorch on the CPU: keep what was freed."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1
# Where the C library limits the second: half of one of its heaps.
HALF_HEAP = 32 * 2**20


def keep_freed_memory() -> bool:
    """Make glibc reuse freed memory instead of giving it back to the kernel; whether it will.

    PyTorch frees and asks again for the same activations in every call. By default each large
    tensor is mapped anew and its pages faulted in, which takes a share of every training step and
    of every detection, another one in every process (measured by benchmarks/torch_memory.py). The
    peak stays what it was. Does nothing where the C library is another.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mapped = mallopt(M_MMAP_THRESHOLD, LARGEST) or mallopt(M_MMAP_THRESHOLD, HALF_HEAP)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, LARGEST))
