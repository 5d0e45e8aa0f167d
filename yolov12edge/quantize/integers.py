"""The whole numbers that INT8 is made of: steps of activations, weights, and biases beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.graph.view import GraphView, attribute
from yolov12edge.quantize.observers import Statistics
from yolov12edge.quantize.policy import QuantizationPlan, tensors_read
from yolov12edge.quantize.qdq import IsHalf, Step, never_half
from yolov12edge.quantize.ranges import Method
from yolov12edge.quantize.rules import Dialect
from yolov12edge.quantize.shifts import Shifts, choose_steps
from yolov12edge.quantize.weights import QuantizedWeight, corrected_bias, quantize_weight

WeightMemory = dict[tuple[str, bool], QuantizedWeight]
"""INT8 weights by name of the convolution, and by whether their scales are FP16."""


@dataclass(frozen=True)
class IntegerConvolution:
    """A convolution with INT8 weights.

    Attributes:
        weight: whole numbers and scales.
        bias: (O,) float32.
    """

    weight: QuantizedWeight
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Rounding:
    """Everything that INT8 makes of a plan.

    Attributes:
        steps: scale and zero point of every tensor of the plan.
        convolutions: by name.
        reads: for every convolution a tensor whose step it reads.
    """

    steps: dict[str, Step]
    convolutions: dict[str, IntegerConvolution]
    reads: dict[str, str]

    def digest(self) -> str:
        """SHA-256 of every number in it."""
        found = hashlib.sha256()
        for tensor, step in sorted(self.steps.items()):
            found.update(f"{tensor} {step.scale!r} {int(step.zero)}\n".encode())
        for name, one in sorted(self.convolutions.items()):
            found.update(f"{name} {self.reads[name]}\n".encode())
            for numbers in (one.weight.values, one.weight.scales, one.bias):
                found.update(np.ascontiguousarray(numbers).tobytes())
        return found.hexdigest()


def find_rounding(
    model: onnx.ModelProto,
    plan: QuantizationPlan,
    dialect: Dialect,
    statistics: Statistics,
    method: Method,
    *,
    shifts: Shifts | None = None,
    is_half: IsHalf = never_half,
    weights: WeightMemory | None = None,
) -> Rounding:
    """Round to the nearest, with ranges from statistics and biases that keep means.

    Args:
        model: float32 graph of this package.
        plan: what becomes INT8.
        dialect: the rules that the plan was made by.
        statistics: of every tensor of the plan.
        method: how a range comes from statistics.
        shifts: of what the convolutions read, from `activation_shifts` with the same method.
        is_half: where scales have to be FP16 numbers; float32 throughout if absent.
        weights: what earlier calls made of the weights; what is missing is added.
    """
    view = GraphView(model)
    steps = choose_steps(plan, dialect, statistics, method, is_half)
    memory = {} if weights is None else weights
    limit = None if dialect.weights is None else dialect.weights.limit
    convolutions = {}
    for name in plan.convolutions:
        node = view.by_name[name]
        exact, half = view.weight(node.input[1]), is_half(name, 1)
        if (name, half) not in memory:
            memory[name, half] = quantize_weight(exact, half, limit)
        convolutions[name] = IntegerConvolution(
            memory[name, half],
            corrected_bias(
                view.weight(node.input[2]),
                exact,
                memory[name, half],
                statistics.tensors[node.input[0]].channel_means,
                attribute(node, "group", 1),
                (shifts or {}).get(name),
            ),
        )
    return Rounding(steps, convolutions, tensors_read(view, plan))
