"""`yolov12edge build`: an engine from an ONNX file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, get_args

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output

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
    sm: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="LIST",
            help="GPU architectures instead of the recipe's: 86,89,120 or all (TensorRT-RTX).",
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
    retry: Annotated[
        bool,
        typer.Option("--retry/--no-retry", help="Try other levels where the build fails at one."),
    ] = True,
    timing_cache: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="PATH",
            help="Folder or file of measured kernels (TensorRT only); in the cache if absent.",
        ),
    ] = None,
    no_timing_cache: Annotated[
        bool, typer.Option("--no-timing-cache", help="Measure every kernel anew.")
    ] = False,
    tactic_sources: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="LIST", help="Where kernels come from: jit_convolutions,edge_mask_convolutions."
        ),
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
    profiling_verbosity: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            help="What `inspect` can see: detailed, layer_names_only or none; no cost in speed.",
        ),
    ] = "detailed",
    dla: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=0, metavar="CORE", help="Build for this DLA core, the GPU for what it cannot do."
        ),
    ] = None,
    dla_min_coverage: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="F", help="Refuse a DLA that runs less than this share of layers."
        ),
    ] = 0.5,
    require_fused: Annotated[
        bool,
        typer.Option(
            "--require-fused", help="Fail (exit 6) where an attention block is not one kernel."
        ),
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Build an engine from an ONNX file.

    The plan is raw bytes without a prefix, as every TensorRT tool takes it. What it was built with
    is written beside it.
    """
    from yolov12edge.engine import (
        BatchRange,
        HardwareCompatibility,
        ProfilingVerbosity,
        build_engine,
    )
    from yolov12edge.errors import UnsupportedError, UsageError
    from yolov12edge.files import check_writable
    from yolov12edge.pipeline.stages.build import override, recipe_options, record_build
    from yolov12edge.run.names import PLAN_FILE
    from yolov12edge.run.recipe import load_recipe

    recipe = load_recipe(target)
    backend = recipe.backend
    if backend == "onnxruntime" or backend == "openvino":
        raise UsageError(
            f"target {recipe.name} has no engine: {backend} runs the ONNX file as it is",
            "run bench or verify on the ONNX file itself",
        )
    plan = out or onnx.with_name(PLAN_FILE)
    options = override(
        recipe_options(recipe, BatchRange.parse(batch) if batch else None),
        compute_capabilities=_capabilities(sm, backend) if sm else None,
        workspace=workspace << 20 if workspace else None,
        optimization_level=level,
        retry=retry,
        timing_cache=timing_cache,
        tactic_sources=_words(tactic_sources) if tactic_sources else None,
        hardware_compatibility=_one_of(
            "hardware compatibility", hardware_compatibility, get_args(HardwareCompatibility)
        ),
        version_compatible=version_compatible,
        profiling_verbosity=_one_of(
            "profiling verbosity", profiling_verbosity, get_args(ProfilingVerbosity)
        ),
        dla_core=dla,
        dla_min_coverage=dla_min_coverage,
    )
    if no_timing_cache:
        options = dataclasses.replace(options, timing_cache=None)
    check_writable(plan)
    output = Output(json, quiet)
    try:
        with output.tracker() as progress:
            built = build_engine(onnx, plan, backend, options, progress, output)
    except UnsupportedError as error:
        command = recipe.build_command(onnx, plan, recipe.precision.default)
        raise UnsupportedError(error.message, f"{error.hint}; on the device: {command}") from error
    _tell(built, record_build(onnx, built), output)
    if require_fused and (refusal := built.fusion.refusal):
        raise refusal


def _tell(built: EngineBuild, described_by: Path, output: Output) -> None:
    fusion = built.fusion
    for warning in built.warnings:
        output.warn(warning)
    for warning in fusion.warnings:
        output.warn(warning)
    document = {
        "plan": str(built.path),
        "engine": built.section().model_dump(mode="json"),
        "described_by": str(described_by),
        "attention": fusion.model_dump(mode="json"),
    }
    output.result(document, f"{_text(built)}\n{fusion.text}")


def _capabilities(text: str, backend: str) -> tuple[int, ...]:
    from yolov12edge.errors import UsageError

    words = _words(text)
    if words == ("all",):
        if backend != "tensorrt_rtx":
            raise UsageError("TensorRT builds for the GPU at hand", "leave out --sm")
        from yolov12edge.engine.tensorrt_rtx import TensorRTRTX

        return TensorRTRTX().capabilities()
    numbers = [word.lower().removeprefix("sm").replace(".", "") for word in words]
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise UsageError(f"cannot read the architectures {text!r}", "write --sm 86,89,120, or all")
    return tuple(sorted({int(number) for number in numbers}))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _one_of(what: str, word: str, known: tuple[str, ...]) -> Any:
    from yolov12edge.errors import UsageError

    if word not in known:
        raise UsageError(f"no {what} {word!r}", f"use one of: {', '.join(known)}")
    return word


def _text(built: EngineBuild) -> str:
    from yolov12edge.files import readable_size

    sms = ", ".join(f"SM{sm}" for sm in built.compute_capabilities)
    dla = f", {built.dla.share:.0%} of the layers on the DLA" if built.dla else ""
    return (
        f"{built.path}: {built.backend} {built.version} for {sms}, batch {built.batch}"
        f"{dla}, {readable_size(built.size)} in {built.seconds:.1f} s"
    )
