"""Quantization-aware training: a float graph that computes what its INT8 file would."""

from yolov12edge.quantize.qat.student import QatRates, Student

__all__ = ["QatRates", "Student"]
