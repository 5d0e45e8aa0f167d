"""Whether attention has the form that engine builders fuse."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from yolov12edge.export.graph_view import GraphView
from yolov12edge.export.lints.registry import Lint, register

_LAYOUT = ("Transpose", "Reshape", "Cast", "QuantizeLinear", "DequantizeLinear")


def attention_softmaxes(view: GraphView) -> list[onnx.NodeProto]:
    """Softmax nodes that normalise the scores of an attention product."""
    return [
        node
        for node in view.nodes
        if node.op_type == "Softmax"
        and (producer := view.upstream(node, 0, *_LAYOUT, "Mul", "Div")) is not None
        and producer.op_type == "MatMul"
    ]


@register
class ScaleBeforeProduct(Lint):
    """TensorRT fuses attention only if Q or K is scaled before the first product."""

    name = "attention-scale"
    severity = "warning"

    def check(self, view: GraphView) -> Iterator[str]:
        """Yield one message an attention block that scales its scores."""
        for node in attention_softmaxes(view):
            producer = view.upstream(node, 0, *_LAYOUT)
            if producer is not None and producer.op_type in ("Mul", "Div"):
                yield f"{node.name}: the scale stands between the product and Softmax"


@register
class ValueOnTheRight(Lint):
    """TensorRT's pattern ends in Softmax x V; V x Softmax^T is not recognised."""

    name = "attention-value"
    severity = "warning"

    def check(self, view: GraphView) -> Iterator[str]:
        """Yield one message an attention block with V on the left."""
        for node in attention_softmaxes(view):
            for consumer in self._products(view, node):
                if view.upstream(consumer, 0, *_LAYOUT) is not node:
                    yield f"{consumer.name}: V stands on the left of the second product"

    def _products(self, view: GraphView, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        for consumer in view.consumers.get(node.output[0], []):
            if consumer.op_type == "MatMul":
                yield consumer
            elif consumer.op_type in _LAYOUT:
                yield from self._products(view, consumer)


@register
class HandWrittenSoftmax(Lint):
    """max, exp, sum and division in place of Softmax hide attention from every pattern matcher."""

    name = "softmax"
    severity = "warning"

    def check(self, view: GraphView) -> Iterator[str]:
        """Yield one message a hand-written softmax."""
        for node in view.nodes:
            if node.op_type != "Div":
                continue
            above = view.upstream(node, 0, "Cast")
            below = view.upstream(node, 1, "Cast")
            if (
                above is not None
                and below is not None
                and above.op_type == "Exp"
                and below.op_type == "ReduceSum"
            ):
                yield f"{node.name}: a softmax spelled out"
