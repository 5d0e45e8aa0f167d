"""The INT8 step: find out what has to be known, in order, and write the file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError, UsageError
from yolov12edge.export import Finding, lint_graph
from yolov12edge.export.onnx_export import refuse_errors
from yolov12edge.files import sha256_file
from yolov12edge.graph import load_graph
from yolov12edge.pipeline.images.sources import CalibrationImages
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.int8.measurement import Problem
from yolov12edge.pipeline.stages.int8.measurements import (
    Ranges,
    RoundingShifts,
    ScoreCorrections,
    Trials,
    Writer,
)
from yolov12edge.quantize import (
    CPU,
    CPU_VNNI,
    METHODS,
    TENSORRT,
    Dialect,
    Int8Conversion,
    Method,
    equalize,
    plan_quantization,
)
from yolov12edge.run.recipe import Recipe
from yolov12edge.voice import Progress

AUTO = "auto"
# Images that choose the method: an eighth of the set, at most this many, kept out of calibration.
MOST_HELD_BACK = 32
# Images on which channels are evened out.
EVENING = 8


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


def rules_of(recipe: Recipe) -> Dialect:
    """The rules that a recipe's runtime wants."""
    if recipe.builds_engine:
        return TENSORRT
    return CPU_VNNI if recipe.vnni else CPU


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
    twin: OnnxArtifact | None = None,
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
        twin: FP16 form of `source`, for targets that take their types from the graph.
        fresh: measure anew, whatever the cache holds.

    Raises:
        DataError: too few images to hold any back.
        ExportError: a lint found what an engine builder would refuse.
    """
    asked = parse_method(method)
    ranging, judging = _split(calibration, 0 if asked else MOST_HELD_BACK)
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        even = _even_out(source, Path(folder), dialect, ranging, letterbox)
        problem = _pose(even, dialect, keep_float, letterbox)
        ranges = Ranges(problem, ranging)
        statistics = ranges.find(progress, fresh)
        shifts = RoundingShifts(ranges, statistics)
        writer = Writer(problem, statistics, shifts.find(progress, fresh))
        trials = {} if asked else Trials(shifts, writer, judging).find(progress, fresh)
        chosen = asked or _best(trials)
        corrections = ScoreCorrections(shifts, writer, chosen).find(progress, fresh)
        conversion = writer.write(target, chosen, twin=twin, corrections=corrections)
    findings = lint_graph(load_graph(target), for_builder=dialect.symmetric)
    refuse_errors(findings)
    return Int8Step(
        conversion, trials, statistics.images, len(judging), ranges.remembered, tuple(findings)
    )


def _split(
    images: CalibrationImages, most_held_back: int
) -> tuple[CalibrationImages, CalibrationImages]:
    """Images that give ranges, and images that choose the method."""
    held_back = min(most_held_back, max(1, len(images) // 8))
    if held_back >= len(images):
        raise DataError(
            "one image is too few to calibrate and to choose a method",
            "give more images, or name the method with --calib-method",
        )
    kept = len(images) - held_back
    return images.part(0, kept), images.part(kept, len(images))


def _even_out(
    source: Path, folder: Path, dialect: Dialect, images: CalibrationImages, letterbox: Letterbox
) -> Path:
    """The file with the channels evened out that the dialect names; the file itself if none."""
    if not dialect.equalize:
        return source
    path = folder / "even.onnx"
    few = images.part(0, EVENING)
    onnx.save(equalize(load_graph(source), dialect, few.stream(letterbox)), path)
    return path


def _pose(
    source: Path, dialect: Dialect, keep_float: Sequence[str], letterbox: Letterbox
) -> Problem:
    model = load_graph(source)
    plan = plan_quantization(model, dialect, keep_float)
    return Problem(source, sha256_file(source), model, plan, dialect, letterbox)


def _best(trials: Mapping[str, float]) -> Method:
    losses: dict[Method, float] = {method: trials[method] for method in METHODS}
    return min(METHODS, key=losses.__getitem__)
