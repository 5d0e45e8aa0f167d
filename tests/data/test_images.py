"""Images of every kind, checked against Pillow, and files that are not images."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from yolov12edge.data import find_images, read_image
from yolov12edge.data.headers import image_size
from yolov12edge.errors import DataError


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 84, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def pillow_rgb(content: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))


def encoded(picture: np.ndarray, suffix: str, mode: str = "RGB", **options) -> bytes:
    stream = io.BytesIO()
    formats = {".jpg": "JPEG", ".tif": "TIFF"}
    kind = formats.get(suffix, suffix[1:].upper())
    Image.fromarray(picture).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("suffix", "mode", "tolerance"),
    [
        (".png", "RGB", 0),
        (".png", "L", 0),
        (".png", "1", 0),
        (".png", "P", 0),
        (".bmp", "RGB", 0),
        (".tif", "RGB", 0),
        (".webp", "RGB", 4),
        (".jpg", "RGB", 4),
        (".jpg", "L", 4),
        (".jpg", "CMYK", 6),
    ],
)
def test_kinds_read_like_pillow(tmp_path, picture, suffix, mode, tolerance):
    content = encoded(picture, suffix, mode)
    path = tmp_path / f"ä picture{suffix}"
    path.write_bytes(content)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == picture.shape
    assert np.abs(image.astype(int) - pillow_rgb(content)).max() <= tolerance


def test_alpha_is_dropped(tmp_path, picture):
    rgba = np.dstack([picture, np.zeros(picture.shape[:2], np.uint8)])
    path = tmp_path / "alpha.png"
    Image.fromarray(rgba).save(path)
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_the_upper_eight(tmp_path, suffix):
    samples = np.random.default_rng(1).integers(0, 65536, (20, 30), dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), samples)
    np.testing.assert_array_equal(read_image(path), np.dstack([samples >> 8] * 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, picture, orientation):
    exif = Image.fromarray(picture).getexif()
    exif[0x112] = orientation
    content = encoded(picture, ".jpg", exif=exif, quality=95)
    path = tmp_path / "turned.jpg"
    path.write_bytes(content)
    image, expected = read_image(path), pillow_rgb(content)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@settings(max_examples=15, deadline=None)
@given(width=st.integers(1, 70), height=st.integers(1, 70))
def test_headers_state_the_size(suffix, width, height):
    content = encoded(np.zeros((height, width, 3), np.uint8), suffix)
    assert image_size(content) == (width, height)


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}])
def test_other_webp_headers(options):
    content = encoded(np.zeros((21, 35, 3), np.uint8), ".webp", **options)
    assert image_size(content) == (35, 21)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_cut_files_are_refused_by_name(tmp_path, picture, suffix, share):
    content = encoded(picture, suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: max(1, int(len(content) * share))])
    with pytest.raises(DataError, match=f"cut{suffix}") as caught:
        read_image(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jpg", b""),
        ("text.jpg", b"hello, this is no picture"),
        ("bare.jpg", b"\xff\xd8\xff"),
        ("nothing.bmp", b"BM" + bytes(60)),
        ("riff.webp", b"RIFF\0\0\0\0WAVEfmt " + bytes(20)),
    ],
)
def test_no_image_is_refused_by_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_image(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(DataError, match=path.name):
            read_image(path)


def test_huge_claims_are_refused_before_decoding(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    bomb += chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="60000x60000"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"II*\0", b"RIFF", b"BM"]))
def test_any_bytes_give_a_size_or_a_reason(rest, magic):
    with contextlib.suppress(ValueError):
        assert len(image_size(magic + rest)) == 2


def test_find_images_is_sorted_and_recursive(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_images(tmp_path)] == ["a.png", "b.JPG", "c.webp"]


def test_find_images_refuses_empty_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match="no images"):
        find_images(tmp_path)
    with pytest.raises(DataError, match="no such"):
        find_images(tmp_path / "absent")


@pytest.mark.shared
def test_real_images_read_like_pillow(shared):
    for path in find_images(shared / "data/coco/images/val2017")[:10]:
        expected = pillow_rgb(path.read_bytes())
        image = read_image(path)
        assert image.shape == expected.shape
        assert np.abs(image.astype(int) - expected).mean() < 1
