"""Do repeated runs of `bench --vs` agree on the ratio?

Runs the command many times, each in a process of its own, on a checkpoint in PyTorch (the
baseline) and two ONNX files of the same detector in ONNX Runtime, and reports how far the ratios
of the runs lie apart, and which runs doubted themselves. On a machine of your own, also with your
own files:

    python benchmarks/bench_repeatability.py
    python benchmarks/bench_repeatability.py --disturb
    python benchmarks/bench_repeatability.py --vs old.onnx new.onnx --runtime openvino
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import conditions

from yolov12edge import build_model
from yolov12edge.checkpoints import save_safetensors
from yolov12edge.export import ExportOptions, export_onnx

AGREEMENT = 0.05
# Another program that keeps one core busy for 1 to 15 s, then none for 1 to 15 s.
DISTURB = """
import random, time
dice = random.Random(0)
while True:
    end = time.monotonic() + dice.uniform(1, 15)
    while time.monotonic() < end:
        pass
    time.sleep(dice.uniform(1, 15))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifacts", nargs="*", type=Path)
    parser.add_argument("--vs", type=Path, help="the baseline")
    parser.add_argument("--runtime", default=None)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds for each artifact")
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--disturb", action="store_true", help="beside a program on and off")
    parser.add_argument("--json", type=Path, default=None, help="also write the ratios here")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if options.disturb:
            other = subprocess.Popen([sys.executable, "-c", DISTURB])
            stack.callback(other.kill)
        baseline, artifacts = options.vs, options.artifacts
        if baseline is None or not artifacts:
            baseline, artifacts = make_artifacts(Path(folder), options.imgsz)
        ratios: dict[str, list[float]] = defaultdict(list)
        widths: dict[str, list[float]] = defaultdict(list)
        doubted: list[int] = []
        for repeat in range(options.repeats):
            document = bench(baseline, artifacts, options, repeat)
            if document["doubts"]:
                doubted.append(repeat)
            for ratio in document["ratios"]:
                ratios[Path(ratio["name"]).name].append(ratio["ratio"])
                widths[Path(ratio["name"]).name].append(ratio["high"] / ratio["low"] - 1)
    print(conditions())
    print(f"{options.repeats} runs of bench --vs {baseline.name}, {options.duration} s an artifact")
    for name, values in ratios.items():
        print(line(name, np.array(values), float(np.median(widths[name]))))
    print(f"runs that doubted their own figures: {doubted or 'none'}")
    if options.json:
        found = {"ratios": ratios, "widths": widths, "doubted": doubted}
        options.json.write_text(json.dumps(found, indent=2))


def make_artifacts(folder: Path, side: int) -> tuple[Path, list[Path]]:
    """A checkpoint of scale n, and its graph in two attention layouts."""
    torch.manual_seed(0)
    model = build_model("n", "turbo").eval()
    checkpoint = save_safetensors(model, folder / "checkpoint.safetensors")
    files = []
    for variant in ("packed", "value-left"):
        path = folder / f"{variant}.onnx"
        export_onnx(model, path, ExportOptions(side, side, variant=variant))
        files.append(path)
    return checkpoint, files


def bench(
    baseline: Path, artifacts: list[Path], options: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """One run's bench.json, of a process of its own."""
    words = [sys.executable, "-m", "yolov12edge", "bench", *artifacts, "--vs", baseline, "--json"]
    words += ["--duration", options.duration, "--imgsz", options.imgsz, "--window", 0]
    words += ["--seed", seed, *(["--runtime", options.runtime] if options.runtime else [])]
    done = subprocess.run([str(word) for word in words], capture_output=True, check=True)
    return json.loads(done.stdout)


def line(name: str, ratios: np.ndarray, width: float) -> str:
    middle = float(np.median(ratios))
    worst = float(np.abs(ratios / middle - 1).max())
    spread = float((ratios.max() - ratios.min()) / middle)
    verdict = "agree" if worst <= AGREEMENT else "do not agree"
    return (
        f"{name}: ratio {middle:.3f}, from {ratios.min():.3f} to {ratios.max():.3f} "
        f"(range {spread:.1%}, standard deviation {ratios.std(ddof=1) / middle:.1%}, farthest "
        f"from the median {worst:.1%}: runs {verdict} within {AGREEMENT:.0%}); "
        f"their own 95% intervals are {width:.1%} wide"
    )


if __name__ == "__main__":
    main()
