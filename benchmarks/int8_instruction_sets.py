"""INT8 for CPUs on every instruction set that this processor can play, by seed of the calibration.

For each seed `export --int8 --target cpu-openvino` is run, and the file is judged on all validation
images in OpenVINO, kept to each instruction set, and exactly (ONNX Runtime, optimizations off).
With `--full` the same for weights of all eight bits, which are right with VNNI only. The last
columns are the block in which the runtime is furthest from exact arithmetic when every block is
fed with exact values, and by how much; then the most that any block loses in the whole network,
or, where blocks are wrong, the first of them.

    python benchmarks/int8_instruction_sets.py --weights bccd.pt --data bccd.yaml --imgsz 320
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import conditions

from yolov12edge import load_model
from yolov12edge.data import Dataset, Letterbox, load_dataset, read_image, to_batch
from yolov12edge.evaluate import Candidate, DriftReport, measure_drifts
from yolov12edge.evaluate.arithmetic import compare_arithmetic
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.pipeline.images.sources import calibration_images
from yolov12edge.pipeline.stages.int8 import quantize_step
from yolov12edge.processor import processor
from yolov12edge.quantize import CPU, CPU_VNNI
from yolov12edge.runtime import Runner, open_runner
from yolov12edge.runtime.lesser import GraphProcess, lesser_levels
from yolov12edge.runtime.runner import ClosingRunner, FloatArray, run_in_batches
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import no_progress


class LesserRunner(ClosingRunner):
    """A detector in OpenVINO, kept to an instruction set."""

    def __init__(self, path: Path, like: Runner, level: str) -> None:
        self._graph = GraphProcess(path, level)
        self.name, self.version = "openvino", like.version
        self.device = level
        self.input_shape, self.num_classes = like.input_shape, like.num_classes

    def __call__(self, images: FloatArray) -> FloatArray:
        """(B, 3, H, W) to (B, 4 + classes, A)."""

        def infer(batch: FloatArray) -> FloatArray:
            (output,) = self._graph(batch).values()
            return output

        return run_in_batches(infer, images, self.input_shape[0])

    def close(self) -> None:
        """End the process."""
        self._graph.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="train calibrates, val judges")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--val-images", type=int, default=None)
    parser.add_argument("--calib-images", type=int, default=None)
    parser.add_argument("--full", action="store_true", help="also weights of all eight bits")
    parser.add_argument("--memory", type=int, default=4 * 10**9, help="bytes to feed blocks from")
    options = parser.parse_args()

    detector = load_model(options.weights)
    size = (options.imgsz, options.imgsz)
    letterbox = Letterbox(*size)
    judges = load_dataset(options.data, "val")
    if options.val_images:
        labels = None if judges.labels is None else judges.labels[: options.val_images]
        judges = Dataset(judges.names, judges.images[: options.val_images], labels)
    levels = lesser_levels(processor())
    print(conditions())
    print(f"{options.weights.name}, {options.imgsz} px, {len(judges.images)} validation images\n")
    print("| seed | weights | computed | mAP kept | found again | furthest block, off by | whole |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "model.onnx"
        export_onnx(detector, source, ExportOptions(*size, variant="rows"))
        for seed in options.seeds:
            images = calibration_images(options.data, options.calib_images, seed)
            for dialect in (CPU, CPU_VNNI) if options.full else (CPU,):
                path = Path(name) / f"{dialect.name}-{seed}.onnx"
                quantize_step(source, path, dialect, images, letterbox, progress=no_progress)
                weights = "eight bits" if dialect is CPU_VNNI else "default"
                reports = judge(path, detector, judges, letterbox, levels)
                checks = compare_arithmetic(
                    *(detector, path, pictures(judges, letterbox), "openvino", levels),
                    memory=options.memory,
                )
                print(row(seed, weights, "exactly", reports["exactly"], "", ""))
                for check in checks:
                    assert check.alone is not None
                    alone = f"{check.alone.block}, {check.alone.lost_db:.4f} dB"
                    whole = f"{check.block}, {check.exact_db - check.runtime_db:.2f} dB"
                    print(
                        row(seed, weights, check.name, reports[check.name], alone, whole),
                        flush=True,
                    )


def pictures(judges: Dataset, letterbox: Letterbox) -> Iterator[np.ndarray]:
    """Every validation image as the network takes it."""
    return (to_batch([letterbox(read_image(path))[0]]) for path in judges.images)


def judge(
    path: Path,
    detector: object,
    judges: Dataset,
    letterbox: Letterbox,
    levels: tuple[str, ...],
) -> dict[str, DriftReport]:
    """Drift of the file exactly, on this processor, and on each level, from one reference pass."""
    here = open_runner(path, "openvino")
    runners = {
        # INT8 convolutions whose result stays float run in float there: whole numbers, exactly.
        "exactly": open_runner(path, "onnxruntime"),
        processor().int8_level: here,
        **{level: LesserRunner(path, here, level) for level in levels},
    }
    reports = measure_drifts(
        TorchRunner(detector, letterbox.height, letterbox.width),  # type: ignore[arg-type]
        [Candidate(runner, letterbox) for runner in runners.values()],
        judges.images,
        judges if judges.labels is not None else None,
        names=judges.names,
    )
    for runner in runners.values():
        runner.close()
    return dict(zip(runners, reports, strict=True))


def row(seed: int, weights: str, where: str, report: DriftReport, alone: str, whole: str) -> str:
    """One line of the table."""
    kept = "-"
    if report.map_reference and report.map_artifact is not None:
        kept = f"{report.map_artifact / report.map_reference:.2%}"
    return f"| {seed} | {weights} | {where} | {kept} | {report.matched:.2%} | {alone} | {whole} |"


if __name__ == "__main__":
    main()
