"""What evening out changed in a graph, so that it can be done again without the images.

A list of products in front of convolutions and the constants that are new or different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from yolov12edge.checkpoints.text import printable
from yolov12edge.errors import CheckpointError
from yolov12edge.graph.builder import checked
from yolov12edge.graph.view import GraphView

_HINT = "train --qat anew, or export from the checkpoint that it was learned for"


@dataclass(frozen=True)
class GraphPatch:
    """The difference between an exported graph and the one that is quantized.

    Attributes:
        products: name of a Mul to (name of the convolution that reads it, name of its factors).
        constants: initializers that are new or different, float32.
    """

    products: Mapping[str, tuple[str, str]]
    constants: Mapping[str, NDArray[np.float32]]


def find_patch(model: onnx.ModelProto, evened: onnx.ModelProto) -> GraphPatch:
    """What `equalize` did to a graph."""
    before, after = GraphView(model), GraphView(evened)
    products = {
        node.name: (after.uses(node.output[0])[0].node.name, node.input[1])
        for node in after.nodes
        if node.name not in before.by_name
    }
    constants = {}
    for name in after.initializers:
        values, known = after.weight(name), before.constant(name)
        if known is None or not np.array_equal(known, values):
            constants[name] = values.astype(np.float32)
    return GraphPatch(products, constants)


def apply_patch(model: onnx.ModelProto, patch: GraphPatch) -> onnx.ModelProto:
    """A graph with the channels evened out as they were.

    Raises:
        CheckpointError: the patch is of another graph.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not patch.products and not patch.constants:
        return changed
    view = GraphView(changed)
    factors = {name for _, name in patch.products.values()}
    for name, values in patch.constants.items():
        stored = view.initializers.get(name)
        if stored is None:
            if name not in factors:
                raise CheckpointError(
                    f"its rounding has a constant {printable(name)} of no graph", _HINT
                )
            changed.graph.initializer.append(numpy_helper.from_array(values, name))
        elif tuple(stored.dims) != values.shape:
            raise CheckpointError(f"its rounding has {printable(name)} of another shape", _HINT)
        else:
            stored.CopyFrom(numpy_helper.from_array(values, name))
    for name, (conv, factor) in patch.products.items():
        _insert(view, name, conv, factor, patch)
    return checked(changed)


def _insert(view: GraphView, name: str, conv: str, factor: str, patch: GraphPatch) -> None:
    """Put one product in front of a convolution, as `equalize` does."""
    node = view.by_name.get(conv)
    values = patch.constants.get(factor)
    taken = {*view.by_name, *view.types, *view.initializers, ""}
    fits = node is not None and node.op_type == "Conv" and name not in taken
    if not fits or values is None or node is None:
        raise CheckpointError(
            f"its rounding evens out {printable(conv)}, which the graph lacks", _HINT
        )
    if values.shape != (1, view.shape(node.input[0])[1], 1, 1):
        raise CheckpointError(f"its rounding has {printable(factor)} of another shape", _HINT)
    product = helper.make_node("Mul", [node.input[0], factor], [name], name=name)
    nodes = view.graph.node
    nodes.insert(list(nodes).index(node), product)
    node.input[0] = name
