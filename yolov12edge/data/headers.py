"""Image sizes from file headers, without decoding: how large a picture claims to be.

Formats: JPEG (ITU T.81), PNG (RFC 2083), BMP, WebP (RFC 9649) and TIFF 6.0.
"""

from __future__ import annotations

import struct

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def image_size(content: bytes) -> tuple[int, int]:
    """(width, height) that the header of an image file states.

    Raises:
        ValueError: not one of the formats read here, or the header is cut off or malformed; the
            text says which.
    """
    for magic, read in (
        (b"\xff\xd8\xff", _jpeg),
        (b"\x89PNG\r\n\x1a\n", _png),
        (b"BM", _bmp),
        (b"RIFF", _webp),
        (b"II*\0", _tiff),
        (b"MM\0*", _tiff),
    ):
        if content.startswith(magic):
            try:
                return read(content)
            except (struct.error, IndexError) as error:
                raise ValueError("the file is cut off in its header") from error
    raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF image")


def _jpeg(content: bytes) -> tuple[int, int]:
    size = None
    position = 2
    while True:
        if content[position] != 0xFF:
            raise ValueError("damaged JPEG header")
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_BARE_MARKERS:
            position += 2
        elif marker == 0xDA:
            break
        else:
            (length,) = struct.unpack_from(">H", content, position + 2)
            if length < 2:
                raise ValueError("damaged JPEG header")
            if marker in _JPEG_FRAMES:
                height, width = struct.unpack_from(">HH", content, position + 5)
                size = (width, height)
            position += 2 + length
    if size is None:
        raise ValueError("damaged JPEG header")
    # Inside the compressed data FF is always followed by 00, so this can only be the end marker.
    if content.rfind(b"\xff\xd9") < position:
        raise ValueError("the JPEG ends before its image data does")
    return size


def _png(content: bytes) -> tuple[int, int]:
    if content[12:16] != b"IHDR":
        raise ValueError("damaged PNG header")
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _bmp(content: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", content, 18)
    return abs(width), abs(height)


def _webp(content: bytes) -> tuple[int, int]:
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


def _tiff(content: bytes) -> tuple[int, int]:
    order = "<" if content.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, directory)
    sides = {}
    for index in range(entries):
        entry = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(order + "HH", content, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            (sides[tag],) = struct.unpack_from(
                order + ("H" if kind == 3 else "I"), content, entry + 8
            )
    if len(sides) < 2:
        raise ValueError("damaged TIFF header")
    return sides[_TIFF_WIDTH], sides[_TIFF_HEIGHT]
