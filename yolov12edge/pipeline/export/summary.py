"""The end of an export run for people, in 80 columns."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from yolov12edge.bench.render import render_bench
from yolov12edge.engine.prediction import Prediction
from yolov12edge.evaluate import render_drift
from yolov12edge.files import readable_size
from yolov12edge.pipeline.export.outcome import ExportOutcome
from yolov12edge.run.names import FP16_PLAN_FILE
from yolov12edge.tables import add_numbers, new_table, spaced


def export_summary(outcome: ExportOutcome) -> RenderableType:
    """Files of the run, the drift of each judged one, and what to do next."""
    parts: list[RenderableType] = [_proof_table(outcome), _file_table(outcome)]
    verdicts = outcome.verdicts
    if len(verdicts.by_artifact) > 1 or isinstance(outcome.predicted, Prediction):
        parts.append(_comparison(outcome))
    if verdicts.asked is not None:
        parts.append(render_drift(verdicts.asked, f"{verdicts.asked_name} against the checkpoint"))
    if outcome.bench is not None:
        parts.append(render_bench(outcome.bench))
    if outcome.engine_note:
        parts.append(Text(outcome.engine_note))
    return spaced(parts)


def _proof_table(outcome: ExportOutcome) -> Table:
    table = new_table("rewrite steps, proved in float64")
    table.add_column("step")
    add_numbers(table, "modules", "box error", "score error", "block error")
    for step in outcome.manifest.parity.steps:
        table.add_row(
            step.step,
            str(step.changed),
            f"{step.box_error:.1e} px",
            f"{step.score_error:.1e}",
            f"{step.block_error:.1e}",
        )
    return table


def _file_table(outcome: ExportOutcome) -> Table:
    table = new_table(str(outcome.folder))
    table.add_column("file")
    add_numbers(table, "size")
    table.add_column("sha256")
    for name, digest in outcome.manifest.files.items():
        size = readable_size((outcome.folder / name).stat().st_size)
        table.add_row(name, size, digest[:12])
    return table


def _comparison(outcome: ExportOutcome) -> Table:
    table = new_table("what each artifact keeps of the checkpoint")
    table.add_column("artifact")
    add_numbers(table, "mAP50-95", "self-mAP", "matched", "size", "ms")
    predicted = outcome.predicted if isinstance(outcome.predicted, Prediction) else None
    if predicted is not None:
        add_numbers(table, "predicted")
        caption = f"predicted: ms on {predicted.gpu_title}, not measured"
        if outcome.rival is not None:
            caption += f"\n{FP16_PLAN_FILE} is what INT8 has to beat, and is not kept"
        table.caption = Text(caption, "dim")
        table.caption_justify = "left"
    add_numbers(table, "gate")
    for row in outcome.comparison():
        cells = [
            row["artifact"],
            _number(row["map"]),
            _number(row["self_map"]),
            "-" if row["matched"] is None else f"{row['matched']:.2%}",
            readable_size(row["bytes"]) if row["bytes"] else "-",
            "-" if row["latency_ms"] is None else f"{row['latency_ms']:.1f}",
        ]
        if predicted is not None:
            cells.append("-" if row["predicted_ms"] is None else f"{row['predicted_ms']:.2f}")
        table.add_row(*cells, {True: "passed", False: "FAILED", None: ""}[row["passed"]])
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
