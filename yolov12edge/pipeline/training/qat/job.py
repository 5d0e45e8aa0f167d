"""Quantization-aware training from a request to the files of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolov12edge.checkpoints import save_safetensors
from yolov12edge.checkpoints.flat import INT8_RECORD
from yolov12edge.interrupts import interrupts_noted
from yolov12edge.pipeline.training.guards import disk_watched, interrupted, new_folder
from yolov12edge.pipeline.training.qat.history import QatRow, read_rows, write_rows
from yolov12edge.pipeline.training.qat.loop import QatHooks, QatLoop
from yolov12edge.pipeline.training.qat.outcome import HEAD, QatOutcome, row_line, verdict
from yolov12edge.pipeline.training.qat.preparation import QatPreparation, prepare_qat
from yolov12edge.pipeline.training.qat.request import (
    QatRequest,
    QatSettings,
    read_request,
    write_request,
)
from yolov12edge.pipeline.training.report import opening_lines
from yolov12edge.pipeline.training.request import absolute
from yolov12edge.quantize.qat import Int8Record
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.loop import Stopped
from yolov12edge.train.state import load_state, save_state
from yolov12edge.voice import Progress, Voice


def train_qat(request: QatRequest, out: Path, voice: Voice, progress: Progress) -> QatOutcome:
    """Teach the INT8 form of a checkpoint, into a new folder.

    Raises:
        DataError: the images or labels cannot serve.
        CheckpointError: weights or teacher cannot serve, or the training diverged.
        UsageError: the folder cannot be written or holds a run, or the target has no INT8.
        Interrupted: Ctrl-C; the state is saved.
    """
    return _run(absolute(request), new_folder(out), voice, progress)


def resume_qat(
    folder: TrainingFolder, voice: Voice, progress: Progress, **changes: Any
) -> QatOutcome:
    """Go on with a run as if it had never stopped.

    Args:
        changes: settings that do not change the result, such as `workers`.

    Raises:
        as `train_qat`.
    """
    request = read_request(folder)
    if changes:
        settings = QatSettings.model_validate({**request.settings.model_dump(), **changes})
        request = request.model_copy(update={"settings": settings})
    return _run(request, folder, voice, progress)


def _run(
    request: QatRequest, folder: TrainingFolder, voice: Voice, progress: Progress
) -> QatOutcome:
    ready = prepare_qat(request, progress)
    run = _Run(folder, ready, voice, progress)
    with disk_watched(folder):
        resumed = ready.loop is not None and folder.state.exists()
        run.open(request, resumed)
        if ready.loop is not None:
            run.learn(ready.loop)
        record = run.write()
        run.say(verdict(record))
    return QatOutcome(folder, run.rows, record)


@dataclass
class _Run:
    """A run while it is going on: what it says and writes.

    Attributes:
        rows: of the epochs that are done.
    """

    folder: TrainingFolder
    ready: QatPreparation
    voice: Voice
    progress: Progress
    rows: list[QatRow] = field(default_factory=list)

    def open(self, request: QatRequest, resumed: bool) -> None:
        """Make the folder, or read what it has, and say what is going to happen."""
        folder, ready = self.folder, self.ready
        chosen = ready.chosen()
        folder.path.mkdir(parents=True, exist_ok=True)
        if resumed and ready.loop is not None:
            loop = ready.loop
            loop.position = load_state(folder.state, loop.student, loop.kept, loop.optimizer)
            if loop.position.best is not None:
                self.rows += read_rows(folder.history, loop.position.epoch)
                loop.start = self.rows[0].error
            self.say(f"resumed after epoch {loop.position.epoch}, step {loop.position.step}")
        else:
            for old in (folder.state, folder.history, folder.best):
                old.unlink(missing_ok=True)
            write_request(folder, request, chosen)
        for line in opening_lines(chosen, ready.images.teaching.summary()):
            self.say(line)

    def learn(self, loop: QatLoop) -> None:
        """Run the loop to its end, or to Ctrl-C."""
        held_back = len(self.ready.images.judging)
        with interrupts_noted() as stop:
            hooks = QatHooks(
                stop,
                lambda: self.progress("training", loop.iteration, loop.total),
                lambda: self._save(loop),
                lambda row, better: self._record(loop, row, better),
                lambda done: self.progress("judging", done, held_back),
            )
            try:
                if loop.position.best is None:
                    self.rows.append(loop.measure_start(hooks))
                    write_rows(self.folder.history, self.rows)
                self.say(f"error on held-back images as calibrated: {loop.start:.4f}")
                self.say(HEAD)
                loop.run(hooks)
            except Stopped:
                self._save(loop)
                raise interrupted(self.folder, loop.iteration, loop.total) from None

    def write(self) -> Int8Record:
        """Write best.safetensors with the best rounding so far."""
        learned, record = self.ready.learned()
        save_safetensors(
            self.ready.checkpoint,
            self.folder.best,
            extra={INT8_RECORD: record.model_dump(mode="json")},
            tensors=self.ready.tensors(learned),
        )
        return record

    def say(self, line: str) -> None:
        """A line for people and for the log."""
        self.voice.info(line)
        self.folder.note(line)

    def _save(self, loop: QatLoop) -> None:
        save_state(self.folder.state, loop.position, loop.student, loop.kept, loop.optimizer)

    def _record(self, loop: QatLoop, row: QatRow, better: bool) -> None:
        self.rows.append(row)
        self.say(row_line(row, loop.settings.epochs, loop.start, better))
        if better:
            self.write()
        write_rows(self.folder.history, self.rows)
