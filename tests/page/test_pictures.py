"""Pictures inside a page: the same pixels, within their limit."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from yolov12edge.page.pictures import jpeg_uri, shrunk


def decoded(uri: str) -> tuple[np.ndarray, int]:
    """RGB pixels and the JPEG's size in bytes."""
    head, _, text = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    content = base64.b64decode(text, validate=True)
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), len(content)


def test_colours_survive() -> None:
    image = np.zeros((96, 160, 3), np.uint8)
    image[:, :80] = (220, 30, 40)
    image[:, 80:] = (20, 60, 200)
    pixels, _ = decoded(jpeg_uri(image, 100_000))
    assert pixels.shape == image.shape
    assert np.abs(pixels[:, [10, 150]].astype(int) - image[:, [10, 150]]).max() < 6


def test_noise_is_made_to_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    pixels, size = decoded(jpeg_uri(noise, 30_000))
    assert size <= 30_000
    assert abs(pixels.shape[1] / pixels.shape[0] - 4 / 3) < 0.03


def test_a_limit_that_cannot_be_met_ends() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert min(decoded(jpeg_uri(noise, 1))[0].shape[:2]) <= 64


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    assert shrunk(image, 200).shape == (50, 200, 3)
    assert shrunk(image, 1000) is image
    assert shrunk(np.zeros((1, 4000, 3), np.uint8), 100).shape == (1, 100, 3)
