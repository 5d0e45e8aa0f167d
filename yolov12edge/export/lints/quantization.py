"""Whether Q/DQ pairs have the form that engine builders take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from yolov12edge.export.lints.registry import Lint, Violation, register
from yolov12edge.graph.saturation import int8_convolutions
from yolov12edge.graph.view import GraphView


def _of_type(view: GraphView, *operators: str) -> Iterator[onnx.NodeProto]:
    return (node for node in view.nodes if node.op_type in operators)


def _zero_point(view: GraphView, node: onnx.NodeProto) -> NDArray[Any] | None:
    return view.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None


@register
class BiasPairs(Lint):
    """A bias behind an int32 DequantizeLinear: TensorRT wants biases in float and refuses it."""

    name = "quantized-bias"
    severity = "error"
    subject = "DequantizeLinear"
    operators = frozenset({"DequantizeLinear"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message an int32 DequantizeLinear."""
        for node in _of_type(view, "DequantizeLinear"):
            if view.types.get(node.input[0]) == TensorProto.INT32:
                yield Violation(
                    node.name, f"{node.name} restores int32 values: leave the bias in float"
                )


@register
class ZeroPoints(Lint):
    """TensorRT quantizes symmetrically: zero points are 0 and types int8."""

    name = "zero-points"
    severity = "error"
    subject = "QuantizeLinear and DequantizeLinear"
    operators = frozenset({"QuantizeLinear", "DequantizeLinear"})
    builders_only = True

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a node with another zero point."""
        for node in _of_type(view, "QuantizeLinear", "DequantizeLinear"):
            zero = _zero_point(view, node)
            if zero is None:
                continue
            if zero.any():
                yield Violation(
                    node.name,
                    f"{node.name} has zero point {zero.flat[np.flatnonzero(zero)[0]]}, not 0",
                )
            elif zero.dtype not in (np.int8, np.int32):
                yield Violation(node.name, f"{node.name} has {zero.dtype} values, not int8")


@register
class UnmatchedPairs(Lint):
    """A QuantizeLinear without its DequantizeLinear, or a pair with two different scales."""

    name = "unmatched-pairs"
    severity = "error"
    subject = "QuantizeLinear and DequantizeLinear"
    operators = frozenset({"QuantizeLinear", "DequantizeLinear"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a node without its partner."""
        for node in _of_type(view, "QuantizeLinear"):
            readers = [use.node for use in view.uses(node.output[0])]
            partners = [reader for reader in readers if reader.op_type == "DequantizeLinear"]
            if not readers or len(partners) < len(readers):
                yield Violation(
                    node.name, f"{node.name} is read by something else than DequantizeLinear"
                )
            for partner in partners:
                if not self._same_step(view, node, partner):
                    yield Violation(
                        partner.name,
                        f"{partner.name} restores with another scale than {node.name} took",
                    )
        for node in _of_type(view, "DequantizeLinear"):
            producer = view.producer(node.input[0])
            constant = node.input[0] in view.initializers
            if not constant and (producer is None or producer.op_type != "QuantizeLinear"):
                yield Violation(
                    node.name, f"{node.name} restores values that no QuantizeLinear made"
                )

    def _same_step(self, view: GraphView, one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
        for first, second in zip(one.input[1:], other.input[1:], strict=False):
            a, b = view.constant(first), view.constant(second)
            if first != second and (a is None or b is None or not np.array_equal(a, b)):
                return False
        return True


@register
class ScaleValues(Lint):
    """A scale of 0, below the smallest normal number, or not finite makes values meaningless."""

    name = "scale-values"
    severity = "error"
    subject = "QuantizeLinear and DequantizeLinear"
    operators = frozenset({"QuantizeLinear", "DequantizeLinear"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a node with such a scale."""
        for node in _of_type(view, "QuantizeLinear", "DequantizeLinear"):
            scale = view.constant(node.input[1])
            if scale is None:
                yield Violation(
                    node.name, f"{node.name} has a computed scale: builders need a constant"
                )
                continue
            if not np.isfinite(scale).all():
                yield Violation(node.name, f"{node.name} has a scale that is not finite")
            elif (scale < np.finfo(scale.dtype).tiny).any():
                worst = float(scale.min())
                yield Violation(
                    node.name,
                    f"{node.name} has scale {worst:.3g}, below the smallest normal number",
                )


@register
class SaturatingProducts(Lint):
    """Weights so large that products of INT8 overflow 16 bits on a CPU without VNNI."""

    name = "saturating-products"
    severity = "warning"
    subject = "convolutions of uint8 by int8"
    operators = frozenset({"Conv"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message for the graph: it is the file that is right or wrong on a machine."""
        found = list(int8_convolutions(view))
        wrong = [conv for conv in found if conv.headroom.saturating]
        if wrong:
            worst = max(wrong, key=lambda conv: conv.headroom.used)
            yield Violation(
                worst.node.name,
                f"saturates without VNNI in {len(wrong)} of {len(found)} convolutions: two "
                f"products of {worst.node.name} can reach {worst.headroom.used:.1f} times 16 bits; "
                "quantize the model with this package, or with weights of 7 bits",
            )
