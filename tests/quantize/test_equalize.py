"""Equalized graphs compute the same, and their channels are even."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from tests.models import lively_model
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import CPU, TENSORRT, equalize
from yolov12edge.quantize.rules import Equalize

SIZE = 96
EVERY_STRIDED = dataclasses.replace(
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
    return session.run(tensors, {"images": image[None]})


def test_the_graph_computes_the_same(model: onnx.ModelProto) -> None:
    evened = equalize(model, EVERY_STRIDED, pictures())
    image = probe_picture(SIZE, SIZE, 9)[0]
    before, after = (run(graph, ["detections"], image)[0] for graph in (model, evened))
    assert before[:, 4:].max() > 0.1, "the probe must carry a signal"
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-3)


def test_three_quarters_of_the_unevenness_move_into_the_weights(model: onnx.ModelProto) -> None:
    evened = equalize(model, CPU, pictures())
    conv = next(node for node in evened.graph.node if node.name == "model.1/conv")
    source = next(node for node in model.graph.node if node.name == "model.1/conv").input[0]
    raw, even = (
        np.max(
            [np.abs(run(graph, [name], image)[0]).max(axis=(0, 2, 3)) for image in pictures()], 0
        )
        for graph, name in ((model, source), (evened, conv.input[0]))
    )
    assert raw.max() / raw.min() > 1.5, "the probe must be uneven"
    np.testing.assert_allclose(even, raw**0.25 * raw.max() ** 0.75, rtol=1e-4)


def test_a_dead_channel_makes_no_infinity(model: onnx.ModelProto) -> None:
    dead = onnx.ModelProto()
    dead.CopyFrom(model)
    for tensor in dead.graph.initializer:
        if tensor.name in ("model.0.conv.weight", "model.0.conv.bias"):
            values = numpy_helper.to_array(tensor).copy()
            values[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    evened = equalize(dead, CPU, pictures())
    floats = [numpy_helper.to_array(tensor) for tensor in evened.graph.initializer]
    assert all(np.isfinite(values).all() for values in floats)


def test_only_the_chosen_convolutions_change(model: onnx.ModelProto) -> None:
    evened = equalize(model, CPU, pictures())
    before = {node.name: node for node in model.graph.node}
    new = [node for node in evened.graph.node if before.get(node.name) != node]
    assert [node.name for node in new] == ["model.1/conv/evened", "model.1/conv"]
    assert len(evened.graph.node) == len(model.graph.node) + 1


def test_without_rules_no_image_is_read(model: onnx.ModelProto) -> None:
    def refuse() -> Iterator[np.ndarray]:
        raise AssertionError("read an image")
        yield

    assert equalize(model, TENSORRT, refuse()) == model
