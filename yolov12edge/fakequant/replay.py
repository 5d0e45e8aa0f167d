"""An ONNX graph of this package in torch, node by node, so that gradients flow through it.

Only what the exporter writes into float graphs is known: a graph with another operator is refused,
not approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper
from torch import Tensor

from yolov12edge.errors import ExportError
from yolov12edge.graph.view import GraphView

Values = dict[str, Tensor]
Read = Callable[[onnx.NodeProto, int, Tensor], Tensor]
"""What a node reads in place of a value, given the position of its input."""


class Replay:
    """Computes tensors of a graph from others.

    Args:
        model: float32 graph of this package; not changed.

    Attributes:
        view: of the graph.
        constants: every initializer by name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.view = GraphView(model)
        self.constants: Values = {
            name: torch.from_numpy(np.array(self.view.weight(name)))
            for name in self.view.initializers
        }
        self._attributes = {node.name: _attributes(node) for node in self.view.by_name.values()}

    def run(
        self,
        nodes: Sequence[onnx.NodeProto],
        values: Values,
        *,
        read: Read | None = None,
        constants: Mapping[str, Tensor] | None = None,
    ) -> Values:
        """Run some nodes.

        Args:
            nodes: of the graph, in graph order.
            values: what they read from outside, by name; what they yield is added.
            read: asked about every computed input.
            constants: take the place of initializers of these names.

        Raises:
            ExportError: an operator that the exporter does not write.
        """
        stored = self.constants if constants is None else {**self.constants, **constants}
        for node in nodes:
            inputs: list[Tensor | None] = []
            for index, name in enumerate(node.input):
                if not name:
                    inputs.append(None)
                elif name in stored:
                    inputs.append(stored[name])
                else:
                    value = values[name]
                    inputs.append(value if read is None else read(node, index, value))
            found = _operator(node)(*inputs, **self._attributes[node.name])
            outputs = found if isinstance(found, tuple) else (found,)
            values.update(zip(node.output, outputs, strict=True))
        return values


def _operator(node: onnx.NodeProto) -> Callable[..., Any]:
    operator = _OPERATORS.get(node.op_type)
    if operator is None:
        raise ExportError(
            f"{node.name}: INT8 cannot be learned through {node.op_type}",
            "quantize with --effort quick",
        )
    return operator


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type == "Split":
        found["parts"] = len(node.output)
    return found


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Sequence[int] = (),
    pads: Sequence[int] = (),
    dilations: Sequence[int] = (),
    group: int = 1,
    **_: Any,
) -> Tensor:
    sides = x.ndim - 2
    before, after = tuple(pads[:sides]), tuple(pads[sides:])
    if before != after:
        ends = zip(reversed(before), reversed(after), strict=True)
        x, before = F.pad(x, [side for pair in ends for side in pair]), ()
    convolve = F.conv1d if sides == 1 else F.conv2d
    once, none = (1,) * sides, (0,) * sides
    stride, dilation = tuple(strides) or once, tuple(dilations) or once
    return convolve(x, weight, bias, stride, before or none, dilation, group)


def _conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    strides: Sequence[int] = (1, 1),
    group: int = 1,
    **_: Any,
) -> Tensor:
    return F.conv_transpose2d(x, weight, bias, tuple(strides), groups=group)


def _split(
    x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, parts: int
) -> tuple[Tensor, ...]:
    return torch.split(x, x.shape[axis] // parts if sizes is None else sizes.tolist(), dim=axis)


def _reshape(x: Tensor, shape: Tensor) -> Tensor:
    # A zero keeps the side that is there.
    return x.reshape([x.shape[at] if side == 0 else side for at, side in enumerate(shape.tolist())])


def _slice(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    where = [slice(None)] * x.ndim
    places = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(places, starts.tolist(), ends.tolist(), strides, strict=True):
        where[axis] = slice(start, end, step)
    return x[tuple(where)]


def _resize(x: Tensor, _roi: Tensor | None, scales: Tensor, **_: Any) -> Tensor:
    rows, columns = (round(side) for side in scales[2:].tolist())
    return x.repeat_interleave(rows, dim=2).repeat_interleave(columns, dim=3)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": torch.add,
    "Concat": lambda *parts, axis: torch.cat(parts, dim=axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": torch.div,
    "MatMul": torch.matmul,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "ReduceSum": lambda x, axes, *, keepdims=1: x.sum(axes.tolist(), keepdim=bool(keepdims)),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": torch.sigmoid,
    "Slice": _slice,
    "Softmax": lambda x, *, axis=-1: torch.softmax(x, dim=axis),
    "Split": _split,
    "Sub": torch.sub,
    "Swish": lambda x, *, alpha=1.0: x * torch.sigmoid(alpha * x),
    "Tanh": torch.tanh,
    "Transpose": lambda x, *, perm: x.permute(*perm),
}
