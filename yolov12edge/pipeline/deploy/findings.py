"""What `evaluate` wrote on a device, read with care: another machine wrote every number of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolov12edge.errors import DataError
from yolov12edge.evaluate import Detections
from yolov12edge.evaluate.elsewhere import Finding
from yolov12edge.remote.text import plain
from yolov12edge.thresholds import COUNTED

# A detection's line of numbers is shorter than this, and a picture has no more of them.
MOST_BYTES_OF_A_PICTURE = 200 * (COUNTED.max_detections + 2)
_LARGEST = 1e7


def read_findings(path: Path, pictures: Sequence[str], classes: int) -> tuple[str, list[Finding]]:
    """What ran, in its own words, and what it found on each picture.

    Raises:
        DataError: it is not what `evaluate` writes for these pictures.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
        head, *rest = [json.loads(line) for line in lines]
        if head.get("schema_version") != 1 or len(rest) != len(pictures):
            raise ValueError(f"{len(rest)} of {len(pictures)} pictures")
        findings = [
            _finding(entry, name, classes) for entry, name in zip(rest, pictures, strict=True)
        ]
        return plain(str(head["runtime"]))[:200], findings
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"the device's detections cannot be read: {plain(str(error))[:200]}",
            "run the same command again; --clean begins anew on the device",
        ) from error


def _finding(entry: Any, name: str, classes: int) -> Finding:
    if entry["picture"] != name:
        raise ValueError(f"{entry['picture']!r} in the place of {name!r}")
    width, height = (int(side) for side in entry["size"])
    if entry.get("finite") is False:
        return Finding(None, (width, height))
    rows = entry["detections"]
    if len(rows) > COUNTED.max_detections:
        raise ValueError(f"{len(rows)} detections on {name}")
    values = np.array(rows, np.float64).reshape(-1, 6)
    kinds, scores, boxes = values[:, 0], values[:, 1], values[:, 2:]
    sound = (
        np.isfinite(values).all()
        and (kinds == kinds.round()).all()
        and ((kinds >= 0) & (kinds < classes)).all()
        and ((scores > 0) & (scores <= 1 + 1e-3)).all()
        and (np.abs(boxes) < _LARGEST).all()
    )
    if not sound or not math.isfinite(width * height):
        raise ValueError(f"impossible numbers on {name}")
    detections = Detections(
        boxes.astype(np.float32), scores.astype(np.float32), kinds.astype(np.int64)
    )
    return Finding(detections, (width, height))


def split_runtime(text: str, backend: str) -> tuple[str, str]:
    """A runtime's name as this package has it, and its version, from a C++ program's words.

    Example:
        >>> split_runtime("ONNX Runtime 1.31.1 on the CPU", "onnxruntime")
        ('onnxruntime', '1.31.1')
    """
    found = re.search(r"\d+(?:\.\d+)+", text)
    return backend, found[0] if found else "of unknown version"
