"""INT8 on a CPU: ours against our FP32 and against the public exporter's INT8, in OpenVINO.

Every file runs in the same OpenVINO with the same threads, round by round in a random order, so
that a drifting machine slows all of them alike; a ratio is the median over rounds, with the 10th
and 90th percentile. `--profile` adds OpenVINO's own times by kind of layer.

The public exporter lives in an environment of its own:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install ultralytics openvino nncf
    python benchmarks/int8_cpu.py --weights yolo12n.pt --data coco.yaml --peer /tmp/peer/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import yaml

from yolov12edge import load_model
from yolov12edge.data import Letterbox, load_dataset, read_image, to_batch
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.pipeline.images.sources import calibration_images
from yolov12edge.pipeline.stages.int8 import quantize_step
from yolov12edge.quantize import CPU

PEER = """
import sys
from ultralytics import YOLO
weights, data, size = sys.argv[1:4]
for int8 in (False, True):
    print(YOLO(weights).export(format="openvino", int8=int8, data=data, imgsz=int(size)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="data.yaml: train calibrates")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--peer", type=Path, help="python of an environment with ultralytics")
    parser.add_argument("--calib-images", type=int, default=None)
    parser.add_argument("--calib-method", default="mse")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = our_files(options, folder)
        if options.peer:
            files |= peer_files(options, folder)
        picture = load_dataset(options.data, "val").images[0]
        letterbox = Letterbox(options.imgsz, options.imgsz)
        image = to_batch([letterbox(read_image(picture))[0]])
        requests = {label: compiled(path, options.threads) for label, path in files.items()}
        figures = race(requests, image, options.rounds)
        if options.profile:
            profiles = {label: profile(path, options, image) for label, path in files.items()}
            for label, rows in profiles.items():
                print(f"\n{label}, ms by kind of layer (one of the rounds, profiling on)")
                for kind, spent in rows.items():
                    print(f"  {spent:7.2f}  {kind}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def our_files(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    detector = load_model(options.weights)
    size = (options.imgsz, options.imgsz)
    files = {}
    for variant in ("packed", "rows"):
        files[f"ours FP32 {variant}"] = folder / f"{variant}.onnx"
        export_onnx(detector, files[f"ours FP32 {variant}"], ExportOptions(*size, variant=variant))
    images = calibration_images(options.data, options.calib_images, 0)
    files["ours INT8"] = folder / "int8.onnx"
    started = time.perf_counter()
    quantize_step(
        folder / "rows.onnx",
        files["ours INT8"],
        CPU,
        images,
        Letterbox(*size),
        method=options.calib_method,
        progress=lambda *_: None,
    )
    print(f"ours: quantized in {time.perf_counter() - started:.0f} s ({len(images)} images)")
    return files


def peer_files(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """The public exporter's OpenVINO models, made of the same weights in its own environment."""
    weights = folder / "peer.pt"
    weights.write_bytes(options.weights.read_bytes())
    document = yaml.safe_load(options.data.read_text())
    root = (options.data.parent / document.get("path", ".")).resolve()
    # It calibrates on the val split; the same images as ours are named there.
    document |= {"path": str(root), "val": document["train"]}
    data = folder / "data.yaml"
    data.write_text(yaml.safe_dump(document))
    started = time.perf_counter()
    done = subprocess.run(
        [options.peer, "-c", PEER, weights, data, str(options.imgsz)],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    print(f"public: two exports in {time.perf_counter() - started:.0f} s")
    lines = [line.strip().rstrip("/") for line in done.stdout.splitlines()]
    folders = [line for line in lines if line.endswith("_model") and " " not in line]
    names = ("public FP32", "public INT8")
    return {
        name: next((folder / path).glob("*.xml"))
        for name, path in zip(names, folders[-2:], strict=True)
    }


def compiled(path: Path, threads: int, **more: str) -> openvino.InferRequest:
    core = openvino.Core()
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    return core.compile_model(core.read_model(path), "CPU", settings | more).create_infer_request()


def race(
    requests: dict[str, openvino.InferRequest], image: np.ndarray, rounds: int
) -> dict[str, Any]:
    random = np.random.default_rng(0)
    times: dict[str, list[float]] = defaultdict(list)
    for request in requests.values():
        for _ in range(3):
            request.infer([image])
    labels = list(requests)
    for _ in range(rounds):
        for index in random.permutation(len(labels)):
            started = time.perf_counter()
            requests[labels[index]].infer([image])
            times[labels[index]].append(1000 * (time.perf_counter() - started))
    base = np.array(times["ours INT8"])
    figures: dict[str, Any] = {}
    print(f"\n{'':20} {'min':>7} {'p50':>7} ms   time over ours INT8 [p10, p90]")
    for label in labels:
        own = np.array(times[label])
        low, middle, high = np.percentile(own / base, [10, 50, 90])
        figures[label] = {
            "min_ms": float(own.min()),
            "p50_ms": float(np.median(own)),
            "ratio_of_minima": float(own.min() / base.min()),
            "ratio": [float(low), float(middle), float(high)],
        }
        print(
            f"{label:20} {own.min():7.1f} {np.median(own):7.1f}      "
            f"{middle:5.2f} [{low:.2f}, {high:.2f}]   minima {own.min() / base.min():.2f}"
        )
    return figures


def profile(path: Path, options: argparse.Namespace, image: np.ndarray) -> dict[str, float]:
    """Milliseconds by kind of layer and kernel, the least of ten runs each, longest first."""
    request = compiled(path, options.threads, PERF_COUNT="YES")
    spent: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, str] = {}
    for _ in range(10):
        request.infer([image])
        for layer in request.profiling_info:
            if layer.real_time:
                spent[layer.node_name].append(layer.real_time.total_seconds() * 1000)
                attention = ".attn/mixed" in layer.node_name
                name = "attention" if attention else layer.node_type
                kinds[layer.node_name] = f"{name} {layer.exec_type}"
    sums: dict[str, float] = defaultdict(float)
    for name, values in spent.items():
        sums[kinds[name]] += min(values)
    return dict(sorted(sums.items(), key=lambda item: -item[1])[:12]) | {
        "all layers": sum(sums.values())
    }


if __name__ == "__main__":
    main()
