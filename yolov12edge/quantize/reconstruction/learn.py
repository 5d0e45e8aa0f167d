"""Learn how one convolution rounds: its weights up or down, the step of what it reads, its bias.

Rounding up or down is learned as a number between 0 and 1 that ends at one of them ("Up or Down?",
arXiv 2004.10568); inputs are those of the quantized network and targets those of the float one,
behind activation and residual ("BRECQ", arXiv 2102.05426).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from yolov12edge.fakequant import Replay, fake_quantize
from yolov12edge.quantize.integers import IntegerConvolution
from yolov12edge.quantize.limits import Limit
from yolov12edge.quantize.qdq import Step
from yolov12edge.quantize.reconstruction.units import Unit
from yolov12edge.quantize.weights import WEIGHT_MAX, QuantizedWeight

# Ends of the sigmoid that stands for rounding down and up, a little outside of 0 and 1.
_LOW, _HIGH = -0.1, 1.1
# Rounding is free at first; then its exponent falls, and with it what lies between is pushed out.
_FREE, _FIRST, _LAST = 0.2, 20.0, 2.0
_PUSH = 0.1
_SMALLEST_LOSS = 1e-30


@dataclass(frozen=True)
class LearnSettings:
    """How learning goes.

    Attributes:
        iterations: for every convolution.
        weight_rate, bias_rate, step_rate: of Adam; steps learn as logarithms.
        seed: of the order of images.
    """

    iterations: int = 100
    weight_rate: float = 2e-2
    bias_rate: float = 1e-3
    step_rate: float = 5e-4
    seed: int = 0


@dataclass(frozen=True)
class UnitResult:
    """What came of one convolution.

    Attributes:
        before, after: squared error of what it yields on images that taught nothing, as the head
            weighs it.
        kept: whether it got better; if not, it stays as it was.
    """

    before: float
    after: float
    kept: bool


@dataclass(frozen=True)
class Importance:
    """What an error counts, as a product that is 1 in the mean.

    Attributes:
        channels: (1, C, 1, 1).
        places: (N, 1, H, W).
    """

    channels: Tensor
    places: Tensor


@dataclass(frozen=True)
class Lesson:
    """What a unit is taught with; everything is (N, ...).

    Attributes:
        inputs: what it reads in the quantized network.
        target: what it yields in the float network.
        importance: of its errors.
        held_back: the last so many images only judge.
        batch: images that one iteration sees.
    """

    inputs: Mapping[str, Tensor]
    target: Tensor
    importance: Importance
    held_back: int
    batch: int


class UnitLearner:
    """One convolution on its way.

    Args:
        replay: of the float graph.
        unit: with a convolution.
        start: its whole numbers to the nearest.
        step: of what it reads.
        free_step: whether nothing else reads that step, so that it may change.
        limit: what whole numbers of weights must keep to.
        half: whether the step is stored in FP16.
    """

    def __init__(
        self,
        replay: Replay,
        unit: Unit,
        start: IntegerConvolution,
        step: Step,
        free_step: bool,
        limit: Limit | None,
        half: bool,
    ) -> None:
        assert unit.convolution is not None
        self._replay, self._unit, self._start, self._step = replay, unit, start, step
        self._free_step, self._limit, self._half = free_step, limit, half
        self._node: onnx.NodeProto = replay.view.by_name[unit.convolution]
        self._ends = step.ends
        exact = replay.constants[self._node.input[1]]
        self._scales = torch.from_numpy(start.weight.scales).reshape(-1, *[1] * (exact.ndim - 1))
        codes = torch.from_numpy(start.weight.values.astype(np.float32))
        steps = exact / self._scales
        # Where a limit moved a number by more than a step, it stays there.
        near = (codes - steps).abs() < 1
        self._floor = torch.where(near, torch.floor(steps), codes)
        share = torch.where(near, steps - self._floor, torch.zeros_like(steps))
        share = share.clamp(0.01, 0.99)
        self._rounding = torch.logit((share - _LOW) / (_HIGH - _LOW)).requires_grad_()
        self._bias = torch.from_numpy(start.bias.copy()).requires_grad_()
        self._scale = torch.tensor(math.log(step.scale), requires_grad=free_step)
        asymmetric = self._ends[0] == 0
        self._zero = torch.tensor(float(step.zero), requires_grad=free_step and asymmetric)

    def learn(
        self, lesson: Lesson, settings: LearnSettings, generator: torch.Generator
    ) -> tuple[IntegerConvolution, Step, UnitResult]:
        """The convolution and its step as they are to be written."""
        teaching = len(lesson.target) - lesson.held_back
        judging = torch.arange(teaching, len(lesson.target))
        before = self._judge(lesson, judging, self._start, self._step)
        rates = [(self._rounding, settings.weight_rate), (self._bias, settings.bias_rate)]
        if self._scale.requires_grad:
            rates.append((self._scale, settings.step_rate))
        if self._zero.requires_grad:
            # A zero point moves by whole steps, a logarithm by parts of one.
            rates.append((self._zero, 20 * settings.step_rate))
        optimizer = torch.optim.Adam([{"params": [one], "lr": rate} for one, rate in rates])
        for iteration in range(settings.iterations):
            done = iteration / settings.iterations
            for group, (one, rate) in zip(optimizer.param_groups, rates, strict=True):
                falls = one is not self._rounding
                group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * done) if falls else 1.0)
            chosen = torch.randint(0, teaching, (lesson.batch,), generator=generator)
            loss = self._loss(lesson, chosen, done, before)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        learned, step = self._rounded()
        after = self._judge(lesson, judging, learned, step)
        if not after < before:
            return self._start, self._step, UnitResult(before, after, kept=False)
        return learned, step, UnitResult(before, after, kept=True)

    def _loss(self, lesson: Lesson, chosen: Tensor, done: float, scale: float) -> Tensor:
        up = self._up()
        weight = self._limited(self._floor + up) * self._scales
        produced = self._run(lesson, chosen, weight, self._bias, self._scale.exp(), self._zero)
        error = _weighted(lesson, chosen, produced) / (scale + _SMALLEST_LOSS)
        if done < _FREE:
            return error
        exponent = _FIRST + (_LAST - _FIRST) * (done - _FREE) / (1 - _FREE)
        return error + _PUSH * (1 - (2 * up - 1).abs() ** exponent).mean()

    @torch.no_grad()
    def _judge(self, lesson: Lesson, chosen: Tensor, conv: IntegerConvolution, step: Step) -> float:
        weight = torch.from_numpy(conv.weight.restored.astype(np.float32))
        bias, scale = torch.from_numpy(conv.bias), torch.tensor(step.scale)
        zero = torch.tensor(float(step.zero))
        # One at a time: held-back images may be many more than a batch.
        losses = [
            float(_weighted(lesson, one, self._run(lesson, one, weight, bias, scale, zero)))
            for one in torch.split(chosen, 1)
        ]
        return float(np.mean(losses))

    def _run(
        self,
        lesson: Lesson,
        chosen: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: Tensor,
        zero: Tensor,
    ) -> Tensor:
        def read(node: onnx.NodeProto, index: int, value: Tensor) -> Tensor:
            if node.name != self._node.name or index != 0:
                return value
            return fake_quantize(value, scale, zero, *self._ends)

        own = {self._node.input[1]: weight, self._node.input[2]: bias}
        values = {name: value[chosen] for name, value in lesson.inputs.items()}
        return self._replay.run(self._unit.nodes, values, read=read, constants=own)[self._unit.end]

    def _up(self) -> Tensor:
        return (torch.sigmoid(self._rounding) * (_HIGH - _LOW) + _LOW).clamp(0, 1)

    def _limited(self, codes: Tensor) -> Tensor:
        """Whole numbers on their way within what the limit allows, with gradients of their own."""
        if self._limit is None:
            return codes.clamp(-WEIGHT_MAX, WEIGHT_MAX)
        whole = torch.round(codes.detach()).double().numpy()
        return codes + torch.from_numpy((self._limit(whole) - whole).astype(np.float32))

    def _rounded(self) -> tuple[IntegerConvolution, Step]:
        whole = (self._floor + (self._up().detach() >= 0.5)).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        codes = whole.double().numpy()
        if self._limit is not None:
            codes = self._limit(codes)
        weight = QuantizedWeight(codes.astype(np.int8), self._start.weight.scales)
        learned = IntegerConvolution(weight, self._bias.detach().numpy().copy())
        if not self._free_step:
            return learned, self._step
        low, high = self._ends
        zero = min(max(round(self._zero.item()), low), high)
        kind = np.float16 if self._half else np.float32
        scale = float(kind(math.exp(self._scale.item())))
        return learned, Step(scale, self._step.zero.dtype.type(zero))


def _weighted(lesson: Lesson, chosen: Tensor, produced: Tensor) -> Tensor:
    importance = lesson.importance
    weight = importance.channels * importance.places[chosen]
    return (weight * (produced - lesson.target[chosen]) ** 2).mean()
