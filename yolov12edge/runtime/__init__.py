"""One Runner interface over torch, ONNX Runtime, OpenVINO, TensorRT and TensorRT-RTX."""

from yolov12edge.runtime.open import RUNTIMES, Artifact, open_artifact, open_runner
from yolov12edge.runtime.runner import Runner

__all__ = ["RUNTIMES", "Artifact", "Runner", "open_artifact", "open_runner"]
