"""INT8 written into the graph as explicit Q/DQ, placed by the rules of a dialect.

Every target reads the same form: TensorRT of all versions, TensorRT-RTX, OpenVINO and ONNX Runtime.
Where the target takes its types from the graph, what is not INT8 is FP16: the Q/DQ pairs are then
written into the FP16 twin, with FP16 scales.

By hand, and not by ModelOpt, NNCF or ONNX Runtime's quantizer: each places Q/DQ for a runtime of
its own, while ranges, rules and corrections are chosen here by the drift of one file for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.errors import ExportError
from yolov12edge.files import write_bytes
from yolov12edge.graph.load import load_graph
from yolov12edge.graph.precisions import count_precisions, lowest_first
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.integers import Rounding, WeightMemory, find_rounding
from yolov12edge.quantize.observers import Statistics
from yolov12edge.quantize.policy import QuantizationPlan
from yolov12edge.quantize.qdq import QdqWriter
from yolov12edge.quantize.ranges import Method
from yolov12edge.quantize.rules import Dialect
from yolov12edge.quantize.shifts import Shifts


@dataclass(frozen=True)
class Int8Conversion:
    """What became of the graph.

    Attributes:
        path: the INT8 file.
        nodes: number of nodes by precision; Q/DQ and casts are left out.
        kept: convolutions and products left in float, and the rule that did.
        method: how ranges were chosen.
        images: calibration images.
        rounding: the whole numbers in it.
    """

    path: Path
    nodes: dict[str, int]
    kept: dict[str, str]
    method: Method
    images: int
    rounding: Rounding


def quantize_int8(
    source: Path,
    target: Path,
    plan: QuantizationPlan,
    dialect: Dialect,
    statistics: Statistics,
    method: Method,
    *,
    twin: Path | None = None,
    kept_fp32: Mapping[str, str] | None = None,
    shifts: Shifts | None = None,
    corrections: Mapping[str, NDArray[np.float32]] | None = None,
    weights: WeightMemory | None = None,
    rounding: Rounding | None = None,
) -> Int8Conversion:
    """Write an INT8 twin of a float32 ONNX file.

    Args:
        source: float32 ONNX of this package.
        target: where the INT8 file goes.
        plan: what becomes INT8, from `plan_quantization` on the same file.
        dialect: the rules that the plan was made by.
        statistics: of every tensor of the plan.
        method: how a range comes from statistics.
        twin: FP16 twin of `source`, where what stays float is to be FP16.
        kept_fp32: nodes that the twin keeps in float32, and why.
        shifts: of what the convolutions read, from `activation_shifts` with the same method.
        corrections: added to the bias of these convolutions, from `score_corrections`.
        weights: what earlier calls with this source and dialect made of the weights, which
            depends on neither method nor images; what is missing is added.
        rounding: steps, weights and biases that were learned, in place of the nearest.

    Raises:
        ExportError: statistics of another graph.
    """
    _refuse_missing(plan, statistics)
    view = GraphView(load_graph(source))
    writer = QdqWriter(view.model if twin is None else load_graph(twin))
    if rounding is None:
        rounding = find_rounding(
            view.model,
            plan,
            dialect,
            statistics,
            method,
            shifts=shifts,
            is_half=writer.is_half,
            weights=weights,
        )
    nodes = _write(writer, target, plan, rounding, corrections or {}, view.metadata)
    kept = {**plan.kept, **(kept_fp32 or {})}
    return Int8Conversion(target, nodes, kept, method, statistics.images, rounding)


def write_rounding(
    model: onnx.ModelProto,
    target: Path,
    plan: QuantizationPlan,
    rounding: Rounding,
    *,
    twin: Path | None = None,
    corrections: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, int]:
    """Write the INT8 twin of a float32 graph whose whole numbers are known.

    Args:
        model: float32 graph of this package.
        target: where the INT8 file goes.
        plan: what becomes INT8, from `plan_quantization` on the same graph.
        rounding: of that plan.
        twin: FP16 twin of the graph, where what stays float is to be FP16.
        corrections: added to the bias of these convolutions.

    Returns:
        number of nodes by precision.
    """
    writer = QdqWriter(model if twin is None else load_graph(twin))
    metadata = GraphView(model).metadata
    return _write(writer, target, plan, rounding, corrections or {}, metadata)


def _write(
    writer: QdqWriter,
    target: Path,
    plan: QuantizationPlan,
    rounding: Rounding,
    corrections: Mapping[str, NDArray[np.float32]],
    metadata: Mapping[str, str],
) -> dict[str, int]:
    for tensor, edges in plan.edges.items():
        writer.quantize_tensor(edges, rounding.steps[tensor])
    for name, one in rounding.convolutions.items():
        writer.quantize_weight(name, one.weight, one.bias)
    for name, change in corrections.items():
        writer.shift_bias(name, change)
    written = writer.finish(metadata)
    write_bytes(target, written.SerializeToString(deterministic=True))
    return lowest_first(count_precisions(GraphView(written)))


def _refuse_missing(plan: QuantizationPlan, statistics: Statistics) -> None:
    missing = [tensor for tensor in plan.tensors if tensor not in statistics.tensors]
    if missing:
        raise ExportError(
            f"no calibration statistics for {missing[0]}", "calibrate with this graph again"
        )


def observed_tensors(source: onnx.ModelProto, plans: Sequence[QuantizationPlan]) -> list[str]:
    """Tensors whose statistics the plans need: what is quantized, and what convolutions read."""
    nodes = GraphView(source).by_name
    names = [tensor for plan in plans for tensor in plan.tensors]
    names += [nodes[conv].input[0] for plan in plans for conv in plan.convolutions]
    return list(dict.fromkeys(names))
