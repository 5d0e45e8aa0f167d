"""Predicted times beside every published one that can be compared, and the fit behind them.

    python benchmarks/prediction.py --peer /path/of/an/environment/with/ultralytics/bin/python
    python benchmarks/prediction.py --fit      fits the two figures of engine/prediction.py again

No GPU is needed: TensorRT-RTX builds the graphs and says which kernels it made; graphs and records
are kept in --folder. Random weights, 640 px, batch 1. Published times are TensorRT's, and
TensorRT-RTX does not build for SM87: kernels of SM86 stand in, for RTX 40 those of SM89. For a T4
those of SM75 stand beside, in which TensorRT-RTX does depthwise convolutions eight times over.
Without --peer only our own graphs are made, which leaves out the figures of the public exporter's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from common import conditions
from gpu_parts import LIVEN
from published import FIGURES, Figure

from yolov12edge import build_model
from yolov12edge.engine import BuildOptions, build_engine
from yolov12edge.engine.inspection_layers import EngineLayer, parse_layers
from yolov12edge.engine.prediction import (
    OVERHEAD_CYCLES,
    PEAK_SHARE,
    Prediction,
    predict_time,
)
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import convert_to_fp16
from yolov12edge.run.gpus import load_gpu

SIDE = 640
# Architectures whose kernels are taken as they are, and the one that stands in for the others.
OWN = (86, 89)
STAND_IN = 86
# Has the public exporter write the graph of a network that it knows by name.
PEER = (
    LIVEN
    + """
import sys, shutil
import torch
from ultralytics import YOLO
name, target, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(0)
model = YOLO(f"{name}.yaml")
liven(model.model)
model.save(f"{name}.pt")
path = YOLO(f"{name}.pt").export(
    format="onnx", imgsz=size, batch=1, opset=17, simplify=True, device="cpu"
)
shutil.move(path, target)
"""
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="python that has ultralytics")
    parser.add_argument("--scales", default="n,s,m,l,x")
    parser.add_argument("--folder", type=Path, help="keeps graphs and records")
    parser.add_argument("--fit", action="store_true", help="fit again, and stop")
    options = parser.parse_args()
    scales = options.scales.split(",")
    figures = [
        figure
        for figure in FIGURES
        if figure.scale in scales and (options.peer is not None or not figure.public)
    ]
    with tempfile.TemporaryDirectory(prefix="yolov12-prediction-") as name:
        bench = Bench(options.folder or Path(name), options.peer)
        if options.fit:
            fit(bench, [figure for figure in figures if figure.fitted])
        else:
            print(f"{conditions()}\n")
            table(bench, figures)


class Bench:
    """Kernels of graphs, made once each.

    Args:
        folder: where graphs and records are kept.
        peer: a Python that has the public exporter; None where there is none.
    """

    def __init__(self, folder: Path, peer: Path | None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._peer = peer
        self._kernels: dict[tuple[str, int], list[EngineLayer]] = {}

    def kernels(self, figure: Figure, sm: int) -> list[EngineLayer]:
        """What the builder makes of a figure's graph for a GPU architecture."""
        key = (f"{figure.graph}.{figure.precision}", sm)
        if key not in self._kernels:
            plan = self.folder / f"{key[0]}.sm{sm}.plan"
            record = plan.with_name(plan.name + ".layers.json")
            if not record.is_file():
                build_engine(self._graph(figure), plan, "tensorrt_rtx", BuildOptions((sm,)))
                plan.unlink()
            self._kernels[key] = parse_layers(json.loads(record.read_text()))[0]
        return self._kernels[key]

    def _graph(self, figure: Figure) -> Path:
        single = self.folder / f"{figure.graph}.fp32.onnx"
        if not single.is_file():
            if figure.public:
                self._export_publicly(figure.graph, single)
            else:
                layout, scale = figure.graph.split("-")
                export_onnx(lively(layout, scale), single, ExportOptions(SIDE, SIDE))
        half = self.folder / f"{figure.graph}.fp16.onnx"
        if figure.precision == "fp16" and not half.is_file():
            pictures = [probe_picture(SIDE, SIDE, seed)[0] for seed in range(2)]
            convert_to_fp16(single, half, pictures)
        return half if figure.precision == "fp16" else single

    def _export_publicly(self, name: str, target: Path) -> None:
        words = [str(self._peer), "-c", PEER, name, str(target.resolve()), str(SIDE)]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the public exporter failed: {done.stderr.splitlines()[-1]}")


def lively(layout: str, scale: str) -> torch.nn.Module:
    """Of random weights; scores that are not all alike."""
    torch.manual_seed(0)
    model = build_model(scale, layout).eval()
    space: dict = {}
    exec(LIVEN, space)
    space["liven"](model)
    return model


def predicted(bench: Bench, figure: Figure, sm: int | None = None, **fitted: float) -> float:
    """Milliseconds; of kernels made for `sm`, else for the GPU or what stands in for it."""
    gpu = load_gpu(figure.gpu)
    made_for = sm or (gpu.sm if gpu.sm in OWN else STAND_IN)
    found = predict_time(bench.kernels(figure, made_for), gpu, **fitted)
    if not isinstance(found, Prediction):
        raise SystemExit(f"{figure.graph}: {found.reason}")
    return found.predicted_ms


def table(bench: Bench, figures: list[Figure]) -> None:
    """Every figure with what is predicted, and how far apart they lie."""
    print("| GPU | network, graph | published ms | predicted | ratio | SM75's kernels | source |")
    print("|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = defaultdict(list)
    for figure in figures:
        time = predicted(bench, figure)
        own = f"{predicted(bench, figure, 75) / figure.ms:.2f}" if figure.gpu == "t4" else ""
        if not figure.doubt:
            key = "fitted to" if figure.fitted else load_gpu(figure.gpu).title
            ratios[key].append(time / figure.ms)
        source = figure.source + (f"; {figure.doubt}" if figure.doubt else "")
        role = "**fitted**, " if figure.fitted else ""
        print(
            f"| {load_gpu(figure.gpu).title} | {figure.what} | {figure.ms:g} | {time:.2f} "
            f"| {time / figure.ms:.2f} | {own} | {role}{source} |"
        )
    print(
        "\n| figures | how many | ratios | geometric mean | typical factor |\n|---|---|---|---|---|"
    )
    held_out = [ratio for key, found in ratios.items() if key != "fitted to" for ratio in found]
    for key, found in [*ratios.items(), ("all but those fitted to", held_out)]:
        logs = [math.log(ratio) for ratio in found]
        mean = math.exp(sum(logs) / len(logs))
        spread = math.exp(math.sqrt(sum(log * log for log in logs) / len(logs)))
        print(
            f"| {key} | {len(found)} | {min(found):.2f} to {max(found):.2f} | {mean:.2f} "
            f"| {spread:.2f} |"
        )


def fit(bench: Bench, figures: list[Figure]) -> None:
    """The overhead and the share of the peak with the least squared logarithm of the ratios."""

    def error(overhead: float, share: float) -> float:
        times = [
            predicted(bench, figure, overhead_cycles=overhead, peak_share=share)
            for figure in figures
        ]
        logs = [math.log(time / one.ms) for time, one in zip(times, figures, strict=True)]
        return math.sqrt(sum(log * log for log in logs) / len(logs))

    tried = itertools.product(range(0, 16001, 1000), [step / 20 for step in range(4, 21)])
    overhead, share = min(tried, key=lambda pair: error(*pair))
    print(f"least at {overhead} cycles and {share:.2f} of the peak: {error(overhead, share):.3f}")
    print(f"in use: {OVERHEAD_CYCLES} and {PEAK_SHARE}: {error(OVERHEAD_CYCLES, PEAK_SHARE):.3f}")


if __name__ == "__main__":
    main()
