"""INT8 by a rounding that `train --qat` left in the checkpoint, where it fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.data import Letterbox
from yolov12edge.files import sha256_file
from yolov12edge.graph import load_graph
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.int8.measurement import Problem
from yolov12edge.pipeline.stages.int8.step import Int8Step, lint_written
from yolov12edge.quantize import Dialect, Int8Conversion, write_rounding
from yolov12edge.quantize.qat import Int8Record, StoredInt8, storable
from yolov12edge.quantize.qdq import half_of
from yolov12edge.run.manifest import LearningSection

EFFORT = "qat"


@dataclass(frozen=True)
class QatLearning:
    """What came of quantization-aware training.

    Attributes:
        record: that the checkpoint has of it.
        convolutions: that are INT8.
    """

    record: Int8Record
    convolutions: int

    def section(self) -> LearningSection:
        """What the manifest says of it."""
        return LearningSection(
            effort=EFFORT,
            convolutions=self.convolutions,
            withdrawn=self.convolutions if self.record.epoch is None else 0,
            images=self.record.images,
        )

    def text(self) -> str:
        """One line for people."""
        found = self.record
        start = f"rounding from the checkpoint, learned for {found.target} by train --qat"
        if found.epoch is None or not found.before or found.after is None:
            return f"{start} and withdrawn: as it was calibrated there"
        share = found.after / found.before
        return (
            f"{start}: epoch {found.epoch} of {found.epochs} on {found.images} images, {share:.2f} "
            "times the error of calibration"
        )


def learned_step(
    source: Path,
    target: Path,
    dialect: Dialect,
    stored: StoredInt8,
    letterbox: Letterbox,
    twin: OnnxArtifact | None,
) -> Int8Step | str:
    """Write the INT8 form of a float32 file with a rounding that was learned for it.

    Args:
        source: float32 ONNX of this package.
        target: where the INT8 file goes.
        dialect: rules that the target wants.
        stored: of the checkpoint.
        letterbox: how the model takes images.
        twin: FP16 form of `source`, for targets that take their types from the graph.

    Returns:
        the step, or why the rounding does not fit, in a few words.

    Raises:
        CheckpointError: the rounding is damaged.
        ExportError: a lint found what an engine builder would refuse.
    """
    model = load_graph(source)
    unfit = stored.unfit(model, dialect, letterbox.height, letterbox.width)
    if unfit is not None:
        return unfit
    evened, plan, learned = stored.read(model, dialect)
    half = twin.path if twin else None
    if not storable(learned.rounding, plan, half_of(half)):
        return "the FP16 graph stores other scales"
    nodes = write_rounding(
        evened,
        target,
        plan,
        learned.rounding,
        twin=half,
        corrections=learned.corrections,
    )
    record = stored.record
    kept = {**plan.kept, **(twin.kept if twin else {})}
    conversion = Int8Conversion(target, nodes, kept, record.method, record.images, learned.rounding)
    problem = Problem(source, sha256_file(source), evened, plan, dialect, letterbox)
    return Int8Step(
        conversion=conversion,
        trials={},
        calibrated_on=record.images,
        held_back=0,
        from_cache=False,
        learning=QatLearning(record, len(plan.convolutions)),
        findings=lint_written(target, dialect),
        problem=problem,
        corrections=learned.corrections,
    )
