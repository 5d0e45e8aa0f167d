"""Which attention layout is fastest in which runtime?

Exports one detector in every layout and times the files interleaved, round by round, so that a
drifting machine slows all of them alike. Prints medians and ratios to the first layout; a ratio is
the median over rounds, with the 10th and 90th percentile.

    python benchmarks/attention_variants.py --scale n --imgsz 640
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from common import conditions

from yolov12edge.export import ATTENTION_VARIANTS, ExportOptions, export_onnx, probe_picture
from yolov12edge.model import build_model
from yolov12edge.runtime import open_runner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="n")
    parser.add_argument("--layout", default="turbo")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = build_model(options.scale, options.layout).eval()
    image = probe_picture(options.imgsz, options.imgsz)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for variant in ATTENTION_VARIANTS:
            path = files[variant] = Path(folder) / f"{variant}.onnx"
            export_onnx(model, path, ExportOptions(options.imgsz, options.imgsz, variant=variant))
        for runtime in ("onnxruntime", "openvino"):
            figures[runtime] = compare(runtime, files, image, options.rounds, options.threads)
    print(f"{conditions()}; {options.rounds} rounds")
    for runtime, rows in figures.items():
        for variant, row in rows.items():
            low, middle, high = row["ratio"]
            print(
                f"{runtime:12} {variant:11} {row['median_ms']:7.1f} ms   "
                f"{middle:.3f} [{low:.3f}, {high:.3f}] of {ATTENTION_VARIANTS[0]}"
            )
    if options.json:
        options.json.write_text(json.dumps(vars(options) | {"figures": figures}, default=str))


def compare(
    runtime: str, files: dict[str, Path], image: np.ndarray, rounds: int, threads: int | None
) -> dict[str, dict[str, object]]:
    times: dict[str, list[float]] = {variant: [] for variant in files}
    runners = {v: open_runner(path, runtime=runtime, threads=threads) for v, path in files.items()}
    for runner in runners.values():
        for _ in range(3):
            runner(image)
    for _ in range(rounds):
        for variant, runner in runners.items():
            started = time.perf_counter()
            runner(image)
            times[variant].append(1000 * (time.perf_counter() - started))
    for runner in runners.values():
        with closing(runner):
            pass
    base = np.array(times[ATTENTION_VARIANTS[0]])
    return {
        variant: {
            "median_ms": float(np.median(values)),
            "min_ms": float(np.min(values)),
            "ratio": [float(q) for q in np.percentile(np.array(values) / base, [10, 50, 90])],
        }
        for variant, values in times.items()
    }


if __name__ == "__main__":
    main()
