"""INT8 in torch, with gradients: fake quantization, and graphs replayed through it."""

from yolov12edge.fakequant.replay import Replay
from yolov12edge.fakequant.rounding import fake_quantize

__all__ = ["Replay", "fake_quantize"]
