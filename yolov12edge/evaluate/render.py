"""A drift report for people, in 80 columns."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.text import Text

from yolov12edge.evaluate.report import DriftReport, TensorError
from yolov12edge.tables import add_numbers, new_table, spaced


def render_drift(report: DriftReport, title: str = "drift") -> RenderableType:
    """The figures as a table, the verdict and its reasons below it."""
    table = new_table(title)
    table.add_column()
    add_numbers(table, "reference", "artifact", "kept or error")
    if report.objects is not None:
        for name, before, after in (
            ("mAP50-95", report.map_reference, report.map_artifact),
            ("mAP50", report.map50_reference, report.map50_artifact),
        ):
            table.add_row(name, _number(before), _number(after), _kept(before, after))
    table.add_row("self-mAP50-95", "", _number(report.self_map), "")
    table.add_row(
        f"detections above {report.settings.truth_score}",
        str(report.detections.reference),
        str(report.detections.artifact),
        _percent(report.matched) + " matched" if report.matched is not None else "",
    )
    table.add_row("mean IoU of matched", "", "", _number(report.mean_iou))
    table.add_row("score shift", "", "", _number(report.score_shift, "+.4f"))
    for name, error in (report.tensors or {}).items():
        table.add_row(name, "", "", _tensor(error))
    return spaced([table, Group(*_verdict(report))])


def _verdict(report: DriftReport) -> list[Text]:
    gate = report.gate
    lines = [
        Text("PASSED", style="bold green") if gate.passed else Text("FAILED", style="bold red")
    ]
    drop = f"{gate.metric} drop {_percent(report.drop)}"
    if report.drop_interval:
        low, high = report.drop_interval
        drop += f" (95% interval {_percent(low)} to {_percent(high)})"
    lines[0].append(f"  {drop}, gate {_percent(gate.max_drop)}", style="not bold default")
    images = f"{report.images} images"
    if report.spread_over is not None:
        images = f"{report.images} of {report.spread_over} images"
    where = f" on {report.judge.device}," if report.judge.device is not None else ""
    judge = f"judged by {report.judge.runtime} {report.judge.version}{where} on {images}"
    lines.append(
        Text(
            f"        matched {_percent(report.matched)}, gate "
            f"{_percent(gate.min_matched)}; {judge}"
        )
    )
    lines += _instruction_sets(report)
    lines += [Text(f"  - {reason}") for reason in gate.reasons]
    lines += [Text(f"  > {note}") for note in report.notes]
    if not gate.passed and report.worst:
        worst = report.worst[0]
        lines.append(
            Text(
                f"  > worst image: {worst.image} ({worst.matched} of {worst.reference} found "
                f"again, {worst.extra} extra)"
            )
        )
    return lines


def _instruction_sets(report: DriftReport) -> list[Text]:
    """One line: where INT8 is what the file says; gate reasons name the rest."""
    right = [one for one in report.instruction_sets if one.passed]
    if not right:
        return []
    off = max(
        abs(one.alone.lost_db if one.alone else one.exact_db - one.runtime_db) for one in right
    )
    names = ", ".join(one.name for one in right)
    least = max(0.001, math.ceil(1000 * off) / 1000)
    return [Text(f"        INT8 exact on {names}; blocks within {least:.3f} dB")]


def _number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _kept(before: float | None, after: float | None) -> str:
    return f"{after / before:.2%} kept" if before and after is not None else ""


def _tensor(error: TensorError) -> str:
    if error.sqnr_db is None:
        return "exact"
    return f"{error.sqnr_db:.1f} dB, max {error.max_abs:.3g}"
