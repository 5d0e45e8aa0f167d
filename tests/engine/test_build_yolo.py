"""The exporter's own graphs through TensorRT-RTX: its parser has to take every node of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from yolov12edge.engine import BatchRange, BuildOptions, build_engine
from yolov12edge.errors import ExportError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.model import Detector, build_model
from yolov12edge.quantize.fp16 import convert_to_fp16

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    return build_model("n").eval()


@pytest.fixture(scope="module")
def fp32(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yolo") / "model.onnx"
    export_onnx(detector, path, ExportOptions(320, 320))
    return path


def test_fp32_for_three_architectures_in_one_plan(fp32: Path, tmp_path: Path) -> None:
    one, three = (
        build_engine(
            fp32,
            tmp_path / "engine.plan",
            "tensorrt_rtx",
            BuildOptions(compute_capabilities=capabilities),
        )
        for capabilities in ((86,), (86, 89, 120))
    )
    assert one.warnings == ()
    assert three.compute_capabilities == (86, 89, 120)
    assert three.size > one.size > 4 * 2_500_000


def test_a_dynamic_batch(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(detector, path, ExportOptions(320, 320, batch=None))
    options = BuildOptions(compute_capabilities=(89,), batch=BatchRange(1, 4, 8))
    assert str(build_engine(path, tmp_path / "a.plan", "tensorrt_rtx", options).batch) == "1:4:8"


@pytest.fixture(scope="module")
def fp16(fp32: Path) -> Path:
    pytest.importorskip("modelopt", reason="ModelOpt is not installed")
    path = fp32.with_name("model.fp16.onnx")
    rng = np.random.default_rng(0)
    convert_to_fp16(fp32, path, [rng.random((3, 320, 320), np.float32) for _ in range(2)])
    return path


@pytest.mark.slow
def test_fp16_is_smaller(fp32: Path, fp16: Path, tmp_path: Path) -> None:
    full, half = (
        build_engine(
            model,
            tmp_path / "engine.plan",
            "tensorrt_rtx",
            BuildOptions(compute_capabilities=(86,)),
        )
        for model in (fp32, fp16)
    )
    assert half.size < full.size


TURING = BuildOptions(compute_capabilities=(75,))


def test_fp32_does_not_build_for_turing(fp32: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="FP32 GEMM"):
        build_engine(fp32, tmp_path / "engine.plan", "tensorrt_rtx", TURING)


@pytest.mark.slow
def test_fp16_builds_for_turing(fp16: Path, tmp_path: Path) -> None:
    built = build_engine(fp16, tmp_path / "engine.plan", "tensorrt_rtx", TURING)
    assert built.compute_capabilities == (75,)
