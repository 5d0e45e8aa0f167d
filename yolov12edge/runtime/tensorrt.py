"""TensorRT: finding the library, and plans as Runners."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from yolov12edge.errors import UnsupportedError
from yolov12edge.runtime.plan_runner import PlanRunner, open_plan

OLDEST = (8, 5)
NEWEST_MAJOR = 11


def load_library() -> ModuleType:
    """The `tensorrt` Python module, versions 8.5 to 11.

    Raises:
        UnsupportedError: not installed, only its type stubs are, or another version.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise UnsupportedError(f"TensorRT is not usable here: {error}", _INSTALL) from error
    # tensorrt-stubs makes `import tensorrt` work with nothing behind it.
    if not hasattr(tensorrt, "Runtime"):
        raise UnsupportedError("TensorRT is not installed (only type stubs)", _INSTALL)
    version = tuple(int(part) for part in tensorrt.__version__.split(".")[:2])
    if version < OLDEST or version[0] > NEWEST_MAJOR:
        raise UnsupportedError(
            f"TensorRT {tensorrt.__version__} is not supported; 8.5 to {NEWEST_MAJOR} are",
            _INSTALL,
        )
    library: ModuleType = tensorrt
    return library


def open_tensorrt(path: Path, device: int = 0) -> PlanRunner:
    """A Runner for a TensorRT plan (.plan, or .engine with an Ultralytics prefix).

    Raises:
        UsageError, CheckpointError, UnsupportedError: as `open_plan` says.
    """
    return open_plan(path, "tensorrt", load_library, device)


_INSTALL = (
    "on Jetson it comes with JetPack (apt install python3-libnvinfer); "
    "elsewhere: pip install tensorrt"
)
