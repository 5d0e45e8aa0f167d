"""Rounding that is learned, convolution by convolution, instead of to the nearest."""

from yolov12edge.quantize.reconstruction.learn import LearnSettings, UnitResult
from yolov12edge.quantize.reconstruction.reconstruct import Reconstruction, reconstruct
from yolov12edge.quantize.reconstruction.store import from_bytes, to_bytes
from yolov12edge.quantize.reconstruction.units import Unit, split_units
from yolov12edge.quantize.reconstruction.walk import bytes_an_image

__all__ = [
    "LearnSettings",
    "Reconstruction",
    "Unit",
    "UnitResult",
    "bytes_an_image",
    "from_bytes",
    "reconstruct",
    "split_units",
    "to_bytes",
]
