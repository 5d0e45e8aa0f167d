"""`yolov12edge bench`: how fast artifacts are, side by side."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from yolov12edge.cli.options import JsonOption, OpenSizeOption, QuietOption, ThreadsOption
from yolov12edge.cli.output import Output

if TYPE_CHECKING:
    from yolov12edge.bench import BenchReport, Contender, Settings

MOST_PICTURES = 64
# While a ratio is uncertain or the cores are slowed, so many times the duration may be spent.
PATIENCE = 4.0


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
    threads: ThreadsOption = None,
    duration: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds to spend on each artifact.")
    ] = 5.0,
    runs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, metavar="N", help="Timed calls of each artifact, instead of --duration."
        ),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(
            min=0, metavar="MS", help="Least time of the warm-up; it ends when times settle."
        ),
    ] = 200.0,
    rest: Annotated[
        float,
        typer.Option(
            min=0, metavar="MS", help="Pause before an artifact's turn, where one runs on the CPU."
        ),
    ] = 30.0,
    streams: Annotated[
        int, typer.Option(min=1, metavar="N", help="Callers at once, for the throughput.")
    ] = 1,
    window: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Length of the throughput and power window; 0: none."
        ),
    ] = 1.0,
    no_transfers: Annotated[
        bool, typer.Option("--no-transfers", help="GPU: leave copies to it and back out.")
    ] = False,
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", help="GPU: replay a captured CUDA graph.")
    ] = False,
    spin: Annotated[
        bool, typer.Option("--spin", help="GPU: poll for its end instead of sleeping.")
    ] = False,
    like: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help="Time as another tool defines it: trtexec, trtexec-10 or trtexec-11.",
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also time every layer, and sum up by model block.")
    ] = False,
    predict: Annotated[
        bool,
        typer.Option(
            "--predict",
            help="Predict instead of timing: plans with the record of their build, no GPU needed; "
            "of the other options only --vs, --gpu and --out apply.",
        ),
    ] = False,
    gpu: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="GPU to predict for; by default one of the plan's target."
        ),
    ] = None,
    imgsz: OpenSizeOption = None,
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

    They take turns call by call, so that a warm or busy machine favours none: percentiles,
    stages, throughput, power where there is a sensor, and ratios with their intervals.
    """
    from yolov12edge.bench import Settings, measure
    from yolov12edge.bench.render import render_bench
    from yolov12edge.cli.arguments import parse_image_size
    from yolov12edge.data import find_images, read_image
    from yolov12edge.files import check_writable
    from yolov12edge.pipeline.stages.bench import open_contender, suppress_all, watched_cores

    if out is not None:
        check_writable(out)
    output = Output(json, quiet)
    paths = [*([vs] if vs else []), *artifacts]
    if predict or gpu is not None:
        _predict(paths, gpu, predict, out, output)
        return
    size = None if imgsz is None else parse_image_size(imgsz)
    settings = Settings(
        batch=batch,
        duration=duration,
        patience=PATIENCE,
        runs=runs,
        warmup_ms=warmup,
        rest_ms=rest,
        streams=streams,
        window=window,
        transfers=not no_transfers,
        cuda_graph=cuda_graph,
        wait="spin" if spin else "block",
        threads=threads,
        seed=seed,
    )
    with contextlib.ExitStack() as stack:
        contenders = []
        for path in paths:
            for choice, name in _runtimes(path, runtime):
                contenders.append(open_contender(path, name, choice, threads, size))
                stack.callback(contenders[-1].runner.close)
        settings = _preset(like, settings, [entry.runner.version for entry in contenders])
        files = find_images(images)[:MOST_PICTURES] if images else []
        pictures = [read_image(path) for path in files]
        with output.tracker() as progress, watched_cores() as cores:
            report = measure(
                contenders,
                pictures,
                settings,
                files=files,
                postprocess=suppress_all,
                progress=progress,
                cores=cores,
            )
        if profile:
            report = _with_profiles(report, contenders)
    _tell(report.model_dump(mode="json"), render_bench(report), out, output)


def _tell(document: dict[str, Any], text: object, out: Path | None, output: Output) -> None:
    from yolov12edge.files import write_json

    if out is not None:
        write_json(out, document)
    output.result(document, text)


def _predict(
    paths: list[Path], gpu: str | None, asked: bool, out: Path | None, output: Output
) -> None:
    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.stages.prediction import predict_plans
    from yolov12edge.pipeline.stages.render_prediction import render_prediction

    if not asked:
        raise UsageError("--gpu names a GPU to predict for", "add --predict, or leave it out")
    report = predict_plans(paths, gpu)
    _tell(report.model_dump(mode="json"), render_prediction(report), out, output)


def _with_profiles(report: BenchReport, contenders: list[Contender]) -> BenchReport:
    """The report with a profile of every artifact whose runtime tells layer times."""
    from yolov12edge.errors import UnsupportedError
    from yolov12edge.pipeline.stages.bench import profile_contender

    profiles, notes = [], list(report.notes)
    for contender in contenders:
        try:
            profiles.append(profile_contender(contender, report.settings))
        except UnsupportedError as error:
            notes.append(f"{contender.name}: no profile: {error.message}")
    update = {"profiles": tuple(profiles), "notes": tuple(notes)}
    return report.model_copy(update=update)


def _preset(like: str | None, settings: Settings, versions: list[str]) -> Settings:
    """The settings, or those of the tool named by `like`; plain trtexec goes by the plan's."""
    if like is None:
        return settings
    from yolov12edge.bench import like_trtexec
    from yolov12edge.bench.settings import LIKES
    from yolov12edge.errors import UsageError

    if like not in LIKES:
        raise UsageError(f"unknown definition {like!r}", f"use one of: {', '.join(LIKES)}")
    _, _, generation = like.partition("-")
    return like_trtexec(settings, int(generation or versions[0].partition(".")[0] or 10))


def _runtimes(path: Path, asked: list[str] | None) -> list[tuple[str | None, str]]:
    """Runtimes to time a file in, each with the name to show; only .onnx files leave a choice."""
    if not asked or path.suffix.lower() != ".onnx":
        return [(None, str(path))]
    if len(asked) == 1:
        return [(asked[0], str(path))]
    return [(name, f"{path} ({name})") for name in asked]
