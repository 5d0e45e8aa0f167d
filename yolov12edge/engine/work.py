"""How much a kernel has to work out, from the shapes of its tensors.

Where shapes do not say it, or a kernel is of a kind that is not known here, that is an error: a
figure is right or there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from yolov12edge.engine.inspection_layers import WAITING, EngineLayer, EngineTensor

Unit = Literal["tensor cores", "cuda cores"]

# Kernels of TensorRT and TensorRT-RTX by what they are for.
_WAITS = frozenset((*WAITING, "shape_call", "NoOp"))
_CONVOLVES = frozenset(("correlation", "deconv", "runtime_fusion"))
_MOVES = frozenset(("kgen", "runtime_function", "maxpool", "Reformat"))
_LARGEST_KERNEL = 31


class NotTold(Exception):
    """A kernel's tensors do not say how much it works out; the message says what is missing."""


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one kernel.

    Attributes:
        multiply_adds: how many; 0 where a kernel only moves data or goes element by element.
        unit: what does them.
        dtype: the type of what is multiplied, as EngineTensor names it.
        rows, columns, groups: the matrix products they are: `groups` of them, each with a result
            of rows x columns.
    """

    multiply_adds: int = 0
    unit: Unit = "cuda cores"
    dtype: str = "fp32"
    rows: int = 1
    columns: int = 1
    groups: int = 1


NOTHING = Work()


def runs(layer: EngineLayer) -> bool:
    """Whether a kernel stands behind a layer; waiting for another stream is none."""
    return layer.kind not in _WAITS and layer.role != "nothing"


def work_of(layer: EngineLayer) -> Work:
    """What a kernel multiplies and adds.

    A convolution or product with constants does one multiply-add for each of its weights at each
    position of its output, whatever its groups are; fused attention over N tokens of D channels
    two products of N x N x D for each head (and area).

    Raises:
        NotTold: its shapes do not say it.
    """
    tensors = (*layer.inputs, *layer.constants, *layer.outputs)
    if any(side < 0 for tensor in tensors for side in _shape(tensor)):
        raise NotTold("have tensors with an open side: build for one batch size")
    if not layer.inputs or not layer.outputs or any(tensor.bytes is None for tensor in tensors):
        raise NotTold("do not tell their tensors")
    if layer.fused_attention:
        return _attention(layer)
    weights = _weights(layer)
    if layer.kind in _CONVOLVES or (layer.kind == "gemm" and weights is not None):
        return _convolution(layer, weights)
    if layer.kind == "gemm":
        return _product(layer)
    if layer.kind in _MOVES:
        return NOTHING
    raise NotTold(f"are of a kind that is not known ({layer.kind or 'none given'})")


def _attention(layer: EngineLayer) -> Work:
    query, result = _shape(layer.inputs[0]), _shape(layer.outputs[0])
    if len(query) < 3 or sorted(query) != sorted(result):
        raise NotTold("fuse attention of shapes that are not known")
    *heads, tokens, channels = query
    count = math.prod(heads)
    return Work(
        multiply_adds=2 * count * tokens * tokens * channels,
        unit="tensor cores",
        dtype=str(layer.inputs[0].dtype),
        rows=tokens,
        columns=tokens,
        groups=count,
    )


def _product(layer: EngineLayer) -> Work:
    """Of two activations: (..., M, K) x (..., K, N), in whichever order they are stored."""
    result = _shape(layer.outputs[0])
    if len(layer.inputs) < 2 or len(result) < 2:
        raise NotTold("multiply matrices of shapes that are not known")
    *batch, rows, columns = result
    groups = math.prod(batch)
    both = math.prod(_shape(layer.inputs[0])) * math.prod(_shape(layer.inputs[1]))
    depth = math.isqrt(both // (groups * groups * rows * columns))
    if depth * depth * groups * groups * rows * columns != both:
        raise NotTold("multiply matrices of shapes that are not known")
    return Work(
        multiply_adds=groups * rows * columns * depth,
        unit="tensor cores",
        dtype=str(layer.inputs[0].dtype),
        rows=rows,
        columns=columns,
        groups=groups,
    )


def _convolution(layer: EngineLayer, weights: EngineTensor | None) -> Work:
    if weights is None:
        raise NotTold("convolve with weights that are not told")
    if _transposed(layer):
        return _transposed_convolution(layer, weights)
    outputs, inputs_of_a_group = _matrix(weights)[:2]
    written = next(shape for shape in map(_shape, layer.outputs) if shape[1:2] == (outputs,))
    positions = written[0] * math.prod(written[2:])
    channels = _shape(layer.inputs[0])[1]
    groups = max(channels // inputs_of_a_group, 1)
    columns = max(outputs // groups, 1)
    alone = groups > 1 and columns == 1
    return Work(
        multiply_adds=math.prod(_shape(weights)) * positions,
        unit="cuda cores" if alone else "tensor cores",
        dtype=str(weights.dtype),
        rows=positions,
        columns=columns,
        groups=groups,
    )


def _transposed_convolution(layer: EngineLayer, weights: EngineTensor) -> Work:
    """Of one group, weights (in, out, height, width), each used at every position of its input."""
    inputs, *results = _matrix(weights)
    read = next(shape for shape in map(_shape, layer.inputs) if shape[1:2] == (inputs,))
    positions = read[0] * math.prod(read[2:])
    return Work(
        multiply_adds=math.prod(_shape(weights)) * positions,
        unit="tensor cores",
        dtype=str(weights.dtype),
        rows=positions,
        columns=math.prod(results),
    )


def _transposed(layer: EngineLayer) -> bool:
    return layer.kind == "deconv" or layer.name.startswith("__myl_Deco")


def _weights(layer: EngineLayer) -> EngineTensor | None:
    """The constant that a kernel convolves with.

    (out, in of a group, height, width), or of a transposed convolution (in, out, height, width).
    """
    written = {shape[1] for shape in map(_shape, layer.outputs) if len(shape) > 2}
    read = {shape[1] for shape in map(_shape, layer.inputs) if len(shape) > 2}

    def fits(matrix: tuple[int, ...]) -> bool:
        if not matrix or any(side > _LARGEST_KERNEL for side in matrix[2:]):
            return False
        if _transposed(layer):
            return matrix[0] in read and matrix[1] in written
        return matrix[0] in written and any(channels % matrix[1] == 0 for channels in read)

    found = [constant for constant in layer.constants if fits(_matrix(constant))]
    return max(found, key=lambda constant: math.prod(_shape(constant)), default=None)


def _matrix(constant: EngineTensor) -> tuple[int, ...]:
    """Its sides from the outputs on; none where it is no matrix, as a bias of shape (1, C, 1)."""
    shape = _shape(constant)
    if len(shape) == 3 and shape[0] == 1 and shape[2] > 1:
        return shape[1:]
    return shape if len(shape) in (2, 4) else ()


def _shape(tensor: EngineTensor) -> tuple[int, ...]:
    return tensor.shape or ()
