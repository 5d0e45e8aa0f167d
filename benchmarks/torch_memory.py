"""What PyTorch gains on a CPU from memory that is kept and from maps that are channels last.

Detects one image and takes a training step in three ways: as PyTorch does it by itself; with
`allocator.keep_freed_memory`; and with channels last too, which is how the toolkit runs PyTorch.
Each figure comes from a process of its own, in turn: the lower decile of the calls, and the pages
that the kernel had to put in place during one of them.

    python benchmarks/torch_memory.py
    python benchmarks/torch_memory.py --cases n:320 s:640 --processes 8
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from common import conditions

from yolov12edge import build_model
from yolov12edge.allocator import keep_freed_memory
from yolov12edge.train import DetectionLoss

WAYS = ("as it is", "memory kept", "channels last too")
CASES = ("n:320", "n:640", "s:320", "s:640", "x:320")
STEP_BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="SCALE:SIDE")
    parser.add_argument("--processes", type=int, default=2, help="of each case and way")
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-step", action="store_true", help="without the training step")
    parser.add_argument("--worker", nargs=2, metavar=("CASE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        case, way = options.worker
        print(json.dumps(work(case, int(way), options.calls, options.threads)))
        return
    cases = [*options.cases, *([] if options.no_step else [f"{options.cases[0]}:step"])]
    print(f"{conditions()}; {options.threads} threads, lower decile of {options.calls} calls\n")
    print(f"| PyTorch, ms (thousands of pages a call) | {' | '.join(WAYS)} |")
    print("|---" * (1 + len(WAYS)) + "|")
    for case in cases:
        found: list[list[str]] = [[] for _ in WAYS]
        for _ in range(options.processes):
            for way, cells in enumerate(found):
                milliseconds, pages = in_own_process(case, way, options)
                cells.append(f"{milliseconds:.1f} ({pages / 1000:.1f})")
        print(f"| {title(case)} | {' | '.join(', '.join(cells) for cells in found)} |", flush=True)


def in_own_process(case: str, way: int, options: argparse.Namespace) -> tuple[float, float]:
    words = [sys.executable, __file__, "--worker", case, way]
    words += ["--calls", options.calls, "--threads", options.threads]
    done = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE)
    milliseconds, pages = json.loads(done.stdout)
    return milliseconds, pages


def title(case: str) -> str:
    scale, side, *step = case.split(":")
    return f"{scale}, {side} px" + (f", a training step of {STEP_BATCH} images" if step else "")


def work(case: str, way: int, calls: int, threads: int) -> tuple[float, float]:
    """Milliseconds and page faults of one call."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if way >= 1:
        keep_freed_memory()
    scale, side, *step = case.split(":")
    call = (training if step else detection)(scale, int(side), way == 2)
    for _ in range(3):
        call()
    times = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(calls):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return float(np.percentile(times, 10)), faults / calls


def detection(scale: str, side: int, last: bool) -> Callable[[], object]:
    """One image through the detector, decoded."""
    order = torch.channels_last if last else torch.contiguous_format
    model = build_model(scale, "turbo").eval().to(memory_format=order)
    images = torch.rand(1, 3, side, side).to(memory_format=order)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        return model(images)

    return call


def training(scale: str, side: int, last: bool) -> Callable[[], object]:
    """Forward, loss and backward of a batch with one object an image."""
    order = torch.channels_last if last else torch.contiguous_format
    model = build_model(scale, "turbo").train().to(memory_format=order)
    images = torch.rand(STEP_BATCH, 3, side, side).to(memory_format=order)
    rows = torch.arange(STEP_BATCH, dtype=torch.float32)[:, None]
    targets = torch.cat([rows, torch.zeros_like(rows), torch.full((STEP_BATCH, 4), 0.5)], dim=1)
    loss = DetectionLoss(model)

    def call() -> None:
        model.zero_grad(set_to_none=True)
        total, _ = loss(model.raw(images), targets)
        total.backward()

    return call


if __name__ == "__main__":
    main()
