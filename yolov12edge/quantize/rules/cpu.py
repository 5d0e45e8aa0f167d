"""What CPUs want: uint8 activations made where a convolution ends, int8 weights.

Without VNNI the weights must not overflow 16 bits; what is made for machines known to have it may
use all of eight bits.
"""

from __future__ import annotations

from dataclasses import replace

from yolov12edge.quantize.limits import limit_bits, limit_pairs
from yolov12edge.quantize.rules import common
from yolov12edge.quantize.rules.base import Dialect, FloatBudget, LimitWeights, MoveUp

QUANTIZED_MOVES = MoveUp(
    "quantized-moves",
    "a convolution writes uint8 at once, and joins, splits and upsampling move a quarter of bytes",
    frozenset({"Concat", "Split", "Resize"}),
)
NO_SATURATION = LimitWeights(
    "no-saturation",
    "without VNNI two neighbouring products are added in 16 bits: their weights must not pass 128",
    "convolutions",
    limit_pairs,
)
SEVEN_BITS = LimitWeights(
    "seven-bits",
    "without VNNI two products are added in 16 bits: no weight may pass 64",
    "convolutions",
    limit_bits,
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
    equalize=(common.EVEN_CHANNELS,),
    weights=NO_SATURATION,
    # With SSE4.2 alone OpenVINO compiles an enlarged merge in INT8 only ("bad combination").
    budget=FloatBudget(
        frozenset({common.CLASS_BRANCH.name}),
        convolutions=6,
        work=0.12,
        never=common.reads_enlarged_merge,
    ),
)
CPU_VNNI = replace(CPU, name="cpu-vnni", weights=None)
