"""What INT8 in each convolution costs what the detector says, without labels.

The output of the head is followed backwards: if `g` is the gradient of a random projection of
scores and boxes, and `e` the error that INT8 makes at a convolution's output, the square of their
product, summed over the map, is on average the squared error of scores and boxes (Hutchinson's
estimator of the Gauss-Newton quadratic form; "HAWQ-V2", arXiv 1911.03852, ranks layers by its
trace). Errors of several convolutions add up nearly, so each has its share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolov12edge.errors import ExportError
from yolov12edge.fakequant import Replay, fake_quantize
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.head import BOXES, LOGITS, head_convolutions
from yolov12edge.quantize.integers import Rounding
from yolov12edge.quantize.policy import QuantizationPlan
from yolov12edge.thresholds import BOX_WEIGHT, LEAST_SCORE

Array = NDArray[np.float32]

_BINS = 16
_SMALLEST = 1e-30
# Images that go through the graph at once, at 320 x 320; more pixels, fewer images.
_PIXELS = 8 * 320 * 320


@dataclass(frozen=True)
class ConvLoss:
    """What INT8 in one convolution costs.

    Attributes:
        activations: squared error of scores and boxes if only what it reads is INT8.
        weights: the same if only its weights are.
        both: the same if all of it is.
        work: its share of the multiply-adds of all convolutions.
    """

    activations: float
    weights: float
    both: float
    work: float


class HeadProjection:
    """A random projection of what the head says about likely objects.

    Args:
        view: float graph of this package.

    Raises:
        ExportError: the graph has no head of this package.
    """

    def __init__(self, view: GraphView) -> None:
        logits, boxes = (
            [node.output[0] for node in head_convolutions(view, kind)] for kind in (LOGITS, BOXES)
        )
        self._levels = list(zip(logits, boxes, strict=True))
        if not self._levels:
            raise ExportError(
                "the graph has no detection head of this package",
                "quantize the float32 model.onnx that export writes",
            )

    def __call__(self, values: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """A scalar: scores and expected distances where scores count, each with a random sign."""
        scores = [torch.sigmoid(values[logits].flatten(2)) for logits, _ in self._levels]
        best = [level.detach().amax(dim=1) for level in scores]
        # Where nothing is seen at all, the likeliest place stands for objects.
        top = torch.stack([level.amax(dim=1) for level in best]).amax(dim=0)
        least = top.clamp(max=LEAST_SCORE)[:, None]
        total = scores[0].new_zeros(())
        for level, seen, (_, boxes) in zip(scores, best, self._levels, strict=True):
            counts = (seen >= least).to(level.dtype)[:, None]
            bins = values[boxes].flatten(2)
            bins = bins.reshape(len(bins), -1, _BINS, bins.shape[2]).softmax(dim=2)
            places = torch.arange(_BINS, dtype=bins.dtype)
            distances = torch.einsum("bsna,n->bsa", bins, places)
            total = total + (level * counts * _signs(level, generator)).sum()
            weight = BOX_WEIGHT * counts * seen[:, None].sqrt()
            total = total + (distances * weight * _signs(distances, generator)).sum()
        return total


def measure_losses(
    model: onnx.ModelProto,
    plan: QuantizationPlan,
    rounding: Rounding,
    images: Iterable[Array],
    *,
    seed: int = 0,
    projections: int = 2,
) -> dict[str, ConvLoss]:
    """What INT8 costs in every convolution of a plan.

    Args:
        model: float32 graph that the plan was made of.
        plan: names the convolutions.
        rounding: what becomes of what they read and of their weights.
        images: (3, H, W) RGB in 0..1; 16 or more.
        seed: of the projections.
        projections: for each image; more are less noisy.
    """
    replay = Replay(model)
    head = HeadProjection(replay.view)
    generator = torch.Generator().manual_seed(seed)
    sums = {name: np.zeros(3) for name in plan.convolutions}
    outputs = [replay.view.by_name[name].output[0] for name in plan.convolutions]
    seen = 0
    for batch in batches(images, _PIXELS):
        values = replay.run(replay.view.nodes, {_input(replay.view): batch.requires_grad_()})
        ends = [values[name] for name in outputs]
        gradients = [
            torch.autograd.grad(
                head(values, generator),
                ends,
                retain_graph=number + 1 < projections,
                allow_unused=True,
            )
            for number in range(projections)
        ]
        with torch.no_grad():
            for name, *found in zip(plan.convolutions, *gradients, strict=True):
                errors = _errors(replay, name, values, rounding)
                for gradient in found:
                    if gradient is not None:
                        sums[name] += [_moved(gradient, error) for error in errors]
        seen += len(batch)
    work = shares_of_work(replay.view)
    means = {name: (total / (seen * projections)).tolist() for name, total in sums.items()}
    return {name: ConvLoss(a, w, both, work[name]) for name, (a, w, both) in means.items()}


def losses_by_layer(losses: Mapping[str, ConvLoss]) -> dict[str, tuple[float, float]]:
    """What activations and what weights lose in every layer, `model.0` and so on.

    The two parts of a convolution share what both lose together.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, loss in losses.items():
        layer = ".".join(name.split("/")[0].split(".")[:2])
        share = loss.activations / max(loss.activations + loss.weights, _SMALLEST)
        activations, weights = found.get(layer, (0.0, 0.0))
        found[layer] = (activations + loss.both * share, weights + loss.both * (1 - share))
    return found


def shares_of_work(view: GraphView) -> dict[str, float]:
    """Each convolution's share of the multiply-adds of all."""
    work = {
        node.name: float(np.prod(view.weight(node.input[1]).shape))
        * float(np.prod(view.shape(node.output[0])[2:]))
        for node in view.nodes
        if node.op_type == "Conv"
    }
    total = sum(work.values())
    return {name: one / total for name, one in work.items()}


def batches(images: Iterable[Array], pixels: int) -> Iterator[Tensor]:
    """(B, 3, H, W) of as many images as have about so many pixels."""
    stream = iter(images)
    for first in stream:
        count = max(1, pixels // (first.shape[1] * first.shape[2]))
        yield torch.from_numpy(np.stack([first, *islice(stream, count - 1)]))


def _input(view: GraphView) -> str:
    return view.inputs[0].name


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, like.shape, generator=generator).to(like.dtype) * 2 - 1


def _moved(gradient: Tensor, error: Tensor) -> float:
    """Sum over images of the squared change of what the head says."""
    return float(((gradient * error).flatten(1).sum(dim=1) ** 2).sum())


def _errors(
    replay: Replay, name: str, values: Mapping[str, Tensor], rounding: Rounding
) -> tuple[Tensor, Tensor, Tensor]:
    """Errors at a convolution's output by its activations, by its weights, and by both."""
    node = replay.view.by_name[name]
    rounded = rounding.convolutions[name]
    exact, output = values[node.input[0]].detach(), values[node.output[0]].detach()
    read = rounded_values(exact, rounding, rounding.reads[name])
    own = {
        node.input[1]: torch.from_numpy(rounded.weight.restored.astype(np.float32)),
        node.input[2]: torch.from_numpy(rounded.bias),
    }

    def error(x: Tensor, constants: dict[str, Tensor]) -> Tensor:
        found = replay.run([node], {node.input[0]: x}, constants=constants)
        return found[node.output[0]] - output

    # The bias takes back what both do to the mean, and can't for one of them alone.
    return _centred(error(read, {})), _centred(error(exact, own)), error(read, own)


def _centred(error: Tensor) -> Tensor:
    return error - error.mean(dim=[0, *range(2, error.ndim)], keepdim=True)


def rounded_values(x: Tensor, rounding: Rounding, tensor: str) -> Tensor:
    """Values on the steps of a quantized tensor."""
    step = rounding.steps[tensor]
    low, high = step.ends
    return fake_quantize(x, torch.tensor(step.scale), torch.tensor(float(step.zero)), low, high)
