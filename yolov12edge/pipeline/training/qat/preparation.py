"""Everything that quantization-aware training needs before its first step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolov12edge.allocator import keep_freed_memory
from yolov12edge.checkpoints import Checkpoint, build_detector, load_model, read_checkpoint
from yolov12edge.data import Letterbox, read_image, to_batch
from yolov12edge.data.augment import Augmentation
from yolov12edge.data.batches import TrainingBatches
from yolov12edge.errors import UsageError
from yolov12edge.export import export_onnx
from yolov12edge.graph import load_graph
from yolov12edge.model import Detector
from yolov12edge.pipeline.stages.artifacts import OnnxArtifact
from yolov12edge.pipeline.stages.fp16 import fp16_step
from yolov12edge.pipeline.stages.int8 import Int8Step, quantize_step, rules_of
from yolov12edge.pipeline.stages.options import graph_options
from yolov12edge.pipeline.stages.target import default_target
from yolov12edge.pipeline.training.qat.images import QatImages, gather
from yolov12edge.pipeline.training.qat.loop import QatLoop
from yolov12edge.pipeline.training.qat.request import QatRequest, QatSettings
from yolov12edge.quantize.equalize import gains_of
from yolov12edge.quantize.qat import (
    Int8Record,
    LearnedInt8,
    Student,
    describe_rules,
    graph_digest,
    plan_digest,
    to_tensors,
)
from yolov12edge.quantize.qdq import IsHalf, half_of
from yolov12edge.run.recipe import Recipe, load_recipe
from yolov12edge.train.distillation import check_teacher
from yolov12edge.voice import SILENCE, Progress

DEFAULT_IMAGE_SIZE = 640
# What calibration does before; learning takes the place of what more effort would learn.
EFFORT = "quick"
# Augmentation by a mirror image alone: what the network is to see is what calibration saw.
_PLAIN = Augmentation(
    **dict.fromkeys(
        ("mosaic", "copy_paste", "mixup", "scale", "translate", "hue", "saturation", "value"), 0.0
    ),
    degrade=0.0,
)


@dataclass(frozen=True)
class QatPreparation:
    """A run that is ready to start.

    Attributes:
        recipe: of the target.
        checkpoint: whose INT8 form learns.
        images: that teach, judge and calibrate.
        step: of calibration: the rounding to begin with.
        graph: digest of the exported float graph.
        letterbox: how the network takes images.
        loop: with the student; None where there are too few images to learn from.
    """

    recipe: Recipe
    checkpoint: Checkpoint
    images: QatImages
    step: Int8Step
    graph: str
    letterbox: Letterbox
    loop: QatLoop | None

    def chosen(self) -> dict[str, Any]:
        """What was left open and then chosen, and what it is chosen for."""
        architecture = self.checkpoint.architecture
        images = self.images
        kind = "labelled" if images.labelled else "unlabelled"
        return {
            "model": f"YOLOv12-{architecture.scale} ({architecture.layout})",
            "target": self.recipe.name,
            "size": f"{self.letterbox.height}x{self.letterbox.width}",
            "images": f"{len(images.teaching)} {kind} to learn, {len(images.judging)} held back",
            "convolutions": len(self.step.problem.plan.convolutions),
            "ranges": self.step.conversion.method,
        }

    def learned(self) -> tuple[LearnedInt8, Int8Record]:
        """The best rounding so far, and what is to be said of it."""
        step, position = self.step, self.loop.position if self.loop else None
        gains = gains_of(step.problem.model)
        found = LearnedInt8(gains, step.conversion.rounding, step.corrections)
        epoch = None if position is None else position.best_epoch
        if self.loop is not None and epoch is not None:
            kept = self.loop.kept
            found = LearnedInt8(gains, kept.rounding(), kept.learned_corrections())
        record = Int8Record(
            target=self.recipe.name,
            **describe_rules(step.problem.dialect),  # type: ignore[arg-type]
            graph=self.graph,
            plan=plan_digest(step.problem.plan),
            height=self.letterbox.height,
            width=self.letterbox.width,
            method=step.conversion.method,
            images=len(self.images.teaching) if epoch else len(self.images.calibration),
            epoch=epoch,
            epochs=0 if position is None else position.epoch,
            before=None if self.loop is None else self.loop.start,
            after=None if position is None else position.best,
        )
        return found, record

    def tensors(self, learned: LearnedInt8) -> dict[str, Tensor]:
        """A rounding as it is stored."""
        return to_tensors(learned, self.step.problem.plan)


def prepare_qat(request: QatRequest, progress: Progress) -> QatPreparation:
    """Read everything, export and calibrate as `export` does, and make the students.

    Raises:
        EdgeError: of the family of whatever cannot serve.
    """
    _refuse_many_processes()
    recipe = _recipe(request.target)
    checkpoint = read_checkpoint(request.weights)
    detector = build_detector(checkpoint)
    teacher = _teacher(request, detector)
    settings = request.settings
    size = settings.image_size or (checkpoint.image_size or DEFAULT_IMAGE_SIZE,) * 2
    options = graph_options(recipe, "int8", size)
    letterbox = Letterbox(*size)
    images = gather(request.data, detector.names, detector.architecture.num_classes, settings.seed)
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as name:
        folder = Path(name)
        source = export_onnx(detector, folder / "model.onnx", options).path
        twin = _twin(recipe, source, folder, images, letterbox, progress)
        step = quantize_step(
            source,
            folder / "model.int8.onnx",
            rules_of(recipe),
            images.calibration,
            letterbox,
            effort=EFFORT,
            twin=twin,
            progress=progress,
        )
        exported = load_graph(source)
        is_half = half_of(twin.path if twin else None)
    loop = None
    if images.enough:
        loop = _loop(step, is_half, detector, teacher, images, letterbox, settings)
    digest = graph_digest(exported)
    return QatPreparation(recipe, checkpoint, images, step, digest, letterbox, loop)


def _refuse_many_processes() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("--qat learns in one process", "start it without torchrun")


def _recipe(target: str | None) -> Recipe:
    recipe = load_recipe(target if target is not None else default_target()[0])
    if "int8" not in recipe.precision.allowed:
        raise UsageError(
            f"target {recipe.name} has no int8",
            f"it allows: {', '.join(recipe.precision.allowed)}; see `yolov12edge targets`",
        )
    return recipe


def _teacher(request: QatRequest, detector: Detector) -> Detector | None:
    if request.teacher is None:
        return None
    teacher = load_model(request.teacher)
    check_teacher(teacher, detector.architecture.num_classes, detector.names)
    return teacher


def _twin(
    recipe: Recipe,
    source: Path,
    folder: Path,
    images: QatImages,
    letterbox: Letterbox,
    progress: Progress,
) -> OnnxArtifact | None:
    """The FP16 form of the graph, for targets that take their types from it."""
    if not recipe.strongly_typed:
        return None
    target = folder / "model.fp16.onnx"
    return fp16_step(
        source, target, images.calibration, letterbox, voice=SILENCE, progress=progress
    )


def _loop(
    step: Int8Step,
    is_half: IsHalf,
    detector: Detector,
    teacher: Detector | None,
    images: QatImages,
    letterbox: Letterbox,
    settings: QatSettings,
) -> QatLoop:
    problem = step.problem
    student, kept = (
        Student(
            problem.model,
            problem.plan,
            problem.dialect,
            step.conversion.rounding,
            step.corrections,
            is_half,
        )
        for _ in range(2)
    )
    batches = TrainingBatches(
        images.teaching,
        _PLAIN.model_copy(update={"flip_lr": settings.flip_lr}),
        image_size=(letterbox.height, letterbox.width),
        batch=settings.batch,
        seed=settings.seed,
        workers=settings.workers,
        cache=settings.cache,
    )

    def judging() -> Iterator[Tensor]:
        for sample in images.judging:
            yield torch.from_numpy(to_batch([letterbox(read_image(sample.path))[0]])[0])

    return QatLoop(student, kept, detector, teacher, batches, images.labelled, judging, settings)
