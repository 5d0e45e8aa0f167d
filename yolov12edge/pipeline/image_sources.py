"""Which images decide about precision, and which judge the result."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import Dataset, Letterbox, find_images, load_dataset, read_image, to_batch
from yolov12edge.errors import DataError
from yolov12edge.files import sha256_file

MAX_ARRAY_BYTES = 4 << 30
FEW_IMAGES = 128


@dataclass(frozen=True)
class CalibrationImages:
    """Pictures from which value ranges are taken.

    Attributes:
        files: image files, in the order of the seeded sample; empty for an array.
        array: (N, H, W, 3) uint8 RGB, already letterboxed; None for files.
        source: where they come from, in words.
    """

    files: tuple[Path, ...]
    array: NDArray[np.uint8] | None
    source: str

    def __len__(self) -> int:
        return len(self.files) if self.array is None else len(self.array)

    def digest(self) -> str:
        """SHA-256 over the list of images: one line `sha256  name` each, or the array's bytes."""
        if self.array is not None:
            return hashlib.sha256(self.array.tobytes()).hexdigest()
        lines = sorted(f"{sha256_file(path)}  {path.name}\n" for path in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def tensors(self, letterbox: Letterbox, limit: int) -> list[NDArray[np.float32]]:
        """The first `limit` images as (3, H, W) float32 RGB in 0..1."""
        if self.array is not None:
            height, width = self.array.shape[1:3]
            if (height, width) != (letterbox.height, letterbox.width):
                raise DataError(
                    f"{self.source} holds {height}x{width} images, the model takes "
                    f"{letterbox.height}x{letterbox.width}",
                    "letterbox them to the model's size, or pass a folder of image files",
                )
            return list(to_batch(list(self.array[:limit])))
        chosen = self.files[:limit]
        return [to_batch([letterbox(read_image(path))[0]])[0] for path in chosen]


def calibration_images(
    source: Path | None, data: Path | None, limit: int | None, seed: int
) -> CalibrationImages | None:
    """Find the calibration images: `--calib` if given, else the train split of `--data`.

    Args:
        source: a folder, a data.yaml or an .npz with `images` (N, H, W, 3) uint8 RGB.
        data: a data.yaml.
        limit: most images to take; all if None.
        seed: of the sample.

    Returns:
        None if neither is given.

    Raises:
        DataError: nothing there, or not images.
    """
    if source is None and data is None:
        return None
    if source is not None and source.suffix == ".npz":
        return CalibrationImages((), _read_array(source)[:limit], source.name)
    if source is not None and source.is_dir():
        files = tuple(find_images(source))
        origin = source.name
    else:
        yaml = source or data
        assert yaml is not None
        if yaml.suffix not in (".yaml", ".yml"):
            raise DataError(
                f"cannot take calibration images from {yaml}",
                "pass a folder of images, a data.yaml or an .npz",
            )
        files = load_dataset(yaml, "train").images
        origin = f"train split of {yaml.name}"
    if not files:
        raise DataError(f"no images in {source or data}", "pass a folder with .jpg or .png files")
    order = np.random.default_rng(seed).permutation(len(files))[:limit]
    return CalibrationImages(tuple(files[index] for index in order), None, origin)


def verification_images(data: Path | None, calibration: CalibrationImages | None) -> Dataset | None:
    """The val split of `--data`, else the calibration images without labels, else None."""
    if data is not None:
        return load_dataset(data, "val")
    if calibration is not None and calibration.files:
        return Dataset((), tuple(sorted(calibration.files)), None)
    return None


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
