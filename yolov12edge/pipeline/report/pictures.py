"""What checkpoint and artifact find on the same images, side by side in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov12edge.data import Letterbox, read_image
from yolov12edge.data.draw import draw_boxes
from yolov12edge.data.letterbox import Image
from yolov12edge.errors import EdgeError
from yolov12edge.evaluate import SHOWN, Detections, detect
from yolov12edge.evaluate.pairs import pair
from yolov12edge.page import Note, Picture, Pictures, Section
from yolov12edge.page.pictures import jpeg_uri, shrunk
from yolov12edge.pipeline.report.documents import RunDocuments
from yolov12edge.pipeline.report.text import count
from yolov12edge.pipeline.stages.verify import find_reference
from yolov12edge.run.names import ONNX_SUFFIXES
from yolov12edge.runtime import Artifact, open_artifact
from yolov12edge.runtime.open import RUNTIMES
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import Progress, no_progress

# All pictures of a page together; as text they take a third more.
BUDGET_BYTES = 2_400_000
# As predict shows them, but several classes a box, as drift counts them.
_THRESHOLDS = replace(SHOWN, multi_label=True)
_SIDE = 720
_MARK = (255, 0, 200)


@dataclass(frozen=True)
class ShownImage:
    """An image to show; `worst` if it is one of those that differ most."""

    path: Path
    worst: bool


def pictures_section(
    run: RunDocuments,
    images: Sequence[Path],
    number: int,
    weights: Path | None = None,
    progress: Progress = no_progress,
) -> Section:
    """Run the artifact, and its checkpoint if it is there, on the worst and some other images.

    Args:
        images: to choose from.
        number: how many to show.
        weights: the checkpoint; the one of the manifest if None.

    Raises:
        EdgeError: the artifact, `weights` or an image cannot be read.
    """
    artifact = open_artifact(run.artifact, _runtime(run))
    try:
        reference, missing = _reference(run, weights, artifact)
        subjects = choose_subjects(run, images, number)
        limit = BUDGET_BYTES // (max(len(subjects), 1) * (2 if reference else 1))
        blocks = []
        for done, subject in enumerate(subjects):
            blocks.append(_pictures(subject, artifact, reference, limit))
            progress("pictures", done + 1, len(subjects))
    finally:
        artifact.runner.close()
    text = f"Detections above a score of {_THRESHOLDS.confidence}."
    if reference is not None:
        text += " Pink frames mark what only one of the two finds."
    notes = [Note(text, "muted"), *([Note(missing, "caution")] if missing else [])]
    return Section("pictures", "Pictures", (*notes, *blocks))


def choose_subjects(run: RunDocuments, images: Sequence[Path], number: int) -> list[ShownImage]:
    """Up to half the worst images of drift.json that are among `images`, then ordinary ones.

    The worst are found by their path, else by a name that only one image has. The ordinary ones
    lie evenly spread over the rest, the same ones every time.
    """
    listed = run.drift.worst if run.drift else []
    found = [_find(Path(one.image), images) for one in listed]
    worst = list(dict.fromkeys(path for path in found if path is not None))[: (number + 1) // 2]
    rest = [path for path in images if path not in worst]
    wanted = min(number - len(worst), len(rest))
    places = np.linspace(0, len(rest) - 1, wanted + 2)[1:-1].round().astype(int)
    ordinary = [rest[place] for place in dict.fromkeys(places.tolist())]
    ordinary += [path for path in rest if path not in ordinary][: wanted - len(ordinary)]
    return [ShownImage(path, True) for path in worst] + [
        ShownImage(path, False) for path in ordinary
    ]


def _find(wanted: Path, images: Sequence[Path]) -> Path | None:
    exact = [path for path in images if path == wanted]
    named = exact or [path for path in images if path.name == wanted.name]
    return named[0] if len(named) == 1 else None


def _runtime(run: RunDocuments) -> str | None:
    """The judge's, so that the pictures show what was judged."""
    judge = run.drift.judge.runtime if run.drift else run.manifest.target.backend
    return judge if set(RUNTIMES.get(judge, ())) & set(ONNX_SUFFIXES) else None


def _reference(
    run: RunDocuments, weights: Path | None, artifact: Artifact
) -> tuple[Artifact | None, str]:
    """The checkpoint, or why there is none; one that was named has to be there."""
    size = artifact.runner.input_shape[2:]
    try:
        runner = TorchRunner(find_reference(run.artifact, weights), *size)
    except EdgeError as error:
        if weights is not None:
            raise
        return None, f"Only the artifact's detections are shown: {error.message}."
    return Artifact(runner, Letterbox(*size), None), ""


def _pictures(
    subject: ShownImage, artifact: Artifact, reference: Artifact | None, limit: int
) -> Pictures:
    image = read_image(subject.path)
    names = artifact.names or tuple(map(str, range(artifact.runner.num_classes)))
    found = detect(artifact, image, _THRESHOLDS, clip=False)
    title = ("differs most: " if subject.worst else "") + subject.path.name
    if reference is None:
        shown = Picture("artifact", jpeg_uri(_drawn(image, found, names), limit))
        return Pictures(title, count(len(found), "detection"), "muted", (shown,))
    truth = detect(reference, image, _THRESHOLDS, clip=False)
    pairs = pair(truth, found)
    lost = np.setdiff1d(np.arange(len(truth)), pairs.first)
    extra = np.setdiff1d(np.arange(len(found)), pairs.second)
    text = f"{len(pairs.iou)} of {len(truth)} found again, {len(extra)} extra"
    return Pictures(
        title,
        text,
        "bad" if len(lost) or len(extra) else "good",
        (
            Picture(
                f"checkpoint, {count(len(truth), 'detection')}",
                jpeg_uri(_drawn(image, truth, names, lost), limit),
            ),
            Picture(
                f"artifact, {count(len(found), 'detection')}",
                jpeg_uri(_drawn(image, found, names, extra), limit),
            ),
        ),
    )


def _drawn(
    image: Image,
    found: Detections,
    names: Sequence[str],
    marked: NDArray[np.int64] | None = None,
) -> Image:
    """The image no larger than a page shows it, with its boxes; the marked ones framed."""
    small = shrunk(image, _SIDE)
    boxes = found.boxes * np.float32(small.shape[1] / image.shape[1])
    drawn = draw_boxes(small, boxes, found.scores, found.classes, names)
    factor = drawn.shape[1] / small.shape[1]
    margin = max(3, round(min(drawn.shape[:2]) / 120))
    for left, top, right, bottom in boxes[marked] * factor if marked is not None else ():
        outer = (round(left) - margin, round(top) - margin, round(right) + margin)
        corner = (outer[2], round(bottom) + margin)
        cv2.rectangle(drawn, outer[:2], corner, _MARK, max(2, margin // 2))
    return drawn
