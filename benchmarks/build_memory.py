"""How much main memory a TensorRT-RTX build takes, over the size of the ONNX file.

Builds plans of several scales, FP32, each in a process of its own, and fits a line through what the
builds added to it at their peak; `engine/memory.py` warns by such a line. Needs no GPU.

    python benchmarks/build_memory.py
    python benchmarks/build_memory.py --scales n s m --sm 86 89 120
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import conditions

from yolov12edge import build_model
from yolov12edge.engine import BuildOptions, build_engine
from yolov12edge.export import ExportOptions, export_onnx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scales", nargs="+", default=list("nsmlx"))
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--sm", nargs="+", type=int, default=[86], help="GPU architectures")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(build(options.worker, tuple(options.sm)))
        return

    sizes, peaks = [], []
    print(f"{conditions()}; SM {options.sm}, {options.imgsz} px\n")
    print("| scale | ONNX file | added by the build |\n|---|---|---|")
    for scale in options.scales:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "model.onnx"
            torch.manual_seed(0)
            model = build_model(scale, "turbo").eval()
            export_onnx(model, path, ExportOptions(options.imgsz, options.imgsz))
            sizes.append(path.stat().st_size / 2**20)
            words = [sys.executable, __file__, "--worker", path, "--sm", *options.sm]
            done = subprocess.run([*map(str, words)], check=True, stdout=subprocess.PIPE)
            peaks.append(float(done.stdout))
        print(f"| {scale} | {sizes[-1]:.0f} MiB | {peaks[-1]:.0f} MiB |", flush=True)
    if len(sizes) > 1:
        factor, base = np.polyfit(sizes, peaks, 1)
        print(f"\n{base:.0f} MiB and {factor:.1f} times the ONNX file")


def build(onnx: Path, architectures: tuple[int, ...]) -> float:
    """MiB that a build added to this process at its peak."""
    before = memory("VmRSS")
    build_engine(onnx, onnx.with_suffix(".plan"), "tensorrt_rtx", BuildOptions(architectures))
    return memory("VmHWM") - before


def memory(line: str) -> float:
    """MiB by the kernel's account; getrusage's peak is also that of the process forked from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"^{line}:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024


if __name__ == "__main__":
    main()
