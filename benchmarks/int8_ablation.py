"""What each INT8 rule is worth: the default against itself with one thing changed.

One calibration pass serves every variant. All variants are judged in one pass over the validation
images, against the PyTorch checkpoint. With `--rounds N` those of the CPU are also timed in
OpenVINO, N times in turn.

    python benchmarks/int8_ablation.py --weights bccd.pt --data bccd.yaml --imgsz 320 --dialect cpu
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from common import conditions
from int8_cpu import compiled, race

from yolov12edge import load_model
from yolov12edge.data import Dataset, Letterbox, load_dataset, read_image, to_batch
from yolov12edge.evaluate import DriftReport
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.pipeline.images.sources import CalibrationImages, calibration_images
from yolov12edge.pipeline.stages.verify import Subject, verify_artifacts
from yolov12edge.quantize import (
    DIALECTS,
    METHODS,
    Dialect,
    Method,
    activation_shifts,
    choose_steps,
    equalize,
    observe,
    observed_tensors,
    plan_quantization,
    quantize_int8,
    score_corrections,
)
from yolov12edge.quantize.rules import common
from yolov12edge.quantize.rules.cpu import SEVEN_BITS

CORRECTING = 24
SHIFTING = 16
EVENING = 8
ATTENTION = {"tensorrt": "packed", "cpu": "rows", "cpu-vnni": "rows"}


@dataclass(frozen=True)
class Variant:
    """The default with one thing changed."""

    name: str
    dialect: Dialect
    method: Method = "mse"
    shifted: bool = True
    corrected: bool = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="train calibrates, val judges")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--dialect", choices=list(DIALECTS), required=True)
    parser.add_argument("--calib-images", type=int, default=None)
    parser.add_argument("--val-images", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0, help="of the calibration sample")
    parser.add_argument("--only", nargs="*", help="names of variants")
    parser.add_argument("--rounds", type=int, default=0, help="of timing in OpenVINO (CPU)")
    parser.add_argument("--threads", type=int, default=2, help="of OpenVINO")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    detector = load_model(options.weights)
    letterbox = Letterbox(options.imgsz, options.imgsz)
    images = calibration_images(options.data, options.calib_images, options.seed)
    judges = first(load_dataset(options.data, "val"), options.val_images)
    variants = [
        variant
        for variant in all_variants(DIALECTS[options.dialect])
        if not options.only or variant.name in options.only
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "model.onnx"
        layout = ATTENTION[options.dialect]
        export_onnx(detector, source, ExportOptions(*[options.imgsz] * 2, variant=layout))
        files = write_variants(variants, source, folder, images, letterbox)
        found = verify_artifacts(detector, [Subject(path) for path in files.values()], judges)
        reports = dict(zip(files, found.values(), strict=True))
        times = {}
        if options.rounds and options.dialect == "cpu":
            image = to_batch([letterbox(read_image(judges.images[0]))[0]])
            times = time_variants(files, image, options)
    print(conditions())
    print(
        f"{options.weights.name}, {len(images)} calibration images (seed {options.seed}), ", end=""
    )
    print(f"{len(judges.images)} validation images, {options.imgsz} px, {options.dialect}")
    print_table(reports, times)
    if options.json:
        rows = {name: report.model_dump(mode="json") for name, report in reports.items()}
        options.json.write_text(json.dumps(rows, indent=2))


def all_variants(dialect: Dialect) -> list[Variant]:
    """The default, then one change each: a rule less, a rule more, another method."""
    changed: list[Variant] = [Variant("default", dialect)]

    def add(name: str, **fields: object) -> None:
        changed.append(Variant(name, dataclasses.replace(dialect, **fields)))  # type: ignore[arg-type]

    for rule in dialect.keep:
        if rule is common.DECODING:
            continue  # its bins are no map: nothing here quantizes them
        rest = tuple(other for other in dialect.keep if other is not rule)
        if rule is common.ATTENTION_PRODUCTS:
            inputs = (*dialect.quantize, common.ATTENTION_INPUTS)
            add("attention in INT8", keep=rest, quantize=inputs)
        else:
            add(f"without {rule.name}", keep=rest)
    for more in (common.STEM, common.FINE_MERGES, common.DEPTHWISE):
        if more not in dialect.keep:
            add(f"with {more.name} in float", keep=(*dialect.keep, more))
    for evening in dialect.equalize:
        add(f"without {evening.name}", equalize=())
    for moved in dialect.move_up:
        add(f"without {moved.name}", move_up=())
    if dialect.weights is not None:
        add(f"without {dialect.weights.name} (right with VNNI only)", weights=None)
        add("weights of seven bits throughout", weights=SEVEN_BITS)
    add("residual sums in INT8", quantize=(*dialect.quantize, common.RESIDUAL_SUMS))
    changed.append(Variant("without the shift of channels", dialect, shifted=False))
    changed.append(Variant("without score correction", dialect, corrected=False))
    changed += [Variant(f"ranges by {method}", dialect, method) for method in METHODS[:3]]
    return changed


def write_variants(
    variants: list[Variant],
    source: Path,
    folder: Path,
    images: CalibrationImages,
    letterbox: Letterbox,
) -> dict[str, Path]:
    """One INT8 file a variant, from as few calibration passes as there are float graphs."""
    files: dict[str, Path] = {}
    for number, rules in enumerate({one.dialect.equalize for one in variants}):
        mine = [one for one in variants if one.dialect.equalize == rules]
        evening = images.part(0, EVENING).stream(letterbox)
        graph = folder / f"float-{number}.onnx"
        model, dialect = onnx.load(source), mine[0].dialect
        plan = plan_quantization(model, dialect)
        onnx.save(equalize(model, plan, dialect, evening), graph)
        files |= write_alike(mine, graph, folder, images, letterbox)
    return {one.name: files[one.name] for one in variants}


def write_alike(
    variants: list[Variant],
    source: Path,
    folder: Path,
    images: CalibrationImages,
    letterbox: Letterbox,
) -> dict[str, Path]:
    """One INT8 file a variant of one float graph, from one calibration pass."""
    correcting = list(images.part(0, CORRECTING).stream(letterbox))
    model = onnx.load(source)
    plans = {one.name: plan_quantization(model, one.dialect) for one in variants}
    tensors = observed_tensors(model, list(plans.values()))
    statistics = observe(model, tensors, images.stream(letterbox), len(images))
    files: dict[str, Path] = {}
    for one in variants:
        plan, path = plans[one.name], folder / f"{one.name.replace(' ', '-')}.onnx"
        shifts = None
        if one.shifted:
            steps = {one.method: choose_steps(plan, one.dialect, statistics, one.method)}
            found = activation_shifts(model, plan, steps, iter(correcting[:SHIFTING]))
            shifts = found[one.method]
        write = functools.partial(
            quantize_int8, source, path, plan, one.dialect, statistics, one.method, shifts=shifts
        )
        write()
        if one.corrected:
            write(corrections=score_corrections(source, path, iter(correcting)))
        files[one.name] = path
    return files


def first(data: Dataset, count: int | None) -> Dataset:
    """The first images of a data set."""
    labels = None if data.labels is None else data.labels[:count]
    return Dataset(data.names, data.images[:count], labels)


def time_variants(
    files: dict[str, Path], image: np.ndarray, options: argparse.Namespace
) -> dict[str, float]:
    """Time of each variant in OpenVINO over that of the first, by name."""
    requests = {name: compiled(path, options.threads) for name, path in files.items()}
    figures = race(requests, image, options.rounds, next(iter(files)))
    return {name: found["ratio"][1] for name, found in figures.items()}


def print_table(reports: dict[str, DriftReport], times: dict[str, float]) -> None:
    """As Markdown, for docs/quantization.md."""
    head = ["variant", "mAP kept", "self-mAP", "matched", "boxes dB", "scores dB"]
    head += ["time"] if times else []
    print(f"\n| {' | '.join(head)} |")
    print("|---" * len(head) + "|")
    for name, report in reports.items():
        kept = "-"
        if report.map_reference:
            kept = f"{report.map_artifact / report.map_reference:.2%}"
        boxes, scores = (report.tensors[output].sqnr_db for output in ("boxes", "scores"))
        time = f" {times[name]:.3f} |" if times else ""
        print(
            f"| {name} | {kept} | {report.self_map:.4f} | {report.matched:.2%} "
            f"| {boxes:.1f} | {scores:.1f} |{time}"
        )


if __name__ == "__main__":
    main()
