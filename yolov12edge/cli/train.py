"""`yolov12edge train`: train or fine-tune a detector on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output

if TYPE_CHECKING:
    from yolov12edge.pipeline.training import TrainOutcome

# What a resumed run may have otherwise: it changes the speed, not the result.
_FREE = ("resume", "workers", "cache", "json", "quiet")


def command(
    context: typer.Context,
    data: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads annotations at run time
        typer.Option(metavar="FILE", help="data.yaml, a folder with one, or a COCO .json."),
    ] = None,
    val: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Images to evaluate on; the val split if absent."),
    ] = None,
    scale: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="n|s|m|l|x", help="Size of the detector; n if absent."),
    ] = None,
    layout: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="v1|turbo", help="turbo if absent; as the weights have it."),
    ] = None,
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="Checkpoint, or a part of one, to start from; else from scratch."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the images.")] = 100,
    batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images a step, over all processes.")
    ] = 16,
    imgsz: Annotated[str, typer.Option(metavar="N|HxW", help="Input size.")] = "640",
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="sgd, adamw or auto: sgd for long runs.")
    ] = "auto",
    lr: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="F", help="Learning rate; by the optimizer if absent."),
    ] = None,
    nominal_batch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, metavar="N", help="Images an update, by accumulation; 64 with sgd if absent."
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(min=0, max=1, metavar="F", help="At a batch of 64.")
    ] = 5e-4,
    warmup: Annotated[float, typer.Option(min=0, metavar="F", help="Epochs of warm-up.")] = 3.0,
    freeze: Annotated[
        int, typer.Option(min=0, metavar="N", help="First layers that are not trained.")
    ] = 0,
    patience: Annotated[
        int, typer.Option(min=0, metavar="N", help="Epochs to wait for a better mAP; 0: for ever.")
    ] = 100,
    eval_every: Annotated[
        int, typer.Option(min=1, metavar="K", help="Epochs between evaluations.")
    ] = 1,
    mosaic: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=1, metavar="P", help="Probability; as published if absent."),
    ] = None,
    close_mosaic: Annotated[
        int, typer.Option(min=0, metavar="N", help="Last epochs that show real pictures only.")
    ] = 10,
    mixup: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=1, metavar="P", help="Probability; as published if absent."),
    ] = None,
    copy_paste: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=1, metavar="P", help="Share of outlined objects; as published."),
    ] = None,
    affine_scale: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, metavar="F", help="Gain of the size; as published if absent."),
    ] = None,
    translate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, metavar="F", help="Shift as a fraction of the picture; 0.1."),
    ] = None,
    degrees: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=180, metavar="F", help="Rotation; 0."),
    ] = None,
    shear: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, metavar="F", help="Shear in degrees; 0."),
    ] = None,
    hsv: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="H,S,V", help="Gains of hue, saturation and value; 0.015,0.7,0.4."),
    ] = None,
    flip_lr: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=1, metavar="P", help="Mirror images; 0.5."),
    ] = None,
    flip_ud: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, max=1, metavar="P", help="Upside down; 0."),
    ] = None,
    amp: Annotated[
        str, typer.Option(metavar="NAME", help="Mixed precision: auto, bf16, fp16 or off.")
    ] = "auto",
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Threads that make pictures ahead.")
    ] = 2,
    cache: Annotated[
        str, typer.Option(metavar="NAME", help="Decoded images: auto, none, ram or disk.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of everything.")] = 0,
    no_sync_bn: Annotated[
        bool, typer.Option("--no-sync-bn", help="Batch statistics of each process alone.")
    ] = False,
    save_steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="N", help="Save the state every N steps too."),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store best.safetensors in half precision.")
    ] = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="New folder for the results; runs/train if absent."),
    ] = None,
    resume: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Go on with the run in this folder."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train or fine-tune a detector on labelled images.

    Runs on one machine, or on many under torchrun.
    """
    from yolov12edge.cli.arguments import parse_image_size

    output = Output(json, quiet)
    if resume is not None:
        outcome = _go_on(context, resume, output)
    else:
        augmentation = {
            "mosaic": mosaic,
            "mixup": mixup,
            "copy_paste": copy_paste,
            "scale": affine_scale,
            "translate": translate,
            "degrees": degrees,
            "shear": shear,
            "flip_lr": flip_lr,
            "flip_ud": flip_ud,
            **_hsv(hsv),
        }
        outcome = _start(
            {
                "data": data,
                "val": val,
                "weights": weights,
                "scale": scale,
                "layout": layout,
                "device": device,
                "augmentation": {k: v for k, v in augmentation.items() if v is not None},
                "settings": {
                    "epochs": epochs,
                    "batch": batch,
                    "image_size": parse_image_size(imgsz),
                    "optimizer": optimizer,
                    "lr": lr,
                    "nominal_batch": nominal_batch,
                    "weight_decay": weight_decay,
                    "warmup_epochs": warmup,
                    "freeze": freeze,
                    "patience": patience,
                    "eval_every": eval_every,
                    "close_mosaic": close_mosaic,
                    "amp": amp,
                    "workers": workers,
                    "cache": cache,
                    "seed": seed,
                    "sync_bn": not no_sync_bn,
                    "save_steps": save_steps,
                    "half": half,
                },
            },
            out,
            output,
        )
    if outcome is not None:
        from yolov12edge.pipeline.training.report import training_summary

        output.result(outcome.document(), training_summary(outcome))


def _start(values: dict[str, Any], out: Path | None, output: Output) -> TrainOutcome | None:
    """The outcome of a new run."""
    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.training import train

    if values["data"] is None:
        raise UsageError("train needs images", "pass --data data.yaml, or --resume DIR")
    request = _request(values)
    with output.tracker() as progress:
        return train(request, out or _free_folder(), output, progress)


def _go_on(context: typer.Context, folder: Path, output: Output) -> TrainOutcome | None:
    """The outcome of the run in a folder, which keeps its settings."""
    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.training import resume

    given = _given(context)
    fixed = [name for name in given if name not in _FREE]
    if fixed:
        raise UsageError(
            f"a resumed run keeps its settings: --{fixed[0].replace('_', '-')} is one",
            "leave it out, or start a new run",
        )
    changes = {name: context.params[name] for name in given if name in ("workers", "cache")}
    with output.tracker() as progress:
        return resume(folder, output, progress, **changes)


def _given(context: typer.Context) -> list[str]:
    """Parameters that stand on the command line."""
    return [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]


def _hsv(text: str | None) -> dict[str, float]:
    from yolov12edge.errors import UsageError

    if text is None:
        return {}
    try:
        hue, saturation, value = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"cannot read --hsv {text!r}", "write three gains: 0.015,0.7,0.4"
        ) from None
    return {"hue": hue, "saturation": saturation, "value": value}


def _request(values: dict[str, Any]) -> Any:
    """The request, with the first wrong value named as users wrote it."""
    from pydantic import ValidationError

    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.training import TrainRequest

    try:
        return TrainRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        raise UsageError(
            f"{name} cannot be {first['input']!r}: {first['msg']}", "see: yolov12edge train --help"
        ) from None


def _free_folder() -> Path:
    """runs/train, or the first of runs/train-2, runs/train-3, ... that is not there."""
    base, number = Path("runs/train"), 1
    folder = base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder
