"""Time what a run made, as far as this machine can run it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from yolov12edge.bench import BenchReport, Contender, measure
from yolov12edge.data import Dataset, read_image
from yolov12edge.errors import UnsupportedError
from yolov12edge.evaluate import non_max_suppression
from yolov12edge.model import Detector
from yolov12edge.pipeline.recipe import Recipe
from yolov12edge.runtime import open_artifact
from yolov12edge.runtime.torch import TorchRunner

Progress = Callable[[str, int, int], None]
SECONDS_EACH = 2.0
PICTURES = 8


def bench_run(
    detector: Detector,
    onnx: Path,
    plan: Path | None,
    recipe: Recipe,
    images: Dataset | None,
    seed: int,
    progress: Progress,
) -> BenchReport:
    """Time the checkpoint in torch, model.onnx and, where its GPU is here, the plan.

    The ONNX file runs in the recipe's runtime if that runs ONNX, else in ONNX Runtime. A plan
    whose GPU is not here is left out: it is timed on its device with `yolov12edge bench`.
    """
    runtime = "openvino" if recipe.backend == "openvino" else "onnxruntime"
    with contextlib.ExitStack() as stack:
        opened = open_artifact(onnx, runtime)
        stack.callback(opened.runner.close)
        size = opened.runner.input_shape[2:]
        contenders = [
            Contender("checkpoint", TorchRunner(detector, *size), opened.letterbox),
            Contender(onnx.name, opened.runner, opened.letterbox, onnx),
        ]
        if plan is not None:
            with contextlib.suppress(UnsupportedError):
                engine = open_artifact(plan)
                stack.callback(engine.runner.close)
                contenders.append(Contender(plan.name, engine.runner, opened.letterbox, plan))
        return measure(
            contenders,
            [read_image(path) for path in images.images[:PICTURES]] if images else None,
            duration=SECONDS_EACH,
            seed=seed,
            postprocess=lambda decoded: [non_max_suppression(image) for image in decoded],
            progress=progress,
        )
