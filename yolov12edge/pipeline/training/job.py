"""The training job from a request to the files of a run."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from yolov12edge.checkpoints import Fit, InitialWeights
from yolov12edge.data.batches import Batch, TrainingBatches
from yolov12edge.data.samples import SampleSet, load_samples
from yolov12edge.errors import DataError, Interrupted, UsageError
from yolov12edge.interrupts import interrupts_noted
from yolov12edge.model import Detector
from yolov12edge.pipeline.training.evaluation import Validator
from yolov12edge.pipeline.training.outcome import TrainOutcome
from yolov12edge.pipeline.training.pictures import PREVIEWS, save_batch, save_predictions
from yolov12edge.pipeline.training.report import (
    HEAD,
    epoch_line,
    opening_lines,
    resume_command,
)
from yolov12edge.pipeline.training.request import TrainRequest, read_request, write_request
from yolov12edge.pipeline.training.weights import fit_text, starting_model
from yolov12edge.train.allocator import keep_freed_memory
from yolov12edge.train.curves import INSTALL, can_draw, draw_curves
from yolov12edge.train.distributed import World, open_world
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.history import EpochRow, Evaluation, read_history, write_history
from yolov12edge.train.loop import Hooks, Stopped, TrainingLoop
from yolov12edge.train.settings import TrainingSettings
from yolov12edge.train.state import load_state, save_state
from yolov12edge.train.tensorboard import Board, open_board

Progress = Callable[[str, int, int], None]


class Voice(Protocol):
    """Who says what the job does."""

    def info(self, text: str) -> None:
        """A remark."""

    def warn(self, text: str) -> None:
        """A warning."""


def train(
    request: TrainRequest, out: Path, voice: Voice, progress: Progress
) -> TrainOutcome | None:
    """Train a detector into a new folder.

    Returns:
        how it ended; None in all processes but the first, which have nothing to say.

    Raises:
        DataError: the images or labels cannot serve.
        CheckpointError: the weights cannot serve, or the training diverged.
        UsageError: the folder cannot be written or holds a run, or an option makes no sense.
        Interrupted: Ctrl-C; the state is saved.
    """
    folder = TrainingFolder(out)
    if folder.arguments.exists():
        raise UsageError(
            f"{out} holds a training run already",
            f"go on with it: {resume_command(folder)}, or choose another folder with --out",
        )
    return _run(request, folder, voice, progress, resumed=False)


def resume(path: Path, voice: Voice, progress: Progress, **changes: Any) -> TrainOutcome | None:
    """Go on with a run as if it had never stopped.

    Args:
        path: its folder.
        changes: settings that do not change the result, such as `workers`.

    Returns:
        as `train`.

    Raises:
        CheckpointError: the folder holds no run.
        and as `train`.
    """
    folder = TrainingFolder(path)
    request = read_request(folder)
    if changes:
        settings = request.settings.model_copy(update=changes)
        request = request.model_copy(update={"settings": settings})
    return _run(request, folder, voice, progress, resumed=folder.state.exists())


@dataclass
class _Job:
    """A run while it is going on."""

    request: TrainRequest
    settings: TrainingSettings
    folder: TrainingFolder
    voice: Voice
    progress: Progress
    world: World
    names: tuple[str, ...]
    origin: dict[str, Any]
    validator: Validator | None
    board: Board
    stop: Callable[[], bool]
    rows: list[EpochRow] = field(default_factory=list)

    def hooks(self) -> Hooks:
        return Hooks(self.stop, self.step, self.save, self.evaluate, self.record)

    def step(self, loop: TrainingLoop, batch: Batch) -> None:
        position = loop.position
        if not self.world.leads:
            return
        if position.epoch == 0 and position.step <= PREVIEWS:
            save_batch(self.folder.path, position.step, batch, self.names)
        label = f"epoch {position.epoch + 1}/{self.settings.epochs}"
        self.progress(label, position.step, loop.batches.steps_per_epoch)

    def save(self, loop: TrainingLoop) -> None:
        if self.world.leads:
            position = loop.synchronise()
            save_state(self.folder.state, position, loop.model, loop.average.model, loop.optimizer)

    def evaluate(self, model: Detector) -> Evaluation:
        assert self.validator is not None

        def report(done: int, total: int) -> None:
            if self.stop():
                raise Stopped
            self.progress("evaluation", done, total)

        return self.validator(model, report)

    def record(self, loop: TrainingLoop, row: EpochRow, better: bool) -> None:
        if not self.world.leads:
            return
        self.rows.append(row)
        self.say(epoch_line(row, self.settings.epochs, better))
        extra = self.origin | {"epoch": row.epoch}
        if row.evaluation is not None:
            extra |= {"map": row.evaluation.map, "map50": row.evaluation.map50}
        model = loop.average.model
        if better:
            self.folder.save_weights(self.folder.best, model, extra, self.settings.half)
            assert self.validator is not None
            save_predictions(self.folder.path, self.validator.examples, self.names)
        self.folder.save_weights(self.folder.last, model, extra)
        write_history(self.folder.history, self.rows, self.names)
        if can_draw():
            draw_curves(self.folder.curves, self.rows)
        self.board.add(row)

    def say(self, line: str) -> None:
        self.voice.info(line)
        self.folder.note(line)


def _run(
    request: TrainRequest,
    folder: TrainingFolder,
    voice: Voice,
    progress: Progress,
    *,
    resumed: bool,
) -> TrainOutcome | None:
    with open_world(request.device) as world, contextlib.ExitStack() as stack:
        if world.device.type == "cpu":
            keep_freed_memory()
        samples = load_samples(request.data, "train")
        names = samples.names
        checked = _validation_set(request, names) if world.leads else None
        model, initial, fit = starting_model(request, names)
        settings = request.settings.resolved(len(samples))
        batches = TrainingBatches(
            samples,
            request.strengths(model.architecture.scale),
            image_size=settings.image_size,
            batch=settings.batch,
            seed=settings.seed,
            workers=settings.workers,
            cache=settings.cache,
            rank=world.rank,
            world=world.size,
        )
        loop = TrainingLoop(model, batches, settings, world)
        if resumed:
            loop.position = load_state(folder.state, loop.model, loop.average.model, loop.optimizer)
        validator = _validator(checked, settings, loop) if checked else None
        stop = stack.enter_context(interrupts_noted())
        board = stack.enter_context(open_board(folder.path, world.leads))
        origin = _origin(initial, settings)
        job = _Job(
            request, settings, folder, voice, progress, world, names, origin, validator, board, stop
        )
        with _disk_watched(folder):
            if world.leads:
                _open(job, samples, checked, loop, fit, resumed)
            _train(job, loop)
        if not world.leads:
            return None
        position = loop.position
        best = next((row.evaluation for row in job.rows if row.epoch == position.best_epoch), None)
        return TrainOutcome(folder, job.rows, best, position.best_epoch, position.stopped)


def _train(job: _Job, loop: TrainingLoop) -> None:
    try:
        loop.run(job.hooks())
    except Stopped:
        job.save(loop)
        done, total = loop.iteration, job.settings.epochs * loop.batches.steps_per_epoch
        if job.world.leads:
            job.folder.note(f"interrupted after step {done} of {total}")
        raise Interrupted(
            f"interrupted after step {done} of {total}; the state is saved",
            f"go on with: {resume_command(job.folder)}",
        ) from None
    if job.world.leads and loop.position.stopped:
        job.say(f"stopped early: no better mAP for {job.settings.patience} epochs")


def _open(
    job: _Job,
    samples: SampleSet,
    checked: SampleSet | None,
    loop: TrainingLoop,
    fit: Fit | None,
    resumed: bool,
) -> None:
    """Make the folder and say what is going to happen."""
    folder, settings = job.folder, job.settings
    architecture = loop.model.architecture
    chosen: dict[str, Any] = {
        "model": f"YOLOv12-{architecture.scale} ({architecture.layout})",
        "images": f"{len(samples)} to train, {len(checked or ())} to evaluate",
        "optimizer": settings.optimizer,
        "lr": settings.lr,
        "batch": f"{settings.batch} x {settings.accumulate}",
        "ema": f"{loop.average.decay:.5f}",
        "amp": loop.precision.name,
        "device": str(job.world.device) + (f" x {job.world.size}" if job.world.size > 1 else ""),
    }
    folder.path.mkdir(parents=True, exist_ok=True)
    if resumed:
        job.rows += read_history(folder.history, loop.position.epoch, job.names)
        job.say(f"resumed after epoch {loop.position.epoch}, step {loop.position.step}")
    else:
        for old in (folder.state, folder.history, folder.best, folder.last):
            old.unlink(missing_ok=True)
        write_request(folder, job.request, chosen)
    for line in opening_lines(
        job.request, chosen, [*samples.summary(), *(checked or samples).summary()]
    ):
        job.say(line)
    if fit is not None and not resumed:
        job.say(fit_text(fit, job.request))
    if not can_draw():
        job.say(f"no curves.png without matplotlib: {INSTALL}")
    job.say(HEAD)


def _validation_set(request: TrainRequest, names: tuple[str, ...]) -> SampleSet:
    if request.val is None and request.data.suffix.lower() == ".json":
        raise UsageError(
            f"{request.data} has no images to evaluate on", "pass them with --val FILE"
        )
    found = load_samples(request.val or request.data, "val")
    if found.names != names:
        raise DataError(
            f"training knows the classes {', '.join(names)}, validation {', '.join(found.names)}",
            "give both the same names in the same order",
        )
    return found


def _validator(samples: SampleSet, settings: TrainingSettings, loop: TrainingLoop) -> Validator:
    return Validator(
        samples, settings.image_size, settings.batch, loop.world.device, loop.precision.forward
    )


def _origin(initial: InitialWeights | None, settings: TrainingSettings) -> dict[str, Any]:
    """What weight files say about where they come from."""
    height, width = settings.image_size
    record: dict[str, Any] = {"image_size": max(height, width), "seed": settings.seed}
    if initial is not None:
        record |= {"started_from": initial.sha256, "license": initial.license}
    return record


@contextlib.contextmanager
def _disk_watched(folder: TrainingFolder) -> Iterator[None]:
    """Say how to go on where a file could not be written; what was there before still is."""
    try:
        yield
    except (OSError, UsageError) as error:
        number = error.errno if isinstance(error, OSError) else None
        full = number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if not full:
            raise
        raise UsageError(
            f"the disk of {folder.path} is full; the state before is still there",
            f"free some space, then: {resume_command(folder)}",
        ) from error
