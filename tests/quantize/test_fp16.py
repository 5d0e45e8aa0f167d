"""FP16 conversion on a real graph, judged by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from tests.models import lively_model
from yolov12edge.errors import DataError, ExportError, UnsupportedError
from yolov12edge.export import ExportOptions, export_onnx, lint_graph, probe_picture
from yolov12edge.quantize import convert_to_fp16
from yolov12edge.quantize import fp16 as fp16_module

pytest.importorskip("modelopt")
PICTURE = probe_picture(64, 96)[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fp16") / "model.onnx"
    export_onnx(lively_model("n", num_classes=4), path, ExportOptions(64, 96))
    return path


def run(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["detections"], {"images": images})[0]


def test_fp16_keeps_boxes_and_scores(
    exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "model.fp16.onnx"
    result = convert_to_fp16(exported, target, [PICTURE])
    assert result.nodes["fp16"] > 0.95 * sum(result.nodes.values())
    assert result.images == 1
    assert capfd.readouterr().out == "", "stdout belongs to results"
    images = probe_picture(64, 96, seed=5)
    difference = np.abs(run(target, images) - run(exported, images))
    assert difference[:, :4].max() < 0.5
    assert difference[:, 4:].max() < 0.02


def test_ends_are_float32_and_decoding_stays_float(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.fp16.onnx"
    result = convert_to_fp16(exported, target, [PICTURE])
    model = onnx.load(target)
    ends = [*model.graph.input, *model.graph.output]
    assert {end.type.tensor_type.elem_type for end in ends} == {TensorProto.FLOAT}
    assert {"model.21.decode/box", "model.21.decode/scores"} <= result.kept.keys()
    assert all(reason.startswith(("policy: ", "AutoCast: ")) for reason in result.kept.values())
    weights = [t for t in model.graph.initializer if t.name.startswith("model.4.cv1.weight")]
    assert [weight.data_type for weight in weights] == [TensorProto.FLOAT16]


def test_the_twin_is_as_clean_as_its_source(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.fp16.onnx"
    convert_to_fp16(exported, target, [PICTURE])
    source, twin = onnx.load(exported), onnx.load(target)
    assert lint_graph(twin) == []
    assert twin.opset_import[0].version == source.opset_import[0].version
    assert {p.key for p in twin.metadata_props} == {p.key for p in source.metadata_props}
    assert sum(node.op_type == "Cast" for node in twin.graph.node) <= 4


def test_a_node_with_large_values_stays_float(tmp_path: Path) -> None:
    model = lively_model("n", num_classes=2)
    state = model.state_dict()
    state["model.0.bn.weight"].mul_(4000)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 64))
    result = convert_to_fp16(path, tmp_path / "half.onnx", [probe_picture(64, 64)[0]])
    assert result.kept["model.0/conv"].startswith("AutoCast: ")


def test_a_weight_beyond_fp16_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    tensor = next(t for t in model.graph.initializer if t.name == "model.5.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight.flat[0] = 1e6
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    broken = tmp_path / "broken.onnx"
    onnx.save(model, broken)
    with pytest.raises(ExportError, match=r"model\.5\.weight reaches 1e\+06"):
        convert_to_fp16(broken, tmp_path / "half.onnx", [PICTURE])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.onnx"]


def test_noise_is_never_made_up(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs real images") as caught:
        convert_to_fp16(exported, tmp_path / "half.onnx", [])
    assert "--calib" in caught.value.hint


def test_memory_bounds_the_images(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(exported)
    monkeypatch.setattr(fp16_module, "ACTIVATION_BUDGET", 1)
    assert fp16_module._image_budget(model) == 1
    monkeypatch.setattr(fp16_module, "ACTIVATION_BUDGET", 1 << 40)
    assert fp16_module._image_budget(model) == fp16_module.MAX_IMAGES


def test_without_modelopt_the_error_says_how_to_get_it(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "modelopt.onnx.autocast", None)
    with pytest.raises(UnsupportedError, match="ModelOpt") as caught:
        convert_to_fp16(exported, tmp_path / "half.onnx", [PICTURE])
    assert "yolov12edge[quantize]" in caught.value.hint
