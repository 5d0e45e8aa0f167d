"""The loop: batches in, weights out, and a state from which it goes on as if never stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from yolov12edge.data.batches import Batch
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector
from yolov12edge.train.distillation import Teacher
from yolov12edge.train.distributed import World, across
from yolov12edge.train.ema import average_for
from yolov12edge.train.freeze import freeze, training_mode
from yolov12edge.train.history import EpochRow, Evaluation
from yolov12edge.train.loss import DetectionLoss
from yolov12edge.train.optimizer import build_optimizer, clip_gradients
from yolov12edge.train.precision import Precision
from yolov12edge.train.schedule import Schedule
from yolov12edge.train.settings import TrainingSettings
from yolov12edge.train.state import Position

# Updates in a row; float16 finds the scale of its loss by skipping some.
MOST_SKIPPED = 10
MOST_SKIPPED_SCALED = 40


class Batches(Protocol):
    """Where the loop gets its images from; `yolov12edge.data.TrainingBatches` is one."""

    steps_per_epoch: int

    def epoch(self, epoch: int, *, first_step: int = 0, mosaic: bool = True) -> Iterator[Batch]:
        """The batches of an epoch from `first_step` on."""


class Stopped(Exception):
    """The loop was asked to stop; its position is between two steps."""


@dataclass(frozen=True)
class Hooks:
    """What the loop calls.

    Attributes:
        stop: whether to stop after this step.
        step: after each step, with the loop.
        save: write the state.
        evaluate: AP of a detector.
        record: after each epoch, with its row and whether it is the best so far; before `save`.
    """

    stop: Callable[[], bool]
    step: Callable[[TrainingLoop, Batch], None]
    save: Callable[[TrainingLoop], None]
    evaluate: Callable[[Detector], Evaluation]
    record: Callable[[TrainingLoop, EpochRow, bool], None]


class TrainingLoop:
    """Trains a detector.

    Args:
        model: on any device; trained in place.
        batches: of this process.
        settings: resolved.
        world: the processes of the run.
        teacher: a detector of the same classes to learn from besides the labels.

    Attributes:
        position: where it is; set it, and the weights, from a state before `run`.
        average: the averaged weights, which are evaluated and kept.
    """

    def __init__(
        self,
        model: Detector,
        batches: Batches,
        settings: TrainingSettings,
        world: World,
        teacher: Detector | None = None,
    ) -> None:
        self.settings = settings
        self.world = world
        self.batches = batches
        self.schedule = Schedule(settings, batches.steps_per_epoch)
        self.precision = Precision(settings.amp, world.device)
        self.model = model.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.model, settings.freeze)
        self._dtype = next(self.model.parameters()).dtype
        self.optimizer = build_optimizer(self.model, settings)
        self.average = average_for(self.model, settings, self.schedule.updates)
        self.position = Position()
        self._forward = across(self.model, world, settings.sync_bn)
        self._loss = DetectionLoss(self.model, reduce=world.sum if world.size > 1 else None)
        self._teacher = None
        if teacher is not None:
            self._teacher = Teacher(teacher.to(world.device), self.precision.forward)
        self._losses = torch.zeros(3, dtype=torch.float64, device=world.device)
        self._saved = time.monotonic()

    @property
    def iteration(self) -> int:
        """Steps done since the start of the run."""
        return self.position.epoch * self.batches.steps_per_epoch + self.position.step

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.batches.steps_per_epoch

    def run(self, hooks: Hooks) -> None:
        """Train to the end.

        Raises:
            Stopped: a hook asked for it; `position` and weights are those between two steps.
            CheckpointError: the training diverged.
        """
        self.average.updates = self.position.updates
        self.precision.restore(self.position.scale)
        self._losses.copy_(torch.tensor(self.position.losses))
        while self.position.epoch < self.settings.epochs and not self.position.stopped:
            self._train(hooks)
            row = self._finish(hooks)
            self._advance(row, hooks)

    def synchronise(self) -> Position:
        """The position with the numbers that are kept on the device."""
        box, cls, dfl = self._losses.tolist()
        self.position.losses = (box, cls, dfl)
        self.position.scale = self.precision.scale()
        return self.position

    def _train(self, hooks: Hooks) -> None:
        """The steps of the epoch that are left."""
        position = self.position
        training_mode(self.model, self.settings.freeze)
        mosaic = self.settings.uses_mosaic(position.epoch)
        start = time.monotonic()
        batches = self.batches.epoch(position.epoch, first_step=position.step, mosaic=mosaic)
        for batch in batches:
            self._step(batch)
            position.seconds += time.monotonic() - start
            hooks.step(self, batch)
            if hooks.stop():
                raise Stopped
            if self._save_is_due():
                hooks.save(self)
                self._saved = time.monotonic()
            start = time.monotonic()

    def _step(self, batch: Batch) -> None:
        """Forward, backward, and an update once enough images were seen."""
        position = self.position
        self.schedule.apply(self.optimizer, self.iteration)
        images = batch.images.to(self.world.device, non_blocking=True)
        inputs = images.to(self._dtype, memory_format=torch.channels_last) / 255
        with self.precision.forward():
            levels = self._forward(inputs)
        total, items = self._loss(levels, batch.targets)
        if self._teacher is not None:
            total = total + self._teacher.loss(inputs, levels)
        # Gradients are averaged over the processes, and exchanged at every step, so that those
        # which wait for an update are the same everywhere and can be saved by one of them.
        self.precision.backward(total * self.world.size)
        self._losses += self.world.sum(items)
        position.pending += 1
        if position.pending >= self.settings.accumulate:
            self._update()
            position.pending = 0
        position.step += 1

    def _update(self) -> None:
        position = self.position
        self.precision.unscale(self.optimizer)
        finite = clip_gradients(self.optimizer, self.settings.clip)
        made = self.precision.step(self.optimizer, finite)
        self.optimizer.zero_grad(set_to_none=True)
        if made:
            self.average.update()
            position.updates += 1
        position.skipped = 0 if made else position.skipped + 1
        scaled = self.precision.scaler.is_enabled()
        if position.skipped > (MOST_SKIPPED_SCALED if scaled else MOST_SKIPPED):
            raise CheckpointError(
                f"the training diverged in epoch {position.epoch + 1}: the gradients of "
                f"{position.skipped} updates in a row are NaN or infinite",
                "use a smaller --lr, or --amp off; best.safetensors holds the best weights so far",
            )

    def _finish(self, hooks: Hooks) -> EpochRow:
        """Evaluate, if it is time, and sum the epoch up."""
        position, settings = self.position, self.settings
        number = position.epoch + 1
        evaluation = None
        if number % settings.eval_every == 0 or number == settings.epochs:
            evaluation = self._evaluate(hooks)
        steps = max(position.step, 1)
        box, cls, dfl = (self._losses / steps).tolist()
        return EpochRow(
            epoch=number,
            seconds=position.seconds,
            images_per_second=steps * settings.batch / max(position.seconds, 1e-9),
            updates=position.updates,
            lr=self.schedule.lr(max(self.iteration - 1, 0)),
            box=box,
            cls=cls,
            dfl=dfl,
            evaluation=evaluation,
        )

    def _evaluate(self, hooks: Hooks) -> Evaluation | None:
        if not self.world.leads:
            return None
        return hooks.evaluate(self.average.model)

    def _advance(self, row: EpochRow, hooks: Hooks) -> None:
        """To the next epoch; the state is saved after everything else, so it can be trusted."""
        position, settings = self.position, self.settings
        better = False
        if row.evaluation is not None:
            found = row.evaluation.map or 0.0
            better = position.best is None or found > position.best
            if better:
                position.best, position.best_epoch = found, row.epoch
        position.epoch, position.step, position.seconds = row.epoch, 0, 0.0
        self._losses.zero_()
        stale = row.epoch - (position.best_epoch or row.epoch)
        stop = bool(settings.patience) and stale >= settings.patience
        position.stopped = self.world.from_leader(stop)
        hooks.record(self, row, better)
        hooks.save(self)
        self._saved = time.monotonic()

    def _save_is_due(self) -> bool:
        settings = self.settings
        if settings.save_steps and self.position.step % settings.save_steps == 0:
            return True
        return time.monotonic() - self._saved > 60 * settings.save_minutes
