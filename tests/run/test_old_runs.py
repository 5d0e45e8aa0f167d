"""A run folder that version 0.1.0 wrote is opened by everything that takes run folders.

`old/run-0.1.0.tar.xz` is the folder of `yolov12edge export --fp16 --imgsz 64 --target rtx-ampere`
as commit b8244fc wrote it; the weights repeat short patterns, so that it packs small.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import run
from tests.samples import write_pictures
from yolov12edge.run.folder import main_artifact
from yolov12edge.run.manifest import changed_files, read_manifest
from yolov12edge.runtime import open_artifact
from yolov12edge.runtime.golden import read_golden
from yolov12edge.runtime.golden_checks import check_outputs

OLD = Path(__file__).parent / "old" / "run-0.1.0.tar.xz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path / "run", filter="data")
    return tmp_path / "run"


def within(old: Any, new: Any) -> bool:
    """Whether everything in one document is in the other too, which may hold more keys."""
    if isinstance(old, dict):
        return old.keys() <= new.keys() and all(within(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return len(old) == len(new) and all(map(within, old, new))
    return bool(old == new)


def test_the_manifest_is_read_and_keeps_what_it_says(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert changed_files(folder, manifest) == {}
    assert manifest.tool.version == "0.1.0"
    before = json.loads((folder / "manifest.json").read_text())
    manifest.write(folder)
    after = json.loads((folder / "manifest.json").read_text())
    assert within(before, after)
    assert not within(after | {"created": ""}, before)


def test_its_artifacts_still_find_what_its_golden_inputs_hold(folder: Path) -> None:
    golden = read_golden(folder / "golden.npz")
    artifact = open_artifact(main_artifact(folder), "onnxruntime")
    found = artifact.runner(np.divide(golden.images, 255, dtype=np.float32))
    check_outputs(main_artifact(folder), found, golden)
    assert artifact.names == ("cat", "dog")


def test_commands_take_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspected = run(capsys, "inspect", folder, "--json")
    assert inspected.code == 0, inspected.err
    assert {file["state"] for file in inspected.document["files"]} == {"ok"}
    assert run(capsys, "inspect", folder / "engine.plan").code == 0
    assert run(capsys, "inspect", folder / "model.fp16.onnx").code == 0
    reported = run(capsys, "report", folder)
    assert reported.code == 0, reported.err
    assert "model.fp16.onnx" in (folder / "report.html").read_text()
    bundled = run(capsys, "bundle", folder, "--out", tmp_path / "bundle")
    assert bundled.code == 0, bundled.err
    assert (tmp_path / "bundle/model/engine.plan").is_file()
    images = write_pictures(tmp_path / "images", 2)
    predicted = run(
        capsys,
        "predict",
        images,
        "--artifact",
        main_artifact(folder),
        "--out",
        tmp_path / "predictions",
    )
    assert predicted.code == 0, predicted.err
