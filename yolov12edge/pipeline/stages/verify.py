"""Judge artifacts against the checkpoint, and say where a bad one goes wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.checkpoints import Checkpoint, load_model
from yolov12edge.data import Dataset, read_image, to_batch
from yolov12edge.errors import CheckpointError, DataError, UnsupportedError, UsageError
from yolov12edge.evaluate import Candidate, DriftReport, Gate, measure_drifts
from yolov12edge.evaluate.blocks import BlockTrace, trace_blocks
from yolov12edge.evaluate.overflow import first_overflow
from yolov12edge.files import sha256_file, write_bytes
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.precisions import uses_half
from yolov12edge.model import Detector
from yolov12edge.pipeline.cache import key_of, recall, remember
from yolov12edge.pipeline.stages.arithmetic import with_arithmetic
from yolov12edge.processor import LEVELS
from yolov12edge.run.manifest import AccuracySection, read_manifest
from yolov12edge.run.names import GOLDEN_FILE, MANIFEST_FILE, PLAN_SUFFIXES
from yolov12edge.runtime import Artifact, open_artifact
from yolov12edge.runtime.golden_gate import Findings, examine
from yolov12edge.runtime.onnxruntime import judge_is_trustworthy
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import Progress, Voice, no_progress


@dataclass(frozen=True)
class Subject:
    """An artifact to judge.

    Attributes:
        path: .onnx, .plan, .engine, .pt or .safetensors.
        runtime: what runs it; chosen by the file if None.
        threads: CPU threads; the runtime's choice if None.
        vnni_only: INT8 that was made for machines with VNNI and need not be right elsewhere.
    """

    path: Path
    runtime: str | None = None
    threads: int | None = None
    vnni_only: bool = False


@dataclass(frozen=True)
class Verdicts:
    """Drift of the files of a run.

    Attributes:
        by_artifact: file name to its drift, in the order of the stages; the artifact that was
            asked for, or the engine made of it, is the last.
    """

    by_artifact: dict[str, DriftReport]

    @property
    def asked(self) -> DriftReport | None:
        """Drift of what was asked for; None if nothing was judged."""
        return self.by_artifact[self.asked_name] if self.by_artifact else None

    @property
    def asked_name(self) -> str:
        """The file that was asked for; "" if nothing was judged."""
        return list(self.by_artifact)[-1] if self.by_artifact else ""

    @property
    def passed(self) -> bool:
        """Something was judged, and all of it passed."""
        reports = self.by_artifact.values()
        return bool(reports) and all(report.gate.passed for report in reports)

    def write(self, path: Path) -> None:
        """Write drift.json: the verdict on what was asked for."""
        if self.asked is not None:
            write_bytes(path, self.asked.to_json().encode())


NO_VERDICTS = Verdicts({})


def verify_run(
    checkpoint: Checkpoint,
    detector: Detector,
    subjects: Sequence[Subject],
    judges: Dataset,
    gate: Gate,
    *,
    seed: int = 0,
    fresh: bool = False,
    voice: Voice,
    progress: Progress,
) -> Verdicts:
    """Judge the files of a run, the one that was asked for last; remembered where that is safe.

    Args:
        checkpoint: what `detector` was built from.
        fresh: judge anew, whatever the cache holds.

    Raises:
        EdgeError: as `verify_artifacts`.
    """
    key = _key(checkpoint, subjects, judges, gate, seed)
    # What a plan computes depends on the GPU and its driver too: it is judged every time.
    fresh = fresh or any(one.path.suffix in PLAN_SUFFIXES for one in subjects)
    known = None if fresh else recall("drift", key)
    if known is not None:
        voice.info("drift: measured before on these very files, images and libraries (--fresh)")
        documents = json.loads(known)
        return Verdicts({n: DriftReport.model_validate(one) for n, one in documents.items()})
    drift = verify_artifacts(detector, subjects, judges, gate, seed=seed, progress=progress)
    documents = {name: report.model_dump(mode="json") for name, report in drift.items()}
    remember("drift", key, json.dumps(documents).encode())
    return Verdicts(drift)


def verify_artifacts(
    detector: Detector,
    subjects: Sequence[Subject],
    dataset: Dataset,
    gate: Gate | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, DriftReport]:
    """Measure the drift of each artifact on the images of a data set.

    Args:
        detector: the reference.
        dataset: images, with labels or without.

    Returns:
        file name to report, in the order given. What an artifact answers otherwise on the golden
        inputs beside it fails the gate too. An ONNX file of this package is also followed block by
        block on its worst image: a block that no longer computes what the checkpoint's does fails
        the gate by name, even where mAP does not show it on these images.

    Raises:
        DataError: the data set has another number of classes, or an image cannot be read.
        UsageError: the artifacts take images of different sizes.
    """
    _check_classes(detector, dataset)
    with contextlib.ExitStack() as stack:
        artifacts = [open_artifact(s.path, s.runtime, s.threads, golden=False) for s in subjects]
        for artifact in artifacts:
            stack.callback(artifact.runner.close)
        for subject in subjects:
            _check_judge(subject)
        sizes = {artifact.runner.input_shape[2:] for artifact in artifacts}
        if len(sizes) > 1:
            raise UsageError(
                "the artifacts take images of different sizes", "verify them one by one"
            )
        reports = measure_drifts(
            TorchRunner(detector, *sizes.pop()),
            [Candidate(artifact.runner, artifact.letterbox) for artifact in artifacts],
            dataset.images,
            dataset if dataset.labels is not None else None,
            names=detector.names,
            gate=gate,
            seed=seed,
            progress=progress,
        )
        asked = [
            examine(subject.path, artifact.runner, artifact.letterbox)
            for subject, artifact in zip(subjects, artifacts, strict=True)
        ]
    judged = [_with_goldens(*pair) for pair in zip(reports, asked, strict=True)]
    return {
        subject.path.name: _with_causes(report, detector, subject, artifact, dataset)
        for subject, artifact, report in zip(subjects, artifacts, judged, strict=True)
    }


def accuracy_of(report: DriftReport) -> AccuracySection:
    """What the manifest says of a drift report."""
    return AccuracySection(
        map=report.map_artifact,
        self_map=report.self_map,
        matched=report.matched,
        passed=report.gate.passed,
    )


def find_reference(artifact: Path, weights: Path | None) -> Detector:
    """The checkpoint to judge by: `weights`, else the one that the run folder was made of.

    Raises:
        UsageError: neither is there.
        CheckpointError: the recorded checkpoint has changed since.
    """
    return load_model(reference_path(artifact, weights))


def reference_path(artifact: Path, weights: Path | None) -> Path:
    """The file of `find_reference`."""
    if weights is not None:
        return weights
    if not (artifact.parent / MANIFEST_FILE).is_file():
        raise UsageError(
            f"{artifact} has no {MANIFEST_FILE} beside it, so its checkpoint is unknown",
            "pass the checkpoint with --weights FILE",
        )
    source = read_manifest(artifact.parent).source
    path = Path(source.path)
    if not path.is_file():
        raise UsageError(
            f"the checkpoint {path} that {artifact.name} was made of is not there",
            "pass it with --weights FILE",
        )
    if sha256_file(path) != source.sha256:
        raise CheckpointError(
            f"{path} is not the checkpoint that {artifact.name} was made of: its bytes changed",
            "restore it, or pass another one with --weights FILE",
        )
    return path


def made_for_vnni(artifact: Path) -> bool:
    """Whether the manifest beside an artifact says that its INT8 is right with VNNI only."""
    if not (artifact.parent / MANIFEST_FILE).is_file():
        return False
    products = read_manifest(artifact.parent).precision.products
    return products is not None and not set(products.right_on) >= set(LEVELS)


def keep_float_advice(trace: BlockTrace) -> str:
    """Which blocks lose most in INT8, and the option that leaves them in float."""
    worst = dict.fromkeys([*([trace.start] if trace.start else []), *trace.costliest()])
    losses = ", ".join(f"{block.block} ({block.loss_db:.0f} dB)" for block in worst)
    names = ",".join(block.block for block in worst)
    return f"most is lost in {losses}; they stay float with --keep-float {names}"


def _key(
    checkpoint: Checkpoint, subjects: Sequence[Subject], judges: Dataset, gate: Gate, seed: int
) -> str:
    """Names everything that drift reports depend on."""
    labels = b"".join(rows.tobytes() + b"|" for rows in judges.labels or ())
    return key_of(
        checkpoint=checkpoint.sha256,
        artifacts=[
            [one.path.name, sha256_file(one.path), one.runtime, one.vnni_only] for one in subjects
        ],
        goldens=[sha256_file(path) for path in _goldens(subjects)],
        images=[[str(path), sha256_file(path)] for path in judges.images],
        labels=None if judges.labels is None else hashlib.sha256(labels).hexdigest(),
        names=list(judges.names),
        gate=gate.model_dump(mode="json"),
        seed=seed,
    )


def _check_classes(detector: Detector, dataset: Dataset) -> None:
    classes = detector.architecture.num_classes
    if dataset.names and len(dataset.names) != classes:
        raise DataError(
            f"the data set has {len(dataset.names)} classes, the checkpoint has {classes}",
            "pass the data set that the checkpoint was trained on",
        )


def _goldens(subjects: Sequence[Subject]) -> list[Path]:
    """The golden inputs beside the subjects, as far as there are any."""
    paths = dict.fromkeys(subject.path.with_name(GOLDEN_FILE) for subject in subjects)
    return [path for path in paths if path.is_file()]


def _check_judge(subject: Subject) -> None:
    """Refuse to judge FP16 graphs by an ONNX Runtime that computes FP16 wrong.

    Raises:
        UnsupportedError: it does.
    """
    if subject.path.suffix.lower() != ".onnx" or subject.runtime not in (None, "onnxruntime"):
        return
    if not uses_half(GraphView(load_graph(subject.path, weights=False))):
        return
    trustworthy, reason = judge_is_trustworthy()
    if not trustworthy:
        raise UnsupportedError(reason, "install another onnxruntime, or judge with OpenVINO")


def _with_causes(
    report: DriftReport, detector: Detector, subject: Subject, artifact: Artifact, dataset: Dataset
) -> DriftReport:
    """The report with what was found inside the file: broken blocks, wrong arithmetic."""
    return with_arithmetic(
        _with_blocks(report, detector, subject.path, artifact, dataset),
        detector,
        subject.path,
        artifact.letterbox,
        dataset,
        threads=subject.threads,
        vnni_only=subject.vnni_only,
    )


def _with_goldens(report: DriftReport, found: Findings) -> DriftReport:
    """The report with what the artifact answers otherwise on the golden inputs."""
    if not found.all:
        return report
    # What is told by its kind says more than that something was lost.
    reasons = [*(f"on the golden images: {text}" for text in found.all), *report.gate.reasons]
    gate = report.gate.model_copy(update={"passed": False, "reasons": reasons})
    return report.model_copy(update={"gate": gate})


def _with_blocks(
    report: DriftReport, detector: Detector, path: Path, artifact: Artifact, dataset: Dataset
) -> DriftReport:
    """The report with the verdict on the blocks; unchanged where the file does not name them."""
    if path.suffix.lower() != ".onnx":
        return report
    worst = Path(report.worst[0].image) if report.worst else dataset.images[0]
    image = to_batch([artifact.letterbox(read_image(worst))[0]])
    try:
        trace = trace_blocks(detector, path, image)
    except CheckpointError:
        return report
    overflow = first_overflow(path, image)
    if overflow is not None:
        text = f"the error starts in {overflow}: its values pass FP16's largest, 65504"
        gate = report.gate.model_copy(
            update={"passed": False, "reasons": [text, *report.gate.reasons]}
        )
        return report.model_copy(update={"gate": gate, "notes": [text, *report.notes]})
    advice = [keep_float_advice(trace)] if trace.precision == "int8" else []
    if trace.start is None:
        notes = [] if report.gate.passed else [*report.notes, trace.text, *advice]
        return report.model_copy(update={"notes": notes})
    gate = report.gate.model_copy(
        update={"passed": False, "reasons": [*report.gate.reasons, trace.text]}
    )
    # A named block says more than the symptoms.
    return report.model_copy(update={"gate": gate, "notes": [trace.text, *report.notes, *advice]})
