"""COCO AP of a detector that is being trained."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolov12edge.data.images import read_image
from yolov12edge.data.letterbox import Image, Letterbox, Placement
from yolov12edge.data.problems import Problem
from yolov12edge.data.samples import Sample, SampleSet
from yolov12edge.data.scan import BROKEN
from yolov12edge.errors import DataError
from yolov12edge.evaluate.average_precision import MatchTable
from yolov12edge.evaluate.detections import Detections, non_max_suppression
from yolov12edge.model import Detector
from yolov12edge.model.blocks import Conv
from yolov12edge.pipeline.training.pictures import EXAMPLES, Example
from yolov12edge.thresholds import COUNTED
from yolov12edge.train.history import Evaluation
from yolov12edge.voice import Progress, no_progress

READERS = 2

Picture = tuple[Image, Placement]


class Validator:
    """Measures detectors on one set of labelled images.

    Args:
        samples: the images.
        image_size: (height, width) of the input.
        batch: images a forward pass.
        device: where the detector is.
        autocast: context of the forward pass.

    Attributes:
        examples: the first images and what was found on them, of the last call.
        unreadable: images that were passed over.
    """

    def __init__(
        self,
        samples: SampleSet,
        image_size: tuple[int, int],
        batch: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._samples = samples
        self._letterbox = Letterbox(*image_size)
        self._batch = batch
        self._device = device
        self._autocast = autocast
        self.examples: list[Example] = []
        self.unreadable: list[Problem] = []

    def __call__(self, model: Detector, progress: Progress = no_progress) -> Evaluation:
        """AP of a detector over all images; it is not changed.

        Args:
            progress: called with images done and in all, after each batch.
        """
        start = time.monotonic()
        table = MatchTable(self._samples.names)
        fused = fused_copy(model)
        examples: list[Example] = []
        samples = self._samples.samples
        for first, pictures in self._batches():
            readable = [(first + offset, *p) for offset, p in enumerate(pictures) if p]
            if not readable:
                continue
            outputs = self._decode(fused, [image for _, image, _ in readable])
            for decoded, (index, image, placement) in zip(outputs, readable, strict=True):
                found = non_max_suppression(decoded, COUNTED)
                if len(examples) < EXAMPLES:
                    examples.append(Example(image, found))
                sample = samples[index]
                truth = Detections.truth(sample.classes, sample.boxes, placement)
                table.add(found.to_image(placement), truth)
            progress("evaluation", first + len(pictures), len(samples))
        self.examples = examples
        measured = table.average_precision()
        return Evaluation(
            measured.map,
            measured.map50,
            measured.per_class,
            table.images,
            time.monotonic() - start,
        )

    def _batches(self) -> Iterator[tuple[int, list[Picture | None]]]:
        """Index of the first image, and letterboxed images; the next are read meanwhile."""
        samples = self._samples.samples
        starts = range(0, len(samples), self._batch)
        with ThreadPoolExecutor(READERS) as pool:

            def submit(start: int) -> Iterator[Picture | None]:
                return pool.map(self._read, samples[start : start + self._batch])

            waiting = submit(0)
            for start in starts:
                pictures = list(waiting)
                if start + self._batch < len(samples):
                    waiting = submit(start + self._batch)
                yield start, pictures

    def _read(self, sample: Sample) -> Picture | None:
        try:
            return self._letterbox(read_image(sample.path))
        except DataError as error:
            problem = Problem(sample.path, None, BROKEN, True, error.message)
            if problem not in self.unreadable:
                self.unreadable.append(problem)
            return None

    @torch.inference_mode()
    def _decode(self, model: Detector, images: list[Image]) -> np.ndarray:
        stacked = torch.from_numpy(np.stack(images)).to(self._device).permute(0, 3, 1, 2)
        inputs = stacked.to(torch.float32, memory_format=torch.channels_last) / 255
        with self._autocast():
            levels = model.raw(inputs)
        decoded = model.head.decode([level.float() for level in levels])
        return decoded.cpu().numpy()


def fused_copy(model: Detector) -> Detector:
    """A copy in eval mode whose batch norms are folded into the convolutions."""
    fused = copy.deepcopy(model).eval()
    for module in fused.modules():
        if isinstance(module, Conv):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()  # type: ignore[assignment]
    return fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
