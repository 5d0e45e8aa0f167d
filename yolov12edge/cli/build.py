"""`yolov12edge build`: an engine from an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast, get_args

import typer

from yolov12edge.cli.output import JsonOption, Output, QuietOption

if TYPE_CHECKING:
    from yolov12edge.engine import EngineBuild


def command(
    onnx: Annotated[Path, typer.Argument(metavar="ONNX", help="The model.onnx that export wrote.")],
    target: Annotated[
        str, typer.Option(metavar="NAME", help="Recipe to build for; see `yolov12edge targets`.")
    ],
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(
            metavar="FILE", help="The plan to write; engine.plan beside the ONNX file if absent."
        ),
    ] = None,
    batch: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="N|MIN:OPT:MAX", help="N or MIN:OPT:MAX, for an ONNX file with a dynamic batch."
        ),
    ] = None,
    workspace: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="MIB", help="Most GPU scratch memory, in MiB."),
    ] = None,
    level: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=0,
            max=5,
            metavar="N",
            help="Builder optimization level; the library's default is 3.",
        ),
    ] = None,
    timing_cache: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Timing cache to read and write (TensorRT only)."),
    ] = None,
    hardware_compatibility: Annotated[
        str,
        typer.Option(
            metavar="LEVEL", help="none, ampere_plus or same_compute_capability (TensorRT only)."
        ),
    ] = "none",
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Load in later library versions too.")
    ] = False,
    detailed: Annotated[
        bool, typer.Option("--detailed", help="Let engine inspectors see every layer.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Build an engine from an ONNX file.

    The plan is raw bytes without a prefix, as every TensorRT tool takes it.
    """
    from yolov12edge.engine import (
        BatchRange,
        BuildOptions,
        HardwareCompatibility,
        build_engine,
    )
    from yolov12edge.errors import UnsupportedError, UsageError
    from yolov12edge.files import check_writable
    from yolov12edge.pipeline.recipe import load_recipe

    recipe = load_recipe(target)
    backend = recipe.backend
    if backend == "onnxruntime" or backend == "openvino":
        raise UsageError(
            f"target {recipe.name} has no engine: {backend} runs the ONNX file as it is",
            "run bench or verify on the ONNX file itself",
        )
    if hardware_compatibility not in get_args(HardwareCompatibility):
        raise UsageError(
            f"no hardware compatibility {hardware_compatibility!r}",
            f"use one of: {', '.join(get_args(HardwareCompatibility))}",
        )
    plan = out or onnx.with_name("engine.plan")
    options = BuildOptions(
        compute_capabilities=recipe.compute_capabilities,
        batch=BatchRange.parse(batch) if batch else None,
        workspace=workspace << 20 if workspace else None,
        optimization_level=level,
        timing_cache=timing_cache,
        hardware_compatibility=cast(HardwareCompatibility, hardware_compatibility),
        version_compatible=version_compatible,
        profiling_verbosity="detailed" if detailed else "layer_names_only",
    )
    check_writable(plan)
    output = Output(json, quiet)
    try:
        with output.tracker() as progress:
            built = build_engine(onnx, plan, backend, options, progress)
    except UnsupportedError as error:
        command = recipe.build_command(onnx, plan, recipe.precision.default)
        raise UnsupportedError(error.message, f"{error.hint}; on the device: {command}") from error
    for warning in built.warnings:
        output.warn(warning)
    output.result(_document(built), _text(built))


def _document(built: EngineBuild) -> dict[str, Any]:
    return {"plan": str(built.path), "engine": built.manifest()}


def _text(built: EngineBuild) -> str:
    from yolov12edge.files import readable_size

    sms = ", ".join(f"SM{sm}" for sm in built.compute_capabilities)
    return (
        f"{built.path}: {built.backend} {built.version} for {sms}, batch {built.batch}, "
        f"{readable_size(built.size)} in {built.seconds:.1f} s"
    )
