"""Time the C++ runtime's letterbox and decode beside OpenCV's letterbox and Python's NMS.

A 1080p frame into 640 x 640, and an output of 84 x 8400 with forty objects seen by ten anchors
each. One thread on both sides.

    python benchmarks/cpp_pipeline.py [--compiler g++] [--runs 200]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from common import conditions

import yolov12edge
from yolov12edge.data import Letterbox, to_batch
from yolov12edge.evaluate.detections import non_max_suppression
from yolov12edge.thresholds import COUNTED

HERE = Path(__file__).parent
INCLUDE = Path(yolov12edge.__file__).parent / "cpp" / "include"
CLASSES, ANCHORS, OBJECTS, SEEN_BY = 80, 8400, 40, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    print(conditions())
    print(f"load before: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
    cv2.setNumThreads(1)
    output = seen_objects()
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    letterbox = Letterbox(640, 640)
    python = {
        "letterbox rgb": lambda: to_batch([letterbox(frame)[0]]),
        "decode predict": lambda: non_max_suppression(output),
        "decode evaluate": lambda: non_max_suppression(output, COUNTED),
    }
    compiled = time_cpp(options.compiler, output, options.runs)
    print(f"{'median ms':<18}{'C++':>8}{'Python':>8}")
    for name, spent in compiled.items():
        beside = f"{median_ms(python[name], 20):8.2f}" if name in python else ""
        print(f"{name:<18}{spent:8.2f}{beside}")
    print(f"letterbox and decode of an RGB frame: {total(compiled):.2f} ms, wanted: at most 2 ms")


def total(compiled: dict[str, float]) -> float:
    return compiled["letterbox rgb"] + compiled["decode predict"]


def seen_objects() -> np.ndarray:
    """(84, 8400): forty objects seen by ten anchors each, small scores everywhere else."""
    random = np.random.default_rng(0)
    output = np.empty((4 + CLASSES, ANCHORS), np.float32)
    output[:2] = random.uniform(0, 640, (2, ANCHORS))
    output[2:4] = random.uniform(8, 200, (2, ANCHORS))
    output[4:] = random.random((CLASSES, ANCHORS)) ** 8 * 0.01
    anchors = random.permutation(ANCHORS)[: OBJECTS * SEEN_BY].reshape(OBJECTS, SEEN_BY)
    for seen in anchors:
        box = output[:4, seen[0]]
        output[:4, seen] = box[:, None] + random.normal(0, 1.5, (4, SEEN_BY))
        output[4 + random.integers(CLASSES), seen] = random.uniform(0.3, 0.95, SEEN_BY)
    return output


def time_cpp(compiler: str, output: np.ndarray, runs: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        program, data = folder / "cpp_pipeline", folder / "output.bin"
        source = HERE / "cpp_pipeline.cpp"
        build = [compiler, "-std=c++17", "-O3", f"-I{INCLUDE}", str(source), "-o", str(program)]
        subprocess.run(build, check=True)
        data.write_bytes(output.tobytes())
        words = [str(program), str(data), str(CLASSES), str(ANCHORS), str(runs)]
        lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return {line.rpartition(" ")[0]: float(line.split()[-1]) for line in lines.splitlines()}


def median_ms(function: Callable[[], object], runs: int) -> float:
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


if __name__ == "__main__":
    main()
