"""Golden inputs: images with what the checkpoint found on them, to check a plan where it runs.

An engine can be fast and wrong on one device only: NaN from FP16, no detections at all because an
input is taken for another type, or other objects than are there. `golden.npz` beside the artifact
lets that be seen at once. It tells nonsense from drift, no more: half of what the checkpoint
clearly sees may be lost, and half of what the engine clearly sees be new. `yolov12edge verify`
judges drift.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import cxcywh_to_xyxy, pairwise_iou
from yolov12edge.errors import CheckpointError, GateFailed
from yolov12edge.run.names import GOLDEN_FILE
from yolov12edge.runtime.runner import FloatArray, Runner
from yolov12edge.thresholds import SHOWN

GOLDEN_SCHEMA_VERSION = 1
MAX_GOLDEN_BYTES = 256 << 20
# From this score on one side has to have what the other finds, in the same place and class.
CLEAR = 0.5
SAME_PLACE_IOU = 0.5
LEAST_SHARE = 0.5
# Runtimes that are judged at export already, on the machine at hand.
PORTABLE_RUNTIMES = ("torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class GoldenInputs:
    """Letterboxed images and the reference's detections on them, of all images in one array.

    Attributes:
        images: (N, 3, H, W) uint8 RGB.
        counts: (N,) detections of each image.
        boxes: (sum of counts, 4) x1, y1, x2, y2 in pixels of the letterboxed image.
        scores: (sum of counts,).
        classes: (sum of counts,).
    """

    images: NDArray[np.uint8]
    counts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def write(self, path: Path) -> None:
        """Write the file; equal contents give equal bytes."""
        np.savez_compressed(
            path,
            schema_version=np.int64(GOLDEN_SCHEMA_VERSION),
            images=self.images,
            counts=self.counts,
            boxes=self.boxes,
            scores=self.scores,
            classes=self.classes,
        )


def read_golden(path: Path) -> GoldenInputs:
    """Read what `GoldenInputs.write` wrote.

    Raises:
        CheckpointError: damaged, or something else.
    """
    try:
        if path.stat().st_size > MAX_GOLDEN_BYTES:
            raise ValueError("too large")
        with np.load(path, allow_pickle=False) as file:
            golden = GoldenInputs(
                file["images"], file["counts"], file["boxes"], file["scores"], file["classes"]
            )
        images, total = golden.images, int(golden.counts.sum())
        fits = (
            images.ndim == 4
            and images.shape[1] == 3
            and images.dtype == np.uint8
            and golden.counts.shape == images.shape[:1]
            and golden.boxes.shape == (total, 4)
            and golden.scores.shape == golden.classes.shape == (total,)
        )
        if not fits:
            raise ValueError("arrays of other shapes")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}", "export the model again, or remove the file"
        ) from error
    return golden


def check_on_device(path: Path, runner: Runner) -> None:
    """Run the golden inputs beside an artifact, where there are any and it runs on a GPU.

    Raises:
        CheckpointError: golden.npz is damaged, or of another image size.
        GateFailed: the artifact yields NaN, nothing where the reference found something, or
            mostly other objects.
    """
    golden_path = Path(path).with_name(GOLDEN_FILE)
    if runner.name in PORTABLE_RUNTIMES or not golden_path.is_file():
        return
    golden = read_golden(golden_path)
    if golden.images.shape[2:] != runner.input_shape[2:]:
        raise CheckpointError(
            f"{golden_path} holds {golden.images.shape[2]}x{golden.images.shape[3]} images, "
            f"{path} takes {runner.input_shape[2]}x{runner.input_shape[3]}",
            "build the engine from the ONNX file of the same run, or remove golden.npz",
        )
    images = np.divide(golden.images, 255, dtype=np.float32)
    check_outputs(path, runner(images), golden)


def check_outputs(path: Path, outputs: FloatArray, golden: GoldenInputs) -> None:
    """Judge (N, 4 + classes, A) outputs on the golden images.

    Raises:
        CheckpointError: the goldens have classes that the outputs do not.
        GateFailed: as `check_on_device`.
    """
    if golden.classes.size and int(golden.classes.max()) >= outputs.shape[1] - 4:
        raise CheckpointError(
            f"{path} has {outputs.shape[1] - 4} classes, the golden.npz beside it more",
            "build the engine from the ONNX file of the same run, or remove golden.npz",
        )
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
            "compare it with the checkpoint: yolov12edge verify; or build it again from model.onnx",
        )
    _check_objects(path, outputs, golden)


def _check_objects(path: Path, outputs: FloatArray, golden: GoldenInputs) -> None:
    """Raise GateFailed where most clear objects are lost, or most of those seen are new."""
    ends = golden.counts.cumsum()
    agreements = [
        _agreement(output, golden.boxes[part], golden.scores[part], golden.classes[part])
        for output, part in zip(outputs, map(slice, ends - golden.counts, ends), strict=True)
    ]
    clear, again, sure, known = (sum(counts) for counts in zip(*agreements, strict=True))
    hint = "compare it with the checkpoint: yolov12edge verify; or build it again from model.onnx"
    if again < LEAST_SHARE * clear:
        raise GateFailed(
            f"{path} finds {again} of {clear} objects again that the checkpoint clearly sees on "
            "the golden images",
            hint,
        )
    if known < LEAST_SHARE * sure:
        raise GateFailed(
            f"{path} clearly sees objects on the golden images of which the checkpoint knows "
            f"nothing, at {sure - known} of {sure} anchors",
            hint,
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
