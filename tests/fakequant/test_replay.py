"""Graphs replayed in torch against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.models import lively_model
from yolov12edge.errors import ExportError
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.fakequant import Replay
from yolov12edge.graph.probe import Probe
from yolov12edge.run.form import SWISH_OPSET, GraphForm

SIZE = 96
FORMS = [
    (name, choice)
    for name, field in GraphForm.model_fields.items()
    for choice in get_args(field.annotation)
    if choice != field.default
]


@pytest.mark.parametrize("variant", ["packed", "rows"])
@pytest.mark.parametrize("scale", ["n", "m"])
def test_every_tensor_is_what_onnx_runtime_computes(
    tmp_path: Path, variant: Literal["packed", "rows"], scale: str
) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(
        lively_model(scale, num_classes=4), path, ExportOptions(SIZE, SIZE, variant=variant)
    )
    model = onnx.load(path)
    replay = Replay(model)
    names = [output for node in model.graph.node for output in node.output]
    images = np.concatenate([probe_picture(SIZE, SIZE, seed) for seed in (1, 2)])
    with torch.no_grad():
        produced = replay.run(replay.view.nodes, {"images": torch.from_numpy(images)})
    probe = Probe(model, names, optimize=False)
    for index, image in enumerate(images):
        for name, expected in probe(image).items():
            # The probe shows the first of a batch, and areas of one image may be a batch.
            found = produced[name].numpy().reshape(2, -1)[index][: expected.size]
            size = max(1.0, float(np.abs(expected).max()))
            assert np.abs(found - expected.reshape(-1)).max() < 2e-4 * size, name


@pytest.mark.parametrize(("part", "choice"), FORMS)
def test_every_form_can_be_replayed(tmp_path: Path, part: str, choice: str) -> None:
    path = tmp_path / "model.onnx"
    form = GraphForm.model_validate({part: choice})
    opset = SWISH_OPSET if choice == "swish" else 17
    options = ExportOptions(SIZE, SIZE, variant="shared-rows", form=form, opset=opset)
    export_onnx(lively_model("n", num_classes=4), path, options)
    model = onnx.load(path)
    replay = Replay(model)
    image = probe_picture(SIZE, SIZE, 3)
    with torch.no_grad():
        produced = replay.run(replay.view.nodes, {"images": torch.from_numpy(image)})
    expected = Probe(model, ["detections"])(image[0])["detections"]
    assert np.abs(produced["detections"].numpy() - expected).max() < 2e-3


def test_what_is_read_and_what_is_constant_can_be_exchanged() -> None:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv")],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [2.0]),
            helper.make_tensor("b", TensorProto.FLOAT, [1], [1.0]),
        ],
    )
    replay = Replay(helper.make_model(graph))
    x = torch.full((1, 1, 1, 1), 3.0)
    assert float(replay.run(replay.view.nodes, {"x": x})["y"]) == 7
    halved = replay.run(
        replay.view.nodes,
        {"x": x},
        read=lambda node, index, value: value / 2 if (node.name, index) == ("conv", 0) else value,
        constants={"b": torch.tensor([5.0])},
    )
    assert float(halved["y"]) == 8


def test_an_operator_that_is_not_known_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Erf", ["x"], ["y"], name="odd")],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    replay = Replay(helper.make_model(graph))
    with pytest.raises(ExportError, match="odd"):
        replay.run(replay.view.nodes, {"x": torch.ones(1)})
