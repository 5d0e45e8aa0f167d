"""Time artifacts as far as this machine can run them."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
from onnx import shape_inference

from yolov12edge.bench import (
    BenchReport,
    Contender,
    Profile,
    Settings,
    measure,
    summarize_layers,
)
from yolov12edge.bench.cores import Cores
from yolov12edge.bench.environment import read_cpu, read_jetson
from yolov12edge.bench.profile import PROFILE_RUNS
from yolov12edge.bench.report import Precision
from yolov12edge.data import Dataset, read_image
from yolov12edge.errors import EdgeError, UnsupportedError, UsageError
from yolov12edge.evaluate import non_max_suppression
from yolov12edge.graph import GraphView, load_graph, precisions
from yolov12edge.model import Detector
from yolov12edge.pipeline.cache import key_of, recall, remember
from yolov12edge.run.manifest import read_manifest
from yolov12edge.run.names import (
    ONNX_SUFFIXES,
    TORCH_SUFFIXES,
)
from yolov12edge.run.recipe import Recipe
from yolov12edge.runtime import open_artifact
from yolov12edge.runtime.layer_times import (
    time_onnxruntime_layers,
    time_openvino_layers,
    time_plan_layers,
)
from yolov12edge.runtime.plan_runner import PlanRunner
from yolov12edge.runtime.runner import FloatArray
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import Progress

SECONDS_EACH = 2.0
LEAST_RUNS = 6
PICTURES = 8
# A run tells how fast the cores are from so many looks on; later runs go by the last so many runs.
LEAST_LOOKS = 30
MOST_REMEMBERED = 10


def bench_run(
    detector: Detector,
    onnx: Sequence[Path],
    plans: Mapping[Path, Precision],
    recipe: Recipe,
    images: Dataset | None,
    seed: int,
    progress: Progress,
) -> BenchReport:
    """Time the checkpoint in torch, ONNX files, and plans that run here.

    ONNX files run in the recipe's runtime if that runs ONNX, else in ONNX Runtime.

    Args:
        plans: with the precision that each computes in.
    """
    runtime = "openvino" if recipe.backend == "openvino" else "onnxruntime"
    files = tuple(images.images[:PICTURES]) if images else ()
    with contextlib.ExitStack() as stack:
        artifacts = [open_artifact(path, runtime) for path in onnx]
        for artifact in artifacts:
            stack.callback(artifact.runner.close)
        opened = artifacts[0]
        size = opened.runner.input_shape[2:]
        contenders = [
            Contender(
                "checkpoint", TorchRunner(detector, *size), opened.letterbox, precision="fp32"
            ),
            *(
                Contender(
                    path.name,
                    artifact.runner,
                    opened.letterbox,
                    path,
                    precision=main_precision(path),
                )
                for path, artifact in zip(onnx, artifacts, strict=True)
            ),
        ]
        for plan, precision in plans.items():
            engine = open_artifact(plan)
            stack.callback(engine.runner.close)
            contenders.append(
                Contender(plan.name, engine.runner, opened.letterbox, plan, precision=precision)
            )
        cores = stack.enter_context(watched_cores())
        return measure(
            contenders,
            [read_image(path) for path in files],
            Settings(duration=SECONDS_EACH, least_runs=LEAST_RUNS, window=0.0, seed=seed),
            files=files,
            postprocess=suppress_all,
            progress=progress,
            cores=cores,
        )


@contextlib.contextmanager
def watched_cores() -> Iterator[Cores]:
    """Cores to look at that know the speed of earlier runs; what they find is remembered."""
    key = key_of(
        host=platform.node(),
        python=platform.python_version(),
        governor=read_cpu().governor,
        jetson=jetson.power_mode if (jetson := read_jetson()) else None,
    )
    runs: list[dict[str, float]] = json.loads(recall("cores", key) or "[]")
    fastest: dict[int, float] = {}
    for run in runs:
        for core, least in run.items():
            fastest[int(core)] = min(least, fastest.get(int(core), least))
    cores = Cores(fastest)
    yield cores
    if len(cores) >= LEAST_LOOKS:
        runs.append({str(core): least for core, least in cores.fastest().items()})
        with contextlib.suppress(OSError, UsageError):
            remember("cores", key, json.dumps(runs[-MOST_REMEMBERED:]).encode())


def open_contender(
    path: Path,
    name: str,
    runtime: str | None = None,
    threads: int | None = None,
    size: tuple[int, int] | None = None,
) -> Contender:
    """Load an artifact to be timed, and see what the process grew by.

    Args:
        path: its file.
        name: to show.
        runtime: as open_runner takes it.
        threads: as open_runner takes it.
        size: (height, width) for artifacts that leave it open.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    artifact = open_artifact(path, runtime, threads, size)
    return Contender(
        name,
        artifact.runner,
        artifact.letterbox,
        path,
        process.memory_info().rss - before,
        main_precision(path),
        lambda: open_artifact(path, runtime, threads, size).runner,
    )


def profile_contender(entry: Contender, settings: Settings) -> Profile:
    """Time every layer of an artifact, in the runtime that it was opened in.

    Raises:
        UnsupportedError: that runtime does not tell layer times.
    """
    runner, path = entry.runner, entry.path
    height, width = runner.input_shape[2:]
    images = np.full((settings.batch, 3, height, width), 0.5, np.float32)
    if isinstance(runner, PlanRunner):
        layers = time_plan_layers(runner.engine, images, PROFILE_RUNS)
    elif runner.name == "openvino" and path is not None:
        size = (height, width)
        layers = time_openvino_layers(path, images, PROFILE_RUNS, settings.threads, size)
    elif runner.name.startswith("onnxruntime") and path is not None:
        layers = time_onnxruntime_layers(path, images, PROFILE_RUNS, settings.threads, runner.name)
    else:
        raise UnsupportedError(
            f"{runner.name} does not tell the times of layers", "profile the ONNX file or the plan"
        )
    return summarize_layers(entry.name, runner.name, layers)


def suppress_all(decoded: FloatArray) -> list[object]:
    """NMS over each image of a (B, 4 + classes, A) output: the last stage of a benchmark."""
    return [non_max_suppression(image) for image in decoded]


def main_precision(path: Path) -> Precision | None:
    """What an artifact computes in: "int8" if any of it does, else the type of most nodes.

    Of a plan the run folder's manifest tells; None where nothing does.
    """
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        return "fp32"
    if suffix in ONNX_SUFFIXES:
        return _precision_of_graph(path)
    try:
        manifest = read_manifest(path.parent)
    except EdgeError:
        return None
    known = manifest.engine is not None and manifest.engine.file == path.name
    return _known(manifest.precision.name) if known else None


def _precision_of_graph(path: Path) -> Precision | None:
    try:
        model = shape_inference.infer_shapes(load_graph(path, weights=False))
    except (EdgeError, OSError, ValueError, shape_inference.InferenceError):
        return None
    return _known(precisions.main_precision(GraphView(model)))


def _known(name: str | None) -> Precision | None:
    return next((one for one in get_args(Precision) if one == name), None)
