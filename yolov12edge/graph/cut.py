"""A graph cut off behind one of its tensors, or into blocks that feed each other no longer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from yolov12edge.graph.precisions import MOVES
from yolov12edge.graph.view import GraphView

PART_OUTPUT = "detections"


def needed_for(view: GraphView, tensor: str) -> list[onnx.NodeProto]:
    """The nodes that a tensor depends on, in graph order."""
    found: set[int] = set()
    open_tensors = [tensor]
    while open_tensors:
        node = view.producer(open_tensors.pop())
        if node is not None and id(node) not in found:
            found.add(id(node))
            open_tensors += [name for name in node.input if name]
    return [node for node in view.nodes if id(node) in found]


def cut_after(view: GraphView, tensor: str) -> onnx.ModelProto:
    """The part of a graph that yields a tensor, with that tensor as its one output.

    Args:
        view: of a graph whose shapes are known; it is not changed.
        tensor: (B, C, ...) of any float type. It comes out as (B, C, rest) in float32 under the
            name that runtimes look for, so that a part opens like a whole detector.
    """
    if tensor == PART_OUTPUT:
        return view.model
    nodes = needed_for(view, tensor)
    read = {name for node in nodes for name in node.input}
    shape = view.shape(tensor)
    flat = numpy_helper.from_array(np.array([0, shape[1], -1], np.int64), "part/shape")
    ends = [
        helper.make_node("Cast", [tensor], ["part/float"], "part/cast", to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["part/float", flat.name], [PART_OUTPUT], "part/flat"),
    ]
    entry = view.graph.input[0]
    batch = entry.type.tensor_type.shape.dim[0]
    sides = [batch.dim_param or batch.dim_value, shape[1], math.prod(shape[2:])]
    graph = helper.make_graph(
        [*nodes, *ends],
        view.graph.name,
        [entry],
        [helper.make_tensor_value_info(PART_OUTPUT, TensorProto.FLOAT, sides)],
        [flat, *(one for name, one in view.initializers.items() if name in read)],
    )
    made = {name for node in nodes for name in node.output}
    graph.value_info.extend(one for one in view.graph.value_info if one.name in made)
    part = helper.make_model(
        graph, opset_imports=view.model.opset_import, ir_version=view.model.ir_version
    )
    helper.set_model_props(part, view.metadata)
    return part


@dataclass(frozen=True)
class Blocks:
    """A graph cut into blocks.

    Attributes:
        model: the graph; what was cut is an output of it, and an input for those who read it.
        fed: the further inputs: tensor that was cut to the input that is read in its place.
    """

    model: onnx.ModelProto
    fed: dict[str, str]


def cut_at(view: GraphView, tensors: Sequence[str]) -> Blocks:
    """A graph in which nothing travels past some of its tensors: whoever read them reads inputs.

    Args:
        view: of a graph whose types and shapes are known; it is not changed.
        tensors: of any type. Only float32 is cut, and no INT8 that is restored for its readers:
            runtimes multiply it as INT8, which they could not tell of an input.
    """
    cut = [
        one
        for one in tensors
        if view.uses(one)
        and view.types.get(one) == TensorProto.FLOAT
        and not _is_restored(view, one)
    ]
    fed = {tensor: f"{tensor}/fed" for tensor in cut}
    model = with_outputs(view, tensors)
    declared = {one.name: one for one in (*view.graph.value_info, *view.graph.output)}
    for tensor, name in fed.items():
        entry = model.graph.input.add()
        entry.CopyFrom(declared[tensor])
        entry.name = name
    for node in model.graph.node:
        node.input[:] = [fed.get(name, name) for name in node.input]
    return Blocks(model, fed)


def _is_restored(view: GraphView, tensor: str) -> bool:
    """Whether a tensor comes from DequantizeLinear, and was only moved since."""
    producer = view.producer(tensor)
    if producer is None or producer.op_type == "DequantizeLinear":
        return producer is not None
    entering = [producer.input[index] for index in view.computed_inputs(producer)]
    return producer.op_type in MOVES and all(_is_restored(view, name) for name in entering)


def with_outputs(view: GraphView, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy of a graph that yields other tensors than before; their types have to be known."""
    model = onnx.ModelProto()
    model.CopyFrom(view.model)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, view.types[name], None) for name in tensors
    )
    return model
