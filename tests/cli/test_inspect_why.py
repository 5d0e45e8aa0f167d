"""inspect --why: the reasons are those that the file was made by."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.commands import Outcome, fails, run
from tests.models import lively_model
from tests.samples import write_weights
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.files import sha256_file
from yolov12edge.quantize import (
    DIALECTS,
    TENSORRT,
    Dialect,
    QuantizationPlan,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
)
from yolov12edge.run.manifest import PrecisionSection, read_manifest

Run = Callable[..., Outcome]
SIZE = 64


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: run(capsys, "inspect", *words)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("why") / "model.onnx"
    export_onnx(lively_model("n", num_classes=2), path, ExportOptions(SIZE, SIZE))
    return path


def quantized(source: Path, target: Path, dialect: Dialect, *keep: str) -> QuantizationPlan:
    model = onnx.load(source)
    plan = plan_quantization(model, dialect, keep)
    images = iter([probe_picture(SIZE, SIZE, seed)[0] for seed in range(2)])
    statistics = observe(model, observed_tensors(model, [plan]), images, 2)
    quantize_int8(source, target, plan, dialect, statistics, "max")
    return plan


def answers(inspect: Run, path: Path, asked: str) -> dict[str, dict]:
    outcome = inspect(path, "--why", asked, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["kind"] == "onnx"
    return {node["node"]: node for node in outcome.document["why"]["nodes"]}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_an_int8_file_without_a_manifest(
    inspect: Run, exported: Path, tmp_path: Path, dialect: Dialect
) -> None:
    """The rules, asked of the file without its Q/DQ, say what they said of the float file."""
    path = tmp_path / "model.int8.onnx"
    plan = quantized(exported, path, dialect)
    found = answers(inspect, path, "model")
    for name, reason in plan.kept.items():
        assert found[name]["precision"] == "fp32"
        assert (found[name]["reason"], found[name]["told_by"]) == (reason, "rules")
    for name in plan.convolutions:
        assert found[name]["precision"] == "int8"
        assert found[name]["reason"].startswith("convolutions: ")
    assert {name for node in found.values() for name in node["rules"]} == {dialect.name}
    joins = {node["precision"] for node in found.values() if node["operator"] == "Concat"}
    assert joins == ({"fp32"} if dialect is TENSORRT else {"int8", "fp32"})
    by_rule = {rule["rule"]: rule for rule in found["model.0/conv"]["rules"][dialect.name]}
    assert by_rule["decoding"] == {
        "rule": "decoding", "applies": False, "reason": "takes nodes of the box decoding",
    }  # fmt: skip
    assert by_rule["convolutions"]["applies"]


def test_a_block_that_was_kept_on_request(inspect: Run, exported: Path, tmp_path: Path) -> None:
    """Nothing recorded it, so it is told as what it is: a float node that a rule would take."""
    path = tmp_path / "model.int8.onnx"
    quantized(exported, path, TENSORRT, "model.4")
    node = answers(inspect, path, "model.4.cv1/conv")["model.4.cv1/conv"]
    assert node["precision"] == "fp32"
    assert node["reason"].startswith("left in float by who made the file")
    assert node["told_by"] == "graph"


def test_the_manifest_goes_first(
    inspect: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, folder = tmp_path / "weights.safetensors", tmp_path / "run"
    write_weights(weights)
    outcome = run(
        capsys, "export", "--weights", weights, "--imgsz", SIZE, "--fp32", "--target", "rtx-ada",
        "--no-build", "--no-verify", "--no-bench", "--out", folder,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    path = folder / "model.int8.onnx"
    plan = quantized(folder / "model.onnx", path, TENSORRT, "model.4")
    kept = {name: f"keep-float: asked for, {name}" for name in plan.kept}
    manifest = read_manifest(folder)
    precision = PrecisionSection(name="int8", nodes={}, kept_in_float=kept)
    files = manifest.files | {path.name: sha256_file(path)}
    manifest.model_copy(update={"precision": precision, "files": files}).write(folder)
    node = answers(inspect, path, "model.4.cv1/conv")["model.4.cv1/conv"]
    assert node["reason"] == "keep-float: asked for, model.4.cv1/conv"
    assert node["told_by"] == "manifest"
    # Of a file with other bytes the manifest says nothing.
    shutil.copy(path, folder / "other.onnx")
    assert answers(inspect, folder / "other.onnx", node["node"])[node["node"]]["told_by"] == "graph"


def test_a_float_file_says_what_int8_would_make_of_it(inspect: Run, exported: Path) -> None:
    node = answers(inspect, exported, "model.1/conv")["model.1/conv"]
    assert (node["precision"], node["told_by"]) == ("fp32", "graph")
    assert list(node["rules"]) == ["tensorrt", "cpu"]
    applies = {
        name: [rule["rule"] for rule in rules if rule["applies"]]
        for name, rules in node["rules"].items()
    }
    assert applies == {
        "tensorrt": ["stem", "convolutions"],
        "cpu": ["convolutions", "even-channels", "no-saturation"],
    }


def test_attention_and_what_keeps_builders_from_fusing_it(
    inspect: Run, exported: Path, tmp_path: Path
) -> None:
    model = onnx.load(exported)
    mixed = next(n for n in model.graph.node if n.name.endswith(".attn/mixed"))
    mixed.input[0], mixed.input[1] = mixed.input[1], mixed.input[0]
    path = tmp_path / "left.onnx"
    onnx.save(model, path)
    block = mixed.name.rpartition("/")[0]
    node = answers(inspect, path, mixed.name)[mixed.name]
    lints = {lint["rule"]: lint for lint in node["lints"]}
    message = f"{mixed.name}: V stands on the left of the second product"
    assert (node["attention"], node["obstacles"]) == (block, [message])
    assert lints["attention-value"] == {
        "rule": "attention-value", "applies": True, "reason": message,
    }  # fmt: skip
    assert lints["softmax"]["reason"] == "looks at divisions only"
    assert lints["dead-nodes"]["reason"] == "nothing wrong"
    inside = answers(inspect, path, block)
    assert {f"{block}/scores", f"{block}/weights", f"{block}.qkv/conv"} <= inside.keys()
    assert all(name.startswith(block) for name in inside)
    assert answers(inspect, path, "model.0/conv")["model.0/conv"]["obstacles"] is None
    outcome = inspect(path, "--why", block)
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "attention-value: " in outcome.out


def test_a_node_for_people(inspect: Run, exported: Path) -> None:
    outcome = inspect(exported, "--why", "model.21.decode/scores")
    assert outcome.code == 0, outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "nothing in this file is FP16 or INT8" in " ".join(outcome.out.split())
    assert "rules of tensorrt: the first that applies decides" in outcome.out


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("model.0/cnov", "model.0/conv"),
        ("model.6.m.0.0.atn", "model.6.m.0.0.attn"),
        ("", "name blocks"),
        ("[bold]", "name blocks"),
    ],
)
def test_an_unknown_node(inspect: Run, exported: Path, asked: str, near: str) -> None:
    outcome = inspect(exported, "--why", asked)
    fails(outcome, 2, f"has no node or block {asked!r}")
    assert near in outcome.err.splitlines()[-1]


def test_only_onnx_files_are_explained(inspect: Run, tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.safetensors")
    fails(
        inspect(tmp_path / "weights.safetensors", "--why", "x"), 2, "--why explains nodes of ONNX"
    )


def test_a_graph_of_another_tool(inspect: Run, tmp_path: Path) -> None:
    """No rule is asked, no file beside it is opened, and cycles end."""
    weight = numpy_helper.from_array(np.ones((8, 3, 1, 1), np.float16), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["h"], name="/down", to=TensorProto.FLOAT16),
            helper.make_node("Conv", ["h", "w"], ["y"], name="/m/Conv"),
            helper.make_node("Identity", ["y"], ["z"]),
        ],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT16, [1, 8, 4, 4])],
        [weight],
    )
    opset = helper.make_opsetid("", 17)
    path = tmp_path / "foreign.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    )
    outcome = inspect(path, "--why", "/m/Conv", "--json")
    assert outcome.code == 0, outcome.err
    why = outcome.document["why"]
    assert why["lints_run"] is False
    (node,) = why["nodes"]
    assert (node["precision"], node["told_by"], node["rules"]) == ("fp16", "graph", {})
    assert node["lints"] == []
    assert answers(inspect, path, "/down")["/down"]["precision"] is None
