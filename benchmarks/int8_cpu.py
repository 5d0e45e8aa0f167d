"""INT8 on a CPU: ours against our FP32 and against the public exporter's INT8, in OpenVINO.

Every file runs in the same OpenVINO with the same threads, round by round in a random order, so
that a drifting machine slows all of them alike; a ratio is the median over rounds, with the 10th
and 90th percentile. `--profile` adds OpenVINO's own times by kind of layer, the least of ten runs.

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
from common import conditions

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
BASE = "ours INT8"
KINDS = (
    "k3 convolutions",
    "1x1 convolutions",
    "attention: products and softmax",
    "depthwise",
    "reorders, transposes, concats, splits",
    "the rest",
)
MOVES = {
    "Concat",
    "Gather",
    "Reorder",
    "Reshape",
    "Slice",
    "Split",
    "StridedSlice",
    "Transpose",
    "VariadicSplit",
}


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
        print(f"{conditions()}; {options.threads} threads, {options.rounds} rounds")
        figures = race(requests, image, options.rounds, BASE)
        print_race(figures, BASE)
        if options.profile:
            print_profiles(
                {label: profile(path, options.threads, image) for label, path in files.items()}
            )
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
    requests: dict[str, openvino.InferRequest], image: np.ndarray, rounds: int, base: str
) -> dict[str, Any]:
    """Milliseconds of each request, and their ratio to those of `base` in the same round."""
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
    of_base = np.array(times[base])
    figures: dict[str, Any] = {}
    for label in labels:
        own = np.array(times[label])
        figures[label] = {
            "min_ms": float(own.min()),
            "p50_ms": float(np.median(own)),
            "ratio_of_minima": float(own.min() / of_base.min()),
            "ratio": [float(ratio) for ratio in np.percentile(own / of_base, [10, 50, 90])],
        }
    return figures


def print_race(figures: dict[str, Any], base: str) -> None:
    """As Markdown, for docs/quantization.md."""
    print(f"\n| | minimum | median | times {base} [p10, p90] |")
    print("|---|---|---|---|")
    for label, found in figures.items():
        low, middle, high = found["ratio"]
        ratio = "1" if label == base else f"{middle:.2f} [{low:.2f}, {high:.2f}]"
        print(f"| {label} | {found['min_ms']:.1f} ms | {found['p50_ms']:.1f} ms | {ratio} |")


def print_profiles(profiles: dict[str, dict[str, float]]) -> None:
    """As Markdown, for docs/quantization.md."""
    print(f"\n| | {' | '.join(profiles)} |")
    print("|---" * (1 + len(profiles)) + "|")
    for kind in (*KINDS, "all"):
        print(f"| {kind} | {' | '.join(f'{rows[kind]:.1f}' for rows in profiles.values())} |")


def profile(path: Path, threads: int, image: np.ndarray) -> dict[str, float]:
    """Milliseconds by kind of layer: the least of ten runs of each layer, summed."""
    request = compiled(path, threads, PERF_COUNT="YES")
    convolutions = convolution_kinds(path)
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(10):
        request.infer([image])
        for layer in request.profiling_info:
            milliseconds = layer.real_time.total_seconds() * 1000
            spent[layer.node_name, layer.node_type].append(milliseconds)
    sums = dict.fromkeys(KINDS, 0.0)
    for (name, type_), values in spent.items():
        sums[convolutions.get(name) or layer_kind(name, type_)] += min(values)
    return sums | {"all": sum(sums.values())}


def convolution_kinds(path: Path) -> dict[str, str]:
    """The kind of each convolution, by name; weights are (O, I, k, k), grouped (G, O, I, k, k)."""
    kinds = {}
    for node in openvino.Core().read_model(path).get_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            shape = list(node.input(1).get_partial_shape().to_shape())
            alone = node.get_type_name() == "GroupConvolution" and shape[1:3] == [1, 1]
            kind = "depthwise" if alone else f"{'1x1' if shape[-1] == 1 else 'k3'} convolutions"
            kinds[node.get_friendly_name()] = kind
    return kinds


def layer_kind(name: str, type_: str) -> str:
    if type_ in MOVES:
        return "reorders, transposes, concats, splits"
    if type_ in ("Convolution", "GroupConvolution"):
        raise ValueError(f"no convolution of the file is called {name}")
    return "attention: products and softmax" if "attn" in name else "the rest"


if __name__ == "__main__":
    main()
