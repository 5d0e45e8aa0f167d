"""Learning rate and momentum, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Optimizer

from yolov12edge.train.settings import TrainingSettings

LEAST_WARMUP = 100


@dataclass(frozen=True)
class Schedule:
    """The published schedule: linear over the epochs, with a warm-up over the first steps.

    Attributes:
        settings: resolved.
        steps_per_epoch: batches an epoch.
    """

    settings: TrainingSettings
    steps_per_epoch: int

    @property
    def warmup_steps(self) -> int:
        """Steps of the warm-up; no more than half of the run."""
        if self.settings.warmup_epochs == 0:
            return 0
        wanted = max(round(self.settings.warmup_epochs * self.steps_per_epoch), LEAST_WARMUP)
        return min(wanted, self.settings.epochs * self.steps_per_epoch // 2)

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        steps = self.settings.epochs * self.steps_per_epoch
        return max(1, steps // self.settings.accumulate)

    def factor(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0, over the first."""
        final = self.settings.final_lr
        return max(1 - epoch / self.settings.epochs, 0) * (1 - final) + final

    def lr(self, iteration: int) -> float:
        """Learning rate of a step, counted from 0 over the whole run."""
        assert self.settings.lr is not None, "settings are resolved"
        full = self.settings.lr * self.factor(iteration // self.steps_per_epoch)
        return full * self._warmth(iteration)

    def momentum(self, iteration: int) -> float:
        """SGD's momentum at a step."""
        start, end = self.settings.warmup_momentum, self.settings.momentum
        return start + (end - start) * self._warmth(iteration)

    def apply(self, optimizer: Optimizer, iteration: int) -> None:
        """Set the rates for a step; all groups alike, the biases too."""
        for group in optimizer.param_groups:
            group["lr"] = self.lr(iteration)
            if "momentum" in group:
                group["momentum"] = self.momentum(iteration)

    def _warmth(self, iteration: int) -> float:
        return min(iteration / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
