"""The average of the weights over the last updates, which is what is evaluated and kept.

Not torch's AveragedModel: it sorts all tensors by device and type anew in every update, which takes
longer than averaging them, and ramp and counters would have to be written here all the same.
"""

from __future__ import annotations

import copy
import math

import torch

from yolov12edge.model import Detector
from yolov12edge.train.settings import TrainingSettings

DECAY = 0.9999
RAMP = 2000.0
# Updates of the published run: 600 epochs of 463 batches. Its average looks back over 3.6% of it.
PUBLISHED_UPDATES = 600 * 463


class WeightAverage:
    """Exponential moving average of all floating-point parameters and buffers.

    After update t: average = d(t) * average + (1 - d(t)) * weights, with
    d(t) = decay * (1 - exp(-t / ramp)).

    Attributes:
        model: the averaged detector, in eval mode.
        updates: how many were taken in.
    """

    def __init__(self, model: Detector, decay: float = DECAY, ramp: float = RAMP) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.ramp = ramp
        self.updates = 0
        averaged, followed = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in averaged.items() if value.is_floating_point()]
        self._averaged = [averaged[name] for name in floating]
        self._followed = [followed[name] for name in floating]
        counters = [name for name in averaged if name not in set(floating)]
        self._counters = [(averaged[name], followed[name]) for name in counters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.ramp))
        torch._foreach_lerp_(self._averaged, self._followed, 1 - decay)
        for average, value in self._counters:
            average.copy_(value)


def average_for(model: Detector, settings: TrainingSettings, updates: int) -> WeightAverage:
    """The average for a run of `updates` updates.

    Where the settings leave it open, a run as long as the published one or longer has the published
    decay; the memory and ramp of a shorter one are shorter in proportion.
    """
    share = min(1.0, updates / PUBLISHED_UPDATES)
    decay, ramp = settings.ema_decay, settings.ema_ramp
    if decay is None:
        decay = 1 - min(1.0, (1 - DECAY) / share)
    return WeightAverage(model, decay, RAMP * share if ramp is None else ramp)
