"""Optional libraries that rooms on more than one floor use."""

from __future__ import annotations

from importlib import metadata
from types import ModuleType

from yolov12edge.errors import UnsupportedError

ONNXRUNTIME_INSTALL = (
    'pip install "yolov12edge[cpu]", or "yolov12edge[gpu]" for an NVIDIA GPU; never both'
)


def load_onnxruntime() -> ModuleType:
    """The `onnxruntime` module, whichever distribution it comes from.

    `onnxruntime`, `onnxruntime-gpu` and NVIDIA's wheel for Jetson hold the same files, so the
    package requires none of them: pip would lay one over the other.

    Raises:
        UnsupportedError: none is installed, or it does not load.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise UnsupportedError("ONNX Runtime is not installed", ONNXRUNTIME_INSTALL) from error
    except (ImportError, OSError) as error:
        raise UnsupportedError(
            f"ONNX Runtime is not usable here: {error}", ONNXRUNTIME_INSTALL
        ) from error
    # Where two distributions lay over each other and one was removed, folders are left.
    if not hasattr(onnxruntime, "InferenceSession"):
        raise UnsupportedError(
            "ONNX Runtime is not usable here: parts of it are missing",
            "pip uninstall onnxruntime onnxruntime-gpu, then install one of them",
        )
    library: ModuleType = onnxruntime
    return library


def onnxruntime_distributions() -> dict[str, str]:
    """Distributions that hold `onnxruntime`, with their versions; more than one is a fault."""
    names = metadata.packages_distributions().get("onnxruntime", [])
    return {name: metadata.version(name) for name in sorted(set(names))}
