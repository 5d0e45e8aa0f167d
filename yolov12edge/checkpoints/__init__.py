"""Reading foreign checkpoints safely and turning them into one canonical form."""

from yolov12edge.checkpoints.initial import (
    Fit,
    InitialWeights,
    for_classes,
    initialise,
    read_initial,
)
from yolov12edge.checkpoints.published import fetch_published
from yolov12edge.checkpoints.reader import (
    Checkpoint,
    build_detector,
    load_model,
    read_checkpoint,
    save_safetensors,
)

__all__ = [
    "Checkpoint",
    "Fit",
    "InitialWeights",
    "build_detector",
    "fetch_published",
    "for_classes",
    "initialise",
    "load_model",
    "read_checkpoint",
    "read_initial",
    "save_safetensors",
]
