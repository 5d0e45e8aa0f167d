"""The files of a training run, each whole or as it was before."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.checkpoints import save_safetensors
from yolov12edge.model import Detector

STATE = "state.safetensors"
ARGUMENTS = "args.json"


@dataclass(frozen=True)
class TrainingFolder:
    """Where a run keeps what it makes."""

    path: Path

    @property
    def best(self) -> Path:
        """Averaged weights of the epoch of highest mAP."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """Averaged weights of the last epoch."""
        return self.path / "last.safetensors"

    @property
    def state(self) -> Path:
        """What `--resume` goes on from."""
        return self.path / STATE

    @property
    def arguments(self) -> Path:
        """Settings and versions."""
        return self.path / ARGUMENTS

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.path / "results.csv"

    @property
    def curves(self) -> Path:
        """The rows as a picture."""
        return self.path / "curves.png"

    @property
    def log(self) -> Path:
        """What was said, with the time."""
        return self.path / "log.txt"

    def note(self, line: str) -> None:
        """Append a line to the log."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{stamp}  {line}\n")

    def save_weights(
        self, path: Path, model: Detector, extra: dict[str, Any], half: bool = False
    ) -> None:
        """Write a detector under the published names, as `load_model` and `export` take it."""
        save_safetensors(model, path, half, extra)
