"""Average precision against pycocotools and faster-coco-eval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluate.referees import (
    as_coco,
    assert_same,
    faster_precision,
    names,
    pycocotools_area,
    pycocotools_precision,
)
from yolov12edge.evaluate import Detections, average_precision
from yolov12edge.evaluate.average_precision import MatchTable


def random_images(seed, images, num_classes, levels=None, crowd=12):
    """Objects, and detections scattered around them; coarse `levels` of scores make ties."""
    rng = np.random.default_rng(seed)
    detections, truth = [], []
    for _ in range(images):
        count = rng.integers(0, crowd)
        corner = rng.integers(0, 200, (count, 2))
        objects = np.concatenate([corner, corner + rng.integers(8, 90, (count, 2))], axis=1)
        kinds = rng.integers(0, num_classes, count)
        repeats = rng.integers(0, 4, count)
        boxes = np.repeat(objects, repeats, axis=0) + rng.integers(-6, 7, (repeats.sum(), 4))
        noise = rng.integers(0, 200, (rng.integers(0, 6), 2))
        boxes = np.concatenate([boxes, np.concatenate([noise, noise + 40], axis=1)])
        found_kinds = np.concatenate(
            [np.repeat(kinds, repeats), rng.integers(0, num_classes, len(noise))]
        )
        scores = rng.random(len(boxes)).astype(np.float32)
        if levels:
            scores = np.ceil(scores * levels) / np.float32(levels)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        ones = np.ones(count, np.float32)
        truth.append(Detections(objects.astype(np.float32), ones, kinds))
        detections.append(Detections(boxes.astype(np.float32), scores, found_kinds))
    return detections, truth


def filled(detections, truth, num_classes, sampled=True):
    table = MatchTable(names(num_classes), sampled)
    for found, objects in zip(detections, truth, strict=True):
        table.add(found, objects)
    return table


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 4), st.sampled_from([None, 3]))
def test_equals_pycocotools(seed, images, num_classes, levels):
    detections, truth = random_images(seed, images, num_classes, levels)
    dataset, results = as_coco(detections, truth, num_classes)
    if results:
        found = average_precision(detections, truth, names(num_classes))
        assert_same(found, pycocotools_precision(dataset, results), num_classes)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 3), st.sampled_from([None, 3]))
def test_whole_area_equals_the_matches_of_pycocotools(seed, images, num_classes, levels):
    detections, truth = random_images(seed, images, num_classes, levels)
    dataset, results = as_coco(detections, truth, num_classes)
    if results:
        table = filled(detections, truth, num_classes, sampled=False)
        found = table.resampled(np.ones((1, images), np.int64))[0].T
        expected = pycocotools_area(dataset, results)
        np.testing.assert_allclose(np.nan_to_num(found, nan=-1), expected, atol=1e-12)


def test_one_missed_object_of_many_costs_its_share():
    boxes = np.arange(200)[:, None] * [20, 0, 20, 0] + [0, 0, 10, 10]
    kinds = np.repeat([0, 1], 100)
    scores = np.linspace(0.9, 0.3, 200).astype(np.float32)
    truth = [Detections(boxes.astype(np.float32), scores, kinds)]
    found = [Detections(truth[0].boxes[:-1], scores[:-1], kinds[:-1])]
    whole = filled(found, truth, 2, sampled=False).average_precision()
    assert whole.map == pytest.approx(1 - 0.5 / 100)
    assert average_precision(found, truth, names(2)).map == pytest.approx(1 - 0.5 / 101)


def test_equals_both_referees_on_many_images():
    detections, truth = random_images(7, 120, 6)
    dataset, results = as_coco(detections, truth, 6)
    found = average_precision(detections, truth, names(6))
    assert_same(found, pycocotools_precision(dataset, results), 6)
    assert_same(found, faster_precision(dataset, results), 6)
    assert 0.1 < found.map < 0.9


def test_only_the_best_hundred_of_a_class_count():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 2000, (150, 2))
    boxes = np.concatenate([corner, corner + 30], axis=1).astype(np.float32)
    kinds = np.zeros(150, np.int64)
    truth = [Detections(boxes, np.ones(150, np.float32), kinds)]
    found = [Detections(boxes, rng.random(150).astype(np.float32), kinds)]
    result = average_precision(found, truth, names(1))
    assert_same(result, pycocotools_precision(*as_coco(found, truth, 1)), 1)
    assert result.map < 0.7


def test_perfect_and_absent_detections():
    _, truth = random_images(3, 5, 2)
    assert average_precision(truth, truth, names(2)).map == 1.0
    nothing = [Detections.empty() for _ in truth]
    assert average_precision(nothing, truth, names(2)).map == 0.0
    without_objects = average_precision(truth, nothing, names(2))
    assert (without_objects.map, without_objects.map50) == (None, None)
    assert without_objects.per_class == {"0": None, "1": None}


@pytest.mark.parametrize("num_classes", [1, 3])
def test_resampling_equals_evaluating_the_drawn_images_again(num_classes):
    detections, truth = random_images(11, 12, num_classes)
    table = filled(detections, truth, num_classes)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 12, (6, 12))
    weights = np.stack([np.bincount(row, minlength=12) for row in drawn])
    fast = table.resampled_map(weights)
    for row, value in zip(drawn, fast, strict=True):
        again = average_precision(
            [detections[i] for i in row], [truth[i] for i in row], names(num_classes)
        )
        assert value == pytest.approx(again.map, abs=1e-12)


def test_resampling_without_objects_is_nan():
    table = MatchTable(names(2))
    table.add(Detections.empty(), Detections.empty())
    assert np.isnan(table.resampled_map(np.ones((3, 1), np.int64))).all()
