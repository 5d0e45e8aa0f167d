"""`yolov12edge deploy`: a run onto devices over ssh, proved there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from yolov12edge.cli.options import (
    JsonOption,
    MaxDropOption,
    MinMatchedOption,
    QuietOption,
    ReferenceOption,
    ThreadsOption,
)
from yolov12edge.cli.output import Output


def command(
    run: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Argument(metavar="RUN", help="A run folder that `export` wrote."),
    ] = None,
    to: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="[USER@]HOST[:DIR]", help="A device, as scp names it; repeatable."),
    ] = None,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="data.yaml whose val split judges, with its labels."),
    ] = None,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="A folder of images without labels, instead of --data."),
    ] = None,
    judge_images: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Judge on N of them, spread over the set; 0: all."),
    ] = 100,
    weights: ReferenceOption = None,
    max_drop: MaxDropOption = 0.01,
    min_matched: MinMatchedOption = 0.95,
    library: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="DIR", help="Folder there of OpenVINO, ONNX Runtime or TensorRT, if not found."
        ),
    ] = None,
    threads: ThreadsOption = None,
    workspace: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="MIB", help="Scratch memory of a plan's build, in MiB."),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(metavar="MIN:OPT:MAX", help="Of a plan, where the graph leaves it open."),
    ] = "1:1:4",
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, metavar="S", help="Seconds to time each model.")
    ] = 5.0,
    no_bench: Annotated[bool, typer.Option("--no-bench", help="Skip the timing.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the pictures and detections there too.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove everything there in the end.")
    ] = False,
    log: Annotated[bool, typer.Option("--log", help="Show what the device's tools print.")] = False,
    ssh_config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Configuration for ssh -F; ~/.ssh/config if absent."),
    ] = None,
    probe_only: Annotated[
        bool, typer.Option("--probe-only", help="Say what the device is; change nothing.")
    ] = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="With --probe-only: save it for export --probe FILE."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring a run to a device over ssh, and prove it there.

    Builds the engine and the C++ programs on the device, runs the self-test, judges what it detects
    on your images, times it, and brings plan, verdict and logs back. No Python there. Run again
    after anything broke: it goes on where it was. Exits with 6 if a gate fails.
    """
    from yolov12edge.engine import BatchRange
    from yolov12edge.errors import UsageError
    from yolov12edge.evaluate import Gate
    from yolov12edge.pipeline.deploy.job import deploy_run
    from yolov12edge.pipeline.deploy.render import render_deploy
    from yolov12edge.pipeline.deploy.request import DeployRequest
    from yolov12edge.remote import Address

    output = Output(json, quiet)
    addresses = tuple(Address.parse(one) for one in to or ())
    if probe_only:
        _probe(addresses, library, ssh_config, out, output)
        return
    if run is None:
        raise UsageError("no run folder was named", "yolov12edge deploy RUN --to user@host")
    if out is not None:
        raise UsageError("--out saves a probe", "add --probe-only, or leave it out")
    if data is not None and images is not None:
        raise UsageError("--data and --images exclude each other", "pass one of them")
    if keep and clean:
        raise UsageError("--keep and --clean exclude each other", "pass one of them")
    sizes = BatchRange.parse(batch)
    request = DeployRequest(
        run=run,
        to=addresses,
        data=data,
        images=images,
        most_images=judge_images,
        weights=weights,
        gate=Gate(max_drop=max_drop, min_matched=min_matched),
        library=library,
        threads=threads,
        workspace=workspace,
        batch=(sizes.smallest, sizes.optimal, sizes.largest),
        seconds=seconds,
        bench=not no_bench,
        config=ssh_config,
        keep=keep,
        clean=clean,
        log=log,
    )
    with output.tracker() as progress:
        outcome = deploy_run(request, output, progress)
    output.result(outcome.document(), render_deploy(outcome))
    outcome.raise_if_failed()


def _probe(
    addresses: tuple[object, ...],
    library: str | None,
    config: Path | None,
    out: Path | None,
    output: Output,
) -> None:
    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.deploy.job import probe_devices, write_probe
    from yolov12edge.pipeline.deploy.render import render_probes

    if out is not None and len(addresses) > 1:
        raise UsageError("--out saves the probe of one device", "name one with --to")
    found = probe_devices(addresses, library, config)  # type: ignore[arg-type]
    if out is not None:
        write_probe(out, next(iter(found.values())))
    documents = {name: probe.model_dump(mode="json") for name, probe in found.items()}
    output.result({"devices": documents}, render_probes(found))
