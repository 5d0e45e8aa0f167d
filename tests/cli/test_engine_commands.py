"""doctor, targets, build and bench as commands: what they print and how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from yolov12edge.bench import BenchReport
from yolov12edge.cli import bench, build, doctor, targets
from yolov12edge.engine.inspection import parse_times
from yolov12edge.errors import EdgeError, UnsupportedError, UsageError
from yolov12edge.run.recipe import list_recipes


def run(module: Any, *arguments: object) -> tuple[Any, str]:
    """Run a command; returns its JSON document or text, and what it said on stderr."""
    app = typer.Typer()
    app.command()(module.command)
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    if isinstance(result.exception, EdgeError):
        raise result.exception
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout) if "--json" in arguments else result.stdout
    return document, result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector of 2 classes: strided convolution, 4 + 2 channels flattened to anchors."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.1, (6, 3, 8, 8)).astype(np.float32),
        "flat": np.array([1, 6, 64], np.int64),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "w"], ["c"], "conv", strides=[8, 8]),
            helper.make_node("Sigmoid", ["c"], ["s"], "sigmoid"),
            helper.make_node("Reshape", ["s", "flat"], ["detections"], "flatten"),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, 6, 64])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def test_targets_lists_every_recipe_within_80_columns() -> None:
    text, _ = run(targets)
    assert all(name in text for name in list_recipes())
    assert max(map(len, text.splitlines())) <= 80
    document, _ = run(targets, "--json")
    assert [recipe["name"] for recipe in document["targets"]] == list(list_recipes())


@pytest.mark.parametrize("name", list_recipes())
def test_targets_shows_one(name: str) -> None:
    text, _ = run(targets, name)
    document, _ = run(targets, name, "--json")
    assert max(map(len, text.splitlines())) <= 80
    assert document["name"] == name
    assert document["backend"] in text
    for reason in filter(None, document["why"].values()):
        assert reason.split()[-1] in text


def test_targets_suggests_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        run(targets, "rtx-ampre")
    assert "did you mean rtx-ampere?" in caught.value.hint


@pytest.mark.usefixtures("without_gpu")
def test_doctor_tells_and_strict_fails() -> None:
    text, _ = run(doctor)
    assert "rtx-ampere" in text
    assert max(map(len, text.splitlines())) <= 80
    document, _ = run(doctor, "--json", "--strict", "--target", "cpu-onnxruntime")
    assert document["missing"] == []
    assert [state["name"] for state in document["targets"]] == ["cpu-onnxruntime"]
    with pytest.raises(UnsupportedError, match="xavier-nx"):
        run(doctor, "--strict", "--target", "xavier-nx")


def test_build_writes_a_plan_and_says_what_it_is(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    plan = tmp_path / "out" / "engine.plan"
    document, _ = run(build, model, "--target", "rtx-ada", "--out", plan, "--json")
    assert plan.read_bytes()[:4] == b"vtrt"
    assert document["engine"]["sm"] == [89]
    assert document["engine"]["bytes"] == plan.stat().st_size
    text, _ = run(build, model, "--target", "rtx-ada", "--out", plan)
    assert "SM89" in text


@pytest.mark.usefixtures("without_gpu")
def test_build_for_a_jetson_says_what_to_run_there(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        run(build, model, "--target", "orin-nano", "--out", tmp_path / "engine.plan")
    assert "on the device: /usr/src/tensorrt/bin/trtexec" in caught.value.hint
    assert f"--onnx={model}" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--target", "cpu-openvino"),
        ("--target", "rtx-ada", "--batch", "8:4:1"),
        ("--target", "rtx-ada", "--batch", "4"),
        ("--target", "rtx-ada", "--hardware-compatibility", "some"),
        ("--target", "nowhere"),
    ],
)
def test_build_refuses_what_makes_no_sense(
    model: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError):
        run(build, model, "--out", tmp_path / "engine.plan", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_bench_times_two_runtimes_on_pictures(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((50, 70, 3), 90, np.uint8))
    out = tmp_path / "bench.json"
    document, _ = run(
        bench, model, "--runtime", "onnxruntime", "--runtime", "openvino", "--runs", 10,
        "--threads", 1, "--images", tmp_path, "--out", out, "--json",
    )  # fmt: skip
    report = BenchReport.model_validate_json(out.read_text())
    assert report.model_dump(mode="json") == document
    assert [timing.runtime for timing in report.artifacts] == ["onnxruntime", "openvino"]
    assert report.ratios[0].name == f"{model} (openvino)"
    assert report.settings.threads == 1
    assert report.pictures == "images: 1"
    for timing in report.artifacts:
        assert timing.latency_ms.n == 10
        assert timing.stages_ms.nms is not None
        assert timing.stages_ms.decode is not None


def test_bench_profiles_what_can_be_profiled(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    words = ["--runs", 2, "--warmup", 0, "--window", 0, "--threads", 1, "--profile"]
    document, _ = run(bench, model, *words, "--out", out, "--json")
    (profile,) = document["profiles"]
    assert profile["runtime"] == "onnxruntime"
    assert profile["ms"] == pytest.approx(sum(layer["ms"] for layer in profile["layers"]))
    assert parse_times(json.loads(out.read_text()), str(out))
    text, _ = run(bench, model, *words)
    assert "layer by layer" in text


def test_bench_like_trtexec(model: Path) -> None:
    words = ["--warmup", 0, "--threads", 1, "--json"]
    document, _ = run(bench, model, "--like", "trtexec-10", *words)
    assert document["settings"]["like"] == "trtexec-10"
    assert document["settings"]["duration"] == 3.0
    assert document["artifacts"][0]["transfers"] is None
    with pytest.raises(UsageError):
        run(bench, model, "--like", "trtexec-9", *words)


def test_bench_takes_the_baseline_from_vs(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes())
    document, _ = run(bench, other, "--vs", model, "--runs", 5, "--threads", 1, "--json")
    assert document["ratios"][0]["baseline"] == str(model)
    assert document["ratios"][0]["name"] == str(other)
    text, _ = run(bench, other, "--runs", 5, "--window", 0, "--threads", 1)
    assert "median" in text


@pytest.mark.usefixtures("without_gpu")
def test_bench_of_a_plan_without_a_gpu_is_one_line(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    plan = tmp_path / "engine.plan"
    run(build, model, "--target", "rtx-ada", "--out", plan)
    with pytest.raises(UnsupportedError) as caught:
        run(bench, plan)
    assert "\n" not in caught.value.message
    assert "NVIDIA driver" in caught.value.message


def test_bench_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run(bench, tmp_path / "none.onnx")
