"""What quantization needs to know about a graph: who makes a tensor, constants, types."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from yolov12edge.errors import ExportError

# Operators that move values without changing them: INT8 passes through as it is.
MOVES = frozenset({"Concat", "Split", "Resize", "Reshape", "Transpose", "Slice"})


class Graph:
    """A model with its nodes and tensors indexed by name.

    Args:
        model: a graph of this package, every node named.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: dict[str, onnx.NodeProto] = {node.name: node for node in model.graph.node}
        if len(self.nodes) != len(model.graph.node) or "" in self.nodes:
            raise ExportError(
                "the graph has nodes without a name of their own",
                "quantize a file that `yolov12edge export` wrote",
            )
        self.producers = {output: node for node in model.graph.node for output in node.output}
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
        self._types = {value.name: value.type.tensor_type for value in values}

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """Node that yields a tensor; None for graph inputs and constants."""
        return self.producers.get(tensor)

    def consumers(self, tensor: str) -> list[onnx.NodeProto]:
        """Nodes that read a tensor."""
        return [node for node in self.model.graph.node if tensor in node.input]

    def constant(self, name: str) -> NDArray[Any]:
        """Value of a constant.

        Raises:
            ExportError: the tensor is computed.
        """
        if name not in self.constants:
            raise ExportError(f"{name} is not a constant", "quantize the float32 model.onnx")
        return np.asarray(numpy_helper.to_array(self.constants[name]))

    def data_inputs(self, node: onnx.NodeProto) -> list[int]:
        """Positions of the inputs that are computed from the image."""
        return [
            index for index, name in enumerate(node.input) if name and name not in self.constants
        ]

    def element_type(self, tensor: str) -> int:
        """onnx.TensorProto.DataType of a tensor."""
        if tensor in self.constants:
            return int(self.constants[tensor].data_type)
        return int(self._types[tensor].elem_type)

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Dimensions; a symbolic one counts as 1."""
        return tuple(max(1, side.dim_value) for side in self._types[tensor].shape.dim)
