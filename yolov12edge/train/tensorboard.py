"""The figures of each epoch for TensorBoard, where it is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yolov12edge.train.history import EpochRow


class Board:
    """Takes the figures of each epoch.

    Args:
        writer: TensorBoard's, or None where there is none.
    """

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    def add(self, row: EpochRow) -> None:
        """Take one epoch."""
        if self._writer is None:
            return
        figures = {"loss/box": row.box, "loss/cls": row.cls, "loss/dfl": row.dfl, "lr": row.lr}
        if row.evaluation is not None:
            figures |= {"map/50-95": row.evaluation.map or 0, "map/50": row.evaluation.map50 or 0}
            figures |= {f"map/{name}": ap or 0 for name, ap in row.evaluation.per_class.items()}
        for name, value in figures.items():
            self._writer.add_scalar(name, value, row.epoch)
        self._writer.flush()


@contextlib.contextmanager
def open_board(folder: Path, wanted: bool) -> Iterator[Board]:
    """A board that writes into a folder, or one that does nothing."""
    try:
        if not wanted:
            raise ImportError
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        yield Board()
        return
    writer = SummaryWriter(str(folder))
    try:
        yield Board(writer)
    finally:
        writer.close()
