"""manifest.json: what a run folder holds, where it came from and how it was proved."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from yolov12edge import __version__
from yolov12edge.documents import OpenDocument
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.files import sha256_file, write_json
from yolov12edge.run.facts import TooLargeError, read_document
from yolov12edge.run.names import DEVICES_FOLDER, MANIFEST_FILE

LIBRARIES = (
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "nvidia-modelopt",
    "tensorrt",
    "tensorrt-rtx-cu13-bindings",
    "numpy",
    "opencv-python-headless",
)


class ModelSection(OpenDocument):
    """The network."""

    scale: str
    layout: str
    num_classes: int
    names: list[str]
    imgsz: tuple[int, int]
    strides: list[int]
    parameters: int


class LetterboxSection(OpenDocument):
    """How an image is fitted to the input."""

    pad_value: int
    center: bool
    stride: int


class InputSection(OpenDocument):
    """The input tensor and the preprocessing before it."""

    name: str
    shape: list[int]
    dtype: str
    color: Literal["RGB"]
    scale: float
    letterbox: LetterboxSection


class OutputSection(OpenDocument):
    """The output tensor."""

    name: str
    shape: list[int]
    dtype: str
    layout: str


class ProductsSection(OpenDocument):
    """INT8 on CPUs: how far two products can come together, and where that is right."""

    largest: int = Field(description="the largest sum of two products over all activations")
    limit: int = Field(description="what fits in 16 bits")
    right_on: list[str] = Field(description="instruction sets that compute it as written")

    @property
    def text(self) -> str:
        """One line for people."""
        where = "every CPU" if self.largest <= self.limit else "CPUs with VNNI and on ARM only"
        return f"two products reach {self.largest} of the {self.limit} of 16 bits: right on {where}"


class PrecisionSection(OpenDocument):
    """Which precision the artifact computes in, and what stays float32."""

    name: Literal["fp32", "fp16", "int8"]
    nodes: dict[str, int]
    kept_in_float: dict[str, str]
    products: ProductsSection | None = None


class LayerLoss(OpenDocument):
    """What INT8 in a layer costs the detector, as shares of what all layers cost by rules alone.

    `before` is to the nearest, with what rules leave in float; `after` is what was written.
    """

    activations_before: float
    weights_before: float
    activations_after: float
    weights_after: float


class LearningSection(OpenDocument):
    """What INT8 learned from the calibration images."""

    effort: str
    convolutions: int
    withdrawn: int
    images: int
    losses: dict[str, LayerLoss] = Field(default_factory=dict)


class CalibrationSection(OpenDocument):
    """The images that decided about precision."""

    images: int
    sha256: str
    method: str
    seed: int
    held_back: int = 0
    trials: dict[str, float] = Field(default_factory=dict)
    domain_gap: float | None = None
    file: str | None = None
    learning: LearningSection | None = None


class TargetSection(OpenDocument):
    """The recipe that was followed."""

    name: str
    backend: str
    sm: list[int]
    version: str


class DlaSection(OpenDocument):
    """What of a plan runs on a DLA core, as a share of the layers."""

    core: int | None
    coverage: float


class EngineSection(OpenDocument):
    """The plan that was built here, and how; earlier versions wrote less."""

    file: str
    sha256: str
    bytes: int
    backend: str
    version: str
    sm: list[int]
    batch: str | None = None
    network_layers: int | None = None
    seconds: float | None = None
    platform: str | None = None
    gpu: str | None = None
    optimization_level: int | None = None
    workspace: int | None = None
    tactic_sources: list[str] | None = None
    profiling_verbosity: str | None = None
    dla: DlaSection | None = None
    hardware_compatibility: str = "none"
    version_compatible: bool = False
    warnings: list[str] = Field(default_factory=list)


class StepSection(OpenDocument):
    """One rewrite step and its proof."""

    step: str
    why: str
    changed: int
    box_error: float
    score_error: float
    block_error: float
    why_not: str | None = Field(default=None, description="why it changed nothing")


class ParitySection(OpenDocument):
    """How far the export is from the checkpoint, in float32."""

    steps: list[StepSection]
    onnx_box_error: float
    onnx_score_error: float


class AccuracySection(OpenDocument):
    """What a file of the run detects, next to the checkpoint; figures as in drift.json."""

    map: float | None
    self_map: float | None
    matched: float | None
    passed: bool


class DeviceSection(OpenDocument):
    """A device that the run was deployed to; more in its folder, see docs/deploy.md.

    Attributes:
        host: as ssh was given it.
        title: the machine in words.
        runtime: what ran there, with its version.
        passed: it was built, tested and, where there were images, judged there, and all passed.
        failure: what did not, in one line.
        accuracy: what the device's own detections came to; None where they were not judged.
        attention: how many blocks its plan has fused; None where there is no plan or no record.
        int8: whether INT8 earned its keep there, in words; None where it was not timed.
        plan: the plan that was built there; None where nothing is built.
    """

    host: str
    title: str
    runtime: str | None = None
    created: str
    passed: bool
    failure: str | None = None
    accuracy: AccuracySection | None = None
    attention: str | None = None
    int8: str | None = None
    plan: EngineSection | None = None


class SourceSection(OpenDocument):
    """The checkpoint."""

    file: str
    path: str
    sha256: str
    form: str
    layout: str
    license: str | None = None


class JudgeSection(OpenDocument):
    """The processor that ran the files of a run when they were judged."""

    model: str
    int8_level: str


class ToolSection(OpenDocument):
    """What made the run."""

    version: str
    libraries: dict[str, str]


class Manifest(OpenDocument):
    """The whole document; see docs/run-folder.md."""

    schema_version: Literal[1] = 1
    model: ModelSection
    input: InputSection
    output: OutputSection
    precision: PrecisionSection
    calibration: CalibrationSection | None
    target: TargetSection
    engine: EngineSection | None
    reason: str | None = Field(default=None, description="why there is no engine")
    parity: ParitySection
    verified: bool
    accuracy: dict[str, AccuracySection] = Field(
        default={}, description="of every ONNX file that was judged"
    )
    devices: dict[str, DeviceSection] = Field(
        default={}, description="that `deploy` brought it to, by name"
    )
    files: dict[str, str]
    source: SourceSection
    judged_on: JudgeSection | None = None
    tool: ToolSection
    created: str

    def write(self, folder: Path) -> Path:
        """Write manifest.json into `folder`, atomically."""
        path = folder / MANIFEST_FILE
        write_json(path, self.model_dump(mode="json"))
        return path


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a run folder.

    Raises:
        UsageError: the folder has none.
        CheckpointError: it is damaged.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise UsageError(
            f"{folder} has no {MANIFEST_FILE}", "pass a folder that `yolov12edge export` wrote"
        )
    try:
        return Manifest.model_validate(read_document(path))
    except TooLargeError as error:
        raise CheckpointError(str(error), "export the model again") from error
    except ValueError as error:
        where = ""
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            where = f": {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise CheckpointError(
            f"{path} is damaged{where}", "export the model again, or restore the file"
        ) from error


def changed_files(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Files of a run folder that are not what the manifest says: name to "missing" or "changed"."""
    problems = {}
    for name, digest in manifest.files.items():
        path = folder / name
        if not _inside(folder, name):
            problems[name] = "outside the folder"
        elif not path.is_file():
            problems[name] = "missing"
        elif sha256_file(path) != digest:
            problems[name] = "changed"
    return problems


def _inside(folder: Path, name: str) -> bool:
    """Whether a name is that of a file of the folder, or of a device's in it, and no link."""
    parts = name.split("/")
    of_device = len(parts) == 3 and parts[0] == DEVICES_FOLDER
    if not (len(parts) == 1 or of_device) or any(part in ("", ".", "..") for part in parts):
        return False
    ways = [folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]
    return Path(name).as_posix() == name and not any(way.is_symlink() for way in ways)


def tool_section() -> ToolSection:
    """This package and the versions of the libraries that shaped the result."""
    libraries = {}
    for name in LIBRARIES:
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ToolSection(version=__version__, libraries=libraries)


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
