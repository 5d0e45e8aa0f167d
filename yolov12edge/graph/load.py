"""Read an ONNX file that may be anything, and open no other file for it."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from yolov12edge.errors import CheckpointError, UsageError

# What protobuf can hold.
MAX_ONNX_BYTES = 2 << 30


def load_graph(path: Path, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file.

    Constants may say that they lie in other files, of any name: those are never opened.

    Args:
        path: the file.
        weights: whether the values of constants will be asked for; without, files that keep them
            elsewhere are read too.

    Raises:
        UsageError: no such file.
        CheckpointError: it is empty, too large, no ONNX graph, or keeps weights that are needed in
            other files.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", "pass an .onnx file, such as export writes")
    size = path.stat().st_size
    if not 0 < size <= MAX_ONNX_BYTES:
        what = "is empty" if size == 0 else "is larger than an ONNX file can be"
        raise CheckpointError(f"{path} {what}", "export or copy the file again")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise CheckpointError(f"{path} is not an ONNX file", "export the model again") from error
    if not model.graph.node:
        raise CheckpointError(f"{path} holds no ONNX graph", "export the model again")
    elsewhere = len(external_constants(model)) if weights else 0
    if elsewhere:
        raise CheckpointError(
            f"{path} keeps {elsewhere} constants in other files",
            "store them inside: onnx.save(onnx.load(FILE), NEW_FILE)",
        )
    return model


def external_constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Constants of a graph that are kept in other files."""
    return [
        tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL
    ]


def detach_external(model: onnx.ModelProto) -> frozenset[str]:
    """Turn constants kept in other files into inputs, so that no check opens those files."""
    graph = model.graph
    external = external_constants(model)
    declared = {value.name for value in graph.input}
    for tensor in external:
        if tensor.name not in declared:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        graph.initializer.remove(tensor)
    return frozenset(tensor.name for tensor in external)
