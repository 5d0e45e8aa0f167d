"""Golden inputs: images with what the checkpoint found on them, to check a plan where it runs.

An engine can be fast and wrong on one device only: NaN from FP16, or no detections at all because
an input is taken for another type. `golden.npz` beside the artifact lets that be seen at once.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.errors import CheckpointError, GateFailed
from yolov12edge.run.names import GOLDEN_FILE
from yolov12edge.runtime.runner import FloatArray, Runner

GOLDEN_SCHEMA_VERSION = 1
MAX_GOLDEN_BYTES = 256 << 20
# Above this score a detection counts; as predict shows them.
CONFIDENCE = 0.25
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
        GateFailed: the artifact yields NaN, or nothing where the reference found something.
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
        GateFailed: as `check_on_device`.
    """
    broken = int((~np.isfinite(outputs)).any(axis=(1, 2)).sum())
    if broken:
        raise GateFailed(
            f"{path} yields NaN or infinity on {broken} of {len(outputs)} golden images, on which "
            "the checkpoint finds nothing of the kind",
            "build it again with --level 3 or higher, or from model.onnx (FP32) to see which "
            "precision is at fault",
        )
    found = (outputs[:, 4:].max(axis=(1, 2)) > CONFIDENCE) if outputs.size else np.zeros(0, bool)
    expected = golden.counts > 0
    if expected.any() and not (found & expected).any():
        raise GateFailed(
            f"{path} finds nothing on {int(expected.sum())} golden images with "
            f"{int(golden.counts.sum())} detections",
            "compare it with the checkpoint: yolov12edge verify; or build it again from model.onnx",
        )
