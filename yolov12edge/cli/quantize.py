"""`yolov12edge quantize`: lower precision, written into an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from yolov12edge.cli.output import JsonOption, Output, QuietOption


def command(
    onnx: Annotated[Path, typer.Argument(metavar="ONNX", help="A float32 .onnx of this package.")],
    calib: Annotated[
        Path, typer.Option(metavar="PATH", help="Real images: folder, data.yaml or .npz.")
    ],
    fp16: Annotated[
        bool, typer.Option("--fp16", show_default=False, help="Convert to FP16 (the default).")
    ] = True,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(
            metavar="FILE", help="The new file; model.fp16.onnx for model.onnx if absent."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the image sample.")] = 0,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Convert a float32 ONNX file to lower precision.

    AutoCast decides on real images which nodes become FP16; input and output stay float32.
    """
    from yolov12edge.errors import UsageError
    from yolov12edge.files import check_writable, readable_size, sha256_file
    from yolov12edge.pipeline.export import FP16_IMAGES
    from yolov12edge.pipeline.image_sources import calibration_images
    from yolov12edge.quantize import convert_to_fp16
    from yolov12edge.runtime import open_artifact

    if onnx.is_file() and onnx.suffix.lower() != ".onnx":
        raise UsageError(f"{onnx} is not an .onnx file", "export the checkpoint first")
    target = out or onnx.with_suffix(".fp16.onnx")
    check_writable(target)
    output = Output(json, quiet)
    opened = open_artifact(onnx)
    opened.runner.close()
    calibration = calibration_images(calib, None, FP16_IMAGES, seed)
    assert calibration is not None
    with output.progress("converting to FP16", 1) as advance:
        images = calibration.tensors(opened.letterbox, FP16_IMAGES)
        result = convert_to_fp16(onnx, target, images)
        advance()
    document = {
        "file": str(target),
        "sha256": sha256_file(target),
        "bytes": target.stat().st_size,
        "nodes": result.nodes,
        "kept_in_float": result.kept,
        "images": result.images,
    }
    output.result(
        document,
        f"{target}: {result.nodes['fp16']} nodes in FP16, {result.nodes['fp32']} kept in FP32, "
        f"{readable_size(target.stat().st_size)}",
    )
