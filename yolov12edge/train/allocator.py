"""Memory for training on the CPU: keep what was freed."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1
# Where the C library limits the second: half of one of its heaps.
HALF_HEAP = 32 * 2**20


def keep_freed_memory() -> bool:
    """Make glibc reuse freed memory instead of giving it back to the kernel; whether it will.

    A training step frees and asks again for the same gigabyte of activations. By default each large
    tensor is mapped anew and every page of it faulted in: a tenth of the time of a step. The peak
    stays what it was. Does nothing where the C library is another.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mapped = mallopt(M_MMAP_THRESHOLD, LARGEST) or mallopt(M_MMAP_THRESHOLD, HALF_HEAP)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, LARGEST))
