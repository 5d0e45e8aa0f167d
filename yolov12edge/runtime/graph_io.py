"""Which input and output of an ONNX graph are the image and the detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolov12edge.errors import CheckpointError, UsageError


def resolve_input(
    path: Path, shape: Sequence[Any], size: tuple[int, int] | None
) -> tuple[int | None, int, int, int]:
    """The runner's input shape from a graph's, whose open dimensions are not numbers.

    Raises:
        CheckpointError: not (batch, 3, height, width).
        UsageError: the size is open and not given, or given and not the graph's.
    """
    if len(shape) != 4 or (shape[1] not in (3, None) and isinstance(shape[1], int)):
        raise CheckpointError(
            f"{path} takes input of shape {list(shape)}, expected (batch, 3, height, width)",
            "export the detector with one planar RGB image input",
        )
    batch, _, *sides = (side if isinstance(side, int) and side > 0 else None for side in shape)
    height, width = sides
    if size is None:
        if height is None or width is None:
            raise UsageError(f"{path} leaves its input size open", "say which to use with --imgsz")
        return batch, 3, height, width
    if (height or size[0], width or size[1]) != size:
        raise UsageError(
            f"{path} takes {height}x{width} images, not {size[0]}x{size[1]}",
            "leave --imgsz out, or export the model at that size",
        )
    return batch, 3, *size


def find_output(path: Path, outputs: dict[str, Sequence[Any]]) -> str:
    """The name of the output that holds detections: (B, 4 + classes, A).

    Args:
        path: the model file, for messages.
        outputs: shape by output name; open dimensions are not numbers.

    Raises:
        CheckpointError: there is none, or a graph with NMS built in.
    """
    if "detections" in outputs:
        return "detections"
    for name, shape in outputs.items():
        if len(shape) == 3 and not (isinstance(shape[1], int) and shape[1] < 5):
            if all(isinstance(side, int) for side in shape[1:]) and shape[1] > shape[2]:
                raise CheckpointError(
                    f"{path}: output {name} has shape {list(shape)}, expected "
                    "(batch, 4 + classes, anchors)",
                    "export the model without NMS and with boxes first",
                )
            return name
    raise CheckpointError(
        f"{path} has no (batch, 4 + classes, anchors) output, only "
        + ", ".join(f"{name} {list(shape)}" for name, shape in outputs.items()),
        "export the detector's decoded output, without NMS",
    )
