"""inspect: what it says is so, and it says when something is not."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.commands import Outcome, fails, run, snapshot
from tests.models import lively_model
from tests.samples import CLASSES, write_weights
from yolov12edge.checkpoints import load_model

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_weights(folder / "weights.safetensors")
    return folder


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: run(capsys, "inspect", *words)


@pytest.fixture
def folder(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run folder."""
    outcome = run(
        capsys, "export", "--weights", good / "weights.safetensors", "--imgsz", "64x96", "--fp32",
        "--target", "rtx-ampere", "--no-build", "--no-verify", "--no-bench",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def fits(outcome: Outcome) -> str:
    """The text for people; asserts that it is one and fits a terminal."""
    assert outcome.code == 0, outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "…" not in outcome.out
    return outcome.out


def test_a_checkpoint(inspect: Run, good: Path) -> None:
    path = good / "weights.safetensors"
    document = inspect(path, "--json").document
    parameters = sum(value.numel() for value in lively_model(num_classes=2).parameters())
    assert document["schema_version"] == 1
    assert document["kind"] == "checkpoint"
    assert document["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert document["parameters"] == parameters
    assert (document["scale"], document["layout"]) == ("n", "turbo")
    text = fits(inspect(path))
    assert f"{parameters:,} parameters" in text
    assert "2: cat, dog" in text


@pytest.mark.shared
def test_published_checkpoints(inspect: Run, shared: Path) -> None:
    for path in sorted((shared / "reference").glob("*.pt")):
        document = inspect(path, "--json").document
        assert document["layout"] == ("turbo" if "turbo" in path.name else "v1")
        assert document["num_classes"] == 80
        assert "80: person, bicycle" in fits(inspect(path))


@pytest.mark.parametrize("half", [False, True])
def test_a_conversion_keeps_the_numbers(
    inspect: Run, good: Path, tmp_path: Path, half: bool
) -> None:
    source, target = good / "weights.safetensors", tmp_path / "new/converted.safetensors"
    words = ["--to", target, *(["--half"] if half else []), "--json"]
    document = inspect(source, *words).document
    assert document["written"] == {
        "file": str(target),
        "bytes": target.stat().st_size,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
    }
    before, after = load_file(source), load_file(target)
    assert before.keys() == after.keys()
    for name, value in before.items():
        expected = value.astype(np.float16) if half and value.dtype == np.float32 else value
        assert after[name].dtype == expected.dtype
        np.testing.assert_array_equal(after[name], expected)
    with safe_open(target, "np") as file:
        assert json.loads(file.metadata()["yolov12edge"])["names"] == list(CLASSES)
    assert load_model(target).names == CLASSES


def test_an_onnx_file(inspect: Run, folder: Path) -> None:
    path = folder / "model.onnx"
    model = onnx.load(path)
    document = inspect(path, "--json").document
    assert document["opset"] == model.opset_import[0].version
    assert document["nodes"] == len(model.graph.node)
    assert document["operators"]["Conv"] == sum(n.op_type == "Conv" for n in model.graph.node)
    assert document["precision"] == {"fp32": len(model.graph.node)}
    assert document["inputs"] == [{"name": "images", "dtype": "float32", "shape": [1, 3, 64, 96]}]
    assert document["outputs"][0]["shape"] == [1, 6, 126]
    assert len(document["attention"]) == 8
    assert not any(block["obstacles"] for block in document["attention"])
    assert document["lints"] == []
    assert document["metadata"]["model"]["names"] == list(CLASSES)
    text = fits(inspect(path))
    assert "8 blocks, all in the form that engine builders fuse" in text
    assert "lints      clean" in text


def test_attention_that_no_builder_fuses(inspect: Run, folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    products = [n for n in model.graph.node if n.op_type == "MatMul" and n.name.endswith("/mixed")]
    for product in products[:3]:
        left, right = product.input
        product.input[0], product.input[1] = right, left
    onnx.save(model, folder / "left.onnx")
    outcome = inspect(folder / "left.onnx")
    # Shapes no longer fit, which is what an ONNX file of others may look like too.
    assert outcome.code == 0, outcome.err
    assert "8 blocks, 5 in the form that engine builders fuse" in outcome.out
    assert f"attention-value: {products[0].name}" in " ".join(outcome.out.split())


def foreign(path: Path, external: bool = False) -> Path:
    """A graph of another tool: no node names, no metadata, one FP16 and one integer node."""
    weight = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float16), "weight")
    if external:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", "../../../etc/passwd"
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Conv", ["half", "weight"], ["y16"]),
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Add", ["shape", "shape"], ["twice"]),
            helper.make_node("Cast", ["y16"], ["y"], to=TensorProto.FLOAT),
            helper.make_node("Relu", ["y"], ["z"]),
        ],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 8, 30, 30]),
            helper.make_tensor_value_info("twice", TensorProto.INT64, [4]),
        ],
        [weight],
    )
    opset = helper.make_opsetid("", 17)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    )
    return path


def test_an_onnx_file_of_others(inspect: Run, tmp_path: Path) -> None:
    document = inspect(foreign(tmp_path / "foreign.onnx"), "--json").document
    assert document["metadata"] is None
    assert document["precision"] == {"integer": 2, "fp16": 1, "fp32": 1}
    assert document["inputs"][0]["shape"] == ["batch", 3, 32, 32]
    assert document["attention"] == []
    assert {"inputs-outputs", "metadata"} <= {lint["lint"] for lint in document["lints"]}
    fits(inspect(tmp_path / "foreign.onnx"))


def test_int8_is_what_comes_out_of_dequantize(inspect: Run, tmp_path: Path) -> None:
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.int8), "weight")
    steps = ["scale", "zero"]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", *steps], ["q"]),
            helper.make_node("DequantizeLinear", ["q", *steps], ["d"]),
            helper.make_node("DequantizeLinear", ["weight", *steps], ["w"]),
            helper.make_node("Conv", ["d", "w"], ["y"]),
            helper.make_node("Relu", ["y"], ["z"]),
        ],
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4, 8, 8])],
        [scale, zero, weight],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset]), tmp_path / "int8.onnx")
    document = inspect(tmp_path / "int8.onnx", "--json").document
    assert document["precision"] == {"int8": 1, "fp32": 1}


def test_weights_in_other_files_are_not_opened(
    inspect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = foreign(tmp_path / "foreign.onnx", external=True)
    monkeypatch.chdir(tmp_path)
    document = inspect(path, "--json").document
    assert document["external_constants"] == 1
    assert document["lints"] == []
    assert [tensor["name"] for tensor in document["inputs"]] == ["x"]
    assert document["precision"]["fp16"] == 1
    assert "1 constants are kept in other files" in fits(inspect(path))


def damaged(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(foreign(path))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def cycle(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "y"


def lie_about_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def no_inputs(model: onnx.ModelProto) -> None:
    del model.graph.node[5].input[:]


@pytest.mark.parametrize("change", [cycle, lie_about_size, no_inputs])
def test_graphs_that_are_none(
    inspect: Run, tmp_path: Path, change: Callable[[onnx.ModelProto], object]
) -> None:
    fails(inspect(damaged(tmp_path / "bad.onnx", change)), 4, "bad.onnx is no valid ONNX graph")


def test_a_graph_of_many_paths_ends(inspect: Run, tmp_path: Path) -> None:
    """Each Reshape reads the one before it twice: 2**60 paths from Softmax on."""
    names = ["s", *(f"r{index}" for index in range(60))]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["a", "a"], ["p"], "first"),
            helper.make_node("Softmax", ["p"], ["s"], "softmax"),
            *(
                helper.make_node("Reshape", [before, before], [after], after)
                for before, after in itertools.pairwise(names)
            ),
        ],
        "paths",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [2, 2])],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, [2, 2])],
    )
    (tmp_path / "paths.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    document = inspect(tmp_path / "paths.onnx", "--json").document
    assert [block["name"] for block in document["attention"]] == ["softmax"]


def write_plan(path: Path, prefix: bytes = b"") -> bytes:
    """A TensorRT-RTX plan as far as its header goes: 1.7.1.116 for SM 8.6."""
    plan = bytearray(4096)
    plan[:4] = plan[28:32] = b"vtrt"
    struct.pack_into("<Q", plan, 16, len(plan))
    plan[24:28] = bytes((1, 7, 1, 116))
    struct.pack_into("<I", plan, 32, 1 << 2)
    path.write_bytes((struct.pack("<I", len(prefix)) + prefix if prefix else b"") + plan)
    return bytes(plan)


def test_a_plan(inspect: Run, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "engine.plan")
    document = inspect(tmp_path / "engine.plan", "--json").document
    assert (document["backend"], document["version"]) == ("tensorrt_rtx", "1.7.1.116")
    assert document["sm"] == [86]
    assert document["sha256"] == document["plan_sha256"] == hashlib.sha256(plan).hexdigest()
    assert document["prefix"] is None
    assert document["manifest"] is None
    assert document["reason"]
    text = fits(inspect(tmp_path / "engine.plan"))
    assert "built for  SM86" in text
    assert "none, raw plan bytes" in text


def test_a_prefix_is_found_and_taken_off(inspect: Run, tmp_path: Path) -> None:
    engine = tmp_path / "yolo12n.engine"
    plan = write_plan(engine, b'{"imgsz": [640, 640], "names": {"0": "person"}}')
    document = inspect(engine, "--json").document
    assert document["prefix"] == {"imgsz": [640, 640], "names": {"0": "person"}}
    assert document["sha256"] == hashlib.sha256(engine.read_bytes()).hexdigest()
    assert document["plan_sha256"] == hashlib.sha256(plan).hexdigest()
    assert "take it off with --strip FILE" in fits(inspect(engine))
    outcome = inspect(engine, "--strip", tmp_path / "raw.plan", "--json")
    assert (tmp_path / "raw.plan").read_bytes() == plan
    assert outcome.document["written"]["sha256"] == document["plan_sha256"]
    assert inspect(tmp_path / "raw.plan", "--json").document["prefix"] is None


def test_a_run_folder(inspect: Run, folder: Path) -> None:
    for path in (folder, folder / "manifest.json"):
        document = inspect(path, "--json").document
        assert document["kind"] == "run"
        assert document["manifest"] == json.loads((folder / "manifest.json").read_text())
        assert document["files"] == [
            {
                "name": name,
                "bytes": (folder / name).stat().st_size,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                "state": "ok",
            }
            for name in ("golden.npz", "model.onnx")
        ]
    text = fits(inspect(folder))
    assert "rtx-ampere (tensorrt_rtx 1.7, SM86)" in text
    assert "none: not asked for (--no-build)" in " ".join(text.split())


def test_a_run_folder_whose_files_changed(inspect: Run, folder: Path) -> None:
    model = folder / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    outcome = inspect(folder)
    fails(outcome, 4, "model.onnx is not what the manifest says: changed")
    assert "changed" in outcome.out
    outcome = inspect(folder, "--json")
    fails(outcome, 4, "model.onnx is not what the manifest says: changed")
    states = {file["name"]: file["state"] for file in outcome.document["files"]}
    assert states == {"golden.npz": "ok", "model.onnx": "changed"}
    model.unlink()
    fails(inspect(folder), 4, "model.onnx is not what the manifest says: missing")
    os.symlink("/etc/passwd", model)
    fails(inspect(folder), 4, "outside the folder")


def test_a_plan_that_its_manifest_does_not_know(inspect: Run, folder: Path) -> None:
    write_plan(folder / "engine.plan")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["engine"] = {
        "file": "engine.plan", "sha256": "0" * 64, "bytes": 4096, "backend": "tensorrt_rtx",
        "version": "1.7.1.116", "sm": [86],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    fails(inspect(folder / "engine.plan"), 4, "is not the plan that its manifest.json describes")
    plan = (folder / "engine.plan").read_bytes()
    manifest["engine"]["sha256"] = hashlib.sha256(plan).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "the hash agrees" in " ".join(fits(inspect(folder / "engine.plan")).split())


def test_options_that_do_not_fit(inspect: Run, good: Path, folder: Path, tmp_path: Path) -> None:
    weights = good / "weights.safetensors"
    shutil.copy(weights, tmp_path / "mine.safetensors")
    before = snapshot(tmp_path)
    fails(inspect(folder / "model.onnx", "--to", tmp_path / "x.safetensors"), 2, "--to")
    fails(inspect(folder, "--to", tmp_path / "x.safetensors"), 2, "--to")
    fails(inspect(weights, "--to", tmp_path / "x.pt"), 2, ".safetensors")
    fails(inspect(weights, "--half"), 2, "--half needs --to")
    fails(inspect(weights, "--strip", tmp_path / "x.plan"), 2, "--strip")
    fails(inspect(weights, "--to", tmp_path), 2, ".safetensors")
    assert snapshot(tmp_path) == before
