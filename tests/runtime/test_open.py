"""Which runtime opens which file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.runtime.patch_model import save
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.model import build_model
from yolov12edge.runtime import open_runner
from yolov12edge.runtime.torch import TorchRunner


def test_missing_file_folder_and_empty_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        open_runner(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="is a folder"):
        open_runner(tmp_path)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(CheckpointError, match="is empty"):
        open_runner(tmp_path / "empty.onnx")


@pytest.mark.parametrize(
    ("name", "runtime", "reason"),
    [
        ("model.tflite", None, "no artifact"),
        ("model.onnx", "torch", "torch cannot run model.onnx"),
        ("model.pt", "onnxruntime", "onnxruntime cannot run model.pt"),
        ("model.onnx", "caffe", "unknown runtime 'caffe'"),
    ],
)
def test_wrong_runtime(tmp_path, name, runtime, reason):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=reason):
        open_runner(tmp_path / name, runtime)


def test_plans_go_by_their_bytes(tmp_path, monkeypatch):
    opened = []
    plans = {"tensorrt": tmp_path / "a.plan", "tensorrt_rtx": tmp_path / "b.engine"}
    for (backend, path), tag in zip(plans.items(), (b"ftrt", b"vtrt"), strict=True):
        path.write_bytes(tag + bytes(100))
        monkeypatch.setattr(
            f"yolov12edge.runtime.{backend}.open_{backend}",
            lambda path, backend=backend: opened.append((backend, path.name)),
        )
    for path in plans.values():
        open_runner(path)
    open_runner(plans["tensorrt"], "tensorrt-rtx")
    assert opened == [
        ("tensorrt", "a.plan"),
        ("tensorrt_rtx", "b.engine"),
        ("tensorrt_rtx", "a.plan"),
    ]


def test_onnx_goes_to_onnxruntime(tmp_path):
    assert open_runner(save(tmp_path / "M.ONNX")).name == "onnxruntime"


def test_torch_runner_equals_the_model():
    model = build_model("n", num_classes=3)
    images = np.random.default_rng(0).random((2, 3, 64, 96), dtype=np.float32)
    with TorchRunner(model.train(), 64, 96) as runner:
        result = runner(images)
        assert runner.input_shape == (None, 3, 64, 96)
        assert (runner.name, runner.num_classes) == ("torch", 3)
    assert not model.training
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_array_equal(result, expected)
    with pytest.raises(UsageError):
        runner(images[:, :, :, :64])


@pytest.mark.parametrize("size", [(333, 640), (0, 64), (-32, 64)])
def test_torch_runner_refuses_sizes(size):
    with pytest.raises(UsageError, match="pixels"):
        TorchRunner(build_model("n"), *size)
