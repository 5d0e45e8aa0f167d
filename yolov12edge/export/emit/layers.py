"""Convolutions and the blocks that are made of them."""

from __future__ import annotations

from torch import nn

from yolov12edge.export.emit.dispatch import emit, emit_child
from yolov12edge.export.emit.layout import join, numbers, reshape, split
from yolov12edge.export.forms import (
    Absorbed,
    CellConv,
    GrowingMerge,
    GrowingStage,
    TransposedConv,
    WholeC3k2,
)
from yolov12edge.export.modules import FoldedConv, Swish, TanhSiLU
from yolov12edge.graph.builder import GraphBuilder, Value
from yolov12edge.model.attention import A2C2f
from yolov12edge.model.blocks import Bottleneck, C3k, C3k2, Concat


@emit.register
def _sequential(module: nn.Sequential, graph: GraphBuilder, x: Value) -> Value:
    for name, child in module.named_children():
        x = emit_child(graph, name, child, x)
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
            graph.weight("weight", numbers(module.weight)),
            graph.weight("bias", numbers(module.bias)),
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
    return _silu(graph, y, module.act) if module.silu else y


@emit.register
def _transposed(module: TransposedConv, graph: GraphBuilder, x: Value) -> Value:
    weight = graph.weight("weight", numbers(module.weight))
    bias = graph.weight("bias", numbers(module.bias))
    shape = (len(module.bias), *x.shape[1:])
    y = graph.add("ConvTranspose", [x, weight, bias], shape, "conv", kernel_shape=[1, 1])
    return _silu(graph, y, module.act) if module.silu else y


@emit.register
def _cells(module: CellConv, graph: GraphBuilder, x: Value) -> Value:
    channels, height, width = x.shape
    rows, columns = height // 2, width // 2
    cut = reshape(graph, x, (channels, rows, 2, columns, 2), "pixels")
    cells = (rows, columns, 2, 2, channels)
    moved = graph.add("Transpose", [cut], cells, "cells", perm=[0, 2, 4, 3, 5, 1])
    last = reshape(graph, moved, (rows, columns, 4 * channels), "cell_rows")
    shape = (4 * channels, rows, columns)
    packed = graph.add("Transpose", [last], shape, "cell_map", perm=[0, 3, 1, 2])
    y = graph.add(
        "Conv",
        [
            packed,
            graph.weight("weight", numbers(module.weight)),
            graph.weight("bias", numbers(module.bias)),
        ],
        (len(module.bias), rows, columns),
        kernel_shape=[2, 2],
        strides=[1, 1],
        pads=[1, 1, 0, 0],
        dilations=[1, 1],
        group=1,
    )
    return _silu(graph, y, module.act)


def _silu(graph: GraphBuilder, y: Value, act: nn.Module) -> Value:
    """The activation in the form that the module has; a reader finds the convolution in input 0."""
    if isinstance(act, Swish):
        return graph.add("Swish", [y], y.shape, "silu")
    if isinstance(act, TanhSiLU):
        half = graph.floats([0.5])
        tanh = graph.add("Tanh", [graph.add("Mul", [y, half], y.shape, "half")], y.shape)
        slope = graph.add("Mul", [tanh, half], y.shape, "slope")
        gate = graph.add("Add", [slope, half], y.shape, "gate")
        return graph.add("Mul", [y, gate], y.shape, "silu")
    return graph.add("Mul", [y, graph.add("Sigmoid", [y], y.shape)], y.shape, "silu")


@emit.register
def _upsample(module: nn.Upsample, graph: GraphBuilder, x: Value) -> Value:
    return _grown(graph, x)


def _grown(graph: GraphBuilder, x: Value) -> Value:
    """Every pixel four times."""
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
    return join(graph, list(inputs))


@emit.register
def _bottleneck(module: Bottleneck, graph: GraphBuilder, x: Value) -> Value:
    y = emit_child(graph, "cv2", module.cv2, emit_child(graph, "cv1", module.cv1, x))
    return graph.add("Add", [x, y], x.shape)


@emit.register
def _c3k(module: C3k, graph: GraphBuilder, x: Value) -> Value:
    chained = emit_child(graph, "m", module.m, emit_child(graph, "cv1", module.cv1, x))
    joined = join(graph, [chained, emit_child(graph, "cv2", module.cv2, x)])
    return emit_child(graph, "cv3", module.cv3, joined)


@emit.register
def _c3k2(module: C3k2, graph: GraphBuilder, x: Value) -> Value:
    packed = emit_child(graph, "cv1", module.cv1, x)
    half = packed.channels // 2
    parts = split(graph, packed, [half, half], ["first", "second"])
    return _chain(graph, module, parts)


@emit.register
def _a2c2f(module: A2C2f, graph: GraphBuilder, x: Value) -> Value:
    merged = _chain(graph, module, [emit_child(graph, "cv1", module.cv1, x)])
    if module.gamma is None:
        return merged
    gamma = graph.weight("gamma", numbers(module.gamma).reshape(-1, 1, 1))
    return graph.add("Add", [x, graph.add("Mul", [merged, gamma], x.shape, "scaled")], x.shape)


@emit.register
def _whole_c3k2(module: WholeC3k2, graph: GraphBuilder, x: Value) -> Value:
    parts = [emit_child(graph, "cv1", module.cv1, x)]
    if not module.residual_merged:
        return _chain(graph, module, parts)
    with graph.scope("m.0"):
        unit = module.m[0]
        y = emit_child(graph, "cv1", unit.cv1, parts[0])  # type: ignore[arg-type]
        parts.append(emit_child(graph, "cv2", unit.cv2, y))  # type: ignore[arg-type]
    return emit_child(graph, "cv2", module.cv2, join(graph, parts))


@emit.register
def _growing_stage(module: GrowingStage, graph: GraphBuilder, coarse: Value, fine: Value) -> Value:
    return _chain(graph, module, [emit_child(graph, "cv1", module.cv1, coarse, fine)])


@emit.register
def _growing_merge(module: GrowingMerge, graph: GraphBuilder, coarse: Value, fine: Value) -> Value:
    shape = (len(module.low), *fine.shape[1:])
    if module.transposed:
        taps = graph.weight("low.weight", numbers(module.taps))
        grown = graph.add(
            "ConvTranspose", [coarse, taps], shape, "grown", kernel_shape=[2, 2], strides=[2, 2]
        )
    else:
        weight = graph.weight("low.weight", numbers(module.low))
        # INT8 corrects the bias of every convolution, so each has one.
        zeros = graph.weight("low.bias", numbers(module.low.new_zeros(len(module.low))))
        small = (len(module.low), *coarse.shape[1:])
        low = graph.add("Conv", [coarse, weight, zeros], small, "low", kernel_shape=[1, 1])
        grown = _grown(graph, low)
    high = emit_child(graph, "high", module.high, fine)
    return _silu(graph, graph.add("Add", [high, grown], shape, "merged"), module.act)


@emit.register
def _absorbed(module: Absorbed, graph: GraphBuilder, *maps: Value) -> Value:
    return maps[0]


def _chain(
    graph: GraphBuilder, module: C3k2 | A2C2f | WholeC3k2 | GrowingStage, parts: list[Value]
) -> Value:
    """Units one after another on the last part; every intermediate goes into the merge."""
    for index, unit in enumerate(module.m):
        with graph.scope(f"m.{index}"):
            parts = [*parts, graph.mark_block(emit(unit, graph, parts[-1]))]
    return emit_child(graph, "cv2", module.cv2, join(graph, parts))
