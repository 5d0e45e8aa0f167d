"""What a training run says, line by line and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from yolov12edge.pipeline.training.outcome import TrainOutcome
from yolov12edge.tables import add_numbers, new_fields, new_table, spaced
from yolov12edge.train.folder import TrainingFolder
from yolov12edge.train.history import EpochRow

HEAD = (
    f"{'epoch':>9} {'box':>7} {'cls':>7} {'dfl':>7} {'lr':>9} {'mAP':>7} {'mAP50':>7} {'img/s':>7}"
)


def epoch_line(row: EpochRow, epochs: int, better: bool) -> str:
    """One epoch under `HEAD`; a star marks the best so far."""
    found = row.evaluation
    precision = [figure(found.map if found else None), figure(found.map50 if found else None)]
    counter = f"{row.epoch}/{epochs}"
    return (
        f"{counter:>9} {row.box:7.3f} {row.cls:7.3f} {row.dfl:7.3f} {row.lr:9.2e} "
        f"{precision[0]:>7} {precision[1]:>7} {row.images_per_second:7.1f}{' *' if better else ''}"
    )


def figure(value: float | None) -> str:
    """An average precision, or a dash where there is none."""
    return "-" if value is None else f"{value:.4f}"


def training_summary(outcome: TrainOutcome) -> RenderableType:
    """The best epoch by class, the files, and what to do next."""
    parts: list[RenderableType] = []
    folder, best = outcome.folder, outcome.best
    weights = folder.last if best is None else folder.best
    if best is not None:
        # Above the table, not its title, which would be wrapped to the table's width.
        head = f"best epoch {outcome.best_epoch}: mAP50-95 {figure(best.map)}"
        parts.append(Text(f"{head}, mAP50 {figure(best.map50)}", "bold"))
        table = new_table()
        table.add_column("class")
        add_numbers(table, "mAP50-95")
        for name, value in best.per_class.items():
            table.add_row(name, figure(value))
        parts.append(table)
    files = new_fields()
    files.add_row("weights", str(weights))
    curves = f", {folder.curves.name}" if folder.curves.exists() else ""
    files.add_row("figures", f"{folder.history}{curves}")
    files.add_row("next", f"yolov12edge export --weights {weights}")
    return spaced([*parts, files])


def resume_command(folder: TrainingFolder) -> str:
    """How a run goes on."""
    return f"yolov12edge train --resume {folder.path}"


def opening_lines(chosen: Mapping[str, object], problems: Sequence[str]) -> list[str]:
    """What is about to be done."""
    lines = [f"data: {line}" for line in problems]
    lines.append(", ".join(f"{name} {value}" for name, value in chosen.items()))
    return lines
