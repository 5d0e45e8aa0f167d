"""Does a CPU runtime compute INT8 as it is written down, on this processor and on lesser ones?

The exact values come from ONNX Runtime with its optimizations off, which multiplies what Q/DQ
restore in float: whole numbers times scales, so nothing saturates. Both are compared with the
detector, block by block: where the runtime is further from it than the exact values are, it
computes something else than the file says.

That is done twice. In the whole network what one block gets wrong travels on, and so does what is
no fault: sums in another order, which put values on the border of two steps on either side. Blocks
that are fed with exact values answer for themselves alone.
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
from yolov12edge.evaluate.report import BlockDrift, InstructionSetDrift
from yolov12edge.graph.cut import cut_at, with_outputs
from yolov12edge.graph.load import load_graph
from yolov12edge.graph.probe import Probe
from yolov12edge.graph.saturation import int8_convolutions
from yolov12edge.graph.view import GraphView
from yolov12edge.model import Detector
from yolov12edge.processor import processor
from yolov12edge.runtime.lesser import GraphProcess
from yolov12edge.thresholds import COUNTED, SHOWN

Array = NDArray[np.float32]
# Takes values of a graph's inputs to those of its tensors, both by name.
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

# In the whole network healthy files lose up to 0.3 dB over 8 images, what saturates 10 and more.
TOLERANCE_DB = 1.0
# Of blocks fed with exact values: healthy ones stay within hundredths (docs/quantization.md).
BLOCK_TOLERANCE_DB = 0.5
# For values that blocks are fed with: 8 images of a small network at 640 px, 2 of a medium one.
MEMORY = 10**9
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
    memory: int = MEMORY,
) -> tuple[InstructionSetDrift, ...]:
    """Follow a few images through the file, exactly and in a runtime.

    Args:
        detector: the reference, in eval mode.
        path: an ONNX file exported by this package.
        images: (1, 3, H, W) RGB in 0..1 at the file's size; read one at a time.
        runtime: "openvino", or "onnxruntime", which can't be kept to lesser instruction sets.
        levels: instruction sets to keep to besides what this processor has (runtime/lesser.py).
        threads: CPU threads; the runtime's own choice if None.
        memory: bytes for what blocks are fed with; one image is always taken.

    Returns:
        this processor first, then the levels in their order.

    Raises:
        CheckpointError: the file names no blocks, or the runtime cannot run it.
    """
    view = GraphView(onnx.shape_inference.infer_shapes(load_graph(path)))
    tensors = block_tensors(view, path)
    names, places = tensors.distinct, (None, *levels)
    entry, blocks = view.inputs[0].name, cut_at(view, names)
    held = _Held(tensors, memory)
    exact, whole, alone = _Sums(tensors), *([_Sums(tensors) for _ in places] for _ in range(2))
    run_exactly = _probe(view.model, names, optimize=False)
    with _runs(with_outputs(view, names), names, runtime, places, threads) as runs:
        for image in images:
            expected = reference_outputs(detector, list(tensors.names), image)
            values = run_exactly({entry: image})
            exact.add(expected, values)
            for sums, run in zip(whole, runs, strict=True):
                sums.add(expected, run({entry: image}))
            fed = {entry: image, **{name: values[cut] for cut, name in blocks.fed.items()}}
            held.add(expected, values, fed)
    for sums, place in zip(alone, places, strict=True):
        # One after the other: a large network that is fed with everything takes a gigabyte.
        with _runs(blocks.model, names, runtime, [place], threads) as (run,):
            for wanted, given in held.images:
                sums.add(wanted, run(given))
    sets = (processor().int8_level, *levels)
    return tuple(
        _compare(level, exact, travelled, held.exact, own)
        for level, travelled, own in zip(sets, whole, alone, strict=True)
    )


class _Held:
    """What blocks are to yield and are fed with, on as many images as there is memory for."""

    def __init__(self, tensors: BlockTensors, memory: int) -> None:
        self.images: list[tuple[Mapping[str, Array], Mapping[str, Array]]] = []
        self.exact = _Sums(tensors)
        self._room = memory

    def add(
        self, expected: Mapping[str, Array], values: Mapping[str, Array], fed: Mapping[str, Array]
    ) -> None:
        self._room -= sum(one.nbytes for one in (*expected.values(), *fed.values()))
        if self._room >= 0 or not self.images:
            self.images.append((expected, fed))
            self.exact.add(expected, values)


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


def _compare(
    level: str, exact: _Sums, whole: _Sums, held: _Sums, alone: _Sums
) -> InstructionSetDrift:
    """The verdict on an instruction set; `held` are exact values of the images of `alone`."""
    lost, own = _lost(exact, whole), _lost(held, alone)
    # In the whole network a block may only look wrong, behind others that are.
    wrong_alone = [block for block, loss in own.items() if loss > BLOCK_TOLERANCE_DB]
    wrong = wrong_alone or [block for block, loss in lost.items() if loss > TOLERANCE_DB]
    named = wrong[0] if wrong else max(lost, key=lost.__getitem__)
    right, runtime = (held, alone) if wrong_alone else (exact, whole)
    furthest = max(own, key=lambda block: abs(own[block]))
    return InstructionSetDrift(
        name=level,
        images=exact.images,
        block=named,
        exact_db=right.ratios()[named],
        runtime_db=runtime.ratios()[named],
        alone=BlockDrift(block=furthest, lost_db=own[furthest], images=held.images),
        passed=not wrong,
        matched=whole.found / whole.truths if whole.truths else None,
        matched_exactly=exact.found / exact.truths if exact.truths else None,
    )


def _lost(exact: _Sums, runtime: _Sums) -> dict[str, float]:
    found = runtime.ratios()
    return {block: ratio - found[block] for block, ratio in exact.ratios().items()}


@contextlib.contextmanager
def _runs(
    model: onnx.ModelProto,
    names: Sequence[str],
    runtime: str,
    levels: Sequence[str | None],
    threads: int | None,
) -> Iterator[list[Run]]:
    """What runs a graph and yields its outputs on each level; None: as this processor can."""
    if runtime != "openvino":
        yield [_probe(model, names, optimize=True)]
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="yolov12edge-"))
        path = Path(folder) / "blocks.onnx"
        onnx.save(model, path)
        # All of them start at once, since each takes a second to compile.
        processes = [stack.enter_context(GraphProcess(path, level, threads)) for level in levels]
        batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
        yield [_of_one_image(process, batch) for process in processes]


def _of_one_image(run: Run, batch: int) -> Run:
    """What runs a graph of a fixed batch, for one image."""

    def run_one(values: Mapping[str, Array]) -> Mapping[str, Array]:
        found = run({name: np.repeat(value, batch, axis=0) for name, value in values.items()})
        return {name: value[:1] for name, value in found.items()}

    return run_one


def _probe(model: onnx.ModelProto, names: Sequence[str], optimize: bool) -> Run:
    probe = Probe(model, names, optimize=optimize)
    entry = model.graph.input[0].name

    def run(values: Mapping[str, Array]) -> Mapping[str, Array]:
        further = {name: value for name, value in values.items() if name != entry}
        return probe(values[entry][0], further)

    return run
