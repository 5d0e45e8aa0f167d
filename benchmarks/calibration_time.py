"""How long one calibration pass takes, next to the forward passes alone, and its peak memory.

One pass gathers what all four range methods and both dialects need.

    python benchmarks/calibration_time.py --weights yolo12n.pt --data coco.yaml --images 256
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import onnx
from common import conditions

from yolov12edge import load_model
from yolov12edge.data import Letterbox
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.graph.probe import Probe
from yolov12edge.pipeline.images.sources import calibration_images
from yolov12edge.quantize import (
    DIALECTS,
    METHODS,
    choose_steps,
    observe,
    observed_tensors,
    plan_quantization,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="its train split calibrates")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--images", type=int, default=256)
    options = parser.parse_args()

    letterbox = Letterbox(options.imgsz, options.imgsz)
    images = calibration_images(options.data, options.images, 0)
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "model.onnx"
        export_onnx(load_model(options.weights), source, ExportOptions(*[options.imgsz] * 2))
        model = onnx.load(source)
    plans = {dialect: plan_quantization(model, dialect) for dialect in DIALECTS.values()}
    tensors = observed_tensors(model, list(plans.values()))

    forward = Probe(model, [model.graph.output[0].name])
    started = time.perf_counter()
    for image in images.stream(letterbox):
        forward(image)
    alone = time.perf_counter() - started
    del forward
    before = peak()

    started = time.perf_counter()
    statistics = observe(model, tensors, images.stream(letterbox), len(images))
    whole = time.perf_counter() - started
    started = time.perf_counter()
    for dialect, plan in plans.items():
        for method in METHODS:
            choose_steps(plan, dialect, statistics, method)
    chosen = time.perf_counter() - started

    print(conditions())
    print(
        f"{options.weights.name}, {options.imgsz} px, {len(images)} images, {len(tensors)} tensors"
    )
    print(f"reading and forward passes alone  {alone:6.1f} s")
    print(f"the same with statistics          {whole:6.1f} s")
    print(f"ranges, {len(METHODS)} methods, {len(plans)} dialects    {chosen:6.1f} s")
    print(f"peak memory {peak():.2f} GB ({before:.2f} GB before the statistics)")


def peak() -> float:
    """Largest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
