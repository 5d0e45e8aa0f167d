"""Training: loss, assigner and the loop around them."""

from yolov12edge.train.loss import DetectionLoss

__all__ = ["DetectionLoss"]
