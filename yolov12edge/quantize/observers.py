"""What values flow through a graph: one pass over the images, memory that does not grow with them.

Per tensor: exact minimum and maximum, and a histogram of a strided sample, from which every
calibration method takes its range. Histograms span [-limit, limit) with a limit that is a power of
two: when a value falls outside, the limit doubles and bins merge in pairs, so no first pass has to
find the ranges.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.errors import DataError, ExportError
from yolov12edge.graph.probe import Probe
from yolov12edge.voice import Progress, no_progress

Array = NDArray[np.float32]

BINS = 8192
# Values of a tensor that enter its histogram per image; the extremes are taken from all values.
SAMPLE = 8192
SAVE_EVERY = 64
# The smallest limit: 2**-20. Tensors below it count as zero.
FIRST_EXPONENT = -20
LAST_EXPONENT = 40


@dataclass
class TensorStatistics:
    """Values of one tensor over all images.

    Attributes:
        low, high: exact extremes.
        limit: the histogram spans [-limit, limit).
        counts: (BINS,) sampled values a bin.
        elements: values of the tensor in one image.
        channel_sums: (C,) sum over images of the channel means, for 4-dimensional tensors.
        images: how many were seen.
    """

    low: float
    high: float
    limit: float
    counts: NDArray[np.int64]
    elements: int
    channel_sums: NDArray[np.float64]
    images: int

    @property
    def channel_means(self) -> NDArray[np.float64]:
        """(C,) mean of every channel; empty for tensors without channels."""
        means: NDArray[np.float64] = self.channel_sums / max(1, self.images)
        return means

    @property
    def centres(self) -> NDArray[np.float64]:
        """(BINS,) middle of every bin."""
        width = 2 * self.limit / BINS
        return (np.arange(BINS, dtype=np.float64) + 0.5) * width - self.limit

    def add(self, values: Array) -> None:
        """Take in one image's values, (1, ...).

        Raises:
            ExportError: NaN or infinity among them.
        """
        flat = values.reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ExportError(
                "an image makes NaN or infinity inside the float32 graph",
                "check the checkpoint with: yolov12edge inspect",
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.elements = flat.size
        self._widen(max(-low, high))
        # An odd stride does not fall into step with rows; the start moves with the image.
        stride = max(1, flat.size // SAMPLE) | 1
        sample = flat[self.images % stride :: stride]
        index = ((sample + self.limit) * (BINS / (2 * self.limit))).astype(np.int64)
        self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)
        if values.ndim == 4:
            means = values[0].reshape(values.shape[1], -1).mean(axis=1, dtype=np.float64)
            self.channel_sums = means if self.images == 0 else self.channel_sums + means
        self.images += 1

    def _widen(self, reach: float) -> None:
        while reach >= self.limit and self.limit < 2.0**LAST_EXPONENT:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : BINS // 4 * 3] = merged
            self.limit *= 2

    def widened(self, limit: float) -> NDArray[np.int64]:
        """The histogram over a limit at least as large as its own."""
        copy = TensorStatistics(
            self.low,
            self.high,
            self.limit,
            self.counts,
            self.elements,
            self.channel_sums,
            self.images,
        )
        while copy.limit < limit:
            copy._widen(copy.limit)
        return copy.counts


def empty_statistics() -> TensorStatistics:
    """Statistics of a tensor that was not seen yet."""
    return TensorStatistics(
        low=0.0,
        high=0.0,
        limit=2.0**FIRST_EXPONENT,
        counts=np.zeros(BINS, np.int64),
        elements=0,
        channel_sums=np.zeros(0),
        images=0,
    )


@dataclass
class Statistics:
    """Statistics of every observed tensor.

    Attributes:
        tensors: by name.
        images: how many were seen.
    """

    tensors: dict[str, TensorStatistics]
    images: int

    def to_bytes(self) -> bytes:
        """Everything as an .npz."""
        names = list(self.tensors)
        values = [self.tensors[name] for name in names]
        head = json.dumps({"images": self.images, "names": names}).encode()
        stream = io.BytesIO()
        np.savez(
            stream,
            allow_pickle=False,
            head=np.frombuffer(head, np.uint8),
            numbers=np.array([[v.low, v.high, v.limit, v.elements] for v in values]),
            counts=np.array([v.counts for v in values], dtype=np.int64).reshape(-1, BINS),
            channels=np.array([len(v.channel_sums) for v in values], dtype=np.int64),
            sums=np.concatenate([np.zeros(0), *(v.channel_sums for v in values)]),
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Statistics:
        """What `to_bytes` wrote.

        Raises:
            ValueError, KeyError, OSError, zipfile.BadZipFile: something else.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes())
            numbers, counts, channels, sums = (
                archive[name] for name in ("numbers", "counts", "channels", "sums")
            )
        ends = np.cumsum(channels)
        parts = np.split(sums, ends[:-1]) if len(ends) else []
        tensors = {
            name: TensorStatistics(
                float(low), float(high), float(limit), count, int(elements), part, head["images"]
            )
            for name, (low, high, limit, elements), count, part in zip(
                head["names"], numbers, counts, parts, strict=True
            )
        }
        return cls(tensors, int(head["images"]))


def observe(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    images: Iterable[Array],
    total: int,
    *,
    begun: Statistics | None = None,
    save: Callable[[Statistics], None] | None = None,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> Statistics:
    """Run a float32 graph once over the images and keep statistics of some of its tensors.

    Args:
        model: float32, input `images`.
        tensors: what to observe; the input itself may be among them.
        images: (3, H, W) RGB in 0..1, read one at a time.
        total: how many images there are, for progress.
        begun: statistics of the first of these images, to go on from; they are changed.
        save: called with the unfinished statistics every 64 images.
        threads: CPU threads; ONNX Runtime's choice if None.
        progress: called with (label, images done, images).

    Raises:
        DataError: no images.
        ExportError: a tensor becomes NaN or infinite.
    """
    probe = Probe(model, tensors, threads)
    found = begun or Statistics({name: empty_statistics() for name in tensors}, 0)
    for position, image in enumerate(images):
        if position < found.images:
            continue
        for name, values in probe(image).items():
            found.tensors[name].add(values)
        found.images += 1
        progress("calibrating", found.images, total)
        if save is not None and found.images % SAVE_EVERY == 0:
            save(found)
    if not found.images:
        raise DataError(
            "calibration needs real images and got none",
            "pass --calib DIR (pictures as the camera sees them) or --data data.yaml",
        )
    return found
