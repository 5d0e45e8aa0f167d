"""A run while it is going on: what the loop's hooks say and write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from yolov12edge.data.batches import Batch
from yolov12edge.model import Detector
from yolov12edge.pipeline.training.pictures import PREVIEWS, save_batch, save_predictions
from yolov12edge.pipeline.training.preparation import Preparation
from yolov12edge.pipeline.training.report import HEAD, epoch_line, opening_lines
from yolov12edge.pipeline.training.request import TrainRequest, write_request
from yolov12edge.pipeline.training.weights import fit_text
from yolov12edge.train.curves import INSTALL, can_draw, draw_curves
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.history import EpochRow, Evaluation, read_history, write_history
from yolov12edge.train.loop import Hooks, Stopped, TrainingLoop
from yolov12edge.train.state import save_state
from yolov12edge.train.tensorboard import Board
from yolov12edge.voice import Progress, Voice

SECONDS_BETWEEN_CURVES = 10


@dataclass
class Session:
    """Prints, evaluates and writes in the first process of a run; does nothing in the others.

    Attributes:
        rows: of the epochs that are done.
    """

    folder: TrainingFolder
    ready: Preparation
    voice: Voice
    progress: Progress
    board: Board
    stop: Callable[[], bool]
    rows: list[EpochRow] = field(default_factory=list)
    _told: set[Path] = field(default_factory=set)
    _drawn: float = 0.0

    @property
    def leads(self) -> bool:
        """Whether this is the process that does something."""
        return self.ready.loop.world.leads

    def open(self, request: TrainRequest, resumed: bool) -> None:
        """Make the folder, or read what it has, and say what is going to happen."""
        if not self.leads:
            return
        folder, position = self.folder, self.ready.loop.position
        chosen = self.ready.chosen()
        folder.path.mkdir(parents=True, exist_ok=True)
        if resumed:
            self.rows += read_history(folder.history, position.epoch, self.ready.samples.names)
            self.say(f"resumed after epoch {position.epoch}, step {position.step}")
        else:
            for old in (folder.state, folder.history, folder.best, folder.last):
                old.unlink(missing_ok=True)
            write_request(folder, request, chosen)
        for line in opening_lines(chosen, self.ready.problems):
            self.say(line)
        if self.ready.fit is not None and not resumed:
            self.say(fit_text(self.ready.fit, request))
        if not can_draw():
            self.say(f"no curves.png without matplotlib: {INSTALL}")
        self.say(HEAD)

    def hooks(self) -> Hooks:
        """What the loop calls."""
        return Hooks(self.stop, self._step, self.save, self._evaluate, self._record)

    def say(self, line: str) -> None:
        """A line for people and for the log."""
        if self.leads:
            self.voice.info(line)
            self.folder.note(line)

    def _step(self, loop: TrainingLoop, batch: Batch) -> None:
        if not self.leads:
            return
        if loop.iteration <= PREVIEWS:
            save_batch(self.folder.path, loop.iteration, batch, self.ready.samples.names)
        self.progress("training", loop.iteration, loop.total)

    def save(self, loop: TrainingLoop) -> None:
        """Write the state."""
        if self.leads:
            position = loop.synchronise()
            save_state(self.folder.state, position, loop.model, loop.average.model, loop.optimizer)

    def _evaluate(self, model: Detector) -> Evaluation:
        assert self.ready.validator is not None

        def report(label: str, done: int, total: int) -> None:
            if self.stop():
                raise Stopped
            self.progress(label, done, total)

        return self.ready.validator(model, report)

    def _record(self, loop: TrainingLoop, row: EpochRow, better: bool) -> None:
        if not self.leads:
            return
        self.rows.append(row)
        self.say(epoch_line(row, loop.settings.epochs, better))
        self._tell_problems()
        extra = self.ready.origin | {"epoch": row.epoch}
        if row.evaluation is not None:
            extra |= {"map": row.evaluation.map, "map50": row.evaluation.map50}
        model = loop.average.model
        if better:
            self.folder.save_weights(self.folder.best, model, extra, loop.settings.half)
            assert self.ready.validator is not None
            save_predictions(
                self.folder.path, self.ready.validator.examples, self.ready.samples.names
            )
        self.folder.save_weights(self.folder.last, model, extra)
        write_history(self.folder.history, self.rows, self.ready.samples.names)
        self.board.add(row)
        last = row.epoch == loop.settings.epochs or loop.position.stopped
        if can_draw() and (last or time.monotonic() - self._drawn > SECONDS_BETWEEN_CURVES):
            draw_curves(self.folder.curves, self.rows)
            self._drawn = time.monotonic()

    def _tell_problems(self) -> None:
        """Images that turned out to be broken, once each."""
        validator = self.ready.validator
        unreadable = validator.unreadable if validator else []
        for problem in [*self.ready.batches.problems, *unreadable]:
            if problem.path not in self._told:
                self._told.add(problem.path)
                self.voice.warn(str(problem))
                self.folder.note(f"warning: {problem}")
