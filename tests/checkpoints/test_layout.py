"""Telling one YOLOv12 from another, and from everything else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.checkpoints.crafting import random_detector
from yolov12edge.checkpoints import read_checkpoint
from yolov12edge.checkpoints.layout import check_complete, find_architecture
from yolov12edge.errors import CheckpointError
from yolov12edge.model import LAYOUTS, SCALES, Detector, published_architecture
from yolov12edge.model.scales import Architecture


def shapes_of(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = Detector(architecture).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def save(state: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "state.safetensors"
    save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    return path


@pytest.mark.shared
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("source", ["official_v1", "official_turbo", "ultralytics"])
def test_published_key_lists(shared: Path, source: str, scale: str) -> None:
    lines = (shared / "reference/keys" / f"keys_{source}_{scale}.tsv").read_text().splitlines()
    shapes = {
        name: ast.literal_eval(shape) for name, shape, _ in (line.split("\t") for line in lines)
    }
    canonical = {n: s for n, s in shapes.items() if not n.endswith("pe.conv.bias")}
    architecture = find_architecture(canonical)
    layout = "turbo" if source == "official_turbo" else "v1"
    assert architecture == published_architecture(scale, layout, 80)
    assert check_complete(canonical, architecture) == list(canonical)


@pytest.mark.parametrize("num_classes", [1, 20, 80, 365])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_number_of_classes(scale: str, layout: str, num_classes: int) -> None:
    architecture = published_architecture(scale, layout, num_classes)
    shapes = shapes_of(architecture)
    assert find_architecture(shapes) == architecture
    check_complete(shapes, architecture)


@pytest.mark.parametrize(
    "changes",
    [
        {"pe_kernel": 3},
        {"stem_groups": (1, 2)},
        {"mlp_ratio": 1.2},
        {"class_width": 80},
        {"pe_kernel": 7, "mlp_ratio": 3.0, "stem_groups": (1, 1)},
    ],
)
def test_unpublished_variants_are_read_from_the_shapes(changes: dict[str, object]) -> None:
    published = published_architecture("l", "turbo", 5)
    variant = Architecture(**{**vars(published), **changes})  # type: ignore[arg-type]
    shapes = shapes_of(variant)
    found = find_architecture(shapes)
    assert check_complete(shapes, found)
    assert (found.pe_kernel, found.stem_groups) == (variant.pe_kernel, variant.stem_groups)
    assert found.class_width == variant.class_width
    assert found.mlp_width(256) == variant.mlp_width(256)


@pytest.mark.shared
def test_partial_file_says_what_it_holds_and_lacks(shared: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(shared / "weights/yolo12n_partial.safetensors")
    assert "not a whole YOLOv12-n (v1)" in caught.value.message
    assert "382 of 578 tensors" in caught.value.message
    assert "layers 1, 4, 5, 6, 18, 20, 21" in caught.value.message


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("model.21.proto.cv1.conv.weight", "segmentation"),
        ("model.21.cv4.0.0.conv.weight", "pose, mask or oriented-box"),
        ("model.21.one2one_cv2.0.0.conv.weight", "NMS-free head"),
        ("model.21.something.weight", "1 tensors that no YOLOv12-n"),
    ],
)
def test_relatives_are_named(tmp_path: Path, extra: str, what: str) -> None:
    state = random_detector("n", "v1", 2).state_dict() | {extra: torch.zeros(1)}
    with pytest.raises(CheckpointError, match=what):
        read_checkpoint(save(state, tmp_path))


def test_yolo11_is_named(tmp_path: Path) -> None:
    state = {
        "model.0.conv.weight": torch.zeros(16, 3, 3, 3),
        "model.9.cv1.conv.weight": torch.zeros(8, 8, 1, 1),
        "model.10.m.0.attn.qkv.conv.weight": torch.zeros(8, 8, 1, 1),
    }
    with pytest.raises(CheckpointError, match="a YOLO11, not a YOLOv12"):
        read_checkpoint(save(state, tmp_path))


@pytest.mark.parametrize(
    "state",
    [
        {"fc.weight": torch.zeros(3, 3)},
        {"model.0.conv.weight": torch.zeros(())},
        {"model.0.conv.weight": torch.zeros(16, 3, 3, 3)},
        {"model.0.conv.weight": torch.zeros(48, 3, 3, 3)},
    ],
)
def test_foreign_state_dicts(tmp_path: Path, state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="is no YOLOv12"):
        read_checkpoint(save(state, tmp_path))


def test_wrong_shape_names_the_tensor(tmp_path: Path) -> None:
    state = random_detector("n", "v1", 2).state_dict()
    state["model.17.cv2.bn.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"'model.17.cv2.bn.weight' has shape \(3,\)"):
        read_checkpoint(save(state, tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    state = random_detector("n", "v1", 2).state_dict()
    state["model.4.cv1.conv.weight"][3, 1] = value
    with pytest.raises(CheckpointError, match=r"'model.4.cv1.conv.weight' has 1 NaN or infinite"):
        read_checkpoint(save(state, tmp_path))


def test_negative_variance_is_refused(tmp_path: Path) -> None:
    state = random_detector("n", "v1", 2).state_dict()
    state["model.4.cv1.bn.running_var"][0] = -1
    with pytest.raises(CheckpointError, match="negative variances"):
        read_checkpoint(save(state, tmp_path))


def test_changed_box_bins_are_refused(tmp_path: Path) -> None:
    state = random_detector("n", "v1", 2).state_dict()
    state["model.21.dfl.conv.weight"] = state["model.21.dfl.conv.weight"].flip(1)
    with pytest.raises(CheckpointError, match=r"not 0\.\.15"):
        read_checkpoint(save(state, tmp_path))


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    state = random_detector("n", "v1", 2).state_dict()
    state["model.4.cv1.conv.weight"] = state["model.4.cv1.conv.weight"].to(torch.int8)
    with pytest.raises(CheckpointError, match="is int8"):
        read_checkpoint(save(state, tmp_path))
