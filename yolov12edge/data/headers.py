"""What the header of an image file says, without decoding: its size, and which way up it is shown.

Formats: JPEG (ITU T.81), PNG (RFC 2083), BMP, WebP (RFC 9649) and TIFF 6.0. EXIF is read in all of
them but BMP, which are those that OpenCV turns.

By hand and not by Pillow, which decodes a PNG to find its orientation, reserves the canvas that a
WebP claims before it tells the size, takes a JPEG that is cut short for whole, and has one limit of
pixels for the whole process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_APP1, _JPEG_SCAN = 0xE1, 0xDA
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_ORIENTATION = 256, 257, 274
_TIFF_SHORT = 3
_EXIF = b"Exif\0\0"


class _Format(NamedTuple):
    """A kind of file: its first bytes, how to find the size, and the TIFF directory of its EXIF."""

    magic: bytes
    size: Callable[[bytes], tuple[int, int]]
    exif: Callable[[bytes], bytes]


def image_size(content: bytes) -> tuple[int, int]:
    """(width, height) that the header of an image file states.

    Raises:
        ValueError: not one of the formats read here, or the header is cut off or malformed; the
            text says which.
    """
    for kind in _FORMATS:
        if content.startswith(kind.magic):
            try:
                return kind.size(content)
            except (struct.error, IndexError) as error:
                raise ValueError("the file is cut off in its header") from error
    raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF image")


def orientation(content: bytes) -> int:
    """EXIF orientation of an image file, 1 to 8; 1 if it states none or a wrong one."""
    for kind in _FORMATS:
        if content.startswith(kind.magic):
            try:
                for tag, type_, value in _tiff_entries(kind.exif(content)):
                    if tag == _TIFF_ORIENTATION and type_ == _TIFF_SHORT:
                        return value if 1 <= value <= 8 else 1
            except (struct.error, IndexError, ValueError):
                return 1
    return 1


def turns(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation >= 5


def _jpeg_size(content: bytes) -> tuple[int, int]:
    size = None
    for marker, start, _ in _jpeg_segments(content):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, start + 1)
            size = (width, height)
        if marker == _JPEG_SCAN:
            # In the compressed data FF is always followed by 00, so this is the end marker.
            if content.rfind(b"\xff\xd9") < start:
                raise ValueError("the JPEG ends before its image data does")
            break
    if size is None:
        raise ValueError("damaged JPEG header")
    return size


def _jpeg_exif(content: bytes) -> bytes:
    for marker, start, stop in _jpeg_segments(content):
        if marker == _JPEG_SCAN:
            break
        if marker == _JPEG_APP1 and content.startswith(_EXIF, start, stop):
            return content[start + len(_EXIF) : stop]
    return b""


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte and end of the body of each segment that has one."""
    position = 2
    while True:
        if content[position] != 0xFF:
            raise ValueError("damaged JPEG header")
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_BARE_MARKERS:
            position += 2
        else:
            (length,) = struct.unpack_from(">H", content, position + 2)
            if length < 2:
                raise ValueError("damaged JPEG header")
            yield marker, position + 4, position + 2 + length
            position += 2 + length


def _png_size(content: bytes) -> tuple[int, int]:
    if content[12:16] != b"IHDR":
        raise ValueError("damaged PNG header")
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _png_exif(content: bytes) -> bytes:
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"eXIf":
            return content[position + 8 : position + 8 + length]
        position += 12 + length


def _bmp_size(content: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", content, 18)
    return abs(width), abs(height)


def _webp_size(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if content[8:12] != b"WEBP":
        raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF image")
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width = int.from_bytes(content[24:27], "little") + 1
        height = int.from_bytes(content[27:30], "little") + 1
        if len(content) < 30:
            raise IndexError
        return width, height
    raise ValueError("damaged WebP header")


def _webp_exif(content: bytes) -> bytes:
    position = 12
    while True:
        kind, length = struct.unpack_from("<4sI", content, position)
        if kind == b"EXIF":
            return content[position + 8 : position + 8 + length].removeprefix(_EXIF)
        position += 8 + length + length % 2


def _tiff_size(content: bytes) -> tuple[int, int]:
    sides = {}
    for tag, _, value in _tiff_entries(content):
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            sides[tag] = value
    if len(sides) < 2:
        raise ValueError("damaged TIFF header")
    return sides[_TIFF_WIDTH], sides[_TIFF_HEIGHT]


def _tiff_entries(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, type and value of each entry of the first directory; values as SHORT or else LONG."""
    if content[:2] not in (b"II", b"MM"):
        raise ValueError("damaged TIFF header")
    order = "<" if content.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, type_ = struct.unpack_from(order + "HH", content, entry)
        form = "H" if type_ == _TIFF_SHORT else "I"
        yield tag, type_, struct.unpack_from(order + form, content, entry + 8)[0]


_FORMATS = (
    _Format(b"\xff\xd8\xff", _jpeg_size, _jpeg_exif),
    _Format(b"\x89PNG\r\n\x1a\n", _png_size, _png_exif),
    _Format(b"BM", _bmp_size, lambda _: b""),
    _Format(b"RIFF", _webp_size, _webp_exif),
    _Format(b"II*\0", _tiff_size, bytes),
    _Format(b"MM\0*", _tiff_size, bytes),
)
