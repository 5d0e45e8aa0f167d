"""Judging detections that another machine made, by the same figures as those made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.data import Dataset, Letterbox, Placement, read_image, to_batch
from yolov12edge.errors import DataError
from yolov12edge.evaluate.detections import Detections, detections_of
from yolov12edge.evaluate.drift import labels_by_image
from yolov12edge.evaluate.meter import DriftMeter
from yolov12edge.evaluate.report import DriftReport, Gate, RuntimeVersion
from yolov12edge.runtime import Runner
from yolov12edge.thresholds import COUNTED
from yolov12edge.voice import Progress, no_progress


@dataclass(frozen=True)
class Finding:
    """What was found on one image.

    Attributes:
        detections: at the thresholds of `COUNTED`, in pixels of the image, not clipped to it; None
            where the output held NaN or infinity.
        size: width and height of the image.
    """

    detections: Detections | None
    size: tuple[int, int]


def find(
    reference: Runner,
    letterbox: Letterbox,
    images: Sequence[Path],
    progress: Progress = no_progress,
) -> list[Finding]:
    """What the reference finds on images.

    Raises:
        DataError: an image cannot be read.
    """
    found = []
    for index, path in enumerate(images):
        fitted, placed = letterbox(read_image(path))
        (detections,) = detections_of(reference(to_batch([fitted])), [placed], COUNTED, clip=False)
        found.append(Finding(detections, (placed.width, placed.height)))
        progress("the checkpoint's detections", index + 1, len(images))
    return found


def judge_findings(
    truths: Sequence[Finding],
    findings: Sequence[Finding],
    images: Sequence[Path],
    dataset: Dataset | None,
    letterbox: Letterbox,
    names: Sequence[str],
    gate: Gate,
    reference: RuntimeVersion,
    judge: RuntimeVersion,
    seed: int = 0,
) -> DriftReport:
    """The drift of what was found elsewhere; there are no tensors to compare.

    Args:
        truths: the reference's, one an image.
        findings: the other machine's, one an image.
        dataset: holds the labels of `images`; None to compare without labels.
        letterbox: of both sides.
        judge: who made the findings.

    Raises:
        DataError: an image had another size there, or is not in the data set.
    """
    labels = labels_by_image(images, dataset)
    meter = DriftMeter(names, letterbox, letterbox, labelled=labels is not None)
    for path, truth, finding in zip(images, truths, findings, strict=True):
        if finding.size != truth.size:
            raise DataError(
                f"{path} had {finding.size[0]} x {finding.size[1]} pixels on the other machine, "
                f"it has {truth.size[0]} x {truth.size[1]}",
                "was it changed meanwhile? Run the same command again",
            )
        if finding.detections is None:
            meter.add_nonfinite()
        # Boxes are in pixels of the image already: only its size is asked for.
        placement = Placement(1.0, 0, 0, *truth.size)
        rows = None if labels is None else labels[path]
        meter.add_detections(
            path,
            truth.detections or Detections.empty(),
            finding.detections or Detections.empty(),
            placement,
            None if rows is None else Detections.truth(rows[:, 0], rows[:, 1:], placement),
        )
    return meter.report(gate, seed, reference, judge)
