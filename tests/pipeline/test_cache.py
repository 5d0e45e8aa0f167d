"""What is remembered is taken again for the same question only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Outcome, run
from tests.samples import write_data, write_pictures, write_weights
from yolov12edge.bench.environment import Cpu
from yolov12edge.pipeline import cache
from yolov12edge.pipeline.stages import fp16, verify


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/results"


def test_bytes_come_back_under_their_key_alone() -> None:
    key = cache.key_of(weights="a", images=["b", "c"])
    cache.remember("thing", key, b"content")
    assert cache.recall("thing", key) == b"content"
    assert cache.recall("other", key) is None
    assert cache.recall("thing", cache.key_of(weights="a", images=["c", "b"])) is None


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_entry_counts_as_absent(entries: Path, damage: bytes | None) -> None:
    key = cache.key_of(weights="a")
    cache.remember("thing", key, b"content")
    [entry] = entries.iterdir()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(bytes(content) if damage is None else damage)
    assert cache.recall("thing", key) is None


def test_another_library_or_processor_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {cache.key_of(weights="a")}
    monkeypatch.setattr(cache, "_version", lambda name: "99")
    keys.add(cache.key_of(weights="a"))
    other = Cpu(model="another", cores=1, logical=1, available=1, governor=None)
    monkeypatch.setattr(cache, "read_cpu", lambda: other)
    keys.add(cache.key_of(weights="a"))
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
    for module, name in ((fp16, "convert_to_fp16"), (verify, "verify_artifacts")):
        original = getattr(module, name)

        def counted(*words: object, name: str = name, original=original, **more: object):
            calls.append(name)
            return original(*words, **more)

        monkeypatch.setattr(module, name, counted)
    first = exported()
    kept = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    second = exported()
    assert (first.code, second.code) == (0, 0), first.err + second.err
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
