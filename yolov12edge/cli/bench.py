"""`yolov12edge bench`: how fast artifacts are, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from yolov12edge.cli.output import JsonOption, Output, QuietOption

if TYPE_CHECKING:
    from yolov12edge.bench import Contender

MOST_PICTURES = 64


def command(
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT", help=".onnx, .plan, .engine, .pt files.")
    ],
    vs: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(
            metavar="FILE", help="The baseline of the ratios; the first artifact if absent."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Images a call.")] = 1,
    runtime: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="Runtime of .onnx files; given twice, each is timed in both."
        ),
    ] = None,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="N", help="CPU threads; the runtime's own choice if absent."),
    ] = None,
    duration: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds to spend on each artifact.")
    ] = 5.0,
    runs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, metavar="N", help="Timed calls of each artifact, instead of --duration."
        ),
    ] = None,
    imgsz: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="N|HxW", help="640 or HxW, for artifacts that leave the size open."),
    ] = None,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="DIR", help="Folder of pictures to look at; generated noise if absent."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the order and of the noise.")] = 0,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write bench.json here."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time artifacts side by side.

    They take turns in short rounds, so that a warm or busy machine favours none: percentiles,
    stages, and ratios with their intervals.
    """
    from yolov12edge.bench import measure
    from yolov12edge.bench.render import render_bench
    from yolov12edge.data import find_images, read_image
    from yolov12edge.evaluate import non_max_suppression
    from yolov12edge.files import check_writable, write_json

    if out is not None:
        check_writable(out)
    output = Output(json, quiet)
    size = _image_size(imgsz)
    paths = [*([vs] if vs else []), *artifacts]
    contenders = [
        _open(path, choice, threads, size) for path in paths for choice in _runtimes(path, runtime)
    ]
    shown = find_images(images)[:MOST_PICTURES] if images else ()
    pictures = [read_image(path) for path in shown]
    with output.tracker() as progress:
        report = measure(
            contenders,
            pictures,
            batch=batch,
            duration=duration,
            runs=runs,
            seed=seed,
            threads=threads,
            postprocess=lambda decoded: [non_max_suppression(image) for image in decoded],
            progress=progress,
        )
    for contender in contenders:
        contender.runner.close()
    document = report.model_dump(mode="json")
    if out is not None:
        write_json(out, document)
    output.result(document, render_bench(report))


def _image_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    from yolov12edge.cli.arguments import parse_image_size

    return parse_image_size(text)


def _runtimes(path: Path, asked: list[str] | None) -> list[tuple[str | None, str]]:
    """Runtimes to time a file in, each with the name to show; only .onnx files leave a choice."""
    if not asked or path.suffix.lower() != ".onnx":
        return [(None, str(path))]
    if len(asked) == 1:
        return [(asked[0], str(path))]
    return [(name, f"{path} ({name})") for name in asked]


def _open(
    path: Path, choice: tuple[str | None, str], threads: int | None, size: tuple[int, int] | None
) -> Contender:
    """Load an artifact, and see what the process grew by."""
    import psutil

    from yolov12edge.bench import Contender
    from yolov12edge.runtime import open_artifact

    process = psutil.Process()
    before = process.memory_info().rss
    runtime, name = choice
    artifact = open_artifact(path, runtime, threads, size)
    loaded = process.memory_info().rss - before
    return Contender(name, artifact.runner, artifact.letterbox, path, loaded)
