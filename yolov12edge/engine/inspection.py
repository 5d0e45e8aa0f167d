"""What a builder made of a network: precisions, fused attention, reformats, bytes, by block."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yolov12edge.documents import Document
from yolov12edge.engine.inspection_layers import (
    WAITING,
    EngineLayer,
    EngineTensor,
    parse_ends,
    parse_layers,
)
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.runtime.layer_names import attention_of, block_order

Fusion = Literal["fused", "split", "hidden"]

MAX_BYTES = 256_000_000
# The two products and the softmax between them, in our graphs and in those of public exporters.
_SOFTMAX = re.compile(r"(weights|softmax(_\d+)?)$", re.IGNORECASE)
_PRODUCT = re.compile(r"(scores|mixed|matmul(_\d+)?|einsum(_\d+)?)$", re.IGNORECASE)
_REGION = "{ForeignNode["
_LONGEST = 24
_OPERATIONS = re.compile(r"__?myl_([A-Za-z]+)_")
_MYELIN_NUMBER = re.compile(r"_myl\d+_\d+$")


class AttentionFusion(Document):
    """How one attention runs.

    Attributes:
        name: path of the module.
        fusion: "fused" is one kernel for both products and the softmax, "split" several kernels;
            "hidden" is a compiled region whose inside this version does not show.
        kernels: layers it takes, its convolutions left out.
        ms: their time; None without a profile.
        missed: what runs instead of one kernel, where it is split.
    """

    name: str
    fusion: Fusion
    kernels: int
    ms: float | None
    missed: str = ""


class BlockCost(Document):
    """What one block of the network became.

    Attributes:
        precisions: computing layers by precision.
        reformats: layers that only move or convert data, Q/DQ among them.
        movers: kernels beside convolutions and products, see `EngineLayer.mover`.
        quantizers: Q/DQ that were not fused away.
        convolutions: by the type they run in.
        touched_bytes, moved_bytes: of all kernels and of the movers; None if not told.
    """

    block: str
    layers: int
    precisions: dict[str, int]
    reformats: int
    movers: int = 0
    quantizers: int = 0
    convolutions: dict[str, int] = Field(default_factory=dict)
    touched_bytes: int | None = None
    moved_bytes: int | None = None
    weight_bytes: int
    activation_bytes: int
    ms: float | None
    reformat_ms: float | None


class EngineInspection(Document):
    """An engine, from its inspector's JSON and, where there is one, a profile.

    Attributes:
        detailed: whether the plan was built with profiling verbosity "detailed"; without it layers
            are names, and precisions, bytes and most blocks stay unknown.
        precisions: computing layers by precision, most frequent first.
        mha_kernels: kernels for a whole attention.
        kernels: layers that take time.
        movers: kernels beside convolutions and products, see `EngineLayer.mover`.
        convolutions: by the type they run in, as far as kernels are named for what they do.
        touched_bytes, moved_bytes: every tensor of every kernel, and of the movers, counted once a
            kernel; None where one is not told.
        streams, waits: streams that kernels run in, and how often one waits for another.
        reformats, quantizers: layers that move data, and Q/DQ that were not fused away.
        ms: all layers together; more than the engine takes, since each is timed apart.
    """

    kind: Literal["engine"] = "engine"
    path: str
    detailed: bool
    ends: list[EngineTensor]
    layers: list[EngineLayer]
    precisions: dict[str, int]
    attention: list[AttentionFusion]
    kernels: int = 0
    movers: int = 0
    convolutions: dict[str, int] = Field(default_factory=dict)
    touched_bytes: int | None = None
    moved_bytes: int | None = None
    streams: int = 0
    waits: int = 0
    mha_kernels: int
    reformats: int
    quantizers: int
    weight_bytes: int
    activation_bytes: int
    ms: float | None
    reformat_ms: float | None
    blocks: list[BlockCost]

    @property
    def fused(self) -> int:
        """Attention blocks that run as one kernel."""
        return sum(block.fusion == "fused" for block in self.attention)


def read_engine_layers(path: Path, times: Path | None = None) -> EngineInspection:
    """Inspect a JSON file of TensorRT's engine inspector.

    Args:
        path: what trtexec --exportLayerInfo or IEngineInspector wrote.
        times: what trtexec --exportProfile or bench --profile wrote for the same plan.

    Raises:
        UsageError: no such file.
        CheckpointError: not such a file.
    """
    document = read_json(path)
    profile = parse_times(read_json(times), str(times)) if times is not None else {}
    return inspect_layers(document, str(path), profile)


def inspect_layers(
    document: Any, path: str, times: dict[str, list[float]] | None = None
) -> EngineInspection:
    """Inspect the parsed JSON of TensorRT's engine inspector.

    Args:
        document: that JSON.
        path: what to call it.
        times: milliseconds of each layer by name, of equal names in the order they run.

    Raises:
        CheckpointError: it is something else.
    """
    layers, detailed = parse_layers(document)
    layers = _with_times(layers, times or {})
    computing = [layer for layer in layers if layer.role == "compute"]
    moving = [layer for layer in layers if layer.role in ("reformat", "quantize")]
    precisions = Counter(layer.precision for layer in computing if layer.precision)
    return EngineInspection(
        path=path,
        detailed=detailed,
        ends=parse_ends(document),
        layers=layers,
        precisions=dict(precisions.most_common()),
        attention=_attention(layers),
        kernels=sum(layer.role != "nothing" for layer in layers),
        movers=sum(layer.mover for layer in layers),
        convolutions=_convolutions(layers),
        touched_bytes=_touched(layers),
        moved_bytes=_touched([layer for layer in layers if layer.mover]),
        streams=len({layer.stream for layer in layers if layer.stream is not None}),
        waits=sum(layer.kind == WAITING[0] for layer in layers),
        mha_kernels=sum(layer.fused_attention for layer in layers),
        reformats=sum(layer.role == "reformat" for layer in layers),
        quantizers=sum(layer.standing_quantizer for layer in layers),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        activation_bytes=sum(layer.activation_bytes for layer in layers),
        ms=_milliseconds(layers),
        reformat_ms=_milliseconds(moving),
        blocks=_blocks(layers),
    )


def parse_times(document: Any, path: str) -> dict[str, list[float]]:
    """Milliseconds of each layer from a profile: trtexec's, or one of `bench --profile`.

    trtexec writes a list that starts with a count; medians are taken where they are (from
    TensorRT 8.5 on), else averages. `bench` writes its layers under "profiles".

    Raises:
        CheckpointError: it is neither.
    """
    if isinstance(document, dict) and isinstance(document.get("profiles"), list):
        rows = [row for profile in document["profiles"] for row in profile.get("layers", [])]
    else:
        rows = document if isinstance(document, list) else []
    times: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            continue
        value = next((row[key] for key in ("medianMs", "averageMs", "ms") if key in row), None)
        if isinstance(value, (int, float)):
            times[row["name"]].append(float(value))
    if not times:
        raise CheckpointError(
            f"{path} holds no layer times",
            "pass what trtexec --exportProfile=FILE or bench --profile --out FILE wrote",
        )
    return dict(times)


def read_json(path: Path) -> Any:
    """A JSON file of TensorRT's tools.

    Raises:
        UsageError: no such file.
        CheckpointError: not JSON, or too large to be such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no such file: {path}", "check the path")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(f"{path} is too large for engine information", "check the path")
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="replace"), strict=False)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}", "write it again") from error


def _with_times(layers: list[EngineLayer], times: dict[str, list[float]]) -> list[EngineLayer]:
    if not times:
        return layers
    left = {name: list(values) for name, values in times.items()}
    return [
        layer.model_copy(update={"ms": left[layer.name].pop(0) if left.get(layer.name) else 0.0})
        for layer in layers
    ]


def _milliseconds(layers: Iterable[EngineLayer]) -> float | None:
    times = [layer.ms for layer in layers if layer.ms is not None]
    return sum(times) if times else None


def _attention(layers: Sequence[EngineLayer]) -> list[AttentionFusion]:
    """Every attention whose softmax or products can be found in the layers."""
    members: dict[str, list[EngineLayer]] = defaultdict(list)
    cores: dict[str, list[EngineLayer]] = defaultdict(list)
    for layer in layers:
        paths = [attention_of(node) for node in layer.nodes]
        for path in dict.fromkeys(filter(None, paths)):
            if not re.search(r"conv", layer.kind, re.IGNORECASE):
                members[path].append(layer)
            if any(
                path == found and _is_core(node)
                for node, found in zip(layer.nodes, paths, strict=True)
            ):
                cores[path].append(layer)
    for path, region in _hidden_regions(layers):
        cores.setdefault(path, [region])
    return [
        AttentionFusion(
            name=path,
            fusion=_fusion(core),
            kernels=len(members[path]) or len(core),
            ms=_milliseconds(members[path] or core),
            missed=_missed(core) if _fusion(core) == "split" else "",
        )
        for path, core in sorted(cores.items(), key=lambda item: block_order(_block(item[0])))
    ]


def _hidden_regions(layers: Iterable[EngineLayer]) -> Iterator[tuple[str, EngineLayer]]:
    """Attentions that begin and end in one compiled region, of which only the ends are named."""
    for layer in layers:
        if layer.role == "compute" and layer.name.startswith(_REGION):
            paths = {attention_of(node) for node in layer.nodes}
            if len(paths) == 1 and (path := paths.pop()) is not None:
                yield path, layer


def _block(path: str) -> str:
    return ".".join(path.split(".")[:2])


def _fusion(core: Sequence[EngineLayer]) -> Fusion:
    if any(layer.fused_attention for layer in core):
        return "fused"
    whole = [
        layer
        for layer in core
        if any(_SOFTMAX.search(_plain(node)) for node in layer.nodes)
        and sum(bool(_PRODUCT.search(_plain(node))) for node in layer.nodes) >= 2
    ]
    if len(core) == 1 and core[0].name.startswith(_REGION):
        return "hidden"
    return "fused" if whole else "split"


def _missed(core: Sequence[EngineLayer]) -> str:
    """The kernels that run instead of one, in order, and the operations they are named for."""
    wide = " in FP32, which is never fused" if any(_wide(layer) for layer in core) else ""
    kernels = ", ".join(filter(None, map(_described, core)))
    return f"softmax and products in {len(core)} kernels: {kernels}{wide}"


def _described(layer: EngineLayer) -> str:
    operations = _OPERATIONS.match(layer.name)
    if operations is None:
        return layer.kind or "a layer"
    name = operations[1]
    return f"{layer.kind} {name if len(name) <= _LONGEST else name[:_LONGEST] + '..'}"


def _wide(layer: EngineLayer) -> bool:
    """Whether it computes on float32."""
    told = [tensor.dtype for tensor in (*layer.inputs, *layer.outputs) if tensor.dtype]
    return bool(told) and all(dtype == "fp32" for dtype in told)


def _convolutions(layers: Iterable[EngineLayer]) -> dict[str, int]:
    return dict(Counter(kind for layer in layers if (kind := layer.convolution)).most_common())


def _touched(layers: Iterable[EngineLayer]) -> int | None:
    """Bytes of all layers; None if a layer does not tell, or if there are none that could."""
    sizes = [layer.bytes for layer in layers if layer.role != "nothing"]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _is_core(node: str) -> bool:
    plain = _plain(node)
    return bool(_SOFTMAX.search(plain) or _PRODUCT.search(plain))


def _plain(node: str) -> str:
    return _MYELIN_NUMBER.sub("", node).rsplit("/", 1)[-1]


def _blocks(layers: Sequence[EngineLayer]) -> list[BlockCost]:
    grouped: dict[str, list[EngineLayer]] = defaultdict(list)
    for layer in layers:
        grouped[layer.block].append(layer)
    return [
        BlockCost(
            block=block,
            layers=sum(layer.role != "nothing" for layer in group),
            precisions=dict(
                Counter(
                    layer.precision
                    for layer in group
                    if layer.role == "compute" and layer.precision
                ).most_common()
            ),
            reformats=sum(layer.role in ("reformat", "quantize") for layer in group),
            movers=sum(layer.mover for layer in group),
            quantizers=sum(layer.standing_quantizer for layer in group),
            convolutions=_convolutions(group),
            touched_bytes=_touched(group),
            moved_bytes=_touched([layer for layer in group if layer.mover]),
            weight_bytes=sum(layer.weight_bytes for layer in group),
            activation_bytes=sum(layer.activation_bytes for layer in group),
            ms=_milliseconds(group),
            reformat_ms=_milliseconds(
                layer for layer in group if layer.role in ("reformat", "quantize")
            ),
        )
        for block, group in sorted(grouped.items(), key=lambda item: block_order(item[0]))
        if any(layer.role != "nothing" for layer in group)
    ]
