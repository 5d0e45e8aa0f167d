"""In which types the nodes of a graph compute."""

from __future__ import annotations

from collections import Counter

from onnx import TensorProto

from yolov12edge.graph.view import GraphView

_PLUMBING = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
# They hand INT8 values on as they are.
_MOVES = frozenset({"Concat", "Split", "Resize", "Reshape", "Transpose", "Slice", "MaxPool"})
_FLOATS: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.DOUBLE: "fp64",
}


def count_precisions(view: GraphView) -> dict[str, int]:
    """Nodes by the precision they compute in, most frequent first.

    A node is INT8 if all its floating-point operands come out of DequantizeLinear, as engine
    builders read explicit quantization; else the type of its result counts. Casts, Quantize- and
    DequantizeLinear are left out. "integer" is arithmetic on indices and shapes, "unknown" a
    result whose type the graph does not tell.
    """
    restored: set[str] = set()
    counts: Counter[str] = Counter()
    for node in view.nodes:
        if node.op_type == "DequantizeLinear":
            restored.update(node.output)
        if node.op_type in _PLUMBING:
            continue
        operands = [name for name in node.input[:2] if view.types.get(name) in _FLOATS]
        if operands and restored.issuperset(operands):
            counts["int8"] += 1
            if node.op_type in _MOVES:
                restored.update(node.output)
        else:
            kind = view.types.get(node.output[0]) if node.output else None
            counts[_FLOATS.get(kind, "integer") if kind else "unknown"] += 1
    return dict(counts.most_common())
