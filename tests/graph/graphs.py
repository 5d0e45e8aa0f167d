"""Small graphs in several precisions, made by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def finish(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.generic | np.ndarray],
    result: int = TensorProto.FLOAT,
    shape: tuple[int, ...] = (1, 4, 6, 6),
) -> onnx.ModelProto:
    """A checked graph from `x` (1, 4, 6, 6) to `y`, with all types inferred."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("y", result, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 19)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def weights(kind: type[np.generic]) -> np.ndarray:
    """(4, 4, 1, 1) of some values."""
    return np.random.default_rng(0).standard_normal((4, 4, 1, 1)).astype(kind)


def float_graph() -> onnx.ModelProto:
    """conv -> sigmoid -> product, in float32."""
    return finish(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Sigmoid", ["c"], ["s"], name="sigmoid"),
            helper.make_node("Mul", ["c", "s"], ["y"], name="silu"),
        ],
        {"w": weights(np.float32)},
    )


def half_graph() -> onnx.ModelProto:
    """A cast, then conv and sigmoid in FP16, a cast back and a product in float32."""
    return finish(
        [
            helper.make_node("Cast", ["x"], ["h"], name="down", to=TensorProto.FLOAT16),
            helper.make_node("Conv", ["h", "w"], ["c"], name="conv"),
            helper.make_node("Sigmoid", ["c"], ["s"], name="sigmoid"),
            helper.make_node("Cast", ["s"], ["f"], name="up", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["f", "f"], ["y"], name="square"),
        ],
        {"w": weights(np.float16)},
    )


def quantized_graph() -> onnx.ModelProto:
    """A join and a pooling of INT8 values, an INT8 convolution, a float one and a sigmoid."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x/q"], name="q"),
        helper.make_node("DequantizeLinear", ["x/q", "scale", "zero"], ["x/r"], name="dq"),
        helper.make_node("Concat", ["x/r", "x/r"], ["j"], name="join", axis=1),
        helper.make_node("MaxPool", ["j"], ["p"], name="pool", kernel_shape=[1, 1]),
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["wr"], name="wd"),
        helper.make_node("Conv", ["p", "wr"], ["c"], name="int8_conv"),
        helper.make_node("Sigmoid", ["c"], ["s"], name="sigmoid"),
        helper.make_node("Conv", ["s", "w"], ["y"], name="float_conv"),
    ]
    return finish(
        nodes,
        {
            "scale": np.float32(0.05),
            "zero": np.int8(0),
            "w8": np.ones((4, 8, 1, 1), np.int8),
            "w": weights(np.float32),
        },
    )


def integer_graph() -> onnx.ModelProto:
    """Arithmetic on a shape."""
    return finish(
        [
            helper.make_node("Shape", ["x"], ["sides"], name="shape"),
            helper.make_node("Add", ["sides", "sides"], ["y"], name="twice"),
        ],
        {},
        TensorProto.INT64,
        (4,),
    )
