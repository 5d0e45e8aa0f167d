"""Decoding and NMS, COCO average precision, drift and gates."""

from yolov12edge.evaluate.average_precision import AveragePrecision, average_precision
from yolov12edge.evaluate.detections import Detections, detect, non_max_suppression
from yolov12edge.evaluate.drift import Candidate, measure_drift, measure_drifts
from yolov12edge.evaluate.render import render_drift
from yolov12edge.evaluate.report import DriftReport, Gate
from yolov12edge.thresholds import COUNTED, SHOWN, Thresholds

__all__ = [
    "COUNTED",
    "SHOWN",
    "AveragePrecision",
    "Candidate",
    "Detections",
    "DriftReport",
    "Gate",
    "Thresholds",
    "average_precision",
    "detect",
    "measure_drift",
    "measure_drifts",
    "non_max_suppression",
    "render_drift",
]
