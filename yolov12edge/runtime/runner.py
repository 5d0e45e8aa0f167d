"""What every runtime offers: named, batched inference from pixels to decoded detections."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from yolov12edge.errors import UsageError

FloatArray = NDArray[np.float32]


class Runner(Protocol):
    """One loaded detector, whatever executes it."""

    @property
    def name(self) -> str:
        """The runtime, for example "onnxruntime"."""

    @property
    def version(self) -> str:
        """Version of that runtime."""

    @property
    def device(self) -> str:
        """Where it runs, in words."""

    @property
    def input_shape(self) -> tuple[int | None, int, int, int]:
        """(batch or None if dynamic, 3, height, width)."""

    @property
    def num_classes(self) -> int:
        """Number of classes of the output."""

    def __call__(self, images: FloatArray) -> FloatArray:
        """Run (B, 3, H, W) RGB in 0..1 to (B, 4 + classes, A) cx, cy, w, h in pixels and scores."""

    def close(self) -> None:
        """Release the model; the runner must not be called afterwards."""


Self = TypeVar("Self", bound="ClosingRunner")


class ClosingRunner:
    """Lets a runner be used in a `with` statement."""

    def close(self) -> None:
        """Release the model; the runner must not be called afterwards."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def check_images(images: FloatArray, height: int, width: int) -> None:
    """Refuse images that do not fit a runner's input.

    Raises:
        UsageError: not (B, 3, height, width) with B >= 1.
    """
    if images.ndim != 4 or images.shape[0] == 0 or images.shape[1:] != (3, height, width):
        raise UsageError(
            f"the model takes images of shape (B, 3, {height}, {width}), got {images.shape}",
            f"letterbox the images to {height}x{width}, or load an artifact of the other size",
        )


def run_in_batches(
    infer: Callable[[FloatArray], FloatArray], images: FloatArray, batch: int | None
) -> FloatArray:
    """Run any number of images through an executor whose batch is `batch` (None: any).

    The last part is filled up by repeating its last image; the repeats' results are dropped.
    """
    if batch is None or len(images) == batch:
        return infer(images)
    parts = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        missing = batch - len(part)
        full = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
        parts.append(infer(full)[: len(part)])
    return np.concatenate(parts)
