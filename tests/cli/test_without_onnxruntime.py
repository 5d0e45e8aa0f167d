"""The base install, without ONNX Runtime and every other extra: what works, and what is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands import fails, run
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.checkpoints import load_model
from yolov12edge.errors import UnsupportedError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.libraries import load_onnxruntime
from yolov12edge.pipeline import doctor
from yolov12edge.runtime.layer_times import time_onnxruntime_layers

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = (
    "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx_bindings", "modelopt", "polygraphy",
    "onnxscript", "onnxslim", "onnx_graphsurgeon", "lief", "matplotlib", "pynvml", "flash_attn",
    "faster_coco_eval", "pycocotools", "PIL", "hypothesis",
)  # fmt: skip
BLOCKED = f"""
import sys

class Blind:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {EXTRAS}:
            return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Blind, sys.meta_path)
from yolov12edge.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights.safetensors, model.onnx of it, images/ and data.yaml."""
    folder = tmp_path_factory.mktemp("base")
    weights = write_weights(folder / "weights.safetensors")
    export_onnx(load_model(weights), folder / "model.onnx", ExportOptions(64, 64))
    write_data(folder / "data.yaml", write_pictures(folder / "images"), boxes="0 .5 .5 .4 .4\n")
    return folder


def base(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that has nothing but the base install."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, words)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("targets", "--json"),
        ("targets", "rtx-ampere"),
        ("doctor",),
        ("inspect", "weights.safetensors"),
        ("inspect", "model.onnx"),
        ("predict", "images", "--artifact", "weights.safetensors", "--out", "found"),
        ("bench", "weights.safetensors", "--imgsz", "64", "--runs", "2", "--window", "0"),
        ("train", "--data", "data.yaml", "--epochs", "1", "--imgsz", "64", "--batch", "3",
         "--out", "trained"),
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_the_base_install_does(words: tuple[str, ...], files: Path, tmp_path: Path) -> None:
    places = {path.name: path for path in files.iterdir()}
    outs = {name: tmp_path / name for name in ("found", "trained")}
    done = base(*((places | outs).get(word, word) for word in words))
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    assert "curves.png" not in done.stdout


def test_doctor_tells_a_base_install_what_is_missing(files: Path) -> None:
    done = base("doctor", "--json", "--strict", "--target", "cpu-onnxruntime")
    document = json.loads(done.stdout)
    assert done.returncode == 7
    (state,) = [one for one in document["runtimes"] if one["name"] == "onnxruntime"]
    assert not state["available"]
    assert "yolov12edge[cpu]" in state["reason"]
    assert not document["judge"]["trustworthy"]
    assert [line.split(";")[0] for line in document["missing"]] == [
        "ONNX Runtime is not installed", "cpu-onnxruntime: ONNX Runtime is not installed",
    ]  # fmt: skip


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


COMMANDS = {
    "export": ("export", "--weights", "weights.safetensors", "--imgsz", "64", "--fp32",
               "--target", "cpu-onnxruntime", "--no-verify", "--no-bench"),
    "predict": ("predict", "images", "--artifact", "model.onnx"),
    "verify": ("verify", "model.onnx", "--weights", "weights.safetensors", "--data", "data.yaml"),
    "bench": ("bench", "model.onnx"),
    "bench on a GPU": ("bench", "model.onnx", "--runtime", "onnxruntime:cuda"),
    "quantize to FP16": ("quantize", "model.onnx", "--fp16", "--calib", "images"),
    "quantize to INT8": ("quantize", "model.onnx", "--int8", "--calib", "images"),
}  # fmt: skip


@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize("case", COMMANDS)
def test_what_needs_onnx_runtime_says_so(
    case: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    places = {path.name: path for path in files.iterdir()}
    outcome = run(capsys, *(places.get(word, word) for word in COMMANDS[case]))
    fails(outcome, 7, "ONNX Runtime is not installed")
    assert "yolov12edge[cpu]" in outcome.err
    assert "yolov12edge[gpu]" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("absent")
def test_layers_are_not_timed_without_it(files: Path) -> None:
    with pytest.raises(UnsupportedError, match="not installed"):
        time_onnxruntime_layers(files / "model.onnx", np.zeros((1, 3, 64, 64), np.float32), runs=1)


def test_what_is_left_of_two_overlaid_packages_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a removed package folders can stay, which Python imports as a namespace."""
    monkeypatch.setitem(sys.modules, "onnxruntime", type(sys)("onnxruntime"))
    with pytest.raises(UnsupportedError, match="parts of it are missing") as caught:
        load_onnxruntime()
    assert "pip uninstall" in caught.value.hint


def test_a_library_that_does_not_load_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudart.so.13: not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(UnsupportedError, match=r"not usable here: libcudart\.so\.13"):
        load_onnxruntime()


def test_doctor_warns_of_two_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.30.0"}
    monkeypatch.setattr(doctor, "onnxruntime_distributions", lambda: both)
    told = "onnxruntime 1.31.1 and onnxruntime-gpu 1.30.0 overwrite each other's files"
    outcome = run(capsys, "doctor", "--json", "--target", "cpu-onnxruntime")
    (warning,) = outcome.document["warnings"]
    assert warning.startswith(told)
    assert outcome.document["libraries"].items() >= both.items()
    text = run(capsys, "doctor", "--target", "cpu-onnxruntime").out
    assert f"warning: {told}" in " ".join(text.split())
    assert "ONNX Runtime from: onnxruntime 1.31.1, onnxruntime-gpu 1.30.0" in text


def test_doctor_names_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, "doctor", "--json", "--target", "cpu-onnxruntime")
    (name,) = (name for name in outcome.document["libraries"] if name.startswith("onnxruntime"))
    assert outcome.document["warnings"] == []
    assert f"ONNX Runtime from: {name} " in run(capsys, "doctor").out
