"""The training job: data, weights, loop, evaluation and the run folder, joined."""

from yolov12edge.pipeline.training.job import resume, train
from yolov12edge.pipeline.training.outcome import TrainOutcome
from yolov12edge.pipeline.training.request import TrainRequest

__all__ = ["TrainOutcome", "TrainRequest", "resume", "train"]
