"""Loaded reference checkpoints give the reference implementations' numbers."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from yolov12edge.checkpoints import load_model, read_checkpoint
from yolov12edge.pipeline.inspect.checkpoint import inspect_checkpoint

pytestmark = pytest.mark.shared
SOURCES = ("official_v1", "official_turbo", "ultralytics")


@pytest.mark.parametrize(
    ("source", "size"),
    [*((source, "320x416") for source in SOURCES), ("official_v1", "640x640")],
)
def test_raw_and_decoded_outputs(shared: Path, source: str, size: str) -> None:
    model = load_model(shared / "reference" / f"{source}_n_stripped.pt")
    reference = np.load(shared / "reference" / f"{source}_n_io_{size}.npz")
    x = torch.from_numpy(reference["input_u8"]).float() / 255
    with torch.inference_mode():
        levels, decoded = model.raw(x), model(x)
    for level, name in zip(levels, ("raw_p3", "raw_p4", "raw_p5"), strict=True):
        assert np.abs(level.numpy() - reference[name]).max() < 1e-4
    error = np.abs(decoded.numpy() - reference["decoded"])
    assert error[:, :4].max() < 2e-3
    assert error[:, 4:].max() < 1e-5


@pytest.mark.parametrize(
    ("source", "layout", "parameters"),
    [
        ("official_v1", "v1", 2_602_288),
        ("official_turbo", "turbo", 2_553_904),
        ("ultralytics", "v1", 2_602_288),
    ],
)
def test_what_the_reference_files_are(
    shared: Path, source: str, layout: str, parameters: int
) -> None:
    path = shared / "reference" / f"{source}_n_stripped.pt"
    checkpoint, found = read_checkpoint(path), inspect_checkpoint(path)
    assert found.form == "published"
    assert (found.scale, found.layout, found.num_classes) == ("n", layout, 80)
    assert found.parameters == parameters
    assert found.names is not None
    assert found.names[:2] == ["person", "bicycle"]
    lines = (shared / "reference/keys" / f"keys_{source}_n.tsv").read_text().splitlines()
    listed = {}
    for name, shape, _ in (line.split("\t") for line in lines):
        if not name.endswith("pe.conv.bias"):
            listed[name] = ast.literal_eval(shape)
    assert {n: tuple(t.shape) for n, t in checkpoint.state.items()} == listed


def test_fine_tuned_detector(shared: Path) -> None:
    checkpoint = read_checkpoint(shared / "weights/bccd_yolo12n.pt")
    assert checkpoint.names == ("RBC", "WBC", "Platelets")
    assert checkpoint.image_size == 320
    assert checkpoint.architecture.layout == "v1"
    assert checkpoint.architecture.num_classes == 3
    # Its head keeps the width of the 80 classes it started from.
    assert checkpoint.architecture.class_width == 80
    assert load_model(shared / "weights/bccd_yolo12n.pt").names == checkpoint.names
