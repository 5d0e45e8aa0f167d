"""Published checkpoints by name: fetched once into a cache, pinned by their hash.

A checkpoint has no published hash to compare with, so the first fetch records the SHA-256 and
every later use must match it.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.checkpoints.archive import ZIP_MAGIC
from yolov12edge.checkpoints.text import printable
from yolov12edge.download import (
    CACHE_VARIABLE,
    TIMEOUT_SECONDS,
    Download,
    cache_folder,
    fetch,
    locked,
)
from yolov12edge.errors import CheckpointError
from yolov12edge.files import sha256_file, write_json
from yolov12edge.voice import SILENCE, Progress, Voice, no_progress

BASE_URL = "https://github.com/sunsmarterjie/yolov12/releases/download"
BASE_VARIABLE = "YOLOV12EDGE_WEIGHTS_URL"
LICENSE = "AGPL-3.0"
TAGS = {"v1": "v1.0", "turbo": "turbo"}
NAMES = tuple(f"yolov12{scale}" for scale in "nsmlx")

# The largest file (scale x, half precision) has 119 MB.
MAX_BYTES = 512 << 20


@dataclass(frozen=True)
class PublishedFile:
    """One published checkpoint: where it comes from and where it is kept."""

    name: str
    layout: str
    url: str
    path: Path

    @property
    def record(self) -> Path:
        """The JSON file beside it that pins its hash."""
        return self.path.with_suffix(".json")

    @property
    def part(self) -> Path:
        """An unfinished download."""
        return self.path.with_suffix(".part")

    @property
    def download(self) -> Download:
        """How it is fetched."""
        limit = "no YOLOv12 is larger than"
        return Download(self.url, self.part, MAX_BYTES, limit, self.hint, CheckpointError)

    @property
    def hint(self) -> str:
        """What a user without a network can do."""
        return (
            f"pass a file with --weights FILE, or put it at {self.path}, "
            f"or set {BASE_VARIABLE} to a mirror that has {TAGS[self.layout]}/{self.name}.pt"
        )


def published_file(name: str, layout: str = "turbo") -> PublishedFile:
    """The published checkpoint called `name` (yolov12n, or only n).

    Raises:
        CheckpointError: no such name or layout, or a base URL that is not http(s).
    """
    stem = name.removesuffix(".pt")
    stem = f"yolov12{stem}" if len(stem) == 1 else stem
    if stem not in NAMES or layout not in TAGS:
        raise CheckpointError(
            f"no published checkpoint is called {printable(name)} in layout {printable(layout)}",
            f"use one of {', '.join(NAMES)} with layout {' or '.join(TAGS)}, or pass a file",
        )
    base = os.environ.get(BASE_VARIABLE) or BASE_URL
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise CheckpointError(
            f"{BASE_VARIABLE} is {printable(base)}, not an http or https address",
            "set it to the part of the address before /v1.0/yolov12n.pt, or unset it",
        )
    tag = TAGS[layout]
    url = f"{base.rstrip('/')}/{tag}/{stem}.pt"
    return PublishedFile(stem, layout, url, cache_folder() / "weights" / tag / f"{stem}.pt")


def fetch_published(
    name: str,
    layout: str = "turbo",
    *,
    voice: Voice = SILENCE,
    progress: Progress = no_progress,
    timeout: float = TIMEOUT_SECONDS,
) -> Path:
    """The cached file of a published checkpoint, downloaded if it is not there yet.

    Args:
        name: yolov12n ... yolov12x, or the scale alone.
        layout: "v1" or "turbo".
        voice: told once a download what the source and the licence are.
        progress: called with (label, bytes done, bytes in all; 0 if unknown).
        timeout: seconds without an answer before an attempt fails.

    Raises:
        CheckpointError: unknown name, not reachable, or the bytes are not those pinned.
    """
    wanted = published_file(name, layout)
    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(wanted.path.with_suffix(".lock")):
            if not wanted.path.exists():
                voice.info(f"fetching {wanted.url}; the weights are under {LICENSE}")
                fetch(wanted.download, progress, timeout)
                _check_content(wanted)
                _pin(wanted, wanted.part)
                wanted.part.replace(wanted.path)
            else:
                _pin(wanted, wanted.path)
    except OSError as error:
        raise CheckpointError(
            f"cannot keep {wanted.name} in {wanted.path.parent}: {error.strerror or error}",
            f"set {CACHE_VARIABLE} to a folder that can be written, or pass --weights FILE",
        ) from error
    return wanted.path


def _check_content(wanted: PublishedFile) -> None:
    with wanted.part.open("rb") as file:
        head = file.read(16)
    if not head.startswith(ZIP_MAGIC):
        wanted.part.unlink()
        raise CheckpointError(
            f"{wanted.url} is no checkpoint: it starts with {printable(head.decode('latin-1'))}",
            wanted.hint,
        )


def _pin(wanted: PublishedFile, path: Path) -> None:
    """Record the hash of `path`, or compare it with the record.

    Raises:
        CheckpointError: the bytes differ from those of the first fetch.
    """
    actual = sha256_file(path)
    pinned = _pinned_hash(wanted)
    if pinned is None:
        document = {"url": wanted.url, "sha256": actual, "bytes": path.stat().st_size}
        write_json(wanted.record, {**document, "license": LICENSE})
    elif actual != pinned:
        path_or_source = path if path == wanted.path else wanted.url
        wanted.part.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path_or_source} has SHA-256 {actual[:16]}..., not {pinned[:16]}... as when first "
            "fetched",
            f"if you trust the new file, delete {wanted.record}; else delete {wanted.path} to "
            "fetch it again",
        )


def _pinned_hash(wanted: PublishedFile) -> str | None:
    if not wanted.record.exists():
        return None
    try:
        return str(json.loads(wanted.record.read_text())["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{wanted.record} is damaged", f"delete it and {wanted.path}, then fetch again"
        ) from error
