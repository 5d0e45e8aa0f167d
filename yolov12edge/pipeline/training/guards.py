"""What a training run says of its folder: taken already, interrupted, or on a full disk."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from yolov12edge.errors import Interrupted, UsageError
from yolov12edge.pipeline.training.report import resume_command
from yolov12edge.train.folder import TrainingFolder


def new_folder(out: Path) -> TrainingFolder:
    """The folder of a new run.

    Raises:
        UsageError: it holds one already.
    """
    folder = TrainingFolder(out)
    if folder.arguments.exists():
        raise UsageError(
            f"{out} holds a training run already",
            f"go on with it: {resume_command(folder)}, or choose another folder with --out",
        )
    return folder


def interrupted(folder: TrainingFolder, step: int, steps: int, leads: bool = True) -> Interrupted:
    """The error of a run that was stopped after a step, whose state is saved.

    Args:
        leads: whether this is the process that writes it into the log too.
    """
    where = f"interrupted after step {step} of {steps}"
    if leads:
        folder.note(where)
    return Interrupted(f"{where}; the state is saved", f"go on with: {resume_command(folder)}")


@contextlib.contextmanager
def disk_watched(folder: TrainingFolder) -> Iterator[None]:
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
