"""gpu.py as far as it goes without a GPU: as a command, on a tiny input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.models import lively_model
from yolov12edge.checkpoints import save_safetensors
from yolov12edge.export import ExportOptions, export_onnx

ROOT = Path(__file__).resolve().parents[2]


def gpu(*words: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=600, check=False
    )


def test_without_a_gpu_it_is_one_line() -> None:
    done = gpu()
    assert done.returncode == 7
    assert done.stderr.splitlines()[0] == "error: this machine has no NVIDIA GPU"
    assert "--device cpu" in done.stderr.splitlines()[1]
    assert done.stdout == ""


@pytest.mark.slow
def test_every_step_that_needs_no_gpu(tmp_path: Path) -> None:
    """Two graphs of the same weights race, as ours and the public exporter's would."""
    pytest.importorskip("modelopt")
    public = tmp_path / "public"
    public.mkdir()
    model = lively_model("n", "v1")
    save_safetensors(model, public / "yolo12n.safetensors")
    plain = ExportOptions(64, 64, swap_attention=False)
    export_onnx(model, public / "yolo12n-b1.onnx", plain)
    done = gpu(
        "--device", "cpu", "--quick", "--batches", 1, "--public", public, "--out", tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "gpu.json").read_text())
    (race,) = document["races"]
    names = {one["name"] for one in race["bench"]["artifacts"]}
    assert {
        "torch eager fp32", "torch compile fp32", "torch eager fp16, explicit",
        "onnxruntime ours fp32", "onnxruntime ours fp16", "onnxruntime public fp32",
    } <= names  # fmt: skip
    for name in (
        "onnxruntime ours fp32", "onnxruntime shaped fp32", "onnxruntime public fp32",
        "torch compile fp32",
    ):  # fmt: skip
        assert race["parity"][name]["box_px"] < 0.01
        assert race["parity"][name]["score"] < 1e-4
    assert race["parity"]["onnxruntime ours fp16"]["finite"]
    assert {"torch eager fp16, flash-attn", "tensorrt ours fp32"} <= race["skipped"].keys()
    assert all(reason and "\n" not in reason for reason in race["skipped"].values())
    plan = "tensorrt_rtx ours fp32"
    if find_spec("tensorrt_rtx_bindings") is not None:
        assert race["predicted"][plan]["predicted_ms"] > 0
        assert race["predicted"][plan]["ratio"] is None
    area, flash, growth = document["claims"]
    assert area["ms"].keys() == {"full", "area"}
    assert flash["ratio"]["baseline"] == "explicit"
    assert growth["growth"]["torch"]["ms"].keys() == {"64", "128"}
    assert "GPU" in growth["growth"]["tensorrt"]["skipped"]
    assert [aim["ratio"] for aim in document["aims"]] == [None, None]
    text = (tmp_path / "gpu.md").read_text()
    assert "its times mean nothing" in text
    assert all(name in text for name in names)
