"""Quantization rules: small named objects with a reason each, joined into dialects."""

from yolov12edge.quantize.rules.base import (
    Dialect,
    Equalize,
    FloatBudget,
    KeepFloat,
    LimitWeights,
    MoveUp,
    QuantizeInputs,
)
from yolov12edge.quantize.rules.cpu import CPU, CPU_VNNI
from yolov12edge.quantize.rules.tensorrt import TENSORRT

DIALECTS = {dialect.name: dialect for dialect in (TENSORRT, CPU, CPU_VNNI)}

__all__ = [
    "CPU",
    "CPU_VNNI",
    "DIALECTS",
    "TENSORRT",
    "Dialect",
    "Equalize",
    "FloatBudget",
    "KeepFloat",
    "LimitWeights",
    "MoveUp",
    "QuantizeInputs",
]
