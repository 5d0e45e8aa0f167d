"""What INT8 has to know about a graph, in the order in which it is found out.

Each class says how many images it needs at most, what its result depends on and how it is made.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov12edge.evaluate import Candidate, DriftReport, measure_drifts
from yolov12edge.pipeline.images.sources import CalibrationImages
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.int8.measurement import JsonMeasurement, Measurement, Problem
from yolov12edge.quantize import (
    METHODS,
    ConvLoss,
    Int8Conversion,
    Method,
    Rounding,
    Shifts,
    Statistics,
    WeightMemory,
    activation_shifts,
    choose_steps,
    measure_losses,
    observe,
    observed_tensors,
    quantize_int8,
    score_corrections,
)
from yolov12edge.quantize.observers import BINS, SAMPLE
from yolov12edge.runtime import open_runner
from yolov12edge.voice import Progress

Corrections = dict[str, NDArray[np.float32]]


class Ranges(Measurement[Statistics]):
    """Statistics of every tensor of the plan: one pass, from which every method takes its ranges.

    A pass that was interrupted goes on where it was.
    """

    kind, label = "ranges", "calibrating"

    def __init__(self, problem: Problem, images: CalibrationImages) -> None:
        super().__init__(problem, images)
        self.tensors = observed_tensors(problem.model, [problem.plan])

    def depends_on(self) -> dict[str, Any]:
        """The tensors, and how finely they are looked at."""
        return {"tensors": self.tensors, "observer": [BINS, SAMPLE]}

    def measure(self, progress: Progress) -> Statistics:
        """Run the float graph over all images."""
        return observe(
            self.problem.model,
            self.tensors,
            self.images.stream(self.problem.letterbox),
            len(self.images),
            begun=self.begun(),
            save=self.save,
            progress=progress,
        )

    def encode(self, value: Statistics) -> bytes:
        """An .npz."""
        return value.to_bytes()

    def decode(self, content: bytes) -> Statistics:
        """Statistics of these tensors."""
        found = Statistics.from_bytes(content)
        if list(found.tensors) != self.tensors:
            raise ValueError("statistics of other tensors")
        return found


class Losses(JsonMeasurement[dict[str, ConvLoss]]):
    """What INT8 in each convolution costs what the detector says."""

    kind, label = "losses", "weighing convolutions"
    MOST = 32

    def __init__(self, problem: Problem, ranges: Ranges, rounding: Rounding) -> None:
        super().__init__(problem, ranges.images.part(0, self.MOST))
        self._ranges = ranges
        self._rounding = rounding

    def depends_on(self) -> dict[str, Any]:
        """The plan, and every whole number."""
        return {**self.problem.parts(), "rounding": self._rounding.digest()}

    def measure(self, progress: Progress) -> dict[str, ConvLoss]:
        """Follow what the head says backwards."""
        problem = self.problem
        return measure_losses(problem.model, problem.plan, self._rounding, self.stream(progress))

    def plain(self, value: dict[str, ConvLoss]) -> Any:
        """Convolution to numbers."""
        return {name: asdict(loss) for name, loss in value.items()}

    def restored(self, document: Any) -> dict[str, ConvLoss]:
        """Numbers as losses."""
        return {name: ConvLoss(**loss) for name, loss in document.items()}


class RoundingShifts(JsonMeasurement[dict[Method, Shifts]]):
    """How far rounding moves the mean of every channel that a convolution reads, by method."""

    kind, label = "shifts", "measuring shifts"
    MOST = 16

    def __init__(self, problem: Problem, ranges: Ranges, statistics: Statistics) -> None:
        super().__init__(problem, ranges.images.part(0, self.MOST))
        self.ranges = ranges
        self.statistics = statistics

    def depends_on(self) -> dict[str, Any]:
        """The plan, and the images that gave ranges."""
        return {**self.problem.parts(), "ranges": self.ranges.key}

    def measure(self, progress: Progress) -> dict[Method, Shifts]:
        """One pass serves all methods."""
        problem = self.problem
        return activation_shifts(
            problem.model,
            problem.plan,
            {m: choose_steps(problem.plan, problem.dialect, self.statistics, m) for m in METHODS},
            self.stream(progress),
        )

    def plain(self, value: dict[Method, Shifts]) -> Any:
        """Method to convolution to numbers."""
        return {
            method: {conv: shift.tolist() for conv, shift in shifts.items()}
            for method, shifts in value.items()
        }

    def restored(self, document: Any) -> dict[Method, Shifts]:
        """Numbers as arrays."""
        return {
            method: {conv: np.asarray(shift) for conv, shift in document[method].items()}
            for method in METHODS
        }


class Writer:
    """Writes the INT8 form of a graph once ranges and shifts are known.

    Attributes:
        shifts: by method.
        learned: a rounding that takes the place of the nearest, once there is one.
    """

    def __init__(
        self, problem: Problem, statistics: Statistics, shifts: dict[Method, Shifts]
    ) -> None:
        self.problem = problem
        self._statistics = statistics
        self.shifts = shifts
        self._weights: WeightMemory = {}
        self.learned: Rounding | None = None

    def write(
        self,
        target: Path,
        method: Method,
        *,
        twin: OnnxArtifact | None = None,
        corrections: Corrections | None = None,
    ) -> Int8Conversion:
        """Write one file.

        Args:
            method: how ranges come from statistics.
            twin: FP16 form of the graph, where what stays float is to be FP16.
            corrections: added to the last class biases.
        """
        return quantize_int8(
            self.problem.source,
            target,
            self.problem.plan,
            self.problem.dialect,
            self._statistics,
            method,
            twin=twin.path if twin else None,
            kept_fp32=twin.kept if twin else None,
            shifts=self.shifts[method],
            corrections=corrections,
            weights=self._weights,
            rounding=self.learned,
        )


class Trials(JsonMeasurement[dict[str, float]]):
    """What each method loses against the float graph, on images that gave no ranges."""

    kind, label = "trials", "choosing the method"

    def __init__(self, shifts: RoundingShifts, writer: Writer, images: CalibrationImages) -> None:
        super().__init__(writer.problem, images)
        self._shifts = shifts
        self._writer = writer

    def depends_on(self) -> dict[str, Any]:
        """The plan, the images that gave ranges, those that gave shifts."""
        return {"shifts": self._shifts.key}

    def measure(self, progress: Progress) -> dict[str, float]:
        """Write every method's file and judge them together."""
        letterbox = self.problem.letterbox
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="yolov12edge-")))
            written = [self._writer.write(folder / f"{m}.onnx", m).path for m in METHODS]
            runners = [open_runner(path, "onnxruntime") for path in [self.problem.source, *written]]
            for runner in runners:
                stack.callback(runner.close)
            reports = measure_drifts(
                runners[0],
                [Candidate(runner, letterbox) for runner in runners[1:]],
                self.images.as_files(folder),
                reference_letterbox=letterbox,
                progress=progress,
            )
        return dict(zip(map(str, METHODS), map(_loss, reports), strict=True))

    def plain(self, value: dict[str, float]) -> Any:
        """As it is."""
        return value

    def restored(self, document: Any) -> dict[str, float]:
        """The loss of every method."""
        return {method: float(document[method]) for method in METHODS}


class ScoreCorrections(JsonMeasurement[Corrections]):
    """What the last class biases lack once everything in front of them is INT8."""

    kind, label = "corrections", "correcting scores"
    MOST = 24

    def __init__(self, shifts: RoundingShifts, writer: Writer, method: Method) -> None:
        super().__init__(writer.problem, shifts.ranges.images.part(0, self.MOST))
        self._shifts = shifts
        self._writer = writer
        self._method = method

    def depends_on(self) -> dict[str, Any]:
        """The method, and what its file depends on."""
        learned = self._writer.learned
        return {
            "method": self._method,
            "shifts": self._shifts.key,
            "rounding": None if learned is None else learned.digest(),
        }

    def measure(self, progress: Progress) -> Corrections:
        """Compare the file without corrections with the float graph."""
        with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
            file = self._writer.write(Path(folder) / "int8.onnx", self._method).path
            return score_corrections(self.problem.source, file, self.stream(progress))

    def plain(self, value: Corrections) -> Any:
        """Convolution to numbers."""
        return {conv: change.tolist() for conv, change in value.items()}

    def restored(self, document: Any) -> Corrections:
        """Numbers as arrays."""
        return {conv: np.asarray(change, np.float32) for conv, change in document.items()}


def _loss(report: DriftReport) -> float:
    """What is lost of self-mAP and of the detections; of the scores where there are none."""
    if report.self_map is None or report.matched is None:
        ratio = report.tensors["scores"].sqnr_db if report.tensors else None
        return 2.0 - (150.0 if ratio is None else ratio) / 1000
    return 2.0 - report.self_map - report.matched
