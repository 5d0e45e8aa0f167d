"""Lower precision, written into the ONNX graph."""

from yolov12edge.quantize.budget import barred_convolutions, costly_convolutions
from yolov12edge.quantize.domain import ALIEN, describe_images, domain_gap
from yolov12edge.quantize.equalize import equalize
from yolov12edge.quantize.fp16 import Fp16Conversion, convert_to_fp16
from yolov12edge.quantize.int8 import (
    Int8Conversion,
    observed_tensors,
    quantize_int8,
    write_rounding,
)
from yolov12edge.quantize.integers import (
    IntegerConvolution,
    Rounding,
    WeightMemory,
    find_rounding,
)
from yolov12edge.quantize.losses import ConvLoss, losses_by_layer, measure_losses
from yolov12edge.quantize.observers import Statistics, observe
from yolov12edge.quantize.policy import QuantizationPlan, plan_quantization
from yolov12edge.quantize.ranges import METHODS, Method
from yolov12edge.quantize.rules import CPU, CPU_VNNI, DIALECTS, TENSORRT, Dialect
from yolov12edge.quantize.scores import score_corrections
from yolov12edge.quantize.shifts import Shifts, activation_shifts, choose_steps

__all__ = [
    "ALIEN",
    "CPU",
    "CPU_VNNI",
    "DIALECTS",
    "METHODS",
    "TENSORRT",
    "ConvLoss",
    "Dialect",
    "Fp16Conversion",
    "Int8Conversion",
    "IntegerConvolution",
    "Method",
    "QuantizationPlan",
    "Rounding",
    "Shifts",
    "Statistics",
    "WeightMemory",
    "activation_shifts",
    "barred_convolutions",
    "choose_steps",
    "convert_to_fp16",
    "costly_convolutions",
    "describe_images",
    "domain_gap",
    "equalize",
    "find_rounding",
    "losses_by_layer",
    "measure_losses",
    "observe",
    "observed_tensors",
    "plan_quantization",
    "quantize_int8",
    "score_corrections",
    "write_rounding",
]
