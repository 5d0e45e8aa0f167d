"""Even out the channels that convolutions read, without changing what they compute.

One scale for a whole tensor spends most of its steps on the widest channel. Where channels differ
much, each is multiplied by a factor of its own before it is quantized, and the weights that read it
are divided by it (cross-layer equalization: Nagel et al., "Data-free quantization", arXiv
1906.04721, section 4.1; with SiLU in between the factor can't move into the layer above, so it
stays a product, which runtimes fold into the quantization that follows).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from yolov12edge.errors import ExportError
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
_SUFFIX = "/evened"


@dataclass(frozen=True)
class _Reader:
    """A convolution that reads channels of a tensor, perhaps behind joins and splits.

    Attributes:
        conv: its name.
        channels: of the tensor.
        at: where the first of them stands in what the convolution reads.
        through: tensors between them, which joins, splits and upsampling yield.
    """

    conv: str
    channels: range
    at: int
    through: tuple[str, ...]


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
    view = GraphView(model)
    named = {
        name
        for name in plan.convolutions
        if any(rule.applies(view, view.by_name[name]) for rule in dialect.equalize)
    }
    readers = {tensor: _readers(view, plan, tensor) for tensor in plan.edges} if named else {}
    chosen = [
        tensor
        for tensor, found in readers.items()
        if found and all(reader.conv in named for reader in found)
    ]
    return even_out(model, plan, _choose_gains(model, plan, chosen, images) if chosen else {})


def even_out(
    model: onnx.ModelProto, plan: QuantizationPlan, gains: Mapping[str, Array]
) -> onnx.ModelProto:
    """Multiply channels in front of their quantization, and divide the weights that read them.

    Args:
        model: float32 graph of this package; not changed.
        plan: what of it becomes INT8.
        gains: (C,) above 0 for some of the tensors of the plan.

    Raises:
        ExportError: something else would read the changed tensor, or it has other channels.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not gains:
        return changed
    view = GraphView(changed)
    other: dict[str, None] = {}
    for tensor, gain in gains.items():
        readers = _readers(view, plan, tensor) if tensor in plan.edges else []
        if not readers or gain.shape != (view.shape(tensor)[1],):
            raise ExportError(
                f"{tensor} cannot be evened out by {gain.size} factors",
                "quantize the float32 model.onnx that export writes",
            )
        for reader in readers:
            _divide_weights(view, reader, gain)
            other |= dict.fromkeys(reader.through)
    # Only now: what reads a tensor is found in the graph as it was. In the order of the plan, so
    # that the same gains make the same bytes.
    for tensor, edges in plan.edges.items():
        if tensor in gains:
            _multiply(view, tensor, edges, gains[tensor])
    _rename(view, other)
    return checked(changed)


def gains_of(evened: onnx.ModelProto) -> dict[str, Array]:
    """What channels are multiplied by in a graph that was evened out, by tensor."""
    view = GraphView(evened)
    return {
        node.input[0]: view.weight(node.input[1]).reshape(-1)
        for node in view.nodes
        if node.op_type == "Mul" and node.name == f"{node.input[0]}{_SUFFIX}"
    }


def _choose_gains(
    model: onnx.ModelProto, plan: QuantizationPlan, tensors: list[str], images: Iterable[Array]
) -> dict[str, Array]:
    """Bring every channel nearer to the widest of those that share its scale."""
    reaches = _channel_reaches(model, tensors, images)
    gains = {}
    for group in plan.groups:
        widest = max(
            (float(reaches[tensor].max()) for tensor in group if tensor in reaches), default=0.0
        )
        for tensor in group:
            if tensor in reaches:
                wide = np.maximum(reaches[tensor], max(_LEAST_REACH * widest, _SMALLEST))
                share = (max(widest, _SMALLEST) / wide) ** SHARE
                gains[tensor] = share.astype(np.float32)
    return gains


def _readers(view: GraphView, plan: QuantizationPlan, tensor: str) -> list[_Reader]:
    """Every convolution that reads a tensor as INT8; none if anything else does, or it is fed."""
    if view.producer(tensor) is None:
        return []
    channels = range(view.shape(tensor)[1])
    found = [
        reader
        for name, index in plan.edges[tensor]
        for reader in _behind(view, view.by_name[name], index, channels, 0, ())
    ]
    return [reader for reader in found if reader] if all(found) else []


def _behind(
    view: GraphView,
    node: onnx.NodeProto,
    index: int,
    channels: range,
    at: int,
    through: tuple[str, ...],
) -> Iterator[_Reader | None]:
    """What reads a tensor's channels, of which the first stands at `at` of a node's input."""
    if node.op_type == "Conv" and index == 0:
        yield _Reader(node.name, channels, at, through)
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
            yield from _behind(view, use.node, use.position, some, place, (*through, tensor))


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


def _divide_weights(view: GraphView, reader: _Reader, gain: Array) -> None:
    """Divide the weights that read some channels by the gains of these."""
    conv = view.by_name[reader.conv]
    stored = view.initializers[conv.input[1]]
    weights = numpy_helper.to_array(stored).copy()
    group = attribute(conv, "group", 1)
    columns = np.ones(weights.shape[1] * group, np.float32)
    columns[reader.at : reader.at + len(reader.channels)] = gain[reader.channels]
    outputs = weights.shape[0] // group
    weights /= columns.reshape(group, -1).repeat(outputs, axis=0)[:, :, None, None]
    stored.CopyFrom(numpy_helper.from_array(weights, stored.name))


def _multiply(view: GraphView, tensor: str, edges: Iterable[Edge], gain: Array) -> None:
    """Let some inputs read a tensor's channels times their gains."""
    name = f"{tensor}{_SUFFIX}"
    stored = numpy_helper.from_array(gain.reshape(1, -1, 1, 1), f"{name}/gains")
    view.graph.initializer.append(stored)
    product = helper.make_node("Mul", [tensor, stored.name], [name], name=name)
    nodes = view.graph.node
    readers = {reader for reader, _ in edges}
    first = next(place for place, node in enumerate(nodes) if node.name in readers)
    nodes.insert(first, product)
    for reader, index in edges:
        view.by_name[reader].input[index] = name


def _rename(view: GraphView, tensors: Iterable[str]) -> None:
    """Give tensors other names: who looks for them by name expects what they were."""
    names = {tensor: f"{tensor}{_SUFFIX}" for tensor in tensors}
    for node in view.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = names.get(name, name)
    for value in view.graph.value_info:
        value.name = names.get(value.name, value.name)


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
