"""The block-by-block search on healthy graphs; damaged ones are in tests/pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.models import lively_model
from yolov12edge.errors import CheckpointError
from yolov12edge.evaluate.blocks import BlockError, BlockTrace, dead_channels, sqnr_db, trace_blocks
from yolov12edge.export import ExportOptions, export_onnx, probe_picture


def test_the_costliest_layers_add_most_noise() -> None:
    """From 30 dB down to 20 a layer adds more than another from 60 down to 25."""
    blocks = (
        BlockError("model.1", 70, 80),
        BlockError("model.2.m.0", 21, 129),
        BlockError("model.2", 20, 10),
        BlockError("model.3", 25, 35),
        BlockError("model.4", 24.9, 0),
        BlockError("model.5", 13.07, 0.93),
        BlockError("model.21.cv2.0", 14, 6),
        BlockError("model.21.cv2.0.1", 2, 148),
        BlockError("model.21", 3, 11),
    )
    trace = BlockTrace(None, blocks, "int8")
    named = [block.block for block in trace.costliest()]
    assert named == ["model.21.cv2.0", "model.5", "model.2"]
    most = [block.block for block in trace.costliest(6)]
    assert most == [*named, "model.3", "model.1", "model.4"]


def test_a_healthy_graph_has_no_start(tmp_path: Path) -> None:
    model, path = lively_model("n", num_classes=2), tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 96))
    trace = trace_blocks(model, path, probe_picture(64, 96))
    assert trace.start is None
    assert trace.precision == "fp32"
    assert {"model.0", "model.8.m.1.1.attn", "model.21.cv3.2", "model.21"} <= {
        block.block for block in trace.blocks
    }
    assert all(100 < block.sqnr_db <= 150 for block in trace.blocks)
    assert trace.text.startswith("no single block breaks")
    ratios = {block.block: block.sqnr_db for block in trace.blocks}
    losses = {block.block: block.loss_db for block in trace.blocks}
    branches = min(ratio for name, ratio in ratios.items() if name.startswith("model.21.cv"))
    assert losses["model.0"] == 150 - ratios["model.0"]
    assert losses["model.1"] == max(0, ratios["model.0"] - ratios["model.1"])
    assert losses["model.21"] == max(0, branches - ratios["model.21"])


def test_a_changed_layer_is_the_start(tmp_path: Path) -> None:
    """A tenth more weight, and so an error of a tenth at most of what the layer yields."""
    model, path = lively_model("n", num_classes=2), tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 96))
    graph = onnx.load(path)
    (weight,) = [one for one in graph.graph.initializer if one.name == "model.5.weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.1, weight.name))
    onnx.save(graph, path)
    trace = trace_blocks(model, path, probe_picture(64, 96))
    assert trace.start is not None
    assert trace.start.block == "model.5"
    assert 10 < trace.start.sqnr_db < 30
    assert trace.text == (
        f"the error starts in model.5: {trace.start.sqnr_db:.0f} dB of signal to error after it, "
        "fp32 keeps at least 80"
    )


def test_dead_channels_are_those_that_lost_their_variation() -> None:
    """Four channels that vary alike, a weak, a weaker and a constant one, on a large offset."""
    waves = np.sin(np.arange(64, dtype=np.float64)).reshape(8, 8)
    amplitudes = np.array([1, 1, 1, 1, 0.05, 0, 0.25])
    expected = (amplitudes[:, None, None] * waves)[None]
    produced = expected.copy()
    produced[0, 1] = 0.7
    produced[0, 2] *= 1e-3
    produced[0, 3] *= 0.1
    produced[0, [4, 6]] = 0
    offset = np.float32(100)
    found = dead_channels(expected.astype(np.float32), produced.astype(np.float32) + offset)
    assert found == (1, 2, 6)


def test_a_healthy_fp16_graph_has_no_start(tmp_path: Path) -> None:
    pytest.importorskip("modelopt")
    from yolov12edge.quantize import convert_to_fp16

    model, path = lively_model("n", num_classes=2), tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 96))
    convert_to_fp16(path, tmp_path / "half.onnx", [probe_picture(64, 96)[0]])
    trace = trace_blocks(model, tmp_path / "half.onnx", probe_picture(64, 96, seed=1))
    assert trace.start is None
    assert trace.precision == "fp16"
    assert min(block.sqnr_db for block in trace.blocks) < 100


def test_an_image_without_objects_is_not_an_error(tmp_path: Path) -> None:
    """Runtimes round a sigmoid near 0 each in their own way, which no detection ever shows."""
    model, path = lively_model("n", num_classes=2), tmp_path / "model.onnx"
    with torch.no_grad():
        for branch in model.head.cv3:
            branch[-1].bias.sub_(40)
    export_onnx(model, path, ExportOptions(64, 96))
    trace = trace_blocks(model, path, probe_picture(64, 96))
    assert trace.start is None, trace.text
    # A score that is wrong by far less than one detection still counts.
    wrong = onnx.load(path)
    (join,) = (node for node in wrong.graph.node if node.output[0] == wrong.graph.output[0].name)
    wrong.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.001), "little"))
    join.output[0] = "right"
    wrong.graph.node.append(onnx.helper.make_node("Add", ["right", "little"], ["detections"]))
    onnx.save(wrong, path)
    assert trace_blocks(model, path, probe_picture(64, 96)).start is not None


def test_foreign_files_name_no_blocks(tmp_path: Path) -> None:
    model, path = lively_model("n", num_classes=2), tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 64))
    foreign = onnx.load(path)
    del foreign.metadata_props[:]
    onnx.save(foreign, path)
    with pytest.raises(CheckpointError, match="does not name its blocks"):
        trace_blocks(model, path, probe_picture(64, 64))


@pytest.mark.parametrize(
    ("expected", "produced", "ratio"),
    [
        ([1.0, -1.0], [1.0, -1.0], 150),
        ([1.0, -1.0], [1.1, -1.1], 20),
        ([1e6] * 9999 + [1.0], [1e6] * 9999 + [1.0000001], 150),
        ([1.0, -1.0], [0.0, 0.0], 0),
        ([0.0, 0.0], [1.0, 0.0], -150),
        ([1.0, -1.0], [np.nan, -1.0], -150),
        ([1.0, -1.0], [np.inf, -1.0], -150),
    ],
)
def test_signal_to_error_ratio(expected: list[float], produced: list[float], ratio: float) -> None:
    value = sqnr_db(np.array(expected, np.float32), np.array(produced, np.float32))
    assert value == pytest.approx(ratio, abs=1e-3)
