"""Quantization rules: small named objects with a reason each, joined into dialects."""

from yolov12edge.quantize.rules.base import Dialect, Equalize, KeepFloat, MoveUp, QuantizeInputs
from yolov12edge.quantize.rules.cpu import CPU
from yolov12edge.quantize.rules.tensorrt import TENSORRT

DIALECTS = {dialect.name: dialect for dialect in (TENSORRT, CPU)}

__all__ = [
    "CPU",
    "DIALECTS",
    "TENSORRT",
    "Dialect",
    "Equalize",
    "KeepFloat",
    "MoveUp",
    "QuantizeInputs",
]
