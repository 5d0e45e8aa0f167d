"""`yolov12edge quantize`: lower precision, written into an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from yolov12edge.cli.options import (
    CalibImagesOption,
    CalibMethodOption,
    EffortOption,
    Int8Option,
    JsonOption,
    KeepFloatOption,
    QuietOption,
)
from yolov12edge.cli.output import Output


def command(
    onnx: Annotated[Path, typer.Argument(help="A float32 .onnx of this package.")],
    calib: Annotated[
        Path, typer.Option(metavar="PATH", help="Images: folder, data.yaml, list or .npz.")
    ],
    fp16: Annotated[bool, typer.Option("--fp16", help="Convert to FP16 (the default).")] = False,
    int8: Int8Option = False,
    target: Annotated[
        str, typer.Option(metavar="NAME", help="Recipe whose runtime the INT8 file is for.")
    ] = "tensorrt-local",
    calib_images: CalibImagesOption = None,
    calib_method: CalibMethodOption = "auto",
    keep_float: KeepFloatOption = "",
    effort: EffortOption = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="The new file; model.fp16.onnx for model.onnx if absent."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the image sample.")] = 0,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Convert a float32 ONNX file to FP16 or INT8."""
    from yolov12edge.cli.arguments import parse_words
    from yolov12edge.errors import UsageError
    from yolov12edge.files import readable_size
    from yolov12edge.pipeline.stages.quantize import QuantizeRequest, quantize_run

    output = Output(json, quiet)
    if fp16 and int8:
        raise UsageError("--fp16 and --int8 exclude each other", "ask for one precision a run")
    request = QuantizeRequest(
        source=onnx,
        calibration=calib,
        precision="int8" if int8 else "fp16",
        target=target,
        calibration_limit=calib_images,
        calibration_method=calib_method,
        keep_float=parse_words(keep_float),
        effort=effort,
        out=out,
        seed=seed,
    )
    with output.tracker() as progress:
        document = quantize_run(request, output, progress)
    nodes = ", ".join(f"{count} nodes in {name}" for name, count in document["nodes"].items())
    output.result(document, f"{document['file']}: {nodes}, {readable_size(document['bytes'])}")
