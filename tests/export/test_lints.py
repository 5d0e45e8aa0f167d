"""Each lint finds its own kind of damage in an otherwise clean graph, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models import lively_model
from yolov12edge.export import lint_graph
from yolov12edge.export.emit import emit_model
from yolov12edge.export.lints import LINTS
from yolov12edge.export.metadata import describe_artifact, metadata_props
from yolov12edge.export.rewrite import rewrite

Damage = Callable[[onnx.ModelProto], None]
TENTH, INT8_ZERO = np.float32(0.1), np.int8(0)


@pytest.fixture(scope="module")
def clean() -> onnx.ModelProto:
    detector = lively_model("n", num_classes=2)
    model, _ = rewrite(detector)
    return emit_model(
        model, 64, 64, metadata=metadata_props(*describe_artifact(detector, 64, 64, 1))
    )


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def add_dead_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["images"], ["unused"], name="dead"))


def add_unused_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "unread"))


def add_foldable_node(model: onnx.ModelProto) -> None:
    conv = node(model, "model.0/conv")
    model.graph.node.insert(0, helper.make_node("Neg", [conv.input[2]], ["negative"], name="neg"))
    conv.input[2] = "negative"


def add_identity(model: onnx.ModelProto) -> None:
    conv = node(model, "model.0/conv")
    model.graph.node.insert(0, helper.make_node("Identity", ["images"], ["same"], name="id"))
    conv.input[0] = "same"


def add_shape(model: onnx.ModelProto) -> None:
    reshape = node(model, "model.21.decode/bins")
    model.graph.node.insert(0, helper.make_node("Shape", ["images"], ["shape"], name="shape"))
    reshape.input[1] = "shape"


def rename_output(model: onnx.ModelProto) -> None:
    node(model, "model.21.decode/detections").output[0] = "output0"
    model.graph.output[0].name = "output0"


def halve_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def drop_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def garble_metadata(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "{"


def quantize_at_opset_12(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12
    conv = node(model, "model.0/conv")
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(0.1), "scale"),
            numpy_helper.from_array(np.int8(0), "zero"),
        ]
    )
    quantize = helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["q"], name="q")
    restore = helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], name="dq")
    model.graph.node.insert(0, restore)
    model.graph.node.insert(0, quantize)
    conv.input[0] = "dq"


def add_pair(
    model: onnx.ModelProto,
    scale: np.generic = TENTH,
    zero: np.generic = INT8_ZERO,
    restored_scale: np.generic | None = None,
) -> onnx.NodeProto:
    """Q/DQ in front of model.1, where the graph has none; returns the DequantizeLinear."""
    conv = node(model, "model.1/conv")
    second = scale if restored_scale is None else restored_scale
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (("scale", scale), ("second_scale", second), ("zero", zero))
    )
    position = list(model.graph.node).index(conv)
    restore = helper.make_node(
        "DequantizeLinear", ["q", "second_scale", "zero"], ["restored"], name="restore"
    )
    take = helper.make_node("QuantizeLinear", [conv.input[0], "scale", "zero"], ["q"], name="take")
    model.graph.node.insert(position, restore)
    model.graph.node.insert(position, take)
    conv.input[0] = "restored"
    return restore


def quantize_bias(model: onnx.ModelProto) -> None:
    conv = node(model, "model.1/conv")
    count = 32
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.ones(count, np.int32), "bias_q"),
            numpy_helper.from_array(np.ones(count, np.float32), "bias_scale"),
        ]
    )
    restore = helper.make_node(
        "DequantizeLinear", ["bias_q", "bias_scale"], ["bias"], name="bias_restore", axis=0
    )
    model.graph.node.insert(0, restore)
    conv.input[2] = "bias"


def shift_zero_point(model: onnx.ModelProto) -> None:
    add_pair(model, zero=np.int8(3))


def unsigned_values(model: onnx.ModelProto) -> None:
    add_pair(model, zero=np.uint8(0))


def lone_quantize(model: onnx.ModelProto) -> None:
    restore = add_pair(model)
    node(model, "model.1/conv").input[0] = node(model, "take").input[0]
    model.graph.node.remove(restore)


def pair_of_two_scales(model: onnx.ModelProto) -> None:
    add_pair(model, restored_scale=np.float32(0.2))


def zero_scale(model: onnx.ModelProto) -> None:
    add_pair(model, scale=np.float32(0))


def denormal_scale(model: onnx.ModelProto) -> None:
    add_pair(model, scale=np.float16(1e-6))


def infinite_scale(model: onnx.ModelProto) -> None:
    add_pair(model, scale=np.float32(np.inf))


def kill_quantized_channel(model: onnx.ModelProto) -> None:
    values = np.ones(weight_shape(model), np.int8)
    values[4] = 0
    quantize_weight(model, values)


def overflow_16_bits(model: onnx.ModelProto) -> None:
    add_pair(model, zero=np.uint8(7))
    values = np.ones(weight_shape(model), np.int8)
    values[3, 2:4] = -65
    quantize_weight(model, values)


def weight_shape(model: onnx.ModelProto) -> tuple[int, ...]:
    weight = node(model, "model.1/conv").input[1]
    return tuple(next(t for t in model.graph.initializer if t.name == weight).dims)


def quantize_weight(model: onnx.ModelProto, values: np.ndarray) -> None:
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(values, "w_q"),
            numpy_helper.from_array(np.ones(len(values), np.float32), "w_scale"),
        ]
    )
    restore = helper.make_node("DequantizeLinear", ["w_q", "w_scale"], ["w"], name="w", axis=0)
    model.graph.node.insert(0, restore)
    node(model, "model.1/conv").input[1] = "w"


def scale_after_product(model: onnx.ModelProto) -> None:
    softmax = node(model, "model.6.m.0.0.attn/weights")
    model.graph.initializer.append(numpy_helper.from_array(np.float32([0.5]), "half"))
    scale = helper.make_node("Mul", [softmax.input[0], "half"], ["scaled"], name="late_scale")
    model.graph.node.insert(list(model.graph.node).index(softmax), scale)
    softmax.input[0] = "scaled"


def value_on_the_left(model: onnx.ModelProto) -> None:
    product = node(model, "model.8.m.0.0.attn/mixed")
    product.input[0], product.input[1] = product.input[1], product.input[0]


def spell_out_softmax(model: onnx.ModelProto) -> None:
    softmax = node(model, "model.8.m.0.0.attn/weights")
    position = list(model.graph.node).index(softmax)
    model.graph.initializer.append(numpy_helper.from_array(np.int64([-1]), "last"))
    written = [
        helper.make_node("Exp", [softmax.input[0]], ["powers"], name="exp"),
        helper.make_node("ReduceSum", ["powers", "last"], ["sum"], name="sum", keepdims=1),
        helper.make_node("Div", ["powers", "sum"], [softmax.output[0]], name="divide"),
    ]
    model.graph.node.remove(softmax)
    for offset, extra in enumerate(written):
        model.graph.node.insert(position + offset, extra)


def replace_weight(model: onnx.ModelProto, change: Callable[[np.ndarray], None]) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "model.4.cv1.weight")
    weight = numpy_helper.to_array(tensor).copy()
    change(weight)
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))


def poison_weight(model: onnx.ModelProto) -> None:
    replace_weight(model, lambda weight: weight.__setitem__((0, 0), np.inf))


def kill_channel(model: onnx.ModelProto) -> None:
    replace_weight(model, lambda weight: weight.__setitem__(3, 0))


@pytest.mark.parametrize(
    ("lint", "damage", "named"),
    [
        ("dead-nodes", add_dead_node, "dead"),
        ("unused-constants", add_unused_constant, "unread"),
        ("foldable-nodes", add_foldable_node, "neg"),
        ("identities", add_identity, "id"),
        ("shape-arithmetic", add_shape, "shape"),
        ("inputs-outputs", rename_output, "output0"),
        ("inputs-outputs", halve_input, "not float32"),
        ("metadata", drop_metadata, "letterbox"),
        ("metadata", garble_metadata, "no JSON"),
        ("quantization-opset", quantize_at_opset_12, "opset 13"),
        ("quantized-bias", quantize_bias, "bias_restore"),
        ("zero-points", shift_zero_point, "zero point 3"),
        ("zero-points", unsigned_values, "uint8"),
        ("unmatched-pairs", lone_quantize, "take"),
        ("unmatched-pairs", pair_of_two_scales, "another scale"),
        ("scale-values", zero_scale, "scale 0"),
        ("scale-values", denormal_scale, "smallest normal"),
        ("scale-values", infinite_scale, "not finite"),
        ("attention-scale", scale_after_product, "model.6.m.0.0.attn/weights"),
        ("attention-value", value_on_the_left, "model.8.m.0.0.attn/mixed"),
        ("softmax", spell_out_softmax, "divide"),
        ("non-finite-weights", poison_weight, "model.4.cv1.weight"),
        ("dead-channels", kill_channel, "1 of 64"),
        ("dead-channels", kill_quantized_channel, "1 of 32"),
        ("saturating-products", overflow_16_bits, "in 1 of 1 convolutions"),
    ],
)
def test_a_lint_finds_its_damage(
    clean: onnx.ModelProto, lint: str, damage: Damage, named: str
) -> None:
    assert lint_graph(clean, for_builder=True) == []
    broken = onnx.ModelProto()
    broken.CopyFrom(clean)
    damage(broken)
    found = [finding for finding in lint_graph(broken, for_builder=True) if finding.lint == lint]
    assert found, f"{lint} missed it"
    assert named in found[0].message


def test_every_lint_has_a_case() -> None:
    mark = next(m for m in test_a_lint_finds_its_damage.pytestmark if m.name == "parametrize")
    # What holds for some versions of TensorRT alone is tested with the forms that avoid it.
    assert {case[0] for case in mark.args[1]} == {
        name for name, lint in LINTS.items() if not lint.affected
    }
