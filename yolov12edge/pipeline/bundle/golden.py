"""Golden results in the form that the self-test of a bundle reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from yolov12edge.evaluate.detections import Detections
from yolov12edge.pipeline.stages.goldens import Golden

# NumPy's twin of the C++ struct Detection.
DETECTION = np.dtype([("box", "<f4", 4), ("score", "<f4"), ("class", "<i4")])


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
