"""What a detector learns from another one that looks at the same pictures.

Class logits and box distributions are compared where the teacher sees likely objects, each place by
the teacher's best score there ("Localization Distillation", arXiv 2102.12252, for distributions);
inputs of the head as normalised squared errors ("FitNets", arXiv 1412.6550).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector
from yolov12edge.model.head import REG_MAX
from yolov12edge.thresholds import BOX_WEIGHT, LEAST_SCORE

_SIDES = 4
_SMALLEST = 1e-12

Levels = Sequence[Tensor]
"""P3, P4, P5 from `Detector.raw`: (B, 64 + classes, h, w) each."""


@dataclass(frozen=True)
class _Head:
    """What a detector says: (B, N, classes) logits and (B, N, 4, 16) box logits."""

    logits: Tensor
    bins: Tensor


def distillation_losses(student: Levels, teacher: Levels) -> Tensor:
    """How far a detector is from its teacher.

    Args:
        student: its raw output, with gradient.
        teacher: of as many classes, without.

    Returns:
        (2,) divergence of Bernoulli scores, summed over classes and all places, and of box
        distributions, mean of the four sides at likely objects, weighted by the teacher's best
        score. Both are divided by the sum of these weights (at least 1) and are 0 where the
        detectors agree.
    """
    ours, theirs = _split(student), _split(teacher)
    _, weight = _likely(theirs)
    total = weight.sum().clamp(min=1)
    wanted = torch.sigmoid(theirs.logits)
    cross = functional.binary_cross_entropy_with_logits
    scores = cross(ours.logits, wanted, reduction="sum") - cross(
        theirs.logits, wanted, reduction="sum"
    )
    # Only where somebody sees something: elsewhere a distribution is noise, and most of the work.
    seen = weight > 0
    sides = functional.kl_div(
        functional.log_softmax(ours.bins[seen], dim=-1),
        functional.log_softmax(theirs.bins[seen], dim=-1),
        reduction="none",
        log_target=True,
    ).sum(dim=(1, 2))
    boxes = (sides * weight[seen]).sum() / _SIDES
    return torch.stack([scores, boxes]) / total


def feature_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over some maps of the squared error, as a share of the teacher's square."""
    shares = [
        ((ours - theirs) ** 2).mean() / (theirs**2).mean().clamp(min=_SMALLEST)
        for ours, theirs in zip(student, teacher, strict=True)
    ]
    return torch.stack(shares).mean()


@torch.no_grad()
def head_error(student: Levels, teacher: Levels) -> Tensor:
    """(B,) squared error of scores and expected distances at likely objects of each image.

    The measure of `quantize/losses.py`, of the whole network and not of one convolution.
    """
    ours, theirs = _split(student), _split(teacher)
    likely, weight = _likely(theirs)
    scores = (torch.sigmoid(ours.logits) - torch.sigmoid(theirs.logits)) ** 2
    places = torch.arange(REG_MAX, dtype=ours.bins.dtype, device=ours.bins.device)
    apart = ((ours.bins.softmax(-1) - theirs.bins.softmax(-1)) * places).sum(-1) ** 2
    counted = scores.sum(-1) * likely + BOX_WEIGHT**2 * apart.sum(-1) * weight
    return counted.sum(dim=1)


class Teacher:
    """A detector that another one of the same classes is taught by, in the ordinary loop.

    Args:
        model: put in evaluation mode, without gradients, where the student is.
        forward: context of its forward pass.
    """

    def __init__(
        self, model: Detector, forward: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._forward = forward

    def loss(self, images: Tensor, levels: Levels) -> Tensor:
        """What is to be added to `DetectionLoss`: a scalar, times the images like that one.

        Args:
            images: (B, 3, H, W) RGB in 0..1.
            levels: what the student makes of them.
        """
        with torch.no_grad(), self._forward():
            wanted = self._model.raw(images)
        with torch.autocast(images.device.type, enabled=False):
            return distillation_losses(levels, wanted).sum() * len(images)


def check_teacher(teacher: Detector, num_classes: int, names: Sequence[str] | None) -> None:
    """Refuse a teacher of other classes than the student's.

    Raises:
        CheckpointError: other ones, or in another order.
    """
    found = teacher.architecture.num_classes
    if found != num_classes:
        raise CheckpointError(
            f"the teacher knows {found} classes, the student {num_classes}",
            "pass a teacher that was trained on the same classes",
        )
    if names and teacher.names and tuple(names) != tuple(teacher.names):
        raise CheckpointError(
            f"the teacher knows the classes {', '.join(teacher.names)}, the student "
            f"{', '.join(names)}",
            "pass a teacher that was trained on the same classes, in the same order",
        )


def _split(levels: Levels) -> _Head:
    flat = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1).float()
    sides = _SIDES * REG_MAX
    return _Head(flat[..., sides:], torch.unflatten(flat[..., :sides], -1, (_SIDES, REG_MAX)))


def _likely(head: _Head) -> tuple[Tensor, Tensor]:
    """(B, N) which places count, and their best score where they do."""
    best = torch.sigmoid(head.logits).amax(dim=-1)
    # Where nothing is seen at all, the likeliest place stands for objects.
    likely = best >= best.amax(dim=1, keepdim=True).clamp(max=LEAST_SCORE)
    return likely, best * likely
