"""The job of `yolov12edge quantize`: one float32 ONNX file to FP16 or INT8."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolov12edge.files import sha256_file
from yolov12edge.pipeline.images.sources import FEW_IMAGES, calibration_images
from yolov12edge.pipeline.stages.arithmetic import products_section
from yolov12edge.pipeline.stages.fp16 import FP16_IMAGES, fp16_step
from yolov12edge.pipeline.stages.int8 import AUTO, Int8Step, quantize_step, rules_of
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime import open_artifact
from yolov12edge.voice import SILENCE, Progress, Voice


@dataclass(frozen=True)
class QuantizeRequest:
    """What `yolov12edge quantize` was asked for.

    Attributes:
        source: float32 ONNX of this package.
        calibration: folder, data.yaml, .txt list or .npz.
        precision: fp16 or int8.
        target: recipe whose runtime an INT8 file is for.
        calibration_limit: most images; the default if None.
        calibration_method: auto or a method, for INT8.
        keep_float: blocks that INT8 leaves in float.
        effort: quick, normal or thorough, for INT8; normal if None.
        out: the new file; beside the source if None.
        seed: of the image sample.
    """

    source: Path
    calibration: Path
    precision: str
    target: str
    calibration_limit: int | None = None
    calibration_method: str = AUTO
    keep_float: tuple[str, ...] = ()
    effort: str | None = None
    out: Path | None = None
    seed: int = 0


def quantize_run(request: QuantizeRequest, voice: Voice, progress: Progress) -> dict[str, Any]:
    """Convert one file and describe what became of it.

    Raises:
        EdgeError: of the family of whatever went wrong.
    """
    opened = open_artifact(request.source)
    opened.runner.close()
    recipe = load_recipe(request.target)
    limit = FP16_IMAGES if request.precision == "fp16" else request.calibration_limit
    images = calibration_images(request.calibration, limit, request.seed)
    out = request.out or request.source.with_suffix(f".{request.precision}.onnx")
    if request.precision == "fp16":
        half = fp16_step(
            request.source, out, images, opened.letterbox, voice=SILENCE, progress=progress
        )
        seen = half.calibration.images if half.calibration else 0
        return _describe(out, half.nodes, half.kept, images=seen)
    if len(images) < FEW_IMAGES:
        voice.warn(f"only {len(images)} calibration images; {FEW_IMAGES} or more are better")
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        twin = None
        if recipe.strongly_typed:
            twin = fp16_step(
                request.source,
                Path(folder) / "half.onnx",
                images,
                opened.letterbox,
                voice=SILENCE,
                progress=progress,
            )
        step = quantize_step(
            request.source,
            out,
            rules_of(recipe),
            images,
            opened.letterbox,
            method=request.calibration_method,
            keep_float=request.keep_float,
            effort=request.effort,
            twin=twin,
            progress=progress,
        )
    if step.learning is not None:
        voice.info(f"{out.name}: {step.learning.text()}")
    conversion, products = step.conversion, products_section(out)
    if products is not None:
        voice.info(f"{out.name}: {products.text}")
    return _describe(
        out,
        conversion.nodes,
        conversion.kept,
        images=step.calibrated_on,
        method=conversion.method,
        trials=step.trials,
        from_cache=step.from_cache,
        learning=_learning(step),
        products=None if products is None else products.model_dump(mode="json"),
    )


def _learning(step: Int8Step) -> dict[str, Any] | None:
    return None if step.learning is None else step.learning.section().model_dump(mode="json")


def _describe(
    path: Path, nodes: dict[str, int], kept: dict[str, str], **more: Any
) -> dict[str, Any]:
    return {
        "file": str(path),
        "sha256": sha256_file(path),
        "bytes": path.stat().st_size,
        "nodes": nodes,
        "kept_in_float": kept,
        **more,
    }
