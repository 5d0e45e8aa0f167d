"""How a quantization-aware training ended, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from yolov12edge.pipeline.training.qat.history import QatRow
from yolov12edge.quantize.qat import Int8Record
from yolov12edge.tables import new_fields, spaced
from yolov12edge.train.folder import TrainingFolder

HEAD = f"{'epoch':>9} {'scores':>9} {'boxes':>9} {'features':>9} {'error':>9} {'of PTQ':>7}"


@dataclass(frozen=True)
class QatOutcome:
    """How a run ended.

    Attributes:
        folder: its files.
        rows: what calibration left, then one an epoch; none where nothing was taught.
        record: of the rounding in best.safetensors.
    """

    folder: TrainingFolder
    rows: list[QatRow]
    record: Int8Record

    @property
    def withdrawn(self) -> bool:
        """Whether the rounding is that of calibration after all."""
        return self.record.epoch is None

    def document(self) -> dict[str, Any]:
        """The outcome, ready for JSON."""
        record = self.record
        return {
            "folder": str(self.folder.path),
            "weights": str(self.folder.best),
            "target": record.target,
            "image_size": [record.height, record.width],
            "epochs": record.epochs,
            "updates": self.rows[-1].updates if self.rows else 0,
            "best_epoch": record.epoch,
            "withdrawn": self.withdrawn,
            "error_ptq": record.before,
            "error": record.after,
        }


def row_line(row: QatRow, epochs: int, start: float, better: bool) -> str:
    """One epoch under `HEAD`; a star marks the best so far."""
    counter = f"{row.epoch}/{epochs}"
    share = f"{row.error / start:7.3f}" if start else f"{'-':>7}"
    return (
        f"{counter:>9} {row.scores:9.4f} {row.boxes:9.4f} {row.features:9.4f} {row.error:9.4f} "
        f"{share}{' *' if better else ''}"
    )


def verdict(record: Int8Record) -> str:
    """What came of it, one line."""
    if record.before is None:
        return (
            f"withdrawn: {record.images} images are too few to learn from; the rounding is that of "
            "calibration"
        )
    if record.epoch is None:
        return (
            "withdrawn: on held-back images no epoch was better than calibration, whose rounding "
            "is kept"
        )
    share = (record.after or 0.0) / record.before if record.before else 1.0
    return f"best epoch {record.epoch}: {share:.3f} times the error of calibration (PTQ)"


def qat_summary(outcome: QatOutcome) -> RenderableType:
    """What came of it, the files, and what to do next."""
    folder, record = outcome.folder, outcome.record
    files = new_fields()
    files.add_row("weights", str(folder.best))
    if outcome.rows:
        files.add_row("figures", str(folder.history))
    files.add_row(
        "next",
        f"yolov12edge export --weights {folder.best} --int8 --target {record.target} "
        f"--imgsz {record.height}x{record.width} --data data.yaml",
    )
    return spaced([Text(verdict(record), "bold"), files])
