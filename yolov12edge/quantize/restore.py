"""The graph that a converted one was made of, for rules that read float graphs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from yolov12edge.graph.view import GraphView

_CONVERSIONS = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})


def without_conversions(view: GraphView) -> GraphView:
    """Take casts and Q/DQ out of a graph, so that every node reads what it read before.

    INT8 weights come back as float constants of their shape; their values are not restored, since
    rules ask for shapes alone.
    """
    model = onnx.ModelProto()
    model.CopyFrom(view.model)
    graph = model.graph
    kept = [node for node in graph.node if node.op_type not in _CONVERSIONS]
    for node in kept:
        for position, name in enumerate(node.input):
            node.input[position] = _source(view, name)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for name in {name for node in kept for name in node.input} & stored.keys():
        tensor = stored[name]
        if tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tensor.dims, np.float32), name))
    del graph.node[:]
    graph.node.extend(kept)
    return GraphView(model)


def _source(view: GraphView, tensor: str) -> str:
    """The tensor behind casts and Q/DQ; as far as it goes in a graph that runs in circles."""
    seen = set[str]()
    while tensor not in seen:
        seen.add(tensor)
        producer = view.producer(tensor)
        if producer is None or producer.op_type not in _CONVERSIONS:
            break
        tensor = producer.input[0]
    return tensor
