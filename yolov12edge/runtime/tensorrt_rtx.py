"""TensorRT-RTX: finding the library, and plans as Runners."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from yolov12edge.errors import UnsupportedError
from yolov12edge.runtime.plan_runner import PlanRunner, open_plan


def load_library() -> ModuleType:
    """The TensorRT-RTX Python module.

    The PyPI wheels name it `tensorrt_rtx_bindings` and find their libraries in the wheel
    `tensorrt-rtx-cu13-libs` by themselves.

    Raises:
        UnsupportedError: not installed, or its libraries are not.
    """
    try:
        import tensorrt_rtx_bindings
    except (ImportError, OSError) as error:
        raise UnsupportedError(
            f"TensorRT-RTX is not usable here: {error}", "pip install 'yolov12edge[rtx]'"
        ) from error
    library: ModuleType = tensorrt_rtx_bindings
    return library


def open_tensorrt_rtx(path: Path, device: int = 0) -> PlanRunner:
    """A Runner for a TensorRT-RTX plan.

    Raises:
        UsageError, CheckpointError, UnsupportedError: as `open_plan` says.
    """
    return open_plan(path, "tensorrt_rtx", load_library, device)
