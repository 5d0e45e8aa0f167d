"""What an artifact is, told from its bytes: checkpoint, ONNX file, plan, layers or run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from yolov12edge.documents import Document
from yolov12edge.engine.inspection import EngineInspection, read_engine_layers
from yolov12edge.engine.record import record_path, recorded_engine
from yolov12edge.errors import CheckpointError, EdgeError, UsageError
from yolov12edge.pipeline.inspect.checkpoint import CheckpointInspection, inspect_checkpoint
from yolov12edge.pipeline.inspect.onnx import OnnxInspection, inspect_onnx
from yolov12edge.pipeline.inspect.plan import PlanInspection, inspect_plan
from yolov12edge.run.manifest import (
    Manifest,
    changed_files,
    read_manifest,
)
from yolov12edge.run.names import (
    MANIFEST_FILE,
    ONNX_SUFFIXES,
    PLAN_SUFFIXES,
    TORCH_SUFFIXES,
)


class FileState(Document):
    """A file of a run folder: "ok", "changed", "missing" or "outside the folder"."""

    name: str
    bytes: int | None
    sha256: str
    state: str


class RunInspection(Document):
    """A run folder and whether its files are what the manifest says.

    Attributes:
        engine: what its builder made of the network; None where that was not kept.
    """

    kind: Literal["run"] = "run"
    path: str
    manifest: Manifest
    files: list[FileState]
    engine: EngineInspection | None = None
    engine_reason: str = ""

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


Inspection = (
    CheckpointInspection | OnnxInspection | PlanInspection | EngineInspection | RunInspection
)


def inspect_artifact(
    path: Path, layers: Path | None = None, times: Path | None = None
) -> Inspection:
    """Tell what a file or run folder is.

    Nothing from the file is executed. A plan is loaded only where this machine can run it, to ask
    TensorRT for its layers.

    Args:
        path: the artifact, or a .json file of TensorRT's engine inspector.
        layers: engine information that belongs to a plan.
        times: a layer profile that belongs to a plan or to engine information.

    Raises:
        UsageError: no such file, or a kind of file that is not known.
        CheckpointError: the file is damaged, or the plan is not the one that the manifest beside
            it describes.
    """
    path = Path(path)
    if path.is_dir() or path.name == MANIFEST_FILE:
        return inspect_run(path if path.is_dir() else path.parent)
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        return inspect_checkpoint(path)
    if suffix in ONNX_SUFFIXES:
        return inspect_onnx(path)
    if suffix in PLAN_SUFFIXES:
        return inspect_plan(path, layers, times)
    if suffix == ".json" and path.exists():
        return read_engine_layers(path, times)
    known = ", ".join((*TORCH_SUFFIXES, *ONNX_SUFFIXES, *PLAN_SUFFIXES, ".json"))
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
    engine, reason = _engine_of_run(folder, manifest)
    return RunInspection(
        path=str(folder), manifest=manifest, files=files, engine=engine, engine_reason=reason
    )


def _engine_of_run(folder: Path, manifest: Manifest) -> tuple[EngineInspection | None, str]:
    """What the record beside a run's plan tells, if it is of that plan."""
    if manifest.engine is None:
        return None, ""
    record = record_path(folder / manifest.engine.file)
    if not record.is_file():
        return None, ""
    try:
        return recorded_engine(record, manifest.engine.sha256)
    except CheckpointError as error:
        return None, error.message
