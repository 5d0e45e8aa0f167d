"""What CPUs with VNNI want: uint8 activations made where a convolution ends, int8 weights."""

from __future__ import annotations

from yolov12edge.quantize.rules import common
from yolov12edge.quantize.rules.base import Dialect, MoveUp

QUANTIZED_MOVES = MoveUp(
    "quantized-moves",
    "a convolution writes uint8 at once, and joins, splits and upsampling move a quarter of bytes",
    frozenset({"Concat", "Split", "Resize"}),
)

CPU = Dialect(
    name="cpu",
    symmetric=False,
    keep=(
        common.DECODING,
        common.HEAD_OUTPUTS,
        common.CLASS_BRANCH,
        common.DEPTHWISE,
        common.ATTENTION_PRODUCTS,
    ),
    quantize=(common.CONVOLUTIONS,),
    move_up=(QUANTIZED_MOVES,),
    equalize=(common.EVEN_SECOND,),
)
