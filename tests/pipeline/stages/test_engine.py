"""An export on a machine that runs its engine: judged, timed against FP16, or refused.

There is no GPU here. Plans are really built, by TensorRT-RTX; what runs them is ONNX Runtime with
the float graph of the same folder, under the name of TensorRT-RTX.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import Outcome, run
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.runtime import Runner, open_runner
from yolov12edge.runtime.runner import ClosingRunner

pytest.importorskip("tensorrt_rtx_bindings")
pytest.importorskip("modelopt.onnx")

# Pixels of 64; most objects that the seeded detector sees lie to the left.
RIGHT = 36
Change = Callable[[np.ndarray], np.ndarray]


class StandIn(ClosingRunner):
    """Runs a plan's float graph, as slowly and as wrongly as a test asks."""

    name = "tensorrt_rtx"

    def __init__(self, path: Path, change: Change, delay: float) -> None:
        self._runner = open_runner(path)
        self._change, self._delay = change, delay
        self.version, self.device = "1.5", "stand-in"
        self.input_shape = self._runner.input_shape
        self.num_classes = self._runner.num_classes

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, H, W) to (B, 4 + classes, A)."""
        time.sleep(self._delay)
        return self._change(self._runner(images))


Export = Callable[..., tuple[Outcome, Path]]


@pytest.fixture
def export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Export:
    """Export INT8 for an RTX GPU that is here; the engine, and only it, is changed and delayed."""
    weights = write_weights(tmp_path / "weights.safetensors")
    images = write_pictures(tmp_path / "images")
    labels = "0 0.5 0.5 0.4 0.4\n1 0.2 0.3 0.2 0.2\n"
    data = write_data(tmp_path / "data.yaml", images, boxes=labels)
    folders: list[Path] = []

    def start(change: Change = lambda out: out, delay: float = 0.0, *more: str) -> Any:
        def opened(path: Path, *options: Any) -> Runner:
            if path.suffix != ".plan":
                return open_runner(path, *options)
            assert path.read_bytes()[:4] == b"vtrt"
            mine = path.name == "engine.plan"
            folders.extend([path.parent] if mine else [])
            return StandIn(
                folders[-1] / "model.onnx",
                change if mine else lambda out: out,
                delay if mine else 0.0,
            )

        monkeypatch.setattr("yolov12edge.runtime.open.open_runner", opened)
        out = tmp_path / "run"
        outcome = run(
            capsys, "export", "--weights", weights, "--imgsz", "64", "--int8", "--target",
            "rtx-ampere", "--data", data, "--calib-method", "max", "--max-drop", "0.9",
            "--out", out, "--json", *more,
        )  # fmt: skip
        return outcome, out

    return start


def test_the_engine_itself_is_judged(
    export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome, folder = export()
    assert outcome.code == 0, outcome.err
    # Q of a convolution's result takes a kernel of its own in TensorRT-RTX, which can be seen.
    assert "INT8 is predicted to take " in outcome.err
    assert "; use --fp16" in outcome.err
    assert outcome.document["attention"]["verdict"] == "fused"
    rows = {row["artifact"]: row["predicted_ms"] for row in outcome.document["comparison"]}
    assert rows["engine.plan"] > rows["engine.fp16.plan"] > 0
    names = ["model.onnx", "model.fp16.onnx", "model.int8.onnx", "engine.plan"]
    assert list(outcome.document["drift"]) == names
    drift = json.loads((folder / "drift.json").read_text())
    judge = {"runtime": "tensorrt_rtx", "version": "1.5", "device": None}
    assert drift["judge"] == judge
    assert drift["matched"] == 1.0, "the stand-in computes what the float graph does"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert list(manifest["accuracy"]) == names
    assert manifest["accuracy"]["engine.plan"]["self_map"] == drift["self_map"]
    assert run(capsys, "report", folder).code == 0
    page = (folder / "report.html").read_text()
    assert "engine.plan keeps" in page
    assert "not the engine itself" not in page


def test_an_engine_whose_boxes_are_wrong_is_refused(export: Export) -> None:
    def lose_the_right(out: np.ndarray) -> np.ndarray:
        out[:, 2:4] *= np.where(out[:, :1] > RIGHT, 0.1, 1)
        return out

    outcome, folder = export(lose_the_right, 0.0, "--no-bench")
    assert outcome.code == 6
    assert "on the golden images: boxes are wrong where scores are right" in outcome.err
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["verified"] is False
    assert "engine.plan" not in manifest["accuracy"]


def test_int8_has_to_beat_an_fp16_engine(export: Export) -> None:
    outcome, folder = export(lambda out: out, 0.02)
    bench = json.loads((folder / "bench.json").read_text())
    timed = {one["name"]: one for one in bench["artifacts"]}
    assert list(timed) == ["checkpoint", "model.onnx", "engine.plan", "engine.fp16.plan"]
    assert timed["engine.plan"]["precision"] == "int8"
    assert timed["engine.fp16.plan"]["precision"] == "fp16"
    (verdict,) = bench["int8"]
    assert (verdict["name"], verdict["against"]) == ("engine.plan", "engine.fp16.plan")
    assert not verdict["earned"]
    advice = outcome.document["advice"]
    assert advice.startswith("INT8 did not earn its keep: ")
    assert advice.endswith("use FP16")
    assert bench["verdict"].endswith(advice), "one verdict, wherever it is told"
    assert not list(folder.rglob("*fp16.plan"))


def test_an_engine_that_yields_nonsense_is_kept_and_refused(export: Export) -> None:
    outcome, folder = export(lambda out: np.full_like(out, np.nan))
    assert outcome.code == 6
    assert "yields NaN" in outcome.err + outcome.out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["verified"] is False
    assert manifest["engine"]["file"] == "engine.plan"
    assert (folder / "engine.plan").is_file()
    assert "engine.plan" not in manifest["accuracy"]
