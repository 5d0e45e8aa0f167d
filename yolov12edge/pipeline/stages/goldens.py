"""Golden results: images with what a runner makes of them, spread over a data set or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import Letterbox, find_images, load_dataset, read_image, to_batch
from yolov12edge.evaluate.detections import Detections, non_max_suppression
from yolov12edge.pipeline.images.sources import evenly
from yolov12edge.runtime import Runner
from yolov12edge.runtime.golden import GoldenInputs, levels_of, strongest_of
from yolov12edge.thresholds import COUNTED, SHOWN
from yolov12edge.voice import Progress

Picture = NDArray[np.uint8]

# Images looked at for each golden image wanted, so that goldens show something.
LOOKED_AT = 8
SEED = 0
# A run folder's goldens; each is a letterboxed image of half a megabyte or so.
RUN_GOLDENS = 4
RUN_LOOKED_AT = 12
# The sides of a run's golden pictures, against the input's: one of them is kept as it was read.
RUN_PICTURE = 1.5


@dataclass(frozen=True)
class Golden:
    """One image and what a runner makes of it.

    Attributes:
        picture: as read.
        letterboxed: as the network takes it.
        output: (4 + classes, A).
        found: detections in pixels of `letterboxed`.
        predicted: the same in pixels of `picture`.
        evaluated: as mAP counts them, in pixels of `picture`.
    """

    picture: Picture
    letterboxed: Picture
    output: NDArray[np.float32]
    found: Detections
    predicted: Detections
    evaluated: Detections


def choose_pictures(images: Path | None, data: Path | None, count: int) -> list[Path | Picture]:
    """The images to take goldens from: spread over a data set or folder, or drawn ones.

    Raises:
        DataError: the data set or the folder cannot be read.
    """
    if data is not None:
        return spread(load_dataset(data, "val").images, LOOKED_AT * count)
    if images is not None:
        return spread(find_images(images), LOOKED_AT * count)
    return [*_draw_pictures(count)]


def spread(files: Sequence[Path], most: int) -> list[Path | Picture]:
    """At most `most` files from all over a list, shuffled: the search ends where a few will do."""
    order = np.random.default_rng(SEED).permutation(evenly(len(files), most))
    return [files[index] for index in order]


def record(
    runner: Runner,
    letterbox: Letterbox,
    sources: Sequence[Path | Picture],
    count: int,
    progress: Progress,
) -> list[Golden]:
    """Goldens of the first images with detections; of others only where those do not suffice.

    Raises:
        DataError: an image cannot be read.
    """
    telling: list[Golden] = []
    silent: list[Golden] = []
    for source in sources:
        picture = read_image(source) if isinstance(source, Path) else source
        golden = _make_golden(runner, letterbox, picture)
        (telling if len(golden.predicted) else silent).append(golden)
        progress("golden images", min(len(telling), count), count)
        if len(telling) == count:
            break
    return [*telling, *silent][:count]


def record_run(
    path: Path, reference: Runner, letterbox: Letterbox, files: Sequence[Path], progress: Progress
) -> None:
    """Write a run folder's golden.npz: what the checkpoint finds, for the device to check.

    Images are chosen so that something is seen on as many levels as the pictures show.

    Args:
        path: the file to write.
        reference: the checkpoint.
        files: images to choose from; pictures are drawn where there are none.

    Raises:
        DataError: an image cannot be read.
    """
    sources = spread(files, RUN_LOOKED_AT) if files else [*_draw_pictures(RUN_GOLDENS)]
    goldens = _telling(reference, letterbox, sources, progress)
    found = [golden.found for golden in goldens]
    outputs = np.stack([golden.output for golden in goldens])
    GoldenInputs(
        images=np.stack([golden.letterboxed.transpose(2, 0, 1) for golden in goldens]),
        counts=np.array([len(one) for one in found], np.int64),
        boxes=np.concatenate([one.boxes for one in found]).astype(np.float32),
        scores=np.concatenate([one.scores for one in found]).astype(np.float32),
        classes=np.concatenate([one.classes for one in found]).astype(np.int64),
        strongest=strongest_of(outputs, letterbox.height, letterbox.width),
        picture=goldens[0].picture,
    ).write(path)


def _telling(
    runner: Runner, letterbox: Letterbox, sources: Sequence[Path | Picture], progress: Progress
) -> list[Golden]:
    """The goldens that show most: levels that see something first, then images that do."""
    levels = levels_of(letterbox.height, letterbox.width)
    made: list[tuple[set[int], Golden]] = []
    for source in sources:
        picture = _fitting(read_image(source) if isinstance(source, Path) else source, letterbox)
        golden = _make_golden(runner, letterbox, picture)
        best = golden.output[4:].max(axis=0)
        seen = {n for n, level in enumerate(levels) if best[level].max() > SHOWN.confidence}
        made.append((seen, golden))
        progress("golden images", len(made), len(sources))
        telling = [one for one, _ in made if one]
        if len(telling) >= RUN_GOLDENS and set().union(*telling) == set(range(len(levels))):
            break
    chosen: list[Golden] = []
    covered: set[int] = set()
    while made and len(chosen) < RUN_GOLDENS:
        index = max(range(len(made)), key=lambda n: (len(made[n][0] - covered), len(made[n][0])))
        seen, golden = made.pop(index)
        covered |= seen
        chosen.append(golden)
    return chosen


def _fitting(picture: Picture, letterbox: Letterbox) -> Picture:
    """A picture that is not much larger than the input, since the file holds it."""
    height, width = picture.shape[:2]
    factor = RUN_PICTURE * max(letterbox.height, letterbox.width) / max(height, width)
    if factor >= 1:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _make_golden(runner: Runner, letterbox: Letterbox, picture: Picture) -> Golden:
    letterboxed, placement = letterbox(picture)
    output = runner(to_batch([letterboxed]))[0]
    found = non_max_suppression(output)
    evaluated = non_max_suppression(output, COUNTED)
    return Golden(
        picture,
        letterboxed,
        output,
        found,
        found.to_image(placement),
        evaluated.to_image(placement),
    )


def _draw_pictures(count: int) -> list[Picture]:
    """Shaded pictures with boxes and discs, of odd sizes."""
    random = np.random.default_rng(SEED)
    pictures = []
    for _ in range(count):
        height, width = (int(side) for side in random.integers(200, 700, 2))
        rows, columns = np.mgrid[0:height, 0:width] / 100
        ground = 128 + 80 * np.sin(rows[..., None] + columns[..., None] + random.uniform(0, 6, 3))
        picture = ground.astype(np.uint8)
        for _ in range(8):
            centre = [int(part) for part in random.integers(0, [width, height])]
            radius = int(random.integers(10, 80))
            color = tuple(int(part) for part in random.integers(0, 256, 3))
            cv2.circle(picture, centre, radius, color, cv2.FILLED)
        pictures.append(picture)
    return pictures
