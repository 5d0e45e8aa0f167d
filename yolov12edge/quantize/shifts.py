"""How far rounding moves the mean of every channel that a convolution reads.

Rounding is not fair to SiLU: its small negative values lie within a step or two of zero, so a whole
channel may be rounded in one direction, and what the convolution makes of it is off by a constant.
The constant is measured here and goes into the bias (`corrected_bias`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.observers import Statistics
from yolov12edge.quantize.policy import QuantizationPlan, tensors_read
from yolov12edge.quantize.qdq import IsHalf, Step, find_step, never_half
from yolov12edge.quantize.ranges import Method, choose_range, join
from yolov12edge.quantize.rules import Dialect

Array = NDArray[np.float32]
Shifts = dict[str, NDArray[np.float64]]

# Every so many rows and columns of a map are looked at; odd, to be in step with no upsampling.
STRIDE = 3


def choose_steps(
    plan: QuantizationPlan,
    dialect: Dialect,
    statistics: Statistics,
    method: Method,
    is_half: IsHalf = never_half,
) -> dict[str, Step]:
    """Scale and zero point of every tensor of a plan; FP16 scales where its readers want them."""
    steps: dict[str, Step] = {}
    for group in plan.groups:
        values = join([statistics.tensors[tensor] for tensor in group])
        chosen = choose_range(values, method, dialect.symmetric)
        for tensor in group:
            half = any(is_half(name, index) for name, index in plan.edges[tensor])
            steps[tensor] = find_step(chosen, dialect.symmetric, half)
    return steps


def activation_shifts(
    model: onnx.ModelProto,
    plan: QuantizationPlan,
    choices: Mapping[Method, Mapping[str, Step]],
    images: Iterable[Array],
) -> dict[Method, Shifts]:
    """Mean of the rounding error of every channel that INT8 convolutions read.

    Args:
        model: float32 graph that the plan was made of.
        plan: names the convolutions.
        choices: from `choose_steps`, for one or more methods; one pass serves all.
        images: (3, H, W) RGB in 0..1.

    Returns:
        for every method: name of a convolution to (I,) mean of rounded minus exact values.
    """
    view = GraphView(model)
    inputs = {conv: view.by_name[conv].input[0] for conv in plan.convolutions}
    reads = tensors_read(view, plan)
    used = {tensor: reads[conv] for conv, tensor in inputs.items()}
    probe = Probe(model, list(used))
    sums: dict[Method, Shifts] = {method: {} for method in choices}
    count = 0
    for image in images:
        values = probe(image)
        for name, rounded_at in used.items():
            sample = values[name][:, :, ::STRIDE, ::STRIDE]
            for method, steps in choices.items():
                error = _rounded(sample, steps[rounded_at]) - sample
                mean = error.mean(axis=(0, 2, 3), dtype=np.float64)
                sums[method][name] = sums[method].get(name, 0) + mean
        count += 1
    return {
        method: {conv: found[name] / count for conv, name in inputs.items()}
        for method, found in sums.items()
    }


def _rounded(values: Array, step: Step) -> Array:
    low, high = step.ends
    zero = float(step.zero)
    steps = np.clip(np.rint(values / step.scale) + zero, low, high) - zero
    rounded: Array = (steps * step.scale).astype(np.float32)
    return rounded
