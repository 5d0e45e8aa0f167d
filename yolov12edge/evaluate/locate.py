"""Where an artifact's error starts: block by block, the ONNX graph against the detector.

An exported graph names the tensor that each block yields (metadata `yolov12edge.blocks`), so the
same image can be followed through both and the first block that parts ways is known by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolov12edge.errors import CheckpointError
from yolov12edge.model import Detector

BLOCKS_KEY = "yolov12edge.blocks"
# Below this signal-to-error ratio a block no longer computes what it should; quantization noise of a
# healthy block stays above it.
BROKEN_DB = 15.0
EXACT_DB = 150.0


@dataclass(frozen=True)
class BlockError:
    """Signal-to-error ratio of one block's output.

    Attributes:
        block: dotted module path, as in the checkpoint.
        sqnr_db: 10 log10(signal power / error power); 150 where equal.
        loss_db: how much of it was lost inside this block, against the worst of its inputs.
    """

    block: str
    sqnr_db: float
    loss_db: float


@dataclass(frozen=True)
class Location:
    """Where the error starts, and the ratio of every block on the way."""

    start: BlockError | None
    blocks: tuple[BlockError, ...]

    @property
    def text(self) -> str:
        """One line for people."""
        if self.start is None:
            worst = min(self.blocks, key=lambda block: block.sqnr_db)
            return f"no single block breaks; the weakest is {worst.block} at {worst.sqnr_db:.0f} dB"
        name = self.start.block
        where = f"{name} (box decoding)" if name == "model.21" else name
        return (
            f"the error starts at {where}: {self.start.sqnr_db:.0f} dB, "
            f"{self.start.loss_db:.0f} dB lost inside it"
        )


def locate_error(detector: Detector, path: Path, image: NDArray[np.float32]) -> Location:
    """Follow one image through the detector and an exported ONNX graph.

    Args:
        detector: the reference, in eval mode.
        path: an ONNX file exported by this package, in any precision.
        image: (1, 3, H, W) RGB in 0..1.

    Raises:
        CheckpointError: the file names no blocks.
    """
    model = onnx.load(path)
    tensors = _block_tensors(model, path)
    expected = _reference_outputs(detector, list(tensors), image)
    produced = _artifact_outputs(model, list(tensors.values()), image)
    ratios = {
        block: sqnr_db(expected[block], produced[tensor]) for block, tensor in tensors.items()
    }
    blocks: list[BlockError] = []
    for block, ratio in ratios.items():
        entering = [ratios[source] for source in _sources(block, list(ratios))]
        blocks.append(BlockError(block, ratio, max(0.0, min(entering, default=EXACT_DB) - ratio)))
    broken = [block for block in blocks if block.sqnr_db < BROKEN_DB]
    return Location(broken[0] if broken else None, tuple(blocks))


def sqnr_db(expected: NDArray[np.floating], produced: NDArray[np.floating]) -> float:
    """Signal-to-error ratio in dB, capped at 150; -150 where the product is not finite."""
    signal = np.float64(expected)
    error = np.float64(produced) - signal
    if not np.isfinite(error).all():
        return -EXACT_DB
    noise = float((error**2).mean())
    power = float((signal**2).mean())
    if noise == 0:
        return EXACT_DB
    if power == 0:
        return -EXACT_DB
    return float(np.clip(10 * np.log10(power / noise), -EXACT_DB, EXACT_DB))


def _block_tensors(model: onnx.ModelProto, path: Path) -> dict[str, str]:
    """Block to tensor, in graph order, as far as the tensors still exist."""
    text = next((p.value for p in model.metadata_props if p.key == BLOCKS_KEY), None)
    if text is None:
        raise CheckpointError(
            f"{path.name} does not name its blocks", "only files exported by yolov12edge do"
        )
    order = {
        output: position
        for position, node in enumerate(model.graph.node)
        for output in node.output
    }
    pairs = [(block, tensor) for block, tensor in json.loads(text) if tensor in order]
    return dict(sorted(pairs, key=lambda pair: order[pair[1]]))


def _reference_outputs(
    detector: Detector, blocks: Sequence[str], image: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    outputs: dict[str, NDArray[np.float32]] = {}
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


def _artifact_outputs(
    model: onnx.ModelProto, tensors: Sequence[str], image: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Run the graph with the blocks' tensors as outputs, optimizations off so that they survive."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    known = {output.name for output in opened.graph.output}
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=tensor) for tensor in tensors if tensor not in known
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    batch = opened.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    images = np.repeat(image, batch, axis=0)
    values = session.run(list(tensors), {opened.graph.input[0].name: images})
    return {
        tensor: np.asarray(value[:1], dtype=np.float32)
        for tensor, value in zip(tensors, values, strict=True)
    }


def _sources(block: str, blocks: list[str]) -> list[str]:
    """What feeds a block: the branches for the head, the block before it for all others."""
    if block.count(".") == 1 and any(other.startswith(f"{block}.cv") for other in blocks):
        return [other for other in blocks if other.startswith(f"{block}.cv")]
    position = blocks.index(block)
    return blocks[max(0, position - 1) : position]
