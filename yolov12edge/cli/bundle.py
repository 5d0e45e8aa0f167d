"""`yolov12edge bundle`: a C++ project that detects with a run's artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output

if TYPE_CHECKING:
    from yolov12edge.pipeline.bundle.job import Bundle


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that `export` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the C++ project goes.")],
    images: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(metavar="DIR", help="Folder of images to record golden results on."),
    ] = None,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="data.yaml whose val split serves instead."),
    ] = None,
    golden: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Golden images to record.")
    ] = 4,
    runtime: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="What records them: onnxruntime or openvino."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a C++ project that detects with a run's artifact.

    CMake, the runtime's sources, the model with its constants, and golden results that its
    self-test compares with.
    """
    from yolov12edge.pipeline.bundle.job import BundleRequest, write_bundle

    output = Output(json, quiet)
    request = BundleRequest(run, out, images, data, golden, runtime)
    with output.tracker() as progress:
        bundle = write_bundle(request, progress)
    if images is None and data is None:
        output.warn("golden images are drawn ones; pass --images DIR with pictures of your own")
    elif bundle.detections == 0:
        output.warn("nothing was found on the golden images; the self-test proves little")
    output.result(bundle.document(), _text(bundle))


def _text(bundle: Bundle) -> str:
    lines = [
        f"{bundle.folder}: {bundle.artifact} for {bundle.backend}, {bundle.golden} golden images "
        f"with {bundle.detections} detections, recorded with {bundle.recorded_with}",
        f"cmake -S {bundle.folder} -B build && cmake --build build && build/selftest",
    ]
    if bundle.build_engine is not None:
        lines.insert(1, f"first, on the device, in {bundle.folder}: {bundle.build_engine}")
    return "\n".join(lines)
