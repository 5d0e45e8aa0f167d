"""The INT8 step: find out what has to be known, in order, and write the file."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.data import Letterbox
from yolov12edge.errors import DataError, UsageError
from yolov12edge.export import Finding, lint_graph
from yolov12edge.export.onnx_export import refuse_errors
from yolov12edge.files import sha256_file
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.pipeline.images.sources import CalibrationImages
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.int8.effort import choose_effort
from yolov12edge.pipeline.stages.int8.learning import LEAST_IMAGES, LearnedRounding, Learning
from yolov12edge.pipeline.stages.int8.measurement import Problem
from yolov12edge.pipeline.stages.int8.measurements import (
    Losses,
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
    ConvLoss,
    Dialect,
    Int8Conversion,
    Method,
    Statistics,
    barred_convolutions,
    costly_convolutions,
    equalize,
    find_rounding,
    plan_quantization,
)
from yolov12edge.run.manifest import LearningSection
from yolov12edge.run.recipe import Recipe
from yolov12edge.voice import Progress

AUTO = "auto"
# Images that choose the method: an eighth of the set, at most this many, kept out of calibration.
MOST_HELD_BACK = 32
# Ranges by which convolutions are weighed, before the method is chosen.
WEIGHING_METHOD: Method = "mse"
# Images on which channels are evened out.
EVENING = 8


class Taught(Protocol):
    """Something that was learned, by whatever way."""

    def section(self) -> LearningSection:
        """What the manifest says of it."""

    def text(self) -> str:
        """One line for people."""


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
        learning: what was learned; None where everything is rounded to the nearest.
        findings: what the lints say; warnings only, errors are raised.
        problem: the float graph, its channels evened out, and its plan; its source is gone.
        corrections: added to the last class biases.
    """

    conversion: Int8Conversion
    trials: dict[str, float]
    calibrated_on: int
    held_back: int
    from_cache: bool
    learning: Taught | None
    findings: tuple[Finding, ...]
    problem: Problem
    corrections: Mapping[str, NDArray[np.float32]]


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
    effort: str | None = None,
    twin: OnnxArtifact | None = None,
    fresh: bool = False,
    progress: Progress,
) -> Int8Step:
    """Write the INT8 form of a float32 file.

    Args:
        source: float32 ONNX of this package.
        target: where the INT8 file goes.
        calibration: images; with `auto` an eighth of them is held back to choose the method.
        letterbox: how the model takes images.
        method: auto, max, percentile, entropy or mse.
        keep_float: blocks that stay float.
        effort: quick, normal or thorough; normal if None.
        twin: FP16 form of `source`, for targets that take their types from the graph.
        fresh: measure anew, whatever the cache holds.

    Raises:
        DataError: too few images to hold any back.
        ExportError: a lint found what an engine builder would refuse.
    """
    asked, work = parse_method(method), choose_effort(effort)
    budget = dialect.budget if work.measured else None
    ranging, judging = _split(calibration, 0 if asked else MOST_HELD_BACK)
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        widest = None if budget is None else dict[str, str]()
        even = _even_out(source, Path(folder), dialect, widest, ranging, letterbox)
        pose = functools.partial(_pose, even, dialect, keep_float, letterbox)
        ranges = Ranges(pose(widest), ranging)
        statistics = ranges.find(progress, fresh)
        problem, before = ranges.problem, dict[str, ConvLoss]()
        if work.measured:
            before = _weigh(ranges, statistics, progress, fresh)
        if budget is not None:
            barred = barred_convolutions(GraphView(problem.model), budget)
            problem = pose(costly_convolutions(before, budget, barred))
        shifts = RoundingShifts(problem, ranges, statistics)
        writer = Writer(problem, statistics, shifts.find(progress, fresh))
        trials = {} if asked else Trials(shifts, writer, judging).find(progress, fresh)
        chosen = asked or _best(trials)
        learning = None
        if work.iterations and len(ranging) >= LEAST_IMAGES:
            taught = LearnedRounding(shifts, writer, chosen, work, twin)
            learning = _learn(taught, before, pose(None), writer, progress, fresh)
        corrections = ScoreCorrections(shifts, writer, chosen).find(progress, fresh)
        conversion = writer.write(target, chosen, twin=twin, corrections=corrections)
    found = (conversion, trials, statistics.images, len(judging), ranges.remembered)
    return Int8Step(*found, learning, lint_written(target, dialect), problem, corrections)


def _weigh(
    ranges: Ranges, statistics: Statistics, progress: Progress, fresh: bool
) -> dict[str, ConvLoss]:
    """What every convolution would cost in INT8, to the nearest."""
    wide = ranges.problem
    nearest = find_rounding(wide.model, wide.plan, wide.dialect, statistics, WEIGHING_METHOD)
    return Losses(wide, ranges, nearest).find(progress, fresh)


def lint_written(path: Path, dialect: Dialect) -> tuple[Finding, ...]:
    """Warnings about an INT8 file.

    Raises:
        ExportError: a lint found what an engine builder would refuse.
    """
    findings = lint_graph(load_graph(path), for_builder=dialect.symmetric)
    refuse_errors(findings)
    return tuple(findings)


def _learn(
    taught: LearnedRounding,
    weighed: dict[str, ConvLoss],
    ruled: Problem,
    writer: Writer,
    progress: Progress,
    fresh: bool,
) -> Learning:
    """Learn how to round, let the writer write it, and weigh what it is worth."""
    learned = taught.find(progress, fresh)
    writer.learned = learned.rounding
    before = {name: weighed[name] for name in ruled.plan.convolutions if name in weighed}
    after = Losses(taught.problem, taught.ranges, learned.rounding).find(progress, fresh)
    return Learning(taught.effort, learned.results, len(taught.images), before, after)


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
    source: Path,
    folder: Path,
    dialect: Dialect,
    costly: Mapping[str, str] | None,
    images: CalibrationImages,
    letterbox: Letterbox,
) -> Path:
    """The file with the channels evened out that the dialect names; the file itself if none."""
    if not dialect.equalize:
        return source
    path, model = folder / "even.onnx", load_graph(source)
    plan = plan_quantization(model, dialect, costly=costly)
    few = images.part(0, EVENING).stream(letterbox)
    onnx.save(equalize(model, plan, dialect, few), path)
    return path


def _pose(
    source: Path,
    dialect: Dialect,
    keep_float: Sequence[str],
    letterbox: Letterbox,
    costly: Mapping[str, str] | None,
) -> Problem:
    model = load_graph(source)
    plan = plan_quantization(model, dialect, keep_float, costly)
    return Problem(source, sha256_file(source), model, plan, dialect, letterbox)


def _best(trials: Mapping[str, float]) -> Method:
    losses: dict[Method, float] = {method: trials[method] for method in METHODS}
    return min(METHODS, key=losses.__getitem__)
