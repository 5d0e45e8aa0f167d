"""A reconstruction as bytes, so that an interrupted one can go on."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov12edge.quantize.integers import IntegerConvolution, Rounding
from yolov12edge.quantize.qdq import Step
from yolov12edge.quantize.reconstruction.learn import UnitResult
from yolov12edge.quantize.reconstruction.reconstruct import Reconstruction
from yolov12edge.quantize.weights import QuantizedWeight


def to_bytes(value: Reconstruction) -> bytes:
    """Everything as an .npz."""
    rounding = value.rounding
    head = {
        "steps": [
            [name, step.scale, int(step.zero), step.zero.dtype.name]
            for name, step in rounding.steps.items()
        ],
        "convolutions": list(rounding.convolutions),
        "reads": rounding.reads,
        "results": {name: asdict(result) for name, result in value.results.items()},
    }
    arrays: dict[str, NDArray[Any]] = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    for index, conv in enumerate(rounding.convolutions.values()):
        arrays[f"values{index}"] = conv.weight.values
        arrays[f"scales{index}"] = conv.weight.scales
        arrays[f"bias{index}"] = conv.bias
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def from_bytes(content: bytes) -> Reconstruction:
    """What `to_bytes` wrote.

    Raises:
        ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile: something else.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        head = json.loads(archive["head"].tobytes())
        convolutions = {
            name: IntegerConvolution(
                QuantizedWeight(archive[f"values{index}"], archive[f"scales{index}"]),
                archive[f"bias{index}"],
            )
            for index, name in enumerate(head["convolutions"])
        }
    steps = {
        name: Step(scale, np.int8(zero) if kind == "int8" else np.uint8(zero))
        for name, scale, zero, kind in head["steps"]
    }
    results = {name: UnitResult(**result) for name, result in head["results"].items()}
    return Reconstruction(Rounding(steps, convolutions, head["reads"]), results)
