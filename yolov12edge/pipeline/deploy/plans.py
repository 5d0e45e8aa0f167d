"""Building plans on a device with its own trtexec."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.engine.build_log import BuildLog
from yolov12edge.engine.fusion import FusionReport, attention_fusion
from yolov12edge.engine.inspection import read_json
from yolov12edge.engine.memory import HOST_BASE, HOST_FACTOR
from yolov12edge.engine.record import new_record, write_record
from yolov12edge.engine.trtexec import build_words, failure
from yolov12edge.errors import CheckpointError, ExportError
from yolov12edge.files import readable_size, sha256_file, write_json
from yolov12edge.pipeline.deploy.payload import OUT, RIVAL, TIMING_CACHE, Model, Payload
from yolov12edge.pipeline.deploy.request import DeployRequest
from yolov12edge.pipeline.deploy.workshop import Workshop
from yolov12edge.remote.files import digest_of
from yolov12edge.run.device import DeviceProbe, Stage
from yolov12edge.run.manifest import EngineSection
from yolov12edge.run.names import LAYERS_SUFFIX, PLAN_FILE, SIDECAR_SUFFIX
from yolov12edge.run.recipe import BuildChoice, Recipe
from yolov12edge.runtime.plan_file import read_plan_header


@dataclass(frozen=True)
class BuiltThere:
    """A plan on the device.

    Attributes:
        seconds: the build took; None where it had been done before.
    """

    model: Model
    seconds: float | None


def build_plans(
    shop: Workshop,
    payload: Payload,
    probe: DeviceProbe,
    recipe: Recipe | None,
    request: DeployRequest,
) -> list[BuiltThere]:
    """Build the plan that was asked for, and the FP16 one that INT8 has to beat.

    Raises:
        ExportError: trtexec fails, in its words, with what to do.
    """
    models = [payload.model, *([payload.rival] if payload.rival else [])]
    built = []
    for model in models:
        if model.built:
            continue
        _warn_of_memory(shop, model, probe)
        words = _words(model, payload, probe, recipe, request)
        part, layers = f"{model.plan}.part", layers_path(model)
        script = "\n".join(
            [
                "set -e",
                f"mkdir -p {OUT}",
                f"rm -f {part} {layers}",
                shlex.join(words),
                f"mv -f {part} {model.plan}",
            ]
        )
        name = "trtexec" if model.folder != RIVAL else "trtexec-float"
        key = digest_of(
            [model.sha256, shlex.join(words), str(probe.tensorrt), str(probe.gpu), str(probe.board)]
        )
        label = f"trtexec builds {model.onnx}, this takes minutes"
        result, seconds = shop.run(name, label, key, script, [model.plan])
        if result.code != 0:
            raise failure(result.lines, result.code, shop.name, model.onnx)
        version = f"TensorRT {probe.tensorrt}"
        outcome = f"{model.onnx}: plan built before by {version}"
        if not result.again:
            outcome = f"{model.onnx}: plan built by {version} in {seconds:.0f} s"
        shop.done(Stage(name=name, outcome=outcome, seconds=seconds, again=result.again))
        built.append(BuiltThere(model, None if result.again else seconds))
    return built


def layers_path(model: Model) -> str:
    """What trtexec says of a plan's layers, on the device."""
    return f"{OUT}/{model.folder.replace('/', '-')}{LAYERS_SUFFIX}"


def describe_plan(
    name: str,
    stage: Path,
    plan: Path,
    layers: Path | None,
    built: BuiltThere | None,
    payload: Payload,
    probe: DeviceProbe,
) -> tuple[EngineSection, FusionReport]:
    """Write down beside a plan that came back what it is, as for one that was built here.

    Args:
        name: of the device.
        stage: the folder that it lies in now.
        layers: trtexec's export; None where there is none.

    Raises:
        ExportError: what came back is no plan.
    """
    try:
        header = read_plan_header(plan)
    except CheckpointError as error:
        plan.unlink()
        raise ExportError(
            f"what trtexec wrote on {name} is no plan",
            "see trtexec.log in the device's folder of the run",
        ) from error
    sm = [probe.compute_capability] if probe.compute_capability else []
    version = header.version or probe.tensorrt or ""
    section = EngineSection(
        file=PLAN_FILE,
        sha256=sha256_file(plan),
        bytes=plan.stat().st_size,
        backend=header.backend,
        version=version,
        sm=sm,
        seconds=built.seconds if built else None,
        platform=f"linux-{probe.architecture}",
        gpu=probe.gpu or probe.board,
        profiling_verbosity="detailed",
    )
    write_json(
        stage / f"{PLAN_FILE}{SIDECAR_SUFFIX}",
        {
            "schema_version": 1,
            "engine": section.model_dump(mode="json"),
            "onnx": {"file": payload.model.onnx, "sha256": payload.model.sha256},
        },
    )
    record = new_record(
        "engine inspector", header.backend, version, sm, section.sha256, _layers(layers)
    )
    write_record(plan, record)
    return section, attention_fusion(record, plan)


def _layers(path: Path | None) -> BuildLog:
    if path is None:
        return BuildLog(unread="trtexec wrote no layer information")
    try:
        document = read_json(path)
        return BuildLog(tuple(document["Layers"]))
    except (CheckpointError, KeyError, TypeError) as error:
        return BuildLog(unread=f"trtexec's layer information cannot be read: {error}")


def _words(
    model: Model,
    payload: Payload,
    probe: DeviceProbe,
    recipe: Recipe | None,
    request: DeployRequest,
) -> list[str]:
    choice = recipe.build if recipe else BuildChoice()
    if request.workspace is not None:
        choice = choice.model_copy(update={"workspace_mib": request.workspace})
    asked = payload.manifest.input
    shapes: tuple[str, Sequence[tuple[int, ...]]] | None = None
    if asked.shape[0] < 1:
        rest = tuple(asked.shape[1:])
        shapes = (asked.name, [(batch, *rest) for batch in request.batch])
    return build_words(
        probe.trtexec or "trtexec",
        probe.tensorrt or "0",
        model.path,
        f"{model.plan}.part",
        model.precision,
        choice=choice,
        timing_cache=TIMING_CACHE,
        layers=layers_path(model),
        shapes=shapes,
    )


def _warn_of_memory(shop: Workshop, model: Model, probe: DeviceProbe) -> None:
    needed = HOST_BASE + HOST_FACTOR * model.size
    free = probe.memory_free
    if free is not None and free < needed:
        shop.voice.warn(
            f"{shop.name}: {readable_size(free)} of memory are free and the build needs about "
            f"{readable_size(needed)}: sudo systemctl isolate multi-user.target stops the desktop"
        )
