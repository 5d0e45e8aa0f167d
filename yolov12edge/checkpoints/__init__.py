"""Reading foreign checkpoints safely and turning them into one canonical form."""

from yolov12edge.checkpoints.published import cache_folder, fetch_published
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
    "cache_folder",
    "describe",
    "fetch_published",
    "load_model",
    "read_checkpoint",
    "save_safetensors",
]
