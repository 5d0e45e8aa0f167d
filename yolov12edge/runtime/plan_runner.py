"""A plan as a Runner: any number of images in, decoded detections out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy.typing as npt

from yolov12edge.runtime.cuda import Driver, Gpu, find_gpus
from yolov12edge.runtime.cuda_stream import Wait
from yolov12edge.runtime.plan_context import PlanContext
from yolov12edge.runtime.plan_engine import PlanEngine
from yolov12edge.runtime.plan_origin import check_gpu, examine_plan
from yolov12edge.runtime.runner import ClosingRunner, FloatArray, check_images, run_in_batches

_log = logging.getLogger(__name__)


def open_plan(
    path: Path, backend: str, load_library: Callable[[], ModuleType], device: int = 0
) -> PlanRunner:
    """Compare the file with this machine, then load the library and the plan.

    Raises:
        UsageError, CheckpointError: as `examine_plan` says.
        UnsupportedError: as `examine_plan` and `PlanEngine` say, or no library.
    """
    plan = examine_plan(path, backend)
    for note in plan.notes:
        _log.warning(note)
    for gpu in find_gpus()[device : device + 1]:
        check_gpu(path, plan.origin, gpu)
    return PlanRunner(PlanEngine(plan, load_library(), device))


class PlanRunner(ClosingRunner):
    """Runs a plan on one GPU; a Runner.

    Args:
        engine: the loaded plan; closed with the runner.
        cuda_graph: replay the kernels as one CUDA graph.
        wait: how the host waits for the GPU.

    Attributes:
        largest_batch: images that the plan takes at once.
    """

    def __init__(
        self, engine: PlanEngine, *, cuda_graph: bool = False, wait: Wait = "auto"
    ) -> None:
        self.engine = engine
        self.name = engine.name
        self.version = engine.version
        self.device = f"{engine.gpu.name} (SM{engine.gpu.compute_capability})"
        self.notes = engine.plan.notes
        batch = None if engine.dynamic else engine.largest
        self.largest_batch: int = engine.largest
        self.input_shape: tuple[int | None, int, int, int] = (batch, 3, *engine.image)
        try:
            self.context: PlanContext = engine.context(cuda_graph=cuda_graph, wait=wait)
        except BaseException:
            engine.close()
            raise
        self.num_classes: int = self.context.output_shape[1] - 4

    @classmethod
    def open(
        cls,
        name: str,
        library: ModuleType,
        path: Path,
        gpu: Gpu | None = None,
        api: Driver | None = None,
        **options: Any,
    ) -> PlanRunner:
        """A runner of a plan file with this library, GPU and driver."""
        return cls(PlanEngine(examine_plan(path, name), library, gpu=gpu, api=api), **options)

    def __call__(self, images: FloatArray | npt.NDArray[Any]) -> FloatArray:
        """Run (B, 3, H, W) RGB to (B, 4 + classes, A) cx, cy, w, h in pixels and scores.

        Any B: more than the plan's largest batch is split, less than its smallest filled up.

        Args:
            images: float in 0..1, or uint8 in 0..255.

        Raises:
            UsageError: another height or width than the plan's.
            UnsupportedError: the GPU refused.
        """
        check_images(images, *self.input_shape[2:])
        largest = self.engine.largest
        batch = largest if len(images) > largest else None
        return run_in_batches(self.context, images, batch)

    def close(self) -> None:
        """Free the GPU memory."""
        self.engine.close()
