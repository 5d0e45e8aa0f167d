"""The INT8 step of an export: calibrate once, choose the method by its drift, write, remember.

What a calibration found is kept in the cache under a key of everything it depends on: the graph
with its weights, the images, the preprocessing, the rules and the version of the observers. Another
graph or another set of images has another key, so nothing stale can be taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import onnx

from yolov12edge.checkpoints import cache_folder
from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError, UsageError
from yolov12edge.evaluate import Candidate, DriftReport, measure_drifts
from yolov12edge.export import Finding, lint_graph
from yolov12edge.export.onnx_export import refuse_errors
from yolov12edge.files import sha256_file, write_json
from yolov12edge.pipeline.image_sources import CalibrationImages
from yolov12edge.pipeline.recipe import Recipe
from yolov12edge.quantize import (
    CPU,
    METHODS,
    TENSORRT,
    Dialect,
    Fp16Conversion,
    Int8Conversion,
    Method,
    QuantizationPlan,
    Statistics,
    load_statistics,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)
from yolov12edge.quantize.observers import BINS, SAMPLE
from yolov12edge.runtime import open_runner

Progress = Callable[[str, int, int], None]

AUTO = "auto"
# Images that choose the method: an eighth of the set, at most this many, kept out of calibration.
MOST_HELD_BACK = 32
_CACHE_VERSION = 1


@dataclass(frozen=True)
class Int8Step:
    """A written INT8 file and how it came about.

    Attributes:
        conversion: file, precisions, nodes kept in float.
        trials: drift of every method on the held-back images, lower is better; empty if the
            method was asked for.
        calibrated_on: images that gave ranges.
        held_back: images that chose the method.
        from_cache: whether the statistics were there already.
        findings: what the lints say; warnings only, errors are raised.
    """

    conversion: Int8Conversion
    trials: dict[str, float]
    calibrated_on: int
    held_back: int
    from_cache: bool
    findings: tuple[Finding, ...]


def dialect_of(recipe: Recipe) -> Dialect:
    """The rules that a recipe's runtime wants."""
    return TENSORRT if recipe.builds_engine else CPU


def parse_method(text: str) -> Method | None:
    """A method by name; None for auto.

    Raises:
        UsageError: no such method.
    """
    for method in METHODS:
        if text == method:
            return method
    if text == AUTO:
        return None
    raise UsageError(
        f"no calibration method is called {text!r}", f"use {AUTO}, {', '.join(METHODS)}"
    )


def quantize_step(
    source: Path,
    target: Path,
    dialect: Dialect,
    calibration: CalibrationImages,
    letterbox: Letterbox,
    *,
    method: str = AUTO,
    keep_float: Sequence[str] = (),
    twin: Fp16Conversion | None = None,
    progress: Progress,
) -> Int8Step:
    """Calibrate a float32 file and write its INT8 form.

    Args:
        source: float32 ONNX of this package.
        target: where the INT8 file goes.
        calibration: images; with `auto` an eighth of them is held back to choose the method.
        letterbox: how the model takes images.
        method: auto, max, percentile, entropy or mse.
        keep_float: blocks that stay float.
        twin: FP16 twin of `source`, for targets that take their types from the graph.

    Raises:
        DataError: too few images to hold any back.
        ExportError: a lint found what an engine builder would refuse.
    """
    chosen = parse_method(method)
    model = onnx.load(source)
    plan = plan_quantization(model, dialect, keep_float)
    held_back = 0 if chosen else min(MOST_HELD_BACK, max(1, len(calibration) // 8))
    if held_back >= len(calibration):
        raise DataError(
            "one image is too few to calibrate and to choose a method",
            "give more images, or name the method with --calib-method",
        )
    ranging = calibration.part(0, len(calibration) - held_back)
    judging = calibration.part(len(calibration) - held_back, len(calibration))
    tensors = observed_tensors(model, [plan])
    key = _key(sha256_file(source), ranging, letterbox, tensors)
    statistics, cached = _calibrate(model, tensors, ranging, letterbox, key, progress)
    trials: dict[str, float] = {}
    if chosen is None:
        trials = _trials(source, plan, dialect, statistics, judging, letterbox, key, progress)
        chosen = min(METHODS, key=trials.__getitem__)
    conversion = quantize_int8(
        source,
        target,
        plan,
        dialect,
        statistics,
        chosen,
        twin=twin.path if twin else None,
        kept_fp32=twin.kept if twin else None,
    )
    findings = lint_graph(onnx.load(target))
    refuse_errors(findings)
    return Int8Step(conversion, trials, statistics.images, held_back, cached, tuple(findings))


def _key(
    graph: str, images: CalibrationImages, letterbox: Letterbox, tensors: Sequence[str]
) -> str:
    """Names everything that statistics depend on."""
    parts = {
        "version": _CACHE_VERSION,
        "graph": graph,
        "images": list(images.hashes),
        "letterbox": asdict(letterbox),
        "observer": [BINS, SAMPLE],
        "tensors": list(tensors),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _folder() -> Path:
    return cache_folder() / "calibration"


def _calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    images: CalibrationImages,
    letterbox: Letterbox,
    key: str,
    progress: Progress,
) -> tuple[Statistics, bool]:
    """Statistics from the cache, else from one pass over the images."""
    path = _folder() / f"{key}.npz"
    found = load_statistics(path, key)
    if found is not None and found.images == len(images) and set(tensors) <= set(found.tensors):
        return found, True
    found = observe(
        model,
        tensors,
        images.stream(letterbox),
        len(images),
        key=key,
        partial=path.with_suffix(".part.npz"),
        progress=progress,
    )
    found.save(path)
    return found, False


def _trials(
    source: Path,
    plan: QuantizationPlan,
    dialect: Dialect,
    statistics: Statistics,
    images: CalibrationImages,
    letterbox: Letterbox,
    key: str,
    progress: Progress,
) -> dict[str, float]:
    """Drift of every method against the float graph, on images that gave no ranges."""
    record = _folder() / f"{key}.{_trial_key(plan, dialect, images)}.json"
    known = _read_trials(record)
    if known is not None:
        return known
    with (
        tempfile.TemporaryDirectory(prefix="yolov12edge-") as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        files = list(images.files) or _write_pictures(images, folder)
        reference = stack.enter_context(contextlib.closing(open_runner(source, "onnxruntime")))
        candidates = []
        for method in METHODS:
            path = folder / f"{method}.onnx"
            quantize_int8(source, path, plan, dialect, statistics, method)
            runner = open_runner(path, "onnxruntime")
            candidates.append(Candidate(stack.enter_context(contextlib.closing(runner)), letterbox))
        reports = measure_drifts(
            reference,
            candidates,
            files,
            reference_letterbox=letterbox,
            progress=lambda _label, done, total: progress("choosing the method", done, total),
        )
    trials: dict[str, float] = {
        method: _loss(report) for method, report in zip(METHODS, reports, strict=True)
    }
    write_json(record, {"key": key, "trials": trials})
    return trials


def _loss(report: DriftReport) -> float:
    """What is lost of self-mAP and of the detections; of the scores where there are none."""
    if report.self_map is None or report.matched is None:
        ratio = report.tensors["scores"].sqnr_db if report.tensors else None
        return 2.0 - (150.0 if ratio is None else ratio) / 1000
    return 2.0 - report.self_map - report.matched


def _trial_key(plan: QuantizationPlan, dialect: Dialect, images: CalibrationImages) -> str:
    text = json.dumps([dialect.name, sorted(plan.edges.items()), plan.groups, plan.convolutions])
    return hashlib.sha256(f"{text}{images.digest()}".encode()).hexdigest()[:16]


def _read_trials(path: Path) -> dict[str, float] | None:
    try:
        trials = json.loads(path.read_bytes())["trials"]
        return {method: float(trials[method]) for method in METHODS}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_pictures(images: CalibrationImages, folder: Path) -> list[Path]:
    """Pictures of an array as files, without loss."""
    assert images.array is not None
    files = []
    for index, picture in enumerate(images.array):
        path = folder / f"{index:04d}.png"
        cv2.imwrite(str(path), picture[:, :, ::-1])
        files.append(path)
    return files
