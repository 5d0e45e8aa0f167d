"""`yolov12edge verify`: does an artifact still detect what its checkpoint detects?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from yolov12edge.cli.options import (
    JsonOption,
    MaxDropOption,
    MinMatchedOption,
    QuietOption,
    ReferenceOption,
    RuntimeOption,
    ThreadsOption,
)
from yolov12edge.cli.output import Output


def command(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="A run folder, .onnx, .plan, .engine or .pt.")
    ],
    weights: ReferenceOption = None,
    data: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(metavar="FILE", help="data.yaml whose val split judges, with its labels."),
    ] = None,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="A folder of images without labels, instead of --data."),
    ] = None,
    max_drop: MaxDropOption = 0.01,
    min_matched: MinMatchedOption = 0.95,
    runtime: RuntimeOption = None,
    threads: ThreadsOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the bootstrap.")] = 0,
    bisect: Annotated[
        bool,
        typer.Option(
            "--bisect/--no-bisect",
            help="Build parts of a plan that fails, and name the first block that differs.",
        ),
    ] = True,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write drift.json here."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure how far an artifact drifts from its checkpoint.

    Exits with 6 if it drifts too far, and says in which block the error starts.
    """
    from yolov12edge.data import Dataset, find_images, load_dataset
    from yolov12edge.errors import GateFailed, UsageError
    from yolov12edge.evaluate import Gate, render_drift
    from yolov12edge.files import check_writable, write_bytes
    from yolov12edge.pipeline.stages.bisect import explain_plan
    from yolov12edge.pipeline.stages.verify import (
        Subject,
        find_reference,
        made_for_vnni,
        verify_artifacts,
    )
    from yolov12edge.run.folder import main_artifact
    from yolov12edge.run.names import PLAN_SUFFIXES

    if (data is None) == (images is None):
        raise UsageError("verify needs images", "pass either --data data.yaml or --images DIR")
    if out is not None:
        check_writable(out)
    output = Output(json, quiet)
    path = main_artifact(artifact)
    dataset = (
        load_dataset(data, "val") if data else Dataset((), find_images(images), None)  # type: ignore[arg-type]
    )
    detector = find_reference(path, weights)
    with output.tracker() as progress:
        report = verify_artifacts(
            detector,
            [Subject(path, runtime, threads, made_for_vnni(path))],
            dataset,
            Gate(max_drop=max_drop, min_matched=min_matched),
            seed,
            progress,
        )[path.name]
        if bisect and not report.gate.passed and path.suffix in PLAN_SUFFIXES:
            report = explain_plan(report, path, progress, output)
    if out is not None:
        write_bytes(out, report.to_json().encode())
    output.result(report.model_dump(mode="json"), render_drift(report, str(path)))
    if not report.gate.passed:
        found = list(dict.fromkeys([report.gate.reasons[0], *report.notes[:1]]))
        raise GateFailed(
            f"{path.name} drifted: {'; '.join(found)}",
            "export it again, or widen the gate with --max-drop and --min-matched",
        )
