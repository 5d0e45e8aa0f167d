"""What a build leaves beside the plan, and what is made of it: real TensorRT-RTX builds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Outcome, fails, run
from tests.models import lively_model
from yolov12edge.engine import BuildOptions, build_engine, plan
from yolov12edge.engine.build_log import BuildLog
from yolov12edge.export import AttentionVariant, ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import convert_to_fp16

pytest.importorskip("tensorrt_rtx_bindings")
AMPERE = BuildOptions(compute_capabilities=(86,))
Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """FP16 files of one detector by the layout of its attention; value-left is never fused."""
    pytest.importorskip("modelopt")
    folder = tmp_path_factory.mktemp("graphs")
    variants: Sequence[AttentionVariant] = ("packed", "value-left")
    for variant in variants:
        float32 = folder / f"{variant}.f32.onnx"
        options = ExportOptions(64, 64, variant=variant)
        export_onnx(lively_model("n", num_classes=3), float32, options)
        convert_to_fp16(float32, folder / f"{variant}.onnx", [probe_picture(64, 64)[0]])
    return {variant: folder / f"{variant}.onnx" for variant in variants}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *words: run(capsys, *words)


def record(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "engine.plan.layers.json").read_text())
    return document


def test_a_record_says_which_plan_it_is_of(graphs: dict[str, Path], tmp_path: Path) -> None:
    built = build_engine(graphs["packed"], tmp_path / "engine.plan", "tensorrt_rtx", AMPERE)
    document = record(tmp_path)
    assert document["plan_sha256"] == built.sha256
    assert (document["schema_version"], document["backend"]) == (1, "tensorrt_rtx")
    assert (document["version"], document["sm"]) == (built.version, [86])
    assert (document["seen_in"], document["unread"]) == ("builder log", None)
    assert len(document["Layers"]) > 150
    assert built.fusion.text == "attention: 8 of 8 fused (SM86)"
    assert built.fusion.refusal is None


def test_a_split_attention_is_named_with_what_it_missed(
    graphs: dict[str, Path], tmp_path: Path
) -> None:
    built = build_engine(graphs["value-left"], tmp_path / "engine.plan", "tensorrt_rtx", AMPERE)
    fusion = built.fusion
    assert fusion.text == "attention: 0 of 8 fused (SM86)"
    assert (fusion.verdict, fusion.fused, fusion.blocks) == ("split", 0, 8)
    told = "attention is split: model.6.m.0.0.attn and 7 more, softmax and products in 3 kernels"
    assert fusion.warnings[0].startswith(f"{told}: gemm, kgen ")
    assert len(fusion.warnings) == 1, "a line for each pattern"


def test_a_plan_for_several_architectures_has_the_kernels_of_the_lowest(
    graphs: dict[str, Path], tmp_path: Path
) -> None:
    """The builder tells one list, whatever the order; so the plan has one record."""
    lists = {}
    for sms in ((75,), (89, 75), (89,)):
        plan_path = tmp_path / f"{sms}.plan"
        options = BuildOptions(compute_capabilities=tuple(sorted(sms)))
        built = build_engine(graphs["packed"], plan_path, "tensorrt_rtx", options)
        assert built.record is not None
        assert built.record.sm == sorted(sms)
        # What is unique to a build: numbers in the names of tensors and tactics.
        lists[sms] = [
            (layer["LayerType"], [tensor["Dimensions"] for tensor in layer["Outputs"]])
            for layer in built.record.Layers
        ]
        last = built
    assert lists[89, 75] == lists[75,] != lists[89,]
    assert last.fusion.text == "attention: 8 of 8 fused (SM89)"


def test_without_detail_nothing_is_seen_and_no_old_record_stays(
    graphs: dict[str, Path], tmp_path: Path
) -> None:
    plan_path = tmp_path / "engine.plan"
    build_engine(graphs["packed"], plan_path, "tensorrt_rtx", AMPERE)
    options = BuildOptions(compute_capabilities=(86,), profiling_verbosity="none")
    built = build_engine(graphs["packed"], plan_path, "tensorrt_rtx", options)
    assert [path.name for path in tmp_path.iterdir()] == ["engine.plan"]
    assert built.fusion.text == "attention: not seen: the builder was not asked for details"
    assert built.fusion.refusal is not None
    assert "--profiling-verbosity detailed" in built.fusion.refusal.hint


def test_an_unknown_log_is_said_to_be_unknown(
    graphs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Run
) -> None:
    monkeypatch.setattr(plan, "read_build_log", lambda said: BuildLog(unread="of another form"))
    built = call("build", graphs["packed"], "--target", "rtx-ampere", "--out", tmp_path / "e.plan")
    assert built.code == 0
    assert "attention: not seen: of another form" in built.out
    seen = call("inspect", tmp_path / "e.plan")
    assert seen.code == 0
    assert "not known: not seen: of another form" in " ".join(seen.out.split())
    fails(call("inspect", tmp_path / "e.plan.layers.json"), 4, "not seen: of another form")
    words = ("--target", "rtx-ampere", "--out", tmp_path / "e.plan", "--require-fused")
    fails(call("build", graphs["packed"], *words), 6, "whether attention is fused was not seen")


def test_require_fused_refuses_a_split_attention_and_keeps_the_plan(
    graphs: dict[str, Path], tmp_path: Path, call: Run
) -> None:
    words = ("--target", "rtx-ampere", "--out", tmp_path / "engine.plan", "--require-fused")
    refused = call("build", graphs["value-left"], *words)
    told = "attention is not fused: model.6.m.0.0.attn and 7 more, softmax and products in "
    fails(refused, 6, told)
    assert (tmp_path / "engine.plan").is_file()
    assert record(tmp_path)["unread"] is None
    taken = call("build", graphs["packed"], *words, "--json")
    assert taken.code == 0
    assert taken.document["attention"] == {
        "verdict": "fused",
        "fused": 8,
        "blocks": 8,
        "text": "attention: 8 of 8 fused (SM86)",
        "split": [],
    }


def test_a_dynamic_batch_has_kernels_but_no_bytes(tmp_path: Path, call: Run) -> None:
    pytest.importorskip("modelopt")
    float32, half = tmp_path / "model.onnx", tmp_path / "model.fp16.onnx"
    export_onnx(lively_model("n", num_classes=3), float32, ExportOptions(64, 64, batch=None))
    convert_to_fp16(float32, half, [probe_picture(64, 64)[0]])
    words = ("--target", "rtx-ampere", "--batch", "1:2:4", "--out", tmp_path / "engine.plan")
    assert "attention: 8 of 8 fused (SM86)" in call("build", half, *words).out
    engine = call("inspect", tmp_path / "engine.plan", "--json").document["engine"]
    assert engine["kernels"] > 100
    assert (engine["touched_bytes"], engine["moved_bytes"]) == (None, None)
    text = call("inspect", tmp_path / "engine.plan").out
    assert "4 of 4 fused" in text
    assert "MB touched" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_record_of_another_plan_is_not_used(
    graphs: dict[str, Path], tmp_path: Path, call: Run
) -> None:
    for name in ("packed", "value-left"):
        (tmp_path / name).mkdir()
        build_engine(graphs[name], tmp_path / name / "engine.plan", "tensorrt_rtx", AMPERE)
    shutil.copy(tmp_path / "packed" / "engine.plan.layers.json", tmp_path / "value-left")
    found = call("inspect", tmp_path / "value-left" / "engine.plan", "--json").document
    assert found["engine"] is None
    assert "engine.plan.layers.json is of another plan" in found["engine_reason"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ('{"schema_version": 1, "Layers": []}', "there are no layers"),
        ('{"schema_version": 2, "Layers": [{"Name": "x"}]}', "was written by a later version"),
    ],
)
def test_a_damaged_record_tells_nothing(
    graphs: dict[str, Path], tmp_path: Path, call: Run, text: str, says: str
) -> None:
    build_engine(graphs["packed"], tmp_path / "engine.plan", "tensorrt_rtx", AMPERE)
    (tmp_path / "engine.plan.layers.json").write_text(text)
    found = call("inspect", tmp_path / "engine.plan", "--json")
    assert found.code == 0
    assert found.document["engine"] is None
    assert says in found.document["engine_reason"]


def test_two_plans_are_compared_by_what_they_became(
    graphs: dict[str, Path], tmp_path: Path, call: Run
) -> None:
    for name in ("packed", "value-left"):
        (tmp_path / name).mkdir()
        build_engine(graphs[name], tmp_path / name / "engine.plan", "tensorrt_rtx", AMPERE)
    one, two = (tmp_path / name / "engine.plan" for name in ("packed", "value-left"))
    document = call("inspect", two, "--diff", one, "--json").document
    facts = {row["fact"]: (row["before"], row["after"]) for row in document["differences"]}
    assert facts["attention model.6.m.0.0.attn"] == ("fused", "split")
    assert facts["mha_kernels"] == (8, 0)
    assert facts["touched_bytes"][0] < facts["touched_bytes"][1]
    assert {"kernels", "movers", "moved_bytes"} <= facts.keys()
    text = call("inspect", one).out
    assert "8 of 8 attention blocks" in text
    assert "4 of 4 fused" in text
    assert max(map(len, text.splitlines())) <= 80
