"""PyTorch as a runtime: the reference that every artifact is judged against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from yolov12edge.allocator import keep_freed_memory
from yolov12edge.checkpoints import build_detector, read_checkpoint
from yolov12edge.errors import UsageError
from yolov12edge.model import Detector
from yolov12edge.runtime.runner import ClosingRunner, FloatArray, check_images


class TorchRunner(ClosingRunner):
    """A detector in PyTorch, float32.

    On the CPU it runs channels last, which is faster there (benchmarks/torch_memory.py), and the
    whole process keeps freed memory for the next call (`allocator`).

    Args:
        model: the detector; put in evaluation mode, on `device` and in that order.
        height: input height in pixels, a multiple of 32.
        width: input width in pixels, a multiple of 32.
        device: a torch device.
        threads: CPU threads of the whole process' torch; its own choice if None.

    Raises:
        UsageError: the size is not a positive multiple of 32.
    """

    name = "torch"

    def __init__(
        self,
        model: Detector,
        height: int = 640,
        width: int = 640,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if height < 32 or width < 32 or height % 32 or width % 32:
            raise UsageError(
                f"input of {height}x{width} pixels", "height and width must be multiples of 32"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self.version = str(torch.__version__)
        self.device = device
        self.input_shape: tuple[int | None, int, int, int] = (None, 3, height, width)
        self.num_classes = model.architecture.num_classes
        self.names = model.names
        self._order = torch.preserve_format
        if torch.device(device).type == "cpu":
            self._order = torch.channels_last
            keep_freed_memory()
        self._model = model.eval().to(device, memory_format=self._order)  # type: ignore[call-overload]

    def __call__(self, images: FloatArray) -> FloatArray:
        """(B, 3, H, W) RGB in 0..1 to (B, 4 + classes, A).

        Raises:
            UsageError: the images have another size than the runner.
        """
        check_images(images, *self.input_shape[2:])
        with torch.inference_mode():
            inputs = torch.from_numpy(images).to(self.device, memory_format=self._order)
            result = self._model(inputs)
        return np.asarray(result.cpu().numpy(), dtype=np.float32)


def open_torch(
    path: Path, threads: int | None = None, size: tuple[int, int] | None = None
) -> TorchRunner:
    """A Runner for a checkpoint.

    Args:
        path: as load_model takes it.
        threads: as TorchRunner.
        size: (height, width); by default the square it was trained at, else 640 x 640.

    Raises:
        CheckpointError: as load_model says.
    """
    checkpoint = read_checkpoint(path)
    side = checkpoint.image_size or 640
    height, width = size or (side, side)
    return TorchRunner(build_detector(checkpoint), height, width, threads=threads)
