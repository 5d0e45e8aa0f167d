"""A view tells who makes and who uses a tensor."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.graphs import float_graph, half_graph, quantized_graph
from yolov12edge.errors import ExportError
from yolov12edge.graph import GraphView
from yolov12edge.graph.view import attribute


def test_producers_and_uses() -> None:
    view = GraphView(quantized_graph())
    assert view.producer("x") is None
    assert view.producer("w") is None
    join = view.by_name["join"]
    assert view.producer("j") is join
    assert [(use.node.name, use.position) for use in view.uses("x/r")] == [("join", 0), ("join", 1)]
    assert [use.node.name for use in view.uses("scale")] == ["q", "dq", "wd"]
    assert view.uses("y") == []
    conv = view.by_name["int8_conv"]
    assert view.computed_inputs(conv) == [0, 1]
    assert view.computed_inputs(view.by_name["float_conv"]) == [0]
    assert view.upstream(conv, 0, "MaxPool", "Concat") is view.by_name["dq"]
    assert view.upstream(conv, 0, "MaxPool") is join
    assert attribute(join, "axis", 7) == 1
    assert attribute(join, "absent", 7) == 7


def test_shapes_and_constants() -> None:
    view = GraphView(float_graph())
    assert view.shape("x") == (1, 4, 6, 6)
    np.testing.assert_array_equal(view.constant("w"), view.weight("w"))
    assert view.constant("c") is None
    with pytest.raises(ExportError, match="c is not a constant"):
        view.weight("c")
    with pytest.raises(ExportError, match="no shape is known of w"):
        view.shape("w")


@pytest.mark.parametrize("name", ["", "conv"])
def test_nodes_without_a_name_of_their_own(name: str) -> None:
    model = half_graph()
    model.graph.node[2].name = name
    with pytest.raises(ExportError, match="without a name of their own"):
        _ = GraphView(model).by_name
