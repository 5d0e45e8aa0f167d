"""Carry images through a graph twice, in float and rounded, part by part.

Nothing is kept but the values that later parts still read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor

from yolov12edge.fakequant import Replay
from yolov12edge.fakequant.replay import Read, Values
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.integers import Rounding
from yolov12edge.quantize.losses import HeadProjection, rounded_values
from yolov12edge.quantize.policy import QuantizationPlan
from yolov12edge.quantize.reconstruction.learn import Importance, Lesson
from yolov12edge.quantize.reconstruction.units import Unit, split_units

# An eighth of the images teaches nothing and judges.
_HELD_BACK = 8
# Pixels of input images that go through at once, and that one iteration of learning sees.
_PIXELS = 8 * 320 * 320
# How much of a place's weight is its own; the rest is what its channel counts anywhere.
_OWN = 0.5


class Walk:
    """Values of some images in both networks, as far as they have come.

    Args:
        replay: of the float graph.
        plan: where values are rounded.
        units: all parts of the graph, in order.
        images: (N, 3, H, W).

    Attributes:
        exact, rounded: values in the float and in the rounded network that are still to be read.
    """

    def __init__(
        self, replay: Replay, plan: QuantizationPlan, units: Sequence[Unit], images: Tensor
    ) -> None:
        self._replay = replay
        entry = replay.view.inputs[0].name
        self.exact: Values = {entry: images}
        self.rounded: Values = {entry: images}
        self._count = len(images)
        self._chunk = max(1, _PIXELS // (images.shape[2] * images.shape[3]))
        self._tensors = {edge: name for name, edges in plan.edges.items() for edge in edges}
        self._last = {name: unit for unit in units for name in unit.inputs}

    def lesson(self, unit: Unit, importance: Importance) -> Lesson:
        """What a part is taught with."""
        computed = [name for name in unit.inputs if name not in self._replay.constants]
        return Lesson(
            inputs={name: self.rounded[name] for name in computed},
            target=self._through(unit, self.exact, None)[unit.end],
            importance=importance,
            held_back=max(1, self._count // _HELD_BACK),
            batch=min(self._chunk, self._count),
        )

    def advance(self, unit: Unit, rounding: Rounding) -> None:
        """Run a part in both networks, and forget what was read for the last time."""
        exact = self._through(unit, self.exact, None)
        rounded = self._through(unit, self.rounded, rounding)
        self.exact |= exact
        self.rounded |= rounded
        for name in [*unit.inputs, *exact]:
            if self._last.get(name, unit) is unit:
                self.exact.pop(name, None)
                self.rounded.pop(name, None)

    @torch.no_grad()
    def _through(self, unit: Unit, values: Values, rounding: Rounding | None) -> Values:
        """What leaves a part, for all images."""
        inputs = {name: values[name] for name in unit.inputs if name in values}
        leaving = [unit.end] if unit.convolution else [*unit.nodes[0].output]
        # Areas of attention may be a batch: such parts run whole.
        whole = any(len(value) != self._count for value in inputs.values())
        size = self._count if whole else self._chunk
        chunks = []
        for start in range(0, self._count, size):
            part = {name: value[start : start + size] for name, value in inputs.items()}
            part = dict(inputs) if whole else part
            found = self._replay.run(
                unit.nodes,
                part,
                read=None if rounding is None else self._reader(rounding),
                constants=None if rounding is None else self._constants(unit, rounding),
            )
            chunks.append([found[name] for name in leaving])
        return {
            name: torch.cat(parts)
            for name, parts in zip(leaving, zip(*chunks, strict=True), strict=True)
        }

    def _reader(self, rounding: Rounding) -> Read:
        def read(node: onnx.NodeProto, index: int, value: Tensor) -> Tensor:
            tensor = self._tensors.get((node.name, index))
            return value if tensor is None else rounded_values(value, rounding, tensor)

        return read

    def _constants(self, unit: Unit, rounding: Rounding) -> Values | None:
        if unit.convolution is None:
            return None
        conv = rounding.convolutions[unit.convolution]
        node = self._replay.view.by_name[unit.convolution]
        return {
            node.input[1]: torch.from_numpy(conv.weight.restored).float(),
            node.input[2]: torch.from_numpy(conv.bias),
        }


def bytes_an_image(view: GraphView, plan: QuantizationPlan) -> int:
    """Memory that an image takes on its way, at the widest place of the graph."""
    units = split_units(view, plan)
    last = {name: position for position, unit in enumerate(units) for name in unit.inputs}
    live = {view.inputs[0].name: view.shape(view.inputs[0].name)}
    most = 0
    for position, unit in enumerate(units):
        leaving = [unit.end] if unit.convolution else [*unit.nodes[0].output]
        live |= {name: view.shape(name) for name in leaving}
        most = max(most, sum(math.prod(shape) for shape in live.values()))
        live = {name: shape for name, shape in live.items() if last.get(name, -1) > position}
    # In float32, in both networks.
    return 2 * 4 * most


def weigh_places(replay: Replay, tensors: Sequence[str], images: Tensor) -> dict[str, Importance]:
    """How much an error at each place of some (N, C, ...) tensors moves what the head says."""
    head = HeadProjection(replay.view)
    generator = torch.Generator().manual_seed(0)
    entry = replay.view.inputs[0].name
    size = max(1, _PIXELS // (images.shape[2] * images.shape[3]))
    channels: dict[str, Tensor] = {}
    places: dict[str, list[Tensor]] = {name: [] for name in tensors}
    for batch in torch.split(images, size):
        values = replay.run(replay.view.nodes, {entry: batch.clone().requires_grad_()})
        ends = [values[name] for name in tensors]
        found = torch.autograd.grad(head(values, generator), ends, allow_unused=True)
        for name, end, gradient in zip(tensors, ends, found, strict=True):
            square = torch.zeros_like(end) if gradient is None else gradient**2
            sums = square.flatten(2).sum(dim=(0, 2))
            channels[name] = channels[name] + sums if name in channels else sums
            places[name].append(square.mean(dim=1, keepdim=True).detach())
    return {name: _importance(channels[name], torch.cat(places[name])) for name in tensors}


def _importance(channels: Tensor, places: Tensor) -> Importance:
    channels = channels.reshape(1, -1, *[1] * (places.ndim - 2))
    if not channels.any():
        # Nothing that the head says depends on it: on these images all counts alike.
        return Importance(torch.ones_like(channels), torch.ones_like(places))
    own = places / places.mean()
    return Importance(channels / channels.mean(), _OWN * own + (1 - _OWN))
