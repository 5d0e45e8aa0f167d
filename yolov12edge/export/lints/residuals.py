"""A known silent miscompile of TensorRT: sums that read a part of a join.

TensorRT 11.2 and 11.3 were reported to compute a fused convolution, activation and residual sum
wrong in FP16 where the other side of the sum lies in a buffer of a Concat, as a strided view
(NVIDIA/TensorRT#4854: YOLO26m from 0.701 to 0.458 mAP50, scores right, boxes wrong).
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from yolov12edge.export.lints.registry import Lint, Violation, register
from yolov12edge.graph.view import GraphView

_LAYOUT = ("Cast", "QuantizeLinear", "DequantizeLinear")
_ACTIVATIONS = ("Mul", "Swish", "Relu", "HardSwish")


def _activated_convolution(view: GraphView, tensor: str) -> bool:
    """Whether a tensor is what an activation makes of a convolution."""
    node = _producer(view, tensor)
    if node is None or node.op_type not in _ACTIVATIONS:
        return False
    above = _producer(view, node.input[0])
    return above is not None and above.op_type in ("Conv", "ConvTranspose")


def _part_of_a_join(view: GraphView, tensor: str) -> bool:
    """Whether a tensor, as it is or in INT8, is also one of several that a Concat joins."""
    tensors, seen = [tensor], set[str]()
    while tensors:
        name = tensors.pop()
        if name in seen:
            continue
        seen.add(name)
        producer = view.producer(name)
        if producer is not None and producer.op_type in _LAYOUT:
            tensors.append(producer.input[0])
        for reader, _ in view.uses(name):
            if reader.op_type == "Concat" and len(reader.input) > 1:
                return True
            if reader.op_type in _LAYOUT:
                tensors.append(reader.output[0])
    return False


def _producer(view: GraphView, tensor: str) -> onnx.NodeProto | None:
    node = view.producer(tensor)
    while node is not None and node.op_type in _LAYOUT:
        node = view.producer(node.input[0])
    return node


@register
class StridedResidual(Lint):
    """Convolution, activation and residual sum in one kernel that reads a view of a join."""

    name = "strided-residual"
    severity = "warning"
    subject = "sums"
    operators = frozenset({"Add"})
    builders_only = True
    affected = ("11.2", "11.3")

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a sum of that kind."""
        for node in view.nodes:
            if node.op_type != "Add" or len(node.input) != 2:
                continue
            for mine, other in (node.input, reversed(node.input)):
                if _activated_convolution(view, mine) and _part_of_a_join(view, other):
                    yield Violation(
                        node.name,
                        f"{node.name}: adds an activated convolution to a part of a join, which "
                        "TensorRT 11.2 and 11.3 may compute wrong in FP16, boxes before scores; "
                        "`graph: {halves: whole}` in the recipe leaves no such sum",
                    )
                    break
