"""Judge whether CPUs compute INT8 as it is written down: this one, and lesser ones it can play."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolov12edge.data import Dataset, Letterbox, read_image, to_batch
from yolov12edge.errors import CheckpointError
from yolov12edge.evaluate import DriftReport
from yolov12edge.evaluate.arithmetic import compare_arithmetic, has_int8_products
from yolov12edge.evaluate.report import InstructionSetDrift
from yolov12edge.graph import GraphView, load_graph
from yolov12edge.graph.saturation import HIGHEST, int8_convolutions
from yolov12edge.model import Detector
from yolov12edge.pipeline.images.sources import evenly
from yolov12edge.processor import EXACT_LEVELS, LEVELS, processor
from yolov12edge.run.manifest import ProductsSection
from yolov12edge.runtime.lesser import lesser_levels

CPU_RUNTIMES = ("openvino", "onnxruntime")
# Images that are followed, spread over the set.
FOLLOWED = 8
ADVICE = (
    "products of INT8 saturate at 16 bits without VNNI: quantize the model again, for a target "
    "without `vnni: true`, or use --fp32"
)


def with_arithmetic(
    report: DriftReport,
    detector: Detector,
    path: Path,
    letterbox: Letterbox,
    dataset: Dataset,
    *,
    threads: int | None = None,
    vnni_only: bool = False,
) -> DriftReport:
    """The report with what each instruction set makes of INT8, and the gate's verdict on it.

    Args:
        report: drift of the file, as the runtime in it found.
        path: the file; one that names no blocks, or in which CPUs multiply no INT8, is left alone.
        letterbox: how it takes images.
        dataset: images to choose from.
        threads: CPU threads; the runtime's own choice if None.
        vnni_only: the file was made for machines with VNNI and need not be right elsewhere.
    """
    runtime = report.judge.runtime
    if path.suffix.lower() != ".onnx" or runtime not in CPU_RUNTIMES or not has_int8_products(path):
        return report
    lesser = lesser_levels(processor()) if runtime == "openvino" and not vnni_only else ()
    chosen = evenly(len(dataset.images), FOLLOWED)
    images = (to_batch([letterbox(read_image(dataset.images[index]))[0]]) for index in chosen)
    try:
        found = compare_arithmetic(detector, path, images, runtime, lesser, threads)
    except CheckpointError as error:
        return report.model_copy(update={"notes": [*report.notes, error.message]})
    changed: dict[str, Any] = {"instruction_sets": found}
    wrong = [one for one in found if not one.passed]
    if wrong:
        reasons = [*_reasons(wrong, runtime), *report.gate.reasons]
        changed["gate"] = report.gate.model_copy(update={"passed": False, "reasons": reasons})
        # Everything else that was noticed follows from it.
        changed["notes"] = [ADVICE]
    return report.model_copy(update=changed)


def products_section(path: Path) -> ProductsSection | None:
    """What the manifest says of INT8 on CPUs; None for a file in which they multiply none."""
    found = [conv.headroom for conv in int8_convolutions(GraphView(load_graph(path)))]
    if not found:
        return None
    largest = max(max(one.highest, -one.lowest) for one in found)
    saturates = any(one.saturating for one in found)
    return ProductsSection(
        largest=largest, limit=HIGHEST, right_on=list(EXACT_LEVELS if saturates else LEVELS)
    )


def _reasons(wrong: Sequence[InstructionSetDrift], runtime: str) -> list[str]:
    """One line for each block in which something goes wrong first."""
    by_block: dict[str, list[InstructionSetDrift]] = {}
    for one in wrong:
        by_block.setdefault(one.block, []).append(one)
    return [
        f"{runtime} computes INT8 wrong on {', '.join(one.name for one in alike)}: {block} has "
        f"{alike[0].runtime_db:.1f} dB of signal to error, exactly {alike[0].exact_db:.1f}"
        for block, alike in by_block.items()
    ]
