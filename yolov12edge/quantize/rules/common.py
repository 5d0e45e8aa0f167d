"""Rules that hold for every runtime."""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx

from yolov12edge.graph.view import GraphView, attribute
from yolov12edge.quantize.rules.base import Equalize, KeepFloat, QuantizeInputs

STEM_CONVOLUTIONS = 3
FINEST_STRIDE = 8
_DECODE = re.compile(r"\.decode/")
_CLASS_BRANCH = re.compile(r"model\.\d+\.cv3\.\d+\.")
_ATTENTION = re.compile(r"\.attn/(scores|mixed)$")


def _decoding(view: GraphView, node: onnx.NodeProto) -> bool:
    return _DECODE.search(node.name) is not None


def _ends_a_branch(view: GraphView, node: onnx.NodeProto) -> bool:
    """A convolution of the head whose result goes to the decoding as it is."""
    return node.op_type == "Conv" and any(
        use.node.name.endswith(("/flat", "/rows")) for use in view.uses(node.output[0])
    )


def _is_stem(view: GraphView, node: onnx.NodeProto) -> bool:
    """One of the first three convolutions, which follow one another."""
    if node.op_type != "Conv":
        return False
    above: onnx.NodeProto | None = node
    for _ in range(STEM_CONVOLUTIONS):
        if above is None:
            return True
        above = _convolution_above(view, above)
    return above is None


def _convolution_above(view: GraphView, conv: onnx.NodeProto) -> onnx.NodeProto | None:
    """The convolution whose activation this one reads; None where that is the image.

    A convolution that reads anything else counts as its own predecessor: no stem has one.
    """
    above = view.producer(conv.input[0])
    while above is not None and above.op_type in ("Mul", "Sigmoid", "Swish"):
        above = view.producer(above.input[0])
    return above if above is None or above.op_type == "Conv" else conv


def _join_above(view: GraphView, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The concatenation that a convolution reads; None where it reads anything else."""
    above = view.producer(node.input[0]) if node.op_type == "Conv" else None
    return above if above is not None and above.op_type == "Concat" else None


def _is_fine_merge(view: GraphView, node: onnx.NodeProto) -> bool:
    """A 1x1 convolution over a concatenation, on a map of stride 4 or 8."""
    if _join_above(view, node) is None:
        return False
    rows = view.shape(view.graph.input[0].name)[2]
    return rows // view.shape(node.input[0])[2] <= FINEST_STRIDE


def reads_enlarged_merge(view: GraphView, node: onnx.NodeProto) -> bool:
    """A convolution over a concatenation with a map that was enlarged."""
    above = _join_above(view, node)
    if above is None:
        return False
    parts = (view.producer(name) for name in above.input)
    return any(part is not None and part.op_type == "Resize" for part in parts)


def _class_branch(view: GraphView, node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and _CLASS_BRANCH.match(node.name) is not None


def is_attention_product(node: onnx.NodeProto) -> bool:
    """Q x K^T or weights x V."""
    return node.op_type == "MatMul" and _ATTENTION.search(node.name) is not None


def is_depthwise(view: GraphView, node: onnx.NodeProto) -> bool:
    """A convolution of every channel by itself."""
    if node.op_type != "Conv":
        return False
    groups = attribute(node, "group", 1)
    return groups > 1 and groups == view.weight(node.input[1]).shape[0]


def _convolution_input(view: GraphView, node: onnx.NodeProto) -> Sequence[int]:
    return (0,) if node.op_type == "Conv" else ()


def _sum_inputs(view: GraphView, node: onnx.NodeProto) -> Sequence[int]:
    return view.computed_inputs(node) if node.op_type == "Add" else ()


def _product_inputs(view: GraphView, node: onnx.NodeProto) -> Sequence[int]:
    return (0, 1) if is_attention_product(node) else ()


DECODING = KeepFloat(
    "decoding",
    "the box distribution, anchors and score sigmoid decide sub-pixel positions and thresholds",
    "nodes of the box decoding",
    _decoding,
)
HEAD_OUTPUTS = KeepFloat(
    "head-outputs",
    "last convolution of a head branch: its output is the box distribution or the class logit",
    "convolutions whose output goes to the decoding as it is",
    _ends_a_branch,
)
CLASS_BRANCH = KeepFloat(
    "class-branch",
    "depthwise and small 1x1 convolutions, 3% of the arithmetic, that decide every score",
    "convolutions of the head's class branches",
    _class_branch,
)
STEM = KeepFloat(
    "stem",
    "the first three convolutions have few channels and the widest ranges: little work, much loss",
    "the first three convolutions",
    _is_stem,
)
EVEN_CHANNELS = Equalize(
    "even-channels",
    "channels of one scale differ in range: each is divided by a factor that the weights take back",
    "convolutions, where nothing else reads the same tensor in INT8",
    lambda _, node: node.op_type == "Conv",
)
FINE_MERGES = KeepFloat(
    "fine-merges",
    "1x1 over a concatenation at stride 4 or 8: bound by memory, and one scale for all its parts",
    "1x1 convolutions over a concatenation at stride 4 or 8",
    _is_fine_merge,
)
ATTENTION_PRODUCTS = KeepFloat(
    "attention-products",
    "Q x K^T and weights x V run fused with their softmax in float",
    "the two products of attention",
    lambda view, node: is_attention_product(node),
)
DEPTHWISE = KeepFloat(
    "depthwise",
    "a depthwise convolution is bound by memory, and each channel has a range of its own",
    "convolutions of every channel by itself",
    is_depthwise,
)

CONVOLUTIONS = QuantizeInputs(
    "convolutions",
    "input of every convolution; its output stays float so that bias and SiLU fuse into it",
    "convolutions",
    _convolution_input,
)
RESIDUAL_SUMS = QuantizeInputs(
    "residual-sums",
    "both sides of a residual sum, so that the skip stays INT8",
    "sums",
    _sum_inputs,
)
ATTENTION_INPUTS = QuantizeInputs(
    "attention-inputs",
    "both sides of Q x K^T and of weights x V",
    "the two products of attention",
    _product_inputs,
)
