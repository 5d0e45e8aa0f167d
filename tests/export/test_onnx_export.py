"""The ONNX file: judged by onnx's checker and ONNX Runtime, held to the graph budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.models import lively_model
from yolov12edge.errors import ExportError, UsageError
from yolov12edge.export import (
    ATTENTION_VARIANTS,
    ExportOptions,
    check_parity,
    export_onnx,
    lint_graph,
    probe_picture,
)
from yolov12edge.runtime.metadata import BLOCKS_KEY

NODE_BUDGET, TRANSPOSE_BUDGET = 440, 29


def run(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["detections"], {"images": images})[0]


@pytest.mark.parametrize("layout", ["v1", "turbo"])
@pytest.mark.parametrize("variant", ATTENTION_VARIANTS)
def test_onnx_runtime_agrees_with_torch(tmp_path: Path, layout: str, variant: str) -> None:
    model = lively_model("n", layout)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(96, 160, variant=variant))  # type: ignore[arg-type]
    images = np.random.default_rng(0).random((1, 3, 96, 160), dtype=np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    produced = run(path, images)
    assert expected[:, 4:].max() > 0.1
    np.testing.assert_allclose(produced[:, :4], expected[:, :4], rtol=0, atol=0.01)
    np.testing.assert_allclose(produced[:, 4:], expected[:, 4:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", ["s", "m", "l", "x"])
def test_every_scale_exports(tmp_path: Path, scale: str) -> None:
    model = lively_model(scale, "turbo", num_classes=2)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 64))
    parity = check_parity(model, path)
    assert parity.images == 1
    onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.parametrize("opset", range(13, 22))
def test_every_opset_is_valid_and_computes_the_same(tmp_path: Path, opset: int) -> None:
    model = lively_model("n", num_classes=2)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 64, opset=opset))
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert onnx.load(path).opset_import[0].version == opset
    check_parity(model, path)


@pytest.mark.parametrize("layout", ["v1", "turbo"])
def test_scale_n_stays_within_the_graph_budget(tmp_path: Path, layout: str) -> None:
    exported = export_onnx(
        lively_model("n", layout), tmp_path / "model.onnx", ExportOptions(640, 640)
    )
    assert exported.statistics["nodes"] <= NODE_BUDGET
    assert exported.statistics["Transpose"] <= TRANSPOSE_BUDGET
    assert exported.findings == ()


def test_a_symbolic_batch_takes_any_number_of_images(tmp_path: Path) -> None:
    model = lively_model("n", num_classes=4)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 96, batch=None))
    images = np.random.default_rng(1).random((3, 3, 64, 96), dtype=np.float32)
    together = run(path, images)
    assert together.shape == (3, 8, 126)
    for index in range(3):
        alone = run(path, images[index : index + 1])
        np.testing.assert_allclose(together[index : index + 1], alone, rtol=0, atol=1e-3)


def test_a_fixed_batch_is_fixed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n", num_classes=1), path, ExportOptions(64, 64, batch=2))
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    assert [dimension.dim_value for dimension in shape.dim] == [2, 3, 64, 64]


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_onnx(lively_model("n"), tmp_path / f"{name}.onnx", ExportOptions(64, 64))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n", "v1", num_classes=3), path, ExportOptions(320, 416))
    props = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    about = json.loads(props["yolov12edge"])
    assert about["schema_version"] == 1
    assert about["model"] == {
        "scale": "n",
        "layout": "v1",
        "num_classes": 3,
        "names": ["0", "1", "2"],
        "imgsz": [320, 416],
        "strides": [8, 16, 32],
        "parameters": about["model"]["parameters"],
    }
    assert about["input"]["letterbox"] == {"pad_value": 114, "center": True, "stride": 32}
    assert about["output"]["shape"] == [1, 7, 2730]


def test_blocks_name_their_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n"), path, ExportOptions(64, 64))
    model = onnx.load(path)
    props = {entry.key: entry.value for entry in model.metadata_props}
    blocks = dict(json.loads(props[BLOCKS_KEY]))
    tensors = {output for node in model.graph.node for output in node.output}
    assert set(blocks.values()) <= tensors
    assert {"model.0", "model.6.m.1.0.attn", "model.21.cv3.2", "model.21"} <= blocks.keys()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"height": 333, "width": 320}, "333x320 is not a multiple of 32"),
        ({"height": 0, "width": 320}, "0x320"),
        ({"height": 64, "width": 64, "batch": 0}, "batch is 0"),
        ({"height": 64, "width": 64, "opset": 12}, "opset 12"),
        ({"height": 64, "width": 64, "opset": 25}, "opset 25"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, int], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        ExportOptions(**options)


def test_parity_notices_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n", num_classes=2, seed=1), path, ExportOptions(64, 64))
    with pytest.raises(ExportError, match="differs from the checkpoint"):
        check_parity(lively_model("n", num_classes=2, seed=2), path)


def test_parity_notices_nan(tmp_path: Path) -> None:
    model = lively_model("n", num_classes=2)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(64, 64))
    with pytest.raises(ExportError, match="nan"):
        check_parity(model, path, np.full((1, 3, 64, 64), np.nan, dtype=np.float32))


def test_the_probe_picture_is_a_picture() -> None:
    picture = probe_picture(64, 96)
    assert picture.shape == (1, 3, 64, 96)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() < 0.2 < 0.8 < picture.max() <= 1
    assert np.array_equal(picture, probe_picture(64, 96))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("source", "layout"),
    [("official_v1", "v1"), ("official_turbo", "turbo"), ("ultralytics", "v1")],
)
def test_the_file_agrees_with_the_foreign_implementation(
    tmp_path: Path, shared: Path, source: str, layout: str
) -> None:
    from yolov12edge import load_model

    model = load_model(shared / f"reference/{source}_n_stripped.pt")
    assert model.architecture.layout == layout
    path = tmp_path / "model.onnx"
    export_onnx(model, path, ExportOptions(320, 416))
    recorded = np.load(shared / f"reference/{source}_n_io_320x416.npz")
    produced = run(path, recorded["input_u8"].astype(np.float32) / 255)
    np.testing.assert_allclose(produced[:, :4], recorded["decoded"][:, :4], rtol=0, atol=2e-3)
    np.testing.assert_allclose(produced[:, 4:], recorded["decoded"][:, 4:], rtol=0, atol=1e-5)


def test_lints_accept_what_we_export(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(lively_model("n"), path, ExportOptions(64, 64))
    assert lint_graph(onnx.load(path)) == []
