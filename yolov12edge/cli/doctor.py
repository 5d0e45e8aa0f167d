"""`yolov12edge doctor`: what is installed and what each target can do on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yolov12edge.pipeline.doctor import DoctorReport


def command(
    target: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(metavar="NAME", help="Look at this target only; can be given several times."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 7 if a --target, or a needed part, is missing.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what this machine has and which targets it serves."""
    from yolov12edge.errors import UnsupportedError
    from yolov12edge.pipeline.doctor import examine

    report = examine(target or None)
    missing = report.missing([state.name for state in report.targets] if target else [])
    document = report.model_dump(mode="json") | {"missing": list(missing)}
    Output(json, quiet).result(document, _render(report))
    if strict and missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UnsupportedError(f"{missing[0]}{more}", "see the table of yolov12edge doctor")


def _render(report: DoctorReport) -> RenderableType:
    from rich.markup import escape
    from rich.text import Text

    from yolov12edge.tables import new_table, spaced

    runtimes = new_table(f"Python {report.python}, {report.system}")
    for column in ("runtime", "version", "here"):
        runtimes.add_column(column)
    for runtime in report.runtimes:
        state = "usable" if runtime.available else runtime.reason
        runtimes.add_row(runtime.name, runtime.version or "-", escape(state))
    targets = new_table()
    for column in ("target", "can", "why not more"):
        targets.add_column(column)
    for target in report.targets:
        targets.add_row(target.name, target.summary, escape(target.reason))
    gpus = [f"GPU: {gpu.name} (SM{gpu.compute_capability})" for gpu in report.gpus]
    lines = [
        f"CPU: {report.processor.text}",
        *(gpus or ["GPU: none with an NVIDIA driver"]),
        f"ONNX Runtime from: {', '.join(_onnxruntime(report)) or 'nowhere'}",
        f"judge: {report.judge.reason}",
        f"kernels: {report.kernels}",
        *(f"warning: {warning}" for warning in report.warnings),
    ]
    return spaced([runtimes, targets, Text("\n".join(lines))])


def _onnxruntime(report: DoctorReport) -> list[str]:
    return [
        f"{name} {version}"
        for name, version in report.libraries.items()
        if name.startswith("onnxruntime")
    ]
