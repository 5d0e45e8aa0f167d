"""The INT8 stage: what is measured on images, in which order, and the file that comes of it."""

from yolov12edge.pipeline.stages.int8.learned import learned_step
from yolov12edge.pipeline.stages.int8.step import (
    AUTO,
    Int8Step,
    parse_method,
    quantize_step,
    rules_of,
)

__all__ = [
    "AUTO",
    "Int8Step",
    "learned_step",
    "parse_method",
    "quantize_step",
    "rules_of",
]
