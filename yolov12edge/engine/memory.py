"""Whether a build is likely to fit into memory, said before the system kills it.

The estimates are of the order, not exact. Building scales n to x with TensorRT-RTX 1.7 on a CPU
took 230 MiB and 4.2 times the ONNX file (benchmarks/build_memory.py); the rest of the estimate is
room for CUDA, and the figures for the GPU are a guess that nobody has measured yet.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from yolov12edge.errors import UnsupportedError
from yolov12edge.files import readable_size

HOST_BASE = 600 << 20
HOST_FACTOR = 5
GPU_BASE = 500 << 20
GPU_FACTOR = 4


def check_memory(
    onnx: Path, workspace: int | None, gpu: tuple[int, int] | None, host: int | None = None
) -> tuple[str, ...]:
    """Warnings, one line each, where a build may run out of memory.

    Args:
        onnx: the file to build from.
        workspace: bytes of scratch memory on the GPU that were asked for.
        gpu: (free, total) bytes of the GPU's memory; None where there is no GPU.
        host: bytes of main memory that are free; by default this machine is asked.

    Raises:
        UnsupportedError: more scratch memory is asked for than the GPU has.
    """
    size = onnx.stat().st_size
    warnings = []
    available = psutil.virtual_memory().available if host is None else host
    needed = HOST_BASE + HOST_FACTOR * size
    if available < needed:
        warnings.append(_short("main memory", needed, available, "stop other programs, add swap"))
    if gpu is None:
        return tuple(warnings)
    free, total = gpu
    if workspace is not None and workspace > total:
        raise UnsupportedError(
            f"a workspace of {readable_size(workspace)} does not fit this GPU, which has "
            f"{readable_size(total)}",
            "pass a smaller --workspace, or none: the library then takes what it needs",
        )
    needed = GPU_BASE + GPU_FACTOR * size
    if free < needed:
        warnings.append(_short("GPU memory", needed, free, "stop other programs, the desktop too"))
    return tuple(warnings)


def _short(what: str, needed: int, available: int, advice: str) -> str:
    return (
        f"{readable_size(available)} of {what} are free and this build needs about "
        f"{readable_size(needed)}: {advice}, or build elsewhere"
    )
