"""What quantization-aware training keeps beside calibration, by target and seed.

For each target and seed the INT8 form of a checkpoint is calibrated and taught on the train split,
as `train --qat` does it, and both files are judged together on the validation images, where they
will run: those for engines in ONNX Runtime, those for CPUs in OpenVINO. Nothing is chosen on the
validation images; the median over the seeds is compared with the aim.

    python benchmarks/qat.py --weights bccd.pt --data bccd.yaml --imgsz 320 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from common import conditions
from int8_effort import judge

from yolov12edge import load_model
from yolov12edge.data import Letterbox, load_dataset
from yolov12edge.evaluate import DriftReport
from yolov12edge.export import export_onnx
from yolov12edge.pipeline.images.sources import calibration_images
from yolov12edge.pipeline.stages.fp16 import fp16_step
from yolov12edge.pipeline.stages.int8 import Int8Step, learned_step, quantize_step, rules_of
from yolov12edge.pipeline.stages.options import graph_options
from yolov12edge.pipeline.training import QatOutcome, QatRequest, train_qat
from yolov12edge.pipeline.training.qat import QatSettings
from yolov12edge.quantize.qat import read_stored
from yolov12edge.run.recipe import load_recipe
from yolov12edge.voice import SILENCE, no_progress

COLUMNS = (
    *("target", "seed", "INT8", "updates", "error on held-back images", "mAP, points"),
    *("to float", "self-mAP", "found again", "boxes dB", "scores dB"),
)
# Of mAP, in points, by the median of the seeds.
AIM = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="train teaches, val judges")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--targets", nargs="*", default=["agx-orin", "cpu-openvino"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=None, help="the default of train if absent")
    parser.add_argument("--lr", type=float, default=None, help="the default of train if absent")
    parser.add_argument("--detection", type=float, default=None, help="weight of the labels' loss")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    print(conditions())
    print(f"{options.weights.name}, {options.imgsz} px\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|", flush=True)
    rows = []
    for target in options.targets:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as name:
                found = compare(target, seed, options, Path(name))
            for one in found:
                print("| " + " | ".join(str(value) for value in one.values()) + " |", flush=True)
            rows += found
        for kind in ("PTQ", "QAT"):
            apart = [
                float(row["apart"])
                for row in rows
                if (row["target"], row["int8"]) == (target, kind)
            ]
            print(f"\n{target}, {kind}: median {statistics.median(apart):+.2f} points to float\n")
    print(f"the aim: {AIM} points")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def compare(
    target: str, seed: int, options: argparse.Namespace, folder: Path
) -> list[dict[str, object]]:
    """One row for calibration and one for what was taught."""
    outcome = teach(target, seed, options, folder / "run")
    recipe, size = load_recipe(target), (options.imgsz, options.imgsz)
    detector, letterbox = load_model(options.weights), Letterbox(*size)
    source = folder / "model.onnx"
    export_onnx(detector, source, graph_options(recipe, "int8", size))
    images = calibration_images(options.data, None, seed)
    twin = None
    if recipe.strongly_typed:
        half = folder / "half.onnx"
        twin = fp16_step(source, half, images, letterbox, voice=SILENCE, progress=no_progress)
    rules = rules_of(recipe)
    plain = quantize_step(
        source,
        folder / "plain.onnx",
        rules,
        images,
        letterbox,
        effort="quick",
        twin=twin,
        progress=no_progress,
    )
    stored = read_stored(outcome.folder.best)
    assert stored is not None
    learned = learned_step(source, folder / "learned.onnx", rules, stored, letterbox, twin)
    assert isinstance(learned, Int8Step), learned
    files = [step.conversion.path for step in (plain, learned)]
    reports = judge(detector, target, files, load_dataset(options.data, "val"), letterbox)
    return [
        row(target, seed, kind, outcome, report)
        for kind, report in zip(("PTQ", "QAT"), reports, strict=True)
    ]


def teach(target: str, seed: int, options: argparse.Namespace, out: Path) -> QatOutcome:
    """A run of `train --qat`."""
    asked = {name: getattr(options, name) for name in ("epochs", "lr", "detection")}
    settings = QatSettings(
        image_size=(options.imgsz, options.imgsz),
        seed=seed,
        **{name: value for name, value in asked.items() if value is not None},
    )
    request = QatRequest(
        data=options.data, weights=options.weights, target=target, settings=settings
    )
    return train_qat(request, out, SILENCE, no_progress)


def row(
    target: str, seed: int, kind: str, outcome: QatOutcome, report: DriftReport
) -> dict[str, object]:
    """One line of the table."""
    assert report.map_reference is not None
    assert report.map_artifact is not None
    boxes, scores = (report.tensors[part].sqnr_db for part in ("boxes", "scores"))
    record, taught = outcome.record, kind == "QAT"
    error = record.after if taught else record.before
    ran = outcome.rows[-1].updates if outcome.rows else 0
    note = " (withdrawn)" if taught and outcome.withdrawn else ""
    return {
        "target": target,
        "seed": seed,
        "int8": kind,
        "updates": f"{ran}{note}" if taught else 0,
        "error": "-" if error is None else f"{error:.4f}",
        "map": f"{100 * report.map_artifact:.2f}",
        "apart": f"{100 * (report.map_artifact - report.map_reference):+.2f}",
        "self_map": f"{report.self_map:.4f}",
        "found": f"{report.matched:.2%}",
        "boxes_db": f"{boxes:.1f}",
        "scores_db": f"{scores:.1f}",
    }


if __name__ == "__main__":
    main()
