"""The whole graph."""

from __future__ import annotations

import json

import onnx

from yolov12edge.export.emit.dispatch import emit
from yolov12edge.export.forms import Absorbed
from yolov12edge.export.modules import ExportModel
from yolov12edge.graph.builder import GraphBuilder, Value
from yolov12edge.runtime.metadata import BLOCKS_KEY

INPUT_NAME = "images"


def emit_model(
    model: ExportModel,
    height: int,
    width: int,
    batch: int | None = 1,
    opset: int = 17,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Write an export model as ONNX: `images` (B, 3, H, W) to `detections` (B, 4 + classes, A).

    Args:
        model: after every rewrite step.
        height: input rows, a multiple of 32.
        width: input columns, a multiple of 32.
        batch: fixed batch size, or None for a symbolic one.
        opset: 13 to 24.
        metadata: written to `metadata_props`, with the list of blocks and their tensors.
    """
    graph = GraphBuilder(opset)
    x = images = Value(INPUT_NAME, (3, height, width))
    outputs: list[Value] = []
    with graph.scope("model"):
        for index, layer in enumerate(model.model):
            with graph.scope(str(index)):
                sources = [outputs[source] for source in model.routes.get(index, ())] or [x]
                x = emit(layer, graph, *sources)
                if not isinstance(layer, Absorbed):
                    graph.mark_block(x)
            outputs.append(x)
    blocks = {BLOCKS_KEY: json.dumps(graph.blocks)}
    return graph.finish([images], [x], batch, (metadata or {}) | blocks)
