"""Everything that a run needs before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolov12edge.allocator import keep_freed_memory
from yolov12edge.checkpoints import Fit, InitialWeights, load_model
from yolov12edge.data.batches import TrainingBatches
from yolov12edge.data.samples import SampleSet, load_samples
from yolov12edge.errors import DataError, UsageError
from yolov12edge.pipeline.training.evaluation import Validator
from yolov12edge.pipeline.training.request import TrainRequest
from yolov12edge.pipeline.training.weights import starting_model
from yolov12edge.train.distillation import check_teacher
from yolov12edge.train.distributed import World
from yolov12edge.train.loop import TrainingLoop
from yolov12edge.train.settings import TrainingSettings


@dataclass(frozen=True)
class Preparation:
    """A run that is ready to start.

    Attributes:
        samples: images to train on.
        checked: images to evaluate on; None in all processes but the first.
        validator: evaluates on them.
        batches: of this process.
        loop: with the detector to train.
        fit: what came from `--weights`, None from scratch.
        origin: what weight files say about where they come from.
    """

    samples: SampleSet
    checked: SampleSet | None
    validator: Validator | None
    batches: TrainingBatches
    loop: TrainingLoop
    fit: Fit | None
    origin: dict[str, Any]

    @property
    def problems(self) -> list[str]:
        """A line for each kind of problem in the data, each once."""
        lines = self.samples.summary() + (self.checked.summary() if self.checked else [])
        return list(dict.fromkeys(lines))

    def chosen(self) -> dict[str, Any]:
        """What was left open and then chosen, and what it is chosen for."""
        loop, settings = self.loop, self.loop.settings
        architecture = loop.model.architecture
        processes = f" x {loop.world.size}" if loop.world.size > 1 else ""
        return {
            "model": f"YOLOv12-{architecture.scale} ({architecture.layout})",
            "images": f"{len(self.samples)} to train, {len(self.checked or ())} to evaluate",
            "optimizer": settings.optimizer,
            "lr": settings.lr,
            "batch": f"{settings.batch} x {settings.accumulate}",
            "ema": f"{loop.average.decay:.5f}",
            "amp": loop.precision.name,
            "cache": self.batches.cache_description,
            "device": f"{loop.world.device}{processes}",
        }


def prepare(request: TrainRequest, world: World) -> Preparation:
    """Read the data, make the detector and the loop.

    Raises:
        DataError: the images or labels cannot serve.
        CheckpointError: the weights cannot serve.
        UsageError: an option makes no sense.
    """
    if world.device.type == "cpu":
        keep_freed_memory()
    samples = load_samples(request.data, "train")
    checked = _validation_set(request, samples.names) if world.leads else None
    model, initial, fit = starting_model(request, samples.names)
    teacher = None
    if request.teacher is not None:
        teacher = load_model(request.teacher)
        check_teacher(teacher, len(samples.names), samples.names)
    settings = request.settings.resolved(len(samples))
    batches = TrainingBatches(
        samples,
        request.strengths(model.architecture.scale),
        image_size=settings.image_size,
        batch=settings.batch,
        seed=settings.seed,
        workers=settings.workers,
        cache=settings.cache,
        rank=world.rank,
        world=world.size,
    )
    loop = TrainingLoop(model, batches, settings, world, teacher)
    validator = None
    if checked is not None:
        validator = Validator(
            checked, settings.image_size, settings.batch, world.device, loop.precision.forward
        )
    return Preparation(samples, checked, validator, batches, loop, fit, _origin(initial, settings))


def _validation_set(request: TrainRequest, names: tuple[str, ...]) -> SampleSet:
    if request.val is None and request.data.suffix.lower() == ".json":
        raise UsageError(
            f"{request.data} has no images to evaluate on", "pass them with --val FILE"
        )
    found = load_samples(request.val or request.data, "val")
    if found.names != names:
        raise DataError(
            f"training knows the classes {', '.join(names)}, validation {', '.join(found.names)}",
            "give both the same names in the same order",
        )
    return found


def _origin(initial: InitialWeights | None, settings: TrainingSettings) -> dict[str, Any]:
    """What weight files say about where they come from."""
    height, width = settings.image_size
    record: dict[str, Any] = {"image_size": max(height, width), "seed": settings.seed}
    if initial is not None:
        record |= {"started_from": initial.sha256, "license": initial.license}
    return record
