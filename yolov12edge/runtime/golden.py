"""Golden inputs: images with what the checkpoint makes of them, to check an artifact where it runs.

`golden.npz` beside an artifact holds several letterboxed images, the reference's detections on them
and its raw numbers at the strongest anchors of every level, boxes and scores apart, so that a level
on which nothing is detected is compared too. `golden_checks` says what differs, `golden_gate` when
it is asked.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from itertools import accumulate, pairwise, starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov12edge.errors import CheckpointError
from yolov12edge.runtime.runner import FloatArray

# 1 had images and detections alone.
GOLDEN_SCHEMA_VERSION = 2
MAX_GOLDEN_BYTES = 256 << 20
STRIDES = (8, 16, 32)
# Anchors kept of each level and image.
STRONGEST = 32


@dataclass(frozen=True)
class Strongest:
    """The reference's outputs at the strongest anchors of every level.

    Attributes:
        anchors: (N, K) positions in the last dimension of the output, level by level.
        outputs: (N, 4 + classes, K) cx, cy, w, h in pixels, then scores.
        rest: (N, levels) the best score among the anchors of a level that are not kept.
    """

    anchors: NDArray[np.int64]
    outputs: FloatArray
    rest: FloatArray


@dataclass(frozen=True)
class GoldenInputs:
    """Letterboxed images and what the reference makes of them, detections of all in one array.

    Attributes:
        images: (N, 3, H, W) uint8 RGB.
        counts: (N,) detections of each image.
        boxes: (sum of counts, 4) x1, y1, x2, y2 in pixels of the letterboxed image.
        scores: (sum of counts,).
        classes: (sum of counts,).
        strongest: raw outputs; None in files of schema 1.
        picture: (h, w, 3) uint8 RGB that letterboxes to the first image; None in schema 1.
    """

    images: NDArray[np.uint8]
    counts: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    strongest: Strongest | None = None
    picture: NDArray[np.uint8] | None = None

    @property
    def batch(self) -> FloatArray:
        """The images as a runner takes them: float32 in 0..1."""
        return np.divide(self.images, 255, dtype=np.float32)

    def write(self, path: Path) -> None:
        """Write the file; equal contents give equal bytes."""
        arrays: dict[str, NDArray[Any]] = {
            "images": self.images,
            "counts": self.counts,
            "boxes": self.boxes,
            "scores": self.scores,
            "classes": self.classes,
        }
        if self.strongest is not None:
            arrays |= {
                "anchors": self.strongest.anchors,
                "outputs": self.strongest.outputs,
                "rest": self.strongest.rest,
            }
        if self.picture is not None:
            arrays["picture"] = self.picture
        version = GOLDEN_SCHEMA_VERSION if self.strongest is not None else 1
        arrays["schema_version"] = np.array(version, np.int64)
        np.savez_compressed(path, allow_pickle=False, **arrays)


def levels_of(height: int, width: int) -> tuple[slice, ...]:
    """Where the anchors of each of `STRIDES` lie in an output for images of this size."""
    sizes = ((height // stride) * (width // stride) for stride in STRIDES)
    return tuple(starmap(slice, pairwise(accumulate(sizes, initial=0))))


def strongest_of(outputs: FloatArray, height: int, width: int) -> Strongest:
    """Keep the strongest anchors of every level of (N, 4 + classes, A) outputs."""
    best = outputs[:, 4:].max(axis=1)
    kept, rest = [], []
    for level in levels_of(height, width):
        ranked = np.argsort(-best[:, level], axis=1, kind="stable")
        kept.append(level.start + ranked[:, :STRONGEST])
        others = np.take_along_axis(best[:, level], ranked[:, STRONGEST:], axis=1)
        rest.append(others.max(axis=1, initial=0))
    anchors = np.concatenate(kept, axis=1)
    return Strongest(anchors, at_anchors(outputs, anchors), np.stack(rest, axis=1))


def at_anchors(outputs: FloatArray, anchors: NDArray[np.int64]) -> FloatArray:
    """(N, 4 + classes, A) outputs at (N, K) anchors: (N, 4 + classes, K)."""
    return np.take_along_axis(outputs, anchors[:, None, :], axis=2)


def read_golden(path: Path) -> GoldenInputs:
    """Read what `GoldenInputs.write` wrote, now or in earlier versions.

    Raises:
        CheckpointError: damaged, or something else.
    """
    try:
        if path.stat().st_size > MAX_GOLDEN_BYTES:
            raise ValueError("too large")
        with np.load(path, allow_pickle=False) as file:
            strongest = None
            if "anchors" in file:
                strongest = Strongest(file["anchors"], file["outputs"], file["rest"])
            golden = GoldenInputs(
                file["images"],
                file["counts"],
                file["boxes"],
                file["scores"],
                file["classes"],
                strongest,
                file.get("picture"),
            )
        if not (_detections_fit(golden) and _strongest_fit(golden)):
            raise ValueError("arrays of other shapes")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}", "export the model again, or remove the file"
        ) from error
    return golden


def _detections_fit(golden: GoldenInputs) -> bool:
    images, total = golden.images, int(golden.counts.sum())
    return (
        images.ndim == 4
        and images.shape[1] == 3
        and images.dtype == np.uint8
        and golden.counts.shape == images.shape[:1]
        and golden.boxes.shape == (total, 4)
        and golden.scores.shape == golden.classes.shape == (total,)
    )


def _strongest_fit(golden: GoldenInputs) -> bool:
    kept, picture, count = golden.strongest, golden.picture, len(golden.images)
    if picture is not None and (picture.ndim, picture.shape[2:]) != (3, (3,)):
        return False
    if kept is None:
        return True
    levels = levels_of(*golden.images.shape[2:])
    anchors, outputs = kept.anchors, kept.outputs
    return (
        anchors.ndim == 2
        and anchors.dtype == np.int64
        and len(anchors) == count
        and outputs.ndim == 3
        and outputs.shape[1] > 4
        and outputs.shape[::2] == anchors.shape
        and kept.rest.shape == (count, len(levels))
        and bool((anchors >= 0).all() and (anchors < levels[-1].stop).all())
    )
