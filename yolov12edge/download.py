"""Files from the network: bounded, resumed, with a few attempts, over http and https alone.

By hand, and not by pooch: it starts broken downloads anew, sets no bound on their size, lets https
redirect to http, and brings requests with it.
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from yolov12edge.errors import EdgeError
from yolov12edge.files import readable_size, write_json
from yolov12edge.voice import Progress, no_progress

CACHE_VARIABLE = "YOLOV12EDGE_CACHE"
ATTEMPTS = 4
TIMEOUT_SECONDS = 30.0
_PIECE = 1 << 18
_SERVER_TROUBLE = (408, 429, 500, 502, 503, 504)


def cache_folder() -> Path:
    """Where downloads and calibrations are kept: $YOLOV12EDGE_CACHE, else in $XDG_CACHE_HOME."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    parent = os.environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache") / "yolov12edge"


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        url: http or https.
        part: where the unfinished file is kept, complete after `fetch`.
        largest: bytes that are accepted at most.
        limit_reason: why no more: "no YOLOv12 is larger than".
        hint: what a user without a network can do.
        error: family of what goes wrong.
    """

    url: str
    part: Path
    largest: int
    limit_reason: str
    hint: str
    error: type[EdgeError]

    @property
    def validator(self) -> Path:
        """File that tells which version of the file on the server the part belongs to."""
        return self.part.with_suffix(".part.json")


def fetch(
    wanted: Download, progress: Progress = no_progress, timeout: float = TIMEOUT_SECONDS
) -> None:
    """Complete `wanted.part`, going on where an earlier attempt stopped.

    Args:
        progress: called with (file name, bytes done, bytes in all; 0 if unknown).
        timeout: seconds without an answer before an attempt fails.

    Raises:
        EdgeError: of the family `wanted.error`: not reachable, refused or too large.
    """
    for attempt in range(ATTEMPTS):
        try:
            _attempt(wanted, progress, timeout)
            wanted.validator.unlink(missing_ok=True)
            return
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                wanted.part.unlink(missing_ok=True)
            elif error.code not in _SERVER_TROUBLE:
                raise wanted.error(
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
    raise wanted.error(f"cannot fetch {wanted.url}: {reason}", wanted.hint) from failure


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` against other processes that fetch the same file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class _Validator:
    """What tells whether the file on the server is still the one we hold a part of."""

    url: str
    etag: str


class _Incomplete(Exception):
    """The connection ended before the last byte."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, never from https to http."""

    def __init__(self, error: type[EdgeError]) -> None:
        self._error = error

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
            raise self._error(
                f"the server redirects to {newurl[:80]!a}", "fetch the file by other means"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(error: type[EdgeError]) -> urllib.request.OpenerDirector:
    """Like urllib's own, without ftp, file and data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(error),
    ):
        opener.add_handler(handler)
    return opener


def _pause(attempt: int) -> float:
    """Seconds to wait after a failed attempt."""
    return 0.5 * float(2**attempt)


def _attempt(wanted: Download, progress: Progress, timeout: float) -> None:
    held = wanted.part.stat().st_size if wanted.part.exists() else 0
    validator = _read_validator(wanted)
    request = urllib.request.Request(wanted.url, headers={"User-Agent": "yolov12edge"})
    if held and validator:
        request.add_header("Range", f"bytes={held}-")
        request.add_header("If-Range", validator.etag)
    with _opener(wanted.error).open(request, timeout=timeout) as response:
        start, total = _extent(response)
        if start not in (0, held):
            wanted.part.unlink()
            raise _Incomplete("the server sent another part than asked for")
        if total > wanted.largest:
            raise wanted.error(
                f"{wanted.url} has {readable_size(total)}; {wanted.limit_reason} "
                f"{readable_size(wanted.largest)}",
                wanted.hint,
            )
        with wanted.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            # Only now, with the old bytes gone: a part must never be paired with a newer ETag.
            _write_validator(wanted, response.headers.get("ETag"))
            _copy(response, file, wanted, total, progress)


def _copy(response: Any, file: IO[bytes], wanted: Download, total: int, progress: Progress) -> None:
    done = file.tell()
    name = wanted.part.stem
    while piece := response.read1(_PIECE):
        file.write(piece)
        done += len(piece)
        if done > (total or wanted.largest):
            raise wanted.error(f"{wanted.url} sends more than it announced", wanted.hint)
        progress(name, done, total)
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


def _read_validator(wanted: Download) -> _Validator | None:
    try:
        document = json.loads(wanted.validator.read_text())
        validator = _Validator(str(document["url"]), str(document["etag"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return validator if validator.url == wanted.url else None


def _write_validator(wanted: Download, etag: str | None) -> None:
    # If-Range needs a strong validator (RFC 9110, 13.1.5); without one a part is fetched anew.
    if etag and not etag.startswith("W/"):
        write_json(wanted.validator, asdict(_Validator(wanted.url, etag)))
    else:
        wanted.validator.unlink(missing_ok=True)
