"""`yolov12edge report`: a run folder as one page for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER", help="A folder that export wrote.")
    ],
    data: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(metavar="FILE", help="data.yaml whose val split gives the pictures."),
    ] = None,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="A folder that gives the pictures, instead of --data."),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, max=64, metavar="N", help="Images to show, the worst first.")
    ] = 8,
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="The checkpoint to show; from the run's manifest if absent."
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write the page here, not to RUN_FOLDER/report.html."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a run folder as one HTML page that needs no other file.

    With --data or --images it shows what checkpoint and artifact find. Exits with 4 where files
    of the folder are not what its manifest says; the page is written and says so.
    """
    from yolov12edge.files import readable_size
    from yolov12edge.pipeline.report.job import ReportRequest, write_report

    output = Output(json, quiet)
    with output.tracker() as progress:
        outcome = write_report(
            ReportRequest(folder, data, images, pictures, weights, out), progress
        )
    output.result(
        outcome.document(), f"{outcome.verdict}: {outcome.file} ({readable_size(outcome.size)})"
    )
    if outcome.problem is not None:
        raise outcome.problem
