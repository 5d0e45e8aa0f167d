"""NVIDIA's Polygraphy takes our ONNX files as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.models import lively_model
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import (
    TENSORRT,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)

SIZE = 64


def polygraphy(*words: object) -> str:
    """What the command prints; asserts that it succeeds."""
    pytest.importorskip("polygraphy")
    program = Path(sys.executable).with_name("polygraphy")
    done = subprocess.run(
        [str(program), *map(str, words)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx with batch 1, any.onnx with a symbolic batch, int8.onnx with Q/DQ."""
    folder = tmp_path_factory.mktemp("graphs")
    detector = lively_model(num_classes=2)
    export_onnx(detector, folder / "model.onnx", ExportOptions(SIZE, SIZE))
    export_onnx(detector, folder / "any.onnx", ExportOptions(SIZE, SIZE, batch=None))
    model = onnx.load(folder / "model.onnx")
    plan = plan_quantization(model, TENSORRT)
    pictures = [probe_picture(SIZE, SIZE)[0]]
    statistics = observe(model, observed_tensors(model, [plan]), iter(pictures), 1)
    quantize_int8(folder / "model.onnx", folder / "int8.onnx", plan, TENSORRT, statistics, "max")
    return folder


@pytest.mark.parametrize(
    ("name", "shape"), [("model", "(1, 3, 64, 64)"), ("any", "('batch', 3, 64, 64)")]
)
def test_inspect_model(folder: Path, name: str, shape: str) -> None:
    text = polygraphy("inspect", "model", folder / f"{name}.onnx", "--show", "layers")
    assert f"images [dtype=float32, shape={shape}]" in text
    assert "detections [dtype=float32" in text
    count = len(onnx.load(folder / f"{name}.onnx").graph.node)
    assert f"---- {count} Node(s) ----" in text


@pytest.mark.parametrize("name", ["model", "any", "int8"])
def test_check_lint_finds_nothing(folder: Path, tmp_path: Path, name: str) -> None:
    """It runs every node in ONNX Runtime and reports what fails, is unused or not valid."""
    path, report = folder / f"{name}.onnx", tmp_path / "lint.json"
    polygraphy("check", "lint", path, "--input-shapes", f"images:[1,3,{SIZE},{SIZE}]", "-o", report)
    document = json.loads(report.read_text())
    assert document["summary"]["failing"] == []
    assert document["lint_entries"] == []
    named = {node.name for node in onnx.load(path).graph.node}
    assert set(document["summary"]["passing"]) == named
