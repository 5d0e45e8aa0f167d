"""One answer to "which precision is this?", for graphs made by hand and against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.graph.graphs import float_graph, half_graph, integer_graph, quantized_graph
from yolov12edge.graph import GraphView
from yolov12edge.graph.precisions import (
    count_precisions,
    is_quantized,
    lowest_first,
    lowest_precision,
    main_precision,
    node_precisions,
    result_precision,
    uses_half,
)

Make = Callable[[], onnx.ModelProto]
NODES: dict[Make, dict[str, str]] = {
    float_graph: {"conv": "fp32", "sigmoid": "fp32", "silu": "fp32"},
    half_graph: {"conv": "fp16", "sigmoid": "fp16", "square": "fp32"},
    quantized_graph: {
        "join": "int8", "pool": "int8", "int8_conv": "int8", "sigmoid": "fp32",
        "float_conv": "fp32",
    },
    integer_graph: {"shape": "integer", "twice": "integer"},
}  # fmt: skip


@pytest.mark.parametrize("make", NODES)
def test_every_node_has_its_precision(make: Make) -> None:
    view = GraphView(make())
    assert {node.name: kind for node, kind in node_precisions(view)} == NODES[make]
    counts = count_precisions(view)
    assert counts == {kind: list(NODES[make].values()).count(kind) for kind in counts}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


@pytest.mark.parametrize(
    ("make", "half", "quantized", "lowest", "main"),
    [
        (float_graph, False, False, "fp32", "fp32"),
        (half_graph, True, False, "fp16", "fp16"),
        (quantized_graph, False, True, "int8", "int8"),
        (integer_graph, False, False, "fp32", "integer"),
    ],
)
def test_of_a_whole_graph(make: Make, half: bool, quantized: bool, lowest: str, main: str) -> None:
    view = GraphView(make())
    assert (uses_half(view), is_quantized(view)) == (half, quantized)
    assert (lowest_precision(view), main_precision(view)) == (lowest, main)


def test_a_graph_that_tells_no_types() -> None:
    """The cheap questions need none; a node whose type is not declared is unknown."""
    model = half_graph()
    del model.graph.value_info[:]
    view = GraphView(model)
    assert uses_half(view)
    assert lowest_precision(view) == "fp16"
    assert count_precisions(view) == {"unknown": 2, "fp32": 1}


@pytest.mark.parametrize("where", ["input", "constant node", "cast"])
def test_half_without_a_half_constant(where: str) -> None:
    model = float_graph()
    if where == "input":
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    elif where == "cast":
        cast = helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT16)
        model.graph.node.append(cast)
    else:
        value = helper.make_tensor("value", TensorProto.FLOAT16, [1], [0.5])
        model.graph.node.append(helper.make_node("Constant", [], ["z"], value=value))
    assert uses_half(GraphView(model))


def test_manifests_list_the_lowest_first() -> None:
    assert list(lowest_first({"fp32": 3, "integer": 1, "int8": 1})) == ["int8", "fp32"]


@pytest.mark.parametrize("make", [float_graph, half_graph, quantized_graph])
def test_onnxruntime_sees_the_same_types(make: Make) -> None:
    """The types that ONNX Runtime gives to all tensors, read as graph outputs."""
    model = make()
    view = GraphView(model)
    told = {name: result_precision(view, node) for node in view.nodes for name in node.output}
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in told)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = {"tensor(float)": "fp32", "tensor(float16)": "fp16", "tensor(int8)": "integer"}
    seen = {output.name: names[output.type] for output in session.get_outputs()}
    assert seen == told
