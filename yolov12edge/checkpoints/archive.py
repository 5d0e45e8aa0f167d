"""The zip container of `torch.save`, read on the assumption that the file is hostile.

Layout: `<prefix>/data.pkl`, `<prefix>/data/<key>` (one raw storage each), `<prefix>/byteorder`.
Nothing is extracted to disk; one member is read at a time, and never more than it declares.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import BinaryIO

from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError

ZIP_MAGIC = b"PK\x03\x04"
# Five thousand members (the largest scale with its optimizer) need half a megabyte.
MAX_DIRECTORY_BYTES = 2 << 20
# torch.save stores members uncompressed; a re-packed checkpoint shrinks by a tenth, not tenfold.
MAX_EXPANSION = 4
SMALL_ARCHIVE_BYTES = 1 << 20

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_BROKEN = "the archive is damaged or cut short"
_BROKEN_HINT = "download or copy the file again and compare its size with the source"
_HOSTILE_HINT = "torch.save never writes this; take the file from a source you trust"


class TorchArchive:
    """Members of a torch zip file by their name below the common prefix, such as `data/0`.

    Args:
        file: the open file, seekable; kept, not closed.

    Raises:
        CheckpointError: not a torch archive, damaged, or made to exhaust memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._members = self._read_directory()
        self._check_byte_order()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """Declared bytes of a member."""
        return self._member(name).file_size

    def read(self, name: str) -> bytearray:
        """Content of a member, checked against its declared size and CRC."""
        info = self._member(name)
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            raise CheckpointError(_BROKEN, _BROKEN_HINT)
        magic, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = self._file.seek(name_length + extra_length, io.SEEK_CUR)
        if magic != ZIP_MAGIC or start + info.compress_size > self._size:
            raise CheckpointError(_BROKEN, _BROKEN_HINT)
        content = bytearray(info.compress_size)
        self._file.readinto(content)  # type: ignore[attr-defined]
        if info.compress_type == zipfile.ZIP_DEFLATED:
            content = _inflate(content, info.file_size)
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise CheckpointError(
                f"the archive is damaged: {printable(name)} fails its checksum", _BROKEN_HINT
            )
        return content

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise CheckpointError(f"the archive has no {printable(name)}", _BROKEN_HINT)
        return self._members[name]

    def _read_directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(_DirectoryReader(self._file)) as archive:
                entries = archive.infolist()
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            struct.error,
            ValueError,
            OSError,
        ) as error:
            raise CheckpointError(_BROKEN, _BROKEN_HINT) from error
        _check_names([entry.orig_filename for entry in entries])
        self._check_sizes(entries)
        if any(entry.filename.endswith("/constants.pkl") for entry in entries):
            raise CheckpointError(
                "is a TorchScript archive, not a checkpoint",
                "pass the checkpoint that it was exported from",
            )
        roots = {entry.filename.partition("/")[0] for entry in entries}
        prefix = entries[0].filename.partition("/")[0] + "/"
        members = {entry.filename[len(prefix) :]: entry for entry in entries}
        if len(roots) != 1 or "data.pkl" not in members:
            raise CheckpointError(
                "is a zip archive, but not one that torch.save wrote",
                "pass a .pt or .safetensors checkpoint",
            )
        return members

    def _check_sizes(self, entries: list[zipfile.ZipInfo]) -> None:
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise CheckpointError("the archive uses an unknown compression", _HOSTILE_HINT)
            if entry.flag_bits & 0x1:
                raise CheckpointError("the archive is encrypted", "decrypt it and pass the result")
            stored = entry.compress_type == zipfile.ZIP_STORED
            if stored and entry.compress_size != entry.file_size:
                raise CheckpointError(_BROKEN, _BROKEN_HINT)
            if entry.header_offset < end:
                raise CheckpointError("members of the archive overlap", _HOSTILE_HINT)
            end = entry.header_offset + _LOCAL_HEADER.size + entry.compress_size
        if end > self._size:
            raise CheckpointError(_BROKEN, _BROKEN_HINT)
        declared = sum(entry.file_size for entry in entries)
        if declared > max(MAX_EXPANSION * self._size, SMALL_ARCHIVE_BYTES):
            raise CheckpointError(
                f"the archive would expand from {self._size} to {declared} bytes", _HOSTILE_HINT
            )

    def _check_byte_order(self) -> None:
        if "byteorder" in self._members and self.size("byteorder") <= 16:
            order = bytes(self.read("byteorder"))
            if order != b"little":
                raise CheckpointError(
                    f"holds {printable(order.decode('latin-1'))}-endian storages",
                    "save it again on a little-endian machine (x86 or ARM)",
                )


class _DirectoryReader:
    """The part of a file that `zipfile` needs, refusing reads no honest directory asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        limit = MAX_DIRECTORY_BYTES + 1
        content = self._file.read(limit if size < 0 else min(size, limit))
        if len(content) == limit:
            raise CheckpointError("the archive's directory is implausibly large", _HOSTILE_HINT)
        return content

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file open: its owner closes it."""


def _inflate(content: bytearray, size: int) -> bytearray:
    """Decompress, stopping one byte after `size`: a lie about it shows and costs nothing."""
    try:
        return bytearray(zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1))
    except zlib.error as error:
        raise CheckpointError(_BROKEN, _BROKEN_HINT) from error


def _check_names(names: list[str]) -> None:
    if not names:
        raise CheckpointError("the archive is empty", _BROKEN_HINT)
    if len(set(names)) != len(names):
        raise CheckpointError("the archive holds two members of one name", _HOSTILE_HINT)
    for name in names:
        parts = name.split("/")
        if not name.isprintable() or "\\" in name or ".." in parts or "" in parts[:-1]:
            raise CheckpointError(
                f"the archive holds a forbidden path {printable(name)}", _HOSTILE_HINT
            )
