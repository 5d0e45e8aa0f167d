"""Look at the headers of all images of a set, quickly, and remember what they say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from yolov12edge.data.headers import image_size, orientation, turns
from yolov12edge.data.images import MAX_FILE_BYTES, MAX_PIXELS
from yolov12edge.data.problems import Problem
from yolov12edge.download import cache_folder
from yolov12edge.errors import UsageError
from yolov12edge.files import write_bytes

THREADS = 8
# Smaller sets are looked at again in less time than it takes to say so.
FEWEST_REMEMBERED = 1000
MAX_MEMORY_BYTES = 500_000_000

BROKEN = "the image cannot be read"
HUGE = "the image is too large"
ABSENT = "no such image file"

_HEAD, _TAIL = 1 << 17, 1 << 16
_CHUNK = 64


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        stored: width and height of the stored pixels.
        orientation: EXIF orientation, 1 to 8.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height after the orientation is applied, as images are read."""
        width, height = self.stored
        return (height, width) if turns(self.orientation) else (width, height)


@dataclass(frozen=True)
class Scan:
    """The headers of a set of images.

    Attributes:
        headers: of the images that can be used.
        problems: the others.
    """

    headers: dict[Path, Header]
    problems: tuple[Problem, ...]


def scan_images(paths: Iterable[Path]) -> Scan:
    """Read the headers of image files, in threads.

    Those of large sets are remembered in the cache folder, by path, size and time of change.
    """
    listed = list(dict.fromkeys(paths))
    memory = _memory_file(listed)
    known = _recall(memory) if memory else {}
    headers: dict[Path, Header] = {}
    problems: list[Problem] = []
    fresh: dict[str, list[int]] = {}
    chunks = [listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool:
        looked = pool.map(lambda chunk: [_look(path, known) for path in chunk], chunks)
        for path, (found, stamp) in zip(listed, chain.from_iterable(looked), strict=True):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                headers[path] = found
                fresh[str(path)] = [*stamp, *found.stored, found.orientation]
    if memory and fresh != known:
        _remember(memory, fresh)
    return Scan(headers, tuple(problems))


def _look(path: Path, known: dict[str, list[int]]) -> tuple[Header | Problem, tuple[int, int]]:
    try:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        entry = known.get(str(path))
        if entry is not None and tuple(entry[:2]) == stamp:
            return Header((entry[2], entry[3]), entry[4]), stamp
        if status.st_size > MAX_FILE_BYTES:
            return Problem(path, None, HUGE, True, f"{status.st_size} bytes"), stamp
        header = _read_header(path, status.st_size)
    except FileNotFoundError:
        return Problem(path, None, ABSENT, True), (0, 0)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Problem(path, None, BROKEN, True, reason), (0, 0)
    width, height = header.stored
    if width < 1 or height < 1:
        return Problem(path, None, BROKEN, True, f"{width}x{height} pixels"), stamp
    if width * height > MAX_PIXELS:
        limit = f"{width}x{height}, more than {MAX_PIXELS // 10**6} megapixels"
        return Problem(path, None, HUGE, True, limit), stamp
    return header, stamp


def _read_header(path: Path, size: int) -> Header:
    """From the first and last bytes where those tell, else from all."""
    with path.open("rb") as file:
        content = file.read(min(size, _HEAD))
        # A JPEG states all before its pixels, but its last bytes tell whether it is whole.
        if size > _HEAD + _TAIL and content.startswith(b"\xff\xd8\xff"):
            file.seek(-_TAIL, os.SEEK_END)
            content += file.read(_TAIL)
            try:
                return Header(image_size(content), orientation(content))
            except ValueError:
                file.seek(0)
                content = b""
        content += file.read()
    if not content:
        raise ValueError("the file is empty")
    return Header(image_size(content), orientation(content))


def _memory_file(paths: Sequence[Path]) -> Path | None:
    if len(paths) < FEWEST_REMEMBERED:
        return None
    folder = os.path.commonpath([os.path.abspath(path) for path in (paths[0], paths[-1])])
    name = hashlib.sha256(f"{folder}\n{len(paths)}\n{paths[0]}".encode(errors="replace"))
    return cache_folder() / "scans" / f"{name.hexdigest()[:32]}.json"


def _recall(memory: Path) -> dict[str, list[int]]:
    """What was remembered; entries that are not five plausible numbers do not count."""
    try:
        if memory.stat().st_size > MAX_MEMORY_BYTES:
            return {}
        document = json.loads(memory.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {path: entry for path, entry in document.items() if _plausible(entry)}


def _plausible(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 5 or any(type(n) is not int for n in entry):
        return False
    _, _, width, height, turned = entry
    return bool(width > 0 and height > 0 and width * height <= MAX_PIXELS and 1 <= turned <= 8)


def _remember(memory: Path, headers: dict[str, list[int]]) -> None:
    try:
        write_bytes(memory, json.dumps(headers).encode())
    except (OSError, UsageError):
        # A cache folder that cannot be written costs time, not the training.
        return
