"""What is remembered is taken again for the same question only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Outcome, run
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.bench.environment import Cpu
from yolov12edge.pipeline import cache as memory
from yolov12edge.pipeline.export import job as export


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/results"


def test_bytes_come_back_under_their_key_alone() -> None:
    key = memory.key_of(weights="a", images=["b", "c"])
    memory.remember("thing", key, b"content")
    assert memory.recall("thing", key) == b"content"
    assert memory.recall("other", key) is None
    assert memory.recall("thing", memory.key_of(weights="a", images=["c", "b"])) is None


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_entry_counts_as_absent(cache: Path, damage: bytes | None) -> None:
    key = memory.key_of(weights="a")
    memory.remember("thing", key, b"content")
    [entry] = cache.iterdir()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(bytes(content) if damage is None else damage)
    assert memory.recall("thing", key) is None


def test_another_library_or_processor_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {memory.key_of(weights="a")}
    monkeypatch.setattr(memory, "_version", lambda name: "99")
    keys.add(memory.key_of(weights="a"))
    other = Cpu(model="another", cores=1, logical=1, available=1, governor=None)
    monkeypatch.setattr(memory, "read_cpu", lambda: other)
    keys.add(memory.key_of(weights="a"))
    assert len(keys) == 3


@pytest.fixture
def exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    pytest.importorskip("modelopt")
    write_weights(tmp_path / "weights.safetensors")
    images = write_pictures(tmp_path / "images")
    write_data(tmp_path / "data.yaml", images, boxes="0 0.5 0.5 0.4 0.4\n1 0.2 0.3 0.2 0.2\n")
    words = ["--weights", tmp_path / "weights.safetensors", "--imgsz", "64", "--fp16"]
    words += ["--target", "agx-orin", "--calib", tmp_path / "images", "--no-bench"]
    words += ["--data", tmp_path / "data.yaml", "--max-drop", "1", "--out", tmp_path / "run"]
    return lambda *more: run(capsys, "export", *words, *more)


def test_a_second_export_takes_what_the_first_found(
    exported: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("model.fp16.onnx", "drift.json")
    calls: list[str] = []
    for name in ("convert_to_fp16", "verify_artifacts"):
        original = getattr(export, name)

        def counted(*words: object, name: str = name, original=original, **more: object):
            calls.append(name)
            return original(*words, **more)

        monkeypatch.setattr(export, name, counted)
    first = exported()
    kept = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    second = exported()
    assert (first.code, second.code) == (second.code, first.code)
    assert calls == ["convert_to_fp16", "verify_artifacts"]
    assert {name: (tmp_path / "run" / name).read_bytes() for name in names} == kept
    assert "measured before" in second.err
    exported("--fresh")
    assert len(calls) == 4


def test_changed_labels_are_measured_anew(exported: Callable[..., Outcome], tmp_path: Path) -> None:
    exported()
    before = json.loads((tmp_path / "run/drift.json").read_text())
    for label in (tmp_path / "labels").glob("*.txt"):
        label.write_text("0 0.3 0.3 0.2 0.2\n")
    outcome = exported()
    assert "measured before" not in outcome.err
    assert json.loads((tmp_path / "run/drift.json").read_text()) != before
