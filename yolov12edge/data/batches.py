"""Batches of augmented pictures: the same ones for any number of threads and processes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolov12edge.data.augment import Augmentation, Instances, Polygons, compose
from yolov12edge.data.letterbox import Image
from yolov12edge.data.problems import Problem
from yolov12edge.data.resized import ResizedImages
from yolov12edge.data.samples import Sample, SampleSet
from yolov12edge.data.scan import BROKEN
from yolov12edge.errors import DataError, UsageError
from yolov12edge.interrupts import interrupts_held

# Partners of a mosaic are images that are due within so many positions (facts of the recipe).
MAX_WINDOW = 1000
WINDOW_BATCHES = 8

_ATTEMPTS = 10
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """Augmented pictures and their boxes.

    Attributes:
        images: (B, 3, H, W) uint8 RGB.
        targets: (n, 6) float32: image of this batch, class, cx, cy, w, h as fractions of the
            input.
    """

    images: Tensor
    targets: Tensor


class TrainingBatches:
    """The augmented batches of every epoch.

    The pixels and boxes at a position of an epoch depend on the seed, the epoch and the position
    alone: neither on threads or ranks nor on where the iteration began. An epoch is a permutation
    of the set, cut into batches; the last one is filled up from the start of the permutation, so
    that every image is seen and all batches are full. A set smaller than a batch makes one batch
    of its own size (rounded up so that all ranks have as many).

    Mosaic and mixup partners are drawn from the last min(n, 8 * batch, 1000) images of the
    permutation, as recently decoded ones would be.

    Attributes:
        steps_per_epoch: batches in an epoch.
        problems: images that could not be decoded; other ones took their places.

    Args:
        samples: the set.
        augmentation: strengths.
        image_size: height and width of the detector's input.
        batch: pictures of a step over all ranks; a multiple of `world`.
        seed: of order and augmentation.
        workers: threads that make pictures ahead; 0 makes them when they are asked for.
        cache: where decoded images are kept, see `ResizedImages`.
        rank: this process makes positions rank, rank + world, ... of each batch.
        world: number of processes.

    Raises:
        UsageError: batch is not a positive multiple of `world`.
        DataError: the set is empty.
    """

    def __init__(
        self,
        samples: SampleSet,
        augmentation: Augmentation,
        *,
        image_size: tuple[int, int],
        batch: int,
        seed: int,
        workers: int = 0,
        cache: str = "auto",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch < 1 or batch % world:
            raise UsageError(
                f"batch {batch} cannot be shared equally by {world} processes",
                f"choose a multiple of {world}",
            )
        if not samples.samples:
            raise DataError("the training set is empty", "check the paths in data.yaml")
        self.names = samples.names
        self.problems: list[Problem] = []
        self._samples = samples.samples
        self._augmentation, self._size, self._seed = augmentation, image_size, seed
        self._workers, self._rank, self._world = workers, rank, world
        count = len(self._samples)
        self._batch = batch if count >= batch else -(-count // world) * world
        self._window = min(count, WINDOW_BATCHES * batch, MAX_WINDOW)
        self.steps_per_epoch = -(-count // self._batch)
        self._images = ResizedImages(self._samples, image_size, cache, world, self._window)
        # Pictures are made side by side already.
        cv2.setNumThreads(0)

    @property
    def cache_description(self) -> str:
        """What is cached and how large it gets, in words."""
        return self._images.description

    def epoch(self, epoch: int, *, first_step: int = 0, mosaic: bool = True) -> Iterator[Batch]:
        """This rank's batches of one epoch.

        Args:
            epoch: number of the epoch, from 0.
            first_step: batch to begin with.
            mosaic: False leaves out mosaic, copy-paste and mixup, for the last epochs.

        Raises:
            DataError: many images in a row cannot be read.
        """
        steps = range(first_step, self.steps_per_epoch)
        if self._workers == 0:
            for step in steps:
                positions = self._positions(step)
                yield _collate([self.picture(epoch, p, mosaic) for p in positions])
            return
        pool = ThreadPoolExecutor(self._workers, "pictures")
        waiting: deque[list[Future[tuple[NDArray[np.uint8], NDArray[np.float32]]]]] = deque()
        coming = iter(steps)
        try:
            while True:
                # Ctrl-C inside the pool's own code can leave one of its locks held for ever.
                with interrupts_held():
                    for step in itertools.islice(coming, 1 + _BATCHES_AHEAD - len(waiting)):
                        positions = self._positions(step)
                        made = [pool.submit(self.picture, epoch, p, mosaic) for p in positions]
                        waiting.append(made)
                    if not waiting:
                        return
                    batch = _collate([future.result() for future in waiting.popleft()])
                yield batch
        finally:
            # Nor may it come while the threads are forgotten: weak references swallow it.
            with interrupts_held():
                pool.shutdown(wait=True, cancel_futures=True)
                del pool

    def picture(
        self, epoch: int, position: int, mosaic: bool = True
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The picture at a position of an epoch's global order.

        Returns:
            (3, H, W) uint8 RGB, and (n, 5) float32 rows: class, cx, cy, w, h as fractions.
        """
        order = epoch_order(len(self._samples), self._seed, epoch)
        rng = np.random.default_rng([self._seed, epoch, position])

        def partner(rng: np.random.Generator) -> int:
            earlier = position - int(rng.integers(self._window))
            return int(order[earlier % len(order)])

        augmentation = self._augmentation if mosaic else self._augmentation.without_mosaic()
        first = int(order[position % len(order)])
        image, instances = compose(first, partner, self._load, self._size, augmentation, rng)
        # Three contiguous planes: split is faster than a transposed copy.
        return np.stack(cv2.split(image)), _rows(instances, self._size)

    def _positions(self, step: int) -> range:
        start = step * self._batch
        return range(start + self._rank, start + self._batch, self._world)

    def _load(self, index: int) -> tuple[Image, Instances]:
        """One image and its objects, or those of the next one that can be read."""
        for attempt in range(_ATTEMPTS):
            number = (index + attempt) % len(self._samples)
            try:
                image = self._images(number)
            except DataError as error:
                self._note(number, error)
                last = error
            else:
                return image, _instances(self._samples[number], image)
        raise last

    def _note(self, number: int, error: DataError) -> None:
        path = self._samples[number].path
        if not any(problem.path == path for problem in self.problems):
            self.problems.append(Problem(path, None, BROKEN, True, error.message))


@lru_cache(maxsize=4)
def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """(count,) the permutation of a set in one epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    order.setflags(write=False)
    return order


def _instances(sample: Sample, image: Image) -> Instances:
    height, width = image.shape[:2]
    half = sample.boxes[:, 2:] / 2
    corners = np.concatenate([sample.boxes[:, :2] - half, sample.boxes[:, :2] + half], axis=1)
    scale = np.array([width, height], dtype=np.float32)
    polygons = sample.polygons or Polygons.empty()
    return Instances(
        corners * np.tile(scale, 2), sample.classes, polygons.moved(polygons.points * scale)
    )


def _rows(instances: Instances, size: tuple[int, int]) -> NDArray[np.float32]:
    rows = np.zeros((len(instances), 5), dtype=np.float32)
    boxes = instances.boxes / np.array([size[1], size[0]] * 2, dtype=np.float32)
    rows[:, 0] = instances.classes
    rows[:, 1:3] = (boxes[:, :2] + boxes[:, 2:]) / 2
    rows[:, 3:] = boxes[:, 2:] - boxes[:, :2]
    return rows


def _collate(pictures: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> Batch:
    images = torch.from_numpy(np.stack([image for image, _ in pictures]))
    targets = [
        np.column_stack([np.full(len(rows), index, np.float32), rows])
        for index, (_, rows) in enumerate(pictures)
    ]
    return Batch(images, torch.from_numpy(np.concatenate(targets)))
