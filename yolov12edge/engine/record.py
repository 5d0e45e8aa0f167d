"""The record of a build: what the builder made of a network, kept beside the plan.

`engine.plan.layers.json`, in the form of TensorRT's engine inspector with a head that says which
plan it is of. A plan for several GPU architectures has one record too: TensorRT-RTX puts one list
of kernels into it, that of the lowest, which all of them run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from yolov12edge.documents import OpenDocument
from yolov12edge.engine.build_log import BuildLog
from yolov12edge.engine.inspection import (
    EngineInspection,
    inspect_layers,
    parse_times,
    read_json,
)
from yolov12edge.errors import CheckpointError
from yolov12edge.files import write_bytes
from yolov12edge.run.names import LAYERS_SUFFIX

RECORD_SCHEMA_VERSION = 1

Source = Literal["builder log", "engine inspector"]


class BuildRecord(OpenDocument):
    """What was seen of one engine.

    Attributes:
        seen_in: who told it.
        sm: the GPU architectures that the plan is for, 86 for SM 8.6; empty if not told.
        plan_sha256: of the plan, in hex.
        unread: why there are no layers; None where there are.
        Layers: as TensorRT's engine inspector tells them; empty where nothing could be read.
    """

    schema_version: int = RECORD_SCHEMA_VERSION
    seen_in: Source
    backend: str
    version: str
    sm: list[int]
    plan_sha256: str
    unread: str | None = None
    Layers: list[Any]

    def inspect(self, path: Path) -> EngineInspection | None:
        """Its layers with sums; None where nothing could be read."""
        try:
            return inspect_layers({"Layers": self.Layers}, str(path))
        except CheckpointError:
            return None


def new_record(
    seen_in: Source, backend: str, version: str, sm: Sequence[int], plan_sha256: str, log: BuildLog
) -> BuildRecord:
    """The record of what a builder, or an inspector, said of a plan."""
    silent = None if log.layers else "the builder said nothing about kernels"
    return BuildRecord(
        seen_in=seen_in,
        backend=backend,
        version=version,
        sm=list(sm),
        plan_sha256=plan_sha256,
        unread=log.unread or silent,
        Layers=list(log.layers),
    )


def record_path(plan: Path) -> Path:
    """Where the record of a plan is, if there is one."""
    return plan.with_name(plan.name + LAYERS_SUFFIX)


def write_record(plan: Path, record: BuildRecord | None) -> None:
    """Put the record beside a plan; None removes that of the plan which was there before."""
    path = record_path(plan)
    if record is None:
        path.unlink(missing_ok=True)
    else:
        write_bytes(path, _text(record).encode())


def recorded_engine(
    path: Path, digest: str, times: Path | None = None
) -> tuple[EngineInspection | None, str]:
    """What the record of a plan tells, and who told it, or why it tells nothing.

    Args:
        path: the record; also engine information without a head, as trtexec writes it.
        digest: SHA-256 of the plan.
        times: a profile of the same plan.

    Raises:
        CheckpointError: the record, or the profile, is damaged.
    """
    document = read_json(path)
    head = document if isinstance(document, dict) else {}
    if head.get("schema_version") not in (None, RECORD_SCHEMA_VERSION):
        return None, f"{path.name} was written by a later version: update yolov12edge to read it"
    if head.get("plan_sha256") not in (None, digest):
        return None, f"{path.name} is of another plan: build this one again, or remove it"
    if head.get("unread"):
        return None, f"not seen: {head['unread']} ({path.name})"
    known = parse_times(read_json(times), str(times)) if times is not None else {}
    source = head.get("seen_in")
    told = f"told by the {source}, {path.name}" if isinstance(source, str) else f"told by {path}"
    return inspect_layers(document, str(path), known), told


def _text(record: BuildRecord) -> str:
    """JSON with a kernel a line."""
    head = record.model_dump(mode="json", exclude={"Layers"})
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    kernels = ",\n".join(f"    {json.dumps(layer)}" for layer in record.Layers)
    listed = f"[\n{kernels}\n  ]" if kernels else "[]"
    return "\n".join(["{", *lines, f'  "Layers": {listed}', "}", ""])
