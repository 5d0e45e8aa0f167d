"""Which function writes which kind of module."""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from yolov12edge.errors import ExportError
from yolov12edge.graph.builder import GraphBuilder, Value


@singledispatch
def emit(module: nn.Module, graph: GraphBuilder, *inputs: Value) -> Value:
    """Append the nodes of `module` and return its output."""
    raise ExportError(
        f"no ONNX form for {type(module).__name__} at {graph.path}",
        "this is a bug in the export: please report it",
    )


def emit_child(graph: GraphBuilder, name: str, module: nn.Module, *inputs: Value) -> Value:
    """Append the nodes of a submodule under its own name."""
    with graph.scope(name):
        return emit(module, graph, *inputs)
