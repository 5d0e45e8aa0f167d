"""Time by layer, and by block of the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from yolov12edge.documents import Document
from yolov12edge.runtime.layer_names import NOWHERE, attention_of, block_of, block_order
from yolov12edge.runtime.layer_times import LayerTimes

PROFILE_RUNS = 20


class LayerTime(Document):
    """A layer's median milliseconds; `kind` is the runtime's operation or kernel."""

    name: str
    kind: str
    block: str
    attention: str | None
    ms: float


class BlockTime(Document):
    """A block's layers together; `attention_ms` is the part of its attention."""

    block: str
    layers: int
    ms: float
    attention_ms: float
    share: float


class Profile(Document):
    """One artifact by layer.

    Attributes:
        ms: all layers together; more than a call takes, since each is timed apart.
        attention_share: of attention in `ms`, its convolutions included.
        layers: in the order they run.
    """

    artifact: str
    runtime: str
    runs: int
    ms: float
    attention_share: float
    blocks: tuple[BlockTime, ...]
    layers: tuple[LayerTime, ...]


def summarize_layers(artifact: str, runtime: str, layers: Sequence[LayerTimes]) -> Profile:
    """Medians by layer, summed up by block.

    A layer that a runtime put in belongs to the block before it; one that prepares an input
    (ONNX Runtime's ReorderInput) to the block after it.
    """
    blocks = _blocks(layers)
    timed = tuple(
        LayerTime(
            name=layer.name,
            kind=layer.kind,
            block=block,
            attention=next(filter(None, map(attention_of, layer.nodes)), None),
            ms=float(np.median(layer.milliseconds)),
        )
        for layer, block in zip(layers, blocks, strict=True)
    )
    total = sum(layer.ms for layer in timed)
    grouped: dict[str, list[LayerTime]] = defaultdict(list)
    for one in timed:
        grouped[one.block].append(one)
    return Profile(
        artifact=artifact,
        runtime=runtime,
        runs=max((len(layer.milliseconds) for layer in layers), default=0),
        ms=total,
        attention_share=_attention_ms(timed) / total if total else 0.0,
        blocks=tuple(
            BlockTime(
                block=block,
                layers=len(group),
                ms=sum(layer.ms for layer in group),
                attention_ms=_attention_ms(group),
                share=sum(layer.ms for layer in group) / total if total else 0.0,
            )
            for block, group in sorted(grouped.items(), key=lambda item: block_order(item[0]))
        ),
        layers=timed,
    )


def _blocks(layers: Sequence[LayerTimes]) -> list[str]:
    found = [block_of(layer.nodes) for layer in layers]
    following = NOWHERE
    for place in range(len(found) - 1, -1, -1):
        if found[place] == NOWHERE and layers[place].kind == "ReorderInput":
            found[place] = following
        elif found[place] != NOWHERE:
            following = found[place]
    last = NOWHERE
    for place, block in enumerate(found):
        found[place] = last = last if block == NOWHERE else block
    return found


def _attention_ms(layers: Sequence[LayerTime]) -> float:
    return sum(layer.ms for layer in layers if layer.attention)
