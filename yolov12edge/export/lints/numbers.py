"""Weights that no runtime can compute with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from yolov12edge.export.lints.registry import Lint, Violation, register
from yolov12edge.graph.view import GraphView

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@register
class NonFiniteWeights(Lint):
    """NaN or infinity in a constant spreads through the whole image."""

    name = "non-finite-weights"
    severity = "error"
    subject = "constants"

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a broken constant."""
        for name, tensor in view.initializers.items():
            if tensor.data_type not in _FLOATS:
                continue
            if not np.isfinite(numpy_helper.to_array(tensor)).all():
                yield Violation(name, f"constant {name} holds NaN or infinity")

    def looks_at(self, view: GraphView, node: onnx.NodeProto) -> bool:
        """At the constants that a node reads."""
        return any(name in view.initializers for name in node.input)


@register
class DeadChannels(Lint):
    """An all-zero output channel of a convolution cannot carry a signal."""

    name = "dead-channels"
    severity = "warning"
    subject = "convolutions"
    operators = frozenset({"Conv"})

    def check(self, view: GraphView) -> Iterator[Violation]:
        """Yield one message a convolution with all-zero channels."""
        for node in view.nodes:
            if node.op_type != "Conv":
                continue
            weight = _stored_weight(view, node)
            if weight is None:
                continue
            dead = int((np.abs(weight).reshape(len(weight), -1).max(axis=1) == 0).sum())
            if dead:
                yield Violation(
                    node.name,
                    f"{node.name}: {dead} of {len(weight)} output channels are all zero",
                )


def _stored_weight(view: GraphView, conv: onnx.NodeProto) -> NDArray[Any] | None:
    """Weights of a convolution, also where they are INT8 behind a DequantizeLinear."""
    source = view.producer(conv.input[1])
    restored = source is not None and source.op_type == "DequantizeLinear"
    return view.constant(source.input[0] if restored and source else conv.input[1])
