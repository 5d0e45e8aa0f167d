"""The main job from checkpoint to judged run folder, on a small seeded detector."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from tests.commands import Outcome, fails, run, snapshot
from tests.samples import CLASSES, write_data, write_pictures, write_weights
from yolov12edge.bench import BenchReport
from yolov12edge.checkpoints import load_model
from yolov12edge.evaluate import DriftReport, non_max_suppression
from yolov12edge.export import ExportOptions, OnnxExport, export_onnx
from yolov12edge.pipeline.export import conversion
from yolov12edge.pipeline.stages.target import default_target
from yolov12edge.processor import processor
from yolov12edge.run.names import OWN_FILES
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime import open_runner
from yolov12edge.runtime.golden import read_golden
from yolov12edge.runtime.golden_checks import check_outputs

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights.safetensors, images/ and data.yaml with labels."""
    folder = tmp_path_factory.mktemp("good")
    write_weights(folder / "weights.safetensors")
    images = write_pictures(folder / "images")
    write_data(folder / "data.yaml", images, boxes="0 0.5 0.5 0.4 0.4\n1 0.2 0.3 0.2 0.2\n")
    return folder


@pytest.fixture
def quick(good: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Export the seeded detector at 64 pixels in FP32 without timing; more options as words."""
    words = ["--weights", str(good / "weights.safetensors"), "--imgsz", "64", "--fp32"]

    def start(*more: object, target: str | None = "cpu-onnxruntime") -> Outcome:
        chosen = ["--target", target] if target else []
        return run(capsys, "export", *words, *chosen, "--no-bench", *more)

    return start


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return document


def test_the_run_folder_tells_the_truth(quick: Run, good: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert quick("--data", good / "data.yaml", "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "drift.json", "golden.npz", "manifest.json", "model.onnx",
    ]  # fmt: skip
    manifest = manifest_of(out)
    names = ("drift.json", "golden.npz", "model.onnx")
    assert manifest["files"] == {name: sha256(out / name) for name in names}
    assert manifest["judged_on"] == vars(processor().identity)
    model = onnx.load(out / "model.onnx")
    ends = model.graph.input[0], model.graph.output[0]
    for end, section in zip(ends, ("input", "output"), strict=True):
        shape = [side.dim_value for side in end.type.tensor_type.shape.dim]
        assert (end.name, shape) == (manifest[section]["name"], manifest[section]["shape"])
    assert manifest["model"]["names"] == list(CLASSES)
    assert manifest["model"]["imgsz"] == [64, 64]
    inside = {entry.key: entry.value for entry in model.metadata_props}["yolov12edge"]
    for section in ("model", "input", "output"):
        assert json.loads(inside)[section] == manifest[section]
    assert manifest["source"]["sha256"] == sha256(good / "weights.safetensors")
    assert manifest["precision"] == {
        "name": "fp32", "nodes": {"fp32": len(model.graph.node)}, "kept_in_float": {},
        "products": None,
    }  # fmt: skip
    assert manifest["target"]["name"] == "cpu-onnxruntime"
    assert manifest["engine"] is None
    assert manifest["verified"] is True
    assert manifest["tool"]["libraries"]["onnx"] == onnx.__version__
    assert 0 < manifest["parity"]["onnx_box_error"] < 0.01
    drift = DriftReport.model_validate_json((out / "drift.json").read_text())
    assert drift.gate.passed
    assert drift.images == 3
    assert drift.map_reference is not None
    assert drift.judge.runtime == "onnxruntime"


def test_the_same_run_gives_the_same_bytes(quick: Run, good: Path, tmp_path: Path) -> None:
    """Alone, in the chain, and again."""
    for name in ("one", "two"):
        assert quick("--no-verify", "--out", tmp_path / name).code == 0
    detector = load_model(good / "weights.safetensors")
    recipe = load_recipe("cpu-onnxruntime")
    options = ExportOptions(64, 64, opset=recipe.opset, variant=recipe.attention)
    export_onnx(detector, tmp_path / "alone.onnx", options)
    digests = {sha256(path) for path in tmp_path.rglob("*.onnx")}
    assert len(digests) == 1


def test_a_new_run_replaces_the_old_one(quick: Run, good: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert quick("--data", good / "data.yaml", "--out", out).code == 0
    (out / "notes.txt").write_text("mine")
    assert quick("--no-verify", "--imgsz", "96x64", "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "golden.npz", "manifest.json", "model.onnx", "notes.txt",
    ]  # fmt: skip
    manifest = manifest_of(out)
    assert manifest["model"]["imgsz"] == [96, 64]
    names = ("golden.npz", "model.onnx")
    assert manifest["files"] == {name: sha256(out / name) for name in names}
    assert manifest["verified"] is False


def silence_a_class(detector: Any, path: Path, options: ExportOptions) -> OnnxExport:
    """An export that is wrong: the second class never scores."""
    exported = export_onnx(detector, path, options)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if ".cv3." in tensor.name and tensor.name.endswith("2.bias"):
            bias = numpy_helper.to_array(tensor).copy()
            bias[1] = -50
            tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))
    onnx.save(model, path)
    return exported


def test_an_export_that_differs_is_none(
    quick: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    assert quick("--no-verify", "--out", out).code == 0
    before = snapshot(tmp_path)
    monkeypatch.setattr(conversion, "export_onnx", silence_a_class)
    fails(quick("--data", good / "data.yaml", "--out", out), 5, "differs from the checkpoint")
    assert snapshot(tmp_path) == before


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong export that the parity check overlooks, so that the gate has to see it."""
    monkeypatch.setattr(conversion, "export_onnx", silence_a_class)
    parity = conversion.Parity(box_error=0.0, score_error=0.0, images=1)
    monkeypatch.setattr(conversion, "check_parity", lambda *arguments: parity)


@pytest.mark.usefixtures("blind")
def test_a_failed_gate_leaves_the_artifact_to_look_at(
    quick: Run, good: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    outcome = quick("--data", good / "data.yaml", "--out", out)
    fails(outcome, 6, "the artifact drifted")
    assert str(out / "drift.json") in outcome.err
    assert "FAILED" in outcome.out
    drift = DriftReport.model_validate_json((out / "drift.json").read_text())
    assert not drift.gate.passed
    assert drift.gate.reasons
    assert manifest_of(out)["verified"] is False
    assert manifest_of(out)["files"]["drift.json"] == sha256(out / "drift.json")


@pytest.mark.usefixtures("blind")
def test_a_failed_gate_is_one_json_document_too(quick: Run, good: Path, tmp_path: Path) -> None:
    outcome = quick("--data", good / "data.yaml", "--out", tmp_path / "run", "--json")
    fails(outcome, 6, "the artifact drifted")
    assert outcome.document["drift"]["model.onnx"]["gate"]["passed"] is False


def test_the_json_document(quick: Run, good: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = quick("--data", good / "data.yaml", "--out", out, "--json", "--quiet")
    assert outcome.code == 0
    assert outcome.err == ""
    document = outcome.document
    assert document["schema_version"] == 1
    assert document["folder"] == str(out)
    assert document["manifest"] == manifest_of(out)
    assert document["drift"]["model.onnx"] == json.loads((out / "drift.json").read_text())
    assert document["graph"]["nodes"] == len(onnx.load(out / "model.onnx").graph.node)
    assert document["bench"] is None
    assert document["next_step"] is None


def test_bench_json(
    quick: Run, good: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("yolov12edge.pipeline.stages.bench.SECONDS_EACH", 0.05)
    outcome = run(
        capsys, "export", "--weights", good / "weights.safetensors", "--imgsz", "64", "--fp32",
        "--target", "cpu-onnxruntime", "--no-verify", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    content = (tmp_path / "run/bench.json").read_text()
    assert outcome.document["bench"] == json.loads(content)
    report = BenchReport.model_validate_json(content)
    assert [timing.runtime for timing in report.artifacts] == ["torch", "onnxruntime"]


def test_what_only_the_device_can_build(
    quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    out = tmp_path / "a run"
    outcome = quick("--no-verify", "--out", out, "--json", target="agx-orin")
    assert outcome.code == 0, outcome.err
    manifest = outcome.document["manifest"]
    assert manifest["engine"] is None
    assert "TensorRT" in manifest["reason"]
    assert manifest["target"] == {
        "name": "agx-orin", "backend": "tensorrt", "sm": [87], "version": "10.3",
    }  # fmt: skip
    step = outcome.document["next_step"]
    assert manifest["reason"] in step
    assert f"trtexec --onnx='{out / 'model.onnx'}'" in step
    assert f"--saveEngine='{out / 'engine.plan'}'" in step
    human = quick("--no-verify", "--out", out, target="agx-orin")
    assert f"no engine: {manifest['reason']}" in " ".join(human.out.split())


def test_no_target_means_the_best_one_here(quick: Run, tmp_path: Path) -> None:
    name, why = default_target()
    outcome = quick("--no-verify", "--no-build", "--out", tmp_path / "run", target=None)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[0] == f"target {name}: {why}"
    assert manifest_of(tmp_path / "run")["target"]["name"] == name


def test_no_out_means_runs(quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert quick("--no-verify").code == 0
    assert (tmp_path / "runs/weights-cpu-onnxruntime/manifest.json").is_file()


def test_a_dynamic_batch(quick: Run, good: Path, tmp_path: Path) -> None:
    outcome = quick("--batch", "1:2:4", "--calib", good / "images", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    session = onnxruntime.InferenceSession(tmp_path / "run/model.onnx")
    images = np.random.default_rng(0).random((3, 3, 64, 64), dtype=np.float32)
    (together,) = session.run(None, {"images": images})
    alone = [session.run(None, {"images": image[None]})[0][0] for image in images]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)


def test_the_table_tells_a_predicted_time_and_for_which_gpu(quick: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    words = ("--no-verify", "--out", tmp_path / "run")
    text = quick(*words, target="rtx-ampere").out
    assert "predicted: ms on GeForce RTX 3080 10GB, not measured" in text
    assert max(map(len, text.splitlines())) <= 80


def test_an_open_batch_size_is_not_predicted(quick: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    words = ("--no-verify", "--batch", "1:1:4", "--out", tmp_path / "run", "--json")
    document = quick(*words, target="rtx-ampere").document
    assert document["prediction"]["kind"] == "not predicted"
    assert "tensors with an open side: build for one batch size" in document["prediction"]["reason"]


def test_fp16_and_a_plan(
    quick: Run, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("modelopt.onnx")
    pytest.importorskip("tensorrt_rtx_bindings")
    out = tmp_path / "run"
    data = good / "data.yaml"
    outcome = run(
        capsys, "export", "--weights", good / "weights.safetensors", "--imgsz", "64", "--fp16",
        "--target", "rtx-ampere", "--no-bench", "--data", data, "--out", out, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        "drift.json", "engine.plan", "engine.plan.layers.json", "golden.npz", "manifest.json",
        "model.fp16.onnx", "model.onnx",
    ]  # fmt: skip
    golden = read_golden(out / "golden.npz")
    found = open_runner(out / "model.onnx")(golden.images.astype(np.float32) / 255)
    check_outputs(out / "model.onnx", found, golden)
    assert [len(non_max_suppression(one)) for one in found] == golden.counts.tolist()
    assert golden.counts.sum() > 0
    assert set(names) <= set(OWN_FILES)
    manifest = manifest_of(out)
    engine = manifest["engine"]
    assert engine["sha256"] == manifest["files"]["engine.plan"] == sha256(out / "engine.plan")
    assert engine["sm"] == [86]
    assert "engine.plan.layers.json" in manifest["files"]
    attention = outcome.document["attention"]
    assert (attention["verdict"], attention["blocks"]) == ("fused", 8)
    assert attention["text"] in outcome.err
    assert (out / "engine.plan").read_bytes()[:4] == b"vtrt"
    assert list(outcome.document["drift"]) == ["model.onnx", "model.fp16.onnx"]
    prediction = outcome.document["prediction"]
    assert (prediction["kind"], prediction["gpu"]) == ("prediction", "rtx-3080")
    times = {row["artifact"]: row["predicted_ms"] for row in outcome.document["comparison"]}
    assert times.pop("engine.plan") == prediction["predicted_ms"] > 0
    assert list(times) == ["checkpoint", "model.onnx", "model.fp16.onnx"]
    assert set(times.values()) == {None}
    half = onnx.load(out / "model.fp16.onnx")
    ends = [value.type.tensor_type.elem_type for value in (*half.graph.input, *half.graph.output)]
    assert ends == [TensorProto.FLOAT, TensorProto.FLOAT]
    types = {one.name: one.data_type for one in half.graph.initializer}
    convolutions = {
        node.name: types[node.input[1]] for node in half.graph.node if node.op_type == "Conv"
    }
    single = {name for name, kind in convolutions.items() if kind == TensorProto.FLOAT}
    assert single == convolutions.keys() & manifest["precision"]["kept_in_float"].keys()
    assert set(convolutions.values()) == {TensorProto.FLOAT16}
    nodes = sum(node.op_type != "Cast" for node in half.graph.node)
    assert sum(manifest["precision"]["nodes"].values()) == nodes
    assert manifest["calibration"]["images"] == 3
    alone = run(
        capsys, "quantize", out / "model.onnx", "--calib", data, "--out", tmp_path / "alone.onnx"
    )
    assert alone.code == 0, alone.err
    assert sha256(tmp_path / "alone.onnx") == sha256(out / "model.fp16.onnx")


def test_fused_attention_cannot_be_required_where_nothing_is_built(
    quick: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fails(
        quick("--no-verify", "--out", out, "--require-fused"),
        6,
        "whether attention is fused was not seen: no engine was built",
    )
    assert (out / "model.onnx").is_file(), "the run is kept, to be looked at"
