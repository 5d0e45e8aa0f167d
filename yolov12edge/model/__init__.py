"""YOLOv12 in PyTorch: scales, blocks, area attention and its backends, head, detector."""

from yolov12edge.model.detector import Detector, build_model
from yolov12edge.model.scales import (
    LAYOUTS,
    SCALES,
    STRIDES,
    Architecture,
    published_architecture,
)

__all__ = [
    "LAYOUTS",
    "SCALES",
    "STRIDES",
    "Architecture",
    "Detector",
    "build_model",
    "published_architecture",
]
