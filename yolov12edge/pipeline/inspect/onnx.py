"""What an ONNX file is: its ends, operators, precisions, attention and lints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
from onnx import TensorProto, checker, shape_inference

from yolov12edge.documents import Document
from yolov12edge.errors import CheckpointError, EdgeError
from yolov12edge.export import attention_blocks, lint_graph
from yolov12edge.files import sha256_file
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.load import detach_external
from yolov12edge.graph.precisions import count_precisions
from yolov12edge.run.manifest import read_manifest
from yolov12edge.runtime.metadata import METADATA_KEY


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
    model = load_graph(path, weights=False)
    external = detach_external(model)
    try:
        checker.check_model(model)
        typed = shape_inference.infer_shapes(model)
        view = GraphView(typed)
        findings = [] if external else lint_graph(typed, tensorrt=_tensorrt(path))
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


def _tensorrt(path: Path) -> str | None:
    """The TensorRT that the run folder's target has, as `lint_graph` takes it."""
    try:
        target = read_manifest(path.parent).target
    except EdgeError:
        return None
    return target.version if target.backend == "tensorrt" else None


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
