"""What is written down about a plan, and that opening it agrees."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run
from tests.samples import write_pictures, write_weights
from yolov12edge.engine import BatchRange
from yolov12edge.errors import CheckpointError
from yolov12edge.pipeline.stages.build import override, recipe_options
from yolov12edge.run.manifest import changed_files, read_manifest
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime.plan_origin import examine_plan

pytest.importorskip("tensorrt_rtx_bindings")


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run folder of an RTX target whose engine is still to be built."""
    weights = write_weights(tmp_path / "weights.safetensors")
    pictures = write_pictures(tmp_path / "images")
    outcome = run(
        capsys, "export", "--weights", weights, "--imgsz", "64", "--fp32", "--calib", pictures,
        "--target", "rtx-ada", "--no-bench", "--no-verify", "--no-build", "--out", tmp_path / "run",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def build(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    outcome = run(capsys, "build", *words, "--target", "rtx-ada", "--json")
    assert outcome.code == 0, outcome.err
    return outcome.document


def test_a_build_in_a_run_folder_brings_its_manifest_up_to_date(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_manifest(folder).engine is None
    assert (folder / "golden.npz").is_file()
    for level in (3, 1):
        document = build(capsys, folder / "model.onnx", "--level", level)
        manifest = read_manifest(folder)
        assert document["described_by"] == str(folder / "manifest.json")
        assert manifest.engine is not None
        assert manifest.engine.model_dump() == document["engine"]
        assert document["engine"]["optimization_level"] == level
        assert manifest.reason is None
        assert changed_files(folder, manifest) == {}
        assert {"engine.plan", "engine.plan.layers.json"} <= manifest.files.keys()
        plan = examine_plan(folder / "engine.plan", "tensorrt_rtx")
        assert plan.notes == ()
        assert plan.origin.compute_capabilities == (89,)
    assert not (folder / "engine.plan.json").exists()


def test_a_build_that_tells_nothing_leaves_no_old_record(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(capsys, folder / "model.onnx")
    assert build(capsys, folder / "model.onnx", "--profiling-verbosity", "none")
    manifest = read_manifest(folder)
    assert "engine.plan.layers.json" not in manifest.files
    assert not (folder / "engine.plan.layers.json").exists()
    assert changed_files(folder, manifest) == {}


def test_run_folders_are_compared_by_their_engines_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "other")
    build(capsys, folder / "model.onnx")
    outcome = run(capsys, "inspect", folder, "--diff", tmp_path / "other", "--json")
    facts = {row["fact"]: (row["before"], row["after"]) for row in outcome.document["differences"]}
    assert facts["kernels"][0] is None
    assert facts["kernels"][1] > 100
    shown = run(capsys, "inspect", folder)
    assert "told by the builder log, engine.plan.layers.json" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80 + len(str(folder))


def test_a_plan_elsewhere_gets_a_sidecar(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "other.plan"
    document = build(capsys, folder / "model.onnx", "--out", plan)
    sidecar = json.loads((tmp_path / "other.plan.json").read_text())
    assert sidecar["engine"] == document["engine"]
    assert sidecar["onnx"]["file"] == "model.onnx"
    assert read_manifest(folder).engine is None
    assert examine_plan(plan, "tensorrt_rtx").notes == ()
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"its other\.plan\.json describes: the SHA-256"):
        examine_plan(plan, "tensorrt_rtx")


def test_a_recipe_says_what_its_builder_is_told(tmp_path: Path) -> None:
    options = recipe_options(load_recipe("orin-nano"))
    assert options.workspace == 1 << 30
    assert options.timing_cache is not None
    assert options.compute_capabilities == (87,)
    rtx = recipe_options(load_recipe("rtx-ada"), BatchRange(1, 2, 4))
    assert rtx.timing_cache is None
    assert str(rtx.batch) == "1:2:4"
    changed = override(options, workspace=5, optimization_level=None, dla_core=0)
    assert (changed.workspace, changed.optimization_level, changed.dla_core) == (5, None, 0)
