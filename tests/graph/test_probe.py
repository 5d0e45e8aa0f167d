"""Inner tensors come out as they are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from yolov12edge.graph.probe import Probe


def small_model(batch: int | str) -> onnx.ModelProto:
    """images -> Relu -> Cast to FP16 -> Neg."""
    shape = [batch, 3, 4, 5]
    nodes = [
        helper.make_node("Relu", ["images"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Neg", ["half"], ["negative"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("negative", TensorProto.FLOAT16, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("batch", [1, 3, "batch"])
@pytest.mark.parametrize("optimize", [True, False])
def test_every_tensor_for_one_image(batch: int | str, optimize: bool) -> None:
    model = small_model(batch)
    before = model.SerializeToString()
    image = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    names = ["negative", "images", "positive", "half"]
    found = Probe(model, names, threads=1, optimize=optimize)(image)
    assert list(found) == names
    assert model.SerializeToString() == before
    assert {name: values.dtype.name for name, values in found.items()} == {
        "negative": "float16", "images": "float32", "positive": "float32", "half": "float16",
    }  # fmt: skip
    positive = np.maximum(image, 0)[None]
    np.testing.assert_array_equal(found["images"], image[None])
    np.testing.assert_array_equal(found["positive"], positive)
    np.testing.assert_array_equal(found["half"], positive.astype(np.float16))
    np.testing.assert_array_equal(found["negative"], -positive.astype(np.float16))


def test_the_input_alone() -> None:
    image = np.ones((3, 4, 5), np.float32)
    found = Probe(small_model(2), ["images"])(image)
    np.testing.assert_array_equal(found["images"], image[None])
