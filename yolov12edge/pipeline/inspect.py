"""What an artifact is, told from its bytes: checkpoint, ONNX file, plan or run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, checker, helper, shape_inference
from pydantic import BaseModel, ConfigDict

from yolov12edge.checkpoints import describe, read_checkpoint
from yolov12edge.errors import CheckpointError, EdgeError, UnsupportedError, UsageError
from yolov12edge.export import GraphView, attention_blocks, lint_graph
from yolov12edge.export.precisions import count_precisions
from yolov12edge.files import sha256_file
from yolov12edge.pipeline.manifest import MANIFEST_NAME, Manifest, changed_files, read_manifest
from yolov12edge.runtime import tensorrt, tensorrt_rtx
from yolov12edge.runtime.cuda import find_gpus
from yolov12edge.runtime.metadata import METADATA_KEY
from yolov12edge.runtime.open import ONNX_SUFFIXES, PLAN_SUFFIXES, TORCH_SUFFIXES
from yolov12edge.runtime.plan_file import PlanHeader, read_plan
from yolov12edge.runtime.plan_origin import (
    TITLES,
    PlanOrigin,
    check_gpu,
    check_platform,
    check_version,
    plan_origin,
)

MAX_ONNX_BYTES = 2 << 30


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSummary(_Part):
    """An input or output of a graph; a dimension without a number is its name, or "?"."""

    name: str
    dtype: str
    shape: list[int | str]


class AttentionSummary(_Part):
    """An attention block and what keeps builders from fusing it."""

    name: str
    obstacles: list[str]


class LintSummary(_Part):
    """One finding of a lint."""

    lint: str
    severity: str
    message: str


class OnnxInspection(_Part):
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


class PlanInspection(_Part):
    """A TensorRT or TensorRT-RTX plan.

    Attributes:
        sha256: of the file; `plan_sha256` of the plan without prefix.
        prefix: the JSON that Ultralytics wrote before the plan; None without.
        sm: GPU architectures, 86 for SM 8.6; empty where nobody knows.
        manifest: the folder whose manifest.json describes this plan; None without.
        runs_here: whether this machine could run it; `reason` says why (not).
    """

    kind: Literal["plan"] = "plan"
    path: str
    bytes: int
    sha256: str
    plan_sha256: str
    backend: str
    version: str | None
    sm: list[int]
    prefix: dict[str, Any] | None
    prefix_bytes: int
    manifest: str | None
    runs_here: bool
    reason: str


class FileState(_Part):
    """A file of a run folder: "ok", "changed", "missing" or "outside the folder"."""

    name: str
    bytes: int | None
    sha256: str
    state: str


class RunInspection(_Part):
    """A run folder and whether its files are what the manifest says."""

    kind: Literal["run"] = "run"
    path: str
    manifest: Manifest
    files: list[FileState]

    @property
    def problem(self) -> EdgeError | None:
        """The first file that is not what the manifest says, as an error."""
        broken = [file for file in self.files if file.state != "ok"]
        if not broken:
            return None
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        return CheckpointError(
            f"{self.path}: {broken[0].name} is not what the manifest says: {broken[0].state}{more}",
            "restore the file, or export the model again",
        )


Inspection = OnnxInspection | PlanInspection | RunInspection


def inspect_artifact(path: Path) -> Inspection | dict[str, Any]:
    """Tell what a file or run folder is; a checkpoint as `describe` tells it.

    Nothing from the file is executed and no engine is loaded.

    Raises:
        UsageError: no such file, or a kind of file that is not known.
        CheckpointError: the file is damaged, or the plan is not the one that the manifest beside
            it describes.
    """
    path = Path(path)
    if path.is_dir() or path.name == MANIFEST_NAME:
        return inspect_run(path if path.is_dir() else path.parent)
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        return describe(read_checkpoint(path))
    if suffix in ONNX_SUFFIXES:
        return inspect_onnx(path)
    if suffix in PLAN_SUFFIXES:
        return inspect_plan(path)
    known = ", ".join((*TORCH_SUFFIXES, *ONNX_SUFFIXES, *PLAN_SUFFIXES))
    what = "is no artifact" if path.exists() else "does not exist"
    raise UsageError(f"{path} {what}", f"pass a run folder or a file that ends in {known}")


def inspect_run(folder: Path) -> RunInspection:
    """Read a run folder's manifest and hash every file that it names."""
    manifest = read_manifest(folder)
    problems = changed_files(folder, manifest)
    files = []
    for name, digest in manifest.files.items():
        state = problems.get(name, "ok")
        readable = state in ("ok", "changed")
        size = (folder / name).stat().st_size if readable else None
        files.append(FileState(name=name, bytes=size, sha256=digest, state=state))
    return RunInspection(path=str(folder), manifest=manifest, files=files)


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


def inspect_plan(path: Path) -> PlanInspection:
    """Read a plan's header, and say whether this machine could run it; it is not loaded.

    Raises:
        UsageError: no such file.
        CheckpointError: not a whole plan, or not the one that the manifest beside it describes.
    """
    header, plan = read_plan(path)
    digest = hashlib.sha256(plan).hexdigest()
    origin = plan_origin(path, header, digest)
    runs_here, reason = _runs_here(path, header, origin)
    return PlanInspection(
        path=str(path),
        bytes=path.stat().st_size,
        sha256=sha256_file(path) if header.offset else digest,
        plan_sha256=digest,
        backend=header.backend,
        version=origin.version,
        sm=list(origin.compute_capabilities),
        prefix=header.metadata if header.offset else None,
        prefix_bytes=header.offset,
        manifest=_described_by(path),
        runs_here=runs_here,
        reason=reason,
    )


def _runs_here(path: Path, header: PlanHeader, origin: PlanOrigin) -> tuple[bool, str]:
    load = tensorrt.load_library if header.backend == "tensorrt" else tensorrt_rtx.load_library
    title = TITLES[header.backend]
    try:
        check_platform(path, origin, header.backend)
        library = load()
        check_version(path, origin, title, library.__version__)
        gpus = find_gpus()
        if not gpus:
            return False, "this machine has no NVIDIA GPU"
        check_gpu(path, origin, gpus[0])
    except UnsupportedError as error:
        return False, error.message
    return True, f"{title} {library.__version__} on {gpus[0].name}"


def _described_by(path: Path) -> str | None:
    """The run folder that a plan belongs to; its hash was compared before."""
    try:
        engine = read_manifest(path.parent).engine
    except EdgeError:
        return None
    return str(path.parent) if engine is not None and engine.file == path.name else None


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
