"""Where an artifact's error starts: block by block, the ONNX graph against the detector.

An exported graph names the tensor that each block yields (metadata `yolov12edge.blocks`), so one
image can be followed through both, and the first block that parts ways is known by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolov12edge.errors import CheckpointError
from yolov12edge.graph.load import load_graph
from yolov12edge.graph.precisions import lowest_precision
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.view import GraphView
from yolov12edge.model import Detector
from yolov12edge.runtime.metadata import BLOCKS_KEY
from yolov12edge.thresholds import COUNTED

# Below this ratio of signal to error a block no longer computes what it should. How far above it
# healthy ones stay: benchmarks/block_errors.py.
FLOOR_DB = {"fp32": 80.0, "fp16": 30.0, "int8": 8.0}
EXACT_DB = 150.0
# Shares of variance: from where on a channel of the detector counts, and below which it is dead.
LIVELY = 0.02
FLAT = 1e-4
_LAYER = re.compile(r"model\.\d+(\.cv\d\.\d)?")

Array = NDArray[np.float32]


@dataclass(frozen=True)
class BlockError:
    """Error of one block's output.

    Attributes:
        block: dotted module path, as in the checkpoint.
        sqnr_db: 10 log10(signal power / error power), within +-150.
        loss_db: how much of it was lost inside this block, against the worst of its inputs.
        dead: channels that are constant over the image where the detector's are not.
    """

    block: str
    sqnr_db: float
    loss_db: float
    dead: tuple[int, ...] = ()


@dataclass(frozen=True)
class BlockTrace:
    """Every block in order, and the first that is broken, if one is.

    Attributes:
        start: the first block below the floor of the graph's precision, or with a dead channel.
        blocks: all of them, in graph order.
        precision: fp32, fp16 or int8: the lowest that the graph computes in.
    """

    start: BlockError | None
    blocks: tuple[BlockError, ...]
    precision: str

    def costliest(self, count: int = 3) -> tuple[BlockError, ...]:
        """Layers and head branches that add most noise to their signal, the worst first."""

        def added(block: BlockError) -> float:
            after, before = block.sqnr_db, block.sqnr_db + block.loss_db
            return float(10 ** (-after / 10) - 10 ** (-before / 10))

        layers = [block for block in self.blocks if _LAYER.fullmatch(block.block)]
        # The last layer only decodes what its branches yield.
        return tuple(sorted(layers[:-1], key=added, reverse=True)[:count])

    @property
    def text(self) -> str:
        """One line for people."""
        if self.start is None:
            weakest = min(self.blocks, key=lambda block: block.sqnr_db)
            return (
                f"no single block breaks; the weakest is {weakest.block} at "
                f"{weakest.sqnr_db:.0f} dB"
            )
        decoding = self.start.block.count(".") == 1 and self.start is self.blocks[-1]
        name = f"{self.start.block}, box decoding" if decoding else self.start.block
        if self.start.sqnr_db >= FLOOR_DB[self.precision]:
            first = self.start.dead[0]
            return (
                f"the error starts in {name}: {len(self.start.dead)} of its channels are dead, the "
                f"first is {first}"
            )
        return (
            f"the error starts in {name}: {self.start.sqnr_db:.0f} dB of signal to error after "
            f"it, {self.precision} keeps at least {FLOOR_DB[self.precision]:.0f}"
        )


@dataclass(frozen=True)
class BlockTensors:
    """The tensors that the blocks of an exported graph yield.

    Attributes:
        names: block to tensor, in graph order.
        negative: blocks whose tensor holds the negative of what they yield.
    """

    names: dict[str, str]
    negative: frozenset[str]

    @property
    def distinct(self) -> list[str]:
        """The tensors, each once."""
        return list(dict.fromkeys(self.names.values()))

    @property
    def last(self) -> str:
        """The block that decodes."""
        return next(reversed(self.names))

    def values(self, found: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
        """What each block yields, in float32, where `found` has the graph's tensors by name."""
        return {
            block: (-1 if block in self.negative else 1) * np.asarray(found[name], np.float32)
            for block, name in self.names.items()
        }


def trace_blocks(detector: Detector, path: Path, image: Array) -> BlockTrace:
    """Follow one image through the detector and an exported ONNX graph.

    Args:
        detector: the reference, in eval mode.
        path: an ONNX file exported by this package, in any precision.
        image: (1, 3, H, W) RGB in 0..1 at the file's size.

    Raises:
        CheckpointError: the file names no blocks.
    """
    view = GraphView(load_graph(path))
    tensors = block_tensors(view, path)
    expected = reference_outputs(detector, list(tensors.names), image)
    # Unoptimized, so that the blocks' tensors survive.
    probe = Probe(view.model, tensors.distinct, optimize=False)
    produced = tensors.values(probe(image[0]))
    last = tensors.last
    ratios = {
        block: (decoded_ratio if block == last else sqnr_db)(expected[block], produced[block])
        for block in produced
    }
    blocks = []
    for block, ratio in ratios.items():
        entering = [ratios[source] for source in _sources(block, list(ratios))]
        loss = min(entering, default=EXACT_DB) - ratio
        dead = () if block == last else dead_channels(expected[block], produced[block])
        blocks.append(BlockError(block, ratio, max(0.0, loss), dead))
    precision = lowest_precision(view)
    broken = (block for block in blocks if block.dead or block.sqnr_db < FLOOR_DB[precision])
    return BlockTrace(next(broken, None), tuple(blocks), precision)


def sqnr_db(expected: Array, produced: Array) -> float:
    """Ratio of signal to error in dB: 150 where equal, -150 where the product is not finite."""
    signal = expected.astype(np.float64)
    error = produced.astype(np.float64) - signal
    return ratio_db(float((signal**2).mean()), float((error**2).mean()))


def ratio_db(power: float, noise: float) -> float:
    """10 log10(power / noise) within +-150: 150 without noise, -150 where it is not finite."""
    if not np.isfinite(noise) or (power == 0 and noise > 0):
        return -EXACT_DB
    if noise == 0:
        return EXACT_DB
    return float(np.clip(10 * np.log10(power / noise), -EXACT_DB, EXACT_DB))


def dead_channels(expected: Array, produced: Array) -> tuple[int, ...]:
    """Channels of (1, C, h, w) that lost their variation over the image.

    Channels that vary little in the detector itself are left out: rounding may flatten them.
    """
    before = expected[0].reshape(expected.shape[1], -1).var(axis=1, dtype=np.float64)
    after = produced[0].reshape(produced.shape[1], -1).var(axis=1, dtype=np.float64)
    dead = (before > LIVELY * before.mean()) & (after < FLAT * before)
    return tuple(int(channel) for channel in np.flatnonzero(dead))


def decoded_ratio(expected: Array, produced: Array) -> float:
    """The worse of boxes and scores: pixels would drown scores."""
    boxes = sqnr_db(expected[:, :4], produced[:, :4])
    before, after = seen_scores(expected, produced)
    return min(boxes, sqnr_db(before, after)) if before.size else boxes


def seen_scores(expected: Array, produced: Array) -> tuple[Array, Array]:
    """Scores of both of two decoded outputs where one side is at least at the least confidence.

    Runtimes round a sigmoid near 0 each in their own way, and nobody ever sees what is below.
    """
    before, after = expected[:, 4:], produced[:, 4:]
    # NaN is seen.
    seen = (before >= COUNTED.confidence) | ~(after < COUNTED.confidence)
    return before[seen], after[seen]


def block_tensors(view: GraphView, path: Path) -> BlockTensors:
    """The tensors of a graph's blocks, as far as they still exist.

    Raises:
        CheckpointError: the file names no blocks.
    """
    text = view.metadata.get(BLOCKS_KEY)
    if text is None:
        raise CheckpointError(
            f"{path.name} does not name its blocks", "only files that yolov12edge exported do"
        )
    order = {output: position for position, node in enumerate(view.nodes) for output in node.output}
    marked = dict(json.loads(text))
    named = {block: name.removeprefix("-") for block, name in marked.items()}
    kept = [block for block, name in named.items() if name in order]
    return BlockTensors(
        {block: named[block] for block in sorted(kept, key=lambda block: order[named[block]])},
        frozenset(block for block, name in marked.items() if name.startswith("-")),
    )


def reference_outputs(detector: Detector, blocks: Sequence[str], image: Array) -> dict[str, Array]:
    """What the detector's blocks yield on one image; the last of them decodes."""
    outputs: dict[str, Array] = {}
    last = f"model.{len(detector.model) - 1}"

    def keep(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(
            lambda _module, _inputs, output: outputs.__setitem__(name, output.numpy())
        )

    handles = [keep(name, detector.get_submodule(name)) for name in blocks if name != last]
    try:
        with torch.inference_mode():
            decoded: Tensor = detector(torch.from_numpy(image))
    finally:
        for handle in handles:
            handle.remove()
    return outputs | {last: decoded.numpy()}


def _sources(block: str, blocks: list[str]) -> list[str]:
    """What feeds a block: its branches for the head, the block before it for all others."""
    branches = [other for other in blocks if other.startswith(f"{block}.cv")]
    position = blocks.index(block)
    return branches or blocks[max(0, position - 1) : position]
