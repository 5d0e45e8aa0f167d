"""What a build has to know about an ONNX file before a library parses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from yolov12edge.engine.options import BatchRange
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.precisions import is_quantized, result_precision, uses_half


@dataclass(frozen=True)
class OnnxNetwork:
    """The image input and the precisions of a graph.

    Attributes:
        path: the file.
        input_name: name of its one image input.
        input_shape: (batch or None if dynamic, 3, height, width).
        float16: it computes in FP16 somewhere.
        quantized: it has QuantizeLinear nodes.
        nodes: (name, operator) of each node, in the file's order.
    """

    path: Path
    input_name: str
    input_shape: tuple[int | None, int, int, int]
    float16: bool
    quantized: bool
    nodes: tuple[tuple[str, str], ...]

    def batch_range(self, asked: BatchRange | None) -> BatchRange:
        """The batch sizes to build for.

        Raises:
            UsageError: the graph's batch is dynamic and none was asked for, or fixed at another.
        """
        batch = self.input_shape[0]
        if batch is None:
            if asked is None:
                raise UsageError(
                    f"{self.path} has a dynamic batch", "say which sizes with --batch MIN:OPT:MAX"
                )
            return asked
        fixed = BatchRange(batch, batch, batch)
        if asked not in (None, fixed):
            raise UsageError(
                f"{self.path} has a fixed batch of {batch}, it cannot be built for {asked}",
                f"export it again with --batch {asked}",
            )
        return fixed


def read_network(path: Path) -> OnnxNetwork:
    """Read a detector's ONNX file without its weights' values being interpreted.

    Raises:
        UsageError: no such file.
        CheckpointError: empty, not ONNX, or not one image input of fixed height and width.
    """
    path = Path(path)
    view = GraphView(load_graph(path, weights=False))
    inputs = view.inputs
    shape = _shape(inputs[0]) if len(inputs) == 1 else ()
    if len(shape) != 4 or shape[1] != 3 or not shape[2] or not shape[3]:
        found = ", ".join(f"{value.name} {_shape(value)}" for value in inputs) or "no input"
        raise CheckpointError(
            f"{path} is not a detector with one (batch, 3, height, width) input: it has {found}",
            "export it with a fixed image size: yolov12edge export --imgsz HxW",
        )
    return OnnxNetwork(
        path=path,
        input_name=inputs[0].name,
        input_shape=(shape[0], 3, shape[2], shape[3]),
        float16=uses_half(view),
        quantized=is_quantized(view),
        nodes=tuple((node.name, node.op_type) for node in view.nodes),
    )


# Operators without arithmetic of their own, whose type follows from what is asked of them.
_UNTYPED = ("Cast", "Constant", "QuantizeLinear", "DequantizeLinear", "Shape")


def float32_nodes(path: Path) -> frozenset[str]:
    """Names of the nodes that compute in float32, for builders that choose types themselves."""
    view = GraphView(onnx.shape_inference.infer_shapes(load_graph(path, weights=False)))
    return frozenset(
        node.name
        for node in view.nodes
        if node.op_type not in _UNTYPED and result_precision(view, node) == "fp32"
    )


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Dimensions, None where one has a name or nothing instead of a positive number."""
    return tuple(
        dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim
    )
