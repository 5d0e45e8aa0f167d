"""ONNX Runtime and OpenVINO against NumPy."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from tests.runtime.patch_model import SIDE, document, expected, save
from yolov12edge.data import Letterbox
from yolov12edge.errors import CheckpointError, UnsupportedError, UsageError
from yolov12edge.runtime import open_artifact, open_runner
from yolov12edge.runtime.onnxruntime import OnnxRuntimeRunner
from yolov12edge.runtime.openvino import OpenVinoRunner


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request):
    if request.param == "openvino":
        pytest.importorskip("openvino")
    return request.param


@pytest.fixture
def images():
    return np.random.default_rng(1).random((5, 3, SIDE, SIDE), dtype=np.float32)


@pytest.mark.parametrize("batch", ["batch", 1, 2, 8])
def test_any_number_of_images(tmp_path, runtime, images, batch):
    with open_runner(save(tmp_path / "m.onnx", batch), runtime, threads=1) as runner:
        assert runner.input_shape == (batch if batch != "batch" else None, 3, SIDE, SIDE)
        assert (runner.name, runner.num_classes) == (runtime, 2)
        assert runner.version[0].isdigit()
        assert runner.device
        for count in (1, 2, 5):
            result = runner(images[:count])
            assert result.dtype == np.float32
            np.testing.assert_allclose(result, expected(images[:count]), atol=1e-5)


def test_results_of_two_calls_do_not_share_memory(tmp_path, runtime, images):
    runner = open_runner(save(tmp_path / "m.onnx", 1), runtime)
    first = runner(images[:1])
    before = first.copy()
    runner(images[1:2])
    np.testing.assert_array_equal(first, before)


def test_foreign_graph_with_open_shapes_and_another_output_name(tmp_path, runtime, images):
    path = save(tmp_path / "m.onnx", size=("h", "w"), output="output0", open_output=True)
    runner = open_runner(path, runtime, imgsz=(SIDE, SIDE))
    assert (runner.input_shape, runner.num_classes) == ((None, 3, SIDE, SIDE), 2)
    np.testing.assert_allclose(runner(images), expected(images), atol=1e-5)
    with pytest.raises(UsageError, match="input size open"):
        open_runner(path, runtime)


def test_half_precision_input_is_fed(tmp_path, images):
    result = OnnxRuntimeRunner(save(tmp_path / "m.onnx", half=True))(images)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(images), atol=0.01)


def test_images_of_another_size_are_refused(tmp_path, runtime, images):
    runner = open_runner(save(tmp_path / "m.onnx"), runtime)
    for wrong in (images[:, :, :32], images[0], images[:0]):
        with pytest.raises(UsageError, match=r"\(B, 3, 64, 64\)"):
            runner(wrong)


def test_another_size_than_the_graphs_is_refused(tmp_path, runtime):
    with pytest.raises(UsageError, match="takes 64x64 images, not 32x32"):
        open_runner(save(tmp_path / "m.onnx"), runtime, imgsz=(32, 32))


@pytest.mark.parametrize("content", [b"no onnx here", b"\x08\x08", bytes(100)])
def test_broken_files_are_refused(tmp_path, runtime, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.onnx") as caught:
        open_runner(path, runtime)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_cut_file_is_refused(tmp_path, runtime):
    path = save(tmp_path / "cut.onnx")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"cut\.onnx"):
        open_runner(path, runtime)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"output": "boxes", "target": (0, 64, 6)}, "expected"),
        ({"output": "boxes", "target": (0, 6, 8, 8)}, "output"),
    ],
)
def test_graphs_that_are_no_detectors_are_refused(tmp_path, runtime, options, reason):
    path = tmp_path / "other.onnx"
    save(path, **options)
    import onnx

    model = onnx.load(path)
    shape = [1 if side == 0 else side for side in options["target"]]
    info = onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(info)
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=reason):
        open_runner(path, runtime)


def test_metadata_gives_names_and_letterbox(tmp_path, runtime):
    path = save(tmp_path / "m.onnx", metadata=document(pad_value=0, center=False))
    artifact = open_artifact(path, runtime)
    assert artifact.names == ("cat", "dog")
    assert artifact.letterbox == Letterbox(SIDE, SIDE, pad_value=0, center=False)


def test_without_metadata_the_default_letterbox(tmp_path):
    artifact = open_artifact(save(tmp_path / "m.onnx"))
    assert (artifact.names, artifact.letterbox) == (None, Letterbox(SIDE, SIDE))


@pytest.mark.parametrize(
    "metadata", ["{", "[]", "{}", document(pad_value=999), document(pad_value=[])]
)
def test_damaged_metadata_is_refused(tmp_path, metadata):
    with pytest.raises(CheckpointError, match="metadata is damaged"):
        open_artifact(save(tmp_path / "m.onnx", metadata=metadata))


def test_metadata_of_another_size_is_refused(tmp_path):
    text = document().replace("[64, 64]", "[32, 32]")
    with pytest.raises(CheckpointError, match="metadata says 32x32"):
        open_artifact(save(tmp_path / "m.onnx", metadata=text))


def test_missing_openvino_says_how_to_install(tmp_path, monkeypatch):
    load = builtins.__import__

    def without(name, *rest, **options):
        if name == "openvino":
            raise ImportError(name)
        return load(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match="not installed") as caught:
        OpenVinoRunner(save(tmp_path / "m.onnx"))
    assert caught.value.exit_code == 7
    assert "yolov12edge[openvino]" in caught.value.hint
