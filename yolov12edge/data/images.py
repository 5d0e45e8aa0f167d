"""Read images from disk, whatever their kind, as RGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from yolov12edge.data.headers import image_size
from yolov12edge.data.letterbox import Image
from yolov12edge.errors import DataError
from yolov12edge.files import readable_size

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

MAX_FILE_BYTES = 500_000_000
MAX_PIXELS = 100_000_000

# What OpenCV says about broken files is said by DataError, once and with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_image(path: Path) -> Image:
    """Read one image file as RGB, (h, w, 3) uint8.

    EXIF orientation is applied, gray becomes RGB, 16-bit samples keep their upper 8 bits, CMYK is
    converted and alpha is dropped, as OpenCV's colour reading does. The size in the file's header
    is checked before anything is decoded.

    Raises:
        DataError: the file is missing, empty, damaged, no image, or has more than `MAX_PIXELS`.
    """
    path = Path(path)
    content = _read_bytes(path)
    try:
        width, height = image_size(content)
    except ValueError as error:
        raise DataError(
            f"cannot read image {path}: {error}", "replace the file or take it out of the set"
        ) from error
    if width < 1 or height < 1:
        raise DataError(
            f"cannot read image {path}: it is {width}x{height} pixels",
            "replace the file or take it out of the set",
        )
    if width * height > MAX_PIXELS:
        raise DataError(
            f"image {path} is {width}x{height}, more than {MAX_PIXELS // 10**6} megapixels",
            "scale the image down or take it out of the set",
        )
    try:
        decoded = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise DataError(
            f"cannot read image {path}: the file is damaged or its pixel format is not supported",
            "replace the file or take it out of the set",
        )
    image: Image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return image


def find_images(folder: Path) -> list[Path]:
    """All image files in `folder` and below, sorted by path.

    Raises:
        DataError: there is no such folder, or it holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"no such image folder: {folder}", "give a folder that holds images")
    images = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not images:
        raise DataError(
            f"no images in {folder}",
            f"give a folder with {', '.join(sorted(IMAGE_SUFFIXES))} files",
        )
    return images


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(
                f"image {path} has {readable_size(size)}, more than "
                f"{readable_size(MAX_FILE_BYTES)}",
                "take the file out of the set",
            )
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read image {path}: {error.strerror}", "check the path and its permissions"
        ) from error
    if not content:
        raise DataError(
            f"cannot read image {path}: the file is empty",
            "replace the file or take it out of the set",
        )
    return content
