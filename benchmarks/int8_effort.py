"""What INT8 keeps by effort, target and seed of the calibration sample.

For each target, effort and seed the INT8 step of `export` is run, and all files of a target are
judged together on the validation images, where they will run: those for engines in ONNX Runtime,
those for CPUs in OpenVINO.

    python benchmarks/int8_effort.py --weights bccd.pt --data bccd.yaml --imgsz 320
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import onnx
from common import conditions

from yolov12edge import load_model
from yolov12edge.data import Dataset, Letterbox, load_dataset
from yolov12edge.evaluate import Candidate, DriftReport, measure_drifts
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.model import Detector
from yolov12edge.pipeline.images.sources import calibration_images, evenly
from yolov12edge.pipeline.stages.int8 import Int8Step, quantize_step, rules_of
from yolov12edge.pipeline.stages.int8.effort import EFFORTS
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime import open_runner
from yolov12edge.runtime.torch import TorchRunner
from yolov12edge.voice import no_progress

COLUMNS = (
    *("target", "effort", "seed", "INT8 convolutions", "mAP kept", "self-mAP", "found again"),
    *("boxes dB", "scores dB", "s"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="val judges")
    parser.add_argument("--calib", type=Path, help="calibrates; train of --data if absent")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--targets", nargs="*", default=["agx-orin", "cpu-openvino"])
    parser.add_argument("--efforts", nargs="*", default=list(EFFORTS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--method", default="auto", help="of calibration")
    parser.add_argument("--calib-images", type=int, default=None)
    parser.add_argument("--val-images", type=int, default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    detector = load_model(options.weights)
    letterbox = Letterbox(options.imgsz, options.imgsz)
    judges = load_dataset(options.data, "val")
    if options.val_images:
        chosen = evenly(len(judges.images), options.val_images)
        labels = None if judges.labels is None else [judges.labels[at] for at in chosen]
        judges = Dataset(judges.names, [judges.images[at] for at in chosen], labels)
    print(conditions())
    print(f"{options.weights.name}, {options.imgsz} px, {len(judges.images)} validation images\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    rows = []
    for target in options.targets:
        with tempfile.TemporaryDirectory() as name:
            steps = quantize(detector, target, options, Path(name))
            reports = judge(
                detector,
                target,
                [step.conversion.path for _, _, step, _ in steps],
                judges,
                letterbox,
            )
            for (effort, seed, step, seconds), report in zip(steps, reports, strict=True):
                rows.append(row(target, effort, seed, step, seconds, report))
                print(
                    "| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def quantize(
    detector: Detector, target: str, options: argparse.Namespace, folder: Path
) -> list[tuple[str, int, Int8Step, float]]:
    """One INT8 file for each effort and seed, and how long it took."""
    recipe = load_recipe(target)
    source = folder / "model.onnx"
    size = (options.imgsz, options.imgsz)
    export_onnx(detector, source, ExportOptions(*size, variant=recipe.attention))
    found = []
    for seed in options.seeds:
        images = calibration_images(options.calib or options.data, options.calib_images, seed)
        for effort in options.efforts:
            begun = time.monotonic()
            step = quantize_step(
                source,
                folder / f"{effort}-{seed}.onnx",
                rules_of(recipe),
                images,
                Letterbox(*size),
                method=options.method,
                effort=effort,
                fresh=True,
                progress=no_progress,
            )
            found.append((effort, seed, step, time.monotonic() - begun))
    return found


def judge(
    detector: Detector, target: str, paths: list[Path], judges: Dataset, letterbox: Letterbox
) -> list[DriftReport]:
    """Drift of every file, from one reference pass."""
    runtime = "onnxruntime" if load_recipe(target).builds_engine else "openvino"
    runners = [open_runner(path, runtime) for path in paths]
    reports = measure_drifts(
        TorchRunner(detector, letterbox.height, letterbox.width),
        [Candidate(runner, letterbox) for runner in runners],
        judges.images,
        judges if judges.labels is not None else None,
        names=judges.names,
    )
    for runner in runners:
        runner.close()
    return reports


def int8_convolutions(path: Path) -> int:
    """Convolutions with INT8 weights."""
    graph = onnx.load(path).graph
    stored = {one.name for one in graph.initializer}
    return sum(
        node.op_type == "DequantizeLinear" and node.input[0] in stored for node in graph.node
    )


def row(
    target: str, effort: str, seed: int, step: Int8Step, seconds: float, report: DriftReport
) -> dict[str, object]:
    """One line of the table."""
    kept = "-"
    if report.map_reference and report.map_artifact is not None:
        kept = f"{report.map_artifact / report.map_reference:.2%}"
    boxes, scores = (report.tensors[part].sqnr_db for part in ("boxes", "scores"))
    return {
        "target": target,
        "effort": effort,
        "seed": seed,
        "convolutions": int8_convolutions(step.conversion.path),
        "map_kept": kept,
        "self_map": f"{report.self_map:.4f}",
        "found": f"{report.matched:.2%}",
        "boxes_db": f"{boxes:.1f}",
        "scores_db": f"{scores:.1f}",
        "seconds": f"{seconds:.0f}",
    }


if __name__ == "__main__":
    main()
