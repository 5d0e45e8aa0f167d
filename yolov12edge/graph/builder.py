"""A small ONNX graph builder: named nodes, shared constants, static shapes known while building."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from yolov12edge import __version__

# The oldest IR that carries each opset: old runtimes refuse a newer one.
_IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
_IR_VERSIONS |= {22: 10, 23: 11, 24: 12}
OPSETS = tuple(_IR_VERSIONS)


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: its name and its shape without the batch."""

    name: str
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        """First dimension after the batch."""
        return self.shape[0]


class GraphBuilder:
    """Collects nodes and constants; names follow the module path that is being emitted.

    Args:
        opset: 13 to 24.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.blocks: list[tuple[str, str]] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._path: list[str] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names inside are prefixed with `name`."""
        self._path.append(name)
        try:
            yield
        finally:
            self._path.pop()

    @property
    def path(self) -> str:
        """Dotted path of the module being emitted, as in the state dict."""
        return ".".join(self._path)

    def mark_block(self, output: Value, *, negative: bool = False) -> Value:
        """Record `output` as what the current module yields, so that drift can be located.

        Args:
            negative: it is the negative of that; its name gets a minus sign in the record.
        """
        self.blocks.append((self.path, f"-{output.name}" if negative else output.name))
        return output

    def add(
        self,
        operator: str,
        inputs: Sequence[Value | str],
        shape: tuple[int, ...],
        role: str = "",
        **attributes: Any,
    ) -> Value:
        """Append a node with one output named `path/role`."""
        return self.add_many(operator, inputs, [shape], [role or operator.lower()], **attributes)[0]

    def add_many(
        self,
        operator: str,
        inputs: Sequence[Value | str],
        shapes: Sequence[tuple[int, ...]],
        roles: Sequence[str],
        **attributes: Any,
    ) -> list[Value]:
        """Append a node with several outputs; the node is named after the operator."""
        outputs = [
            Value(f"{self.path}/{role}", shape) for role, shape in zip(roles, shapes, strict=True)
        ]
        name = outputs[0].name if len(outputs) == 1 else f"{self.path}/{operator.lower()}"
        self._nodes.append(
            helper.make_node(
                operator,
                [value.name if isinstance(value, Value) else value for value in inputs],
                [output.name for output in outputs],
                name=name,
                **attributes,
            )
        )
        return outputs

    def add_output(
        self, operator: str, inputs: Sequence[Value | str], output: Value, **attributes: Any
    ) -> None:
        """Append the node that yields a graph output, whose name has no path."""
        self._nodes.append(
            helper.make_node(
                operator,
                [value.name if isinstance(value, Value) else value for value in inputs],
                [output.name],
                name=f"{self.path}/{output.name}",
                **attributes,
            )
        )

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """A float32 constant of the current module."""
        full = f"{self.path}.{name}"
        self._constants[full] = numpy_helper.from_array(np.asarray(array, np.float32), full)
        return full

    def integers(self, values: Sequence[int]) -> str:
        """An int64 vector, shared by all nodes that need the same numbers."""
        array = np.asarray(values, dtype=np.int64)
        return self._share("ints", array)

    def floats(self, values: Sequence[float]) -> str:
        """A float32 vector, shared likewise."""
        return self._share("floats", np.asarray(values, dtype=np.float32))

    def _share(self, kind: str, array: NDArray[Any]) -> str:
        key = (kind, array.shape, array.tobytes())
        if key not in self._shared:
            name = f"{kind}_{'_'.join(f'{value:g}' for value in array)}"
            self._shared[key] = name
            self._constants[name] = numpy_helper.from_array(array, name)
        return self._shared[key]

    def finish(
        self,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        batch: int | None,
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Check the graph, infer its shapes and return the model.

        Args:
            batch: fixed batch size, or None for a symbolic one.
            metadata: what `metadata_props` carries.
        """
        first: int | str = "batch" if batch is None else batch

        def describe(values: Sequence[Value]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [first, *value.shape])
                for value in values
            ]

        graph = helper.make_graph(
            self._nodes,
            "yolov12",
            describe(inputs),
            describe(outputs),
            initializer=list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="yolov12edge",
            producer_version=__version__,
            ir_version=_IR_VERSIONS[self.opset],
            opset_imports=[helper.make_opsetid("", self.opset)],
        )
        helper.set_model_props(model, metadata)
        return checked(model)


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the type and shape of every tensor, once ONNX finds nothing wrong with it."""
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
