"""A graph broken on purpose: verify must fail it and name where the error starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.models import lively_model
from yolov12edge import load_model
from yolov12edge.checkpoints import save_safetensors
from yolov12edge.cli import main
from yolov12edge.export import ExportOptions, export_onnx, probe_picture

Breakage = Callable[[onnx.ModelProto], None]


def change_weight(
    model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    value = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def swap_two_heads(model: onnx.ModelProto) -> None:
    """Keys of heads 0 and 1 change places; C = 64 in the P4 blocks of scale n."""
    for name in ("weight", "bias"):
        change_weight(
            model,
            f"model.6.m.0.1.attn.qkv.{name}",
            lambda rows: rows[[*range(64), *range(96, 128), *range(64, 96), *range(128, 192)]],
        )


def drop_the_scale(model: onnx.ModelProto) -> None:
    def restore(rows: np.ndarray) -> np.ndarray:
        rows[:128] *= 32**0.5
        return rows

    for name in ("weight", "bias"):
        change_weight(model, f"model.8.m.0.0.attn.qkv.{name}", restore)


def transpose_k(model: onnx.ModelProto) -> None:
    """Tokens and channels of K are read in the wrong order."""
    transpose = next(n for n in model.graph.node if n.name == "model.8.m.1.0.attn/k_t")
    lanes, tokens, width = 4, 100, 32
    shape = numpy_helper.from_array(np.array([0, lanes, width, tokens]), "wrong_order")
    model.graph.initializer.append(shape)
    reshape = onnx.helper.make_node(
        "Reshape", [transpose.input[0], "wrong_order"], list(transpose.output), name=transpose.name
    )
    transpose.CopyFrom(reshape)


def wrong_letterbox(model: onnx.ModelProto) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == "yolov12edge")
    about = json.loads(entry.value)
    about["input"]["letterbox"] |= {"center": False, "pad_value": 0}
    entry.value = json.dumps(about)


def wrong_anchors(model: onnx.ModelProto) -> None:
    """Anchors at cell corners instead of centres, twice over so that it shows at stride 8 too."""
    change_weight(
        model, "model.21.decode.anchors", lambda rows: rows - np.array([[16], [16], [0], [0]], "f")
    )


BREAKAGES = [
    (swap_two_heads, "the error starts in model.6.m.0.1.attn"),
    (drop_the_scale, "the error starts in model.8.m.0.0.attn"),
    (transpose_k, "the error starts in model.8.m.1.0.attn"),
    (wrong_letterbox, "prepares images differently: pad_value 0 instead of 114"),
    (wrong_anchors, "the error starts in model.21, box decoding"),
]


def verify(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["verify", *arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), " ".join((captured.out + captured.err).split())


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded detector, its export at 320 and a few drawn pictures."""
    folder = tmp_path_factory.mktemp("seeded")
    model = lively_model("n", "v1", num_classes=3)
    save_safetensors(model, folder / "model.safetensors")
    export_onnx(model, folder / "model.onnx", ExportOptions(320, 320))
    for seed in range(3):
        picture = probe_picture(240, 320, seed)[0].transpose(1, 2, 0)[..., ::-1]
        cv2.imwrite(str(folder / f"{seed}.png"), np.round(picture * 255).astype(np.uint8))
    return folder


def test_the_whole_graph_passes(seeded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = verify(
        [
            str(seeded / "model.onnx"),
            *("--weights", str(seeded / "model.safetensors")),
            *("--images", str(seeded)),
        ],
        capsys,
    )
    assert code == 0, text
    assert "PASSED" in text


@pytest.mark.parametrize(("breakage", "where"), BREAKAGES)
def test_a_broken_graph_fails_and_is_located(
    seeded: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    breakage: Breakage,
    where: str,
) -> None:
    model = onnx.load(seeded / "model.onnx")
    breakage(model)
    onnx.save(model, tmp_path / "broken.onnx")
    code, text = verify(
        [
            str(tmp_path / "broken.onnx"),
            *("--weights", str(seeded / "model.safetensors")),
            *("--images", str(seeded)),
        ],
        capsys,
    )
    assert code == 6, text
    assert where in text


@pytest.mark.shared
@pytest.mark.parametrize(("breakage", "where"), BREAKAGES)
def test_a_broken_real_detector_fails_and_is_located(
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    breakage: Breakage,
    where: str,
) -> None:
    weights = shared / "weights/bccd_yolo12n.pt"
    broken = tmp_path / "broken.onnx"
    export_onnx(load_model(weights), broken, ExportOptions(320, 320))
    model = onnx.load(broken)
    breakage(model)
    onnx.save(model, broken)
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((shared / "data/bccd/images/val").iterdir())[:8]:
        (images / path.name).symlink_to(path)
    code, text = verify([str(broken), "--weights", str(weights), "--images", str(images)], capsys)
    assert code == 6, text
    assert where in text
