"""A float graph with fake quantization whose weights, biases, steps and zero points learn.

It computes what the INT8 file of `rounding()` would, operator by operator. Batch norms are folded
in the graph already. Steps learn as in "Learned Step Size Quantization" (arXiv 1902.08153); weights
are rounded in the forward pass and pass gradients on ("straight-through", arXiv 1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolov12edge.fakequant import Replay, fake_quantize
from yolov12edge.fakequant.replay import Values
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.head import BOXES, ENTRIES, LOGITS, head_convolutions
from yolov12edge.quantize.integers import IntegerConvolution, Rounding
from yolov12edge.quantize.limits import Limit
from yolov12edge.quantize.policy import QuantizationPlan
from yolov12edge.quantize.qdq import IsHalf, Step, never_half
from yolov12edge.quantize.rules import Dialect
from yolov12edge.quantize.weights import SMALLEST_SCALE, WEIGHT_MAX, QuantizedWeight

Corrections = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class QatRates:
    """How fast each kind of number learns, as a share of the learning rate.

    Attributes:
        weight: of weights, in steps of their channel's scale.
        bias: of biases of INT8 convolutions.
        logits: of the biases of the class logits.
        step: of logarithms of steps.
        zero: of zero points, in steps.
    """

    weight: float = 1.0
    bias: float = 0.02
    logits: float = 0.05
    step: float = 0.02
    zero: float = 0.4


class Student(nn.Module):
    """A float graph that is taught to be its INT8 form.

    Args:
        model: float32 graph that the plan was made of.
        plan: what becomes INT8.
        dialect: the rules that the plan was made by.
        start: the rounding to begin with; what it makes of the graph is what this computes first.
        corrections: added to biases of the class logits at first, by name of the convolution.
        is_half: where the graph that is written stores scales in FP16.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        plan: QuantizationPlan,
        dialect: Dialect,
        start: Rounding,
        corrections: Corrections,
        is_half: IsHalf = never_half,
    ) -> None:
        super().__init__()
        self.replay = Replay(model)
        self._plan, self._start = plan, start
        view = self.replay.view
        self._limit = None if dialect.weights is None else dialect.weights.limit
        self._groups = [_Group.of(group, plan, start, is_half) for group in plan.groups]
        self._group_of = {
            edge: index
            for index, group in enumerate(self._groups)
            for tensor in group.tensors
            for edge in plan.edges[tensor]
        }
        self._scales = [
            torch.from_numpy(
                _each(start.convolutions[name].weight.scales, view.weight(_weight(view, name)).ndim)
            )
            for name in plan.convolutions
        ]
        self.weights = nn.ParameterList(
            self._first_steps(view.weight(_weight(view, name)), start.convolutions[name])
            for name in plan.convolutions
        )
        self.biases = nn.ParameterList(
            torch.from_numpy(start.convolutions[name].bias.copy()) for name in plan.convolutions
        )
        self.growth = nn.ParameterList(torch.zeros(()) for _ in self._groups)
        self.zeros = nn.ParameterList(
            nn.Parameter(torch.tensor(float(group.step.zero)), requires_grad=not dialect.symmetric)
            for group in self._groups
        )
        self._logits, self._boxes, self._entries = (
            head_convolutions(view, pattern) for pattern in (LOGITS, BOXES, ENTRIES)
        )
        self.corrections = nn.ParameterList(
            torch.from_numpy(_correction(view, conv, corrections)) for conv in self._logits
        )

    def forward(self, images: Tensor) -> Values:
        """Every tensor of the graph, rounded as the INT8 file rounds, for (B, 3, H, W) in 0..1."""
        return self.run(self.replay.view.nodes, {self.replay.view.inputs[0].name: images})

    def run(self, nodes: Sequence[onnx.NodeProto], values: Values) -> Values:
        """Run some nodes as the INT8 file does; arguments as those of `Replay.run`."""
        rounded: dict[str, Tensor] = {}

        def read(node: onnx.NodeProto, index: int, value: Tensor) -> Tensor:
            group = self._group_of.get((node.name, index))
            if group is None:
                return value
            tensor = node.input[index]
            if tensor not in rounded:
                rounded[tensor] = self._quantize(group, value)
            return rounded[tensor]

        return self.replay.run(nodes, values, read=read, constants=self._constants())

    def quantized(self, tensor: str, value: Tensor) -> Tensor:
        """A value of a tensor of the plan on its steps."""
        return self._quantize(self._group_of[self._plan.edges[tensor][0]], value)

    def exact(self, images: Tensor) -> Values:
        """Every tensor of the float graph."""
        return self.replay.run(self.replay.view.nodes, {self.replay.view.inputs[0].name: images})

    def levels(self, values: Values) -> list[Tensor]:
        """P3, P4, P5 as `Detector.raw` gives them: (B, 64 + classes, h, w)."""
        return [
            torch.cat([values[boxes.output[0]], values[logits.output[0]]], dim=1)
            for boxes, logits in zip(self._boxes, self._logits, strict=True)
        ]

    def features(self, values: Values) -> list[Tensor]:
        """What the head reads at each level: (B, C, h, w)."""
        return [values[entry.input[0]] for entry in self._entries]

    def parameter_groups(self, rates: QatRates) -> list[dict[str, Any]]:
        """Parameters with their `share` of the learning rate, as optimizers take them."""
        groups: list[tuple[Iterable[nn.Parameter], float]] = [
            (self.weights, rates.weight),
            (self.biases, rates.bias),
            (self.corrections, rates.logits),
            (self.growth, rates.step),
            ([zero for zero in self.zeros if zero.requires_grad], rates.zero),
        ]
        return [{"params": list(some), "share": share} for some, share in groups if list(some)]

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring back what an update moved beyond what whole numbers can say."""
        for steps in self.weights:
            steps.clamp_(-WEIGHT_MAX, WEIGHT_MAX)
        for group, zero in zip(self._groups, self.zeros, strict=True):
            zero.clamp_(*group.step.ends)

    @torch.no_grad()
    def rounding(self) -> Rounding:
        """The whole numbers as they are now, as a graph stores them."""
        steps: dict[str, Step] = {}
        for index, group in enumerate(self._groups):
            zero = group.step.zero.dtype.type(round(self.zeros[index].item()))
            step = Step(self._scale(index).item(), zero)
            steps |= dict.fromkeys(group.tensors, step)
        convolutions = {
            name: IntegerConvolution(
                QuantizedWeight(
                    _round(self.weights[index], self._limit).numpy().astype(np.int8),
                    self._start.convolutions[name].weight.scales,
                ),
                self.biases[index].detach().numpy().copy(),
            )
            for index, name in enumerate(self._plan.convolutions)
        }
        return Rounding(
            {tensor: steps[tensor] for tensor in self._start.steps}, convolutions, self._start.reads
        )

    def learned_corrections(self) -> dict[str, NDArray[np.float32]]:
        """What is added to biases of the class logits, by name of the convolution."""
        return {
            conv.name: change.detach().numpy().copy()
            for conv, change in zip(self._logits, self.corrections, strict=True)
        }

    def _constants(self) -> Values:
        """Weights and biases as the file has them, by name of the initializer."""
        view = self.replay.view
        constants: Values = {}
        for name, steps, scale, bias in zip(
            self._plan.convolutions, self.weights, self._scales, self.biases, strict=True
        ):
            node = view.by_name[name]
            constants[node.input[1]] = _round(steps, self._limit) * scale
            constants[node.input[2]] = bias
        for conv, change in zip(self._logits, self.corrections, strict=True):
            name = conv.input[2]
            constants[name] = constants.get(name, self.replay.constants[name]) + change
        return constants

    def _quantize(self, group: int, value: Tensor) -> Tensor:
        low, high = self._groups[group].step.ends
        return fake_quantize(value, self._scale(group), self.zeros[group], low, high)

    def _scale(self, index: int) -> Tensor:
        """() the step of a group as the graph stores it, with gradient."""
        group = self._groups[index]
        exact = group.step.scale * self.growth[index].exp()
        stored = exact.detach().half().float() if group.half else exact.detach()
        return _Replace.apply(exact, stored.clamp(min=SMALLEST_SCALE))  # type: ignore[no-untyped-call, no-any-return]

    def _first_steps(self, exact: NDArray[np.float32], conv: IntegerConvolution) -> Tensor:
        """Weights in steps, such that they round to what the start has."""
        codes = conv.weight.values.astype(np.float64)
        wide = exact.astype(np.float64) / _each(conv.weight.scales, exact.ndim)
        steps = torch.from_numpy(wide.clip(-WEIGHT_MAX, WEIGHT_MAX).astype(np.float32))
        whole = torch.from_numpy(codes.astype(np.float32))
        # Learned codes need not be the nearest ones.
        return torch.where(_round(steps, self._limit) == whole, steps, whole)


@dataclass(frozen=True)
class _Group:
    """Tensors that share a step.

    Attributes:
        step: that they begin with.
        half: whether its scale is stored in FP16 anywhere.
    """

    tensors: tuple[str, ...]
    step: Step
    half: bool

    @classmethod
    def of(
        cls, tensors: tuple[str, ...], plan: QuantizationPlan, start: Rounding, is_half: IsHalf
    ) -> _Group:
        half = any(is_half(*edge) for tensor in tensors for edge in plan.edges[tensor])
        return cls(tensors, start.steps[tensors[0]], half)


class _Replace(torch.autograd.Function):
    """Another value in the forward pass, the gradient as if it were not there."""

    @staticmethod
    def forward(context: Any, value: Tensor, other: Tensor) -> Tensor:
        return other.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None


def _round(steps: Tensor, limit: Limit | None) -> Tensor:
    """Whole numbers within what the dialect allows, in float32."""
    whole = torch.round(steps.detach()).clamp_(-WEIGHT_MAX, WEIGHT_MAX)
    if limit is not None:
        whole = torch.from_numpy(limit(whole.double().numpy()).astype(np.float32))
    found: Tensor = _Replace.apply(steps, whole)  # type: ignore[no-untyped-call]
    return found


def _each(scales: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """(O, 1, ...): a number for every output channel."""
    return scales.reshape(-1, *[1] * (dimensions - 1))


def _weight(view: GraphView, conv: str) -> str:
    return view.by_name[conv].input[1]


def _correction(view: GraphView, conv: onnx.NodeProto, given: Corrections) -> NDArray[np.float32]:
    bias = view.weight(conv.input[2])
    return np.array(given.get(conv.name, np.zeros_like(bias)), np.float32)
