"""What a training run says when the disk is full."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from yolov12edge.errors import UsageError
from yolov12edge.pipeline.training.report import resume_command
from yolov12edge.train.folder import TrainingFolder


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
