"""Quantization-aware training: a job beside ordinary training, with the same kind of folder."""

from yolov12edge.pipeline.training.qat.job import resume_qat, train_qat
from yolov12edge.pipeline.training.qat.outcome import QatOutcome
from yolov12edge.pipeline.training.qat.request import QatRequest, QatSettings, is_qat

__all__ = ["QatOutcome", "QatRequest", "QatSettings", "is_qat", "resume_qat", "train_qat"]
