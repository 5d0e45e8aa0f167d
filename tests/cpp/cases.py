"""Cases of letterboxing, decoding, pictures, JSON and hashes: records for host_tool, and answers.

A record is eight int32 and two float32, little-endian, then its payload. The first number is the
kind, the last of the eight the payload's bytes; the others mean what `record` puts there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.boxes import cxcywh_to_xyxy
from yolov12edge.data import Letterbox, to_batch
from yolov12edge.evaluate.detections import CLASS_OFFSET, non_max_suppression
from yolov12edge.thresholds import Thresholds

RGB, BGR, RGBA, BGRA, NV12, YUYV = range(6)

_TO_RGB = {
    BGR: cv2.COLOR_BGR2RGB,
    RGBA: cv2.COLOR_RGBA2RGB,
    BGRA: cv2.COLOR_BGRA2RGB,
    NV12: cv2.COLOR_YUV2RGB_NV12,
    YUYV: cv2.COLOR_YUV2RGB_YUY2,
}
_DETECTION = np.dtype([("box", "<f4", 4), ("score", "<f4"), ("class", "<i4")])


@dataclass(frozen=True)
class LetterboxCase:
    """A frame as a camera gives it, and the input size to fit it to."""

    frame: NDArray[np.uint8]
    format: int
    width: int
    height: int
    stride: int
    input_width: int
    input_height: int

    def record(self) -> bytes:
        numbers = (1, self.format, self.width, self.height, self.stride)
        sizes = (self.input_width, self.input_height, self.frame.nbytes)
        return struct.pack("<8i2f", *numbers, *sizes, 0, 0) + self.frame.tobytes()

    def check(self, answer: BytesIO) -> None:
        letterbox = Letterbox(self.input_height, self.input_width)
        expected, placement = letterbox(self.rgb())
        gain, left, top = struct.unpack("<3d", answer.read(24))
        assert (gain, left, top) == (placement.gain, placement.left, placement.top), self
        pixels = np.frombuffer(answer.read(expected.size), np.uint8).reshape(expected.shape)
        np.testing.assert_array_equal(pixels, expected, str(self))
        planes = to_batch([expected])[0]
        for name in ("tensor", "twin of the CUDA kernel"):
            found = np.frombuffer(answer.read(4 * planes.size), np.float32).reshape(planes.shape)
            np.testing.assert_array_equal(found, planes, f"{name}: {self}")

    def rgb(self) -> NDArray[np.uint8]:
        """The frame as OpenCV converts it."""
        if self.format == NV12:
            rows = self.frame.reshape(-1, self.stride)[:, : self.width]
            return cv2.cvtColor(np.ascontiguousarray(rows), _TO_RGB[NV12])
        samples = {RGB: 3, BGR: 3, RGBA: 4, BGRA: 4, YUYV: 2}[self.format]
        rows = self.frame.reshape(self.height, self.stride)[:, : self.width * samples]
        pixels = np.ascontiguousarray(rows).reshape(self.height, self.width, samples)
        return pixels if self.format == RGB else cv2.cvtColor(pixels, _TO_RGB[self.format])

    def __str__(self) -> str:
        return (
            f"format {self.format}, {self.width}x{self.height}, stride {self.stride} "
            f"to {self.input_width}x{self.input_height}"
        )


@dataclass(frozen=True)
class DecodeCase:
    """A detector's output and the options to decode it with."""

    output: NDArray[np.float32]
    confidence: float
    iou: float
    max_detections: int
    multi_label: bool
    image: tuple[int, int]

    def record(self) -> bytes:
        rows, anchors = self.output.shape
        numbers = (2, rows - 4, anchors, self.max_detections, self.multi_label)
        sizes = (*self.image, self.output.nbytes)
        header = struct.pack("<8i2f", *numbers, *sizes, self.confidence, self.iou)
        return header + self.output.tobytes()

    def check(self, answer: BytesIO) -> None:
        thresholds = Thresholds(self.confidence, self.iou, self.max_detections, self.multi_label)
        expected = non_max_suppression(self.output, thresholds)
        (count,) = struct.unpack("<i", answer.read(4))
        assert count == len(expected)
        found = np.frombuffer(answer.read(_DETECTION.itemsize * count), _DETECTION)
        np.testing.assert_array_equal(found["box"], expected.boxes)
        np.testing.assert_array_equal(found["score"], expected.scores)
        np.testing.assert_array_equal(found["class"], expected.classes)
        width, height = self.image
        _, placement = Letterbox(640, 640)(np.zeros((height, width, 3), np.uint8))
        boxes = np.frombuffer(answer.read(16 * count), np.float32).reshape(-1, 4)
        np.testing.assert_array_equal(boxes, expected.to_image(placement).boxes)


@dataclass(frozen=True)
class PictureCase:
    """A picture file and its RGB pixels as OpenCV reads them; None where it is to be refused."""

    name: str
    file: bytes
    pixels: NDArray[np.uint8] | None

    def record(self) -> bytes:
        return struct.pack("<8i2f", 3, 0, 0, 0, 0, 0, 0, len(self.file), 0, 0) + self.file

    def check(self, answer: BytesIO) -> None:
        width, height = struct.unpack("<2i", answer.read(8))
        pixels = np.frombuffer(answer.read(3 * width * height), np.uint8)
        if self.pixels is None:
            assert (width, height) == (0, 0), self.name
            return
        assert (height, width) == self.pixels.shape[:2], self.name
        np.testing.assert_array_equal(pixels.reshape(self.pixels.shape), self.pixels, self.name)


@dataclass(frozen=True)
class JsonCase:
    """A text that is JSON or not; Python's reader decides."""

    text: bytes

    def record(self) -> bytes:
        return struct.pack("<8i2f", 4, 0, 0, 0, 0, 0, 0, len(self.text), 0, 0) + self.text

    def check(self, answer: BytesIO) -> None:
        (length,) = struct.unpack("<i", answer.read(4))
        assert answer.read(length) == self.expected(), self.text

    def expected(self) -> bytes:
        """The value as host_tool describes it; objects keep equal names, numbers their digits."""
        try:
            document = json.loads(
                self.text.decode(),
                object_pairs_hook=lambda pairs: ("{", pairs),
                parse_int=lambda digits: ("#", digits),
                parse_float=lambda digits: ("#", digits),
                parse_constant=_refuse,
            )
            return _described(document)
        except ValueError:  # no JSON, or half a pair of surrogates in a string
            return b"refused"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _described(value: Any) -> bytes:
    def text(content: str) -> bytes:
        encoded = content.encode()
        return str(len(encoded)).encode() + b":" + encoded

    if value is None or isinstance(value, bool):
        return {None: b"n", True: b"t", False: b"f"}[value]
    if isinstance(value, str):
        return b"s" + text(value)
    if isinstance(value, list):
        return b"[" + b"".join(map(_described, value)) + b"]"
    mark, content = value
    if mark == "#":
        return b"#" + text(content)
    return b"{" + b"".join(text(name) + _described(member) for name, member in content) + b"}"


def json_cases(rng: np.random.Generator, count: int) -> list[JsonCase]:
    """Random documents, most of them with a few characters changed, and how deep is too deep."""
    alphabet = list('{}[],:"\\/u0123456789abcdefEe+-. \t\n\r\x0b\x1fntrsl\u00e9\U0001f697')
    cases = [JsonCase(b"[" * depth + b"]" * depth) for depth in (1, 64, 65)]
    for index in range(count):
        text = list(json.dumps(_value(rng, 0), ensure_ascii=bool(index % 2)))
        for _ in range(int(rng.integers(0, 4))):
            at = int(rng.integers(0, len(text) + 1))
            text[at : at + int(rng.integers(0, 2))] = [str(rng.choice(alphabet))]
        cases.append(JsonCase("".join(text).encode()))
    return cases


def _value(rng: np.random.Generator, depth: int) -> Any:
    kind = int(rng.integers(0, 9 if depth < 4 else 7))
    if kind < 3:
        return (None, True, False)[kind]
    if kind == 3:
        return int(rng.integers(-(10**12), 10**12))
    if kind == 4:
        return float(rng.normal()) * 10.0 ** int(rng.integers(-30, 30))
    if kind in (5, 6):
        return "".join(rng.choice(list('aZ 09"\\/\n\x01\u00fc\u3042\U0001f697'), 6))
    items = [_value(rng, depth + 1) for _ in range(int(rng.integers(0, 4)))]
    return items if kind == 7 else {f"key {index}": item for index, item in enumerate(items)}


@dataclass(frozen=True)
class HashCase:
    """Bytes to hash, handed over in pieces."""

    data: bytes
    piece: int

    def record(self) -> bytes:
        return struct.pack("<8i2f", 5, self.piece, *[0] * 5, len(self.data), 0, 0) + self.data

    def check(self, answer: BytesIO) -> None:
        assert answer.read(64).decode() == hashlib.sha256(self.data).hexdigest(), len(self.data)


def hash_cases(rng: np.random.Generator) -> list[HashCase]:
    """Every length around two blocks, and a long one."""
    return [
        HashCase(rng.bytes(length), int(rng.integers(1, 200))) for length in (*range(140), 100_003)
    ]


def picture_cases(rng: np.random.Generator) -> list[PictureCase]:
    """PNG, BMP and PPM of every kind that is read, and the same files cut short."""
    cases = []
    for index in range(40):
        height, width = (int(side) for side in rng.integers(1, 60, 2))
        channels = int(rng.choice([1, 3, 4]))
        depth = np.uint16 if index % 4 == 0 else np.uint8
        high = 65536 if depth == np.uint16 else 256
        # Smooth and noisy pictures use different filters and codes.
        noise = 1 if index % 2 else 30
        ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * 3
        image = (ramp + rng.integers(0, noise, (height, width, channels))) % high
        image = np.squeeze(image.astype(depth), -1) if channels == 1 else image.astype(depth)
        suffix = ".png"
        if depth == np.uint8 and channels == 3:
            suffix = (".png", ".bmp", ".ppm")[index % 3]
        level = [cv2.IMWRITE_PNG_COMPRESSION, index % 10] if suffix == ".png" else []
        file = cv2.imencode(suffix, image, level)[1].tobytes()
        name = f"{index}{suffix} {image.shape} {depth.__name__}"
        cases.append(PictureCase(name, file, _rgb(file)))
        cases.append(PictureCase(f"{name}, cut", file[: len(file) // 2], None))
    cases += _png_kinds(rng)
    cases += _damaged_pngs(rng)
    return cases


# Samples a pixel by PNG's numbers of kinds: gray, RGB, palette, gray and alpha, RGBA.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Where Adam7's seven passes start in a block of 8 x 8, and their steps.
_ADAM7 = [
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
]


def _png_kinds(rng: np.random.Generator) -> list[PictureCase]:
    """Every depth of every kind, plain and interlaced."""
    cases = []
    for color in _SAMPLES:
        depths = {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}.get(color, (8, 16))
        for depth, interlaced in itertools.product(depths, (False, True)):
            file = _png(rng, depth, color, interlaced)
            name = f"kind {color}, {depth} bits, interlaced {interlaced}"
            cases.append(PictureCase(name, file, _rgb(file)))
    return cases


def _damaged_pngs(rng: np.random.Generator) -> list[PictureCase]:
    sound = _png(rng, 8, 2, False)
    cases = []
    for name, at in (("header", 20), ("data", sound.index(b"IDAT") + 30), ("sum", len(sound) - 14)):
        file = bytearray(sound)
        file[at] ^= 0x55
        cases.append(PictureCase(f"a wrong byte in the {name}", bytes(file), None))
    few = _png(rng, 8, 3, False, colors=5)
    cases.append(PictureCase("colours outside the palette", few, _rgb(few)))
    cases.append(PictureCase("a bomb", bomb(1 << 20), None))
    return cases


def bomb(size: int) -> bytes:
    """A PNG of one pixel whose data becomes that many bytes."""
    return _png_file(1, 1, 8, 2, False, zlib.compress(bytes(size), 9))


def _png(
    rng: np.random.Generator, depth: int, color: int, interlaced: bool, colors: int | None = None
) -> bytes:
    """A PNG of noise whose rows have filter 0, its palette as long as the depth allows."""
    height, width = (int(side) for side in rng.integers(1, 40, 2))
    samples = rng.integers(0, 1 << depth, (height, width, _SAMPLES[color]), np.uint16)
    passes = _ADAM7 if interlaced else [(0, 0, 1, 1)]
    data = b""
    for left, top, across, down in passes:
        for row in samples[top::down, left::across]:
            if row.size:
                bits = row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1) & 1
                data += b"\0" + np.packbits(bits).tobytes()
    palette = rng.integers(0, 256, 3 * (colors or 1 << depth), np.uint8).tobytes()
    packed = zlib.compress(data)
    return _png_file(width, height, depth, color, interlaced, packed, palette)


def _png_file(
    width: int,
    height: int,
    depth: int,
    color: int,
    interlaced: bool,
    packed: bytes,
    palette: bytes = b"",
) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, depth, color, 0, 0, interlaced)),
        *([(b"PLTE", palette)] if color == 3 else []),
        (b"IDAT", packed),
        (b"IEND", b""),
    ]
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _rgb(file: bytes) -> NDArray[np.uint8]:
    decoded = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


Case = LetterboxCase | DecodeCase | PictureCase | JsonCase | HashCase


def letterbox_cases(rng: np.random.Generator, count: int) -> list[LetterboxCase]:
    return [_letterbox_case(rng, index) for index in range(count)]


def _letterbox_case(rng: np.random.Generator, index: int) -> LetterboxCase:
    form = index % 6
    largest = 900 if index % 50 == 0 else 120
    width, height = (int(side) for side in rng.integers(1, largest, 2))
    if index % 7 == 0:
        input_width = input_height = 64
        width, height = [(128, 128), (128, 96), (1, 50), (50, 1), (1, 1), (64, 64)][index // 7 % 6]
    else:
        input_width, input_height = (32 * int(side) for side in rng.integers(1, 6, 2))
    if form in (NV12, YUYV):
        width += width % 2
    if form == NV12:
        height += height % 2
    samples = {RGB: 3, BGR: 3, RGBA: 4, BGRA: 4, NV12: 1, YUYV: 2}[form]
    stride = width * samples + int(rng.integers(0, 3)) * 2
    rows = height * 3 // 2 if form == NV12 else height
    frame = rng.integers(0, 256, (rows, stride), np.uint8)
    return LetterboxCase(frame, form, width, height, stride, input_width, input_height)


def decode_cases(rng: np.random.Generator, count: int) -> list[DecodeCase]:
    """Random ones; every fifth decides by the last bit of an overlap, one has too many boxes."""
    cases = [
        _edge_case(rng) if index % 5 == 4 else _decode_case(rng, index) for index in range(count)
    ]
    cases[-1] = _crowded_case(rng)
    return cases


def _edge_case(rng: np.random.Generator) -> DecodeCase:
    """Two boxes of one class whose overlap, rounded as NumPy does, is the threshold itself."""
    output = np.zeros((7, 2), np.float32)
    output[:2] = rng.uniform(100, 110, (2, 2))
    output[2:4] = rng.uniform(20, 60, (2, 2))
    output[4 + rng.integers(3)] = (0.9, 0.8)
    boxes = cxcywh_to_xyxy(output[:4].T) + CLASS_OFFSET * output[4:].argmax(axis=0)[:, None]
    boxes = boxes.astype(np.float32)
    sides = np.minimum(*boxes[:, 2:]) - np.maximum(*boxes[:, :2])
    overlap = sides[0] * sides[1]
    first, second = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    iou = overlap / (first + second - overlap)
    return DecodeCase(output, 0.25, float(iou), 300, False, (640, 480))


def _crowded_case(rng: np.random.Generator) -> DecodeCase:
    """30,000 times the same box, and others with lower scores that never get their turn."""
    output = np.zeros((5, 30_050), np.float32)
    output[:4, :30_000] = 50
    output[:2, 30_000:] = rng.uniform(100, 600, (2, 50))
    output[2:4, 30_000:] = 5
    output[4] = np.linspace(0.9, 0.4, 30_050)
    return DecodeCase(output, 0.25, 0.5, 300, bool(rng.integers(2)), (640, 480))


def _decode_case(rng: np.random.Generator, index: int) -> DecodeCase:
    classes = int(rng.integers(1, 90))
    anchors = int(rng.integers(1, 400))
    output = np.empty((4 + classes, anchors), np.float32)
    crowd = 640 if index % 2 else 60
    output[:2] = rng.uniform(0, crowd, (2, anchors))
    output[2:4] = rng.uniform(1, 120, (2, anchors))
    output[4:] = rng.random((classes, anchors)) ** 6
    if index % 3 == 0:
        # Few different values: ties in score, boxes that coincide.
        output = np.round(output * 8) / 8
    if index % 5 == 0:
        odd = rng.choice(np.array([np.nan, np.inf, -np.inf, -1, 0, 3e38], np.float32), 6)
        output.reshape(-1)[rng.integers(0, output.size, 6)] = odd
    return DecodeCase(
        output,
        confidence=float(np.float32(rng.choice([0.001, 0.25, 0.5]))),
        iou=float(np.float32(rng.choice([0.0, 0.3, 0.7, 1.0]))),
        max_detections=int(rng.choice([1, 20, 300])),
        multi_label=bool(rng.integers(2)),
        image=(int(rng.integers(1, 2000)), int(rng.integers(1, 2000))),
    )


def records(cases: Sequence[Case]) -> bytes:
    return b"".join(case.record() for case in cases)


def check_answers(cases: Sequence[Case], answers: bytes) -> None:
    stream = BytesIO(answers)
    for case in cases:
        case.check(stream)
    assert stream.read() == b"", "more answers than cases"
