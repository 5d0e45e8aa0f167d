"""Values that FP16 cannot hold, found even where the executor computes FP16 graphs in float32.

ONNX Runtime has no FP16 kernels for most operators on the CPU: it computes in float32 between
casts, so a product beyond 65504 goes unseen there and becomes infinite on the device. Asking for
every FP16 tensor as an output forces it through FP16.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from yolov12edge.graph.load import load_graph
from yolov12edge.graph.precisions import MOVES
from yolov12edge.graph.probe import Probe

# Bytes of tensors looked at in one run.
BUDGET = 512 << 20


def first_overflow(path: Path, image: NDArray[np.float32]) -> str | None:
    """The first node, in graph order, whose FP16 result is not finite; None if all are.

    Args:
        path: an ONNX file.
        image: (1, 3, H, W) RGB in 0..1 at the file's size.
    """
    model = onnx.shape_inference.infer_shapes(load_graph(path))
    half = {
        value.name: math.prod(max(1, side.dim_value) for side in value.type.tensor_type.shape.dim)
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    nodes = [
        (node.name, output)
        for node in model.graph.node
        if node.op_type not in MOVES
        for output in node.output
        if output in half
    ]
    for part in _parts(nodes, half):
        values = Probe(model, [output for _, output in part])(image[0])
        for name, output in part:
            if not np.isfinite(values[output]).all():
                return name
    return None


def _parts(nodes: list[tuple[str, str]], sizes: dict[str, int]) -> Iterator[list[tuple[str, str]]]:
    part: list[tuple[str, str]] = []
    held = 0
    for node in nodes:
        size = 2 * sizes[node[1]]
        if part and held + size > BUDGET:
            yield part
            part, held = [], 0
        part.append(node)
        held += size
    if part:
        yield part
