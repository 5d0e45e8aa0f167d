"""Where a wrong engine goes wrong: parts of its graph are built alike and compared, by halves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.engine import BatchRange
from yolov12edge.engine.build import build_engine
from yolov12edge.errors import EdgeError, UnsupportedError
from yolov12edge.evaluate import DriftReport
from yolov12edge.evaluate.blocks import block_tensors, decoded_ratio, sqnr_db
from yolov12edge.files import write_bytes
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.cut import cut_after, needed_for
from yolov12edge.graph.precisions import lowest_precision
from yolov12edge.pipeline.stages.build import override, recipe_options
from yolov12edge.run.manifest import Manifest, read_manifest
from yolov12edge.run.names import GOLDEN_FILE, ONNX_FILES, PLAN_FILE
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime import Runner, open_runner
from yolov12edge.runtime.golden import levels_of, read_golden
from yolov12edge.runtime.golden_gate import Answers, ask
from yolov12edge.voice import SILENCE, Progress, Voice, no_progress

# What two right runtimes keep of each other, in dB of signal to error: GPUs multiply float32 in
# TF32, and INT8 codes may be rounded the other way.
LEAST_DB = {"fp32": 40.0, "fp16": 30.0, "int8": 15.0}

# Takes an ONNX file to something that runs it: a builder with its runtime.
BuildPart = Callable[[Path], Runner]


@dataclass(frozen=True)
class Bisection:
    """What building parts of a graph told.

    Attributes:
        block: the first block that differs; None where the whole, built again, is right.
        ratio_db: signal to error behind it.
        right: the last block before it, whose part is right; None where none is before it.
        whole: no part is wrong, but all of them together.
        builds: how many parts were built.
    """

    block: str | None
    ratio_db: float
    right: str | None
    whole: bool
    builds: int

    @property
    def text(self) -> str:
        """One line for people."""
        if self.block is None:
            return (
                f"the same graph, built again, is right ({self.builds} build): the file is not "
                "what the builder makes of it here"
            )
        if self.whole and self.right is not None:
            return (
                f"only the whole engine is wrong ({self.ratio_db:.0f} dB against ONNX Runtime): "
                f"parts up to {self.right} are right ({self.builds} builds)"
            )
        before = f", {self.right} before it is right" if self.right is not None else ""
        return (
            f"the engine goes wrong in {self.block}: {self.ratio_db:.0f} dB against ONNX Runtime "
            f"after it{before} ({self.builds} builds)"
        )


def bisect(
    graph: Path,
    images: Callable[[Runner], Answers],
    build: BuildPart,
    progress: Progress = no_progress,
) -> Bisection:
    """Find the first block of an ONNX file that a builder gets wrong.

    A part is the graph up to a block, built and run like the whole; that its neighbours are gone
    may change what is fused, and a fault may vanish with them.

    Args:
        graph: a file that this package exported, in any precision.
        images: runs a part on images, alone and in full batches.
        build: makes something that runs of a part's ONNX file.

    Raises:
        CheckpointError: the file does not name its blocks.
        EdgeError: a part cannot be built or run.
    """
    view = GraphView(load_graph(graph))
    tensors = block_tensors(view, graph).names
    least = LEAST_DB[lowest_precision(view)]
    before = _before(view, tensors)
    ratios: dict[str, float] = {}

    def right(block: str) -> bool:
        ratios[block] = _ratio(view, tensors[block], images, build)
        progress("building parts", len(ratios), len(tensors).bit_length() + 1)
        return ratios[block] >= least

    last = list(tensors)[-1]
    if right(last):
        return Bisection(None, ratios[last], None, whole=False, builds=1)
    wrong, candidates = last, before[last]
    while candidates:
        middle = candidates[len(candidates) // 2]
        if right(middle):
            sound = {middle, *before[middle]}
            candidates = [block for block in candidates if block not in sound]
        else:
            wrong = middle
            candidates = [block for block in candidates if block in before[middle]]
    nearest = before[wrong][-1] if before[wrong] else None
    return Bisection(wrong, ratios[wrong], nearest, whole=wrong == last, builds=len(ratios))


def explain_plan(report: DriftReport, plan: Path, progress: Progress, voice: Voice) -> DriftReport:
    """The report on a plan that failed, with the first block that differs; or why none is named."""
    try:
        found = bisect_plan(plan, progress, voice).text
    except EdgeError as error:
        found = f"where it goes wrong was not looked for: {error.message}"
    return report.model_copy(update={"notes": [found, *report.notes]})


def bisect_plan(plan: Path, progress: Progress = no_progress, voice: Voice = SILENCE) -> Bisection:
    """Bisect the engine of a run folder, on its golden images.

    Raises:
        EdgeError: there is no run folder around it, or a part cannot be built here.
    """
    manifest = read_manifest(plan.parent)
    golden = read_golden(plan.with_name(GOLDEN_FILE))
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        build = part_builder(manifest, Path(folder) / PLAN_FILE, voice)
        graph = plan.with_name(ONNX_FILES[manifest.precision.name])
        return bisect(graph, lambda runner: ask(runner, golden), build, progress)


def part_builder(manifest: Manifest, target: Path, voice: Voice) -> BuildPart:
    """Builds parts as the engine of a run was built: same target, level, memory and batch.

    Raises:
        UnsupportedError: the run's target builds no engine.
    """
    recipe, engine = load_recipe(manifest.target.name), manifest.engine
    backend = recipe.plan_backend
    if backend is None:
        raise UnsupportedError(f"target {recipe.name} builds no engine", "verify its ONNX file")

    def build(part: Path) -> Runner:
        options = recipe_options(recipe)
        if engine is not None:
            batch = BatchRange.parse(engine.batch) if engine.batch and _open_batch(part) else None
            options = override(
                options,
                batch=batch,
                workspace=engine.workspace,
                optimization_level=engine.optimization_level,
            )
        return open_runner(build_engine(part, target, backend, options, no_progress, voice).path)

    return build


def _open_batch(part: Path) -> bool:
    entry = load_graph(part, weights=False).graph.input[0]
    return not entry.type.tensor_type.shape.dim[0].dim_value


def _before(view: GraphView, tensors: dict[str, str]) -> dict[str, list[str]]:
    """The blocks that each block depends on, in graph order."""
    found = {}
    for block, tensor in tensors.items():
        made = {name for node in needed_for(view, tensor) for name in node.output}
        found[block] = [other for other in tensors if other != block and tensors[other] in made]
    return found


def _ratio(
    view: GraphView, tensor: str, images: Callable[[Runner], Answers], build: BuildPart
) -> float:
    """The worst ratio of signal to error of a part's output, over images and places in a batch.

    Of the whole network's output, also over the levels that boxes come from.
    """
    with tempfile.TemporaryDirectory(prefix="yolov12edge-") as folder:
        part = Path(folder) / "part.onnx"
        write_bytes(part, cut_after(view, tensor).SerializeToString())
        with closing(open_runner(part, "onnxruntime")) as runner:
            expected, size = images(runner).alone, runner.input_shape[2:]
        with closing(build(part)) as runner:
            answers = images(runner)
    # A fault on one level is little among all boxes of a picture.
    whole = tensor == view.graph.output[0].name
    levels = levels_of(*size) if whole else (slice(None),)
    compare = decoded_ratio if whole else sqnr_db
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = [
        *zip(expected, answers.alone, strict=True),
        *zip(expected[list(answers.order)], answers.crowd, strict=True),
    ]
    return min(
        compare(one[None, ..., level], other[None, ..., level])
        for one, other in pairs
        for level in levels
    )
