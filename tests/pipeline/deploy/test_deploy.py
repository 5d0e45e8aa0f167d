"""A run goes to a device on the loopback, is proved there, and comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import Outcome, fails, run, snapshot
from tests.pipeline.deploy.conftest import (
    SIZE,
    WEIGHTS,
    Box,
    Deploy,
    onnxruntime_root,
    read,
    retarget,
)
from tests.sshd import NAME
from yolov12edge.checkpoints import load_model
from yolov12edge.data import find_images
from yolov12edge.evaluate import DriftReport, Gate, measure_drift
from yolov12edge.pipeline.deploy.record import DeviceRecord
from yolov12edge.run.manifest import changed_files, read_manifest
from yolov12edge.runtime import open_artifact
from yolov12edge.runtime.torch import TorchRunner


def test_everything_came_back(deployed: Path) -> None:
    folder = deployed / "devices" / NAME
    logs = {"compile.log", "selftest.log", "evaluate.log", "bench.log"}
    assert {path.name for path in folder.iterdir()} == {
        *("device.json", "drift.json", "bench.json"),
        *logs,
    }
    manifest = read_manifest(deployed)
    assert changed_files(deployed, manifest) == {}
    assert {name for name in manifest.files if name.startswith("devices/")} == {
        f"devices/{NAME}/{path.name}" for path in folder.iterdir()
    }
    section = manifest.devices[NAME]
    assert section.passed
    assert section.runtime is not None
    assert section.runtime.startswith("openvino ")
    assert section.int8 is not None
    assert "INT8" in section.int8
    record = DeviceRecord.model_validate(read(folder / "device.json"))
    steps = ["probe", "send", "compile", "selftest", "drift", "bench"]
    assert [stage.name for stage in record.stages] == steps
    assert record.probe.features
    assert "4 of 4 images equal" in (folder / "selftest.log").read_text()


def test_the_device_is_the_judge(deployed: Path) -> None:
    report = DriftReport.model_validate(read(deployed / "devices" / NAME / "drift.json"))
    assert report.judge.runtime == "openvino"
    assert report.judge.device is not None
    assert report.judge.device.startswith(f"{NAME} (")
    assert (report.images, report.spread_over) == (12, None)
    assert report.gate.passed


def test_what_it_found_is_what_python_finds_here(deployed: Path, box: Box) -> None:
    """C++ letterbox, decoder and NMS there, the same evaluator: the figures are Python's."""
    there = DriftReport.model_validate(read(deployed / "devices" / NAME / "drift.json"))
    artifact = open_artifact(deployed / "model.int8.onnx", "openvino", threads=1)
    here = measure_drift(
        TorchRunner(load_model(WEIGHTS), SIZE, SIZE),
        artifact.runner,
        find_images(box.pictures),
        artifact_letterbox=artifact.letterbox,
        gate=Gate(max_drop=0.2, min_matched=0.8),
    )
    assert there.detections == here.detections
    assert there.matched == pytest.approx(here.matched, abs=1e-9)
    assert there.self_map == pytest.approx(here.self_map, abs=1e-4)
    assert there.mean_iou == pytest.approx(here.mean_iou, abs=1e-4)
    assert there.score_shift == pytest.approx(here.score_shift, abs=1e-5)


def test_int8_and_float_took_turns(deployed: Path) -> None:
    bench = read(deployed / "devices" / NAME / "bench.json")
    assert [one["name"] for one in bench["artifacts"]] == ["model.onnx", "model.int8.onnx"]
    assert [one["precision"] for one in bench["artifacts"]] == ["fp32", "int8"]
    assert bench["rounds"] >= 20
    assert bench["artifacts"][0]["latency_ms"]["n"] == bench["rounds"]
    assert len(bench["ratios"]) == len(bench["int8"]) == 1
    assert bench["environment"]["python"] is None
    assert bench["before"]["load_average"] is not None


def test_a_second_deploy_repeats_only_the_proof(
    deployed: Path, box: Box, deploy: Deploy, tmp_path: Path
) -> None:
    folder = shutil.copytree(deployed, tmp_path / "run")
    outcome = deploy(folder, *box.words("--keep"))
    assert outcome.code == 0, outcome.err
    record = DeviceRecord.model_validate(read(folder / "devices" / NAME / "device.json"))
    stages = {stage.name: stage for stage in record.stages}
    assert stages["compile"].again
    assert not stages["selftest"].again
    # The manifest tells of the device now, and nothing else is another file.
    assert stages["send"].outcome.startswith(("0 files", "1 files", "2 files"))
    assert "PASSED" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_inspect_and_report_show_the_device(
    deployed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = shutil.copytree(deployed, tmp_path / "run")
    inspected = run(capsys, "inspect", folder)
    assert inspected.code == 0
    assert f"{NAME}: passed" in inspected.out
    assert run(capsys, "report", folder, "--pictures", 0).code == 0
    page = (folder / "report.html").read_text()
    assert f"Device {NAME}" in page
    assert "Do not ship" not in page


def test_a_changed_document_of_a_device_is_seen(
    deployed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = shutil.copytree(deployed, tmp_path / "run")
    with (folder / "devices" / NAME / "drift.json").open("a") as file:
        file.write(" ")
    fails(run(capsys, "inspect", folder), 4, f"devices/{NAME}/drift.json is not what")


def test_onnx_runtime(run_folder: Path, box: Box, deploy: Deploy, tmp_path: Path) -> None:
    retarget(run_folder, "cpu-onnxruntime", "onnxruntime", "fp32")
    root = onnxruntime_root(tmp_path / "ort")
    outcome = deploy(
        run_folder, *box.words("--library", root, "--judge-images", 5, "--clean", folder="ort")
    )
    assert outcome.code == 0, outcome.err
    report = DriftReport.model_validate(read(run_folder / "devices" / NAME / "drift.json"))
    assert report.judge.runtime == "onnxruntime"
    assert (report.images, report.spread_over) == (5, 12)
    assert report.matched == 1
    bench = read(run_folder / "devices" / NAME / "bench.json")
    assert [one["name"] for one in bench["artifacts"]] == ["model.onnx"]
    assert not box.there("ort").exists()


@pytest.mark.usefixtures("known_bundle")
def test_two_devices_at_once(run_folder: Path, quick_box: Box, deploy: Deploy) -> None:
    """Two folders of one machine, which for a deploy are two devices."""
    words = quick_box.quick_words("one", "--json")
    outcome = deploy(run_folder, "--to", f"twin:{quick_box.there('two')}", *words)
    assert outcome.code == 0, outcome.err
    assert set(outcome.document["devices"]) == {NAME, "twin"}
    manifest = read_manifest(run_folder)
    assert set(manifest.devices) == {NAME, "twin"}
    assert all(device.passed for device in manifest.devices.values())
    assert changed_files(run_folder, manifest) == {}


@pytest.mark.usefixtures("known_bundle")
def test_what_is_left_there(run_folder: Path, quick_box: Box, deploy: Deploy) -> None:
    assert deploy(run_folder, *quick_box.quick_words("left")).code == 0
    there = quick_box.there("left")
    assert {path.name for path in there.iterdir() if path.name != ".deploy"} == {
        *("bundle", "rival", "build"),
    }
    (there / "mine").touch()
    assert deploy(run_folder, *quick_box.quick_words("left", "--clean")).code == 0
    assert [path.name for path in there.iterdir()] == ["mine"]


def test_a_new_export_removes_what_devices_said(
    deployed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(deployed, tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    words = ["--weights", WEIGHTS, "--imgsz", 64, "--fp32", "--target", "cpu-onnxruntime"]
    words += ["--no-verify", "--no-bench", "--out", folder]
    assert run(capsys, "export", *words).code == 0
    assert not (folder / "devices").exists()
    assert (folder / "notes.txt").exists()


@pytest.mark.usefixtures("known_bundle")
def test_without_images_only_the_self_test_proves(
    run_folder: Path, quick_box: Box, deploy: Deploy
) -> None:
    outcome = deploy(run_folder, *quick_box.quick_words("no images"))
    assert outcome.code == 0, outcome.err
    assert "drift is not judged on the device: no images" in outcome.err
    section = read_manifest(run_folder).devices[NAME]
    assert section.passed
    assert section.accuracy is None


@pytest.mark.usefixtures("known_bundle")
def test_a_gate_that_fails_there(run_folder: Path, quick_box: Box, deploy: Deploy) -> None:
    words = quick_box.words("--no-bench", "--max-drop", "0", "--min-matched", "1", folder="gate")
    outcome = deploy(run_folder, *words)
    fails(outcome, 6, f"model.int8.onnx drifted on {NAME}: ")
    section = read_manifest(run_folder).devices[NAME]
    assert not section.passed
    assert section.failure is not None
    assert (run_folder / "devices" / NAME / "drift.json").is_file()
    report = DriftReport.model_validate(read(run_folder / "devices" / NAME / "drift.json"))
    assert not report.gate.passed


def test_a_probe_chooses_the_target(
    box: Box, deploy: Deploy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "device.json"
    words = ["--to", NAME, "--ssh-config", box.device.config, "--library", box.library]
    outcome = deploy("--probe-only", *words, "--out", saved)
    assert outcome.code == 0, outcome.err
    assert "cpu-openvino" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert snapshot(box.device.root).keys() >= set()
    words = ["--weights", WEIGHTS, "--imgsz", 64, "--fp32", "--no-verify", "--no-bench"]
    out = ["--out", tmp_path / "run", "--target", "auto", "--probe", saved]
    exported: Outcome = run(capsys, "export", *words, *out)
    assert exported.code == 0, exported.err
    assert "target cpu-openvino: " in exported.err
    assert json.loads((tmp_path / "run/manifest.json").read_text())["target"]["name"] == (
        "cpu-openvino"
    )
