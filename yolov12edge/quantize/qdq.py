"""Write a quantization plan into a graph as QuantizeLinear / DequantizeLinear pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from yolov12edge.graph.builder import checked
from yolov12edge.graph.load import load_graph
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.policy import Edge
from yolov12edge.quantize.ranges import LEVELS, Range
from yolov12edge.quantize.weights import SMALLEST_SCALE, QuantizedWeight

# Q/DQ with FP16 scales exists from here on; the IR version that carries it.
HALF_SCALE_OPSET = 19
_HALF_SCALE_IR = 9
INT8_MAX = 127


IsHalf = Callable[[str, int], bool]
"""Whether the graph that is written has FP16 at an input of a node, and so stores its scale."""


def never_half(node: str, index: int) -> bool:
    """Of float32 graphs."""
    return False


def half_of(twin: Path | None) -> IsHalf:
    """Where the graph that is written into has FP16.

    Args:
        twin: FP16 form of a float32 graph; nowhere if there is none.
    """
    return never_half if twin is None else QdqWriter(load_graph(twin)).is_half


@dataclass(frozen=True)
class Step:
    """Scale and zero point of a tensor.

    Attributes:
        scale: real value of one step, as the graph stores it.
        zero: step that stands for zero: int8 0 where symmetric, else uint8.
    """

    scale: float
    zero: np.int8 | np.uint8

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last step."""
        numbers = np.iinfo(self.zero.dtype)
        return int(numbers.min), int(numbers.max)


def find_step(values: Range, symmetric: bool, half: bool) -> Step:
    """Spread 255 or 256 steps over a range.

    Args:
        values: holds zero.
        symmetric: int8 around zero, else uint8 with a zero point.
        half: the graph stores the scale in FP16.
    """
    if symmetric:
        wanted = max(-values.low, values.high) / INT8_MAX
    else:
        wanted = (values.high - values.low) / (LEVELS - 1)
    kind = np.float16 if half else np.float32
    scale = float(kind(max(wanted, SMALLEST_SCALE)))
    if symmetric:
        return Step(scale, np.int8(0))
    return Step(scale, np.uint8(np.clip(round(-values.low / scale), 0, LEVELS - 1)))


class QdqWriter:
    """Edits a copy of a float graph.

    Args:
        model: float32 graph, or its FP16 twin with the same node names.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._view = GraphView(self.model)
        self._after: dict[str, list[onnx.NodeProto]] = {}
        self._first: list[onnx.NodeProto] = []
        self._dropped: set[str] = set()
        self._constants: dict[str, onnx.TensorProto] = {}

    def is_half(self, node: str, index: int) -> bool:
        """Whether an input of a node is FP16."""
        return self._holds_half(self._view.by_name[node].input[index])

    def quantize_tensor(self, edges: tuple[Edge, ...], step: Step) -> None:
        """Put one Q/DQ pair in front of some inputs that read the same tensor."""
        # Casts may have split the tensor in two, of different types: one pair for each.
        readers: dict[str, list[Edge]] = {}
        for name, index in edges:
            readers.setdefault(self._view.by_name[name].input[index], []).append((name, index))
        for tensor, places in readers.items():
            scale = self._constant(f"{tensor}/scale", self._typed(step.scale, tensor))
            zero = self._constant(f"{tensor}/zero", np.asarray(step.zero))
            self._after.setdefault(tensor, []).extend(
                [
                    helper.make_node(
                        "QuantizeLinear",
                        [tensor, scale, zero],
                        [f"{tensor}/quantized"],
                        name=f"{tensor}/quantize",
                    ),
                    helper.make_node(
                        "DequantizeLinear",
                        [f"{tensor}/quantized", scale, zero],
                        [f"{tensor}/restored"],
                        name=f"{tensor}/dequantize",
                    ),
                ]
            )
            for name, index in places:
                self._view.by_name[name].input[index] = f"{tensor}/restored"

    def quantize_weight(
        self, node: str, weight: QuantizedWeight, bias: NDArray[np.float32] | None
    ) -> None:
        """Replace the weights of a convolution by INT8 ones behind a DequantizeLinear."""
        conv = self._view.by_name[node]
        name = conv.input[1]
        half = self._holds_half(name)
        inputs = [
            self._constant(f"{name}/quantized", weight.values),
            self._constant(
                f"{name}/scale", weight.scales.astype(np.float16 if half else np.float32)
            ),
            self._constant(f"{name}/zero", np.zeros(len(weight.scales), np.int8)),
        ]
        self._first.append(
            helper.make_node(
                "DequantizeLinear",
                inputs,
                [f"{name}/restored"],
                name=f"{name}/dequantize",
                axis=0,
            )
        )
        conv.input[1] = f"{name}/restored"
        self._dropped.add(name)
        if bias is not None:
            self._set_bias(conv, bias)

    def shift_bias(self, node: str, change: NDArray[np.float32]) -> None:
        """Add to the bias of a convolution."""
        conv = self._view.by_name[node]
        self._set_bias(conv, self._view.weight(conv.input[2]) + change)

    def _set_bias(self, conv: onnx.NodeProto, bias: NDArray[np.float32]) -> None:
        stored = self._view.initializers[conv.input[2]]
        kind = np.float16 if stored.data_type == TensorProto.FLOAT16 else np.float32
        stored.CopyFrom(numpy_helper.from_array(bias.astype(kind), stored.name))

    def finish(self, properties: Mapping[str, str]) -> onnx.ModelProto:
        """Order the nodes, raise the opset where FP16 scales need it, check, infer shapes."""
        graph = self.model.graph
        nodes = [*self._first]
        for value in graph.input:
            nodes += self._after.get(value.name, [])
        for node in graph.node:
            nodes.append(node)
            for output in node.output:
                nodes += self._after.get(output, [])
        del graph.node[:]
        graph.node.extend(nodes)
        kept = [tensor for tensor in graph.initializer if tensor.name not in self._dropped]
        del graph.initializer[:]
        graph.initializer.extend([*kept, *self._constants.values()])
        del graph.value_info[:]
        scales = (self._constants[n.input[1]] for n in nodes if n.op_type == "QuantizeLinear")
        if any(scale.data_type == TensorProto.FLOAT16 for scale in scales):
            self._raise_opset()
        helper.set_model_props(self.model, dict(properties))
        return checked(self.model)

    def _raise_opset(self) -> None:
        """Declare opset 19: no operator that the exporter writes changed its meaning since 17."""
        for entry in self.model.opset_import:
            if not entry.domain and entry.version < HALF_SCALE_OPSET:
                entry.version = HALF_SCALE_OPSET
        self.model.ir_version = max(self.model.ir_version, _HALF_SCALE_IR)

    def _typed(self, scale: float, like: str) -> NDArray[np.generic]:
        return np.asarray(scale, np.float16 if self._holds_half(like) else np.float32)

    def _holds_half(self, tensor: str) -> bool:
        return self._view.types[tensor] == TensorProto.FLOAT16

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._constants[name] = numpy_helper.from_array(value, name)
        return name
