"""What a runtime takes from manifests and sidecars, whole or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yolov12edge.run import facts as module
from yolov12edge.run.facts import EngineFacts, ModelFacts, engine_facts, model_facts, read_document

MODEL: dict[str, Any] = {
    "model": {"names": ["cat", "dog"], "imgsz": [64, 96]},
    "input": {"letterbox": {"pad_value": 114, "center": True}},
}
ENGINE: dict[str, Any] = {
    "file": "engine.plan",
    "sha256": "a" * 64,
    "version": "10.3",
    "sm": [87],
    "platform": "linux-aarch64",
    "hardware_compatibility": "ampere_plus",
    "version_compatible": True,
    "dla": {"core": 1, "coverage": 0.9},
}


def written(folder: Path, document: object, name: str = "manifest.json") -> Path:
    path = folder / name
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def test_what_a_model_says(tmp_path: Path) -> None:
    written(tmp_path, MODEL | {"of a later version": 1})
    assert model_facts(tmp_path) == ModelFacts(("cat", "dog"), (64, 96), 114, True)


def test_a_folder_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_facts(tmp_path) is None
    (tmp_path / "manifest.json").mkdir()
    assert model_facts(tmp_path) is None
    (tmp_path / "manifest.json").rmdir()
    written(tmp_path, MODEL | {"engine": ENGINE})
    monkeypatch.setattr(module, "MAX_MANIFEST_BYTES", 20)
    assert model_facts(tmp_path) is None
    assert engine_facts(tmp_path / "engine.plan") is None


def test_a_name_in_another_encoding_harms_only_itself(tmp_path: Path) -> None:
    text = json.dumps(MODEL | {"engine": ENGINE}).replace("cat", "caf\xe9")
    path = written(tmp_path, text.encode("latin-1"))
    with pytest.raises(ValueError, match="decode"):
        read_document(path)
    found = model_facts(tmp_path)
    assert found is not None
    assert found.names == ("caf\ufffd", "dog")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_document(tmp_path: Path, content: bytes) -> None:
    written(tmp_path, content)
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence is the caller's
        model_facts(tmp_path)
    assert engine_facts(tmp_path / "engine.plan") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model": None},
        {"model": {"imgsz": [64]}},
        {"model": {"imgsz": [0, 64]}},
        {"model": {"imgsz": [64, 1 << 16]}},
        {"model": {"imgsz": [64, 64], "names": 1}},
        {"input": {}},
        {"input": {"letterbox": {"pad_value": 256, "center": True}}},
        {"input": {"letterbox": {"pad_value": 114}}},
    ],
)
def test_a_model_that_is_not_described(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not the description|out of range|unpack"):
        ModelFacts.parse(MODEL | changes)


def test_what_is_said_of_an_engine(tmp_path: Path) -> None:
    manifest = written(tmp_path, {"engine": ENGINE})
    plan = tmp_path / "engine.plan"
    assert engine_facts(plan) == EngineFacts(
        manifest, "a" * 64, "10.3", (87,), "ampere_plus", True, "linux-aarch64", 1
    )
    assert engine_facts(tmp_path / "other.plan") is None
    sidecar = written(tmp_path, {"engine": {"file": plan.name}}, "engine.plan.json")
    assert engine_facts(plan) == EngineFacts(sidecar, None, None, (), "none", False, None, None)
    written(tmp_path, b"{", sidecar.name)
    found = engine_facts(plan)
    assert found is not None
    assert found.document == manifest


def test_what_is_odd_about_an_engine_is_passed_over(tmp_path: Path) -> None:
    odd = {"version": 10, "sm": "87", "platform": [], "version_compatible": "yes", "dla": 1}
    manifest = written(tmp_path, {"engine": ENGINE | odd | {"hardware_compatibility": None}})
    assert engine_facts(tmp_path / "engine.plan") == EngineFacts(
        manifest, "a" * 64, None, (), "none", False, None, None
    )
