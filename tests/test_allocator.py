"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from yolov12edge.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    before = faults()
    a, b = torch.ones(2**22), torch.ones(2**23)  # 16 and 32 MiB
    del a, b
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_large_tensors_are_not_faulted_in_again() -> None:
    def faults(mode: str) -> int:
        command = [sys.executable, "-c", FAULTS, mode]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 48 MiB are 12288 pages of 4 KiB, or 24 of 2 MiB.
    assert faults("keep") < 20
    assert faults("free") > faults("keep")
