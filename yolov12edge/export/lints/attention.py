"""Whether attention has the form that engine builders fuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from yolov12edge.export.lints.registry import Lint, Violation, register
from yolov12edge.graph.view import GraphView

_LAYOUT = ("Transpose", "Reshape", "Cast", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class AttentionBlock:
    """One attention of a graph.

    Attributes:
        name: of the node that normalises the scores.
        obstacles: what keeps engine builders from fusing it, one line each; empty if nothing.
    """

    name: str
    obstacles: tuple[str, ...]


def attention_blocks(view: GraphView) -> list[AttentionBlock]:
    """Every attention of a graph, with Softmax or with a softmax spelled out."""
    blocks = [
        AttentionBlock(
            node.name,
            tuple(found.message for found in (*_scaled_late(view, node), *_value_left(view, node))),
        )
        for node in attention_softmaxes(view)
    ]
    blocks += [
        AttentionBlock(node.name, (_spelled_out(node).message,))
        for node in handwritten_softmaxes(view)
    ]
    return blocks


def attention_softmaxes(view: GraphView) -> list[onnx.NodeProto]:
    """Softmax nodes that normalise the scores of an attention product."""
    return [
        node
        for node in view.nodes
        if node.op_type == "Softmax"
        and (producer := view.upstream(node, 0, *_LAYOUT, "Mul", "Div")) is not None
        and producer.op_type == "MatMul"
    ]


def handwritten_softmaxes(view: GraphView) -> list[onnx.NodeProto]:
    """Divisions of an exponential by its sum."""
    found = []
    for node in view.nodes:
        if node.op_type == "Div":
            above, below = (view.upstream(node, index, "Cast") for index in (0, 1))
            operators = (above and above.op_type, below and below.op_type)
            if operators == ("Exp", "ReduceSum"):
                found.append(node)
    return found


def _scaled_late(view: GraphView, node: onnx.NodeProto) -> Iterator[Violation]:
    producer = view.upstream(node, 0, *_LAYOUT)
    if producer is not None and producer.op_type in ("Mul", "Div"):
        yield Violation(node.name, f"{node.name}: the scale stands between the product and Softmax")


def _value_left(view: GraphView, node: onnx.NodeProto) -> Iterator[Violation]:
    for product in _products(view, node):
        if view.upstream(product, 0, *_LAYOUT) is not node:
            yield Violation(
                product.name, f"{product.name}: V stands on the left of the second product"
            )


def _products(view: GraphView, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Matrix products that read a node's output, at once or through layout operators."""
    found: list[onnx.NodeProto] = []
    tensors, seen = [node.output[0]], set[str]()
    while tensors:
        tensor = tensors.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        for consumer, _ in view.uses(tensor):
            if consumer.op_type == "MatMul":
                found.append(consumer)
            elif consumer.op_type in _LAYOUT:
                tensors.append(consumer.output[0])
    return found


def _spelled_out(node: onnx.NodeProto) -> Violation:
    return Violation(node.name, f"{node.name}: a softmax spelled out")


@register
class ScaleBeforeProduct(Lint):
    """TensorRT fuses attention only if Q or K is scaled before the first product."""

    name = "attention-scale"
    severity = "warning"
    subject = "softmaxes of attention"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message an attention block that scales its scores."""
        for node in attention_softmaxes(view):
            yield from _scaled_late(view, node)

    def looks_at(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """At softmaxes of attention."""
        return any(node is softmax for softmax in attention_softmaxes(view))


@register
class ValueOnTheRight(Lint):
    """TensorRT's pattern ends in Softmax x V; V x Softmax^T is not recognised."""

    name = "attention-value"
    severity = "warning"
    subject = "products behind a softmax of attention"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message an attention block with V on the left."""
        for node in attention_softmaxes(view):
            yield from _value_left(view, node)

    def looks_at(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """At the products that read a softmax of attention."""
        return node.op_type == "MatMul" and any(
            node is product
            for softmax in attention_softmaxes(view)
            for product in _products(view, softmax)
        )


@register
class HandWrittenSoftmax(Lint):
    """max, exp, sum and division in place of Softmax hide attention from every pattern matcher."""

    name = "softmax"
    severity = "warning"
    subject = "divisions"
    operators = frozenset({"Div"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a hand-written softmax."""
        for node in handwritten_softmaxes(view):
            yield _spelled_out(node)
