"""Lower precision, written into the ONNX graph."""

from yolov12edge.quantize.fp16 import Fp16Conversion, convert_to_fp16

__all__ = ["Fp16Conversion", "convert_to_fp16"]
