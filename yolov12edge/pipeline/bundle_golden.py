"""Golden results: images with what Python makes of them, for the self-test of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import Letterbox, find_images, load_dataset, read_image, to_batch
from yolov12edge.evaluate.detections import Detections, non_max_suppression
from yolov12edge.pipeline.manifest import Manifest
from yolov12edge.runtime import Runner

Picture = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]

# Images looked at for each golden image wanted, so that goldens show something.
LOOKED_AT = 8
SEED = 0

# NumPy's twin of the C++ struct Detection.
DETECTION = np.dtype([("box", "<f4", 4), ("score", "<f4"), ("class", "<i4")])


@dataclass(frozen=True)
class Golden:
    """One image and what Python makes of it; detections in its own pixels."""

    picture: Picture
    letterboxed: Picture
    output: NDArray[np.float32]
    predicted: Detections
    evaluated: Detections


def choose_pictures(images: Path | None, data: Path | None, count: int) -> list[Path | Picture]:
    """The images to take goldens from: spread over a data set or folder, or drawn ones.

    Raises:
        DataError: the data set or the folder cannot be read.
    """
    if data is not None:
        files: Sequence[Path] = load_dataset(data, "val").images
    elif images is not None:
        files = find_images(images)
    else:
        return [*_draw_pictures(count)]
    wanted = min(len(files), LOOKED_AT * count)
    spread = np.linspace(0, len(files) - 1, wanted).round().astype(int)
    # Shuffled, because the search ends early where the first ones will do.
    order = np.random.default_rng(SEED).permutation(spread)
    return [files[index] for index in order]


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


def record(
    runner: Runner,
    manifest: Manifest,
    sources: Sequence[Path | Picture],
    count: int,
    progress: Progress | None,
) -> list[Golden]:
    """Goldens of the first images with detections; of others only where those do not suffice.

    Raises:
        DataError: an image cannot be read.
    """
    letterbox = Letterbox(
        *manifest.model.imgsz,
        pad_value=manifest.input.letterbox.pad_value,
        center=manifest.input.letterbox.center,
    )
    telling: list[Golden] = []
    silent: list[Golden] = []
    for source in sources:
        picture = read_image(source) if isinstance(source, Path) else source
        golden = _make_golden(runner, letterbox, picture)
        (telling if len(golden.predicted) else silent).append(golden)
        if progress is not None:
            progress("golden images", min(len(telling), count), count)
        if len(telling) == count:
            break
    return [*telling, *silent][:count]


def _make_golden(runner: Runner, letterbox: Letterbox, picture: Picture) -> Golden:
    letterboxed, placement = letterbox(picture)
    output = runner(to_batch([letterboxed]))[0]
    predicted = non_max_suppression(output)
    evaluated = non_max_suppression(output, confidence=0.001, multi_label=True)
    return Golden(
        picture, letterboxed, output, predicted.to_image(placement), evaluated.to_image(placement)
    )


def write_goldens(folder: Path, runtime: str, goldens: Sequence[Golden]) -> None:
    """Write a picture, its letterbox, output and detections for each; golden.txt lists them."""
    folder.mkdir()
    names = [f"{index:02d}" for index in range(1, len(goldens) + 1)]
    for name, golden in zip(names, goldens, strict=True):
        encoded = cv2.imencode(".png", golden.picture[..., ::-1])[1]
        (folder / f"{name}.png").write_bytes(encoded.tobytes())
        (folder / f"{name}.letterbox").write_bytes(golden.letterboxed.tobytes())
        (folder / f"{name}.output").write_bytes(golden.output.astype("<f4").tobytes())
        (folder / f"{name}.predict").write_bytes(_packed(golden.predicted))
        (folder / f"{name}.evaluate").write_bytes(_packed(golden.evaluated))
    (folder / "golden.txt").write_text("\n".join([runtime, *names]) + "\n", encoding="ascii")


def _packed(detections: Detections) -> bytes:
    packed = np.zeros(len(detections), DETECTION)
    packed["box"] = detections.boxes
    packed["score"] = detections.scores
    packed["class"] = detections.classes
    return packed.tobytes()
