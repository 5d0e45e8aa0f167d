"""The training job from a request to the files of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolov12edge.interrupts import interrupts_noted
from yolov12edge.pipeline.training.guards import disk_watched, interrupted, new_folder
from yolov12edge.pipeline.training.outcome import TrainOutcome
from yolov12edge.pipeline.training.preparation import prepare
from yolov12edge.pipeline.training.qat import QatOutcome, is_qat, resume_qat
from yolov12edge.pipeline.training.request import TrainRequest, absolute, read_request
from yolov12edge.pipeline.training.session import Session
from yolov12edge.train.distributed import open_world
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.loop import Stopped, TrainingLoop
from yolov12edge.train.settings import TrainingSettings
from yolov12edge.train.state import load_state
from yolov12edge.train.tensorboard import open_board
from yolov12edge.voice import Progress, Voice


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
    return _run(absolute(request), new_folder(out), voice, progress, resumed=False)


def resume(
    path: Path, voice: Voice, progress: Progress, **changes: Any
) -> TrainOutcome | QatOutcome | None:
    """Go on with a run, of either kind, as if it had never stopped.

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
    if is_qat(folder):
        return resume_qat(folder, voice, progress, **changes)
    request = read_request(folder)
    if changes:
        settings = TrainingSettings.model_validate({**request.settings.model_dump(), **changes})
        request = request.model_copy(update={"settings": settings})
    return _run(request, folder, voice, progress, resumed=folder.state.exists())


def _run(
    request: TrainRequest,
    folder: TrainingFolder,
    voice: Voice,
    progress: Progress,
    *,
    resumed: bool,
) -> TrainOutcome | None:
    with open_world(request.device) as world:
        ready = prepare(request, world)
        loop = ready.loop
        if resumed:
            loop.position = load_state(folder.state, loop.model, loop.average.model, loop.optimizer)
        with (
            disk_watched(folder),
            interrupts_noted() as stop,
            open_board(folder.path, world.leads) as board,
        ):
            session = Session(folder, ready, voice, progress, board, stop)
            session.open(request, resumed)
            _train(session, loop)
        return _outcome(session, loop) if world.leads else None


def _train(session: Session, loop: TrainingLoop) -> None:
    try:
        loop.run(session.hooks())
    except Stopped:
        session.save(loop)
        raise interrupted(session.folder, loop.iteration, loop.total, session.leads) from None
    if loop.position.stopped:
        session.say(f"stopped early: no better mAP for {loop.settings.patience} epochs")


def _outcome(session: Session, loop: TrainingLoop) -> TrainOutcome:
    position, rows = loop.position, session.rows
    best = next((row.evaluation for row in rows if row.epoch == position.best_epoch), None)
    return TrainOutcome(session.folder, rows, best, position.best_epoch, position.stopped)
