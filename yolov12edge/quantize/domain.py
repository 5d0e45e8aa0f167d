"""Whether two sets of images look alike to the model: statistics of its deepest features."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView
from yolov12edge.runtime.metadata import BLOCKS_KEY

Array = NDArray[np.float32]

# The backbone's last block, by its place in every scale and layout.
DEEPEST_BLOCK = "model.8"
# Another draw of the same kind of pictures: 0.6 to 1.5. Blood cells against street scenes: 5 to 9
# (16 images a side; docs/quantization.md).
ALIEN = 3.0


def describe_images(model: onnx.ModelProto, images: Iterable[Array]) -> NDArray[np.float64]:
    """(N, C) channel means of the deepest backbone map, one row an image.

    Args:
        model: float32 graph of this package.
        images: (3, H, W) RGB in 0..1.
    """
    blocks = dict(json.loads(GraphView(model).metadata[BLOCKS_KEY]))
    name = blocks[DEEPEST_BLOCK]
    probe = Probe(model, [name])
    rows = [probe(image)[name][0].mean(axis=(1, 2), dtype=np.float64) for image in images]
    return np.array(rows)


def domain_gap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Distance of two sets' mean features, in units of what two draws from one set show.

    Args:
        first: (N, C) from `describe_images`, N at least 2.
        second: (M, C), M at least 2.

    Returns:
        root mean square over channels of (mean difference / its standard error).
    """
    error = first.var(axis=0, ddof=1) / len(first) + second.var(axis=0, ddof=1) / len(second)
    used = error > 0
    if not used.any():
        return 0.0
    difference = (first.mean(axis=0) - second.mean(axis=0)) ** 2
    return float(np.sqrt((difference[used] / error[used]).mean()))
