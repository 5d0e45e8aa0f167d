"""EXIF orientation from file headers, without decoding: which way up a picture is shown.

Formats: JPEG (APP1), PNG (eXIf), WebP (EXIF chunk) and TIFF 6.0 itself, all of which OpenCV turns
as it reads them.
"""

from __future__ import annotations

import struct

_ORIENTATION = 274
_SHORT = 3
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


def orientation(content: bytes) -> int:
    """EXIF orientation of an image file, 1 to 8; 1 if it states none or a wrong one."""
    for magic, find in (
        (b"\xff\xd8\xff", _in_jpeg),
        (b"\x89PNG\r\n\x1a\n", _in_png),
        (b"RIFF", _in_webp),
        (b"II*\0", bytes),
        (b"MM\0*", bytes),
    ):
        if content.startswith(magic):
            try:
                return _in_tiff(find(content))
            except (struct.error, IndexError):
                return 1
    return 1


def turns(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation >= 5


def _in_jpeg(content: bytes) -> bytes:
    position = 2
    while content[position] == 0xFF and (marker := content[position + 1]) != 0xDA:
        if marker == 0xFF:
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        else:
            (length,) = struct.unpack_from(">H", content, position + 2)
            segment = content[position + 4 : position + 2 + length]
            if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
                return segment[6:]
            position += 2 + length
    return b""


def _in_png(content: bytes) -> bytes:
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"eXIf":
            return content[position + 8 : position + 8 + length]
        position += 12 + length


def _in_webp(content: bytes) -> bytes:
    position = 12
    while True:
        kind, length = struct.unpack_from("<4sI", content, position)
        if kind == b"EXIF":
            chunk = content[position + 8 : position + 8 + length]
            return chunk[6:] if chunk.startswith(b"Exif\0\0") else chunk
        position += 8 + length + length % 2


def _in_tiff(content: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None:
        return 1
    (directory,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, directory)
    for index in range(entries):
        tag, kind, _, value = struct.unpack_from(
            order + "HHIH", content, directory + 2 + 12 * index
        )
        if tag == _ORIENTATION and kind == _SHORT:
            return int(value) if 1 <= value <= 8 else 1
    return 1
