"""How long a whole export takes, against the public exporter, and how long `--help` takes.

Both export the same network (scale n, 640 px) to ONNX as whole processes, in turn. Ours includes
what the other does not do: the proof of every rewrite step and the parity check in ONNX Runtime.

The public exporter lives in an environment of its own:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install ultralytics onnx onnxslim onnxruntime
    python benchmarks/export_time.py --peer /tmp/peer/bin/python
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from common import conditions

from yolov12edge import build_model
from yolov12edge.checkpoints import save_safetensors

PEER = """
from ultralytics import YOLO
YOLO("yolo12n.yaml").export(format="onnx", imgsz=640, opset=17, simplify=True, device="cpu")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="python of an environment with ultralytics")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "yolov12n.safetensors"
        torch.manual_seed(0)
        save_safetensors(build_model("n", "v1"), weights)
        ours = [sys.executable, "-m", "yolov12edge", "export", "--weights", str(weights)]
        ours += ["--imgsz", "640", "--fp32", "--target", "cpu-onnxruntime", "--quiet"]
        ours += ["--no-verify", "--no-bench", "--out", str(Path(folder) / "run")]
        contenders = {"yolov12edge export": ours}
        if options.peer:
            contenders["public exporter"] = [str(options.peer), "-c", PEER]
        times = alternate(contenders, folder, options.rounds)
    print(conditions())
    report(times)
    light = {
        "yolov12edge --help": [sys.executable, "-m", "yolov12edge", "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    report(alternate(light, ".", 4 * options.rounds))


def alternate(commands: dict[str, list[str]], folder: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each command, one warm-up round apart, in turn."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def report(times: dict[str, list[float]]) -> None:
    base = next(iter(times.values()))
    for name, seconds in times.items():
        ratios = [ours / theirs for ours, theirs in zip(base, seconds, strict=True)]
        print(
            f"{name:20} {statistics.median(seconds):6.2f} s (min {min(seconds):.2f})   "
            f"{next(iter(times))} takes {statistics.median(ratios):.2f} of it"
        )


if __name__ == "__main__":
    main()
