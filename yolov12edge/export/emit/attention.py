"""Area attention, in each of its tensor layouts."""

from __future__ import annotations

from collections.abc import Callable

from yolov12edge.export.emit.dispatch import emit, emit_child
from yolov12edge.export.emit.layout import reshape, split, swap, to_rows
from yolov12edge.export.forms import Negative
from yolov12edge.export.modules import AttentionVariant, ContiguousAttention
from yolov12edge.graph.builder import GraphBuilder, Value
from yolov12edge.model.attention import AttentionBlock
from yolov12edge.model.scales import HEAD_DIM


@emit.register
def _attention_block(module: AttentionBlock, graph: GraphBuilder, x: Value) -> Value:
    subtracted = isinstance(module.mlp[1], Negative)
    operator = "Sub" if subtracted else "Add"
    with graph.scope("attn"):
        attended = graph.mark_block(emit(module.attn, graph, x), negative=subtracted)
    x = graph.add(operator, [x, attended], x.shape, "attended")
    return graph.add(operator, [x, emit_child(graph, "mlp", module.mlp, x)], x.shape)


@emit.register
def _negative(module: Negative, graph: GraphBuilder, x: Value) -> Value:
    """The negative itself; whoever reads it subtracts."""
    return emit(module.inner, graph, x)


@emit.register
def _attention(module: ContiguousAttention, graph: GraphBuilder, x: Value) -> Value:
    packed = emit_child(graph, "qkv", module.qkv, x)
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
        if module.variant in ("rows", "shared-rows"):
            mixed = _rows_to_map(graph, lanes, x)
        else:
            mixed = _lanes_to_map(module, graph, lanes, x, token_major=True)
    position = emit_child(graph, "pe", module.pe, values)
    return emit_child(
        graph, "proj", module.proj, graph.add("Add", [mixed, position], x.shape, "positioned")
    )


Lanes = tuple[Value, Value, Value, Value]
"""Queries (lanes, tokens, 32), keys (lanes, 32, tokens), the value map, and the values."""


def _packed_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """One transpose for q, k and v together; the value map is sliced before it."""
    lanes = _to_lanes(module, graph, packed, "qkv_tokens", token_major=True)
    q, k, v = split(graph, lanes, [module.lanes] * 3, ["q", "k", "v"])
    return q, swap(graph, k, "k_t"), _value_map(module, graph, packed), v


def _separate_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """A transpose for each of q, k and v; with one area the keys need none."""
    q, k, values = split(graph, packed, [module.channels] * 3, ["q_map", "k_map", "v_map"])
    return (
        _to_lanes(module, graph, q, "q", token_major=True),
        _to_lanes(module, graph, k, "k", token_major=False),
        values,
        _to_lanes(module, graph, values, "v", token_major=True),
    )


def _channel_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """Channels stay in front of tokens; only the query is transposed, inside the product."""
    lanes = _to_lanes(module, graph, packed, "qkv_channels", token_major=False)
    q, k, v = split(graph, lanes, [module.lanes] * 3, ["q", "k", "v"])
    return swap(graph, q, "q_t"), k, _value_map(module, graph, packed), v


def _row_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """The map as rows of tokens; areas go to the batch, heads are cut out of the rows."""
    _, height, width = packed.shape
    heads, tokens = module.lanes // module.area, height * width // module.area
    rows = to_rows(graph, packed, "qkv_rows")
    cut = reshape(graph, rows, (tokens, 3 * heads, HEAD_DIM), "qkv_tokens", batch=-1)
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


def _shared_row_lanes(module: ContiguousAttention, graph: GraphBuilder, packed: Value) -> Lanes:
    """As rows; the map of values is cut from the rows too, so that one kernel yields all four."""
    _, height, width = packed.shape
    heads, tokens = module.lanes // module.area, height * width // module.area
    rows = to_rows(graph, packed, "qkv_rows")
    shape = (height, width, module.channels)
    q, k, v = graph.add_many(
        "Split",
        [rows, graph.integers([module.channels] * 3)],
        [shape] * 3,
        ["q_rows", "k_rows", "v_rows"],
        axis=3,
    )

    def headed(part: Value, role: str) -> Value:
        return reshape(graph, part, (tokens, heads, HEAD_DIM), role, batch=-1)

    lanes = (heads, tokens, HEAD_DIM)
    across, values = (heads, HEAD_DIM, tokens), (module.channels, height, width)
    return (
        graph.add("Transpose", [headed(q, "q_heads")], lanes, "q", perm=[0, 2, 1, 3]),
        graph.add("Transpose", [headed(k, "k_heads")], across, "k_t", perm=[0, 2, 3, 1]),
        graph.add("Transpose", [v], values, "v_map", perm=[0, 3, 1, 2]),
        graph.add("Transpose", [headed(v, "v_heads")], lanes, "v", perm=[0, 2, 1, 3]),
    )


_LANES: dict[AttentionVariant, Callable[[ContiguousAttention, GraphBuilder, Value], Lanes]] = {
    "packed": _packed_lanes,
    "separate": _separate_lanes,
    "value-left": _channel_lanes,
    "rows": _row_lanes,
    "shared-rows": _shared_row_lanes,
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
        lanes = reshape(graph, x, (heads, HEAD_DIM, tokens), f"{role}_heads")
        return swap(graph, lanes, role) if token_major else lanes
    cut = reshape(graph, x, (heads, HEAD_DIM, area, tokens), f"{role}_areas")
    shape = (tokens, HEAD_DIM) if token_major else (HEAD_DIM, tokens)
    order = [0, 1, 3, 4, 2] if token_major else [0, 1, 3, 2, 4]
    moved = graph.add("Transpose", [cut], (heads, area, *shape), f"{role}_moved", perm=order)
    return reshape(graph, moved, (heads * area, *shape), role)


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
        lanes = swap(graph, lanes, "mixed_heads") if token_major else lanes
        return reshape(graph, lanes, like.shape, "mixed_map")
    cut = reshape(graph, lanes, (heads, area, *lanes.shape[1:]), "mixed_areas")
    tokens = like.shape[1] * like.shape[2] // area
    order = [0, 1, 4, 2, 3] if token_major else [0, 1, 3, 2, 4]
    shape = (heads, HEAD_DIM, area, tokens)
    moved = graph.add("Transpose", [cut], shape, "mixed_moved", perm=order)
    return reshape(graph, moved, like.shape, "mixed_map")


def _rows_to_map(graph: GraphBuilder, lanes: Value, like: Value) -> Value:
    """Inverse of `_row_lanes`, back to the shape of `like`."""
    heads, tokens, _ = lanes.shape
    channels, height, width = like.shape
    shape = (tokens, heads, HEAD_DIM)
    tokenwise = graph.add("Transpose", [lanes], shape, "mixed_tokens", perm=[0, 2, 1, 3])
    rows = reshape(graph, tokenwise, (height, width, channels), "mixed_rows", batch=-1)
    return graph.add("Transpose", [rows], like.shape, "mixed_map", perm=[0, 3, 1, 2])
