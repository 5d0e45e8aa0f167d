"""results.csv as a picture: losses, average precision, learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolov12edge.files import atomic_path
from yolov12edge.train.history import EpochRow

LOSSES = ("box", "cls", "dfl")
INSTALL = 'pip install "yolov12edge[train]"'


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw_curves(path: Path, rows: Sequence[EpochRow]) -> None:
    """Draw all rows as a PNG of three panels, atomically; matplotlib must be there."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, precision, rate = figure.subplots(1, 3)
    epochs = [row.epoch for row in rows]
    for name in LOSSES:
        losses.plot(epochs, [getattr(row, name) for row in rows], label=name)
    losses.set_title("loss")
    measured = [row for row in rows if row.evaluation is not None]
    for name, label in (("map", "mAP50-95"), ("map50", "mAP50")):
        values = [getattr(row.evaluation, name) or 0.0 for row in measured]
        precision.plot([row.epoch for row in measured], values, label=label)
    precision.set_title("average precision")
    precision.set_ylim(0, 1)
    rate.plot(epochs, [row.lr for row in rows])
    rate.set_title("learning rate")
    for panel in (losses, precision, rate):
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    losses.legend(frameon=False)
    if measured:
        precision.legend(frameon=False, loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
