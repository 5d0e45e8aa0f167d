"""Training: loss, assigner and the loop around them."""

from yolov12edge.train.history import EpochRow, Evaluation
from yolov12edge.train.loop import TrainingLoop
from yolov12edge.train.loss import DetectionLoss
from yolov12edge.train.settings import TrainingSettings

__all__ = ["DetectionLoss", "EpochRow", "Evaluation", "TrainingLoop", "TrainingSettings"]
