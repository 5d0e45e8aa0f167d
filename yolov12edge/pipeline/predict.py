"""Detections on images, folders and videos, as data and as annotated pictures."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from yolov12edge.data import find_images, read_image
from yolov12edge.data.draw import draw_boxes
from yolov12edge.data.images import IMAGE_SUFFIXES
from yolov12edge.data.letterbox import Image
from yolov12edge.errors import DataError, UsageError
from yolov12edge.evaluate import Detections, Thresholds, detect
from yolov12edge.files import atomic_path, write_bytes, write_json
from yolov12edge.runtime import Artifact
from yolov12edge.voice import Progress, no_progress

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
RESULTS_NAME = "predictions.json"


@dataclass(frozen=True)
class Source:
    """One file to look at.

    Attributes:
        path: an image or a video.
        name: where its annotated copy lies under the output folder.
    """

    path: Path
    name: Path

    @property
    def is_video(self) -> bool:
        """Whether the file is a video by its suffix."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The images and videos that the paths name; folders give all images in and below them.

    Raises:
        DataError: a path does not exist, is neither image nor video, or is a folder without
            images.
        UsageError: two files would get the same name in the output folder.
    """
    sources: list[Source] = []
    for path in paths:
        if path.is_dir():
            sources += [Source(image, image.relative_to(path)) for image in find_images(path)]
        elif not path.is_file():
            raise DataError(f"no such file or folder: {path}", "check the path")
        elif path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
            sources.append(Source(path, Path(path.name)))
        else:
            known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            raise DataError(f"{path} is no image or video", f"known suffixes: {known}")
    name, count = Counter(source.name for source in sources).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{count} of the files are called {name}", "predict them one at a time")
    return sources


def predict(
    artifact: Artifact,
    sources: Sequence[Source],
    thresholds: Thresholds,
    out: Path | None = None,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Detect on every source, and write annotated copies and predictions.json to `out`.

    Args:
        artifact: what detects.
        sources: from find_sources.
        thresholds: of the prediction NMS (one class a box).
        out: a folder, made if absent; nothing is written if None.
        progress: called with (label, done, total): sources, or frames of a video.

    Returns:
        per source `image` or `video`, `width`, `height`, and `detections`, or for a video `fps`
        and `frames`, a list of detections each. A detection is `class`, `name`, `score` and `box`,
        left, top, right, bottom in pixels of the source.

    Raises:
        DataError: a source cannot be read.
        UsageError: `out` cannot be written, or would overwrite a source.
    """
    if out is not None:
        for source in sources:
            if (out / source.name).resolve() == source.path.resolve():
                raise UsageError(f"--out would overwrite {source.path}", "choose another folder")
    names = artifact.names or tuple(str(index) for index in range(artifact.runner.num_classes))
    results = []
    for done, source in enumerate(sources):
        target = None if out is None else out / source.name
        if source.is_video:
            results.append(_video(artifact, names, source.path, thresholds, target, progress))
        else:
            results.append(_image(artifact, names, source.path, thresholds, target))
            progress("images", done + 1, len(sources))
    if out is not None:
        write_json(out / RESULTS_NAME, {"schema_version": 1, "results": results})
    return results


def _image(
    artifact: Artifact,
    names: Sequence[str],
    path: Path,
    thresholds: Thresholds,
    target: Path | None,
) -> dict[str, Any]:
    image = read_image(path)
    found = detect(artifact, image, thresholds)
    if target is not None:
        drawn = draw_boxes(image, found.boxes, found.scores, found.classes, names)
        done, content = cv2.imencode(target.suffix, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        if not done:
            raise UsageError(f"OpenCV cannot write {target.suffix} files", "convert the image")
        write_bytes(target, content.tobytes())
    return {
        "image": str(path),
        "width": image.shape[1],
        "height": image.shape[0],
        "detections": _listed(found, names),
    }


def _video(
    artifact: Artifact,
    names: Sequence[str],
    path: Path,
    thresholds: Thresholds,
    target: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Detections frame by frame; the annotated copy is MPEG-4 in .mp4."""
    frames = []
    width = height = 0
    with contextlib.ExitStack() as stack:
        fps, total, images = stack.enter_context(_opened_video(path))
        writer: _VideoWriter | None = None
        if target is not None:
            temporary = stack.enter_context(atomic_path(target.with_suffix(".mp4")))
            writer = stack.enter_context(contextlib.closing(_VideoWriter(temporary, fps)))
        for image in images:
            height, width = image.shape[:2]
            found = detect(artifact, image, thresholds)
            frames.append(_listed(found, names))
            if writer:
                writer.add(draw_boxes(image, found.boxes, found.scores, found.classes, names))
            progress(path.name, len(frames), max(total, len(frames)))
        if not frames:
            raise DataError(f"cannot read video {path}: it has no frames", "convert it to .mp4")
    return {"video": str(path), "width": width, "height": height, "fps": fps, "frames": frames}


@contextlib.contextmanager
def _opened_video(path: Path) -> Iterator[tuple[float, int, Iterator[Image]]]:
    """Frames a second, stated number of frames, and the RGB frames one at a time."""
    capture = cv2.VideoCapture(str(path))

    def images() -> Iterator[Image]:
        while True:
            present, frame = capture.read()
            if not present:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    try:
        if not capture.isOpened():
            raise DataError(
                f"cannot read video {path}: damaged, or OpenCV lacks its codec",
                "convert it to .mp4, for example with ffmpeg",
            )
        fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
        yield fps, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), images()
    finally:
        capture.release()


class _VideoWriter:
    """Opens the file with the first frame, whose size it takes."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None

    def add(self, image: Image) -> None:
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), code, self._fps, size)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


def _listed(found: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "class": int(kind),
            "name": names[kind],
            "score": round(float(score), 5),
            "box": [round(float(side), 2) for side in box],
        }
        for box, score, kind in zip(found.boxes, found.scores, found.classes, strict=True)
    ]
