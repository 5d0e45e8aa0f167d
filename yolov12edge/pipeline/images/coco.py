"""The calibration set of the published COCO checkpoints: a list with hashes, fetched once."""

from __future__ import annotations

import importlib.resources
import json
import os
import urllib.parse
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.download import (
    CACHE_VARIABLE,
    TIMEOUT_SECONDS,
    Download,
    cache_folder,
    fetch,
    locked,
)
from yolov12edge.errors import DataError
from yolov12edge.files import sha256_file
from yolov12edge.voice import SILENCE, Progress, Voice, no_progress

BASE_VARIABLE = "YOLOV12EDGE_IMAGES_URL"
LIST_NAME = "coco256.json"
MAX_IMAGE_BYTES = 8 << 20
# A server that fails this often is given up; images fetched so far stay in the cache.
MOST_FAILURES = 8
_AT_ONCE = 4


@dataclass(frozen=True)
class ListedImage:
    """One image of the list."""

    name: str
    sha256: str


def coco_list() -> tuple[str, tuple[ListedImage, ...]]:
    """Address of the folder that has the images, and the images."""
    package = Path(str(importlib.resources.files("yolov12edge")))
    installed = package / "calib"
    folder = installed if installed.is_dir() else package.parent / "calib"
    document = json.loads((folder / LIST_NAME).read_bytes())
    images = tuple(ListedImage(entry["file"], entry["sha256"]) for entry in document["images"])
    return os.environ.get(BASE_VARIABLE) or document["url"], images


def fetch_coco_images(
    limit: int | None = None,
    *,
    voice: Voice = SILENCE,
    progress: Progress = no_progress,
    timeout: float = TIMEOUT_SECONDS,
) -> Path:
    """Folder in the cache with the images of `calib/coco256`, each of the hash in the list.

    An image that cannot be had, or has other bytes, is left out with a warning.

    Args:
        limit: only so many, from the start of the list; all if None.
        voice: told what the source is, once if anything is fetched, and what is left out.
        progress: called with (label, images done, images).
        timeout: seconds without an answer before an attempt fails.

    Raises:
        DataError: eight images cannot be had, or the cache cannot be written.
    """
    base, images = coco_list()
    images = images[:limit]
    folder = cache_folder() / "calib" / "coco256"
    hint = (
        f"pass pictures with --calib DIR, or put the images of calib/{LIST_NAME} into {folder}, "
        f"or set {BASE_VARIABLE} to a mirror"
    )
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise DataError(f"{BASE_VARIABLE} is {base[:80]!a}, not an http address", hint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            missing = [image for image in images if not _is_whole(folder / image.name, image)]
            if missing:
                voice.info(f"fetching {len(missing)} calibration images from {base}")
            _fetch_all(missing, base, folder, hint, voice, progress, timeout)
    except OSError as error:
        raise DataError(
            f"cannot keep images in {folder}: {error.strerror or error}",
            f"set {CACHE_VARIABLE} to a folder that can be written, or pass --calib DIR",
        ) from error
    return folder


def _is_whole(path: Path, image: ListedImage) -> bool:
    return path.is_file() and sha256_file(path) == image.sha256


def _fetch_all(
    images: list[ListedImage],
    base: str,
    folder: Path,
    hint: str,
    voice: Voice,
    progress: Progress,
    timeout: float,
) -> None:
    failures = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(_fetch_one, image, base, folder, hint, timeout) for image in images]
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                error = job.exception()
                if error is not None and not isinstance(error, DataError):
                    raise error
                if isinstance(error, DataError):
                    failures += 1
                    if failures >= min(MOST_FAILURES, len(images)):
                        raise error
                    voice.warn(f"left out: {error.message}")
                progress("fetching images", done, len(images))
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch_one(image: ListedImage, base: str, folder: Path, hint: str, timeout: float) -> None:
    url = f"{base.rstrip('/')}/{image.name}"
    part = folder / f"{image.name}.part"
    limit = "no image of the list is larger than"
    fetch(Download(url, part, MAX_IMAGE_BYTES, limit, hint, DataError), timeout=timeout)
    actual = sha256_file(part)
    if actual != image.sha256:
        part.unlink()
        raise DataError(
            f"{url} has SHA-256 {actual[:16]}..., not {image.sha256[:16]}... as listed", hint
        )
    part.replace(folder / image.name)
