"""Augmentations against pixels: what the eye sees is what the boxes say."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.pictures import LETTERBOX_ONLY
from yolov12edge.data.augment import Augmentation, Instances, Polygons, compose
from yolov12edge.data.augment.affine import random_matrix, transform_instances, worth_keeping
from yolov12edge.data.augment.color import degrade, hsv, hsv_table
from yolov12edge.data.augment.compose import letterboxed
from yolov12edge.data.augment.copy_paste import copy_paste, hidden_share
from yolov12edge.data.augment.flip import flip_lr, flip_ud
from yolov12edge.data.augment.mixup import mixup
from yolov12edge.data.augment.mosaic import mosaic
from yolov12edge.errors import UsageError

SIZE = (96, 128)
CALM = {"hue": 0.0, "saturation": 0.0, "value": 0.0, "degrade": 0.0}


def enclosing_box(mask):
    """Left, top, right, bottom of the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def boxed(*boxes, classes=None, outlines=None):
    polygons = Polygons.of(outlines) if outlines else Polygons.empty()
    kinds = np.arange(len(boxes)) if classes is None else np.array(classes)
    return Instances(np.array(boxes, np.float32).reshape(-1, 4), kinds.astype(np.int64), polygons)


def tile(rng, channel):
    """A black picture with one bright rectangle or diamond, in one channel.

    A diamond has no flat sides, whose cuts at a border would be seen or not by chance.
    """
    height, width = int(rng.integers(60, SIZE[0] + 1)), int(rng.integers(60, SIZE[1] + 1))
    if channel == 3:
        return np.zeros((height, width, 3), np.uint8), Instances.empty()
    left, top = int(rng.integers(width - 30)), int(rng.integers(height - 30))
    right, bottom = int(rng.integers(left + 20, width)), int(rng.integers(top + 20, height))
    if rng.random() < 0.5:
        return drawn((height, width), channel, (left, top, right, bottom), diamond=False)
    side = min(right - left, bottom - top)
    return drawn((height, width), channel, (left, top, left + side, top + side), diamond=True)


def drawn(size, channel, box, diamond):
    """A bright rectangle without an outline, or a diamond with one."""
    left, top, right, bottom = box
    x, y = (left + right) / 2, (top + bottom) / 2
    ring = np.array([(x, top), (right, y), (x, bottom), (left, y)])
    # Distances of pixel centres from the middle; 1 at the edge.
    down = np.abs(np.arange(size[0]) + 0.5 - y) / (bottom - y)
    across = np.abs(np.arange(size[1]) + 0.5 - x) / (right - x)
    distance = np.add.outer(down, across) if diamond else np.maximum.outer(down, across)
    image = np.zeros((*size, 3), np.uint8)
    image[..., channel] = np.clip((1 - distance) * min(right - x, bottom - y) + 0.5, 0, 1) * 255
    return image, boxed(box, classes=[channel], outlines=[[ring]] if diamond else None)


def check_boxes(image, instances, areas):
    """Every object has its box; only those are without one of which a tenth or less is left."""
    for kind, box in zip(instances.classes, instances.boxes, strict=True):
        np.testing.assert_allclose(enclosing_box(image[..., kind] > 128), box, atol=1.8)
    for channel in set(range(3)) - set(instances.classes.tolist()):
        assert (image[..., channel] > 128).sum() <= 0.1 * areas[channel] * 1.5**2 + 40


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), flips=st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1)]))
def test_boxes_follow_the_pixels_through_the_whole_chain(seed, flips):
    rng = np.random.default_rng(seed)
    tiles = [tile(rng, channel) for channel in range(4)]
    # Without rotation the enclosing box of a moved box is exact.
    augmentation = Augmentation(
        **CALM, scale=0.5, flip_lr=flips[0], flip_ud=flips[1], copy_paste=0.0
    )
    partners = iter((1, 2, 3))
    image, instances = compose(
        0, lambda _: next(partners), lambda n: tiles[n], SIZE, augmentation, rng
    )
    assert image.shape == (*SIZE, 3)
    check_boxes(image, instances, [(tiles[n][0] > 128).sum() for n in range(3)])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), channel=st.integers(0, 2), diamond=st.booleans())
def test_outlines_follow_the_pixels_through_rotation_and_shear(seed, channel, diamond):
    rng = np.random.default_rng(seed)
    half_width, half_height = rng.integers(10, 18, 2)
    left, top, right, bottom = 64 - half_width, 48 - half_height, 64 + half_width, 48 + half_height
    image, instances = drawn(SIZE, channel, (left, top, right, bottom), diamond)
    if not diamond:
        ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        instances = boxed((left, top, right, bottom), classes=[channel], outlines=[[ring]])
    augmentation = Augmentation(
        **CALM, mosaic=0.0, degrees=180.0, shear=10.0, scale=0.4, translate=0.05, copy_paste=0.0
    )
    image, moved = compose(0, lambda _: 0, lambda _: (image, instances), SIZE, augmentation, rng)
    assert len(moved) == 1
    check_boxes(image, moved, [0, 0, 0])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_of_cut_outlines_are_those_of_a_fine_drawing(seed):
    rng = np.random.default_rng(seed)
    rings = [
        [rng.uniform(-20, 70, (int(rng.integers(3, 9)), 2)) for _ in range(int(rng.integers(1, 3)))]
        for _ in range(3)
    ]
    window = np.array([4, 6, 44, 40])
    bounds = Polygons.of([*rings[:1], [], *rings[1:]]).bounds(4, window)
    assert np.isnan(bounds[1]).all()
    for box, parts in zip(bounds[[0, 2, 3]], rings, strict=True):
        fine = np.zeros((1000, 1000), np.uint8)
        points = [np.round((part + 20) * 10 * 16).astype(np.int32) for part in parts]
        cv2.fillPoly(fine, points, 1, cv2.LINE_8, 4)
        # A fine pixel more or less moves where a flat edge meets the border; so between the two.
        for margin in (-2, 2):
            left, top, right, bottom = (window + 20) * 10 + [-margin, -margin, margin, margin]
            inside = fine[top:bottom, left:right]
            if inside.any():
                seen = (np.tile([left, top], 2) + enclosing_box(inside)) / 10 - 20
                low, high = seen[:2] - box[:2], box[2:] - seen[2:]
                assert (margin * low < 0.5).all() or (np.isnan(box).all() and margin > 0)
                assert (margin * high < 0.5).all() or (np.isnan(box).all() and margin > 0)
            else:
                assert np.isnan(box).all() or margin < 0


def test_an_outline_around_the_whole_window_fills_it():
    ring = np.array([(-9.0, -9), (99, -9), (99, 99), (-9, 99)])
    bounds = Polygons.of([[ring]]).bounds(1, (10, 20, 30, 40))
    np.testing.assert_array_equal(bounds, [[10, 20, 30, 40]])


def test_polygons_close_up_when_objects_are_dropped():
    rings = [[np.full((3, 2), n, np.float32)] for n in range(4)]
    left = Polygons.of(rings).of_objects(np.array([False, True, False, True]))
    assert left.owners.tolist() == [0, 0, 0, 1, 1, 1]
    assert left.points[:, 0].tolist() == [1, 1, 1, 3, 3, 3]
    both = Instances.joined(
        [
            boxed((0, 0, 1, 1), (0, 0, 2, 2), outlines=rings[:2]),
            boxed((0, 0, 3, 3)),
            boxed((0, 0, 4, 4), outlines=rings[3:]),
        ]
    )
    assert both.polygons.owners.tolist() == [0, 0, 0, 1, 1, 1, 3, 3, 3]
    assert both.polygons.rings.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert both.outlined().tolist() == [True, True, False, True]


def test_mosaic_meets_at_one_point_in_the_middle_half():
    colors = (10, 60, 160, 210)
    tiles = [(np.full((*SIZE, 3), color, np.uint8), Instances.empty()) for color in colors]
    points = []
    for seed in range(40):
        canvas, _ = mosaic(tiles, SIZE, np.random.default_rng(seed))
        assert canvas.shape == (2 * SIZE[0], 2 * SIZE[1], 3)
        x = np.flatnonzero((canvas[..., 0] == 60).any(axis=0))[0]
        y = np.flatnonzero((canvas[..., 0] == 160).any(axis=1))[0]
        around = canvas[y - 1 : y + 1, x - 1 : x + 1, 0].ravel().tolist()
        assert around == list(colors)
        points.append((x, y))
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    assert (low >= [SIZE[1] // 2, SIZE[0] // 2]).all()
    assert (high < [3 * SIZE[1] // 2, 3 * SIZE[0] // 2]).all()
    assert (high - low > [0.8 * SIZE[1], 0.8 * SIZE[0]]).all()
    small = [(np.full((10, 10, 3), 1, np.uint8), Instances.empty())] * 4
    canvas, _ = mosaic(small, SIZE, np.random.default_rng(0))
    assert (canvas == 1).sum() == 3 * 400
    assert (canvas == 114).sum() == canvas.size - 3 * 400


@pytest.mark.parametrize(
    ("before", "after", "outlined", "kept"),
    [
        ((10, 10), (10, 10), False, True),
        ((10, 10), (2, 10), False, False),
        ((10, 10), (10, 2.01), False, True),
        ((1000, 3), (299, 3), False, True),
        ((1000, 3), (301, 3), False, False),
        ((100, 100), (9, 100), False, False),
        ((100, 100), (11, 100), False, True),
        ((100, 100), (9, 100), True, True),
        ((300, 300), (3, 290), True, False),
    ],
)
def test_rules_of_keeping(before, after, outlined, kept):
    arguments = (np.array([before], float), np.array([after], float), np.array([outlined]))
    assert worth_keeping(*arguments).tolist() == [kept]


def test_keeping_compares_areas_at_the_new_scale():
    matrix, size = np.array([[0.5, 0, -4.0], [0, 0.5, 0]]), (50, 50)
    # 20 px wide, 10 after scaling, 1.5 of them visible: under a fifth, but only 1.5 px.
    boxes = boxed((0, 0, 20, 20), (5, 0, 25, 20), (0, 0, 11, 20), (40, 40, 60, 60))
    moved = transform_instances(boxes, matrix, 0.5, (100, 100), size)
    assert moved.classes.tolist() == [0, 1, 3]
    np.testing.assert_allclose(moved.boxes[0], [0, 0, 6, 10])


def test_the_matrix_is_the_published_one():
    augmentation = Augmentation(scale=0.5, translate=0.1)
    scales, centres = [], []
    for seed in range(300):
        matrix, scale = random_matrix(
            (640, 640), (320, 320), augmentation, np.random.default_rng(seed)
        )
        np.testing.assert_allclose(matrix[:, :2], scale * np.eye(2))
        scales.append(scale)
        centres.append(matrix[:, :2] @ [320, 320] + matrix[:, 2])
    for values, low, high in ((scales, 0.5, 1.5), (np.ravel(centres), 0.4 * 320, 0.6 * 320)):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high


def test_no_augmentation_is_the_letterbox():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 128, 3), dtype=np.uint8)
    picture, instances = compose(
        0, lambda _: 0, lambda _: (image, boxed((8, 4, 40, 20))), SIZE, LETTERBOX_ONLY, rng
    )
    expected = np.full((*SIZE, 3), 114, np.uint8)
    expected[24:72] = image
    np.testing.assert_array_equal(picture, expected)
    np.testing.assert_array_equal(instances.boxes, [[8, 28, 40, 44]])


def test_flips_are_exact_and_their_own_inverse():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    ring = np.array([(1.0, 2), (9, 2), (9, 14)])
    instances = boxed((1, 2, 9, 14), outlines=[[ring]])
    for flip, expected, box in (
        (flip_lr, image[:, ::-1], [41, 2, 49, 14]),
        (flip_ud, image[::-1], [1, 16, 9, 28]),
    ):
        once = flip(image, instances)
        np.testing.assert_array_equal(once[0], expected)
        np.testing.assert_array_equal(once[1].boxes, [box])
        again = flip(*once)
        np.testing.assert_array_equal(again[0], image)
        np.testing.assert_array_equal(again[1].polygons.points, ring)


def test_hsv_is_the_plain_formula():
    """One pixel at a time, with the standard library's conversion."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    augmentation = Augmentation(hue=0.1, saturation=0.7, value=0.4)
    found = hsv(image, augmentation, np.random.default_rng(9))
    factors = 1 + np.random.default_rng(9).uniform(-1, 1, 3) * [0.1, 0.7, 0.4]
    for ours, pixel in zip(found.reshape(-1, 3), image.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        if min(hue, 1 - hue) < 0.01:
            continue  # Both ends are red, but a factor moves them differently.
        expected = colorsys.hsv_to_rgb(
            hue * factors[0] % 1, min(saturation * factors[1], 1), min(value * factors[2], 1)
        )
        # 8-bit hue has steps of two degrees.
        np.testing.assert_allclose(ours, np.array(expected) * 255, atol=9)


def test_hsv_tables_wrap_hue_and_cap_the_rest():
    table = hsv_table(np.array([1.5, 2.0, 0.5]))[:, 0]
    for level in range(180):
        assert table[level].tolist() == [int(level * 1.5 % 180), min(2 * level, 255), level // 2]


def test_no_gain_leaves_colours_alone():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    augmentation = LETTERBOX_ONLY
    assert hsv(image, augmentation, np.random.default_rng(0)) is image
    assert degrade(image, 0.0, np.random.default_rng(0)) is image


def test_degrading_keeps_the_form_and_leaves_its_input_alone():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    before = image.copy()
    for seed in range(5):
        degraded = degrade(image, 1.0, np.random.default_rng(seed))
        assert (degraded.shape, degraded.dtype) == (image.shape, np.uint8)
        assert not np.array_equal(degraded, image)
    np.testing.assert_array_equal(image, before)


def test_mixup_blends_and_keeps_all_objects():
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 200, np.uint8)
    shares = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        image, instances = mixup((white, boxed((0, 0, 1, 1))), (black, boxed((1, 1, 3, 3))), rng)
        assert len(instances) == 2
        assert (image == image[0, 0]).all()
        shares.append(image[0, 0, 0] / 200)
    # Beta(32, 32): mean 1/2, standard deviation 1 / (2 sqrt(65)).
    assert abs(np.mean(shares) - 0.5) < 0.02
    assert abs(np.std(shares) - 0.5 / np.sqrt(65)) < 0.01


def square(left, top, side):
    return np.array(
        [(left, top), (left + side, top), (left + side, top + side), (left, top + side)],
        dtype=float,
    )


def test_copy_paste_follows_its_rule():
    image = np.zeros((60, 200, 3), np.uint8)
    boxes, outlines = [], []
    # 0 to 2 lie apart, 3 has a copy that hides itself, 4 has no outline.
    for number, (left, top) in enumerate([(5, 5), (40, 30), (70, 5), (92, 30), (120, 40)]):
        image[top : top + 15, left : left + 15] = 50 * (number + 1)
        boxes.append((left, top, left + 15, top + 15))
        outlines.append([square(left, top, 15)] if number < 4 else [])
    instances = boxed(*boxes, outlines=outlines)
    for share, count in ((0.0, 0), (0.1, 0), (0.34, 1), (0.67, 2), (1.0, 3)):
        result, found = copy_paste(image, instances, share)
        assert len(found) == 5 + count
        assert set(found.classes[5:].tolist()) <= {0, 1, 2}
        for kind, box in zip(found.classes[5:], found.boxes[5:], strict=True):
            left, top, right, bottom = box.astype(int)
            assert left == 200 - boxes[kind][2]
            assert top == boxes[kind][1]
            assert (result[top:bottom, left:right] == 50 * (kind + 1)).all()
            assert found.polygons.bounds(len(found), (0, 0, 200, 60))[5:].tolist()
    assert image.max() == 250
    assert (image[5:20, 180:195] == 0).all()


def test_copies_that_hide_least_come_first():
    image = np.zeros((60, 200, 3), np.uint8)
    # The copy of the first covers a fifth of the third, that of the second nothing.
    boxes = [(20, 0, 40, 20), (60, 40, 70, 50), (176, 0, 196, 20)]
    instances = boxed(*boxes, outlines=[[square(20, 0, 20)], [square(60, 40, 10)], []])
    _, found = copy_paste(image, instances, 0.5)
    assert found.classes.tolist() == [0, 1, 2, 1]


def test_hidden_share_is_relative_to_what_is_covered():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 20, 10]], np.float32)
    np.testing.assert_allclose(hidden_share(boxes[:1], boxes), [[1.0, 0.5]])


def test_pasted_pixels_are_those_inside_the_outline():
    image = np.zeros((40, 100, 3), np.uint8)
    triangle = np.array([(10.0, 5), (40, 5), (10, 35)])
    cv2.fillPoly(image, [np.round(triangle - 0.5).astype(np.int32)], (200, 0, 0))
    result, _ = copy_paste(image, boxed((10, 5, 40, 35), outlines=[[triangle]]), 1.0)
    expected = np.maximum(image, image[:, ::-1])
    assert (np.abs(result.astype(int) - expected).max(axis=2) > 0).sum() <= 60


def test_published_strengths():
    assert [Augmentation.published(s).scale for s in "nsmlx"] == [0.5, 0.9, 0.9, 0.9, 0.9]
    assert [Augmentation.published(s).mixup for s in "nsmlx"] == [0.0, 0.05, 0.15, 0.15, 0.2]
    assert [Augmentation.published(s).copy_paste for s in "nsmlx"] == [0.1, 0.15, 0.4, 0.5, 0.6]
    common = Augmentation.published("x")
    assert (common.hue, common.saturation, common.value) == (0.015, 0.7, 0.4)
    assert (common.translate, common.flip_lr, common.mosaic) == (0.1, 0.5, 1.0)
    assert (common.degrees, common.shear, common.flip_ud) == (0, 0, 0)
    last = common.without_mosaic()
    assert (last.mosaic, last.mixup, last.copy_paste, last.scale) == (0, 0, 0, 0.9)
    with pytest.raises(UsageError, match="no scale"):
        Augmentation.published("q")


def test_mixup_adds_a_second_mosaic():
    loaded = []

    def load(number):
        loaded.append(number)
        return np.zeros((*SIZE, 3), np.uint8), boxed((10, 10, 60, 60))

    augmentation = Augmentation(mixup=1.0, mosaic=1.0)
    compose(0, lambda _: 7, load, SIZE, augmentation, np.random.default_rng(0))
    assert loaded == [0, *[7] * 7]


def test_letterbox_shifts_boxes():
    image, instances = letterboxed(np.zeros((96, 64, 3), np.uint8), boxed((0, 0, 4, 4)), SIZE)
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(instances.boxes, [[32, 0, 36, 4]])
