"""The documents of a run folder, read and checked, as its report needs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from yolov12edge.bench import BenchReport
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.evaluate import DriftReport
from yolov12edge.pipeline.inspect.artifact import RunInspection, inspect_run
from yolov12edge.run.device import DeviceRecord
from yolov12edge.run.folder import RunFolder
from yolov12edge.run.manifest import Manifest
from yolov12edge.run.names import (
    BENCH_FILE,
    DEVICE_FILE,
    DRIFT_FILE,
    PLAN_SUFFIXES,
)
from yolov12edge.runtime.open import RUNTIMES

MAX_DOCUMENT_BYTES = 64_000_000

Document = TypeVar("Document", bound=BaseModel)


class CalibrationImage(BaseModel):
    """A picture of the calibration set."""

    model_config = ConfigDict(extra="allow")

    file: str
    sha256: str


class CalibrationList(BaseModel):
    """calibration.json: the pictures that INT8 ranges were taken from."""

    model_config = ConfigDict(extra="allow")

    source: str
    seed: int
    sha256: str
    images: list[CalibrationImage]

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted hashes, as the manifest records it."""
        hashes = sorted(image.sha256 for image in self.images)
        return hashlib.sha256("\n".join(hashes).encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class DeviceDocuments:
    """What came back from a device; None for what did not."""

    record: DeviceRecord | None
    drift: DriftReport | None
    bench: BenchReport | None


@dataclass(frozen=True)
class RunDocuments:
    """What a run folder says; None for what was not measured.

    Attributes:
        inspection: the manifest, and the state of every file that it names.
        devices: that the run was deployed to, by name.
    """

    folder: Path
    inspection: RunInspection
    drift: DriftReport | None
    bench: BenchReport | None
    calibration: CalibrationList | None
    devices: Mapping[str, DeviceDocuments] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        """The run's manifest."""
        return self.inspection.manifest

    @property
    def artifact(self) -> Path:
        """The ONNX file that was asked for."""
        return RunFolder(self.folder).onnx(self.manifest.precision.name)

    @property
    def judged(self) -> Path:
        """The file that drift.json judges: the engine if a builder's runtime ran it."""
        runtime = self.drift.judge.runtime if self.drift else ""
        engine = RUNTIMES.get(runtime) == PLAN_SUFFIXES
        return RunFolder(self.folder).plan if engine else self.artifact

    @property
    def broken(self) -> dict[str, str]:
        """Files that are not what the manifest says, with their state."""
        return {file.name: file.state for file in self.inspection.files if file.state != "ok"}

    def unrecorded(self, name: str) -> bool:
        """Whether a file is there, but came after the manifest."""
        return name not in self.manifest.files and (self.folder / name).is_file()


def read_run(folder: Path) -> RunDocuments:
    """Read the manifest, drift.json, bench.json and calibration.json, and hash every file.

    Raises:
        UsageError: the folder has no manifest.
        CheckpointError: a document is damaged. A file with another hash is not an error here: see
            `RunDocuments.broken`.
    """
    if folder.is_file():
        raise UsageError(f"{folder} is a file", "pass a folder that `yolov12edge export` wrote")
    inspection, run = inspect_run(folder), RunFolder(folder)
    return RunDocuments(
        folder,
        inspection,
        _read(run.drift, DriftReport),
        _read(run.bench, BenchReport),
        _read(run.calibration, CalibrationList),
        {name: _device(run, name) for name in inspection.manifest.devices},
    )


def _device(run: RunFolder, name: str) -> DeviceDocuments:
    folder = run.device(name)
    if Path(name).name != name or folder.is_symlink() or folder.parent.is_symlink():
        return DeviceDocuments(None, None, None)
    return DeviceDocuments(
        _read(folder / DEVICE_FILE, DeviceRecord),
        _read(folder / DRIFT_FILE, DriftReport),
        _read(folder / BENCH_FILE, BenchReport),
    )


def _read(path: Path, kind: type[Document]) -> Document | None:
    """A document; None where it is absent or leads out of the folder."""
    if path.is_symlink() or not path.is_file():
        return None
    hint = "restore the file, or measure again"
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise CheckpointError(f"{path} is too large for a document of a run", hint)
    try:
        return kind.model_validate(json.loads(path.read_bytes()))
    except (ValueError, RecursionError, UsageError) as error:
        where = ""
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            where = f": {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise CheckpointError(f"{path} is damaged{where}", hint) from error
