"""Decoding and NMS, COCO average precision, drift and gates."""

from yolov12edge.evaluate.average_precision import AveragePrecision, average_precision
from yolov12edge.evaluate.detections import Detections, non_max_suppression

__all__ = [
    "AveragePrecision",
    "Detections",
    "average_precision",
    "non_max_suppression",
]
