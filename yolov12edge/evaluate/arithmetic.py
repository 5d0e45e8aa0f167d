"""Does a CPU runtime compute INT8 as it is written down, on this processor and on lesser ones?

The exact values come from ONNX Runtime with its optimizations off, which multiplies what Q/DQ
restore in float: whole numbers times scales, so nothing saturates. Both are compared with the
detector, block by block: where the runtime is further from it than the exact values are, it
computes something else than the file says.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from yolov12edge.evaluate.blocks import (
    BlockTensors,
    block_tensors,
    ratio_db,
    reference_outputs,
    seen_scores,
)
from yolov12edge.evaluate.detections import Detections, non_max_suppression
from yolov12edge.evaluate.pairs import pair
from yolov12edge.evaluate.report import InstructionSetDrift
from yolov12edge.graph.load import load_graph
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.saturation import int8_convolutions
from yolov12edge.graph.view import GraphView
from yolov12edge.model import Detector
from yolov12edge.processor import processor
from yolov12edge.runtime.lesser import GraphProcess
from yolov12edge.thresholds import COUNTED, SHOWN

Array = NDArray[np.float32]
Run = Callable[[Array], Mapping[str, Array]]

# A runtime sums in another order, and what lies on the border of two steps falls to either side:
# 0.3 dB at most over 8 images (docs/quantization.md). What saturates is off by 10 and more.
TOLERANCE_DB = 1.0
# Above this INT8 has no say: float32 is summed in another order.
_EXACT_DB = 60.0


def has_int8_products(path: Path) -> bool:
    """Whether CPUs multiply INT8 in an ONNX file."""
    return next(int8_convolutions(GraphView(load_graph(path))), None) is not None


def compare_arithmetic(
    detector: Detector,
    path: Path,
    images: Iterable[Array],
    runtime: str,
    levels: Sequence[str] = (),
    threads: int | None = None,
) -> tuple[InstructionSetDrift, ...]:
    """Follow a few images through the file, exactly and in a runtime.

    Args:
        detector: the reference, in eval mode.
        path: an ONNX file exported by this package.
        images: (1, 3, H, W) RGB in 0..1 at the file's size; read one at a time.
        runtime: "openvino", or "onnxruntime", which can't be kept to lesser instruction sets.
        levels: instruction sets to keep to besides what this processor has (runtime/lesser.py).
        threads: CPU threads; the runtime's own choice if None.

    Returns:
        this processor first, then the levels in their order.

    Raises:
        CheckpointError: the file names no blocks, or the runtime cannot run it.
    """
    model = load_graph(path)
    tensors = block_tensors(GraphView(model), path)
    names = tensors.distinct
    exact = _Sums(tensors)
    sums = {level: _Sums(tensors) for level in (processor().int8_level, *levels)}
    with contextlib.ExitStack() as stack:
        run_exactly = _probe(model, names, optimize=False)
        runs = stack.enter_context(_runs(model, names, runtime, levels, threads))
        for image in images:
            expected = reference_outputs(detector, list(tensors.names), image)
            exact.add(expected, run_exactly(image))
            for one, run in zip(sums.values(), runs, strict=True):
                one.add(expected, run(image))
    return tuple(_compare(level, exact, one) for level, one in sums.items())


class _Sums:
    """What adds up over images: signal and error of every block, detections found again."""

    def __init__(self, tensors: BlockTensors) -> None:
        self._tensors = tensors
        self._powers: dict[tuple[str, str], NDArray[np.float64]] = {}
        self.images = self.truths = self.found = 0

    def add(self, expected: Mapping[str, Array], produced: Mapping[str, Array]) -> None:
        for block, value in self._tensors.values(produced).items():
            if block == self._tensors.last:
                self._add_decoded(expected[block], value)
            else:
                self._add_powers(block, "", expected[block], value)
        self.images += 1

    def _add_decoded(self, expected: Array, produced: Array) -> None:
        self._add_powers(self._tensors.last, "boxes", expected[:, :4], produced[:, :4])
        self._add_powers(self._tensors.last, "scores", *seen_scores(expected, produced))
        truth, found = _shown(expected[0]), _shown(np.nan_to_num(produced[0]))
        self.truths += len(truth)
        self.found += len(pair(truth, found).iou)

    def _add_powers(self, block: str, part: str, expected: Array, produced: Array) -> None:
        signal = expected.astype(np.float64)
        error = produced - signal
        sums = np.array([(signal**2).sum(), (error**2).sum()])
        self._powers[block, part] = self._powers.get((block, part), np.zeros(2)) + sums

    def ratios(self) -> dict[str, float]:
        """Signal to error of every block in dB, in graph order."""
        found: dict[str, float] = {}
        for (block, _), (power, noise) in self._powers.items():
            ratio = ratio_db(float(power), float(noise))
            found[block] = min(found.get(block, _EXACT_DB), ratio)
        return found


def _shown(decoded: Array) -> Detections:
    return non_max_suppression(decoded, COUNTED).above(SHOWN.confidence)


def _compare(level: str, exact: _Sums, runtime: _Sums) -> InstructionSetDrift:
    right, own = exact.ratios(), runtime.ratios()
    lost = {block: right[block] - own[block] for block in right}
    worst = max(lost, key=lost.__getitem__)
    first = next((block for block, loss in lost.items() if loss > TOLERANCE_DB), None)
    named = first or worst
    return InstructionSetDrift(
        name=level,
        images=exact.images,
        block=named,
        exact_db=right[named],
        runtime_db=own[named],
        passed=first is None,
        matched=runtime.found / runtime.truths if runtime.truths else None,
        matched_exactly=exact.found / exact.truths if exact.truths else None,
    )


@contextlib.contextmanager
def _runs(
    model: onnx.ModelProto,
    names: Sequence[str],
    runtime: str,
    levels: Sequence[str],
    threads: int | None,
) -> Iterator[list[Run]]:
    """What runs the graph and yields the named tensors: on this processor, then on each level."""
    if runtime != "openvino":
        yield [_probe(model, names, optimize=True)]
        return
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    types = GraphView(onnx.shape_inference.infer_shapes(opened)).types
    del opened.graph.output[:]
    opened.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, types[name], None) for name in names
    )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="yolov12edge-"))
        path = Path(folder) / "blocks.onnx"
        onnx.save(opened, path)
        # All of them start at once, since each takes a second to compile.
        yield [stack.enter_context(GraphProcess(path, level, threads)) for level in (None, *levels)]


def _probe(model: onnx.ModelProto, names: Sequence[str], optimize: bool) -> Run:
    probe = Probe(model, names, optimize=optimize)
    return lambda image: probe(image[0])
