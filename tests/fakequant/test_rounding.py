"""Fake quantization against QuantizeLinear and DequantizeLinear of ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper

from yolov12edge.fakequant import fake_quantize

VALUES = arrays.arrays(np.float32, (4, 7), elements=st.floats(-300, 300, width=32))


def rounded_by_onnxruntime(
    x: NDArray[np.float32], scale: np.float32, zero: np.integer
) -> NDArray[np.float32]:
    kind = TensorProto.INT8 if isinstance(zero, np.int8) else TensorProto.UINT8
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, [], [float(scale)]),
            helper.make_tensor("zero", kind, [], [int(zero)]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return found


@given(VALUES, st.floats(2**-13, 4, width=32), st.integers(0, 255), st.booleans())
@settings(max_examples=80, deadline=None)
def test_it_rounds_as_onnx_runtime_does(
    x: NDArray[np.float32], scale: float, zero: int, symmetric: bool
) -> None:
    shift = np.int8(0) if symmetric else np.uint8(zero)
    low, high = (-128, 127) if symmetric else (0, 255)
    expected = rounded_by_onnxruntime(x, np.float32(scale), shift)
    produced = fake_quantize(
        torch.from_numpy(x), torch.tensor(scale), torch.tensor(float(shift)), low, high
    )
    assert np.array_equal(produced.numpy(), expected)


@pytest.mark.parametrize(("value", "towards"), [(0.3, 0.0), (9.0, 1.0), (-9.0, 1.0)])
def test_gradients_pass_inside_and_move_the_ends_outside(value: float, towards: float) -> None:
    x = torch.tensor([value], requires_grad=True)
    zero = torch.tensor(10.0, requires_grad=True)
    scale = torch.tensor(0.02, requires_grad=True)
    fake_quantize(x, scale, zero, 0, 255).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert zero.grad is not None
    assert float(x.grad) == 1 - towards
    assert float(zero.grad) == pytest.approx(-0.02 * towards)


@pytest.mark.parametrize("value", [7.0, -7.0])
def test_the_step_learns_where_values_are_clipped(value: float) -> None:
    scale = torch.tensor(0.02, requires_grad=True)
    fake_quantize(torch.tensor([value]), scale, torch.tensor(100.0), 0, 255).sum().backward()  # type: ignore[no-untyped-call]
    assert scale.grad is not None
    assert float(scale.grad) == (155 if value > 0 else -100)
