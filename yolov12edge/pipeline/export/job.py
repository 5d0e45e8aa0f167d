"""The export job: every stage in order, from a checkpoint to a judged run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from yolov12edge.bench import BenchReport
from yolov12edge.checkpoints import Checkpoint, build_detector, fetch_published, read_checkpoint
from yolov12edge.data import Dataset, Letterbox, read_image, to_batch
from yolov12edge.engine import BatchRange
from yolov12edge.errors import DataError, GateFailed, UsageError
from yolov12edge.evaluate import DriftReport, Gate
from yolov12edge.export import ExportOptions, OnnxExport, Parity, check_parity, export_onnx
from yolov12edge.files import readable_size, sha256_file, write_bytes, write_json
from yolov12edge.model import Detector
from yolov12edge.pipeline.cache import key_of, recall, remember
from yolov12edge.pipeline.export.target import default_target
from yolov12edge.pipeline.images.coco import fetch_coco_images
from yolov12edge.pipeline.images.sources import (
    FEW_IMAGES,
    CalibrationImages,
    calibration_images,
    verification_images,
)
from yolov12edge.pipeline.stages.bench import bench_run
from yolov12edge.pipeline.stages.engine import (
    build_step,
    plans_to_time,
    try_engine,
)
from yolov12edge.pipeline.stages.goldens import record_run
from yolov12edge.pipeline.stages.int8 import (
    AUTO,
    FP16_IMAGES,
    Int8Step,
    dialect_of,
    quantize_step,
)
from yolov12edge.pipeline.stages.verify import Subject, accuracy_of, verify_artifacts
from yolov12edge.quantize import (
    ALIEN,
    Fp16Conversion,
    convert_to_fp16,
    describe_images,
    domain_gap,
)
from yolov12edge.run.folder import staged_folder
from yolov12edge.run.manifest import (
    CalibrationSection,
    EngineSection,
    InputSection,
    Manifest,
    ModelSection,
    OutputSection,
    ParitySection,
    PrecisionSection,
    SourceSection,
    StepSection,
    TargetSection,
    now,
    tool_section,
)
from yolov12edge.run.names import (
    BENCH_FILE,
    CALIBRATION_FILE,
    DRIFT_FILE,
    FP16_FILE,
    FP16_PLAN_FILE,
    FP32_FILE,
    GOLDEN_FILE,
    INT8_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
)
from yolov12edge.run.recipe import Precision, Recipe, load_recipe
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import Progress, Voice

# What INT8 has to beat: its file, the rival's, the rival's precision; the closest rival first.
_RIVALS = (
    (PLAN_FILE, FP16_PLAN_FILE, "FP16"),
    (INT8_FILE, FP16_FILE, "FP16"),
    (INT8_FILE, FP32_FILE, "FP32"),
)
DEFAULT_IMAGE_SIZE = 640
GAP_IMAGES = 16


@dataclass(frozen=True)
class ExportRequest:
    """What a user asked for; None means the default of the target, checkpoint or machine.

    Attributes:
        weights: a checkpoint file; None for the published one of `scale` and `layout`.
        precision: fp32, fp16 or int8.
        image_size: (height, width).
        batch: "N", or "MIN:OPT:MAX" for a symbolic one.
        calibration: folder, data.yaml or .npz; the train split of `data` if None.
        calibration_method: auto, max, percentile, entropy or mse.
        keep_float: blocks that INT8 leaves in float.
        data: data.yaml whose val split judges the result.
        build, verify, bench: whether to run these stages.
        fresh: take nothing that an earlier run worked out.
    """

    weights: Path | None = None
    scale: str = "n"
    layout: str = "turbo"
    precision: str | None = None
    target: str | None = None
    calibration: Path | None = None
    calibration_limit: int | None = None
    calibration_method: str = AUTO
    keep_float: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    batch: str = "1"
    data: Path | None = None
    max_drop: float = 0.01
    out: Path | None = None
    seed: int = 0
    build: bool = True
    verify: bool = True
    bench: bool = True
    swap_attention: bool = True
    fresh: bool = False


@dataclass(frozen=True)
class ExportOutcome:
    """A finished run.

    Attributes:
        folder: the run folder.
        manifest: what it says about itself.
        drift: artifact file to its drift, the judged one last; empty if nothing was verified.
        bench: what was timed here; None if nothing was.
        statistics: nodes of model.onnx, in all and by operator.
        engine_note: why there is no engine and what to run, or None.
        failure: what the engine does wrong on the golden inputs, if this machine could run it.
    """

    folder: Path
    manifest: Manifest
    drift: dict[str, DriftReport]
    bench: BenchReport | None
    statistics: dict[str, int]
    engine_note: str | None
    failure: GateFailed | None = None

    @property
    def verdict(self) -> DriftReport | None:
        """Drift of the artifact that was asked for."""
        return next(reversed(self.drift.values()), None)

    def comparison(self) -> list[dict[str, Any]]:
        """One row an artifact, the checkpoint first: accuracy, size, latency where it runs here."""
        timed = {one.name: one.latency_ms.p50 for one in self.bench.artifacts} if self.bench else {}
        first = next(iter(self.drift.values()), None)
        rows = [
            {
                "artifact": "checkpoint",
                "map": first.map_reference if first else None,
                "self_map": None,
                "matched": None,
                "bytes": None,
                "latency_ms": timed.get("checkpoint"),
                "passed": None,
            }
        ]
        for name, report in self.drift.items():
            rows.append(
                {
                    "artifact": name,
                    "map": report.map_artifact,
                    "self_map": report.self_map,
                    "matched": report.matched,
                    "bytes": (self.folder / name).stat().st_size,
                    "latency_ms": timed.get(name),
                    "passed": report.gate.passed,
                }
            )
        return rows

    @property
    def advice(self) -> str | None:
        """The precision to use instead of INT8, where INT8 was timed here and is not faster."""
        timed = {one.name: one.latency_ms.p50 for one in self.bench.artifacts} if self.bench else {}
        for name, rival, flag in _RIVALS:
            if name in timed and rival in timed and timed[name] >= timed[rival]:
                ours, theirs = (f"{timed[one]:.1f} ms" for one in (name, rival))
                return f"use {flag}: INT8 takes {ours} here, {flag} {theirs}"
        return None

    def document(self) -> dict[str, Any]:
        """What --json prints."""
        return {
            "folder": str(self.folder),
            "manifest": self.manifest.model_dump(mode="json"),
            "drift": {name: report.model_dump(mode="json") for name, report in self.drift.items()},
            "bench": self.bench.model_dump(mode="json") if self.bench else None,
            "comparison": self.comparison(),
            "advice": self.advice,
            "graph": self.statistics,
            "next_step": self.engine_note,
        }

    def raise_if_failed(self) -> None:
        """Raise GateFailed if the artifact drifted too far, or the engine yields nonsense."""
        if self.failure is not None:
            raise self.failure
        verdict = self.verdict
        if verdict is not None and not verdict.gate.passed:
            advice = [note for note in verdict.notes if "--keep-float" in note]
            wider = f"see {self.folder / DRIFT_FILE}; a wider gate is --max-drop F"
            raise GateFailed(
                f"the artifact drifted: {verdict.gate.reasons[0]}", advice[0] if advice else wider
            )


def export_run(request: ExportRequest, voice: Voice, progress: Progress) -> ExportOutcome:
    """Run the whole job and write the run folder.

    The folder is complete or untouched: stages fill a hidden folder that is moved into place at
    the end, also when the gate fails, so that a bad artifact can be looked at.

    Raises:
        EdgeError: of the family of whatever went wrong.
    """
    recipe, why = _choose_target(request.target)
    voice.info(f"target {recipe.name}: {why}")
    precision = _choose_precision(request.precision, recipe)
    batch = BatchRange.parse(request.batch)
    if request.image_size:
        _options(request, recipe, request.image_size, batch)
    checkpoint = _read(request, voice, progress)
    size = request.image_size or (checkpoint.image_size or DEFAULT_IMAGE_SIZE,) * 2
    options = _options(request, recipe, size, batch)
    calibration = calibration_images(
        _calibration_source(request, precision, voice, progress),
        request.data,
        request.calibration_limit,
        request.seed,
    )
    _check_calibration(precision, calibration, voice)
    judges = verification_images(request.data, calibration) if request.verify else None
    if request.verify and judges is None:
        voice.warn("drift is not measured: no images; pass --data data.yaml or --calib DIR")
    detector = build_detector(checkpoint)
    _check_classes(detector, judges, request.data)

    folder = request.out or Path("runs") / f"{checkpoint.path.stem}-{recipe.name}"
    with staged_folder(folder) as stage:
        exported = export_onnx(detector, stage / FP32_FILE, options)
        parity = check_parity(detector, exported.path)
        voice.info(_graph_line(exported, parity))
        artifact, half, int8, gap = exported.path, None, None, None
        if precision == "fp16" or (precision == "int8" and recipe.builds_engine):
            assert calibration is not None
            half = _to_fp16(stage, exported, calibration, size, request.fresh, voice, progress)
            artifact = half.path
        if precision == "int8":
            assert calibration is not None
            gap = _domain_gap(exported, calibration, judges, voice)
            int8 = _to_int8(request, recipe, stage, exported, half, calibration, voice, progress)
            artifact = int8.conversion.path
        if request.build:
            engine, reason = build_step(recipe, artifact, batch, voice, progress)
        else:
            engine, reason = None, "not asked for (--no-build)"
        if recipe.builds_engine:
            _record_goldens(stage, detector, size, judges, calibration, progress)
        manifest = Manifest(
            **_artifact_sections(exported),
            precision=_precision_section(precision, exported, half, int8),
            calibration=_calibration_section(calibration, half, int8, gap),
            target=TargetSection(
                name=recipe.name,
                backend=recipe.backend,
                sm=list(recipe.compute_capabilities),
                version=recipe.version or "",
            ),
            engine=EngineSection(**engine.manifest()) if engine else None,
            reason=reason,
            parity=_parity_section(exported, parity),
            verified=False,
            files=_hashes(stage),
            source=_source_section(checkpoint),
            tool=tool_section(),
            created=now(),
        )
        # A plan is opened with what the manifest says of it.
        manifest.write(stage)
        plan, failure = try_engine(engine)
        files = [path for path in (exported.path, half and half.path, artifact, plan) if path]
        drift = _verify(request, recipe, checkpoint, detector, judges, files, voice, progress)
        bench = None
        if request.bench:
            twin = half.path if half else None
            with plans_to_time(recipe, plan, precision, twin, batch, voice, progress) as plans:
                onnx_files = [exported.path] if recipe.builds_engine else dict.fromkeys(files)
                bench = bench_run(
                    detector, list(onnx_files), plans, recipe, judges, request.seed, progress
                )
            write_json(stage / BENCH_FILE, bench.model_dump(mode="json"))
        passed = all(report.gate.passed for report in drift.values())
        manifest = manifest.model_copy(
            update={
                "verified": bool(drift) and passed and failure is None,
                "accuracy": {name: accuracy_of(report) for name, report in drift.items()},
                "files": _hashes(stage),
            }
        )
        manifest.write(stage)
    note = None
    if engine is None and recipe.builds_engine:
        command = recipe.build_command(folder / artifact.name, folder / PLAN_FILE, precision)
        note = f"no engine: {reason}\non the device run: {command}"
    return ExportOutcome(folder, manifest, drift, bench, exported.statistics, note, failure)


def _hashes(stage: Path) -> dict[str, str]:
    """SHA-256 of every file of the run but the manifest itself."""
    files = sorted(path for path in stage.iterdir() if path.name != MANIFEST_FILE)
    return {path.name: sha256_file(path) for path in files}


def _choose_target(name: str | None) -> tuple[Recipe, str]:
    if name is not None:
        recipe = load_recipe(name)
        return recipe, recipe.title
    chosen, why = default_target()
    return load_recipe(chosen), why


def _choose_precision(asked: str | None, recipe: Recipe) -> Precision:
    if asked is None:
        return "fp16" if recipe.precision.default == "int8" else recipe.precision.default
    allowed = [name for name in recipe.precision.allowed if name == asked]
    if not allowed:
        raise UsageError(
            f"target {recipe.name} has no {asked}",
            f"it allows: {', '.join(recipe.precision.allowed)}",
        )
    return allowed[0]


def _options(
    request: ExportRequest, recipe: Recipe, size: tuple[int, int], batch: BatchRange
) -> ExportOptions:
    return ExportOptions(
        height=size[0],
        width=size[1],
        batch=batch.optimal if batch.fixed else None,
        opset=recipe.opset,
        variant=recipe.attention,
        swap_attention=request.swap_attention,
    )


def _calibration_source(
    request: ExportRequest, precision: Precision, voice: Voice, progress: Progress
) -> Path | None:
    """What was asked for; for a published checkpoint with nothing given, the COCO list."""
    named = request.calibration or request.data or request.weights
    if precision == "fp32" or named is not None:
        return request.calibration
    limit = None if precision == "int8" else FP16_IMAGES
    return fetch_coco_images(limit, voice=voice, progress=progress)


def _read(request: ExportRequest, voice: Voice, progress: Progress) -> Checkpoint:
    path = request.weights
    if path is None:
        path = fetch_published(request.scale, request.layout, voice=voice, progress=progress)
    checkpoint = read_checkpoint(path)
    architecture = checkpoint.architecture
    voice.info(
        f"{path.name}: YOLOv12-{architecture.scale}, layout {architecture.layout}, "
        f"{architecture.num_classes} classes"
    )
    return checkpoint


def _check_calibration(
    precision: Precision, calibration: CalibrationImages | None, voice: Voice
) -> None:
    if precision == "fp32":
        return
    if calibration is None or not len(calibration):
        raise DataError(
            f"{precision} needs real images, and none were given",
            "pass --calib DIR (pictures as the camera sees them) or --data data.yaml",
        )
    if precision == "int8" and len(calibration) < FEW_IMAGES:
        voice.warn(f"only {len(calibration)} calibration images; {FEW_IMAGES} or more are better")


def _check_classes(detector: Detector, judges: Dataset | None, data: Path | None) -> None:
    expected = detector.architecture.num_classes
    if judges is not None and judges.names and len(judges.names) != expected:
        raise DataError(
            f"{data} has {len(judges.names)} classes, the checkpoint has {expected}",
            "pass the data set that the checkpoint was trained on",
        )


def _graph_line(exported: OnnxExport, parity: Parity) -> str:
    statistics = exported.statistics
    return (
        f"{FP32_FILE}: {statistics['nodes']} nodes, {statistics.get('Transpose', 0)} Transpose, "
        f"{readable_size(exported.path.stat().st_size)}; ONNX Runtime agrees within "
        f"{parity.box_error:.1g} px and {parity.score_error:.1g} in score"
    )


def _to_fp16(
    stage: Path,
    exported: OnnxExport,
    calibration: CalibrationImages,
    size: tuple[int, int],
    fresh: bool,
    voice: Voice,
    progress: Progress,
) -> Fp16Conversion:
    target = stage / FP16_FILE
    key = key_of(
        graph=sha256_file(exported.path),
        images=list(calibration.part(0, FP16_IMAGES).hashes),
        size=list(size),
    )
    known = None if fresh else recall("fp16", key)
    if known is not None:
        header, _, content = known.partition(b"\n")
        write_bytes(target, content)
        conversion = Fp16Conversion(target, **json.loads(header))
    else:
        progress("converting to FP16", 0, 1)
        images = calibration.tensors(Letterbox(*size), FP16_IMAGES)
        conversion = convert_to_fp16(exported.path, target, images)
        facts = {"nodes": conversion.nodes, "kept": conversion.kept, "images": conversion.images}
        remember("fp16", key, json.dumps(facts).encode() + b"\n" + target.read_bytes())
        progress("converting to FP16", 1, 1)
    voice.info(
        f"{FP16_FILE}: {conversion.nodes['fp16']} nodes in FP16, {conversion.nodes['fp32']} kept "
        f"in FP32, decided on {conversion.images} images"
        + (" (taken from the cache)" if known else "")
    )
    return conversion


def _domain_gap(
    exported: OnnxExport, calibration: CalibrationImages, judges: Dataset | None, voice: Voice
) -> float | None:
    """How far the calibration images are from those that judge; warns if they look unlike."""
    if judges is None or min(len(calibration), len(judges.images)) < GAP_IMAGES:
        return None
    height, width = exported.description["model"]["imgsz"]
    letterbox = Letterbox(height, width)
    order = np.random.default_rng(0).permutation(len(judges.images))[:GAP_IMAGES]
    model = onnx.load(exported.path)
    seen = describe_images(model, calibration.part(0, GAP_IMAGES).stream(letterbox))
    judged = describe_images(
        model,
        (to_batch([letterbox(read_image(judges.images[index]))[0]])[0] for index in order),
    )
    gap = domain_gap(seen, judged)
    if gap > ALIEN:
        voice.warn(
            f"the calibration images look unlike the verification images to the model (gap "
            f"{gap:.1f}, alike below {ALIEN:.0f}): expect lost accuracy, calibrate on pictures of "
            "the same kind"
        )
    return gap


def _to_int8(
    request: ExportRequest,
    recipe: Recipe,
    stage: Path,
    exported: OnnxExport,
    half: Fp16Conversion | None,
    calibration: CalibrationImages,
    voice: Voice,
    progress: Progress,
) -> Int8Step:
    for note in recipe.int8_notes:
        voice.warn(note)
    height, width = exported.description["model"]["imgsz"]
    step = quantize_step(
        exported.path,
        stage / INT8_FILE,
        dialect_of(recipe),
        calibration,
        Letterbox(height, width),
        method=request.calibration_method,
        keep_float=request.keep_float,
        twin=half if recipe.strongly_typed else None,
        fresh=request.fresh,
        progress=progress,
    )
    write_json(stage / CALIBRATION_FILE, calibration.document())
    nodes = ", ".join(f"{count} {name}" for name, count in step.conversion.nodes.items())
    voice.info(
        f"{INT8_FILE}: {nodes} nodes; ranges by {step.conversion.method} from "
        f"{step.calibrated_on} images"
        + (" (calibration taken from the cache)" if step.from_cache else "")
    )
    return step


def _record_goldens(
    stage: Path,
    detector: Detector,
    size: tuple[int, int],
    judges: Dataset | None,
    calibration: CalibrationImages | None,
    progress: Progress,
) -> None:
    """What the checkpoint finds on a few images, for the device to compare with."""
    files = judges.images if judges else calibration.files if calibration else ()
    reference = TorchRunner(detector, *size)
    record_run(stage / GOLDEN_FILE, reference, Letterbox(*size), files, progress)


def _verify(
    request: ExportRequest,
    recipe: Recipe,
    checkpoint: Checkpoint,
    detector: Detector,
    judges: Dataset | None,
    files: Sequence[Path],
    voice: Voice,
    progress: Progress,
) -> dict[str, DriftReport]:
    """Drift of every file, the artifact asked for last; that one is written as drift.json."""
    if judges is None:
        return {}
    runtime = "openvino" if recipe.backend == "openvino" else None
    subjects = [
        Subject(path, None if path.name == PLAN_FILE else runtime) for path in dict.fromkeys(files)
    ]
    gate = Gate(max_drop=request.max_drop)
    key = _verdict_key(checkpoint, subjects, judges, gate, request.seed)
    # What a plan computes depends on the GPU and its driver too: it is judged every time.
    fresh = request.fresh or any(path.name == PLAN_FILE for path in files)
    known = None if fresh else recall("drift", key)
    if known is not None:
        documents = json.loads(known)
        drift = {name: DriftReport.model_validate(one) for name, one in documents.items()}
        voice.info("drift: measured before on these very files, images and libraries (--fresh)")
    else:
        drift = verify_artifacts(
            detector, subjects, judges, gate, seed=request.seed, progress=progress
        )
        documents = {name: report.model_dump(mode="json") for name, report in drift.items()}
        remember("drift", key, json.dumps(documents).encode())
    write_bytes(files[0].with_name(DRIFT_FILE), next(reversed(drift.values())).to_json().encode())
    return drift


def _verdict_key(
    checkpoint: Checkpoint, subjects: Sequence[Subject], judges: Dataset, gate: Gate, seed: int
) -> str:
    """Names everything that drift reports depend on."""
    labels = b"".join(rows.tobytes() + b"|" for rows in judges.labels or ())
    return key_of(
        checkpoint=checkpoint.sha256,
        artifacts=[[one.path.name, sha256_file(one.path), one.runtime] for one in subjects],
        images=[[str(path), sha256_file(path)] for path in judges.images],
        labels=None if judges.labels is None else hashlib.sha256(labels).hexdigest(),
        names=list(judges.names),
        gate=gate.model_dump(mode="json"),
        seed=seed,
    )


def _artifact_sections(exported: OnnxExport) -> dict[str, Any]:
    return {
        "model": ModelSection(**exported.description["model"]),
        "input": InputSection(**exported.description["input"]),
        "output": OutputSection(**exported.description["output"]),
    }


def _precision_section(
    precision: Precision,
    exported: OnnxExport,
    half: Fp16Conversion | None,
    int8: Int8Step | None,
) -> PrecisionSection:
    conversion = int8.conversion if int8 else half
    if conversion is None:
        return PrecisionSection(
            name=precision, nodes={"fp32": exported.statistics["nodes"]}, kept_in_float={}
        )
    return PrecisionSection(name=precision, nodes=conversion.nodes, kept_in_float=conversion.kept)


def _calibration_section(
    calibration: CalibrationImages | None,
    half: Fp16Conversion | None,
    int8: Int8Step | None,
    gap: float | None,
) -> CalibrationSection | None:
    if calibration is None or (half is None and int8 is None):
        return None
    digest, seed = calibration.digest(), calibration.seed
    if int8 is not None:
        return CalibrationSection(
            images=int8.calibrated_on,
            sha256=digest,
            method=int8.conversion.method,
            seed=seed,
            held_back=int8.held_back,
            trials=int8.trials,
            domain_gap=gap,
            file=CALIBRATION_FILE,
        )
    assert half is not None
    return CalibrationSection(images=half.images, sha256=digest, method="autocast-range", seed=seed)


def _parity_section(exported: OnnxExport, parity: Parity) -> ParitySection:
    return ParitySection(
        steps=[StepSection(**vars(proof)) for proof in exported.proofs],
        onnx_box_error=parity.box_error,
        onnx_score_error=parity.score_error,
    )


def _source_section(checkpoint: Checkpoint) -> SourceSection:
    return SourceSection(
        file=checkpoint.path.name,
        path=str(checkpoint.path.resolve()),
        sha256=checkpoint.sha256,
        form=checkpoint.form,
        layout=checkpoint.architecture.layout,
        license=checkpoint.license,
    )
