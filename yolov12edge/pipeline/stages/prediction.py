"""Predicted times of plans, from the records of their builds; no GPU is needed.

`predict_build` is for an engine at hand, as choosing among graphs needs it; the rest reads plans
from files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from yolov12edge.documents import Document
from yolov12edge.engine import EngineBuild
from yolov12edge.engine.prediction import NotPredicted, Prediction, predict_time
from yolov12edge.engine.record import record_path, recorded_engine
from yolov12edge.errors import CheckpointError, EdgeError, UnsupportedError, UsageError
from yolov12edge.pipeline.stages.bench import main_precision
from yolov12edge.run.gpus import Gpu, gpus_of, load_gpu
from yolov12edge.run.manifest import read_manifest
from yolov12edge.run.names import PLAN_FILE, PLAN_SUFFIXES
from yolov12edge.run.recipe import Recipe, load_recipe
from yolov12edge.runtime.plan_file import read_plan
from yolov12edge.runtime.plan_origin import plan_origin


class PlanPrediction(Document):
    """One plan.

    Attributes:
        precision: "fp32", "fp16" or "int8"; None if nothing tells.
        sm: GPU architectures that the plan is for; the kernels are those of the lowest.
        told: who told its kernels.
        stand_in: the kernels are another architecture's; those for this GPU may differ.
        ratio: of its time to the first plan's.
    """

    path: str
    precision: str | None
    sm: tuple[int, ...]
    told: str
    stand_in: bool
    ratio: float
    prediction: Prediction


class PredictionReport(Document):
    """Plans side by side, on one GPU; nothing in it was measured."""

    kind: Literal["prediction"] = "prediction"
    predicted: Literal[True] = True
    gpu: str
    gpu_title: str
    artifacts: tuple[PlanPrediction, ...]


def predict_plans(paths: Sequence[Path], asked: str | None = None) -> PredictionReport:
    """Predict one run of each plan.

    Args:
        paths: plans with the records of their builds beside them, or run folders; the first is
            what the others are compared with.
        asked: a GPU's name; by default the first that the target of the first plan names, else the
            first of its architecture.

    Raises:
        UsageError: no plan, or no GPU that is known.
        CheckpointError: a damaged plan or record.
        UnsupportedError: nothing tells what the builder made of a plan, or it cannot be predicted.
    """
    plans = [_plan(Path(path)) for path in paths]
    gpu = load_gpu(asked) if asked is not None else None
    found: list[PlanPrediction] = []
    for path in plans:
        header, content = read_plan(path)
        digest = hashlib.sha256(content).hexdigest()
        sms = plan_origin(path, header, digest).compute_capabilities
        gpu = gpu or gpu_for(_target(path), sms)
        if gpu is None:
            raise UsageError(
                f"no GPU is known that {path} is for", "name one: --gpu rtx-3080, --gpu t4, ..."
            )
        time, told = _time(path, digest, gpu)
        first = found[0].prediction if found else time
        found.append(
            PlanPrediction(
                path=str(path),
                precision=main_precision(path),
                sm=sms,
                told=told,
                stand_in=bool(sms) and gpu.sm != min(sms),
                ratio=time.predicted_ms / first.predicted_ms,
                prediction=time,
            )
        )
    chosen = found[0].prediction
    return PredictionReport(gpu=chosen.gpu, gpu_title=chosen.gpu_title, artifacts=tuple(found))


def predict_build(engine: EngineBuild, recipe: Recipe) -> Prediction | NotPredicted:
    """Predict one run of an engine that was just built, on the target's first GPU."""
    gpu = gpu_for(recipe, engine.compute_capabilities)
    if gpu is None:
        return NotPredicted(reason="no GPU is known that the target is for")
    seen = engine.record.inspect(engine.path) if engine.record is not None else None
    if seen is None:
        return NotPredicted(reason="nothing tells what the builder made of the network")
    return predict_time(seen.layers, gpu)


def gpu_for(recipe: Recipe | None, capabilities: Sequence[int] = ()) -> Gpu | None:
    """The GPU to predict for where none is named; None if none is known.

    Args:
        recipe: the target, if there is one.
        capabilities: architectures that the engine is for.
    """
    if recipe is not None and recipe.gpus:
        return load_gpu(recipe.gpus[0])
    return next((gpu for one in sorted(capabilities) for gpu in gpus_of(one)), None)


def _time(path: Path, digest: str, gpu: Gpu) -> tuple[Prediction, str]:
    record = record_path(path)
    again = "build it again: yolov12edge build writes the record beside the plan"
    if not record.is_file():
        raise UnsupportedError(
            f"{path} is not predicted: there is no record of its build, {record.name}", again
        )
    try:
        engine, told = recorded_engine(record, digest)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not predicted: {error.message}", again) from error
    if engine is None:
        raise UnsupportedError(f"{path} is not predicted: {told}", again)
    time = predict_time(engine.layers, gpu)
    if isinstance(time, NotPredicted):
        raise UnsupportedError(
            f"{path} is not predicted: {time.reason}",
            "predictions need shapes and types of every kernel, as records of TensorRT-RTX "
            "builds with one batch size have them",
        )
    return time, told


def _plan(path: Path) -> Path:
    """The plan, or that of a run folder."""
    plan = path / PLAN_FILE if path.is_dir() else path
    if not plan.is_file():
        raise UsageError(f"no such file: {plan}", "give a plan, or a run folder with one")
    if plan.suffix.lower() not in PLAN_SUFFIXES:
        raise UsageError(f"{plan} is no plan", "only engines are predicted: build one first")
    return plan


def _target(path: Path) -> Recipe | None:
    """The recipe of the run that a plan belongs to; None outside of one, or where it is gone."""
    try:
        manifest = read_manifest(path.parent)
        return load_recipe(manifest.target.name)
    except EdgeError:
        return None
