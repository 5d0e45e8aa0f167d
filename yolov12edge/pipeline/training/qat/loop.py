"""The loop: a student, its teacher, batches, and a state from which it goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov12edge.data.batches import Batch, TrainingBatches
from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector
from yolov12edge.pipeline.training.qat.history import QatRow
from yolov12edge.pipeline.training.qat.request import QatSettings
from yolov12edge.quantize.qat import QatRates, Student
from yolov12edge.train.distillation import distillation_losses, feature_loss, head_error
from yolov12edge.train.loop import Stopped
from yolov12edge.train.loss import DetectionLoss
from yolov12edge.train.state import Position

# Gradients of weights in steps are tiny: Adam's usual 1e-8 would outweigh them.
_EPSILON = 1e-15
# The first steps, in which Adam knows little, go slowly: this share of the run.
_WARMUP = 0.05
_SECONDS = 60.0


@dataclass(frozen=True)
class QatHooks:
    """What the loop calls.

    Attributes:
        stop: whether to stop after this step.
        step: after each step.
        save: write the state.
        record: after each epoch, with its row and whether it is the best so far; before `save`.
        judged: with the number of held-back images that were looked at.
    """

    stop: Callable[[], bool]
    step: Callable[[], None]
    save: Callable[[], None]
    record: Callable[[QatRow, bool], None]
    judged: Callable[[int], None]


class QatLoop:
    """Teaches a student.

    Args:
        student: as calibration left it.
        kept: its twin, which takes the numbers of the best epoch.
        detector: the float detector.
        teacher: another detector to learn from; the float graph itself if None.
        batches: of images that teach.
        labelled: whether their boxes are known.
        judging: makes the held-back images, (3, H, W) RGB in 0..1, each time it is called.
        settings: how learning goes.

    Attributes:
        position: where it is; `best` is the least error on held-back images, `best_epoch` the epoch
            that it is of, None for calibration. Set it, and the students, from a state before
            `run`.
        start: error on the held-back images as calibration left it.
    """

    def __init__(
        self,
        student: Student,
        kept: Student,
        detector: Detector,
        teacher: Detector | None,
        batches: TrainingBatches,
        labelled: bool,
        judging: Callable[[], Iterator[Tensor]],
        settings: QatSettings,
    ) -> None:
        self.student, self.kept, self.settings = student, kept, settings
        self.batches, self._judging = batches, judging
        self._teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self._detection = DetectionLoss(detector) if labelled and settings.detection else None
        groups = [{**group, "lr": 0.0} for group in student.parameter_groups(QatRates())]
        self.optimizer = torch.optim.Adam(groups, eps=_EPSILON)
        self.position = Position()
        self.start = 0.0

    @property
    def iteration(self) -> int:
        """Steps done since the start of the run."""
        return self.position.epoch * self.batches.steps_per_epoch + self.position.step

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.settings.epochs * self.batches.steps_per_epoch

    def run(self, hooks: QatHooks) -> None:
        """Learn to the end.

        Raises:
            Stopped: a hook asked for it; `position` and students are those between two steps.
            CheckpointError: the training diverged.
        """
        position = self.position
        while position.epoch < self.settings.epochs:
            self._train(hooks)
            self._finish(hooks)

    def measure_start(self, hooks: QatHooks) -> QatRow:
        """Judge calibration, which every epoch has to beat; as row 0.

        Raises:
            Stopped: a hook asked for it.
        """
        self.start = self.position.best = self.judge(self.kept, hooks)
        return QatRow(0, 0.0, 0, 0.0, 0.0, 0.0, self.start)

    def judge(self, student: Student, hooks: QatHooks) -> float:
        """Error of the head on the held-back images, the mean of all of them."""
        errors = []
        for image in self._judging():
            if hooks.stop():
                raise Stopped
            with torch.no_grad():
                theirs, _ = self._teach(image[None])
                found = head_error(student.levels(student(image[None])), theirs)
            errors.append(float(found))
            hooks.judged(len(errors))
        return sum(errors) / len(errors)

    def _teach(self, images: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor] | None]:
        """Levels and, of the float graph itself, maps in front of the head."""
        with torch.no_grad():
            if self._teacher is not None:
                return self._teacher.raw(images), None
            values = self.student.exact(images)
            return self.student.levels(values), self.student.features(values)

    def _train(self, hooks: QatHooks) -> None:
        """The steps of the epoch that are left."""
        position, saved = self.position, time.monotonic()
        start = saved
        for batch in self.batches.epoch(position.epoch, first_step=position.step, mosaic=False):
            self._step(batch)
            position.seconds += time.monotonic() - start
            hooks.step()
            if hooks.stop():
                raise Stopped
            by_count = self.settings.save_steps and position.step % self.settings.save_steps == 0
            if by_count or time.monotonic() - saved > _SECONDS * self.settings.save_minutes:
                hooks.save()
                saved = time.monotonic()
            start = time.monotonic()

    def _step(self, batch: Batch) -> None:
        position, settings = self.position, self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self._rate()
        images = batch.images.float() / 255
        theirs, maps = self._teach(images)
        values = self.student(images)
        levels = self.student.levels(values)
        scores, boxes = distillation_losses(levels, theirs)
        losses = [scores, settings.box * boxes, scores.new_zeros(())]
        if maps is not None:
            losses[2] = settings.feature * feature_loss(self.student.features(values), maps)
        total = torch.stack(losses).sum()
        if self._detection is not None:
            against_labels, _ = self._detection(levels, batch.targets)
            total = total + settings.detection * against_labels / len(images)
        if not bool(torch.isfinite(total)):
            raise CheckpointError(
                f"the training diverged in epoch {position.epoch + 1}: its loss is not finite",
                "use a smaller --lr; best.safetensors holds the best rounding so far",
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.student.constrain()
        first, second, third = (float(loss.detach()) for loss in losses)
        one, two, three = position.losses
        position.losses = (one + first, two + second, three + third)
        position.updates += 1
        position.step += 1

    def _rate(self) -> float:
        done, warm = self.iteration, max(1.0, _WARMUP * self.total)
        falling = 0.5 + 0.5 * math.cos(math.pi * done / self.total)
        return self.settings.lr * min(1.0, (done + 1) / warm) * falling

    def _finish(self, hooks: QatHooks) -> None:
        """Judge the epoch and keep it if it is the best; the state is saved last."""
        position, steps = self.position, max(self.position.step, 1)
        error = self.judge(self.student, hooks)
        assert position.best is not None
        better = error < position.best
        scores, boxes, maps = (loss / steps for loss in position.losses)
        row = QatRow(
            epoch=position.epoch + 1,
            seconds=position.seconds,
            updates=position.updates,
            scores=scores,
            boxes=boxes,
            features=maps,
            error=error,
        )
        if better:
            position.best, position.best_epoch = error, row.epoch
            self.kept.load_state_dict(self.student.state_dict())
        position.epoch, position.step, position.seconds = row.epoch, 0, 0.0
        position.losses = (0.0, 0.0, 0.0)
        hooks.record(row, better)
        hooks.save()
