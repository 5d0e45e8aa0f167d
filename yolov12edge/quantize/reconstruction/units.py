"""The parts of a graph that are learned one after the other.

A part is one INT8 convolution with its activation and the residual sum behind it. Larger ones
gained nothing at eight bits (docs/quantization.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.policy import QuantizationPlan

_ACTIVATION = frozenset({"Sigmoid", "Mul", "Swish", "Tanh", "Add"})
_SUMS = frozenset({"Add", "Sub"})


@dataclass(frozen=True)
class Unit:
    """Nodes that run together.

    Attributes:
        nodes: in graph order.
        convolution: the one that is learned; None where there is nothing to learn.
        end: the tensor that they yield; of a node without a convolution its first output.
    """

    nodes: tuple[onnx.NodeProto, ...]
    convolution: str | None
    end: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it reads from outside, constants among it."""
        made = {output for node in self.nodes for output in node.output}
        read = (name for node in self.nodes for name in node.input if name and name not in made)
        return tuple(dict.fromkeys(read))


def split_units(view: GraphView, plan: QuantizationPlan) -> list[Unit]:
    """All nodes of a float graph, in an order in which they can run."""
    place = {node.name: position for position, node in enumerate(view.nodes)}
    taken: set[str] = set()
    units: list[tuple[int, Unit]] = []
    for name in plan.convolutions:
        nodes, end = _grow(view, view.by_name[name], taken)
        taken |= {node.name for node in nodes}
        ordered = tuple(sorted(nodes, key=lambda node: place[node.name]))
        units.append((place[ordered[-1].name], Unit(ordered, name, end)))
    units += [
        (place[node.name], Unit((node,), None, node.output[0]))
        for node in view.nodes
        if node.name not in taken
    ]
    return [unit for _, unit in sorted(units, key=lambda pair: pair[0])]


def _grow(
    view: GraphView, conv: onnx.NodeProto, taken: set[str]
) -> tuple[list[onnx.NodeProto], str]:
    """A convolution with what depends on it alone, and the one tensor that leaves it."""
    nodes, inside = [conv], {conv.output[0]}
    while (more := _next(view, inside, nodes, taken)) is not None:
        nodes.append(more)
        inside |= set(more.output)
    leaving = [name for name in inside if _leaves(view, name, nodes)]
    if len(leaving) != 1:
        return [conv], conv.output[0]
    uses = view.uses(leaving[0])
    if len(uses) == 1 and uses[0].node.op_type in _SUMS and uses[0].node.name not in taken:
        total = uses[0].node
        return [*nodes, total], total.output[0]
    return nodes, leaving[0]


def _next(
    view: GraphView, inside: set[str], nodes: list[onnx.NodeProto], taken: set[str]
) -> onnx.NodeProto | None:
    names = {node.name for node in nodes} | taken
    for tensor in inside:
        for use in view.uses(tensor):
            node = use.node
            computed = {node.input[index] for index in view.computed_inputs(node)}
            if node.op_type in _ACTIVATION and node.name not in names and computed <= inside:
                return node
    return None


def _leaves(view: GraphView, tensor: str, nodes: list[onnx.NodeProto]) -> bool:
    names = {node.name for node in nodes}
    outputs = {value.name for value in view.graph.output}
    return tensor in outputs or any(use.node.name not in names for use in view.uses(tensor))
