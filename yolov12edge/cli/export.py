"""`yolov12edge export`: checkpoint to verified artifact, in one run folder."""

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
    MaxDropOption,
    QuietOption,
)
from yolov12edge.cli.output import Output


def command(
    weights: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(
            metavar="FILE", help="Checkpoint: .pt or .safetensors; the published one if absent."
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="n|s|m|l|x", help="n, s, m, l or x, for a published one.")
    ] = "n",
    layout: Annotated[
        str, typer.Option(metavar="v1|turbo", help="v1 or turbo, for a published one.")
    ] = "turbo",
    int8: Int8Option = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Convert to FP16.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="Keep FP32.")] = False,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="Recipe to follow, or auto; see `yolov12edge targets`."),
    ] = None,
    probe: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="A device that `deploy --probe-only` saw; auto is for that one."
        ),
    ] = None,
    calib: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="PATH", help="Calibration images: folder, data.yaml or .npz."),
    ] = None,
    calib_images: CalibImagesOption = None,
    calib_method: CalibMethodOption = "auto",
    keep_float: KeepFloatOption = "",
    effort: EffortOption = None,
    imgsz: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="N|HxW", help="640 or HxW; what the checkpoint was trained at if absent."
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="N|MIN:OPT:MAX", help="N, or MIN:OPT:MAX for a dynamic batch.")
    ] = "1",
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="data.yaml whose val split judges the artifact."),
    ] = None,
    max_drop: MaxDropOption = 0.01,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Run folder; runs/<weights>-<target> if absent."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of every random choice.")] = 0,
    no_build: Annotated[bool, typer.Option("--no-build", help="Stop before the engine.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Skip the drift gate.")] = False,
    no_bench: Annotated[bool, typer.Option("--no-bench", help="Skip the timing.")] = False,
    no_swap_attention: Annotated[
        bool, typer.Option("--no-swap-attention", help="Leave the scale beside the product.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Take nothing that an earlier run worked out.")
    ] = False,
    require_fused: Annotated[
        bool,
        typer.Option(
            "--require-fused", help="Fail where an attention block of the engine is split."
        ),
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Carry a checkpoint to a verified artifact.

    ONNX, lower precision, engine, timing and verdict, all in one run folder. Exits with 6 if the
    artifact drifts too far from the checkpoint, or if attention is split and --require-fused given.
    """
    from yolov12edge.cli.arguments import parse_image_size, parse_words
    from yolov12edge.pipeline.export.job import export_run
    from yolov12edge.pipeline.export.request import ExportRequest
    from yolov12edge.pipeline.export.summary import export_summary

    output = Output(json, quiet)
    request = ExportRequest(
        weights=weights,
        scale=scale,
        layout=layout,
        precision=_precision(int8, fp16, fp32),
        target=target,
        calibration=calib,
        calibration_limit=calib_images,
        calibration_method=calib_method,
        keep_float=parse_words(keep_float),
        effort=effort,
        image_size=parse_image_size(imgsz) if imgsz else None,
        batch=batch,
        data=data,
        max_drop=max_drop,
        out=out,
        seed=seed,
        build=not no_build,
        verify=not no_verify,
        bench=not no_bench,
        swap_attention=not no_swap_attention,
        fresh=fresh,
        require_fused=require_fused,
        probe=probe,
    )
    with output.tracker() as progress:
        outcome = export_run(request, output, progress)
    output.result(outcome.document(), export_summary(outcome))
    outcome.raise_if_failed()


def _precision(int8: bool, fp16: bool, fp32: bool) -> str | None:
    from yolov12edge.errors import UsageError

    asked = [name for name, flag in (("int8", int8), ("fp16", fp16), ("fp32", fp32)) if flag]
    if len(asked) > 1:
        raise UsageError(
            f"--{' and --'.join(asked)} exclude each other", "ask for one precision a run"
        )
    return asked[0] if asked else None
