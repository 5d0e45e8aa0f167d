"""Time what a run made, as far as this machine can run it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
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
    onnx: Sequence[Path],
    plan: Path | None,
    recipe: Recipe,
    images: Dataset | None,
    seed: int,
    progress: Progress,
) -> BenchReport:
    """Time the checkpoint in torch, ONNX files and, where its GPU is here, the plan.

    ONNX files run in the recipe's runtime if that runs ONNX, else in ONNX Runtime. A plan
    whose GPU is not here is left out: it is timed on its device with `yolov12edge bench`.
    """
    runtime = "openvino" if recipe.backend == "openvino" else "onnxruntime"
    with contextlib.ExitStack() as stack:
        artifacts = [open_artifact(path, runtime) for path in onnx]
        for artifact in artifacts:
            stack.callback(artifact.runner.close)
        opened = artifacts[0]
        size = opened.runner.input_shape[2:]
        contenders = [
            Contender("checkpoint", TorchRunner(detector, *size), opened.letterbox),
            *(
                Contender(path.name, artifact.runner, opened.letterbox, path)
                for path, artifact in zip(onnx, artifacts, strict=True)
            ),
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
