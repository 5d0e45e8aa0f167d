"""Reading access to an ONNX graph: who makes and who uses a tensor, types, shapes, constants.

An index over the protobuf, named after onnx-ir's `Value.producer()` and `Value.uses()`. onnx-ir 1.1
itself was tried in its place: a graph that went through it has other bytes (it writes a value_info
for every constant), its index takes several times as long, as importing it does
(`benchmarks/graph_index.py`), and neither the lints nor the writer of Q/DQ became shorter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from yolov12edge.errors import ExportError


class Use(NamedTuple):
    """One reader of a tensor, and the position of the input that reads it."""

    node: onnx.NodeProto
    position: int


class GraphView:
    """A model with its nodes and tensors indexed by name.

    Every index is made when first asked for, of the graph as it is then.

    Args:
        model: not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.nodes = list(model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}

    @cached_property
    def by_name(self) -> dict[str, onnx.NodeProto]:
        """Nodes by name.

        Raises:
            ExportError: a node has no name of its own, as other tools leave them.
        """
        named = {node.name: node for node in self.nodes}
        if len(named) != len(self.nodes) or "" in named:
            raise ExportError(
                "the graph has nodes without a name of their own",
                "pass a file that `yolov12edge export` wrote",
            )
        return named

    @property
    def inputs(self) -> list[onnx.ValueInfoProto]:
        """What the graph is fed: older IR versions list its constants among the inputs too."""
        return [value for value in self.graph.input if value.name not in self.initializers]

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that yields a tensor; None for graph inputs and constants."""
        return self._producers.get(tensor)

    def uses(self, tensor: str) -> list[Use]:
        """Who reads a tensor, in graph order; a node that reads it twice is there twice."""
        return self._uses.get(tensor, [])

    def upstream(self, node: onnx.NodeProto, index: int, *through: str) -> onnx.NodeProto | None:
        """The node behind an input, looking through operators named in `through`."""
        producer = self.producer(node.input[index])
        while producer is not None and producer.op_type in through:
            producer = self.producer(producer.input[0])
        return producer

    def computed_inputs(self, node: onnx.NodeProto) -> list[int]:
        """Positions of the inputs of a node that are no constants."""
        return [
            index for index, name in enumerate(node.input) if name and name not in self.initializers
        ]

    @cached_property
    def operators(self) -> Counter[str]:
        """Nodes by operator."""
        return Counter(node.op_type for node in self.nodes)

    @cached_property
    def types(self) -> dict[str, int]:
        """Element type of every tensor whose type is known (onnx.TensorProto.DataType)."""
        known = {name: value.elem_type for name, value in self._declared.items()}
        return known | {name: tensor.data_type for name, tensor in self.initializers.items()}

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Dimensions of a tensor; a symbolic one counts as 1.

        Raises:
            ExportError: the graph does not tell.
        """
        if tensor not in self._declared:
            raise ExportError(f"no shape is known of {tensor}", "quantize the float32 model.onnx")
        return tuple(max(1, side.dim_value) for side in self._declared[tensor].shape.dim)

    def constant(self, name: str) -> NDArray[Any] | None:
        """Value of a constant, or None where `name` is computed."""
        tensor = self.initializers.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def weight(self, name: str) -> NDArray[Any]:
        """Value of a constant.

        Raises:
            ExportError: the tensor is computed.
        """
        value = self.constant(name)
        if value is None:
            raise ExportError(f"{name} is not a constant", "quantize the float32 model.onnx")
        return value

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return next((entry.version for entry in self.model.opset_import if not entry.domain), 0)

    @property
    def metadata(self) -> dict[str, str]:
        """The model's metadata properties."""
        return {entry.key: entry.value for entry in self.model.metadata_props}

    @cached_property
    def _producers(self) -> dict[str, onnx.NodeProto]:
        return {output: node for node in self.nodes for output in node.output if output}

    @cached_property
    def _uses(self) -> dict[str, list[Use]]:
        found: dict[str, list[Use]] = defaultdict(list)
        for node in self.nodes:
            for index, name in enumerate(node.input):
                if name:
                    found[name].append(Use(node, index))
        return dict(found)

    @cached_property
    def _declared(self) -> dict[str, Any]:
        """Tensor type of every value that the graph declares."""
        values = [*self.graph.input, *self.graph.value_info, *self.graph.output]
        return {value.name: value.type.tensor_type for value in values}


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)
