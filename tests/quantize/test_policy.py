"""Which nodes the rules quantize, on real graphs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest

from tests.models import lively_model
from yolov12edge.errors import UsageError
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.quantize import CPU, DIALECTS, TENSORRT, Dialect, plan_quantization
from yolov12edge.quantize.rules import common


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("policy") / "model.onnx"
    export_onnx(lively_model("n", num_classes=2), path, ExportOptions(64, 64))
    return onnx.load(path)


def kept_by(model: onnx.ModelProto, dialect: Dialect, rule: str) -> set[str]:
    plan = plan_quantization(model, dialect)
    return {node for node, reason in plan.kept.items() if reason.startswith(f"{rule}: ")}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_convolution_and_product_is_int8_or_has_a_reason(
    model: onnx.ModelProto, dialect: Dialect
) -> None:
    plan = plan_quantization(model, dialect)
    weighty = {node.name for node in model.graph.node if node.op_type in ("Conv", "MatMul")}
    assert set(plan.convolutions).isdisjoint(plan.kept)
    assert set(plan.convolutions) | set(plan.kept) == weighty
    rules = {rule.name: rule.why for rule in dialect.keep}
    for reason in plan.kept.values():
        name, _, why = reason.partition(": ")
        assert rules[name] == why


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_what_decides_boxes_and_scores_stays_float(
    model: onnx.ModelProto, dialect: Dialect
) -> None:
    outputs = {f"model.21.{branch}.{level}.2/conv" for branch in ("cv2", "cv3") for level in "012"}
    assert kept_by(model, dialect, "head-outputs") == outputs
    assert len(kept_by(model, dialect, "class-branch")) == 12
    assert len(kept_by(model, dialect, "attention-products")) == 16
    decoding = {node.name for node in model.graph.node if "model.21.decode/" in node.name}
    weighty = {node.name for node in model.graph.node if node.op_type in ("Conv", "MatMul")}
    assert kept_by(model, dialect, "decoding") == decoding & weighty != set()


def test_the_stem_is_the_first_convolutions(model: onnx.ModelProto) -> None:
    first = {"model.0/conv", "model.1/conv", "model.2.cv1/conv"}
    assert kept_by(model, TENSORRT, "stem") == first
    assert not kept_by(model, CPU, "second-convolution") | kept_by(model, CPU, "stem")
    fine = kept_by(model, TENSORRT, "fine-merges")
    assert {"model.2.cv2/conv", "model.4.cv2/conv", "model.14.cv2/conv"} <= fine
    assert not any(name.startswith(("model.6", "model.8", "model.17", "model.20")) for name in fine)


def test_nothing_stands_between_a_convolution_and_its_silu(model: onnx.ModelProto) -> None:
    for dialect in DIALECTS.values():
        tensors = set(plan_quantization(model, dialect).tensors)
        for node in model.graph.node:
            if node.op_type in ("Sigmoid", "Mul") and node.name.startswith("model."):
                assert tensors.isdisjoint(node.input), node.name


def test_tensorrt_quantizes_behind_joins_the_cpu_in_front_of_them(model: onnx.ModelProto) -> None:
    behind, front = plan_quantization(model, TENSORRT), plan_quantization(model, CPU)
    assert "model.17.m.0/concat" in behind.tensors
    assert all(len(group) == 1 for group in behind.groups)
    assert not any(tensor.endswith("/concat") for tensor in front.tensors)
    joined = next(group for group in front.groups if "model.17.m.0.cv2/silu" in group)
    assert set(joined) == {"model.17.m.0.m.1/add", "model.17.m.0.cv2/silu"}


def test_blocks_stay_float_when_asked(model: onnx.ModelProto) -> None:
    plan = plan_quantization(model, TENSORRT, ["model.6", "model.8.m.1"])
    asked = {node for node, reason in plan.kept.items() if reason == "keep-float: asked for"}
    assert "model.6.cv1/conv" in asked
    assert "model.8.m.1.0.attn.qkv/conv" in asked
    assert "model.8.m.0.0.attn.qkv/conv" in plan.convolutions
    assert all(node.startswith(("model.6.", "model.8.m.1.")) for node in asked)
    readers = {name for edges in plan.edges.values() for name, _ in edges}
    assert readers.isdisjoint(asked)


@pytest.mark.parametrize("block", ["model.60", "model.6.cv", "attn", ""])
def test_an_unknown_block_is_refused(model: onnx.ModelProto, block: str) -> None:
    with pytest.raises(UsageError, match="has no block"):
        plan_quantization(model, CPU, [block])


def test_rules_can_be_added(model: onnx.ModelProto) -> None:
    dialect = dataclasses.replace(
        TENSORRT,
        keep=TENSORRT.keep[:-1],
        quantize=(*TENSORRT.quantize, common.ATTENTION_INPUTS, common.RESIDUAL_SUMS),
    )
    plan = plan_quantization(model, dialect)
    reads = {edge for edges in plan.edges.values() for edge in edges}
    assert {("model.6.m.0.0.attn/scores", 0), ("model.6.m.0.0.attn/scores", 1)} <= reads
    assert {("model.4.m.0/add", 0), ("model.4.m.0/add", 1)} <= reads


def test_both_layouts_and_large_scales(tmp_path: Path) -> None:
    for scale, layout in (("n", "v1"), ("l", "turbo")):
        path = tmp_path / f"{scale}.onnx"
        export_onnx(lively_model(scale, layout, 2), path, ExportOptions(64, 64))
        for dialect in DIALECTS.values():
            plan = plan_quantization(onnx.load(path), dialect)
            assert len(plan.convolutions) > 80
