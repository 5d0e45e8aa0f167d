"""Layers as the runtimes here time them, and as TensorRT would, on a stand-in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from tests.models import lively_model
from yolov12edge.bench import summarize_layers
from yolov12edge.errors import UnsupportedError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.runtime.layer_names import NOWHERE
from yolov12edge.runtime.layer_times import (
    LayerTimes,
    time_onnxruntime_layers,
    time_openvino_layers,
    time_plan_layers,
)
from yolov12edge.runtime.openvino import OpenVinoRunner

RUNS = 3
IMAGES = np.full((1, 3, 64, 96), 0.5, np.float32)
BLOCKS = [f"model.{index}" for index in range(22)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export_onnx(lively_model(num_classes=2), path, ExportOptions(64, 96))
    return path


def check(layers: list[LayerTimes], runtime: str) -> None:
    """Every block of the network is there, and attention only where it belongs."""
    assert all(len(layer.milliseconds) == RUNS for layer in layers)
    assert all(value >= 0 for layer in layers for value in layer.milliseconds)
    profile = summarize_layers("model.onnx", runtime, layers)
    assert [block.block for block in profile.blocks if block.block != NOWHERE] == BLOCKS
    assert {layer.block for layer in profile.layers if layer.attention} == {"model.6", "model.8"}
    assert len({layer.attention for layer in profile.layers} - {None}) == 8
    assert sum(block.share for block in profile.blocks) == pytest.approx(1)
    assert sum(block.ms for block in profile.blocks) == pytest.approx(profile.ms)
    assert sum(block.attention_ms for block in profile.blocks) == pytest.approx(
        profile.attention_share * profile.ms
    )
    assert profile.runs == RUNS


def test_onnxruntime(model: Path) -> None:
    layers = time_onnxruntime_layers(model, IMAGES, RUNS, threads=1)
    check(layers, "onnxruntime")
    softmaxes = sum(node.op_type == "Softmax" for node in onnx.load(model).graph.node)
    assert sum(layer.kind == "Softmax" for layer in layers) == softmaxes


def test_openvino(model: Path) -> None:
    pytest.importorskip("openvino")
    layers = time_openvino_layers(model, IMAGES, RUNS, threads=1)
    check(layers, "openvino")
    assert any("brgconv" in layer.kind or "jit" in layer.kind for layer in layers)


def test_openvino_tells_the_same_layers_every_time(model: Path) -> None:
    pytest.importorskip("openvino")
    with OpenVinoRunner(model, threads=1, profile=True) as runner:
        # Small layers take less than the microsecond that it counts in, on the mean of all calls.
        first, *others = ([layer[:2] for layer in runner.layer_times(IMAGES)] for _ in range(20))
    assert all(other == first for other in others)
    assert "model.19/concat" in dict(first)


def test_layers_without_a_name_join_their_neighbours() -> None:
    def layer(name: str, kind: str = "") -> LayerTimes:
        return LayerTimes(name, kind, (name,), (1.0, 2.0, 9.0))

    layers = [
        layer("model.0/conv"),
        layer("ReorderOutput #3", "ReorderOutput"),
        layer("ReorderInput #4", "ReorderInput"),
        layer("model.1/conv"),
    ]
    profile = summarize_layers("a", "onnxruntime", layers)
    assert [one.block for one in profile.layers] == ["model.0", "model.0", "model.1", "model.1"]
    assert profile.ms == 8.0


class FakeEngine:
    """A library whose context reports two layers of the same name to its profiler, each call."""

    title, version = "TensorRT", "10.13.3"

    class IProfiler:
        pass

    def __init__(self, reports: bool = True) -> None:
        self.library = SimpleNamespace(IProfiler=self.IProfiler)
        self.reports = reports
        self.closed = False
        self.profiler: Any = None
        self.calls = 0

    def context(self) -> FakeEngine:
        return self

    def attach_profiler(self, profiler: Any) -> None:
        self.profiler = profiler

    def __call__(self, images: Any) -> None:
        self.calls += 1
        if self.profiler is not None and self.reports:
            for name, milliseconds in (("model.0/conv", 1.0), ("copy", 0.5), ("copy", 0.25)):
                self.profiler.report_layer_time(name, milliseconds * self.calls)

    def close(self) -> None:
        self.closed = True


def test_a_plan_through_the_librarys_profiler() -> None:
    engine: Any = FakeEngine()
    layers = time_plan_layers(engine, IMAGES, RUNS)
    assert engine.closed
    assert [layer.name for layer in layers] == ["model.0/conv", "copy", "copy"]
    first = engine.calls - RUNS + 1
    expected = tuple(0.25 * call for call in range(first, engine.calls + 1))
    assert layers[2].milliseconds == expected
    assert layers[0].nodes == ("model.0/conv",)


def test_a_library_that_reports_nothing() -> None:
    engine: Any = FakeEngine(reports=False)
    with pytest.raises(UnsupportedError):
        time_plan_layers(engine, IMAGES, RUNS)
    assert engine.closed
