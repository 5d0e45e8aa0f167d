"""A tiny stand-in for a detector: one convolution, whose result NumPy can state."""

from __future__ import annotations

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
WEIGHT = np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32) / 14


def expected(images: np.ndarray) -> np.ndarray:
    """(B, 3, 64, 64) to (B, 6, 64)."""
    patches = images.reshape(len(images), 3, 8, 8, 8, 8)
    return np.einsum("bcyixj,ocij->boyx", patches, WEIGHT).reshape(len(images), 6, 64)


def save(
    path,
    batch="batch",
    size=(SIDE, SIDE),
    output="detections",
    metadata=None,
    half=False,
    open_output=False,
    target=(0, 6, -1),
):
    """Write the model; `metadata` is the document under the package's key."""
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["map"], strides=[8, 8]),
        helper.make_node("Reshape", ["map", "target"], [output]),
    ]
    shape = ["batch_out", "channels", "anchors"] if open_output else [batch, 6, 64]
    graph = helper.make_graph(
        nodes,
        "patches",
        [helper.make_tensor_value_info("images", kind, [batch, 3, *size])],
        [helper.make_tensor_value_info(output, kind, shape)],
        [
            numpy_helper.from_array(WEIGHT.astype(dtype), "weight"),
            numpy_helper.from_array(np.array(target, np.int64), "target"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"yolov12edge": metadata})
    path.write_bytes(model.SerializeToString())
    return path


def document(**changes):
    """The metadata that an export writes, as text."""
    letterbox = {"pad_value": 114, "center": True, "stride": 32}
    content = {
        "schema_version": 1,
        "model": {"names": ["cat", "dog"], "imgsz": [SIDE, SIDE]},
        "input": {"letterbox": letterbox | changes},
    }
    return json.dumps(content)
