"""`yolov12edge predict`: detections on images, folders and videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from yolov12edge.cli.options import (
    JsonOption,
    OpenSizeOption,
    QuietOption,
    RuntimeOption,
    ThreadsOption,
)
from yolov12edge.cli.output import Output
from yolov12edge.thresholds import SHOWN, Thresholds

_SHOWN = 20


def command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE", help="Images, folders of images, or videos."),
    ],
    weights: Annotated[
        Path,
        typer.Option(
            "--weights",
            "--artifact",
            "-w",
            metavar="FILE",
            help="A .pt, .safetensors, .onnx, .plan or .engine.",
        ),
    ],
    conf: Annotated[
        float, typer.Option(min=0.001, max=1, metavar="F", help="Least score of a detection.")
    ] = SHOWN.confidence,
    iou: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="F", help="Overlap above which the lower score goes."),
    ] = SHOWN.iou,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(metavar="DIR", help="Folder for annotated pictures and predictions.json."),
    ] = None,
    imgsz: OpenSizeOption = None,
    runtime: RuntimeOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find objects in images, folders and videos.

    Prints how many of each class; --out takes annotated copies and predictions.json.
    """
    from yolov12edge.cli.arguments import parse_image_size
    from yolov12edge.pipeline.predict import find_sources, predict
    from yolov12edge.runtime import open_artifact

    output = Output(json, quiet)
    found = find_sources(sources)
    size = None if imgsz is None else parse_image_size(imgsz)
    artifact = open_artifact(weights, runtime, threads, size)
    with output.tracker() as progress:
        results = predict(artifact, found, Thresholds(conf, iou), out, progress)
    runner = artifact.runner
    judge = {"runtime": runner.name, "version": runner.version, "device": runner.device}
    output.result({"artifact": str(weights), "judge": judge, "results": results}, _text(results))
    if out is not None:
        output.info(f"annotated pictures and predictions.json: {out}")


def _text(results: list[dict[str, Any]]) -> str:
    """One line a file: how many of each class."""
    lines = [_line(result) for result in results[:_SHOWN]]
    if len(results) > _SHOWN:
        lines.append(f"... and {len(results) - _SHOWN} more (all with --json)")
    return "\n".join(lines)


def _line(result: dict[str, Any]) -> str:
    from collections import Counter

    frames = result.get("frames", [result.get("detections", [])])
    counts = Counter(detection["name"] for frame in frames for detection in frame)
    found = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
    if "video" in result:
        return f"{result['video']}: {len(frames)} frames, {found}"
    return f"{result['image']}: {found}"
