"""What an ONNX file is: its ends, operators, precisions, attention and lints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, checker, helper, shape_inference

from yolov12edge.documents import Document
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.export import attention_blocks, lint_graph
from yolov12edge.files import sha256_file
from yolov12edge.graph import GraphView
from yolov12edge.graph.precisions import count_precisions
from yolov12edge.runtime.metadata import METADATA_KEY

MAX_ONNX_BYTES = 2 << 30


class TensorSummary(Document):
    """An input or output of a graph; a dimension without a number is its name, or "?"."""

    name: str
    dtype: str
    shape: list[int | str]


class AttentionSummary(Document):
    """An attention block and what keeps builders from fusing it."""

    name: str
    obstacles: list[str]


class LintSummary(Document):
    """One finding of a lint."""

    lint: str
    severity: str
    message: str


class OnnxInspection(Document):
    """An ONNX file.

    Attributes:
        metadata: what this package wrote into the file; None for files of others.
        precision: nodes by the type they compute in; casts and Q/DQ are left out.
        external_constants: weights that are kept in other files, which are not opened.
    """

    kind: Literal["onnx"] = "onnx"
    path: str
    bytes: int
    sha256: str
    producer: str
    ir_version: int
    opset: int
    metadata: dict[str, Any] | None
    inputs: list[TensorSummary]
    outputs: list[TensorSummary]
    nodes: int
    operators: dict[str, int]
    precision: dict[str, int]
    attention: list[AttentionSummary]
    lints: list[LintSummary]
    external_constants: int


def inspect_onnx(path: Path) -> OnnxInspection:
    """Read an ONNX graph: its ends, operators, precisions, attention blocks and lints.

    Constants that are kept in other files are counted, never opened; the lints, which look at
    weights, are left out then.

    Raises:
        UsageError: no such file.
        CheckpointError: the file is no valid ONNX graph.
    """
    model = _load_onnx(path)
    external = _detach_external(model)
    try:
        checker.check_model(model)
        typed = shape_inference.infer_shapes(model)
        view = GraphView(typed)
        findings = [] if external else lint_graph(typed)
    except (checker.ValidationError, shape_inference.InferenceError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no valid ONNX graph: {_first_line(error)}", "export the model again"
        ) from error
    constants = {*view.initializers, *external}
    return OnnxInspection(
        path=str(path),
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        ir_version=model.ir_version,
        opset=view.opset,
        metadata=_metadata(view),
        inputs=[_tensor(value) for value in view.graph.input if value.name not in constants],
        outputs=[_tensor(value) for value in view.graph.output],
        nodes=len(view.nodes),
        operators=dict(view.operators.most_common()),
        precision=count_precisions(view),
        attention=[
            AttentionSummary(name=block.name, obstacles=list(block.obstacles))
            for block in attention_blocks(view)
        ],
        lints=[
            LintSummary(lint=found.lint, severity=found.severity, message=found.message)
            for found in findings
        ],
        external_constants=len(external),
    )


def _load_onnx(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {what}", "pass an .onnx file")
    size = path.stat().st_size
    if not 0 < size <= MAX_ONNX_BYTES:
        what = "is empty" if size == 0 else "is larger than an ONNX file can be"
        raise CheckpointError(f"{path} {what}", "export or copy the file again")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise CheckpointError(f"{path} is not an ONNX file", "export the model again") from error
    if not model.graph.node:
        raise CheckpointError(f"{path} holds no ONNX graph", "export the model again")
    return model


def _detach_external(model: onnx.ModelProto) -> frozenset[str]:
    """Turn constants kept in other files into inputs, so that no check opens those files."""
    graph = model.graph
    external = [
        tensor for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL
    ]
    declared = {value.name for value in graph.input}
    for tensor in external:
        if tensor.name not in declared:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        graph.initializer.remove(tensor)
    return frozenset(tensor.name for tensor in external)


def _tensor(value: onnx.ValueInfoProto) -> TensorSummary:
    kind = value.type.tensor_type
    shape: Sequence[int | str] = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in kind.shape.dim
    ]
    known = kind.elem_type in TensorProto.DataType.values()
    dtype = TensorProto.DataType.Name(kind.elem_type).lower() if known else "unknown"
    return TensorSummary(
        name=value.name, dtype={"float": "float32"}.get(dtype, dtype), shape=list(shape)
    )


def _metadata(view: GraphView) -> dict[str, Any] | None:
    try:
        document = json.loads(view.metadata.get(METADATA_KEY, "null"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
