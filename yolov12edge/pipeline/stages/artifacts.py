"""What a stage that converts hands on: an ONNX file and how its precision came about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.run.manifest import CalibrationSection, ProductsSection
from yolov12edge.run.recipe import Precision


@dataclass(frozen=True)
class OnnxArtifact:
    """An ONNX file of a run.

    Attributes:
        path: the file.
        precision: the lowest that it computes in.
        nodes: number of nodes by precision.
        kept: nodes that a lower precision left alone, and why.
        calibration: the images that decided about its precision; None for float32.
        products: INT8 on CPUs; None where they multiply none.
    """

    path: Path
    precision: Precision
    nodes: dict[str, int]
    kept: dict[str, str]
    calibration: CalibrationSection | None = None
    products: ProductsSection | None = None
