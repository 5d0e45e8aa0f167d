"""Reading foreign checkpoints safely and turning them into one canonical form."""

from yolov12edge.checkpoints.published import fetch_published
from yolov12edge.checkpoints.reader import (
    Checkpoint,
    build_detector,
    describe,
    load_model,
    read_checkpoint,
    save_safetensors,
)

__all__ = [
    "Checkpoint",
    "build_detector",
    "describe",
    "fetch_published",
    "load_model",
    "read_checkpoint",
    "save_safetensors",
]
