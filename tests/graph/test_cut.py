"""A graph cut into blocks computes what it did, each block for itself."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tests.graph.graphs import float_graph, half_graph
from yolov12edge.graph.cut import cut_at, with_outputs
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView

IMAGE = np.random.default_rng(0).standard_normal((4, 6, 6)).astype(np.float32)


def test_fed_with_its_own_values_it_yields_them_again() -> None:
    view, names = GraphView(float_graph()), ["c", "s", "y"]
    before = view.model.SerializeToString()
    whole = Probe(view.model, names, optimize=False)(IMAGE)
    blocks = cut_at(view, names)
    # Nobody reads what comes out last.
    assert list(blocks.fed) == ["c", "s"]
    fed = {name: whole[tensor] for tensor, name in blocks.fed.items()}
    alone = Probe(blocks.model, names, optimize=False)(IMAGE, fed)
    for name in names:
        np.testing.assert_array_equal(alone[name], whole[name])
    assert view.model.SerializeToString() == before


def test_nothing_travels_from_block_to_block() -> None:
    view, names = GraphView(float_graph()), ["c", "s", "y"]
    blocks = cut_at(view, names)
    probe = Probe(blocks.model, names, optimize=False)
    fed = {name: np.zeros((1, 4, 6, 6), np.float32) for name in blocks.fed.values()}
    fed[blocks.fed["s"]] += 3
    found = probe(IMAGE, fed)
    assert np.abs(found["c"]).max() > 0
    assert (found["s"] == 0.5).all()
    assert (found["y"] == 0).all()


def test_half_precision_is_not_cut() -> None:
    blocks = cut_at(GraphView(half_graph()), ["c", "f"])
    assert list(blocks.fed) == ["f"]


def test_other_outputs_in_their_own_types() -> None:
    found = with_outputs(GraphView(half_graph()), ["c", "f"])
    types = [value.type.tensor_type.elem_type for value in found.graph.output]
    assert types == [TensorProto.FLOAT16, TensorProto.FLOAT]
