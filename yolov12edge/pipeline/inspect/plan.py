"""What a plan is: its header, whether it could run here, and what the builder made of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from yolov12edge.documents import Document
from yolov12edge.engine.inspection import (
    EngineInspection,
    inspect_layers,
    parse_times,
    read_engine_layers,
    read_json,
)
from yolov12edge.engine.inspector import ask_inspector
from yolov12edge.engine.record import record_path, recorded_engine
from yolov12edge.errors import CheckpointError, EdgeError, UnsupportedError
from yolov12edge.files import sha256_file
from yolov12edge.run.manifest import read_manifest
from yolov12edge.run.names import TIMES_SUFFIX
from yolov12edge.runtime import tensorrt, tensorrt_rtx
from yolov12edge.runtime.cuda import find_gpus
from yolov12edge.runtime.plan_file import PlanHeader, read_plan, read_plan_header
from yolov12edge.runtime.plan_origin import (
    TITLES,
    PlanOrigin,
    check_gpu,
    check_platform,
    check_version,
    plan_origin,
)


class PlanInspection(Document):
    """A TensorRT or TensorRT-RTX plan.

    Attributes:
        sha256: of the file; `plan_sha256` of the plan without prefix.
        prefix: the JSON that Ultralytics wrote before the plan; None without.
        sm: GPU architectures, 86 for SM 8.6; empty where nobody knows.
        manifest: the folder whose manifest.json describes this plan; None without.
        runs_here: whether this machine could run it; `reason` says why (not).
        engine: its layers; None where nobody can tell them, for `engine_reason`.
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
    engine: EngineInspection | None
    engine_reason: str


def inspect_plan(
    path: Path, layers: Path | None = None, times: Path | None = None
) -> PlanInspection:
    """Read a plan's header, say whether this machine could run it, and tell its layers.

    The layers come from `layers`, else from a file `<plan>.layers.json` beside it, else from
    TensorRT itself where this machine can load the plan; only then it is loaded.

    Args:
        path: the plan.
        layers: engine information in JSON.
        times: a profile of the same plan; by default `<plan>.times.json` beside it.

    Raises:
        UsageError: no such file.
        CheckpointError: not a whole plan, or not the one that the manifest beside it describes.
    """
    header, plan = read_plan(path)
    digest = hashlib.sha256(plan).hexdigest()
    origin = plan_origin(path, header, digest)
    runs_here, reason = _runs_here(path, header, origin)
    engine, engine_reason = _engine(path, digest, header.backend, runs_here, layers, times)
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
        engine=engine,
        engine_reason=engine_reason,
    )


def engine_information(path: Path) -> str:
    """What TensorRT's engine inspector tells of a plan, in JSON; the plan is loaded.

    Raises:
        UnsupportedError: this machine cannot load it.
    """
    header = read_plan_header(path)
    return ask_inspector(path, header.backend, _load(header.backend))


def _engine(
    path: Path,
    digest: str,
    backend: str,
    runs_here: bool,
    layers: Path | None,
    times: Path | None,
) -> tuple[EngineInspection | None, str]:
    profile = path.with_name(path.name + TIMES_SUFFIX)
    times = times or (profile if profile.is_file() else None)
    if layers is not None:
        return read_engine_layers(layers, times), f"told by {layers}"
    record = record_path(path)
    if record.is_file():
        try:
            return recorded_engine(record, digest, times)
        except CheckpointError as error:
            return None, error.message
    if not runs_here:
        return None, f"pass --layers FILE, or put it beside the plan as {record.name}"
    try:
        document = json.loads(engine_information(path), strict=False)
        known = parse_times(read_json(times), str(times)) if times else {}
        return inspect_layers(document, str(path), known), "told by the engine inspector"
    except (EdgeError, ValueError) as error:
        return None, str(error)


def _runs_here(path: Path, header: PlanHeader, origin: PlanOrigin) -> tuple[bool, str]:
    title = TITLES[header.backend]
    try:
        check_platform(path, origin, header.backend)
        library = _load(header.backend)
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


def _load(backend: str) -> ModuleType:
    return tensorrt.load_library() if backend == "tensorrt" else tensorrt_rtx.load_library()
