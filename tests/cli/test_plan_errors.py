"""Plans and builds that cannot be: one clear line and the right exit code, end to end."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from tests.commands import fails, run, snapshot
from tests.engine.conftest import detector
from yolov12edge.runtime.cuda import Gpu

pytest.importorskip("tensorrt_rtx_bindings")

Capture = pytest.CaptureFixture[str]
TENSORRT_PLAN = b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, a plan of it for SM86 with its sidecar, and a picture."""
    folder = tmp_path_factory.mktemp("built")
    onnx.save(detector(), folder / "model.onnx")
    cv2.imwrite(str(folder / "picture.png"), np.full((40, 60, 3), 90, np.uint8))
    from yolov12edge.cli import main

    with pytest.raises(SystemExit) as left:
        main(["build", str(folder / "model.onnx"), "--target", "rtx-ampere", "--quiet"])
    assert not left.value.code
    return folder


@pytest.fixture
def plan(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "run")
    return tmp_path / "run" / "engine.plan"


def predict(capsys: Capture, plan: Path, *words: object) -> Any:
    out = plan.parent / "out"
    picture = plan.parent / "picture.png"
    return run(capsys, "predict", picture, "--artifact", plan, "--out", out, *words)


def describe_tensorrt(plan: Path, **engine: object) -> Path:
    """A TensorRT 10.3 plan in the place of `plan`, with this sidecar."""
    plan.write_bytes(TENSORRT_PLAN)
    entry = {"file": plan.name, "sha256": hashlib.sha256(TENSORRT_PLAN).hexdigest()} | engine
    plan.with_name(plan.name + ".json").write_text(json.dumps({"engine": entry}))
    return plan


@pytest.mark.usefixtures("without_gpu")
def test_a_good_plan_without_a_gpu(plan: Path, capsys: Capture) -> None:
    outcome = predict(capsys, plan)
    fails(outcome, 7, "this machine has no NVIDIA driver")
    assert "warning" not in outcome.err


def test_a_truncated_plan(plan: Path, capsys: Capture) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])
    fails(predict(capsys, plan), 4, "is cut short")


def test_a_flipped_byte(plan: Path, capsys: Capture) -> None:
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 4
    plan.write_bytes(content)
    fails(predict(capsys, plan), 4, "the SHA-256 differs")


def test_a_plan_of_another_backend(plan: Path, capsys: Capture) -> None:
    outcome = predict(capsys, plan, "--runtime", "tensorrt")
    fails(outcome, 7, "is a TensorRT-RTX plan, which TensorRT cannot load")
    describe_tensorrt(plan)
    outcome = predict(capsys, plan, "--runtime", "tensorrt-rtx")
    fails(outcome, 7, "is a TensorRT plan, which TensorRT-RTX cannot load")


def test_an_absent_provider_of_onnx_runtime(
    plan: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    outcome = predict(capsys, plan.with_name("model.onnx"), "--runtime", "onnxruntime:cuda")
    fails(outcome, 7, "has no CUDAExecutionProvider")


def test_a_plan_for_another_gpu(
    plan: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    orin = Gpu(0, "Orin", 87, 8 << 30)
    monkeypatch.setattr("yolov12edge.runtime.plan_runner.find_gpus", lambda: (orin,))
    fails(predict(capsys, plan), 7, "was built for SM86; this GPU (Orin) is SM87")


def test_a_plan_of_another_system(plan: Path, capsys: Capture) -> None:
    describe_tensorrt(plan, platform="linux-riscv64")
    fails(predict(capsys, plan), 7, "was built on linux-riscv64")


@pytest.mark.usefixtures("without_gpu")
def test_a_plan_of_another_version(
    plan: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(plan.read_bytes())
    content[24:28] = bytes([1, 2, 0, 54])
    plan.write_bytes(content)
    plan.with_name("engine.plan.json").unlink()
    fails(predict(capsys, plan), 7, "was built by TensorRT-RTX 1.2.0.54; this machine has 1.")


@pytest.mark.usefixtures("without_gpu")
def test_a_plan_without_a_manifest_is_tried_with_a_warning(plan: Path, capsys: Capture) -> None:
    plan.with_name("engine.plan.json").unlink()
    outcome = predict(capsys, plan)
    fails(outcome, 7, "no NVIDIA driver")
    warnings = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "no manifest.json describes" in warnings[0]


@pytest.mark.usefixtures("without_gpu")
def test_an_engine_of_ultralytics_is_tried_with_a_warning(plan: Path, capsys: Capture) -> None:
    text = json.dumps({"names": {"0": "cat"}, "imgsz": [32, 32]}).encode()
    engine = plan.with_name("yolo12n.engine")
    engine.write_bytes(struct.pack("<i", len(text)) + text + plan.read_bytes())
    outcome = predict(capsys, engine)
    fails(outcome, 7, "no NVIDIA driver")
    assert "warning: " in outcome.err
    assert "starts with an Ultralytics prefix" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--workspace", "1"), 5, "within workspace limit"),
        (("--sm", "87"), 7, "cannot build for SM87"),
        (("--sm", "86;89"), 2, "cannot read the architectures"),
        (("--batch", "4"), 2, "fixed batch of 1"),
        (("--batch", "1:4:2"), 2, "is not a range"),
        (("--tactic-sources", "cudnn"), 7, "no tactic source cudnn"),
        (("--dla", "0"), 2, "have no DLA"),
        (("--timing-cache", "t.cache"), 2, "keeps no timing cache"),
        (("--hardware-compatibility", "ampere_plus"), 2, "list of compute capabilities"),
        (("--profiling-verbosity", "loud"), 2, "no profiling verbosity 'loud'"),
    ],
)
def test_builds_that_cannot_be(
    built: Path, tmp_path: Path, capsys: Capture, words: tuple[str, ...], code: int, says: str
) -> None:
    before = snapshot(built)
    out = tmp_path / "engine.plan"
    outcome = run(
        capsys, "build", built / "model.onnx", "--target", "rtx-ampere", "--out", out, *words
    )
    fails(outcome, code, says)
    assert snapshot(built) == before
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_another_shape(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(detector(side="side"), path)
    fails(run(capsys, "build", path, "--target", "rtx-ada"), 4, "is not a detector with one")


def test_every_architecture_in_one_plan(built: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "engine.plan"
    outcome = run(
        capsys, "build", built / "model.onnx", "--target", "rtx-ampere", "--sm", "80,8.6,sm120",
        "--out", out, "--json",
    )  # fmt: skip
    assert outcome.document["engine"]["sm"] == [80, 86, 120]
    assert outcome.document["engine"]["profiling_verbosity"] == "detailed"
    half = tmp_path / "half.onnx"
    onnx.save(detector(half=True), half)
    outcome = run(capsys, "build", half, "--target", "rtx-ampere", "--sm", "all", "--json")
    assert len(outcome.document["engine"]["sm"]) >= 6
