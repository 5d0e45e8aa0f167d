"""The whole way from image file to average precision, on detectors that others made."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluate.referees import as_coco, assert_same, pycocotools_precision
from yolov12edge.boxes import cxcywh_to_xyxy
from yolov12edge.data import Letterbox, load_dataset, read_image
from yolov12edge.evaluate import (
    COUNTED,
    SHOWN,
    Detections,
    average_precision,
    detect,
    non_max_suppression,
)
from yolov12edge.runtime import open_artifact, open_runner

pytestmark = pytest.mark.shared


@pytest.mark.parametrize("source", ["official_v1", "official_turbo", "ultralytics"])
def test_recorded_detections(shared, source):
    images = np.load(shared / "reference/official_v1_n_io_640x640.npz")["input_u8"]
    runner = open_runner(shared / f"reference/{source}_n_stripped.pt", imgsz=(640, 640))
    (decoded,) = runner(images.astype(np.float32) / 255)
    recorded = np.load(shared / f"reference/{source}_n_nms_640x640.npz")
    for key, settings in (
        ("val_conf0001_iou07_multilabel", COUNTED),
        ("predict_conf025_iou07", SHOWN),
    ):
        found, expected = non_max_suppression(decoded, settings), recorded[key]
        np.testing.assert_array_equal(found.classes, expected[:, 5])
        np.testing.assert_allclose(found.boxes, expected[:, :4], atol=2e-3)
        np.testing.assert_allclose(found.scores, expected[:, 4], atol=1e-5)


def test_average_precision_of_a_trained_detector(shared):
    """The peer's figures under this protocol: mAP50-95 0.5950, mAP50 0.8800."""
    artifact = open_artifact(shared / "weights/bccd_yolo12n.pt")
    assert artifact.letterbox == Letterbox(320, 320)
    assert artifact.names == ("RBC", "WBC", "Platelets")
    dataset = load_dataset(shared / "data/bccd/data.yaml", "val")
    detections, truth = [], []
    for path, labels in zip(dataset.images, dataset.labels, strict=True):
        image = read_image(path)
        detections.append(detect(artifact, image, COUNTED))
        size = np.array([image.shape[1], image.shape[0]] * 2)
        boxes = cxcywh_to_xyxy(labels[:, 1:] * size).astype(np.float32)
        ones = np.ones(len(labels), np.float32)
        truth.append(Detections(boxes, ones, labels[:, 0].astype(int)))
    result = average_precision(detections, truth, dataset.names)
    assert result.map == pytest.approx(0.5950, abs=0.0005)
    assert result.map50 == pytest.approx(0.8800, abs=0.0005)
    by_index = average_precision(detections, truth, ["0", "1", "2"])
    assert_same(by_index, pycocotools_precision(*as_coco(detections, truth, 3)), 3)
