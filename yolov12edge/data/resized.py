"""Images scaled to fit the detector's input, kept in memory or on disk where they fit."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import psutil

from yolov12edge.data.images import read_image
from yolov12edge.data.letterbox import Image
from yolov12edge.data.samples import Sample
from yolov12edge.download import cache_folder
from yolov12edge.errors import UsageError
from yolov12edge.files import atomic_path, readable_size

KINDS = ("none", "ram", "disk", "auto")

# Of the memory, and of the disk, that is free at the start.
_RAM_SHARE = 0.5
_RECENT_SHARE = 0.1
_DISK_SHARE = 0.5
_MAX_RECENT_BYTES = 1 << 30


class ResizedImages:
    """The images of a set by number, scaled to fit the input; decoded once where they fit.

    Scaled as `Letterbox` does: bilinear, up or down, to min(ceil(side * gain), limit).

    Attributes:
        description: what is cached and how large it gets, in words.

    Args:
        samples: the images.
        size: height and width of the input.
        kind: "ram" keeps all in memory and "disk" as .npy files in the cache folder, if a size
            check finds room, else it falls back to "none", which keeps the recent ones; "auto" is
            "ram" if there is room, else "none".
        processes: on this machine that keep the same images.
        recent: how many images "none" keeps, memory permitting.

    Raises:
        UsageError: no such kind.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: tuple[int, int],
        kind: str = "auto",
        processes: int = 1,
        recent: int = 0,
    ) -> None:
        if kind not in KINDS:
            raise UsageError(f"no cache {kind!r}", f"use one of: {', '.join(KINDS)}")
        self._samples, self._size = samples, size
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Image] = OrderedDict()
        self._bytes = 0
        self._folder: Path | None = None
        needed = sum(_bytes(sample, size) for sample in samples)
        free = free_memory() // processes
        self._limit = min(int(_RECENT_SHARE * free), _MAX_RECENT_BYTES) if recent else 0
        self._recent = recent
        self.description = "no image cache"
        if kind in ("ram", "auto"):
            if needed <= _RAM_SHARE * free:
                self._limit, self._recent = needed + len(samples), len(samples)
                self.description = f"images cached in memory, {readable_size(needed)}"
            else:
                self.description = (
                    f"no image cache: it would take {readable_size(needed)} of "
                    f"{readable_size(free)} free memory"
                )
        elif kind == "disk":
            self._open_folder(needed)

    def __call__(self, index: int) -> Image:
        """One image, (h, w, 3) uint8 RGB, not to be written to.

        Raises:
            DataError: the image cannot be read.
        """
        with self._lock:
            image = self._held.get(index)
            if image is not None:
                self._held.move_to_end(index)
                return image
        image = self._stored(index) if self._folder else self._read(index)
        image.setflags(write=False)
        if self._limit:
            self._hold(index, image)
        return image

    def _read(self, index: int) -> Image:
        image = read_image(self._samples[index].path)
        height, width = fitted(image.shape[1], image.shape[0], self._size)
        if (height, width) != image.shape[:2]:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return image

    def _hold(self, index: int, image: Image) -> None:
        with self._lock:
            if index in self._held:
                return
            self._held[index] = image
            self._bytes += image.nbytes
            while self._bytes > self._limit or len(self._held) > self._recent:
                _, oldest = self._held.popitem(last=False)
                self._bytes -= oldest.nbytes

    def _open_folder(self, needed: int) -> None:
        folder = cache_folder() / "images" / f"{self._size[0]}x{self._size[1]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            self.description = f"no image cache: cannot write to {folder}: {error.strerror}"
            return
        if needed > _DISK_SHARE * free:
            self.description = (
                f"no image cache: it would take {readable_size(needed)} of "
                f"{readable_size(free)} free on {folder}"
            )
            return
        self._folder = folder
        self.description = f"images cached in {folder}, {readable_size(needed)}"

    def _stored(self, index: int) -> Image:
        """From the folder; written to it first if it is not there or does not fit."""
        assert self._folder is not None
        path = self._samples[index].path
        try:
            status = path.stat()
        except OSError:
            return self._read(index)
        key = f"{path.absolute()}\n{status.st_size}\n{status.st_mtime_ns}"
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        file = self._folder / digest[:2] / f"{digest[:40]}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):
            image = np.load(file, allow_pickle=False)
            if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
                fits = image.shape[0] <= self._size[0] and image.shape[1] <= self._size[1]
                if fits and image.size:
                    return np.asarray(image)
        image = self._read(index)
        # A full disk costs time, not the training.
        with (
            contextlib.suppress(OSError, UsageError),
            atomic_path(file) as temporary,
            temporary.open("wb") as stream,
        ):
            np.save(stream, image)
        return image


def fitted(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image after it is scaled to fit `size` (height, width)."""
    gain = min(size[0] / height, size[1] / width)
    return min(math.ceil(height * gain), size[0]), min(math.ceil(width * gain), size[1])


def free_memory() -> int:
    """Bytes that may be taken: what is available, within the limit of the control group."""
    free = int(psutil.virtual_memory().available)
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        with contextlib.suppress(OSError, ValueError):
            limit, used = (int(Path(name).read_text()) for name in (limit_file, used_file))
            free = min(free, max(limit - used, 0))
    return free


def _bytes(sample: Sample, size: tuple[int, int]) -> int:
    if sample.size is None:
        return 3 * size[0] * size[1]
    height, width = fitted(*sample.size, size)
    return 3 * height * width
