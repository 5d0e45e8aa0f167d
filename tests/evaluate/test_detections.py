"""NMS against the recorded results of the foreign implementations and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov12edge.boxes import pairwise_iou
from yolov12edge.data import Placement
from yolov12edge.evaluate import COUNTED, SHOWN, Detections, Thresholds, non_max_suppression


def plain_nms(decoded, confidence, iou, limit, multi_label):
    """The definition, class by class, one pair at a time, in float64."""
    found = []
    for anchor in range(decoded.shape[1]):
        scores = decoded[4:, anchor]
        kinds = range(len(scores)) if multi_label else [int(scores.argmax())]
        cx, cy, w, h = decoded[:4, anchor].astype(float)
        box = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        found += [(float(scores[kind]), kind, box) for kind in kinds if scores[kind] > confidence]
    found.sort(key=lambda entry: -entry[0])
    kept = []
    for score, kind, box in found:
        rivals = np.array([other for _, same, other in kept if same == kind]).reshape(-1, 4)
        if len(kept) < limit and not (pairwise_iou(np.array([box]), rivals) > iou).any():
            kept.append((score, kind, box))
    return kept


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(0, 60),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([3, 300]),
)
def test_equals_the_definition(seed, anchors, num_classes, multi_label, limit):
    rng = np.random.default_rng(seed)
    # Whole and half pixels are exact in float32, also after the class offset.
    centre = rng.integers(20, 80, (2, anchors))
    size = 2 * rng.integers(4, 20, (2, anchors))
    scores = rng.permuted(np.linspace(0, 1, anchors * num_classes)).reshape(num_classes, anchors)
    decoded = np.concatenate([centre, size, scores]).astype(np.float32)
    expected = plain_nms(decoded, 0.3, 0.6, limit, multi_label)
    found = non_max_suppression(decoded, Thresholds(0.3, 0.6, limit, multi_label))
    assert found.classes.tolist() == [kind for _, kind, _ in expected]
    np.testing.assert_allclose(found.scores, [score for score, _, _ in expected], rtol=1e-6)
    np.testing.assert_array_equal(
        found.boxes, np.array([box for *_, box in expected]).reshape(-1, 4)
    )


def test_defaults_are_those_of_prediction():
    """Above 0.25, best class only, IoU above 0.7 suppressed: 0.6 stays, 0.8 goes."""
    boxes = [[10, 10, 20, 20], [10, 15, 20, 20], [50, 9, 20, 18], [50, 11, 20, 18], [90, 9, 8, 8]]
    scores = [[0.9, 0.75], [0.8, 0.1], [0.7, 0.1], [0.6, 0.1], [0.25, 0.25]]
    decoded = np.concatenate([np.array(boxes).T, np.array(scores).T]).astype(np.float32)
    found = non_max_suppression(decoded)
    assert found.scores.tolist() == np.array([0.9, 0.8, 0.7], np.float32).tolist()
    found = non_max_suppression(decoded, Thresholds(multi_label=True))
    assert found.classes.tolist() == [0, 0, 1, 0]


def test_nothing_above_the_threshold():
    found = non_max_suppression(np.zeros((6, 10), np.float32))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_values_that_are_not_finite_are_passed_over():
    decoded = np.array(
        [[10, np.nan, 50, 90], [10] * 4, [8] * 4, [8, 8, np.inf, 8], [0.9, 0.8, 0.7, np.nan]],
        np.float32,
    )
    for multi_label in (False, True):
        found = non_max_suppression(decoded, Thresholds(multi_label=multi_label))
        assert found.boxes.tolist() == [[6, 6, 14, 14]]


def test_overlapping_boxes_without_area_are_kept():
    decoded = np.array([[10, 10], [10, 10], [0, 0], [0, 0], [0.9, 0.8]], np.float32)
    assert len(non_max_suppression(decoded)) == 2


def test_detections_filter_and_move():
    found = Detections(
        np.array([[0, 0, 10, 10], [5, 5, 20, 20]], np.float32),
        np.array([0.9, 0.25], np.float32),
        np.array([1, 0]),
    )
    assert found.above(0.25).classes.tolist() == [1]
    moved = found.to_image(Placement(0.5, 0, 2, 30, 100))
    assert moved.boxes.tolist() == [[0, 0, 20, 16], [10, 6, 30, 36]]
    assert moved.boxes.dtype == np.float32


def test_cut_to_an_image():
    boxes = np.array([[-3, -2, 10, 12], [5, 5, 31.5, 200]], np.float32)
    cut = Detections(boxes, np.ones(2, np.float32), np.array([1, 0])).clipped(30, 100)
    assert cut.boxes.tolist() == [[0, 0, 10, 12], [5, 5, 30, 100]]
    assert cut.boxes.dtype == np.float32
    assert cut.classes.tolist() == [1, 0]


SETTINGS = {
    "val_conf0001_iou07_multilabel": COUNTED,
    "predict_conf025_iou07": SHOWN,
}


@pytest.mark.shared
@pytest.mark.parametrize("key", SETTINGS)
def test_recorded_results_of_the_foreign_implementation(shared, key):
    decoded = np.load(shared / "reference/official_v1_n_io_640x640.npz")["decoded"][0]
    expected = np.load(shared / "reference/official_v1_n_nms_640x640.npz")[key]
    found = non_max_suppression(decoded, SETTINGS[key])
    np.testing.assert_array_equal(found.boxes, expected[:, :4])
    np.testing.assert_array_equal(found.scores, expected[:, 4])
    np.testing.assert_array_equal(found.classes, expected[:, 5])
