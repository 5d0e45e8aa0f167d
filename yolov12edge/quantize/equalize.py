"""Even out the channels that convolutions read, without changing what they compute.

One scale for a whole tensor spends most of its steps on the widest channel. Where channels differ
much, each is divided by a factor of its own before it is quantized, and the weights that read it
are multiplied by it (cross-layer equalization: Nagel et al., "Data-free quantization", arXiv
1906.04721, section 4.1; with SiLU in between the division can't move into the layer above, so it
stays a product, which runtimes fold into the quantization that follows).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from yolov12edge.graph.builder import checked
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView, attribute
from yolov12edge.quantize.policy import Edge, QuantizationPlan
from yolov12edge.quantize.rules import Dialect

Array = NDArray[np.float32]

# How much of the unevenness moves into the weights: all of it would make those uneven instead.
# A share for each tensor by its own noise gained nothing over one for all (docs/quantization.md).
SHARE = 0.5
_LEAST_REACH = 1e-3
_SMALLEST = 1e-30


@dataclass(frozen=True)
class _Reader:
    """A convolution that reads channels of a tensor, perhaps behind joins and splits.

    Attributes:
        conv: its name.
        channels: of the tensor.
        at: where the first of them stands in what the convolution reads.
    """

    conv: str
    channels: range
    at: int


def equalize(
    model: onnx.ModelProto, plan: QuantizationPlan, dialect: Dialect, images: Iterable[Array]
) -> onnx.ModelProto:
    """Apply the equalizing rules of a dialect.

    A tensor is evened out where every convolution that reads it in INT8 falls under one of them;
    the image is not, whose 256 steps are those of INT8.

    Args:
        model: float32 graph of this package; not changed.
        plan: what of it becomes INT8.
        dialect: whose `equalize` rules name the convolutions.
        images: (3, H, W) RGB in 0..1; only read if a rule applies.

    Returns:
        A graph with the same outputs up to rounding, with one product more for each tensor.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not dialect.equalize:
        return changed
    view = GraphView(changed)
    named = {
        name
        for name in plan.convolutions
        if any(rule.applies(view, view.by_name[name]) for rule in dialect.equalize)
    }
    readers: dict[str, list[_Reader]] = {}
    for tensor, edges in plan.edges.items():
        if view.producer(tensor) is None:
            continue
        found = list(_readers(view, edges, range(view.shape(tensor)[1])))
        if all(reader is not None and reader.conv in named for reader in found):
            readers[tensor] = [reader for reader in found if reader is not None]
    if not readers:
        return changed
    reaches = _channel_reaches(model, list(readers), images)
    for group in plan.groups:
        evened = [tensor for tensor in group if tensor in readers]
        widest = max((float(reaches[tensor].max()) for tensor in evened), default=0.0)
        for tensor in evened:
            factors = _factors(reaches[tensor], widest)
            for reader in readers[tensor]:
                _scale_weights(view, reader, factors)
            _divide(view, tensor, plan.edges[tensor], factors)
    return checked(changed)


def _readers(view: GraphView, edges: Iterable[Edge], channels: range) -> Iterator[_Reader | None]:
    """Every convolution behind some inputs; None for anything else that reads them."""
    for name, index in edges:
        yield from _behind(view, view.by_name[name], index, channels, 0)


def _behind(
    view: GraphView, node: onnx.NodeProto, index: int, channels: range, at: int
) -> Iterator[_Reader | None]:
    """What reads a tensor's channels, of which the first stands at `at` of a node's input."""
    if node.op_type == "Conv" and index == 0:
        yield _Reader(node.name, channels, at)
        return
    passed: list[tuple[str, range, int]] = []
    if node.op_type == "Resize":
        passed = [(node.output[0], channels, at)]
    elif node.op_type == "Concat" and attribute(node, "axis", 0) == 1:
        before = sum(view.shape(name)[1] for name in node.input[:index])
        passed = [(node.output[0], channels, before + at)]
    elif node.op_type == "Split" and attribute(node, "axis", 0) == 1:
        passed = list(_parts(view, node, channels, at))
    else:
        yield None
    for tensor, some, place in passed:
        uses = view.uses(tensor)
        if not uses or any(value.name == tensor for value in view.graph.output):
            yield None
        for use in uses:
            yield from _behind(view, use.node, use.position, some, place)


def _parts(
    view: GraphView, split: onnx.NodeProto, channels: range, at: int
) -> Iterator[tuple[str, range, int]]:
    """What becomes of channels that a split takes apart."""
    start = 0
    for output in split.output:
        end = start + view.shape(output)[1]
        low, high = max(start, at), min(end, at + len(channels))
        if low < high:
            yield output, channels[low - at : high - at], low - start
        start = end


def _factors(reach: NDArray[np.float64], widest: float) -> Array:
    wide = np.maximum(reach, max(_LEAST_REACH * widest, _SMALLEST))
    factors: Array = ((wide / max(widest, float(wide.max()))) ** SHARE).astype(np.float32)
    return factors


def _scale_weights(view: GraphView, reader: _Reader, factors: Array) -> None:
    """Multiply the weights that read some channels by the factors of these."""
    conv = view.by_name[reader.conv]
    stored = view.initializers[conv.input[1]]
    weights = numpy_helper.to_array(stored).copy()
    group = attribute(conv, "group", 1)
    columns = np.ones(weights.shape[1] * group, np.float32)
    columns[reader.at : reader.at + len(reader.channels)] = factors[reader.channels]
    outputs = weights.shape[0] // group
    weights *= columns.reshape(group, -1).repeat(outputs, axis=0)[:, :, None, None]
    stored.CopyFrom(numpy_helper.from_array(weights, stored.name))


def _divide(view: GraphView, tensor: str, edges: Iterable[Edge], factors: Array) -> None:
    """Let some inputs read a tensor's channels divided by their factors."""
    name = f"{tensor}/evened"
    inverse = (1 / factors).reshape(1, -1, 1, 1)
    view.graph.initializer.append(numpy_helper.from_array(inverse, f"{name}/factors"))
    product = helper.make_node("Mul", [tensor, f"{name}/factors"], [name], name=name)
    nodes = view.graph.node
    readers = {reader for reader, _ in edges}
    first = next(place for place, node in enumerate(nodes) if node.name in readers)
    nodes.insert(first, product)
    for reader, index in edges:
        view.by_name[reader].input[index] = name


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
