"""Small random networks of the operators that learning goes through, with a head at their end."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 16
_BOX_CHANNELS = 64


class _Builder:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def conv(self, name: str, source: str, inputs: int, outputs: int, kernel: int) -> str:
        shape = (outputs, inputs, kernel, kernel)
        weight = self.random.normal(0, 1.5 / np.sqrt(inputs * kernel**2), shape)
        bias = self.random.normal(0, 0.3, outputs)
        for part, value in (("weight", weight), ("bias", bias)):
            self.constants.append(
                numpy_helper.from_array(value.astype(np.float32), f"{name}.{part}")
            )
        pads = [kernel // 2] * 4
        self.nodes.append(
            helper.make_node(
                "Conv",
                [source, f"{name}.weight", f"{name}.bias"],
                [name],
                name=f"{name}/conv",
                kernel_shape=[kernel, kernel],
                pads=pads,
            )
        )
        return name

    def node(self, operator: str, inputs: list[str], name: str, **attributes: int) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def silu(self, source: str) -> str:
        gate = self.node("Sigmoid", [source], f"{source}/sigmoid")
        return self.node("Mul", [source, gate], f"{source}/silu")


def small_network(seed: int, channels: int, depth: int, joined: bool) -> onnx.ModelProto:
    """Convolutions with SiLU and residual sums, at the end a join or not, and a head of one level.

    Args:
        seed: of the weights.
        channels: of every map.
        depth: residual blocks.
        joined: whether the first and the last map are joined in front of the head.
    """
    builder = _Builder(seed)
    first = last = builder.silu(builder.conv("model.0", "images", 3, channels, 3))
    for block in range(depth):
        inner = builder.silu(builder.conv(f"model.{block + 1}.cv1", last, channels, channels, 1))
        outer = builder.silu(builder.conv(f"model.{block + 1}.cv2", inner, channels, channels, 3))
        last = builder.node("Add", [last, outer], f"model.{block + 1}/add")
    width = channels
    if joined:
        last, width = builder.node("Concat", [first, last], "model.8/concat", axis=1), 2 * channels
    boxes = builder.conv("model.9.cv2.0.2", last, width, _BOX_CHANNELS, 1)
    scores = builder.conv("model.9.cv3.0.2", last, width, 2, 1)
    output = builder.node("Concat", [boxes, scores], "detections", axis=1)
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    graph = helper.make_graph(
        builder.nodes,
        "small",
        [image],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        builder.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def small_images(count: int, seed: int = 0) -> list[NDArray[np.float32]]:
    """Smooth random pictures, (3, SIZE, SIZE) in 0..1."""
    random = np.random.default_rng(seed)
    coarse = random.random((count, 3, 4, 4)).astype(np.float32)
    return [np.kron(one, np.ones((1, SIZE // 4, SIZE // 4), np.float32)) for one in coarse]
