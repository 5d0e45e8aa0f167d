"""The manifest: written, read back, and not fooled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.files import sha256_file
from yolov12edge.run import facts
from yolov12edge.run.manifest import Manifest, changed_files, read_manifest

DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "model": {
        "scale": "n", "layout": "v1", "num_classes": 2, "names": ["cat", "dog"],
        "imgsz": [64, 96], "strides": [8, 16, 32], "parameters": 2_600_000,
    },
    "input": {
        "name": "images", "shape": [1, 3, 64, 96], "dtype": "float32", "color": "RGB",
        "scale": 1 / 255, "letterbox": {"pad_value": 114, "center": True, "stride": 32},
    },
    "output": {
        "name": "detections", "shape": [1, 6, 126], "dtype": "float32",
        "layout": "cxcywh+scores",
    },
    "precision": {"name": "fp32", "nodes": {"fp32": 440}, "kept_in_float": {}},
    "calibration": None,
    "target": {"name": "agx-orin", "backend": "tensorrt", "sm": [87], "version": "10.3"},
    "engine": None,
    "reason": "no TensorRT here",
    "parity": {"steps": [], "onnx_box_error": 1e-4, "onnx_score_error": 1e-6},
    "verified": True,
    "files": {},
    "source": {"file": "a.pt", "path": "/a.pt", "sha256": "0", "form": "published",
               "layout": "v1"},
    "tool": {"version": "0.1.0", "libraries": {"torch": "2.13"}},
    "created": "2026-11-22T00:00:00+00:00",
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    (folder / "manifest.json").write_text(json.dumps(DOCUMENT | changes))
    return folder


def test_there_and_back(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path))
    (tmp_path / "copy").mkdir()
    manifest.write(tmp_path / "copy")
    assert read_manifest(tmp_path / "copy") == manifest
    document = json.loads((tmp_path / "copy/manifest.json").read_text())
    for key, value in DOCUMENT.items():
        if isinstance(value, dict):
            assert value.items() <= document[key].items()
        else:
            assert document[key] == value


def test_what_later_versions_add_is_kept(tmp_path: Path) -> None:
    model = DOCUMENT["model"] | {"task": "detect"}
    manifest = read_manifest(written(tmp_path, model=model, invented=[1]))
    assert manifest.model_dump()["invented"] == [1]
    assert manifest.model.model_dump()["task"] == "detect"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"[]", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (json.dumps(DOCUMENT | {"schema_version": 2}).encode(), "schema_version"),
        (json.dumps(DOCUMENT | {"model": None}).encode(), "model"),
        (json.dumps({**DOCUMENT, "files": {"a": 1}}).encode(), "files.a"),
    ],
)
def test_a_damaged_manifest(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_manifest(tmp_path)
    assert "\n" not in caught.value.message


def test_a_manifest_of_any_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(CheckpointError, match="too large"):
        read_manifest(written(tmp_path))


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        read_manifest(tmp_path)


def test_every_file_is_compared(tmp_path: Path) -> None:
    for name in ("model.onnx", "drift.json", "engine.plan"):
        (tmp_path / name).write_text(f"content of {name}")
    files = {path.name: sha256_file(path) for path in tmp_path.iterdir()}
    manifest = Manifest.model_validate(DOCUMENT | {"files": files})
    assert changed_files(tmp_path, manifest) == {}
    (tmp_path / "drift.json").unlink()
    (tmp_path / "engine.plan").write_text("content of engine.plam")
    assert changed_files(tmp_path, manifest) == {
        "drift.json": "missing",
        "engine.plan": "changed",
    }


def test_a_manifest_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = tmp_path / "run"
    folder.mkdir()
    os.symlink(secret, folder / "link")
    files = dict.fromkeys(("../secret", str(secret), "link", "..", "."), sha256_file(secret))
    manifest = Manifest.model_validate(DOCUMENT | {"files": files})
    found = changed_files(folder, manifest)
    assert found.keys() == files.keys()
    assert set(found.values()) == {"outside the folder"}
    assert found["link"] == found["../secret"] == "outside the folder"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(DOCUMENT)), value=json_values)
def test_any_value_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    folder = written(tmp_path_factory.mktemp("manifest"), **{key: value})
    try:
        manifest = read_manifest(folder)
    except CheckpointError:
        return
    assert changed_files(folder, manifest).keys() == manifest.files.keys()
