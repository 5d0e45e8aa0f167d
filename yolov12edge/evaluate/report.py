"""drift.json: what an artifact kept of its reference, and the verdict on it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from yolov12edge.documents import Document

Metric = Literal["map", "self_map"]


class Gate(Document):
    """What an artifact must keep to pass.

    Attributes:
        metric: "map" (against labels), "self_map" (against the reference's detections), or
            "auto": map where labels exist and the reference reaches 0.02 on them, else self_map.
        max_drop: largest relative drop of the metric; 0.01 is MLPerf's 99% of the reference.
        min_matched: smallest share of the reference's detections found again.
    """

    metric: Literal["auto", "map", "self_map"] = "auto"
    max_drop: float = Field(default=0.01, ge=0, le=1)
    min_matched: float = Field(default=0.95, ge=0, le=1)


class GateResult(Document):
    """A gate with its outcome.

    Attributes:
        reasons: one line for each thing that failed; empty where passed.
    """

    metric: Metric
    max_drop: float
    min_matched: float
    passed: bool
    reasons: list[str]


class RuntimeVersion(Document):
    """What ran a model.

    Attributes:
        device: the machine that it ran on; None for the one that wrote the report.
    """

    runtime: str
    version: str
    device: str | None = None


class TensorError(Document):
    """Error of one output tensor over all images.

    Attributes:
        sqnr_db: 10 log10 of signal over noise energy; None without any difference.
        cosine: cosine of the angle between the tensors.
        max_abs: largest difference, in pixels for boxes.
    """

    sqnr_db: float | None
    cosine: float
    max_abs: float


class Counts(Document):
    """Detections above the truth score."""

    reference: int
    artifact: int


class ClassDrift(Document):
    """One class; None where the set holds no object of it."""

    name: str
    map_reference: float | None
    map_artifact: float | None
    self_map: float | None


class WorstImage(Document):
    """An image on which the two differ.

    Attributes:
        reference: detections of the reference above the truth score.
        matched: how many of them the artifact finds again.
        extra: the artifact's that have no partner.
        mean_iou: of the matched ones.
    """

    image: str
    reference: int
    matched: int
    extra: int
    mean_iou: float | None


class BlockDrift(Document):
    """What a block gets wrong by itself.

    Attributes:
        block: dotted module path, as in the checkpoint.
        lost_db: of signal to error, against exact arithmetic; below 0 where it gains.
        images: on how many it was fed.
    """

    block: str
    lost_db: float
    images: int


class InstructionSetDrift(Document):
    """INT8 in the runtime on one instruction set, beside the exact arithmetic of the file.

    Attributes:
        name: as in `yolov12edge.processor`; the first of a report is what the judge has.
        images: how many were followed.
        block: the first block that is computed wrong; if none is, the one that is furthest off.
        exact_db, runtime_db: its ratio of signal to error, exactly and in the runtime; fed with
            exact values where it is wrong even so, else in the whole network.
        alone: the block that is furthest off where every block is fed with exact values, so that
            nothing travels; None in reports of earlier versions.
        passed: no block is computed wrong.
        matched, matched_exactly: share of the reference's detections found again, in the runtime
            and exactly.
    """

    name: str
    images: int
    block: str
    exact_db: float
    runtime_db: float
    alone: BlockDrift | None = None
    passed: bool
    matched: float | None
    matched_exactly: float | None


class DriftSettings(Document):
    """How the figures were made.

    Attributes:
        confidence, iou, max_detections: of the multi-label NMS of both sides.
        truth_score: reference detections above it count as truth; artifact detections above it
            count as found.
        match_iou: smallest IoU of a matched pair.
        resamples, seed: of the bootstrap over images.
    """

    confidence: float
    iou: float
    max_detections: int
    truth_score: float
    match_iou: float
    resamples: int
    seed: int


class DriftReport(Document):
    """A reference and an artifact on the same images.

    Average precisions are COCO's, mean over IoU 0.50:0.05:0.95 where not called map50; None where
    there is nothing to measure them against.

    Attributes:
        images: how many were run.
        spread_over: how many the set has that they were taken from, evenly; None for all of them.
        objects: labelled objects in them; None without labels.
        map_reference, map_artifact, map50_reference, map50_artifact: against the labels.
        self_map, self_map50: of the artifact, with the reference's detections above the truth
            score as truth; here precision is averaged over all recalls in place of COCO's 101,
            which would take a whole hundredth for a single missed detection.
        drop: relative drop of the gate's metric.
        drop_interval: its 95% bootstrap interval over images.
        matched: share of the reference's detections above the truth score that the artifact finds
            again above it: same class, IoU at least 0.5, one to one.
        mean_iou: of the matched pairs.
        score_shift: mean of artifact score minus reference score, over the reference's detections
            above the truth score that the artifact finds again at any score.
        restoring_threshold: the artifact's score threshold that yields as many detections as the
            truth score does on the reference.
        nonfinite_images: images whose artifact output holds NaN or infinity.
        tensors: error of the outputs, "boxes" and "scores", on equal input; None where the
            inputs have different sizes.
        levels: the same for P3, P4, P5 (strides 8, 16, 32).
        worst: the images that differ most, worst first.
        judge, reference: who ran the artifact and the reference.
        instruction_sets: INT8 for CPUs: what each instruction set makes of it.
        notes: remarks on how to read the figures, and where an error seems to start.
    """

    schema_version: Literal[1] = 1
    images: int
    spread_over: int | None = None
    objects: int | None
    map_reference: float | None
    map_artifact: float | None
    map50_reference: float | None
    map50_artifact: float | None
    self_map: float | None
    self_map50: float | None
    drop: float | None
    drop_interval: tuple[float, float] | None
    matched: float | None
    mean_iou: float | None
    score_shift: float | None
    restoring_threshold: float | None
    detections: Counts
    nonfinite_images: int
    tensors: dict[str, TensorError] | None
    levels: dict[str, dict[str, TensorError]] | None
    per_class: list[ClassDrift]
    worst: list[WorstImage]
    gate: GateResult
    judge: RuntimeVersion
    reference: RuntimeVersion
    settings: DriftSettings
    notes: list[str]
    instruction_sets: tuple[InstructionSetDrift, ...] = ()

    def to_json(self) -> str:
        """The content of drift.json."""
        return self.model_dump_json(indent=2) + "\n"
