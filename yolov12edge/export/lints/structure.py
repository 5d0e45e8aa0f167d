"""Leftovers that a clean graph does not have."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from yolov12edge.export.lints.registry import Lint, Violation, register
from yolov12edge.graph.view import GraphView


@register
class DeadNodes(Lint):
    """No output of the node is used."""

    name = "dead-nodes"
    severity = "warning"
    subject = "all nodes"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a dead node."""
        outputs = {output.name for output in view.graph.output}
        for node in view.nodes:
            if not any(view.uses(name) or name in outputs for name in node.output):
                yield Violation(
                    node.name, f"{node.op_type} {node.name} computes nothing that is used"
                )

    def looks_at(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """At every node."""
        return True


@register
class UnusedConstants(Lint):
    """A constant nobody reads only makes the file larger."""

    name = "unused-constants"
    severity = "warning"
    subject = "constants that no node reads"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message an unused constant."""
        for name in view.initializers:
            if not view.uses(name):
                yield Violation(name, f"constant {name} is never read")


@register
class FoldableNodes(Lint):
    """A node whose inputs are all constants should be a constant."""

    name = "foldable-nodes"
    severity = "warning"
    subject = "nodes that are not kept on purpose"
    # Kept as they are: a quantized graph holds its weights behind these on purpose.
    kept = frozenset({"DequantizeLinear", "QuantizeLinear", "Cast"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a foldable node."""
        for node in view.nodes:
            constant = all(name in view.initializers for name in node.input if name)
            if constant and node.op_type not in self.kept:
                yield Violation(node.name, f"{node.op_type} {node.name} has only constant inputs")

    def looks_at(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """At every node that is not kept on purpose."""
        return node.op_type not in self.kept


@register
class Identities(Lint):
    """Identity, Dropout and a batch norm of its own have no place in an inference graph."""

    name = "identities"
    severity = "warning"
    subject = "Identity, Dropout and BatchNormalization"
    operators = frozenset({"Identity", "Dropout", "BatchNormalization"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a leftover."""
        for node in view.nodes:
            if node.op_type in self.operators:
                yield Violation(node.name, f"{node.op_type} {node.name} should have been folded")


@register
class ShapeArithmetic(Lint):
    """Shapes computed at run time keep builders from planning memory and from DLA."""

    name = "shape-arithmetic"
    severity = "warning"
    subject = "operators on shapes"
    operators = frozenset({"Shape", "ConstantOfShape", "Range", "NonZero", "Loop", "If", "Scan"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a shape operator."""
        for node in view.nodes:
            if node.op_type in self.operators:
                yield Violation(
                    node.name, f"{node.op_type} {node.name} works on shapes at run time"
                )
