"""Even out the channels that a convolution reads, without changing what it computes.

One scale for a whole tensor spends most of its steps on the widest channel. Where channels differ
much, each is divided by a factor of its own in front of the convolution, and the weights that read
it are multiplied by it (cross-layer equalization: Nagel et al., "Data-free quantization", arXiv
1906.04721, section 4.1; with SiLU in between the division can't move into the layer above, so it
stays a product, which runtimes fold into the quantization that follows).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from yolov12edge.graph.builder import checked
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView, attribute
from yolov12edge.quantize.rules import Dialect

Array = NDArray[np.float32]

# How much of the unevenness moves into the weights: all of it would make those uneven instead.
SHARE = 0.75
_LEAST_REACH = 1e-3


def equalize(model: onnx.ModelProto, dialect: Dialect, images: Iterable[Array]) -> onnx.ModelProto:
    """Apply the equalizing rules of a dialect.

    Args:
        model: float32 graph of this package; not changed.
        dialect: whose `equalize` rules name the convolutions.
        images: (3, H, W) RGB in 0..1; only read if a rule applies.

    Returns:
        A graph with the same outputs up to rounding, with one product more for each convolution.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    view = GraphView(changed)
    chosen = [
        node
        for node in changed.graph.node
        if node.op_type == "Conv" and any(rule.applies(view, node) for rule in dialect.equalize)
    ]
    if not chosen:
        return changed
    reaches = _channel_reaches(model, [conv.input[0] for conv in chosen], images)
    for conv in chosen:
        _even(view, conv, reaches[conv.input[0]])
    return checked(changed)


def _even(view: GraphView, conv: onnx.NodeProto, reach: NDArray[np.float64]) -> None:
    wide = np.maximum(reach, _LEAST_REACH * reach.max())
    factors = ((wide / wide.max()) ** SHARE).astype(np.float32)
    name, source = f"{conv.name}/evened", conv.input[0]
    weights = view.initializers[conv.input[1]]
    weights.CopyFrom(
        numpy_helper.from_array(
            numpy_helper.to_array(weights) * _per_input(conv, factors, weights), weights.name
        )
    )
    inverse = (1 / factors).astype(np.float32).reshape(1, -1, 1, 1)
    view.graph.initializer.append(numpy_helper.from_array(inverse, f"{name}/factors"))
    product = helper.make_node("Mul", [source, f"{name}/factors"], [name], name=name)
    nodes = view.graph.node
    nodes.insert(list(nodes).index(conv), product)
    conv.input[0] = name


def _per_input(conv: onnx.NodeProto, factors: Array, weights: onnx.TensorProto) -> Array:
    """(O or 1, I / group, 1, 1): the factor of the channel that each weight reads."""
    group = attribute(conv, "group", 1)
    outputs = weights.dims[0] // group
    return factors.reshape(group, -1).repeat(outputs, axis=0)[:, :, None, None]


def _channel_reaches(
    model: onnx.ModelProto, tensors: list[str], images: Iterable[Array]
) -> dict[str, NDArray[np.float64]]:
    """(C,) largest magnitude of every channel over the images."""
    probe = Probe(model, tensors)
    reaches: dict[str, NDArray[np.float64]] = {}
    for image in images:
        for name, values in probe(image).items():
            found = np.abs(values).max(axis=(0, 2, 3)).astype(np.float64)
            reaches[name] = np.maximum(reaches.get(name, 0), found)
    return reaches
