"""Annotated pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from yolov12edge.data.draw import class_color, draw_boxes

NAMES = ["cat", "a very long class name"]


def draw(side, boxes, scores=(0.9,), classes=(0,)):
    image = np.full((side, side, 3), 90, np.uint8)
    drawn = draw_boxes(
        image, np.array(boxes, np.float32), np.array(scores), np.array(classes), NAMES
    )
    assert (image == 90).all()
    return drawn


@pytest.mark.parametrize("side", [320, 640, 4000])
def test_the_outline_has_the_class_colour_and_the_inside_is_left_alone(side):
    low, high = side // 4, side // 2
    drawn = draw(side, [[low, low, high, high]])
    middle = (low + high) // 2
    for row, column in ((middle, low), (middle, high), (high, middle)):
        assert tuple(drawn[row, column]) == class_color(0)
    assert (drawn[middle - 5 : middle + 5, middle - 5 : middle + 5] == 90).all()
    assert (drawn[high + side // 10 :] == 90).all()


def test_small_images_are_enlarged():
    drawn = draw(100, [[50, 50, 90, 90]])
    assert drawn.shape == (400, 400, 3)
    assert tuple(drawn[280, 200]) == class_color(0)
    assert tuple(drawn[280, 360]) == class_color(0)


@pytest.mark.parametrize("box", [[0, 0, 30, 30], [310, 0, 320, 10], [0, 300, 10, 320]])
def test_labels_stay_inside_the_image(box):
    drawn = draw(320, [box], classes=[1])
    filled = (drawn == class_color(1)).all(axis=2)
    # The label is wider than its box and must still be whole.
    assert filled.sum() > 1000


def test_the_best_label_is_on_top():
    boxes = [[50, 100, 150, 200], [52, 102, 152, 202]]
    best_last = draw(320, boxes, scores=[0.3, 0.9], classes=[0, 1])
    best_first = draw(320, boxes[::-1], scores=[0.9, 0.3], classes=[1, 0])
    np.testing.assert_array_equal(best_last, best_first)


def test_no_boxes():
    assert (draw(320, np.zeros((0, 4)), [], np.zeros(0, int)) == 90).all()


def test_colours_of_a_class_are_stable_and_differ():
    colours = [class_color(index) for index in range(20)]
    assert colours == [class_color(index) for index in range(20)]
    assert len(set(colours)) == 20
    for first, second in itertools.pairwise(colours):
        assert np.abs(np.subtract(first, second)).sum() > 150
