"""What TensorRT and TensorRT-RTX want: symmetric INT8 at the inputs of convolutions."""

from __future__ import annotations

from yolov12edge.quantize.rules import common
from yolov12edge.quantize.rules.base import Dialect, FloatBudget

TENSORRT = Dialect(
    name="tensorrt",
    symmetric=True,
    keep=(
        common.DECODING,
        common.HEAD_OUTPUTS,
        common.CLASS_BRANCH,
        common.STEM,
        common.FINE_MERGES,
        common.DEPTHWISE,
        common.ATTENTION_PRODUCTS,
    ),
    quantize=(common.CONVOLUTIONS,),
    budget=FloatBudget(
        frozenset({common.CLASS_BRANCH.name, common.STEM.name, common.FINE_MERGES.name}),
        convolutions=14,
        work=0.2,
    ),
)
