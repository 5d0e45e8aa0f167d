"""How far an artifact's numbers are from the reference's, before any detection is made."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from yolov12edge.evaluate.report import TensorError

STRIDES = (8, 16, 32)


class TensorErrors:
    """Sums up errors over images, for boxes and scores, on the whole and by stride."""

    def __init__(self, height: int, width: int) -> None:
        cells = [(height // stride) * (width // stride) for stride in STRIDES]
        ends = np.cumsum(cells)
        self._anchors = int(ends[-1])
        self._levels = {
            f"P{level}": slice(int(end - count), int(end))
            for level, count, end in zip((3, 4, 5), cells, ends, strict=True)
        }
        self._sums: dict[tuple[str, str], _Sums] = {}

    def add(self, reference: NDArray[np.float32], artifact: NDArray[np.float32]) -> None:
        """Add one image's (4 + classes, A) outputs, all finite."""
        parts = {"": slice(None)}
        if reference.shape[1] == self._anchors:
            parts |= self._levels
        for level, anchors in parts.items():
            for name, rows in (("boxes", slice(0, 4)), ("scores", slice(4, None))):
                sums = self._sums.setdefault((level, name), _Sums())
                sums.add(reference[rows, anchors], artifact[rows, anchors])

    def total(self) -> dict[str, TensorError] | None:
        """Errors of "boxes" (pixels) and "scores"; None if nothing was compared."""
        return self._of("")

    def by_level(self) -> dict[str, dict[str, TensorError]] | None:
        """The same for P3, P4 and P5 (strides 8, 16, 32)."""
        levels = {level: errors for level in self._levels if (errors := self._of(level))}
        return levels or None

    def _of(self, level: str) -> dict[str, TensorError] | None:
        found = {name: sums.error() for (of, name), sums in self._sums.items() if of == level}
        return found or None


class _Sums:
    def __init__(self) -> None:
        self.signal = self.other = self.product = self.noise = self.largest = 0.0

    def add(self, reference: NDArray[np.float32], artifact: NDArray[np.float32]) -> None:
        first = reference.astype(np.float64).ravel()
        second = artifact.astype(np.float64).ravel()
        difference = second - first
        self.signal += float(first @ first)
        self.other += float(second @ second)
        self.product += float(first @ second)
        self.noise += float(difference @ difference)
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0)))

    def error(self) -> TensorError:
        sqnr = None
        if self.noise > 0:
            sqnr = 10 * math.log10(max(self.signal, 1e-300) / self.noise)
        norms = math.sqrt(self.signal * self.other)
        cosine = self.product / norms if norms > 0 else float(self.signal == self.other)
        return TensorError(sqnr_db=sqnr, cosine=cosine, max_abs=self.largest)
