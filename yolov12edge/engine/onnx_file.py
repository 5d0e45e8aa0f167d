"""What a build has to know about an ONNX file before a library parses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from yolov12edge.engine.options import BatchRange
from yolov12edge.errors import CheckpointError, UsageError


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
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", "pass the .onnx file that export wrote")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public import path of its own
        raise CheckpointError(f"{path} is not an ONNX file", "export the model again") from error
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
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
        float16=_uses_float16(graph),
        quantized=any(node.op_type == "QuantizeLinear" for node in graph.node),
        nodes=tuple((node.name, node.op_type) for node in graph.node),
    )


# Operators without arithmetic of their own, whose type follows from what is asked of them.
_UNTYPED = ("Cast", "Constant", "QuantizeLinear", "DequantizeLinear", "Shape")


def float32_nodes(path: Path) -> frozenset[str]:
    """Names of the nodes that compute in float32, for builders that choose types themselves."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    graph = model.graph
    types = {
        value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)
    }
    return frozenset(
        node.name
        for node in graph.node
        if node.op_type not in _UNTYPED
        and node.output
        and all(types.get(name) == onnx.TensorProto.FLOAT for name in node.output)
    )


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Dimensions, None where one has a name or nothing instead of a positive number."""
    return tuple(
        dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim
    )


def _uses_float16(graph: onnx.GraphProto) -> bool:
    half = onnx.TensorProto.FLOAT16
    return any(tensor.data_type == half for tensor in graph.initializer) or any(
        attribute.name == "to" and attribute.i == half
        for node in graph.node
        if node.op_type == "Cast"
        for attribute in node.attribute
    )
