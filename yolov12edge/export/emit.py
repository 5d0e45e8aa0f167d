"""From an export model to ONNX nodes, one function a module kind.

The graph is written, not traced: every node carries the path of the module it comes from, so a
profile, a lint or a drift report can name the block in the words of the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolov12edge.errors import ExportError
from yolov12edge.export.modules import (
    AttentionVariant,
    ContiguousAttention,
    ExportHead,
    ExportModel,
    FoldedConv,
    LinearDecode,
    decode_constants,
)
from yolov12edge.graph.builder import GraphBuilder, Value
from yolov12edge.model.attention import A2C2f, AttentionBlock
from yolov12edge.model.blocks import Bottleneck, C3k, C3k2, Concat
from yolov12edge.model.head import REG_MAX
from yolov12edge.model.scales import HEAD_DIM
from yolov12edge.runtime.metadata import BLOCKS_KEY

INPUT_NAME = "images"
OUTPUT_NAME = "detections"


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
        opset: 13 to 21.
        metadata: written to `metadata_props`, with the list of blocks and their tensors.
    """
    graph = GraphBuilder(opset)
    x = images = Value(INPUT_NAME, (3, height, width))
    outputs: list[Value] = []
    with graph.scope("model"):
        for index, layer in enumerate(model.model):
            with graph.scope(str(index)):
                sources = [outputs[source] for source in model.routes.get(index, ())] or [x]
                x = graph.mark_block(emit(layer, graph, *sources))
            outputs.append(x)
    blocks = {BLOCKS_KEY: json.dumps(graph.blocks)}
    return graph.finish([images], [x], batch, (metadata or {}) | blocks)


@singledispatch
def emit(module: nn.Module, graph: GraphBuilder, *inputs: Value) -> Value:
    """Append the nodes of `module` and return its output."""
    raise ExportError(
        f"no ONNX form for {type(module).__name__} at {graph.path}",
        "this is a bug in the export: please report it",
    )


def _child(graph: GraphBuilder, name: str, module: nn.Module, *inputs: Value) -> Value:
    with graph.scope(name):
        return emit(module, graph, *inputs)


@emit.register
def _sequential(module: nn.Sequential, graph: GraphBuilder, x: Value) -> Value:
    for name, child in module.named_children():
        x = _child(graph, name, child, x)
    return x


@emit.register
def _convolution(module: nn.Conv2d, graph: GraphBuilder, x: Value) -> Value:
    kernel, stride = module.kernel_size[0], module.stride[0]
    assert isinstance(module.padding[0], int)
    padding = module.padding[0]
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in x.shape[1:])
    assert module.bias is not None
    return graph.add(
        "Conv",
        [
            x,
            graph.weight("weight", _numbers(module.weight)),
            graph.weight("bias", _numbers(module.bias)),
        ],
        (module.out_channels, rows, columns),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[padding] * 4,
        dilations=[1, 1],
        group=module.groups,
    )


@emit.register
def _folded(module: FoldedConv, graph: GraphBuilder, x: Value) -> Value:
    y = emit(module.conv, graph, x)
    if not module.silu:
        return y
    return graph.add("Mul", [y, graph.add("Sigmoid", [y], y.shape)], y.shape, "silu")


@emit.register
def _upsample(module: nn.Upsample, graph: GraphBuilder, x: Value) -> Value:
    channels, rows, columns = x.shape
    return graph.add(
        "Resize",
        [x, "", graph.floats([1, 1, 2, 2])],
        (channels, 2 * rows, 2 * columns),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


@emit.register
def _concat(module: Concat, graph: GraphBuilder, *inputs: Value) -> Value:
    return _join(graph, list(inputs))


def _join(graph: GraphBuilder, parts: list[Value], role: str = "concat") -> Value:
    channels = sum(part.channels for part in parts)
    return graph.add("Concat", parts, (channels, *parts[0].shape[1:]), role, axis=1)


@emit.register
def _bottleneck(module: Bottleneck, graph: GraphBuilder, x: Value) -> Value:
    y = _child(graph, "cv2", module.cv2, _child(graph, "cv1", module.cv1, x))
    return graph.add("Add", [x, y], x.shape)


@emit.register
def _c3k(module: C3k, graph: GraphBuilder, x: Value) -> Value:
    chained = _child(graph, "m", module.m, _child(graph, "cv1", module.cv1, x))
    joined = _join(graph, [chained, _child(graph, "cv2", module.cv2, x)])
    return _child(graph, "cv3", module.cv3, joined)


@emit.register
def _c3k2(module: C3k2, graph: GraphBuilder, x: Value) -> Value:
    packed = _child(graph, "cv1", module.cv1, x)
    half = packed.channels // 2
    parts = _split(graph, packed, [half, half], ["first", "second"])
    return _chain(graph, module, parts)


@emit.register
def _a2c2f(module: A2C2f, graph: GraphBuilder, x: Value) -> Value:
    merged = _chain(graph, module, [_child(graph, "cv1", module.cv1, x)])
    if module.gamma is None:
        return merged
    gamma = graph.weight("gamma", _numbers(module.gamma).reshape(-1, 1, 1))
    return graph.add("Add", [x, graph.add("Mul", [merged, gamma], x.shape, "scaled")], x.shape)


def _chain(graph: GraphBuilder, module: C3k2 | A2C2f, parts: list[Value]) -> Value:
    """Units one after another on the last part; every intermediate goes into the merge."""
    for index, unit in enumerate(module.m):
        with graph.scope(f"m.{index}"):
            parts = [*parts, graph.mark_block(emit(unit, graph, parts[-1]))]
    return _child(graph, "cv2", module.cv2, _join(graph, parts))


@emit.register
def _attention_block(module: AttentionBlock, graph: GraphBuilder, x: Value) -> Value:
    with graph.scope("attn"):
        attended = graph.mark_block(emit(module.attn, graph, x))
    x = graph.add("Add", [x, attended], x.shape, "attended")
    return graph.add("Add", [x, _child(graph, "mlp", module.mlp, x)], x.shape)


@emit.register
def _attention(module: ContiguousAttention, graph: GraphBuilder, x: Value) -> Value:
    packed = _child(graph, "qkv", module.qkv, x)
    q, k, values, v = _LANES[module.variant](module, graph, packed)
    if module.scale != 1:
        q = graph.add("Mul", [q, graph.floats([module.scale])], q.shape, "scaled_query")
    square = (q.channels, q.shape[1], q.shape[1])
    scores = graph.add("MatMul", [q, k], square, "scores")
    weights = graph.add("Softmax", [scores], square, "weights", axis=-1)
    if module.variant == "value-left":
        flipped = graph.add("Transpose", [weights], square, "weights_t", perm=[0, 1, 3, 2])
        lanes = graph.add("MatMul", [v, flipped], v.shape, "mixed")
        mixed = _lanes_to_map(module, graph, lanes, x, token_major=False)
    else:
        lanes = graph.add("MatMul", [weights, v], v.shape, "mixed")
        if module.variant == "rows":
            mixed = _rows_to_map(graph, lanes, x)
        else:
            mixed = _lanes_to_map(module, graph, lanes, x, token_major=True)
    position = _child(graph, "pe", module.pe, values)
    return _child(
        graph, "proj", module.proj, graph.add("Add", [mixed, position], x.shape, "positioned")
    )


Lanes = tuple[Value, Value, Value, Value]
"""Queries (lanes, tokens, 32), keys (lanes, 32, tokens), the value map, and the values."""


def _packed_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """One transpose for q, k and v together; the value map is sliced before it."""
    lanes = _to_lanes(module, graph, packed, "qkv_tokens", token_major=True)
    q, k, v = _split(graph, lanes, [module.lanes] * 3, ["q", "k", "v"])
    return q, _swap(graph, k, "k_t"), _value_map(module, graph, packed), v


def _separate_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """A transpose for each of q, k and v; with one area the keys need none."""
    q, k, values = _split(graph, packed, [module.channels] * 3, ["q_map", "k_map", "v_map"])
    return (
        _to_lanes(module, graph, q, "q", token_major=True),
        _to_lanes(module, graph, k, "k", token_major=False),
        values,
        _to_lanes(module, graph, values, "v", token_major=True),
    )


def _channel_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """Channels stay in front of tokens; only the query is transposed, inside the product."""
    lanes = _to_lanes(module, graph, packed, "qkv_channels", token_major=False)
    q, k, v = _split(graph, lanes, [module.lanes] * 3, ["q", "k", "v"])
    return _swap(graph, q, "q_t"), k, _value_map(module, graph, packed), v


def _row_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """The map as rows of tokens; areas go to the batch, heads are cut out of the rows."""
    _, height, width = packed.shape
    heads, tokens = module.lanes // module.area, height * width // module.area
    rows = _to_rows(graph, packed, "qkv_rows")
    cut = _reshape(graph, rows, (tokens, 3 * heads, HEAD_DIM), "qkv_tokens", batch=-1)
    shapes = [(tokens, heads, HEAD_DIM)] * 3
    q, k, v = graph.add_many(
        "Split",
        [cut, graph.integers([heads] * 3)],
        shapes,
        ["q_rows", "k_rows", "v_rows"],
        axis=2,
    )
    lanes = (heads, tokens, HEAD_DIM)
    return (
        graph.add("Transpose", [q], lanes, "q", perm=[0, 2, 1, 3]),
        graph.add("Transpose", [k], (heads, HEAD_DIM, tokens), "k_t", perm=[0, 2, 3, 1]),
        _value_map(module, graph, packed),
        graph.add("Transpose", [v], lanes, "v", perm=[0, 2, 1, 3]),
    )


_LANES: dict[AttentionVariant, Callable[[ContiguousAttention, GraphBuilder, Value], Lanes]] = {
    "packed": _packed_lanes,
    "separate": _separate_lanes,
    "value-left": _channel_lanes,
    "rows": _row_lanes,
}


def _value_map(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Value:
    channels = module.channels
    bounds = [graph.integers([bound]) for bound in (2 * channels, 3 * channels, 1)]
    return graph.add("Slice", [packed, *bounds], (channels, *packed.shape[1:]), "v_map")


def _to_lanes(
    module: ContiguousAttention, graph: GraphBuilder, x: Value, role: str, *, token_major: bool
) -> Value:
    """(B, C, H, W) to (B, lanes, tokens, 32), or (B, lanes, 32, tokens) if not `token_major`."""
    heads, area = x.channels // HEAD_DIM, module.area
    tokens = x.shape[1] * x.shape[2] // area
    if area == 1:
        lanes = _reshape(graph, x, (heads, HEAD_DIM, tokens), f"{role}_heads")
        return _swap(graph, lanes, role) if token_major else lanes
    cut = _reshape(graph, x, (heads, HEAD_DIM, area, tokens), f"{role}_areas")
    shape = (tokens, HEAD_DIM) if token_major else (HEAD_DIM, tokens)
    order = [0, 1, 3, 4, 2] if token_major else [0, 1, 3, 2, 4]
    moved = graph.add("Transpose", [cut], (heads, area, *shape), f"{role}_moved", perm=order)
    return _reshape(graph, moved, (heads * area, *shape), role)


def _lanes_to_map(
    module: ContiguousAttention,
    graph: GraphBuilder,
    lanes: Value,
    like: Value,
    *,
    token_major: bool,
) -> Value:
    """Inverse of `_to_lanes`, back to the shape of `like`."""
    heads, area = lanes.channels // module.area, module.area
    if area == 1:
        lanes = _swap(graph, lanes, "mixed_heads") if token_major else lanes
        return _reshape(graph, lanes, like.shape, "mixed_map")
    cut = _reshape(graph, lanes, (heads, area, *lanes.shape[1:]), "mixed_areas")
    tokens = like.shape[1] * like.shape[2] // area
    order = [0, 1, 4, 2, 3] if token_major else [0, 1, 3, 2, 4]
    shape = (heads, HEAD_DIM, area, tokens)
    moved = graph.add("Transpose", [cut], shape, "mixed_moved", perm=order)
    return _reshape(graph, moved, like.shape, "mixed_map")


def _rows_to_map(graph: GraphBuilder, lanes: Value, like: Value) -> Value:
    """Inverse of `_row_lanes`, back to the shape of `like`."""
    heads, tokens, _ = lanes.shape
    channels, height, width = like.shape
    shape = (tokens, heads, HEAD_DIM)
    tokenwise = graph.add("Transpose", [lanes], shape, "mixed_tokens", perm=[0, 2, 1, 3])
    rows = _reshape(graph, tokenwise, (height, width, channels), "mixed_rows", batch=-1)
    return graph.add("Transpose", [rows], like.shape, "mixed_map", perm=[0, 3, 1, 2])


def _to_rows(graph: GraphBuilder, x: Value, role: str) -> Value:
    """(B, C, H, W) to (B, H, W, C): nothing moves where maps are kept channels-last."""
    channels, height, width = x.shape
    return graph.add("Transpose", [x], (height, width, channels), role, perm=[0, 2, 3, 1])


@emit.register
def _head(module: ExportHead, graph: GraphBuilder, *maps: Value) -> Value:
    height, width = (side * 8 for side in maps[0].shape[1:])
    rows = module.variant == "rows"
    boxes: list[Value] = []
    logits: list[Value] = []
    for level, (x, box, classes) in enumerate(zip(maps, module.cv2, module.cv3, strict=True)):
        for branch, kind, flattened in ((box, "cv2", boxes), (classes, "cv3", logits)):
            with graph.scope(f"{kind}.{level}"):
                y = graph.mark_block(emit(branch, graph, x))
                flattened.append(_flat(graph, y, rows=rows))
    with graph.scope("decode"):
        decode = _decode_rows if rows else _decode
        return decode(module.decode, graph, boxes, logits, height, width)


def _flat(graph: GraphBuilder, x: Value, *, rows: bool) -> Value:
    """(B, C, H, W) to (B, C, H * W), or to (B, H * W, C) as rows."""
    channels, anchors = x.channels, x.shape[1] * x.shape[2]
    if rows:
        return _reshape(graph, _to_rows(graph, x, "rows"), (anchors, channels), "flat")
    return _reshape(graph, x, (channels, anchors), "flat")


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

    def joined(levels: list[Value], role: str) -> Value:
        channels = levels[0].channels
        return graph.add("Concat", levels, (channels, anchors), role, axis=2)

    bins = _reshape(graph, joined(boxes, "boxes"), (4, REG_MAX, anchors), "bins")
    spread = graph.add("Softmax", [bins], bins.shape, "probabilities", axis=2)
    flat = _reshape(graph, spread, (4 * REG_MAX, anchors), "flat_probabilities")
    # A convolution, not MatMul: TensorRT-RTX refuses float32 matrix products on Turing.
    matrix = graph.weight("matrix", _numbers(module.matrix)[..., None])
    cells = graph.add("Conv", [flat, matrix], (4, anchors), "cells", kernel_shape=[1])
    stride = graph.weight("strides", _numbers(strides))
    pixels = graph.add("Mul", [cells, stride], (4, anchors), "pixels")
    offset = graph.weight("anchors", _numbers(offsets))
    box = graph.add("Add", [pixels, offset], (4, anchors), "box")
    classes = joined(logits, "logits")
    scores = graph.add("Sigmoid", [classes], classes.shape, "scores")
    output = Value(OUTPUT_NAME, (4 + classes.channels, anchors))
    graph.add_output("Concat", [box, scores], output, axis=1)
    return output


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

    bins = _reshape(graph, joined(boxes, "boxes"), (anchors, 4, REG_MAX), "bins")
    spread = graph.add("Softmax", [bins], bins.shape, "probabilities", axis=3)
    flat = _reshape(graph, spread, (anchors, 4 * REG_MAX), "flat_probabilities")
    matrix = graph.weight("matrix", _numbers(module.matrix.T))
    cells = graph.add("MatMul", [flat, matrix], (anchors, 4), "cells")
    stride = graph.weight("strides", _numbers(strides.T))
    pixels = graph.add("Mul", [cells, stride], (anchors, 4), "pixels")
    offset = graph.weight("anchors", _numbers(offsets.T))
    box = graph.add("Add", [pixels, offset], (anchors, 4), "box")
    classes = joined(logits, "logits")
    scores = graph.add("Sigmoid", [classes], classes.shape, "scores")
    columns = 4 + classes.shape[1]
    found = graph.add("Concat", [box, scores], (anchors, columns), "detections_rows", axis=2)
    output = Value(OUTPUT_NAME, (columns, anchors))
    graph.add_output("Transpose", [found], output, perm=[0, 2, 1])
    return output


def _split(graph: GraphBuilder, x: Value, sizes: list[int], roles: list[str]) -> list[Value]:
    shapes = [(size, *x.shape[1:]) for size in sizes]
    return graph.add_many("Split", [x, graph.integers(sizes)], shapes, roles, axis=1)


def _swap(graph: GraphBuilder, x: Value, role: str) -> Value:
    """Exchange the last two of four dimensions."""
    lanes, rows, columns = x.shape
    return graph.add("Transpose", [x], (lanes, columns, rows), role, perm=[0, 1, 3, 2])


def _reshape(
    graph: GraphBuilder, x: Value, shape: tuple[int, ...], role: str, batch: int = 0
) -> Value:
    # A leading 0 keeps the batch, fixed or symbolic; -1 takes whatever is left.
    return graph.add("Reshape", [x, graph.integers([batch, *shape])], shape, role)


def _numbers(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().to(torch.float64).numpy()
    return np.ascontiguousarray(array)
