"""Letterbox against an independent implementation with OpenCV's own padding."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov12edge.data import Letterbox, Placement, to_batch
from yolov12edge.errors import UsageError

sides = st.integers(1, 300)
inputs = st.integers(1, 10).map(lambda n: 32 * n)


def opencv_letterbox(image: np.ndarray, height: int, width: int, pad: int, scale_up: bool):
    """The published validation's letterbox, written with cv2.copyMakeBorder.

    Returns:
        the picture, and its gain, columns and rows before it.
    """
    h, w = image.shape[:2]
    r = min(height / h, width / w)
    if not scale_up:
        r = min(r, 1.0)
    nh, nw = min(math.ceil(h * r), height), min(math.ceil(w * r), width)
    resized = cv2.resize(image, (nw, nh), interpolation=cv2.INTER_LINEAR)
    dh, dw = (height - nh) / 2, (width - nw) / 2
    top, left = round(dh - 0.1), round(dw - 0.1)
    boxed = cv2.copyMakeBorder(
        resized,
        top,
        round(dh + 0.1),
        left,
        round(dw + 0.1),
        cv2.BORDER_CONSTANT,
        value=(pad, pad, pad),
    )
    return boxed, (r, left, top)


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


@settings(max_examples=150, deadline=None)
@given(sides, sides, inputs, inputs, st.integers(0, 255), st.booleans())
def test_pixels_equal_opencv(h, w, height, width, pad, scale_up):
    image = random_image(h, w)
    boxed, _ = Letterbox(height, width, pad_value=pad, scale_up=scale_up)(image)
    expected, _ = opencv_letterbox(image, height, width, pad, scale_up)
    np.testing.assert_array_equal(boxed, expected)


@settings(max_examples=150, deadline=None)
@given(sides, sides, inputs, inputs, st.booleans(), st.booleans())
def test_boxes_come_back(h, w, height, width, center, scale_up):
    """From where OpenCV's letterbox puts them."""
    image = random_image(h, w)
    _, placement = Letterbox(height, width, center=center, scale_up=scale_up)(image)
    _, (gain, left, top) = opencv_letterbox(image, height, width, 0, scale_up)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (20, 2, 2)), axis=1) * [w, h]
    there = corners * gain + ([left, top] if center else [0, 0])
    boxes, there = corners.reshape(20, 4), there.reshape(20, 4)
    np.testing.assert_allclose(placement.to_image(there), boxes, atol=1e-6 * max(h, w))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("h", "w"), [(480, 640), (640, 480), (50, 30), (333, 127)])
def test_a_box_around_drawn_pixels_comes_back(h, w, center):
    """Found in the letterboxed picture by its colour; a blurred edge costs an input pixel."""
    image = np.zeros((h, w, 3), np.uint8)
    drawn = np.array([w // 5, h // 4, w // 2, h // 2])
    image[drawn[1] : drawn[3], drawn[0] : drawn[2]] = 255
    boxed, placement = Letterbox(256, 320, center=center)(image)
    rows, columns = np.nonzero(boxed[..., 0] > 127)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
    np.testing.assert_allclose(placement.to_image(found), drawn, atol=1 / placement.gain)


def test_known_placement_of_a_coco_picture():
    # 427 x 640 into 640 x 640: 213 rows missing, 106 above and 107 below.
    boxed, placement = Letterbox(640, 640)(np.zeros((427, 640, 3), np.uint8))
    assert placement == Placement(1.0, 0, 106, 640, 427)
    assert (boxed[:106] == 114).all()
    assert (boxed[106:533] == 0).all()
    assert (boxed[533:] == 114).all()


def test_corner_placement_pads_below_and_right_only():
    boxed, placement = Letterbox(64, 64, center=False)(np.zeros((20, 40, 3), np.uint8))
    assert (placement.left, placement.top) == (0, 0)
    assert (boxed[32:] == 114).all()
    assert (boxed[:32] == 0).all()


def test_boxes_are_clipped_to_the_image():
    placement = Placement(0.5, 10, 0, 100, 50)
    clipped = placement.to_image(np.array([[-50.0, -50.0, 500.0, 500.0]]))
    np.testing.assert_array_equal(clipped, [[0, 0, 100, 50]])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_wrong_images_are_refused(image):
    with pytest.raises(UsageError):
        Letterbox(64, 64)(image)


def test_batch_is_planar_and_scaled():
    image = random_image(6, 8)
    batch = to_batch([image, 255 - image])
    assert batch.shape == (2, 3, 6, 8)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch[0, 2, 1, 5] == np.float32(image[1, 5, 2]) / np.float32(255)
    assert batch[1, 0, 5, 0] == np.float32(255 - image[5, 0, 0]) / np.float32(255)
