"""Which images decide about precision, and which judge the result."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import Dataset, Letterbox, find_images, load_dataset, read_image, to_batch
from yolov12edge.data.dataset import Labels
from yolov12edge.errors import DataError
from yolov12edge.files import sha256_file

MAX_ARRAY_BYTES = 4 << 30
MAX_LIST_BYTES = 1 << 24
FEW_IMAGES = 128
DEFAULT_IMAGES = 256


@dataclass(frozen=True)
class CalibrationImages:
    """Pictures from which value ranges are taken, no two of them equal.

    Attributes:
        files: image files, in the order of the seeded sample; empty for an array.
        array: (N, H, W, 3) uint8 RGB, already letterboxed; None for files.
        hashes: SHA-256 of every file, or of every picture of the array.
        source: where they come from, in words.
        seed: of the sample.
        duplicates: equal pictures that were left out.
    """

    files: tuple[Path, ...]
    array: NDArray[np.uint8] | None
    hashes: tuple[str, ...]
    source: str
    seed: int
    duplicates: int = 0

    def __len__(self) -> int:
        return len(self.hashes)

    def digest(self) -> str:
        """SHA-256 over the sorted hashes: the same set in any order has the same one."""
        return hashlib.sha256("\n".join(sorted(self.hashes)).encode()).hexdigest()

    def tensors(self, letterbox: Letterbox, limit: int) -> list[NDArray[np.float32]]:
        """The first `limit` images as (3, H, W) float32 RGB in 0..1."""
        return list(self.part(0, limit).stream(letterbox))

    def stream(self, letterbox: Letterbox) -> Iterator[NDArray[np.float32]]:
        """Every image as (3, H, W) float32 RGB in 0..1, read when it is asked for."""
        if self.array is None:
            for path in self.files:
                yield to_batch([letterbox(read_image(path))[0]])[0]
            return
        height, width = self.array.shape[1:3]
        if (height, width) != (letterbox.height, letterbox.width):
            raise DataError(
                f"{self.source} holds {height}x{width} images, the model takes "
                f"{letterbox.height}x{letterbox.width}",
                "letterbox them to the model's size, or pass a folder of image files",
            )
        for picture in self.array:
            yield to_batch([picture])[0]

    def as_files(self, folder: Path) -> list[Path]:
        """Image files; pictures of an array are written into `folder`, without loss."""
        if self.array is None:
            return list(self.files)
        files = [folder / f"{index:04d}.png" for index in range(len(self.array))]
        for path, picture in zip(files, self.array, strict=True):
            cv2.imwrite(str(path), picture[:, :, ::-1])
        return files

    def part(self, start: int, stop: int) -> CalibrationImages:
        """Images `start` to `stop` of the sample."""
        return CalibrationImages(
            self.files[start:stop],
            None if self.array is None else self.array[start:stop],
            self.hashes[start:stop],
            self.source,
            self.seed,
        )

    def document(self) -> dict[str, Any]:
        """The list with hashes, as a run stores it."""
        names = [path.name for path in self.files] or [str(n) for n in range(len(self))]
        return {
            "schema_version": 1,
            "source": self.source,
            "seed": self.seed,
            "sha256": self.digest(),
            "images": [
                {"file": name, "sha256": digest}
                for name, digest in zip(names, self.hashes, strict=True)
            ],
        }


def calibration_images(source: Path, limit: int | None, seed: int) -> CalibrationImages:
    """A sample of what `--calib` names; equal images are taken once.

    Args:
        source: a folder, a data.yaml (its train split, spread over the classes), a .txt list of
            image files (relative to it), or an .npz with `images` (N, H, W, 3) uint8 RGB.
        limit: most images to take; 256 if None.
        seed: of the sample.

    Raises:
        DataError: nothing there, or not images.
    """
    if source.suffix in (".yaml", ".yml") and not source.is_dir():
        return train_images(source, limit, seed)
    if source.suffix == ".npz":
        return _sample_array(_read_array(source), source.name, limit, seed)
    files = _list_files(source)
    if not files:
        raise DataError(f"no images in {source}", "pass a folder with .jpg or .png files")
    return _sample_files(files, None, source.name, limit, seed)


def train_images(data: Path, limit: int | None, seed: int) -> CalibrationImages:
    """A sample of the train split of a data.yaml; where labels exist, spread over the classes.

    Raises:
        DataError: the data set cannot be read.
    """
    dataset = load_dataset(data, "train")
    origin = f"train split of {data.name}"
    if not dataset.images:
        raise DataError(f"no images in {data}", "pass a folder with .jpg or .png files")
    return _sample_files(dataset.images, dataset.labels, origin, limit, seed)


def evenly(total: int, most: int) -> list[int]:
    """At most `most` of `total` positions, evenly from the first to the last."""
    places: list[int] = np.linspace(0, total - 1, min(total, most)).round().astype(int).tolist()
    return places


def _sample_files(
    files: Sequence[Path],
    labels: tuple[Labels, ...] | None,
    origin: str,
    limit: int | None,
    seed: int,
) -> CalibrationImages:
    limit = DEFAULT_IMAGES if limit is None else limit
    order = np.random.default_rng(seed).permutation(len(files))
    if labels is not None and limit < len(files):
        order = _spread_over_classes(order, labels)
    chosen: dict[str, Path] = {}
    duplicates = 0
    for index in order:
        if len(chosen) == limit:
            break
        digest = sha256_file(files[index])
        duplicates += digest in chosen
        chosen.setdefault(digest, files[index])
    return CalibrationImages(tuple(chosen.values()), None, tuple(chosen), origin, seed, duplicates)


def verification_images(data: Path | None, calibration: CalibrationImages | None) -> Dataset | None:
    """The val split of `--data`, else the calibration images without labels, else None."""
    if data is not None:
        return load_dataset(data, "val")
    if calibration is not None and calibration.files:
        return Dataset((), tuple(sorted(calibration.files)), None)
    return None


def _list_files(source: Path) -> Sequence[Path]:
    """The image files of a folder or a list."""
    if source.is_dir():
        return find_images(source)
    if source.suffix == ".txt":
        return _read_list(source)
    what = "cannot take calibration images from" if source.exists() else "no such file:"
    raise DataError(
        f"{what} {source}", "pass a folder of images, a data.yaml, a .txt list or an .npz"
    )


def _read_list(path: Path) -> list[Path]:
    """One image a line, relative to the list; empty lines and # are left out."""
    hint = "write one image file a line, relative to the list"
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError(f"{path} is too large for a list of images", hint)
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}", hint) from error
    files = [path.parent / line for line in lines if line and not line.startswith("#")]
    for file in files:
        if not file.is_file():
            raise DataError(f"{path} names {file}, which is not there", hint)
    return files


def _spread_over_classes(order: NDArray[np.int64], labels: Sequence[Labels]) -> NDArray[np.int64]:
    """Images in the order of a draw that always takes the class seen in fewest images so far."""
    held: dict[int, list[int]] = {}
    for index in order:
        for label in np.unique(labels[index][:, 0].astype(int)):
            held.setdefault(int(label), []).append(int(index))
    seen = dict.fromkeys(held, 0)
    taken: dict[int, None] = {}
    while held:
        rarest = min(held, key=lambda label: (seen[label], len(held[label]), label))
        queue = held[rarest]
        while queue and queue[0] in taken:
            queue.pop(0)
        if not queue:
            del held[rarest]
            continue
        index = queue.pop(0)
        taken[index] = None
        for label in np.unique(labels[index][:, 0].astype(int)):
            seen[int(label)] += 1
    rest = [int(index) for index in order if int(index) not in taken]
    return np.array([*taken, *rest], dtype=np.int64)


def _sample_array(
    array: NDArray[np.uint8], name: str, limit: int | None, seed: int
) -> CalibrationImages:
    limit = DEFAULT_IMAGES if limit is None else limit
    order = np.random.default_rng(seed).permutation(len(array))
    chosen: dict[str, int] = {}
    duplicates = 0
    for index in order:
        if len(chosen) == limit:
            break
        digest = hashlib.sha256(array[index].tobytes()).hexdigest()
        duplicates += digest in chosen
        chosen.setdefault(digest, int(index))
    pictures = array[list(chosen.values())]
    return CalibrationImages((), pictures, tuple(chosen), name, seed, duplicates)


def _read_array(path: Path) -> NDArray[np.uint8]:
    hint = "store uint8 RGB pictures as (N, H, W, 3) under the name `images`"
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_ARRAY_BYTES:
                raise DataError(f"{path} unpacks to more than 4 GiB", "pass a folder of images")
        with np.load(path, allow_pickle=False) as arrays:
            if "images" not in arrays.files:
                raise DataError(f"{path} has no array named images", hint)
            images = arrays["images"]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}", hint) from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise DataError(f"{path}: images is {images.dtype} of shape {images.shape}", hint)
    return np.ascontiguousarray(images)
