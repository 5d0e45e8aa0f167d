"""`yolov12edge train`: train or fine-tune a detector on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output

if TYPE_CHECKING:
    from pydantic import BaseModel

    from yolov12edge.pipeline.training import QatOutcome, TrainOutcome

    Request = TypeVar("Request", bound=BaseModel)

# What a resumed run may have otherwise: it changes the speed, not the result.
_FREE = ("resume", "workers", "cache", "json", "quiet")
# What quantization-aware training takes.
_OF_QAT = (
    *("data", "weights", "teacher", "qat", "target", "epochs", "batch", "imgsz", "lr", "flip_lr"),
    *("workers", "cache", "seed", "save_steps", "out", "json", "quiet"),
)


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
    teacher: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Checkpoint of the same classes to learn from too."),
    ] = None,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat", help="Teach the INT8 form of --weights, by its float form or --teacher."
        ),
    ] = False,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="With --qat: the recipe whose INT8 is taught."),
    ] = None,
    epochs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="N", help="Passes over the images; 100, with --qat 3."),
    ] = None,
    batch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, metavar="N", help="Images a step, over all processes; 16, with --qat 8."
        ),
    ] = None,
    imgsz: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="N|HxW", help="Input size; 640, with --qat the checkpoint's."),
    ] = None,
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

    Runs on one machine, or on many under torchrun. With --qat the INT8 form of a checkpoint learns.
    """
    from yolov12edge.cli.arguments import parse_image_size
    from yolov12edge.errors import UsageError

    output = Output(json, quiet)
    size = parse_image_size(imgsz) if imgsz is not None else None
    if resume is not None:
        return _show(output, _go_on(context, resume, output))
    common: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "image_size": size,
        "lr": lr,
        "seed": seed,
        "workers": workers,
        "cache": cache,
        "save_steps": save_steps,
    }
    request: dict[str, Any] = {"data": data, "weights": weights, "teacher": teacher}
    if qat:
        _refuse_others(context)
        values = {**request, "target": target, "settings": _named({**common, "flip_lr": flip_lr})}
        return _show(output, _start_qat(values, out, output))
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
    settings = {
        "optimizer": optimizer,
        "nominal_batch": nominal_batch,
        "weight_decay": weight_decay,
        "warmup_epochs": warmup,
        "freeze": freeze,
        "patience": patience,
        "eval_every": eval_every,
        "close_mosaic": close_mosaic,
        "amp": amp,
        "sync_bn": not no_sync_bn,
        "half": half,
    }
    request |= {"val": val, "scale": scale, "layout": layout, "device": device}
    request |= {"augmentation": _named(augmentation), "settings": settings | _named(common)}
    if target is not None:
        raise UsageError("--target is for --qat", "leave it out: export chooses the target")
    return _show(output, _start(request, out, output))


def _start(values: dict[str, Any], out: Path | None, output: Output) -> TrainOutcome | None:
    """The outcome of a new run."""
    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.training import TrainRequest, train

    if values["data"] is None:
        raise UsageError("train needs images", "pass --data data.yaml, or --resume DIR")
    request = _request(TrainRequest, values)
    with output.tracker() as progress:
        return train(request, out or _free_folder(), output, progress)


def _start_qat(values: dict[str, Any], out: Path | None, output: Output) -> QatOutcome:
    """The outcome of a new run of quantization-aware training."""
    from yolov12edge.errors import UsageError
    from yolov12edge.pipeline.training import QatRequest, train_qat

    if values["data"] is None:
        raise UsageError("train needs images", "pass --data data.yaml or a folder of images")
    if values["weights"] is None:
        raise UsageError("--qat teaches a trained checkpoint", "pass it with --weights")
    request = _request(QatRequest, values)
    with output.tracker() as progress:
        return train_qat(request, out or _free_folder(), output, progress)


def _refuse_others(context: typer.Context) -> None:
    """Refuse options that quantization-aware training has no use for."""
    from yolov12edge.errors import UsageError

    others = [name for name in _given(context) if name not in _OF_QAT]
    if others:
        raise UsageError(
            f"--{others[0].replace('_', '-')} means nothing with --qat",
            f"leave it out; --qat takes --{', --'.join(sorted(_OF_QAT))}".replace("_", "-"),
        )


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _show(output: Output, outcome: TrainOutcome | QatOutcome | None) -> None:
    """Print how a run ended; processes but the first have nothing to say."""
    from yolov12edge.pipeline.training import QatOutcome
    from yolov12edge.pipeline.training.qat.outcome import qat_summary
    from yolov12edge.pipeline.training.report import training_summary

    if isinstance(outcome, QatOutcome):
        output.result(outcome.document(), qat_summary(outcome))
    elif outcome is not None:
        output.result(outcome.document(), training_summary(outcome))


def _go_on(
    context: typer.Context, folder: Path, output: Output
) -> TrainOutcome | QatOutcome | None:
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


def _request(kind: type[Request], values: dict[str, Any]) -> Request:
    """The request, with the first wrong value named as users wrote it."""
    from pydantic import ValidationError

    from yolov12edge.errors import UsageError

    try:
        return kind.model_validate(values)
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
