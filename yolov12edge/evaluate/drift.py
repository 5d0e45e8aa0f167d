"""Measure what an artifact keeps of its reference's detections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import Dataset, Letterbox, Placement, read_image, to_batch
from yolov12edge.data.dataset import Labels
from yolov12edge.errors import CheckpointError, DataError, UsageError
from yolov12edge.evaluate.detections import Detections, detections_of
from yolov12edge.evaluate.meter import DriftMeter
from yolov12edge.evaluate.report import DriftReport, Gate, RuntimeVersion
from yolov12edge.runtime import Runner
from yolov12edge.thresholds import COUNTED
from yolov12edge.voice import Progress, no_progress

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """An artifact to compare, and how it asks for images.

    Attributes:
        runner: runs it.
        letterbox: the reference's if None and of the same size.
    """

    runner: Runner
    letterbox: Letterbox | None = None


def measure_drift(
    reference: Runner,
    artifact: Runner,
    images: Sequence[Path],
    dataset: Dataset | None = None,
    *,
    reference_letterbox: Letterbox | None = None,
    artifact_letterbox: Letterbox | None = None,
    names: Sequence[str] | None = None,
    gate: Gate | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> DriftReport:
    """Run both on the same images and compare detections and numbers.

    Both sides go through multi-label NMS at the thresholds of `COUNTED`. Without labels the
    reference's own detections above 0.25 are the truth. Images are read and dropped one batch at
    a time.

    Args:
        reference: usually the PyTorch checkpoint.
        artifact: what was made of it.
        images: image files; at least one.
        dataset: holds the labels of `images`; None to compare without labels.
        reference_letterbox: how images are fitted for the reference; centred on 114 if None.
        artifact_letterbox: how the artifact asks for them; the reference's if None and of the
            same size.
        names: class names; the data set's if None, else the class indices.
        gate: what must be kept; the default gate if None.
        seed: of the bootstrap.
        progress: called with (label, images done, images).

    Raises:
        DataError: no images, an unreadable image, an image that the data set does not hold, or a
            data set of another number of classes.
        CheckpointError: the two have different numbers of classes.
        UsageError: the gate asks for map and there are no labels.
    """
    candidate = Candidate(artifact, artifact_letterbox)
    return measure_drifts(
        reference,
        [candidate],
        images,
        dataset,
        reference_letterbox=reference_letterbox,
        names=names,
        gate=gate,
        seed=seed,
        progress=progress,
    )[0]


def measure_drifts(
    reference: Runner,
    candidates: Sequence[Candidate],
    images: Sequence[Path],
    dataset: Dataset | None = None,
    *,
    reference_letterbox: Letterbox | None = None,
    names: Sequence[str] | None = None,
    gate: Gate | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> list[DriftReport]:
    """`measure_drift` of several artifacts, with one pass of the reference for all of them."""
    gate = gate or Gate()
    reference_letterbox = reference_letterbox or Letterbox(*reference.input_shape[2:])
    labels = labels_by_image(images, dataset)
    for candidate in candidates:
        _check(reference, candidate.runner, images, dataset)
    if gate.metric == "map" and labels is None:
        raise UsageError("a gate on map needs labels", "give --data, or gate on self_map")
    if names is None:
        names = dataset.names if dataset else [str(n) for n in range(reference.num_classes)]
    sides = [
        _Side(candidate, reference, reference_letterbox, names, labels is not None)
        for candidate in candidates
    ]
    size = max(_batch(runner) for runner in (reference, *(one.runner for one in candidates)))
    done = 0
    for batch in _batches(images, size):
        pixels = [read_image(path) for path in batch]
        fitted = [reference_letterbox(image) for image in pixels]
        tensor = to_batch([image for image, _ in fitted])
        outputs = reference(tensor)
        placements = [placed for _, placed in fitted]
        found = detections_of(outputs, placements, COUNTED, clip=False)
        rows = [None if labels is None else labels[path] for path in batch]
        truths = [
            None if one is None else Detections.truth(one[:, 0], one[:, 1:], placed)
            for one, placed in zip(rows, placements, strict=True)
        ]
        for side in sides:
            side.compare(batch, pixels, fitted, tensor, outputs, found, truths)
        done += len(batch)
        progress("comparing with the reference", done, len(images))
    return [side.meter.report(gate, seed, _judge(reference), side.judge) for side in sides]


class _Side:
    """One artifact while the images pass by."""

    def __init__(
        self,
        candidate: Candidate,
        reference: Runner,
        reference_letterbox: Letterbox,
        names: Sequence[str],
        labelled: bool,
    ) -> None:
        self._runner = candidate.runner
        self._letterbox = candidate.letterbox or _same_or_centred(
            reference_letterbox, candidate.runner
        )
        self._same_input = self._letterbox == reference_letterbox
        self._same_size = reference.input_shape[2:] == candidate.runner.input_shape[2:]
        self.meter = DriftMeter(names, reference_letterbox, self._letterbox, labelled=labelled)
        self.judge = _judge(candidate.runner)

    def compare(
        self,
        paths: Sequence[Path],
        pixels: Sequence[NDArray[np.uint8]],
        fitted: Sequence[tuple[NDArray[np.uint8], Placement]],
        tensor: Array,
        expected: Array,
        references: Sequence[Detections],
        truths: Sequence[Detections | None],
    ) -> None:
        """Run one batch and keep what it tells."""
        equal_input: Array | None = None
        if self._same_input:
            own_outputs = equal_input = self._runner(tensor)
        else:
            fitted = [self._letterbox(image) for image in pixels]
            own_outputs = self._runner(to_batch([image for image, _ in fitted]))
            if self._same_size:
                equal_input = self._runner(tensor)
        placements = [placed for _, placed in fitted]
        found = detections_of(own_outputs, placements, COUNTED, clip=False)
        for index, path in enumerate(paths):
            self.meter.add_outputs(
                expected[index],
                None if equal_input is None else equal_input[index],
                own_outputs[index],
            )
            self.meter.add_detections(
                path,
                references[index],
                found[index],
                placements[index],
                truths[index],
            )


def labels_by_image(images: Sequence[Path], dataset: Dataset | None) -> dict[Path, Labels] | None:
    """The labels of each image; None without any.

    Raises:
        DataError: an image is not in the data set.
    """
    if dataset is None or dataset.labels is None:
        return None
    labels = dict(zip(dataset.images, dataset.labels, strict=True))
    for path in images:
        if path not in labels:
            raise DataError(f"{path} is not in the data set", "take images of the data set's split")
    return labels


def _check(
    reference: Runner, artifact: Runner, images: Sequence[Path], dataset: Dataset | None
) -> None:
    if not images:
        raise DataError("no images to compare on", "give a folder or a data.yaml with images")
    if artifact.num_classes != reference.num_classes:
        raise CheckpointError(
            f"the artifact has {artifact.num_classes} classes, the reference "
            f"{reference.num_classes}",
            "compare an artifact with the checkpoint that it was made of",
        )
    if dataset and len(dataset.names) != reference.num_classes:
        raise DataError(
            f"the data set has {len(dataset.names)} classes, the model {reference.num_classes}",
            "give the data set that the model was trained for",
        )


def _same_or_centred(reference: Letterbox, artifact: Runner) -> Letterbox:
    height, width = artifact.input_shape[2:]
    if (reference.height, reference.width) == (height, width):
        return reference
    return Letterbox(height, width)


def _judge(runner: Runner) -> RuntimeVersion:
    return RuntimeVersion(runtime=runner.name, version=runner.version)


def _batch(runner: Runner) -> int:
    return runner.input_shape[0] or 1


def _batches(images: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]
