"""Quantization-aware training: a float graph that computes what its INT8 file would."""

from yolov12edge.quantize.qat.store import (
    Int8Record,
    LearnedInt8,
    StoredInt8,
    describe_rules,
    graph_digest,
    plan_digest,
    read_stored,
    storable,
    to_tensors,
)
from yolov12edge.quantize.qat.student import QatRates, Student

__all__ = [
    "Int8Record",
    "LearnedInt8",
    "QatRates",
    "StoredInt8",
    "Student",
    "describe_rules",
    "graph_digest",
    "plan_digest",
    "read_stored",
    "storable",
    "to_tensors",
]
