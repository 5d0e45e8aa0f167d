"""Reading access to an ONNX graph: who makes and who uses a tensor, constants, counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


class GraphView:
    """A model with its tensors indexed by name.

    Args:
        model: not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.nodes = list(model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producers = {output: node for node in self.nodes for output in node.output if output}

    @cached_property
    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """Nodes that read a tensor."""
        found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                if name:
                    found[name].append(node)
        return found

    @cached_property
    def operators(self) -> Counter[str]:
        """Nodes by operator."""
        return Counter(node.op_type for node in self.nodes)

    @cached_property
    def types(self) -> dict[str, int]:
        """Element type of every tensor whose type is known (onnx.TensorProto.DataType)."""
        values = [*self.graph.input, *self.graph.output, *self.graph.value_info]
        known = {value.name: value.type.tensor_type.elem_type for value in values}
        return known | {name: tensor.data_type for name, tensor in self.initializers.items()}

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return next((entry.version for entry in self.model.opset_import if not entry.domain), 0)

    @property
    def metadata(self) -> dict[str, str]:
        """The model's metadata properties."""
        return {entry.key: entry.value for entry in self.model.metadata_props}

    def constant(self, name: str) -> NDArray[Any] | None:
        """Value of an initializer, or None where `name` is computed."""
        tensor = self.initializers.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def upstream(self, node: onnx.NodeProto, index: int, *through: str) -> onnx.NodeProto | None:
        """The node behind an input, looking through operators named in `through`."""
        producer = self.producers.get(node.input[index])
        while producer is not None and producer.op_type in through:
            producer = self.producers.get(producer.input[0])
        return producer
