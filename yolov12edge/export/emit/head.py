"""The detection head and its decoding."""

from __future__ import annotations

from torch import Tensor

from yolov12edge.export.emit.dispatch import emit
from yolov12edge.export.emit.layout import numbers, reshape, to_rows
from yolov12edge.export.modules import (
    ExpectationDecode,
    ExportHead,
    LinearDecode,
    decode_constants,
)
from yolov12edge.graph.builder import GraphBuilder, Value
from yolov12edge.model.head import REG_MAX

OUTPUT_NAME = "detections"


@emit.register
def _head(module: ExportHead, graph: GraphBuilder, *maps: Value) -> Value:
    height, width = (side * 8 for side in maps[0].shape[1:])
    rows = module.variant == "rows" and isinstance(module.decode, LinearDecode)
    boxes: list[Value] = []
    logits: list[Value] = []
    for level, (x, box, classes) in enumerate(zip(maps, module.cv2, module.cv3, strict=True)):
        for branch, kind, flattened in ((box, "cv2", boxes), (classes, "cv3", logits)):
            with graph.scope(f"{kind}.{level}"):
                y = graph.mark_block(emit(branch, graph, x))
                flattened.append(_flat(graph, y, rows=rows))
    with graph.scope("decode"):
        if isinstance(module.decode, ExpectationDecode):
            return _decode_expectation(module.decode, graph, boxes, logits, height, width)
        decode = _decode_rows if rows else _decode
        assert isinstance(module.decode, LinearDecode)
        return decode(module.decode, graph, boxes, logits, height, width)


def _flat(graph: GraphBuilder, x: Value, *, rows: bool) -> Value:
    """(B, C, H, W) to (B, C, H * W), or to (B, H * W, C) as rows."""
    channels, anchors = x.channels, x.shape[1] * x.shape[2]
    if rows:
        return reshape(graph, to_rows(graph, x, "rows"), (anchors, channels), "flat")
    return reshape(graph, x, (channels, anchors), "flat")


def _decode(
    module: LinearDecode,
    graph: GraphBuilder,
    boxes: list[Value],
    logits: list[Value],
    height: int,
    width: int,
) -> Value:
    offsets, strides = decode_constants(height, width)
    anchors = offsets.shape[1]

    joined = graph.add("Concat", boxes, (boxes[0].channels, anchors), "boxes", axis=2)
    bins = reshape(graph, joined, (4, REG_MAX, anchors), "bins")
    spread = graph.add("Softmax", [bins], bins.shape, "probabilities", axis=2)
    flat = reshape(graph, spread, (4 * REG_MAX, anchors), "flat_probabilities")
    # A convolution, not MatMul: TensorRT-RTX refuses float32 matrix products on Turing.
    matrix = graph.weight("matrix", numbers(module.matrix)[..., None])
    cells = graph.add("Conv", [flat, matrix], (4, anchors), "cells", kernel_shape=[1])
    box = _placed(graph, cells, strides, offsets, "box")
    return _with_scores(graph, box, logits)


def _decode_rows(
    module: LinearDecode,
    graph: GraphBuilder,
    boxes: list[Value],
    logits: list[Value],
    height: int,
    width: int,
) -> Value:
    """The same with an anchor a row, turned once at the very end."""
    offsets, strides = decode_constants(height, width)
    anchors = offsets.shape[1]

    def joined(levels: list[Value], role: str) -> Value:
        return graph.add("Concat", levels, (anchors, levels[0].shape[1]), role, axis=1)

    bins = reshape(graph, joined(boxes, "boxes"), (anchors, 4, REG_MAX), "bins")
    spread = graph.add("Softmax", [bins], bins.shape, "probabilities", axis=3)
    flat = reshape(graph, spread, (anchors, 4 * REG_MAX), "flat_probabilities")
    matrix = graph.weight("matrix", numbers(module.matrix.T))
    cells = graph.add("MatMul", [flat, matrix], (anchors, 4), "cells")
    box = _placed(graph, cells, strides.T, offsets.T, "box")
    classes = joined(logits, "logits")
    scores = graph.add("Sigmoid", [classes], classes.shape, "scores")
    columns = 4 + classes.shape[1]
    found = graph.add("Concat", [box, scores], (anchors, columns), "detections_rows", axis=2)
    output = Value(OUTPUT_NAME, (columns, anchors))
    graph.add_output("Transpose", [found], output, perm=[0, 2, 1])
    return output


def _decode_expectation(
    module: ExpectationDecode,
    graph: GraphBuilder,
    boxes: list[Value],
    logits: list[Value],
    height: int,
    width: int,
) -> Value:
    """Bins innermost: softmax, weights and sum are one pass over what a convolution wrote."""
    offsets, strides = decode_constants(height, width)
    anchors = offsets.shape[1]
    rows = []
    for level, x in enumerate(boxes):
        shape = (x.shape[1], x.channels)
        rows.append(graph.add("Transpose", [x], shape, f"rows_{level}", perm=[0, 2, 1]))
    joined = graph.add("Concat", rows, (anchors, 4 * REG_MAX), "boxes", axis=1)
    bins = reshape(graph, joined, (anchors, 4, REG_MAX), "bins")
    spread = graph.add("Softmax", [bins], bins.shape, "probabilities", axis=3)
    numbered = graph.weight("bins", numbers(module.bins))
    weighted = graph.add("Mul", [spread, numbered], bins.shape, "weighted")
    last = graph.integers([3])
    distances = graph.add("ReduceSum", [weighted, last], (anchors, 4), "distances", keepdims=0)
    first, second = graph.add_many(
        "Split",
        [distances, graph.integers([2, 2])],
        [(anchors, 2)] * 2,
        ["left_top", "right_bottom"],
        axis=2,
    )
    half = graph.floats([0.5])
    apart = graph.add("Sub", [second, first], (anchors, 2), "apart")
    centre = graph.add("Mul", [apart, half], (anchors, 2), "centre")
    size = graph.add("Add", [first, second], (anchors, 2), "size")
    cells = graph.add("Concat", [centre, size], (anchors, 4), "cells", axis=2)
    box_rows = _placed(graph, cells, strides.T, offsets.T, "box_rows")
    box = graph.add("Transpose", [box_rows], (4, anchors), "box", perm=[0, 2, 1])
    return _with_scores(graph, box, logits)


def _placed(
    graph: GraphBuilder, cells: Value, strides: Tensor, offsets: Tensor, role: str
) -> Value:
    """Boxes in cells around their anchors to boxes in pixels of the input."""
    stride = graph.weight("strides", numbers(strides))
    pixels = graph.add("Mul", [cells, stride], cells.shape, "pixels")
    offset = graph.weight("anchors", numbers(offsets))
    return graph.add("Add", [pixels, offset], cells.shape, role)


def _with_scores(graph: GraphBuilder, box: Value, logits: list[Value]) -> Value:
    """Boxes (B, 4, A) above the scores of all levels: (B, 4 + classes, A)."""
    channels, anchors = logits[0].channels, box.shape[1]
    classes = graph.add("Concat", logits, (channels, anchors), "logits", axis=2)
    scores = graph.add("Sigmoid", [classes], classes.shape, "scores")
    output = Value(OUTPUT_NAME, (4 + channels, anchors))
    graph.add_output("Concat", [box, scores], output, axis=1)
    return output
