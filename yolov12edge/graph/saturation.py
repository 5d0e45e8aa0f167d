"""Where INT8 products can overflow: pairs of them added in 16 bits.

Without VNNI an x86 processor multiplies u8 by s8 with `vpmaddubsw`, which adds the products of two
neighbours in 16 bits and saturates. An activation is at most 255, so nothing saturates, on any
image, where two neighbouring weights of one sign add up to no more than 128; where signs differ,
the products keep each other small.

Neighbours are the input channels 2k and 2k + 1 at one position of the kernel. Where a convolution
reads an odd number of channels, oneDNN fills them up with zeros (OpenVINO), while MLAS goes on with
the next position (ONNX Runtime): both are looked at. Both were seen to saturate where this module
says so, and nowhere else (tests/quantize/test_saturation.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.graph.view import GraphView

ACTIVATION_MAX = 255
HIGHEST, LOWEST = 2**15 - 1, -(2**15)
# Largest sum of two neighbouring weights of one sign: 128 x 255 = 32640.
PAIR_MAX = HIGHEST // ACTIVATION_MAX
_MOVES = ("Concat", "Split", "Resize", "Reshape", "Transpose", "MaxPool")


@dataclass(frozen=True)
class Headroom:
    """How near two products can come to 16 bits, over all activations that there can be.

    Attributes:
        highest, lowest: extreme sums of two products.
        saturating: output channels in which two products can pass 16 bits.
    """

    highest: int
    lowest: int
    saturating: int

    @property
    def used(self) -> float:
        """Share of 16 bits that the worst pair takes; above 1 it saturates."""
        return max(self.highest / HIGHEST, self.lowest / LOWEST)


def measure_headroom(values: NDArray[np.int8]) -> Headroom:
    """The worst that u8 activations can do with weights.

    Runtimes multiply what is stored and take zero points out of the 32-bit sum, so they do not
    matter here.

    Args:
        values: (O, I, ...) int8.
    """
    highest = lowest = 0
    over = np.zeros(len(values), bool)
    for pairs in _neighbours(values):
        high = np.maximum(pairs, 0).sum(axis=2) * ACTIVATION_MAX
        low = np.minimum(pairs, 0).sum(axis=2) * ACTIVATION_MAX
        highest = max(highest, int(high.max(initial=0)))
        lowest = min(lowest, int(low.min(initial=0)))
        over |= ((high > HIGHEST) | (low < LOWEST)).any(axis=1)
    return Headroom(highest, lowest, int(over.sum()))


@dataclass(frozen=True)
class Int8Convolution:
    """A convolution of u8 activations with constant s8 weights.

    Attributes:
        node: the convolution.
        headroom: of its weights.
    """

    node: onnx.NodeProto
    headroom: Headroom


def int8_convolutions(view: GraphView) -> Iterator[Int8Convolution]:
    """The convolutions of a Q/DQ graph that CPUs run as u8 x s8.

    Activations may be int8 too where the result is quantized at once: ONNX Runtime then makes
    them unsigned. OpenVINO halves the weights for int8 activations, and nothing saturates.
    """
    for node in view.nodes:
        if node.op_type != "Conv":
            continue
        data, weights = (_restored(view, name) for name in node.input[:2])
        if data is None or weights is None:
            continue
        values = view.constant(weights.input[0])
        if values is None or values.dtype != np.int8:
            continue
        signed = _is_signed(view, data)
        if not signed or _requantized(view, node):
            yield Int8Convolution(node, measure_headroom(values))


def _restored(view: GraphView, tensor: str) -> onnx.NodeProto | None:
    """The DequantizeLinear that a tensor comes from, through what only moves values."""
    producer = view.producer(tensor)
    while producer is not None and producer.op_type in _MOVES:
        producer = view.producer(producer.input[0])
    return producer if producer is not None and producer.op_type == "DequantizeLinear" else None


def _is_signed(view: GraphView, dequantize: onnx.NodeProto) -> bool:
    """Whether int8 is restored, by the zero point, which is uint8 where there is none."""
    zero = view.constant(dequantize.input[2]) if len(dequantize.input) > 2 else None
    return zero is not None and zero.dtype == np.int8


def _requantized(view: GraphView, node: onnx.NodeProto) -> bool:
    return any(use.node.op_type == "QuantizeLinear" for use in view.uses(node.output[0]))


def _neighbours(values: NDArray[np.int8]) -> Iterator[NDArray[np.int64]]:
    """(O, pairs, 2): who is added to whom, in every way that runtimes pack weights."""
    by_position = np.moveaxis(values.astype(np.int64), 1, -1)
    packed = by_position.reshape(len(values), -1)
    if values.shape[1] % 2:
        filled = np.pad(by_position, [(0, 0)] * (values.ndim - 1) + [(0, 1)])
        yield filled.reshape(len(values), -1, 2)
        packed = np.pad(packed, [(0, 0), (0, packed.shape[1] % 2)])
    yield packed.reshape(len(values), -1, 2)
