"""Q/DQ networks in exact integer arithmetic, read from the file alone; nothing of the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float64]


def convolve(x: NDArray[Any], weight: NDArray[Any], pad: int) -> NDArray[Any]:
    """(1, I, H, W) with (O, I, k, k), stride 1, in the type of its arguments."""
    kernel = weight.shape[2]
    rows, columns = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    found = np.zeros((1, len(weight), rows, columns), x.dtype)
    for row in range(kernel):
        for column in range(kernel):
            part = padded[:, :, row : row + rows, column : column + columns]
            found += np.einsum("oi,bihw->bohw", weight[:, :, row, column], part)
    return found


def rounded(x: Floats, scale: np.float32, zero: int, low: int, high: int) -> NDArray[np.int64]:
    """Steps from zero: what QuantizeLinear makes of float32 values, less the zero point."""
    steps = np.rint(x.astype(np.float32) / scale) + zero
    return np.clip(steps, low, high).astype(np.int64) - zero


def run_file(model: onnx.ModelProto, image: NDArray[np.float32]) -> tuple[dict[str, Any], Any]:
    """All values of a file, and the whole sums of its INT8 convolutions by name.

    Values are float64; what a DequantizeLinear yields is kept as (steps, scale).
    """
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    values: dict[str, Any] = {"images": image[None].astype(np.float64)}
    sums: dict[str, NDArray[np.int64]] = {}

    def plain(name: str) -> Floats:
        value = values[name]
        if isinstance(value, tuple):
            steps, scale = value
            return np.asarray(steps * np.float64(scale))
        return np.asarray(value)

    for node in model.graph.node:
        inputs, output = list(node.input), node.output[0]
        if node.op_type == "QuantizeLinear":
            scale, zero = stored[inputs[1]], stored[inputs[2]]
            numbers = np.iinfo(zero.dtype)
            x = plain(inputs[0])
            values[output] = (rounded(x, scale[()], int(zero), numbers.min, numbers.max), scale[()])
        elif node.op_type == "DequantizeLinear":
            if inputs[0] in stored:
                values[output] = (stored[inputs[0]].astype(np.int64), stored[inputs[1]])
            else:
                values[output] = values[inputs[0]]
        elif node.op_type == "Concat" and all(isinstance(values[name], tuple) for name in inputs):
            # Values on the same steps stay on them.
            scales = {float(values[name][1]) for name in inputs}
            assert len(scales) == 1, f"{node.name} joins several scales"
            steps = np.concatenate([values[name][0] for name in inputs], axis=1)
            values[output] = (steps, values[inputs[0]][1])
        elif node.op_type == "Conv":
            values[output] = _conv(node, values, stored, sums)
        else:
            values[output] = _other(node, plain)
    return values, sums


def _conv(
    node: onnx.NodeProto,
    values: Mapping[str, Any],
    stored: Mapping[str, NDArray[Any]],
    sums: dict[str, NDArray[np.int64]],
) -> Floats:
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    x, weight = values[node.input[0]], values[node.input[1]]
    bias = stored[node.input[2]].astype(np.float64)[:, None, None]
    steps, scale = x
    codes, scales = weight
    sums[node.name] = convolve(steps, codes, attributes["pads"][0])
    each = np.float64(scale) * scales.astype(np.float64)[:, None, None]
    return np.asarray(sums[node.name] * each + bias)


def _other(node: onnx.NodeProto, plain: Any) -> Floats:
    parts = [plain(name) for name in node.input]
    if node.op_type == "Sigmoid":
        return np.asarray(1 / (1 + np.exp(-parts[0])))
    if node.op_type == "Mul":
        return np.asarray(parts[0] * parts[1])
    if node.op_type == "Add":
        return np.asarray(parts[0] + parts[1])
    assert node.op_type == "Concat"
    return np.concatenate(parts, axis=1)
