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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.data import Letterbox
from yolov12edge.download import cache_folder
from yolov12edge.errors import DataError, UsageError
from yolov12edge.evaluate import Candidate, DriftReport, measure_drifts
from yolov12edge.export import Finding, lint_graph
from yolov12edge.export.onnx_export import refuse_errors
from yolov12edge.files import sha256_file, write_json
from yolov12edge.pipeline.images.sources import FEW_IMAGES, CalibrationImages, calibration_images
from yolov12edge.quantize import (
    CPU,
    METHODS,
    TENSORRT,
    Dialect,
    Fp16Conversion,
    Int8Conversion,
    Method,
    QuantizationPlan,
    Shifts,
    Statistics,
    activation_shifts,
    choose_steps,
    convert_to_fp16,
    equalize,
    load_statistics,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
    score_corrections,
)
from yolov12edge.quantize.observers import BINS, SAMPLE
from yolov12edge.run.recipe import Recipe, load_recipe
from yolov12edge.runtime import open_artifact, open_runner
from yolov12edge.voice import Progress

AUTO = "auto"
FP16_IMAGES = 8
# Images that choose the method: an eighth of the set, at most this many, kept out of calibration.
MOST_HELD_BACK = 32
# Images on which channels are evened out, and on which shifts of channels and scores are measured.
EVENING = 8
SHIFTING = 16
CORRECTING = 24
_CACHE_VERSION = 2


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


@dataclass(frozen=True)
class QuantizeRequest:
    """What `yolov12edge quantize` was asked for.

    Attributes:
        source: float32 ONNX of this package.
        calibration: folder, data.yaml, .txt list or .npz.
        precision: fp16 or int8.
        target: recipe whose runtime an INT8 file is for.
        calibration_limit: most images; the default if None.
        calibration_method: auto or a method, for INT8.
        keep_float: blocks that INT8 leaves in float.
        out: the new file; beside the source if None.
        seed: of the image sample.
    """

    source: Path
    calibration: Path
    precision: str
    target: str
    calibration_limit: int | None = None
    calibration_method: str = AUTO
    keep_float: tuple[str, ...] = ()
    out: Path | None = None
    seed: int = 0


def quantize_run(
    request: QuantizeRequest, warn: Callable[[str], None], progress: Progress
) -> dict[str, Any]:
    """Convert one file and describe what became of it.

    Raises:
        EdgeError: of the family of whatever went wrong.
    """
    opened = open_artifact(request.source)
    opened.runner.close()
    recipe = load_recipe(request.target)
    limit = FP16_IMAGES if request.precision == "fp16" else request.calibration_limit
    images = calibration_images(request.calibration, None, limit, request.seed)
    assert images is not None
    out = request.out or request.source.with_suffix(f".{request.precision}.onnx")
    if request.precision == "fp16":
        half = _convert_half(request.source, out, images, opened.letterbox, progress)
        return _describe(out, half.nodes, half.kept, images=half.images)
    if len(images) < FEW_IMAGES:
        warn(f"only {len(images)} calibration images; {FEW_IMAGES} or more are better")
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        twin = None
        if recipe.strongly_typed:
            path = Path(folder) / "half.onnx"
            twin = _convert_half(request.source, path, images, opened.letterbox, progress)
        step = quantize_step(
            request.source,
            out,
            dialect_of(recipe),
            images,
            opened.letterbox,
            method=request.calibration_method,
            keep_float=request.keep_float,
            twin=twin,
            progress=progress,
        )
    conversion = step.conversion
    return _describe(
        out,
        conversion.nodes,
        conversion.kept,
        images=step.calibrated_on,
        method=conversion.method,
        trials=step.trials,
        from_cache=step.from_cache,
    )


def _convert_half(
    source: Path,
    target: Path,
    images: CalibrationImages,
    letterbox: Letterbox,
    progress: Progress,
) -> Fp16Conversion:
    progress("converting to FP16", 0, 1)
    half = convert_to_fp16(source, target, images.tensors(letterbox, FP16_IMAGES))
    progress("converting to FP16", 1, 1)
    return half


def _describe(
    path: Path, nodes: dict[str, int], kept: dict[str, str], **more: Any
) -> dict[str, Any]:
    return {
        "file": str(path),
        "sha256": sha256_file(path),
        "bytes": path.stat().st_size,
        "nodes": nodes,
        "kept_in_float": kept,
        **more,
    }


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
    fresh: bool = False,
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
        fresh: calibrate anew, whatever the cache holds.

    Raises:
        DataError: too few images to hold any back.
        ExportError: a lint found what an engine builder would refuse.
    """
    chosen = parse_method(method)
    held_back = 0 if chosen else min(MOST_HELD_BACK, max(1, len(calibration) // 8))
    if held_back >= len(calibration):
        raise DataError(
            "one image is too few to calibrate and to choose a method",
            "give more images, or name the method with --calib-method",
        )
    ranging = calibration.part(0, len(calibration) - held_back)
    judging = calibration.part(len(calibration) - held_back, len(calibration))
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        even = _even_out(source, Path(folder), dialect, ranging.part(0, EVENING), letterbox)
        model = onnx.load(even)
        plan = plan_quantization(model, dialect, keep_float)
        tensors = observed_tensors(model, [plan])
        key = _key(sha256_file(even), ranging, letterbox, tensors)
        statistics, cached = _calibrate(model, tensors, ranging, letterbox, key, fresh, progress)
        record = _record(key, plan, dialect)
        if fresh:
            record.unlink(missing_ok=True)
        some = ranging.part(0, CORRECTING)
        job = _Job(even, plan, dialect, statistics, letterbox, some, record, progress)
        trials = {} if chosen else job.trials(judging)
        final = chosen or _best(trials)
        conversion = quantize_int8(
            even,
            target,
            plan,
            dialect,
            statistics,
            final,
            twin=twin.path if twin else None,
            kept_fp32=twin.kept if twin else None,
            shifts=job.shifts()[final],
            corrections=job.corrections(final),
        )
    findings = lint_graph(onnx.load(target), for_builder=dialect.symmetric)
    refuse_errors(findings)
    return Int8Step(conversion, trials, statistics.images, held_back, cached, tuple(findings))


def _even_out(
    source: Path, folder: Path, dialect: Dialect, images: CalibrationImages, letterbox: Letterbox
) -> Path:
    """The file with the channels evened out that the dialect names; the file itself if none."""
    if not dialect.equalize:
        return source
    path = folder / "even.onnx"
    onnx.save(equalize(onnx.load(source), dialect, images.stream(letterbox)), path)
    return path


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
    fresh: bool,
    progress: Progress,
) -> tuple[Statistics, bool]:
    """Statistics from the cache, else from one pass over the images."""
    path = _folder() / f"{key}.npz"
    found = None if fresh else load_statistics(path, key)
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


@dataclass(frozen=True)
class _Job:
    """What trials and corrections share; what they find is remembered in `record`.

    Corrections are measured on `correcting`, a few of the calibration images.
    """

    source: Path
    plan: QuantizationPlan
    dialect: Dialect
    statistics: Statistics
    letterbox: Letterbox
    correcting: CalibrationImages
    record: Path
    progress: Progress

    def trials(self, images: CalibrationImages) -> dict[str, float]:
        """Loss of every method against the float graph, on images that gave no ranges."""
        name = f"trials {images.digest()}"
        known = self._recall(name)
        if known is not None and known.keys() >= set(METHODS):
            return {method: float(known[method]) for method in METHODS}
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="yolov12edge-")))
            runners = [
                open_runner(path, "onnxruntime")
                for path in [self.source, *(self._write(folder, method) for method in METHODS)]
            ]
            for runner in runners:
                stack.callback(runner.close)
            reports = measure_drifts(
                runners[0],
                [Candidate(runner, self.letterbox) for runner in runners[1:]],
                list(images.files) or _write_pictures(images, folder),
                reference_letterbox=self.letterbox,
                progress=self._relabelled("choosing the method"),
            )
        losses = [_loss(report) for report in reports]
        found = dict(zip(map(str, METHODS), losses, strict=True))
        self._remember(name, found)
        return found

    def shifts(self) -> dict[Method, Shifts]:
        """Shift of every channel that a convolution reads, for every method."""
        images = self.correcting.part(0, SHIFTING)
        name = f"shifts {images.digest()}"
        known = self._recall(name)
        if known is None:
            advance = self._relabelled("measuring shifts")
            found = activation_shifts(
                onnx.load(self.source),
                self.plan,
                {m: choose_steps(self.plan, self.dialect, self.statistics, m) for m in METHODS},
                _counted(images.stream(self.letterbox), advance, len(images)),
            )
            known = {
                method: {conv: shift.tolist() for conv, shift in shifts.items()}
                for method, shifts in found.items()
            }
            self._remember(name, known)
        return {
            method: {conv: np.asarray(shift) for conv, shift in known[method].items()}
            for method in METHODS
        }

    def corrections(self, method: Method) -> dict[str, NDArray[np.float32]]:
        """What the last class biases lack once everything in front of them is INT8."""
        images = self.correcting
        name = f"corrections {method} {images.digest()}"
        known = self._recall(name)
        if known is None:
            advance = self._relabelled("correcting scores")
            with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
                found = score_corrections(
                    self.source,
                    self._write(Path(folder), method),
                    _counted(images.stream(self.letterbox), advance, len(images)),
                )
            known = {conv: change.tolist() for conv, change in found.items()}
            self._remember(name, known)
        return {conv: np.asarray(change, np.float32) for conv, change in known.items()}

    def _write(self, folder: Path, method: Method) -> Path:
        path = folder / f"{method}.onnx"
        quantize_int8(
            self.source,
            path,
            self.plan,
            self.dialect,
            self.statistics,
            method,
            shifts=self.shifts()[method],
        )
        return path

    def _relabelled(self, label: str) -> Progress:
        return lambda _label, done, total: self.progress(label, done, total)

    def _recall(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self.record.read_bytes())[name]
            if found["sha256"] == _digest(found["value"]):
                return dict(found["value"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return None

    def _remember(self, name: str, value: Mapping[str, Any]) -> None:
        try:
            document = dict(json.loads(self.record.read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            document = {}
        write_json(self.record, document | {name: {"sha256": _digest(value), "value": value}})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _counted(
    images: Iterator[NDArray[np.float32]], progress: Progress, total: int
) -> Iterator[NDArray[np.float32]]:
    for index, image in enumerate(images):
        yield image
        progress("", index + 1, total)


def _best(trials: Mapping[str, float]) -> Method:
    losses: dict[Method, float] = {method: trials[method] for method in METHODS}
    return min(METHODS, key=losses.__getitem__)


def _loss(report: DriftReport) -> float:
    """What is lost of self-mAP and of the detections; of the scores where there are none."""
    if report.self_map is None or report.matched is None:
        ratio = report.tensors["scores"].sqnr_db if report.tensors else None
        return 2.0 - (150.0 if ratio is None else ratio) / 1000
    return 2.0 - report.self_map - report.matched


def _record(key: str, plan: QuantizationPlan, dialect: Dialect) -> Path:
    """Where the outcome of trials is kept: depends on the plan as well."""
    parts = [dialect.name, sorted(plan.edges.items()), plan.groups, plan.convolutions]
    return _folder() / f"{key}.{_digest(parts)[:16]}.json"


def _write_pictures(images: CalibrationImages, folder: Path) -> list[Path]:
    """Pictures of an array as files, without loss."""
    assert images.array is not None
    files = []
    for index, picture in enumerate(images.array):
        path = folder / f"{index:04d}.png"
        cv2.imwrite(str(path), picture[:, :, ::-1])
        files.append(path)
    return files
