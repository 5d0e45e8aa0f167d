"""Predicted times for the terminal, at 80 columns."""

from __future__ import annotations

from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.pipeline.stages.prediction import PredictionReport
from yolov12edge.tables import add_numbers, new_table, spaced

_MOST_BLOCKS = 6


def render_prediction(report: PredictionReport) -> RenderableType:
    """Predicted times and their parts, the slowest blocks, and what to make of them."""
    names = _names(report)
    return spaced([_time_table(report, names), _block_table(report, names), _remarks(report)])


def _names(report: PredictionReport) -> list[str]:
    """File names where they tell the plans apart, else paths."""
    short = [Path(one.path).name for one in report.artifacts]
    return short if len(set(short)) == len(short) else [one.path for one in report.artifacts]


def _time_table(report: PredictionReport, names: list[str]) -> Table:
    table = new_table(f"predicted, not measured: ms on {report.gpu_title}")
    table.add_column("plan", overflow="fold")
    table.add_column("type", no_wrap=True)
    add_numbers(table, "predicted", "launch", "memory", "compute", "movers", "ratio")
    for one, name in zip(report.artifacts, names, strict=True):
        time = one.prediction
        parts = (time.predicted_ms, time.launch_ms, time.memory_ms, time.compute_ms)
        table.add_row(
            escape(name),
            one.precision or "-",
            *(f"{part:.3f}" for part in parts),
            f"{time.movers_ms / time.predicted_ms:.0%}",
            f"{one.ratio:.2f}",
        )
    return table


def _block_table(report: PredictionReport, names: list[str]) -> Table:
    """Of the first plan its slowest blocks, of the others the same ones."""
    table = new_table("its slowest blocks, predicted ms")
    table.add_column("block", no_wrap=True)
    add_numbers(table, "kernels", "share")
    for name in names:
        table.add_column(escape(name), justify="right", overflow="fold")
    times = [
        {block.block: block.predicted_ms for block in one.prediction.blocks}
        for one in report.artifacts
    ]
    first = report.artifacts[0].prediction
    for block in sorted(first.blocks, key=lambda block: -block.predicted_ms)[:_MOST_BLOCKS]:
        share = block.predicted_ms / first.predicted_ms
        cells = [f"{time[block.block]:.3f}" if block.block in time else "-" for time in times]
        table.add_row(block.block, str(block.kernels), f"{share:.0%}", *cells)
    return table


def _remarks(report: PredictionReport) -> Text:
    first = report.artifacts[0].prediction
    low, high = first.seen_ratios
    text = Text("", "dim")
    text.append(
        f"predicted from the kernels that the builder made: {low} to {high} times what others "
        "published (docs/bench.md)"
    )
    text.append("\nlaunch, memory, compute: what kernels wait for; movers' share is of all three")
    text.append(f"\nleft out: {'; '.join(first.left_out)}")
    if first.assumed:
        text.append(f"\nassumed of {report.gpu_title}, not published: {', '.join(first.assumed)}")
    for one in report.artifacts:
        if one.stand_in:
            text.append(
                f"\nkernels of {Path(one.path).name}, made for SM{min(one.sm)}, stand in for those "
                "of this GPU",
                "yellow not dim",
            )
    return text
