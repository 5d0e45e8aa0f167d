"""Published checkpoints by name: fetched once into a cache, pinned by their hash.

A checkpoint has no published hash to compare with, so the first fetch records the SHA-256 and
every later use must match it.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from yolov12edge.checkpoints.archive import ZIP_MAGIC
from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError
from yolov12edge.files import readable_size, sha256_file, write_json

BASE_URL = "https://github.com/sunsmarterjie/yolov12/releases/download"
BASE_VARIABLE = "YOLOV12EDGE_WEIGHTS_URL"
CACHE_VARIABLE = "YOLOV12EDGE_CACHE"
LICENSE = "AGPL-3.0"
TAGS = {"v1": "v1.0", "turbo": "turbo"}
NAMES = tuple(f"yolov12{scale}" for scale in "nsmlx")

# The largest file (scale x, half precision) has 119 MB.
MAX_BYTES = 512 << 20
ATTEMPTS = 4
TIMEOUT_SECONDS = 30.0
_PIECE = 1 << 18
_SERVER_TROUBLE = (408, 429, 500, 502, 503, 504)

Progress = Callable[[str, int, int], None]
Announce = Callable[[str], None]


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
    def hint(self) -> str:
        """What a user without a network can do."""
        return (
            f"pass a file with --weights FILE, or put it at {self.path}, "
            f"or set {BASE_VARIABLE} to a mirror that has {TAGS[self.layout]}/{self.name}.pt"
        )


def cache_folder() -> Path:
    """Where downloads are kept: $YOLOV12EDGE_CACHE, else yolov12edge in $XDG_CACHE_HOME."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    parent = os.environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache") / "yolov12edge"


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
    announce: Announce | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Path:
    """The cached file of a published checkpoint, downloaded if it is not there yet.

    Args:
        name: yolov12n ... yolov12x, or the scale alone.
        layout: "v1" or "turbo".
        announce: called once a download with a line that says the source and the licence.
        progress: called with (label, bytes done, bytes in all; 0 if unknown).
        timeout: seconds without an answer before an attempt fails.

    Raises:
        CheckpointError: unknown name, not reachable, or the bytes are not those pinned.
    """
    wanted = published_file(name, layout)
    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(wanted.path.with_suffix(".lock")):
            if not wanted.path.exists():
                if announce:
                    announce(f"fetching {wanted.url}; the weights are under {LICENSE}")
                _download(wanted, progress, timeout)
                _check_content(wanted)
                _pin(wanted, wanted.part)
                wanted.part.replace(wanted.path)
                _validator_file(wanted).unlink(missing_ok=True)
            else:
                _pin(wanted, wanted.path)
    except OSError as error:
        raise CheckpointError(
            f"cannot keep {wanted.name} in {wanted.path.parent}: {error.strerror or error}",
            f"set {CACHE_VARIABLE} to a folder that can be written, or pass --weights FILE",
        ) from error
    return wanted.path


@dataclass(frozen=True)
class _Validator:
    """What tells whether the file on the server is still the one we hold a part of."""

    url: str
    etag: str


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            raise CheckpointError(
                f"the server redirects to {printable(newurl)}", "fetch the file by other means"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Like urllib's own, without ftp, file and data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener


def _download(wanted: PublishedFile, progress: Progress | None, timeout: float) -> None:
    """Complete `wanted.part`, going on where an earlier attempt stopped.

    Raises:
        CheckpointError: not reachable or refused.
    """
    for attempt in range(ATTEMPTS):
        try:
            _attempt(wanted, progress, timeout)
            return
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                wanted.part.unlink(missing_ok=True)
            elif error.code not in _SERVER_TROUBLE:
                raise CheckpointError(
                    f"{wanted.url}: the server answers {error.code} {error.reason}", wanted.hint
                ) from error
            failure: Exception = error
        except (urllib.error.URLError, http.client.HTTPException, _Incomplete) as error:
            failure = error
        except (TimeoutError, ConnectionError, ssl.SSLError) as error:
            failure = error
        if attempt + 1 < ATTEMPTS:
            time.sleep(_pause(attempt))
    reason = getattr(failure, "reason", None) or str(failure) or type(failure).__name__
    raise CheckpointError(f"cannot fetch {wanted.url}: {reason}", wanted.hint) from failure


class _Incomplete(Exception):
    """The connection ended before the last byte."""


def _pause(attempt: int) -> float:
    """Seconds to wait after a failed attempt."""
    return 0.5 * float(2**attempt)


def _attempt(wanted: PublishedFile, progress: Progress | None, timeout: float) -> None:
    held = wanted.part.stat().st_size if wanted.part.exists() else 0
    validator = _read_validator(wanted)
    request = urllib.request.Request(wanted.url, headers={"User-Agent": "yolov12edge"})
    if held and validator:
        request.add_header("Range", f"bytes={held}-")
        request.add_header("If-Range", validator.etag)
    with _opener().open(request, timeout=timeout) as response:
        start, total = _extent(response)
        if start not in (0, held):
            wanted.part.unlink()
            raise _Incomplete("the server sent another part than asked for")
        if total > MAX_BYTES:
            raise CheckpointError(
                f"{wanted.url} has {readable_size(total)}; no YOLOv12 is larger than "
                f"{readable_size(MAX_BYTES)}",
                wanted.hint,
            )
        with wanted.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            # Only now, with the old bytes gone: a part must never be paired with a newer ETag.
            _write_validator(wanted, response.headers.get("ETag"))
            _copy(response, file, wanted, total, progress)


def _copy(
    response: Any, file: IO[bytes], wanted: PublishedFile, total: int, progress: Progress | None
) -> None:
    done = file.tell()
    while piece := response.read1(_PIECE):
        file.write(piece)
        done += len(piece)
        if done > (total or MAX_BYTES):
            raise CheckpointError(f"{wanted.url} sends more than it announced", wanted.hint)
        if progress:
            progress(wanted.name, done, total)
    if done < total:
        raise _Incomplete(f"the connection ended after {done} of {total} bytes")


def _extent(response: Any) -> tuple[int, int]:
    """First byte that a response carries, and size of the whole file (0 if unknown)."""
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() else 0
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0, size
    unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = extent.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes" or not start.isdecimal() or not total.isdecimal():
        return -1, 0
    return int(start), int(total)


def _validator_file(wanted: PublishedFile) -> Path:
    return wanted.path.with_suffix(".part.json")


def _read_validator(wanted: PublishedFile) -> _Validator | None:
    try:
        document = json.loads(_validator_file(wanted).read_text())
        validator = _Validator(str(document["url"]), str(document["etag"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return validator if validator.url == wanted.url else None


def _write_validator(wanted: PublishedFile, etag: str | None) -> None:
    # If-Range needs a strong validator (RFC 9110, 13.1.5); without one a part is fetched anew.
    if etag and not etag.startswith("W/"):
        write_json(_validator_file(wanted), asdict(_Validator(wanted.url, etag)))
    else:
        _validator_file(wanted).unlink(missing_ok=True)


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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold `path` against other processes that fetch the same file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
