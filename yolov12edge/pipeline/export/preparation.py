"""Before the first stage: every choice made, every input read, every refusal spoken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.checkpoints import Checkpoint, build_detector, fetch_published, read_checkpoint
from yolov12edge.data import Dataset, Letterbox
from yolov12edge.engine import BatchRange
from yolov12edge.errors import DataError, UsageError
from yolov12edge.export import ExportOptions
from yolov12edge.libraries import load_onnxruntime
from yolov12edge.model import Detector
from yolov12edge.pipeline.export.request import ExportRequest
from yolov12edge.pipeline.images.coco import fetch_coco_images
from yolov12edge.pipeline.images.sets import ImageSets, gather_images
from yolov12edge.pipeline.stages.fp16 import FP16_IMAGES
from yolov12edge.pipeline.stages.options import graph_options
from yolov12edge.pipeline.stages.target import default_target
from yolov12edge.run.device import doubts, read_probe, target_for
from yolov12edge.run.recipe import Precision, Recipe, load_recipe
from yolov12edge.voice import Progress, Voice

DEFAULT_IMAGE_SIZE = 640
AUTO = "auto"


@dataclass(frozen=True)
class ExportJob:
    """An export with nothing left open: what the stages work on.

    Attributes:
        request: what was asked for.
        recipe: of the target.
        precision: of the artifact.
        batch: sizes of the engine.
        checkpoint: as read.
        detector: the reference, built from it.
        options: of the graph.
        images: by what they are for.
    """

    request: ExportRequest
    recipe: Recipe
    precision: Precision
    batch: BatchRange
    checkpoint: Checkpoint
    detector: Detector
    options: ExportOptions
    images: ImageSets

    @property
    def letterbox(self) -> Letterbox:
        """How pictures are fitted to the model's input."""
        return Letterbox(self.options.height, self.options.width)

    @property
    def folder(self) -> Path:
        """The run folder."""
        name = f"{self.checkpoint.path.stem}-{self.recipe.name}"
        return self.request.out or Path("runs") / name


def prepare(request: ExportRequest, voice: Voice, progress: Progress) -> ExportJob:
    """Resolve a request.

    Raises:
        EdgeError: it cannot be carried out; nothing was written.
    """
    recipe, why = _choose_target(request.target, request.probe, voice)
    voice.info(f"target {recipe.name}: {why}")
    precision = _choose_precision(request.precision, recipe)
    load_onnxruntime()  # the export is checked in it: better missed now than after the work
    batch = BatchRange.parse(request.batch)
    if request.image_size:
        _options(request, recipe, precision, request.image_size, batch)
    checkpoint = _read(request, voice, progress)
    size = request.image_size or (checkpoint.image_size or DEFAULT_IMAGE_SIZE,) * 2
    options = _options(request, recipe, precision, size, batch)
    images = gather_images(
        precision,
        _calibration_source(request, precision, voice, progress),
        request.data,
        limit=request.calibration_limit,
        seed=request.seed,
        verify=request.verify,
        voice=voice,
    )
    detector = build_detector(checkpoint)
    _check_classes(detector, images.judges, request.data)
    return ExportJob(request, recipe, precision, batch, checkpoint, detector, options, images)


def _choose_target(name: str | None, saved: Path | None, voice: Voice) -> tuple[Recipe, str]:
    """The recipe, and why; a named one is held against the device that was probed."""
    probe = read_probe(saved) if saved is not None else None
    if name is not None and name != AUTO:
        recipe = load_recipe(name)
        for line in doubts(recipe, probe) if probe is not None else ():
            voice.warn(line)
        return recipe, recipe.title
    chosen, why = default_target() if probe is None else target_for(probe)
    return load_recipe(chosen), why


def _choose_precision(asked: str | None, recipe: Recipe) -> Precision:
    if asked is None:
        return "fp16" if recipe.precision.default == "int8" else recipe.precision.default
    allowed = [name for name in recipe.precision.allowed if name == asked]
    if not allowed:
        raise UsageError(
            f"target {recipe.name} has no {asked}",
            f"it allows: {', '.join(recipe.precision.allowed)}",
        )
    return allowed[0]


def _options(
    request: ExportRequest,
    recipe: Recipe,
    precision: Precision,
    size: tuple[int, int],
    batch: BatchRange,
) -> ExportOptions:
    return graph_options(
        recipe,
        precision,
        size,
        batch=batch.optimal if batch.fixed else None,
        swap_attention=request.swap_attention,
    )


def _read(request: ExportRequest, voice: Voice, progress: Progress) -> Checkpoint:
    path = request.weights
    if path is None:
        path = fetch_published(request.scale, request.layout, voice=voice, progress=progress)
    checkpoint = read_checkpoint(path)
    architecture = checkpoint.architecture
    voice.info(
        f"{path.name}: YOLOv12-{architecture.scale}, layout {architecture.layout}, "
        f"{architecture.num_classes} classes"
    )
    return checkpoint


def _calibration_source(
    request: ExportRequest, precision: Precision, voice: Voice, progress: Progress
) -> Path | None:
    """What was asked for; for a published checkpoint with nothing given, the COCO list."""
    named = request.calibration or request.data or request.weights
    if precision == "fp32" or named is not None:
        return request.calibration
    limit = None if precision == "int8" else FP16_IMAGES
    return fetch_coco_images(limit, voice=voice, progress=progress)


def _check_classes(detector: Detector, judges: Dataset | None, data: Path | None) -> None:
    expected = detector.architecture.num_classes
    if judges is not None and judges.names and len(judges.names) != expected:
        raise DataError(
            f"{data} has {len(judges.names)} classes, the checkpoint has {expected}",
            "pass the data set that the checkpoint was trained on",
        )
