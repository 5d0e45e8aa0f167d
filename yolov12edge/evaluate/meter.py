"""What is kept of each image, and the drift report it adds up to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.data.letterbox import Letterbox, Placement
from yolov12edge.evaluate.average_precision import AveragePrecision, MatchTable
from yolov12edge.evaluate.detections import Detections
from yolov12edge.evaluate.pairs import MATCH_IOU, pair
from yolov12edge.evaluate.report import (
    ClassDrift,
    Counts,
    DriftReport,
    DriftSettings,
    Gate,
    GateResult,
    Metric,
    RuntimeVersion,
    WorstImage,
)
from yolov12edge.evaluate.symptoms import symptoms
from yolov12edge.evaluate.tensor_errors import TensorErrors
from yolov12edge.thresholds import COUNTED, SHOWN

TRUTH_SCORE = SHOWN.confidence
RESAMPLES = 500
WORST_IMAGES = 5
# Below this the reference does not know the labels' world, and ratios of its mAP are chance.
MEANINGFUL_MAP = 0.02

Array = NDArray[np.float32]


class DriftMeter:
    """Everything that is kept of the images."""

    def __init__(
        self,
        names: Sequence[str],
        reference_letterbox: Letterbox,
        artifact_letterbox: Letterbox,
        labelled: bool,
    ) -> None:
        self._names = tuple(names)
        self._letterboxes = (reference_letterbox, artifact_letterbox)
        self._labelled = (MatchTable(names), MatchTable(names)) if labelled else None
        self._self = (MatchTable(names, sampled=False), MatchTable(names, sampled=False))
        self._tensors = TensorErrors(reference_letterbox.height, reference_letterbox.width)
        self._nonfinite = 0
        self._objects = 0
        self._detections = np.zeros(2, dtype=int)
        self._matched = 0
        self._ious: list[NDArray[np.float64]] = []
        self._shifts: list[Array] = []
        self._scores: list[Array] = []
        self._worst: list[WorstImage] = []

    def add_outputs(self, reference: Array, on_equal_input: Array | None, own: Array) -> None:
        """One image's decoded outputs, (4 + classes, A) each."""
        if not np.isfinite(own).all():
            self._nonfinite += 1
        if on_equal_input is not None and np.isfinite([reference, on_equal_input]).all():
            self._tensors.add(reference, on_equal_input)

    def add_nonfinite(self) -> None:
        """One image whose output held NaN or infinity, where the output itself is not here."""
        self._nonfinite += 1

    def add_detections(
        self,
        path: Path,
        reference: Detections,
        artifact: Detections,
        placement: Placement,
        objects: Detections | None,
    ) -> None:
        """One image's detections in original pixels, and its labelled objects.

        Against labels the detections are clipped to the image, as for COCO; against each other
        they are not, since boxes beyond the edge would lose their area and with it their partners.
        """
        truth, found = reference.above(TRUTH_SCORE), artifact.above(TRUTH_SCORE)
        self._self[0].add(reference, truth)
        self._self[1].add(artifact, truth)
        if self._labelled and objects is not None:
            self._objects += len(objects)
            size = (placement.width, placement.height)
            self._labelled[0].add(reference.clipped(*size), objects)
            self._labelled[1].add(artifact.clipped(*size), objects)
        pairs = pair(truth, found)
        self._detections += (len(truth), len(found))
        self._matched += len(pairs.iou)
        self._ious.append(pairs.iou)
        anywhere = pair(truth, artifact)
        self._shifts.append(artifact.scores[anywhere.second] - truth.scores[anywhere.first])
        self._scores.append(artifact.scores)
        self._rank(
            WorstImage(
                image=str(path),
                reference=len(truth),
                matched=len(pairs.iou),
                extra=len(found) - len(pairs.iou),
                mean_iou=_mean(pairs.iou),
            )
        )

    def _rank(self, image: WorstImage) -> None:
        if image.matched < image.reference or image.extra:
            self._worst.append(image)
            self._worst.sort(key=lambda one: one.matched - one.reference - one.extra)
            del self._worst[WORST_IMAGES:]

    def report(
        self, gate: Gate, seed: int, reference: RuntimeVersion, artifact: RuntimeVersion
    ) -> DriftReport:
        """The figures over all images, and the gate's verdict on them."""
        own = [table.average_precision() for table in self._self]
        real = [table.average_precision() for table in self._labelled] if self._labelled else None
        metric: Metric = "self_map" if gate.metric == "self_map" else "map"
        if gate.metric == "auto" and (not real or (real[0].map or 0) < MEANINGFUL_MAP):
            metric = "self_map"
        tables = self._labelled if metric == "map" and self._labelled else self._self
        drop, interval = _drop(*tables, seed)
        truths, founds = (int(count) for count in self._detections)
        matched = self._matched / truths if truths else None
        reasons = self._reasons(gate, metric, drop, matched)
        tensors, levels = self._tensors.total(), self._tensors.by_level()
        scores = np.sort(np.concatenate(self._scores))[::-1]
        return DriftReport(
            images=self._self[0].images,
            objects=self._objects if real else None,
            map_reference=real[0].map if real else None,
            map_artifact=real[1].map if real else None,
            map50_reference=real[0].map50 if real else None,
            map50_artifact=real[1].map50 if real else None,
            self_map=own[1].map,
            self_map50=own[1].map50,
            drop=drop,
            drop_interval=interval,
            matched=matched,
            mean_iou=_mean(np.concatenate(self._ious)),
            score_shift=_mean(np.concatenate(self._shifts)),
            restoring_threshold=_threshold(scores, truths),
            detections=Counts(reference=truths, artifact=founds),
            nonfinite_images=self._nonfinite,
            tensors=tensors,
            levels=levels,
            per_class=self._per_class(own[1], real),
            worst=self._worst,
            gate=GateResult(
                metric=metric,
                max_drop=gate.max_drop,
                min_matched=gate.min_matched,
                passed=not reasons,
                reasons=reasons,
            ),
            judge=artifact,
            reference=reference,
            settings=_settings(seed),
            notes=symptoms(tensors, levels, *self._letterboxes) if reasons else [],
        )

    def _per_class(
        self, own: AveragePrecision, real: Sequence[AveragePrecision] | None
    ) -> list[ClassDrift]:
        return [
            ClassDrift(
                name=name,
                map_reference=real[0].per_class[name] if real else None,
                map_artifact=real[1].per_class[name] if real else None,
                self_map=own.per_class[name],
            )
            for name in self._names
        ]

    def _reasons(
        self, gate: Gate, metric: Metric, drop: float | None, matched: float | None
    ) -> list[str]:
        reasons = []
        images = self._self[0].images
        truths, founds = self._detections
        if self._nonfinite:
            reasons.append(f"NaN or infinity in the output of {self._nonfinite} of {images} images")
        if not truths:
            reasons.append(
                f"the reference finds nothing above {TRUTH_SCORE} in {images} images: nothing to "
                "compare; give images of what it detects"
            )
        elif not founds:
            reasons.append(f"the artifact finds nothing above {TRUTH_SCORE} in {images} images")
        if drop is not None and drop > gate.max_drop:
            reasons.append(f"{metric} drops by {drop:.2%}, allowed are {gate.max_drop:.2%}")
        if drop is None and truths:
            reasons.append(f"{metric} of the reference is zero: no drop can be stated")
        if matched is not None and matched < gate.min_matched:
            reasons.append(
                f"{matched:.2%} of the reference's detections found again, "
                f"wanted are {gate.min_matched:.2%}"
            )
        return reasons


def _settings(seed: int) -> DriftSettings:
    return DriftSettings(
        confidence=COUNTED.confidence,
        iou=COUNTED.iou,
        max_detections=COUNTED.max_detections,
        truth_score=TRUTH_SCORE,
        match_iou=MATCH_IOU,
        resamples=RESAMPLES,
        seed=seed,
    )


def _drop(
    reference: MatchTable, artifact: MatchTable, seed: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Relative drop of mAP50-95 and its 95% interval over resampled images."""
    before, after = reference.average_precision().map, artifact.average_precision().map
    if not before or after is None:
        return None, None
    count = reference.images
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    first, second = reference.resampled_map(weights), artifact.resampled_map(weights)
    usable = first > 0
    drops = 1 - second[usable] / first[usable]
    low, high = np.percentile(drops, [2.5, 97.5])
    return 1 - after / before, (float(low), float(high))


def _threshold(scores: Array, wanted: int) -> float | None:
    """A threshold that `wanted` of the scores, best first, lie above; None if too few exist."""
    if not 0 < wanted <= len(scores):
        return None
    below = scores[wanted] if wanted < len(scores) else COUNTED.confidence
    return float(scores[wanted - 1] + below) / 2


def _mean(values: NDArray[np.floating]) -> float | None:
    return float(values.mean()) if len(values) else None
