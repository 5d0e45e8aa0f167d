"""What an artifact's outputs on the golden inputs have that the reference's have not, in words.

Two kinds of answers. Nonsense: NaN, nothing found, mostly lost or mostly new objects; no precision
explains it. Differences: beyond what the artifact's precision explains, told by kind: boxes where
scores are right, one level alone, objects out of nothing, results that depend on the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import cxcywh_to_xyxy, pairwise_iou
from yolov12edge.data.letterbox import Letterbox
from yolov12edge.errors import CheckpointError, GateFailed
from yolov12edge.runtime.golden import STRIDES, GoldenInputs, Strongest, at_anchors, levels_of
from yolov12edge.runtime.runner import FloatArray
from yolov12edge.thresholds import SHOWN

# From this score on one side has to have what the other finds, in the same place and class.
CLEAR = 0.5
SAME_PLACE_IOU = 0.5
LEAST_SHARE = 0.5
# From this score of the reference on an anchor counts as seen. Where nothing is seen boxes mean
# nothing, and INT8 may lose more of them.
SEEN = 0.1
UNSEEN = 4
# A level is wrong where more of its anchors are off, a crowd of objects new where more anchors are.
LEVEL_SHARE = 0.25
NEW_SHARE = 0.02
# Letterboxed pixels: other processors' kernels may round differently, by one grey level.
GREY_LEVELS = 1
AS_BEFORE = "compare it with the checkpoint: yolov12edge verify; or build it again from model.onnx"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tolerance:
    """How far an anchor may be from the reference's.

    Attributes:
        box: of centre, width and height, in strides of the anchor's level; four times as much
            where the reference sees nothing.
        score: of any class.
    """

    box: float
    score: float


# Four times and more what healthy artifacts of real detectors need (docs/verification.md).
TOLERANCES = {
    "fp32": Tolerance(0.01, 0.01),
    "fp16": Tolerance(0.1, 0.05),
    "int8": Tolerance(0.3, 0.12),
}
# Beyond this no precision explains it.
NONSENSE = Tolerance(2.0, 0.5)


def check_outputs(path: Path, outputs: FloatArray, golden: GoldenInputs) -> None:
    """Judge (N, 4 + classes, A) outputs on the golden images: are they nonsense?

    Raises:
        CheckpointError: the goldens are another model's.
        GateFailed: the artifact yields NaN, nothing where the reference found something, or
            mostly other objects.
    """
    _check_fit(path, outputs, golden)
    broken = int((~np.isfinite(outputs)).any(axis=(1, 2)).sum())
    if broken:
        raise GateFailed(
            f"{path} yields NaN or infinity on {broken} of {len(outputs)} golden images, on which "
            "the checkpoint finds nothing of the kind",
            "build it again with --level 3 or higher, or from model.onnx (FP32) to see which "
            "precision is at fault",
        )
    best = outputs[:, 4:].max(axis=(1, 2)) if outputs.size else np.zeros(0, np.float32)
    found = best > SHOWN.confidence
    expected = golden.counts > 0
    if expected.any() and not (found & expected).any():
        raise GateFailed(
            f"{path} finds nothing on {int(expected.sum())} golden images with "
            f"{int(golden.counts.sum())} detections",
            AS_BEFORE,
        )
    _check_objects(path, outputs, golden)


def differences(outputs: FloatArray, golden: GoldenInputs, tolerance: Tolerance) -> list[str]:
    """What (N, 4 + classes, A) outputs have beyond a tolerance, level by level and both ways.

    Returns:
        one line each: boxes and scores, then objects out of nothing; empty where all is well, and
        for goldens of schema 1, which hold too little.
    """
    kept = golden.strongest
    # What is not finite is told in other words: see check_outputs.
    if kept is None or not np.isfinite(outputs).all():
        return []
    levels = levels_of(*golden.images.shape[2:])
    produced = at_anchors(outputs, kept.anchors)
    boxes, scores, wrong = _levels_off(kept, kept.outputs, produced, levels, tolerance)
    found = [_boxes_and_scores(boxes, scores, wrong)] if boxes or scores else []
    new, seen = _new_objects(outputs, kept, levels, tolerance)
    if new > NEW_SHARE * seen:
        found.append(f"objects that the checkpoint does not see, at {new} anchors")
    return found


def batch_differences(
    alone: FloatArray, crowd: FloatArray, order: Sequence[int], golden: GoldenInputs, precision: str
) -> list[str]:
    """Whether an image's results depend on the images beside it or on its place among them.

    Args:
        alone: (N, 4 + classes, A) of each image by itself.
        crowd: (P, 4 + classes, A) of the images of `order` in full batches.
        order: (P,) which image lay where.
        precision: of the artifact; other kernels may run, but its weights are the same.
    """
    kept, tolerance = golden.strongest, TOLERANCES["fp32" if precision == "fp32" else "fp16"]
    if kept is None or not np.isfinite(alone).all():
        return []
    levels = levels_of(*golden.images.shape[2:])
    places = []
    for place, image in enumerate(order):
        anchors = kept.anchors[[image]]
        one = Strongest(anchors, at_anchors(alone[[image]], anchors), kept.rest[[image]])
        produced = at_anchors(crowd[[place]], anchors)
        boxes, scores, _ = _levels_off(one, one.outputs, produced, levels, tolerance)
        before, here = alone[image, 4:].max(axis=0), crowd[place, 4:].max(axis=0)
        visible = np.maximum(before, here) >= SHOWN.confidence
        moved = visible & ~(np.abs(before - here) <= tolerance.score)
        if boxes or scores or moved.sum() > NEW_SHARE * visible.sum():
            places.append(place)
    if not places:
        return []
    return [f"other results than alone in {len(places)} of {len(order)} places, first {places[0]}"]


def letterbox_difference(golden: GoldenInputs, letterbox: Letterbox) -> str | None:
    """Whether this letterbox, on this machine, gives the pixels that the reference saw."""
    if golden.picture is None:
        return None
    found = letterbox(golden.picture)[0].transpose(2, 0, 1).astype(np.int16)
    apart = np.abs(found - golden.images[0])
    if int(apart.max()) <= GREY_LEVELS:
        return None
    share = float((apart > GREY_LEVELS).any(axis=0).mean())
    return f"the letterbox gives other pixels than the checkpoint's: {share:.0%} of them"


def _check_fit(path: Path, outputs: FloatArray, golden: GoldenInputs) -> None:
    advice = "build the engine from the ONNX file of the same run, or remove golden.npz"
    most, kept = outputs.shape[1] - 4, golden.strongest
    classes = int(golden.classes.max()) + 1 if golden.classes.size else 0
    if kept is not None:
        classes = kept.outputs.shape[1] - 4
    if classes > most or (kept is not None and classes != most):
        raise CheckpointError(
            f"{path} has {most} classes, the golden.npz beside it has {classes}",
            advice,
        )
    if kept is not None and outputs.shape[2] != levels_of(*golden.images.shape[2:])[-1].stop:
        raise CheckpointError(
            f"{path} yields {outputs.shape[2]} anchors, which is no YOLOv12 at this size", advice
        )


def _levels_off(
    kept: Strongest,
    expected: FloatArray,
    produced: FloatArray,
    levels: Sequence[slice],
    tolerance: Tolerance,
) -> tuple[list[int], list[int], str]:
    """Strides whose boxes are off, those whose scores are, and by how much boxes are."""
    apart = np.abs(produced - expected)
    seen = expected[:, 4:].max(axis=1) >= SEEN
    box, score = apart[:, :4].max(axis=1), apart[:, 4:].max(axis=1)
    boxes, scores, wrong = [], [], []
    for stride, level in zip(STRIDES, levels, strict=True):
        here = (kept.anchors >= level.start) & (kept.anchors < level.stop)
        limit = tolerance.box * stride * np.where(seen, 1, UNSEEN)
        off = ~(box <= limit)
        if _mostly(off[here]) or _mostly(off[here & seen]):
            boxes.append(stride)
            wrong.append(float(np.median(box[here & off])))
        if _mostly(~(score <= tolerance.score)[here & seen]):
            scores.append(stride)
    return boxes, scores, f"by {max(wrong):.0f} px" if wrong else ""


def _mostly(off: Mask) -> bool:
    return bool(off.size and off.mean() > LEVEL_SHARE)


def _boxes_and_scores(boxes: list[int], scores: list[int], wrong: str) -> str:
    if not scores:
        return f"boxes are wrong where scores are right {wrong}{_where(boxes)}"
    if not boxes:
        return f"scores are wrong where boxes are right{_where(scores)}"
    return f"boxes are wrong {wrong}{_where(boxes)}; scores are wrong{_where(scores)}"


def _where(strides: list[int]) -> str:
    if len(strides) == len(STRIDES):
        return ", at every level"
    right = " and ".join(str(stride) for stride in STRIDES if stride not in strides)
    listed = " and ".join(map(str, strides))
    return f", at level stride {listed} ({right} right)"


def _new_objects(
    outputs: FloatArray, kept: Strongest, levels: Sequence[slice], tolerance: Tolerance
) -> tuple[int, int]:
    """Anchors that see an object where the reference sees none; anchors where it sees one."""
    best = outputs[:, 4:].max(axis=1)
    known = np.empty_like(best)
    for index, level in enumerate(levels):
        known[:, level] = kept.rest[:, index, None]
    np.put_along_axis(known, kept.anchors, kept.outputs[:, 4:].max(axis=1), axis=1)
    new = (best > known + 2 * tolerance.score) & (best >= SHOWN.confidence)
    seen = kept.outputs[:, 4:].max(axis=1) >= SEEN
    # What the reference half sees already is the business of scores.
    rows = np.take_along_axis(new, kept.anchors, axis=1) & seen
    return int(new.sum() - rows.sum()), int(seen.sum())


def _check_objects(path: Path, outputs: FloatArray, golden: GoldenInputs) -> None:
    """Raise GateFailed where most clear objects are lost, or most of those seen are new."""
    ends = golden.counts.cumsum()
    agreements = [
        _agreement(output, golden.boxes[part], golden.scores[part], golden.classes[part])
        for output, part in zip(outputs, map(slice, ends - golden.counts, ends), strict=True)
    ]
    clear, again, sure, known = (sum(counts) for counts in zip(*agreements, strict=True))
    if again < LEAST_SHARE * clear:
        raise GateFailed(
            f"{path} finds {again} of {clear} objects again that the checkpoint clearly sees on "
            "the golden images",
            AS_BEFORE,
        )
    if known < LEAST_SHARE * sure:
        raise GateFailed(
            f"{path} clearly sees objects on the golden images of which the checkpoint knows "
            f"nothing, at {sure - known} of {sure} anchors",
            AS_BEFORE,
        )


def _agreement(
    output: FloatArray,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Compare a (4 + classes, A) output with the reference's detections on its image.

    Returns:
        the reference's clear detections, those of them that the output has; the output's anchors
        that clearly see an object, those of them whose object the reference has.
    """
    if not output.shape[1]:
        return int((scores >= CLEAR).sum()), 0, 0, 0
    same_place = pairwise_iou(boxes, cxcywh_to_xyxy(output[:4].T)) >= SAME_PLACE_IOU
    clear = scores >= CLEAR
    again = (same_place & (output[4:][classes] > SHOWN.confidence)).any(axis=1)
    sure = output[4:].max(axis=0) >= CLEAR
    known = (same_place & (classes[:, None] == output[4:].argmax(axis=0))).any(axis=0)
    return int(clear.sum()), int((clear & again).sum()), int(sure.sum()), int((sure & known).sum())
