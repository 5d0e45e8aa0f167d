"""In which precision the nodes of a graph compute: the one answer for all who ask.

What a graph says of itself is cheap to read (`uses_half`, `is_quantized`, `lowest_precision`: nodes
and constants' types alone). The precision of every node needs the types of all tensors: infer
shapes first where a file may not declare them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto

from yolov12edge.graph.view import GraphView

# Operators that hand values on as they are: INT8 passes through.
MOVES = frozenset({"Concat", "Split", "Resize", "Reshape", "Transpose", "Slice", "MaxPool"})
# Lowest first, as manifests list them.
PRECISIONS = ("int8", "fp16", "fp32")
_PLUMBING = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
_FLOATS: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.DOUBLE: "fp64",
}


def is_quantized(view: GraphView) -> bool:
    """Whether a graph computes in INT8 somewhere: it has QuantizeLinear nodes."""
    return any(node.op_type == "QuantizeLinear" for node in view.nodes)


def uses_half(view: GraphView) -> bool:
    """Whether a graph holds FP16 somewhere: a constant, an input, or what a cast makes."""
    half = TensorProto.FLOAT16
    return (
        any(tensor.data_type == half for tensor in view.initializers.values())
        or any(value.type.tensor_type.elem_type == half for value in view.graph.input)
        or any(
            entry.i == half if entry.name == "to" else entry.t.data_type == half
            for node in view.nodes
            if node.op_type in ("Cast", "Constant", "ConstantOfShape")
            for entry in node.attribute
        )
    )


def lowest_precision(view: GraphView) -> str:
    """int8, fp16 or fp32: the lowest that a graph computes in anywhere."""
    return "int8" if is_quantized(view) else "fp16" if uses_half(view) else "fp32"


def result_precision(view: GraphView, node: onnx.NodeProto) -> str:
    """Type of what a node yields.

    "integer" is arithmetic on indices and shapes, "unknown" a type that the graph does not tell.
    """
    kind = view.types.get(node.output[0]) if node.output else None
    return _FLOATS.get(kind, "integer") if kind else "unknown"


def node_precisions(view: GraphView) -> Iterator[tuple[onnx.NodeProto, str]]:
    """Every node with the precision it computes in; casts, Quantize- and DequantizeLinear left out.

    A node is INT8 if all its floating-point operands come out of DequantizeLinear, as engine
    builders read explicit quantization; else the type of its result counts.
    """
    restored: set[str] = set()
    for node in view.nodes:
        if node.op_type == "DequantizeLinear":
            restored.update(node.output)
        if node.op_type in _PLUMBING:
            continue
        operands = [name for name in node.input[:2] if view.types.get(name) in _FLOATS]
        if operands and restored.issuperset(operands):
            if node.op_type in MOVES:
                restored.update(node.output)
            yield node, "int8"
        else:
            yield node, result_precision(view, node)


def count_precisions(view: GraphView) -> dict[str, int]:
    """Nodes by the precision they compute in, most frequent first."""
    return dict(Counter(kind for _, kind in node_precisions(view)).most_common())


def lowest_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of int8, fp16 and fp32 in this order, without those that do not occur."""
    return {name: counts[name] for name in PRECISIONS if counts.get(name)}


def main_precision(view: GraphView) -> str | None:
    """ "int8" if a graph computes in it anywhere, else the precision of most nodes."""
    counts = count_precisions(view)
    return "int8" if "int8" in counts else next(iter(counts), None)
