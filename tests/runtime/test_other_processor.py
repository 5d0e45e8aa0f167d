"""A run folder opened on another processor than the one that judged it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import run
from tests.runtime.test_golden_checks import SIDE, golden, reference
from yolov12edge.errors import GateFailed
from yolov12edge.processor import Identity, processor
from yolov12edge.run.judge import recorded_judge
from yolov12edge.runtime.golden_gate import check_artifact

HERE = processor().identity
ELSEWHERE = Identity("Atom x7", "sse4.2")


class Cpu:
    """A CPU runtime that yields stored outputs, and counts how often it is asked."""

    name, version, device, num_classes = "openvino", "2026.4", "CPU", 3
    input_shape = (1, 3, SIDE, SIDE)

    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs, self.asked = outputs, 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        first = self.asked % len(self.outputs)
        self.asked += len(images)
        return self.outputs[first : first + len(images)]

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that this machine judged, with a cache of its own."""
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    golden(reference()).write(tmp_path / "golden.npz")
    (tmp_path / "model.onnx").write_bytes(b"graph")
    judged_by(tmp_path, HERE)
    return tmp_path


def judged_by(folder: Path, judge: Identity | None) -> None:
    document = {} if judge is None else {"judged_on": vars(judge)}
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize("judge", [None, HERE])
def test_where_it_was_judged_nothing_is_run(folder: Path, judge: Identity | None) -> None:
    judged_by(folder, judge)
    assert recorded_judge(folder) == judge
    cpu = Cpu(reference() * 0)
    check_artifact(folder / "model.onnx", cpu, None)
    assert cpu.asked == 0


def test_elsewhere_it_answers_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    judged_by(folder, ELSEWHERE)
    for _ in range(3):
        cpu = Cpu(reference())
        check_artifact(folder / "model.onnx", cpu, None)
    assert cpu.asked == 0
    assert not caplog.records
    (folder / "model.onnx").write_bytes(b"another graph")
    check_artifact(folder / "model.onnx", cpu, None)
    assert cpu.asked == 4


def test_drift_is_a_warning_that_names_both(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    judged_by(folder, ELSEWHERE)
    drifted = reference()
    drifted[:, :4] += 0.3
    for _ in range(2):
        caplog.clear()
        check_artifact(folder / "model.onnx", Cpu(drifted), None)
        (record,) = caplog.records
        assert HERE.text in record.message
        assert "judged it, Atom x7 (sse4.2): boxes are wrong where scores are right" in (
            record.message
        )


def test_nonsense_is_refused_every_time(folder: Path) -> None:
    judged_by(folder, ELSEWHERE)
    for _ in range(2):
        with pytest.raises(GateFailed, match="NaN") as caught:
            check_artifact(folder / "model.onnx", Cpu(reference() * np.nan), None)
        assert caught.value.exit_code == 6


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_by(folder, ELSEWHERE)
    (folder / "cache").write_text("a file")
    cpu = Cpu(reference())
    check_artifact(folder / "model.onnx", cpu, None)
    assert cpu.asked == 4


@pytest.mark.shared
def test_a_lesser_instruction_set_is_told_where_it_computes_otherwise(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """oneDNN plays an older processor: what is said has to be true of what is computed."""
    pytest.importorskip("openvino")
    data = shared / "data/bccd/data.yaml"
    exported = run(
        capsys, "export", "--weights", shared / "weights/bccd_yolo12n.pt", "--imgsz", "96",
        "--int8", "--calib-method", "max", "--calib-images", "8", "--target", "cpu-openvino",
        "--data", data, "--no-bench", "--no-verify", "--out", tmp_path / "run",
    )  # fmt: skip
    assert exported.code == 0, exported.err
    document: Any = json.loads((tmp_path / "run/manifest.json").read_text())
    products = document["precision"]["products"]
    assert products["largest"] <= 32640 < products["limit"]
    document["judged_on"] = vars(ELSEWHERE)
    (tmp_path / "run/manifest.json").write_text(json.dumps(document))
    code = (
        "import sys; from pathlib import Path; from yolov12edge.runtime import open_artifact\n"
        "from yolov12edge.runtime.golden_gate import examine\n"
        "path = Path(sys.argv[1]); artifact = open_artifact(path, 'openvino')\n"
        "print(examine(path, artifact.runner, artifact.letterbox).all)"
    )
    said, found = {}, {}
    for level in ("DEFAULT", "SSE41"):
        environment = os.environ | {
            "ONEDNN_MAX_CPU_ISA": level, "YOLOV12EDGE_CACHE": str(tmp_path / level),
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "run/model.int8.onnx")],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        said[level], found[level] = ended.stderr, ended.stdout.strip()
    for level in said:
        assert ("computes something else" in said[level]) == (found[level] != "[]"), said
