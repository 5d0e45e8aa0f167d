"""Mean rounding errors, against ONNX's own quantization operators in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models import lively_model
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import (
    DIALECTS,
    Dialect,
    activation_shifts,
    choose_steps,
    observe,
    observed_tensors,
    plan_quantization,
    shifts,
)

SIZE = 64
PICTURES = [probe_picture(SIZE, SIZE, seed)[0] for seed in range(3)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shifts") / "model.onnx"
    export_onnx(lively_model("n", num_classes=2), path, ExportOptions(SIZE, SIZE))
    return path


def outputs(path: Path, names: list[str], image: np.ndarray) -> list[np.ndarray]:
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(names, {"images": image[None]})


def round_trip(values: np.ndarray, step: shifts.Step) -> np.ndarray:
    """Through QuantizeLinear and DequantizeLinear."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.float32(step.scale), "scale"),
        numpy_helper.from_array(np.asarray(step.zero), "zero"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, values.shape)
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, values.shape)
    graph = helper.make_graph(nodes, "round", [value], [found], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": values})[0]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_shifts_are_what_rounding_does_to_channels(
    source: Path, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifts, "STRIDE", 1)
    model = onnx.load(source)
    plan = plan_quantization(model, dialect)
    statistics = observe(model, observed_tensors(model, [plan]), iter(PICTURES), len(PICTURES))
    steps = choose_steps(plan, dialect, statistics, "mse")
    found = activation_shifts(model, plan, {"mse": steps}, iter(PICTURES))["mse"]
    assert set(found) == set(plan.convolutions)
    readers = {conv: next(n for n in model.graph.node if n.name == conv) for conv in found}
    direct = [conv for conv, node in readers.items() if node.input[0] in plan.edges][1::4]
    assert len(direct) >= 5
    tensors = [readers[conv].input[0] for conv in direct]
    wanted = dict.fromkeys(direct, 0.0)
    values_seen = dict.fromkeys(direct, 0)
    for image in PICTURES:
        found_values = outputs(source, tensors, image)
        for conv, tensor, values in zip(direct, tensors, found_values, strict=True):
            error = round_trip(values, steps[tensor]).astype(np.float64) - values
            wanted[conv] += error.mean(axis=(0, 2, 3)) / len(PICTURES)
            values_seen[conv] += values[0, 0].size
    for conv, tensor in zip(direct, tensors, strict=True):
        # A value halfway between two steps may go either way in another session.
        flips = 2.5 * steps[tensor].scale / values_seen[conv]
        np.testing.assert_allclose(found[conv], wanted[conv], rtol=0, atol=flips)
    assert max(np.abs(found[conv]).max() for conv in direct) > 1e-3, "nothing was shifted"
