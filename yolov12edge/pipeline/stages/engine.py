"""The engine of a run: built where its builder is, tried where its GPU is."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.engine import BatchRange, EngineBuild, builder_available
from yolov12edge.engine.build import build_engine
from yolov12edge.engine.prediction import Prediction
from yolov12edge.errors import EdgeError, GateFailed, UnsupportedError
from yolov12edge.files import readable_size
from yolov12edge.pipeline.stages.build import recipe_options
from yolov12edge.pipeline.stages.prediction import predict_build
from yolov12edge.run.names import (
    FP16_PLAN_FILE,
    PLAN_FILE,
    PlanBackend,
)
from yolov12edge.run.recipe import Precision, Recipe
from yolov12edge.runtime import open_artifact
from yolov12edge.voice import SILENCE, Progress, Voice


@dataclass(frozen=True)
class Built:
    """An engine that was built here."""

    engine: EngineBuild


@dataclass(frozen=True)
class NotBuilt:
    """No engine, and why."""

    reason: str


@dataclass(frozen=True)
class Trial:
    """What this machine makes of an engine.

    Attributes:
        plan: the engine, if it runs here and makes sense; there is something to measure then.
        failure: what it does wrong on the golden inputs.
    """

    plan: Path | None = None
    failure: GateFailed | None = None


def build_step(
    recipe: Recipe, artifact: Path, batch: BatchRange, voice: Voice, progress: Progress
) -> Built | NotBuilt:
    """Build the engine beside an ONNX file, where that can be done here."""
    if recipe.plan_backend is None:
        return NotBuilt(f"{recipe.backend} runs the ONNX file as it is")
    available, why = builder_available(recipe.backend, recipe.compute_capabilities, recipe.version)
    if not available:
        return NotBuilt(why)
    target = artifact.with_name(PLAN_FILE)
    try:
        engine = _build(recipe.plan_backend, recipe, artifact, target, batch, voice, progress)
    except UnsupportedError as error:
        return NotBuilt(error.message)
    sms = ", ".join(f"SM{sm}" for sm in engine.compute_capabilities)
    voice.info(
        f"{PLAN_FILE}: {recipe.backend} {engine.version} for {sms}, "
        f"{readable_size(engine.size)} in {engine.seconds:.1f} s"
    )
    fusion = engine.fusion
    voice.info(fusion.text)
    for warning in fusion.warnings:
        voice.warn(warning)
    return Built(engine)


def refuse_unfused(built: Built | NotBuilt) -> GateFailed | None:
    """What to refuse an engine for, where every attention block has to be one kernel."""
    if isinstance(built, Built):
        return built.engine.fusion.refusal
    return GateFailed(
        f"whether attention is fused was not seen: no engine was built, {built.reason}",
        "name a target whose engine can be built here (yolov12edge doctor), or leave out "
        "--require-fused",
    )


def weigh_int8(
    recipe: Recipe,
    int8: Prediction,
    half: Path,
    batch: BatchRange,
    voice: Voice,
    progress: Progress,
) -> Prediction | None:
    """Say whether INT8 is predicted to beat FP16, by an FP16 engine built for its record only.

    Args:
        int8: what the INT8 engine is predicted to take.
        half: FP16 twin of what that engine was built from.

    Returns:
        What the FP16 engine would take; None where that cannot be had without a GPU.
    """
    if recipe.plan_backend != "tensorrt_rtx":
        return None
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        target = Path(folder) / FP16_PLAN_FILE
        try:
            rival = _build("tensorrt_rtx", recipe, half, target, batch, SILENCE, progress)
        except EdgeError as error:
            voice.warn(f"no FP16 engine to compare INT8 with: {error.message}")
            return None
    fp16 = predict_build(rival, recipe)
    if not isinstance(fp16, Prediction):
        return None
    text = (
        f"INT8 is predicted to take {int8.predicted_ms:.2f} ms on {int8.gpu_title}, FP16 "
        f"{fp16.predicted_ms:.2f} ms"
    )
    if int8.predicted_ms < fp16.predicted_ms:
        voice.info(text)
    else:
        voice.warn(
            f"{text}: the builder makes {int8.kernels} kernels of it instead of {fp16.kernels}; "
            "use --fp16"
        )
    return fp16


def try_engine(built: Built | NotBuilt) -> Trial:
    """Open the plan and run its golden inputs, where this machine has its GPU."""
    if isinstance(built, NotBuilt):
        return Trial()
    try:
        open_artifact(built.engine.path).runner.close()
    except UnsupportedError:
        return Trial()
    except GateFailed as error:
        return Trial(failure=error)
    return Trial(built.engine.path)


@contextlib.contextmanager
def plans_to_time(
    recipe: Recipe,
    plan: Path | None,
    precision: Precision,
    rival: Path | None,
    batch: BatchRange,
    voice: Voice,
    progress: Progress,
) -> Iterator[dict[Path, Precision]]:
    """The engine, and the FP16 engine that INT8 has to beat; with their precisions.

    The FP16 engine is built for the comparison only, and gone after it.

    Args:
        plan: an engine that runs here; None gives nothing to time.
        precision: of that engine.
        rival: ONNX file of the FP16 engine; None where INT8 has nothing to beat.
    """
    if plan is None or recipe.plan_backend is None:
        yield {}
        return
    plans: dict[Path, Precision] = {plan: precision}
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        if rival is not None:
            built = Path(folder) / FP16_PLAN_FILE
            try:
                _build(recipe.plan_backend, recipe, rival, built, batch, voice, progress)
                plans[built] = "fp16"
            except EdgeError as error:
                voice.warn(f"no FP16 engine to compare INT8 with: {error.message}")
        yield plans


def _build(
    backend: PlanBackend,
    recipe: Recipe,
    artifact: Path,
    target: Path,
    batch: BatchRange,
    voice: Voice,
    progress: Progress,
) -> EngineBuild:
    options = recipe_options(recipe, None if batch.fixed else batch)
    return build_engine(artifact, target, backend, options, progress, voice)
