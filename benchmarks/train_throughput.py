"""Images a second and memory of the whole training loop, against the public trainer.

Both train the same network (scale n, layout v1) from scratch on the same images and with the same
augmentation, optimizer, threads and loader workers, as whole processes, in turn. Neither evaluates
between epochs. A rate is taken from the end of the first epoch to that of the last one measured, as
the rows of either's results file show them, so it holds what an epoch costs: loading, augmentation,
forward, loss, backward, update, averaged weights, checkpoints. (Both are told to do one epoch more,
for what they do only at the end, and are stopped in it.) Processor time is that of all processes of
a run in the same window; it says more than the clock on a busy machine. Memory is the peak of the
sum over a run's processes, each shared page counted once.

The public trainer lives in an environment of its own:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install torch==2.13.0 ultralytics==8.4.190
    python benchmarks/train_throughput.py --data data.yaml --peer /tmp/peer/bin/python
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from common import conditions

from yolov12edge.data.samples import load_samples

PEER = """
import sys, torch
from ultralytics import YOLO
data, out, size, batch, epochs, workers, threads, cache, seed = sys.argv[1:]
model = YOLO("yolo12n.yaml")
model.add_callback("on_train_start", lambda _: torch.set_num_threads(int(threads)))
model.train(
    data=data, project=out, name="run", imgsz=int(size), batch=int(batch), epochs=int(epochs),
    workers=int(workers), cache=False if cache == "none" else cache, seed=int(seed), device="cpu",
    optimizer="AdamW", lr0=1e-3, val=False, plots=False, mosaic=1.0, close_mosaic=0, mixup=0.0,
    copy_paste=0.1, scale=0.5, translate=0.1, hsv_h=0.015, hsv_s=0.7, hsv_v=0.4, fliplr=0.5,
    flipud=0.0, degrees=0.0, shear=0.0, perspective=0.0,
)
"""
POLL = 0.1
# Reading the memory of a process walks its pages: not at every poll.
MEMORY_POLL = 1.0


@dataclass(frozen=True)
class Contender:
    """A command that trains, and the file to which it adds a row an epoch."""

    name: str
    command: list[str]
    results: Path


@dataclass(frozen=True)
class Run:
    """What one training run showed.

    Attributes:
        images_per_second: by the clock.
        processor: seconds of processor time an image.
        memory: peak in MiB.
    """

    images_per_second: float
    processor: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="data.yaml")
    parser.add_argument("--peer", type=Path, help="python of an environment with ultralytics")
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=4, help="measured a run; at least 2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cache", default="ram", choices=("none", "ram", "disk"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    # Both count an image once an epoch; the few that fill up a batch are not counted.
    images = len(load_samples(options.data, "train"))
    runs: dict[str, list[Run]] = {}
    for round_ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for contender in contenders(options, Path(folder), round_):
                run = train(contender, images, options.epochs, options.threads, Path(folder))
                runs.setdefault(contender.name, []).append(run)
                print(f"round {round_ + 1}: {line(contender.name, [run])}", flush=True)
    print(conditions())
    for name, measured in runs.items():
        print(line(name, measured))
    if options.peer:
        ours, theirs = runs.values()
        rates = [
            a.images_per_second / b.images_per_second for a, b in zip(ours, theirs, strict=True)
        ]
        print(f"yolov12edge trains {statistics.median(rates):.2f} times as many images a second")


def contenders(options: argparse.Namespace, folder: Path, seed: int) -> list[Contender]:
    out = folder / "ours"
    ours = [sys.executable, "-m", "yolov12edge", "train", "--data", str(options.data.resolve())]
    ours += ["--scale", "n", "--layout", "v1", "--imgsz", str(options.imgsz), "--device", "cpu"]
    ours += ["--batch", str(options.batch), "--epochs", str(options.epochs + 1)]
    ours += ["--optimizer", "adamw", "--lr", "1e-3", "--eval-every", str(options.epochs + 1)]
    ours += ["--mosaic", "1", "--close-mosaic", "0", "--mixup", "0", "--copy-paste", "0.1"]
    ours += ["--affine-scale", "0.5", "--workers", str(options.workers), "--cache", options.cache]
    ours += ["--seed", str(seed), "--out", str(out), "--quiet"]
    found = [Contender("yolov12edge", ours, out / "results.csv")]
    if options.peer:
        data = copied_data(options.data, folder)
        theirs = [str(options.peer), "-c", PEER, str(data), str(folder / "peer")]
        theirs += [str(options.imgsz), str(options.batch), str(options.epochs + 1)]
        theirs += [str(options.workers), str(options.threads), options.cache, str(seed)]
        found.append(Contender("public trainer", theirs, folder / "peer" / "run" / "results.csv"))
    return found


def copied_data(data: Path, folder: Path) -> Path:
    """A copy of a data set whose root is absolute: the other trainer writes beside the labels."""
    content = yaml.safe_load(data.read_text(encoding="utf-8"))
    copy = folder / "data"
    shutil.copytree((data.parent / content.get("path", ".")).resolve(), copy)
    content["path"] = str(copy)
    absolute = folder / "data.yaml"
    absolute.write_text(yaml.safe_dump(content), encoding="utf-8")
    return absolute


def train(contender: Contender, images: int, epochs: int, threads: int, folder: Path) -> Run:
    """Run a contender and watch its rows, its processor time and its memory."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "YOLO_OFFLINE": "true"}
    log = folder / f"{contender.name}.log"
    with log.open("w") as sink:
        process = psutil.Popen(
            contender.command, cwd=folder, stdout=sink, stderr=sink, env=environment
        )
        try:
            ends, peak = watch(process, contender.results, epochs)
        finally:
            for one in tree(process):
                one.kill()
    if len(ends) < epochs:
        raise SystemExit(f"{contender.name} failed:\n{log.read_text()[-3000:]}")
    (start, start_used), (end, end_used) = ends[0], ends[-1]
    seen = images * (epochs - 1)
    return Run(seen / (end - start), (end_used - start_used) / seen, peak / 2**20)


def watch(
    process: psutil.Popen, results: Path, epochs: int
) -> tuple[list[tuple[float, float]], float]:
    """Clock and processor time at the end of each epoch, and the peak of memory in bytes."""
    ends: list[tuple[float, float]] = []
    peak, measured = 0.0, 0.0
    while process.poll() is None and len(ends) < epochs:
        now = time.perf_counter()
        if rows(results) > len(ends):
            ends.append((now, sum(map(processor_time, tree(process)))))
        if now - measured > MEMORY_POLL:
            peak = max(peak, sum(map(memory, tree(process))))
            measured = now
        time.sleep(POLL)
    return ends, peak


def rows(results: Path) -> int:
    """Complete rows below the head."""
    try:
        return max(results.read_text(encoding="utf-8").count("\n") - 1, 0)
    except OSError:
        return 0


def tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def processor_time(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    # Those of ended children are in their parent's.
    return times.user + times.system + times.children_user + times.children_system


def memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.Error:
        return 0.0


def line(name: str, runs: list[Run]) -> str:
    rate = statistics.median(run.images_per_second for run in runs)
    processor = statistics.median(run.processor for run in runs)
    peak = max(run.memory for run in runs)
    return f"{name:15} {rate:6.2f} images/s   {processor:.3f} CPU s/image   {peak:5.0f} MiB"


if __name__ == "__main__":
    main()
