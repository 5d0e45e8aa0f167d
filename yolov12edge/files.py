"""Files that are whole or absent: atomic writes, hashes, readable sizes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yolov12edge.errors import UsageError
from yolov12edge.interrupts import raise_if_interrupted

_ELSEWHERE = "choose a folder you can write to with --out"


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside `final`; rename it to `final` on success, remove it on error.

    Raises:
        UsageError: the folder cannot be created or written, or `final` is a folder.
    """
    final = Path(final)
    check_writable(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=final.parent, prefix=f".{final.stem}.", suffix=f".part{final.suffix}"
        )
    except OSError as error:
        raise UsageError(f"cannot write to {final.parent}: {error.strerror}", _ELSEWHERE) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        # mkstemp makes private files; artifacts are for others to read.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        raise_if_interrupted()
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(final: Path) -> None:
    """Refuse a path that no file can be written to, before any work is done for it.

    Raises:
        UsageError: it is a folder, lies below a file, or in a folder that is not writable.
    """
    final = Path(final)
    if final.is_dir():
        raise UsageError(f"{final} is a folder", "name the file to write")
    nearest = next(folder for folder in final.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise UsageError(f"cannot write {final}: {nearest} is a file", _ELSEWHERE)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write to {nearest}: no permission", _ELSEWHERE)


def write_bytes(final: Path, content: bytes) -> None:
    """Write `content` to `final` atomically."""
    with atomic_path(final) as temporary:
        temporary.write_bytes(content)


def write_json(final: Path, document: Any) -> None:
    """Write `document` as indented JSON to `final` atomically."""
    write_bytes(final, (json_text(document) + "\n").encode())


def json_text(document: Any, encoding: str = "utf-8") -> str:
    """Indented JSON; non-ASCII characters stay readable where `encoding` has all of them."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    try:
        # File names that are not UTF-8 hold characters that no encoding has.
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=2)
    return text


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex; reads in pieces so that size does not matter."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def readable_size(size: int) -> str:
    """`size` bytes as a short text with a decimal unit: 1.5 MB."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
