"""`yolov12edge inspect`: what an artifact is, and conversions that change no number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output
from yolov12edge.run.names import (
    ONNX_SUFFIXES,
    PLAN_SUFFIXES,
    TORCH_SUFFIXES,
)


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A checkpoint, .onnx, .plan, .engine, engine information (.json) or run folder.",
        ),
    ],
    diff: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(
            metavar="A", help="Show in what PATH differs from A, an artifact of the same kind."
        ),
    ] = None,
    why: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NODE",
            help="Say why a node or block of an ONNX file computes as it does.",
        ),
    ] = None,
    layers: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Engine information of a plan, from trtexec --exportLayerInfo=FILE.",
        ),
    ] = None,
    times: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Layer times of a plan, from trtexec --exportProfile=FILE or bench --profile.",
        ),
    ] = None,
    save_layers: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write a plan's engine information, where its GPU is."),
    ] = None,
    to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write the checkpoint as flat .safetensors."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="With --to: store float16.")] = False,
    strip: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Write the plan without the prefix that Ultralytics puts before it.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what an artifact is and whether it is whole.

    A run folder's files are compared with its manifest; exits with 4 where they differ.
    """
    from yolov12edge.pipeline.inspect.artifact import RunInspection, inspect_artifact
    from yolov12edge.pipeline.inspect.render import render_inspection

    output = Output(json, quiet)
    _check_options(path, to, half, strip, save_layers, why)
    found = inspect_artifact(path, layers, times)
    if diff is not None:
        _show_diff(output, inspect_artifact(diff), found)
        return
    document = found.model_dump(mode="json")
    if why is not None:
        _show_why(output, document, path, why)
        return
    if to is not None:
        document = document | {"written": _convert(path, to, half)}
    if strip is not None:
        document = document | {"written": _strip(path, strip)}
    if save_layers is not None:
        document = document | {"written": _save_layers(path, save_layers)}
    output.result(document, render_inspection(found))
    if "written" in document:
        output.info(f"\nwritten: {document['written']['file']}")
    problem = found.problem if isinstance(found, RunInspection) else None
    if problem is not None:
        raise problem


def _show_diff(output: Output, before: Any, after: Any) -> None:
    from yolov12edge.pipeline.inspect.diff import diff
    from yolov12edge.pipeline.inspect.render_engine import render_diff

    found = diff(before, after)
    output.result(found.model_dump(mode="json"), render_diff(found))


def _show_why(output: Output, document: dict[str, Any], path: Path, asked: str) -> None:
    from yolov12edge.pipeline.inspect.render_why import render_why
    from yolov12edge.pipeline.inspect.why import explain

    found = explain(path, asked)
    output.result(document | {"why": found.model_dump(mode="json")}, render_why(found))


def _check_options(
    path: Path,
    to: Path | None,
    half: bool,
    strip: Path | None,
    save_layers: Path | None,
    why: str | None,
) -> None:
    from yolov12edge.errors import UsageError

    suffix = "" if path.is_dir() else path.suffix.lower()
    if to is not None and suffix not in TORCH_SUFFIXES:
        raise UsageError(f"--to converts checkpoints, not {path}", "pass a .pt or .safetensors")
    if to is not None and to.suffix != ".safetensors":
        raise UsageError(f"--to writes .safetensors, not {to.name}", "end its name in .safetensors")
    if half and to is None:
        raise UsageError("--half needs --to", "say where to write with --to FILE.safetensors")
    if strip is not None and suffix not in PLAN_SUFFIXES:
        raise UsageError(f"--strip is for plans, not {path}", "pass a .plan or .engine")
    if why is not None and suffix not in ONNX_SUFFIXES:
        raise UsageError(
            f"--why explains nodes of ONNX files, not {path}", "pass the .onnx file of the run"
        )
    if save_layers is not None and suffix not in PLAN_SUFFIXES:
        raise UsageError(f"--save-layers is for plans, not {path}", "pass a .plan or .engine")


def _convert(path: Path, to: Path, half: bool) -> dict[str, Any]:
    from yolov12edge.checkpoints import read_checkpoint, save_safetensors

    return _written(save_safetensors(read_checkpoint(path), to, half))


def _strip(path: Path, destination: Path) -> dict[str, Any]:
    from yolov12edge.runtime.plan_file import strip_prefix

    strip_prefix(path, destination)
    return _written(destination)


def _save_layers(path: Path, destination: Path) -> dict[str, Any]:
    from yolov12edge.files import write_bytes
    from yolov12edge.pipeline.inspect.plan import engine_information

    write_bytes(destination, engine_information(path).encode())
    return _written(destination)


def _written(path: Path) -> dict[str, Any]:
    from yolov12edge.files import sha256_file

    return {"file": str(path), "bytes": path.stat().st_size, "sha256": sha256_file(path)}
