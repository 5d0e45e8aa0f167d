"""Equalized graphs compute the same, and their channels are even."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests.models import lively_model
from yolov12edge.evaluate.blocks import trace_blocks
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import CPU, TENSORRT, Dialect, equalize, plan_quantization
from yolov12edge.quantize.equalize import SHARE
from yolov12edge.quantize.rules import Equalize

SIZE = 96
STRIDED = dataclasses.replace(
    CPU,
    equalize=(
        Equalize(
            "strided",
            "a test",
            "two strided convolutions",
            lambda _, node: node.name in ("model.1/conv", "model.3/conv"),
        ),
    ),
)


@pytest.fixture(scope="module", params=["v1", "turbo"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> onnx.ModelProto:
    """Turbo's first convolutions are grouped, those of v1 are not."""
    path = tmp_path_factory.mktemp("equalize") / "model.onnx"
    export_onnx(lively_model("n", request.param, num_classes=2), path, ExportOptions(SIZE, SIZE))
    return onnx.load(path)


def pictures(count: int = 3) -> Iterator[np.ndarray]:
    return (probe_picture(SIZE, SIZE, seed)[0] for seed in range(count))


def run(model: onnx.ModelProto, tensors: list[str], image: np.ndarray) -> list[np.ndarray]:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in watched.graph.output}
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in tensors if name not in known
    )
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(tensors, {model.graph.input[0].name: image[None]})


def evened_out(
    model: onnx.ModelProto, dialect: Dialect, images: Iterable[np.ndarray]
) -> onnx.ModelProto:
    return equalize(model, plan_quantization(model, dialect), dialect, images)


def products(model: onnx.ModelProto) -> dict[str, str]:
    """Tensor that is evened out, by the name of what takes its place."""
    nodes = [node for node in model.graph.node if node.name.endswith("/evened")]
    return {node.output[0]: node.input[0] for node in nodes}


def test_the_graph_computes_the_same(model: onnx.ModelProto) -> None:
    evened = evened_out(model, CPU, pictures())
    image = probe_picture(SIZE, SIZE, 9)[0]
    before, after = (run(graph, ["detections"], image)[0] for graph in (model, evened))
    assert before[:, 4:].max() > 0.1, "the probe must carry a signal"
    assert len(products(evened)) > 40
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-3)


@pytest.mark.parametrize("layout", ["v1", "turbo"])
def test_tensors_with_a_name_of_before_are_what_they_were(layout: str, tmp_path: Path) -> None:
    """Joins and upsampling pass on what was evened out; `verify` must not look at it."""
    detector, path = lively_model("n", layout, num_classes=2), tmp_path / "even.onnx"
    export_onnx(detector, path, ExportOptions(SIZE, SIZE))
    onnx.save(evened_out(onnx.load(path), CPU, pictures()), path)
    trace = trace_blocks(detector, path, probe_picture(SIZE, SIZE, 9))
    assert trace.start is None
    assert min(block.sqnr_db for block in trace.blocks) > 60
    assert len(trace.blocks) > 15


def test_channels_come_nearer_to_the_widest_of_their_scale(model: onnx.ModelProto) -> None:
    evened = evened_out(model, STRIDED, pictures())
    conv = next(node for node in evened.graph.node if node.name == "model.1/conv")
    source = next(node for node in model.graph.node if node.name == "model.1/conv").input[0]
    raw, even = (
        np.max(
            [np.abs(run(graph, [name], image)[0]).max(axis=(0, 2, 3)) for image in pictures()], 0
        )
        for graph, name in ((model, source), (evened, conv.input[0]))
    )
    assert raw.max() / raw.min() > 1.5, "the probe must be uneven"
    np.testing.assert_allclose(even, raw ** (1 - SHARE) * raw.max() ** SHARE, rtol=1e-4)


def test_a_dead_channel_makes_no_infinity(model: onnx.ModelProto) -> None:
    dead = onnx.ModelProto()
    dead.CopyFrom(model)
    for tensor in dead.graph.initializer:
        if tensor.name in ("model.0.conv.weight", "model.0.conv.bias"):
            values = numpy_helper.to_array(tensor).copy()
            values[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    evened = evened_out(dead, CPU, pictures())
    floats = [numpy_helper.to_array(tensor) for tensor in evened.graph.initializer]
    assert all(np.isfinite(values).all() for values in floats)


def test_only_the_chosen_convolutions_change(model: onnx.ModelProto) -> None:
    evened = evened_out(model, STRIDED, pictures())
    before = {node.name: node for node in model.graph.node}
    new = [node.name for node in evened.graph.node if before.get(node.name) != node]
    assert new == [
        *("model.0/silu/evened", "model.1/conv"),
        *("model.2.cv2/silu/evened", "model.3/conv"),
    ]
    assert len(evened.graph.node) == len(model.graph.node) + 2


def test_what_others_read_in_float_is_left_alone(model: onnx.ModelProto) -> None:
    """Half of this split goes into a residual sum, which would see other values."""
    evened = products(evened_out(model, CPU, pictures())).values()
    assert "model.2.cv1/silu" not in evened
    assert "model.1/silu" in evened


def test_without_rules_no_image_is_read(model: onnx.ModelProto) -> None:
    def refuse() -> Iterator[np.ndarray]:
        raise AssertionError("read an image")
        yield

    assert evened_out(model, TENSORRT, refuse()) == model


@pytest.mark.parametrize("group", [1, 2])
def test_factors_follow_channels_through_joins_and_splits(group: int) -> None:
    """Two uneven maps, joined, enlarged and taken apart across the seam between them."""
    generator = np.random.default_rng(0)

    def stored(name: str, *shape: int) -> onnx.TensorProto:
        values = generator.normal(size=shape) * np.exp(generator.normal(size=(shape[0], 1, 1, 1)))
        return numpy_helper.from_array(values.astype(np.float32), name)

    constants = [
        stored("wa", 6, 3, 1, 1),
        stored("wb", 4, 3, 1, 1),
        stored("w1", 4, 8 // group, 3, 3),
        stored("w2", 5, 2, 1, 1),
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "sizes"),
        numpy_helper.from_array(np.array([8, 2], np.int64), "parts"),
        *(
            numpy_helper.from_array(generator.normal(size=count).astype(np.float32), name)
            for name, count in (("ba", 6), ("bb", 4), ("b1", 4), ("b2", 5))
        ),
    ]

    def conv(name: str, source: str, weight: str, bias: str, target: str, **more: object) -> object:
        return helper.make_node("Conv", [source, weight, bias], [target], name=name, **more)

    nodes = [
        conv("a/conv", "x", "wa", "ba", "a"),
        conv("b/conv", "x", "wb", "bb", "b"),
        helper.make_node("Concat", ["a", "b"], ["joined"], name="join", axis=1),
        helper.make_node("Resize", ["joined", "", "sizes"], ["large"], name="up", mode="nearest"),
        helper.make_node("Split", ["large", "parts"], ["left", "right"], name="split", axis=1),
        conv("left/conv", "left", "w1", "b1", "y1", pads=[1, 1, 1, 1], group=group),
        conv("right/conv", "right", "w2", "b2", "y2"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "joined",
        [value("x", 1, [1, 3, 8, 8])],
        [value(name, 1, [1, count, 16, 16]) for name, count in (("y1", 4), ("y2", 5))],
        constants,
    )
    source = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    every = dataclasses.replace(CPU, keep=())
    images = [generator.random((3, 8, 8), dtype=np.float32) for _ in range(3)]
    evened = evened_out(source, every, images)
    assert list(products(evened).values()) == ["a", "b"]
    for before, after in zip(
        run(source, ["y1", "y2"], images[0]), run(evened, ["y1", "y2"], images[0]), strict=True
    ):
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4)
