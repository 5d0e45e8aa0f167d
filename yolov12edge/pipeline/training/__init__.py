"""The training job: data, weights, loop, evaluation and the run folder, joined."""

from yolov12edge.pipeline.training.job import resume, train
from yolov12edge.pipeline.training.outcome import TrainOutcome
from yolov12edge.pipeline.training.qat import QatOutcome, QatRequest, train_qat
from yolov12edge.pipeline.training.request import TrainRequest

__all__ = [
    "QatOutcome",
    "QatRequest",
    "TrainOutcome",
    "TrainRequest",
    "resume",
    "train",
    "train_qat",
]
