"""Small networks for the builders, made with onnx.helper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MakeOnnx = Callable[..., Path]


def detector(
    batch: int | str = 1,
    *,
    half: bool = False,
    quantized: bool = False,
    alien: bool = False,
    side: int | str = 32,
) -> onnx.ModelProto:
    """Convolution, SiLU and one attention (32 channels a head), `images` to `detections`.

    Args:
        batch: a number, or a name for a dynamic batch.
        half: compute in FP16 between casts.
        quantized: Q/DQ around the convolution's input.
        alien: add an operator that exists nowhere.
        side: height and width of the input, a number or a name.
    """
    rng = np.random.default_rng(0)
    dtype = np.float16 if half else np.float32
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    weights = {"w": rng.normal(0, 0.1, (96, 3, 3, 3)).astype(dtype)}
    weights |= {"tokens": np.array([0, 3, 32, -1]), "maps": np.array([0, 32, -1])}
    weights |= {"split": np.array([1, 1, 1])}
    nodes = [helper.make_node("Cast", ["images"], ["x"], "cast_in", to=kind)]
    image = "x"
    if quantized:
        weights |= {"scale": np.array(0.01, np.float32), "zero": np.array(0, np.int8)}
        nodes.append(helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"))
        nodes.append(
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], "dequantize")
        )
        image = "dq"
    nodes += [
        helper.make_node(
            "Conv", [image, "w"], ["c"], "/model.0/conv", strides=[4, 4], pads=[1] * 4
        ),
        helper.make_node("Sigmoid", ["c"], ["s"], "/model.0/sigmoid"),
        helper.make_node("Mul", ["c", "s"], ["silu"], "/model.0/silu"),
        helper.make_node("Reshape", ["silu", "tokens"], ["qkv"], "tokens"),
        helper.make_node("Split", ["qkv", "split"], ["q4", "k4", "v4"], "split_qkv", axis=1),
        helper.make_node("Transpose", ["q4"], ["qt"], "q_rows", perm=[0, 1, 3, 2]),
        helper.make_node("Transpose", ["v4"], ["vt"], "v_rows", perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["qt", "k4"], ["logits"], "/model.1/qk"),
        helper.make_node("Softmax", ["logits"], ["p"], "/model.1/softmax", axis=-1),
        helper.make_node("MatMul", ["p", "vt"], ["pv"], "/model.1/pv"),
        helper.make_node("Transpose", ["pv"], ["mixed"], "channels", perm=[0, 1, 3, 2]),
        helper.make_node("Reshape", ["mixed", "maps"], ["y"], "maps"),
    ]
    if alien:
        nodes.append(helper.make_node("Frobnicate", ["y"], ["z"], "/model.9/frob", domain="alien"))
    nodes.append(
        helper.make_node(
            "Cast", ["z" if alien else "y"], ["detections"], "cast_out", to=TensorProto.FLOAT
        )
    )
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid("alien", 1)] * alien
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """`detector(...)` written to model.onnx."""

    def make(batch: int | str = 1, **options: bool) -> Path:
        path = tmp_path / "model.onnx"
        onnx.save(detector(batch, **options), path)
        return path

    return make
