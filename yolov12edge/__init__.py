"""YOLOv12 from a PyTorch checkpoint to an edge engine, fast and provably still correct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yolov12edge.checkpoints import load_model
    from yolov12edge.model import build_model

__version__ = "0.1.0"
__all__ = ["__version__", "build_model", "load_model"]


def __getattr__(name: str) -> Any:
    # torch takes two seconds to import; `yolov12edge --help` must not wait for it.
    if name == "build_model":
        from yolov12edge.model import build_model

        return build_model
    if name == "load_model":
        from yolov12edge.checkpoints import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
