"""Take back the shift that INT8 gives to scores.

Rounding noise in front of the class logits moves the scores of objects a little in one direction,
and every threshold then loses or adds objects. The mean shift of each class at each level, seen
where calibration images have objects, goes into the last bias.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.graph.load import load_graph
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView
from yolov12edge.quantize.head import LOGITS, head_convolutions
from yolov12edge.thresholds import LEAST_SCORE

Array = NDArray[np.float32]

# Sum of scores that a class must reach before its shift is believed; less counts in part.
ENOUGH = 5.0


def score_corrections(
    source: Path, quantized: Path, images: Iterable[Array]
) -> dict[str, NDArray[np.float32]]:
    """Changes of the last class biases that bring mean scores back.

    Args:
        source: the float32 graph.
        quantized: its INT8 form, the rest in float32.
        images: (3, H, W) RGB in 0..1.

    Returns:
        name of a convolution to (classes,) what its bias lacks, in logits.
    """
    model = load_graph(source)
    names = [node.name for node in head_convolutions(GraphView(model), LOGITS)]
    exact, rounded = Probe(model, names), Probe(load_graph(quantized), names)
    lost: dict[str, NDArray[np.float64]] = {}
    seen: dict[str, NDArray[np.float64]] = {}
    for image in images:
        found = rounded(image)
        for name, (wanted,) in exact(image).items():
            scores = 1 / (1 + np.exp(-wanted.astype(np.float64)))
            weight = scores * (scores > LEAST_SCORE)
            change = (wanted - found[name][0]) * weight
            lost[name] = lost.get(name, 0) + change.sum(axis=(1, 2))
            seen[name] = seen.get(name, 0) + weight.sum(axis=(1, 2))
    return {name: (lost[name] / (seen[name] + ENOUGH)).astype(np.float32) for name in lost}
