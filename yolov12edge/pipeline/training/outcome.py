"""How a training run ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.history import EpochRow, Evaluation


@dataclass(frozen=True)
class TrainOutcome:
    """How a run ended.

    Attributes:
        folder: its files.
        rows: one an epoch.
        best: the evaluation of the best epoch, None if none was made.
        best_epoch: counted from 1.
        stopped: it ended before its last epoch, since the mAP rose no more.
    """

    folder: TrainingFolder
    rows: list[EpochRow]
    best: Evaluation | None
    best_epoch: int | None
    stopped: bool

    def document(self) -> dict[str, Any]:
        """The outcome, ready for JSON."""
        found = self.best
        return {
            "folder": str(self.folder.path),
            "weights": str(self.folder.best),
            "last": str(self.folder.last),
            "epochs": len(self.rows),
            "stopped_early": self.stopped,
            "best_epoch": self.best_epoch,
            "map": found.map if found else None,
            "map50": found.map50 if found else None,
            "map_per_class": found.per_class if found else None,
        }
