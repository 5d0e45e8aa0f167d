"""report on a run whose builder told what it made of the network."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run
from tests.page.pages import ReadPage
from tests.page.run_folders import drift, run_folder
from yolov12edge.engine.build_log import BuildLog, read_build_log
from yolov12edge.engine.record import new_record

LOGS = Path(__file__).parents[1] / "engine" / "logs"
ENGINE: dict[str, Any] = {
    "file": "engine.plan", "sha256": "5" * 64, "bytes": 4, "backend": "tensorrt_rtx",
    "version": "1.7.1.116", "sm": [86],
}  # fmt: skip


def engine_of(
    log: BuildLog, folder: Path, capsys: pytest.CaptureFixture[str], sha256: str = "5" * 64
) -> tuple[str, bytes]:
    """The engine's section as text, and the whole page."""
    record = new_record("builder log", "tensorrt_rtx", "1.7.1.116", [86], sha256, log)
    documents = {
        "drift.json": drift(),
        "engine.plan": "plan",
        "engine.plan.layers.json": json.dumps(record.model_dump(mode="json")),
    }
    outcome = run(capsys, "report", run_folder(folder, documents, engine=ENGINE), "--json")
    assert outcome.code == 0, outcome.err
    content = (folder / "report.html").read_bytes()
    page = ReadPage(content)
    page.assert_harmless()
    return page.text("engine"), content


def recorded(name: str) -> BuildLog:
    return read_build_log([gzip.decompress((LOGS / f"{name}.txt.gz").read_bytes()).decode()])


def test_what_the_builder_made_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    text, content = engine_of(recorded("n320_fp16_sm86"), tmp_path / "run", capsys)
    assert "attention8 of 8 fused" in text
    assert "173, of which 44 only move" in text
    assert "119 fp16, 1 fp32" in text
    assert "45.6 MB in all" in text
    assert content.count(b"attention: 4 of 4 fused") == 2, "two blocks of the chart are marked"


def test_a_split_attention_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = engine_of(recorded("public_fp16_sm86"), tmp_path / "run", capsys)
    assert "attention0 of 8 fused" in text
    assert "model.6.m.0.m.0.0.attn: softmax and products in 3 kernels" in text


def test_what_was_not_seen_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = engine_of(BuildLog(unread="of another form"), tmp_path / "a", capsys)
    assert "not seen: of another form" in text
    log = recorded("n320_fp16_sm86")
    text, _ = engine_of(log, tmp_path / "b", capsys, sha256="6" * 64)
    assert "is of another plan" in text
    assert "fused" not in text
