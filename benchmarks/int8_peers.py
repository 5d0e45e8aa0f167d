"""What the INT8 of ModelOpt and of NNCF keeps of a detector, beside ours.

All quantize the same ONNX graph with the same training images, and all are judged against the
checkpoint on the validation images by the comparison that `yolov12edge verify` makes. Nothing is
timed: `int8_cpu.py` does that.

    python benchmarks/int8_peers.py
    python benchmarks/int8_peers.py --weights cells.pt --data cells/data.yaml --imgsz 320

The first line takes the demo's detector and draws scenes for it. ModelOpt comes with
`yolov12edge[quantize]`. NNCF lives in an environment of its own, and is left out without one:

    python -m venv /tmp/nncf
    /tmp/nncf/bin/pip install nncf openvino
    python benchmarks/int8_peers.py --nncf /tmp/nncf/bin/python
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from common import DEMO_SIDE, DEMO_WEIGHTS, conditions, demo_scenes

from yolov12edge import load_model
from yolov12edge.data import Dataset, Letterbox, load_dataset, read_image, to_batch
from yolov12edge.evaluate import Candidate, DriftReport, measure_drifts
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.model import Detector
from yolov12edge.runtime.onnxruntime import OnnxRuntimeRunner
from yolov12edge.runtime.openvino import OpenVinoRunner
from yolov12edge.runtime.runner import Runner
from yolov12edge.runtime.torch import TorchRunner

# Quantizes graph.onnx with images.npy to OUT.xml, in the environment that has NNCF.
NNCF = """
import sys
import nncf, numpy, openvino
graph, images, out, presets = sys.argv[1:]
for preset in presets.split(","):
    dataset = nncf.Dataset(list(numpy.load(images)[:, None]))
    options = {"subset_size": dataset.get_length()}
    if preset == "mixed":
        options["preset"] = nncf.QuantizationPreset.MIXED
        options["ignored_scope"] = nncf.IgnoredScope(patterns=[r".*\\.decode/.*"])
    model = nncf.quantize(openvino.Core().read_model(graph), dataset, **options)
    openvino.save_model(model, f"{out}/nncf-{preset}.xml", compress_to_fp16=False)
print(nncf.__version__)
"""


@dataclass(frozen=True)
class Entry:
    """A quantized detector: who made it how, the file, and the runtime that judges it."""

    label: str
    path: Path
    runner: Callable[[Path], Runner] = OnnxRuntimeRunner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=DEMO_WEIGHTS)
    parser.add_argument("--data", type=Path, help="train calibrates, val judges")
    parser.add_argument("--imgsz", type=int, default=DEMO_SIDE)
    parser.add_argument("--nncf", type=Path, help="python of an environment with NNCF and OpenVINO")
    parser.add_argument("--calib-images", type=int, default=256, help="at most")
    parser.add_argument("--val-images", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0, help="of our calibration sample")
    parser.add_argument("--only", nargs="*", choices=("ours", "modelopt", "nncf"))
    parser.add_argument("--json", type=Path, help="also write the drift reports here")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = options.data or demo_scenes(folder / "scenes")
        detector = load_model(options.weights)
        graph = folder / "graph.onnx"
        export_onnx(detector, graph, ExportOptions(options.imgsz, options.imgsz))
        images = calibration(data, options)
        entries: list[Entry] = []
        if wanted(options, "ours"):
            entries += ours(options, data, folder)
        if wanted(options, "modelopt"):
            entries += modelopt(graph, images, folder)
        if wanted(options, "nncf") and options.nncf:
            entries += nncf(options.nncf, graph, images, folder)
        judges = first(load_dataset(data, "val"), options.val_images)
        reports = judge(detector, entries, judges, options.imgsz)
    print(conditions())
    print(
        f"{options.weights.name}, {options.imgsz} px, {len(images)} calibration images, "
        f"{len(judges.images)} validation images"
    )
    print_table(reports)
    if options.json:
        rows = {label: report.model_dump(mode="json") for label, report in reports.items()}
        options.json.write_text(json.dumps(rows, indent=2))


def wanted(options: argparse.Namespace, name: str) -> bool:
    return not options.only or name in options.only


def calibration(data: Path, options: argparse.Namespace) -> np.ndarray:
    """(N, 3, S, S): the first training images, letterboxed, RGB in 0..1."""
    letterbox = Letterbox(options.imgsz, options.imgsz)
    files = load_dataset(data, "train").images[: options.calib_images]
    return np.concatenate([to_batch([letterbox(read_image(path))[0]]) for path in files])


def ours(options: argparse.Namespace, data: Path, folder: Path) -> list[Entry]:
    """`export --int8` with its defaults, for TensorRT and for CPUs."""
    entries = []
    for target, runner in (("agx-orin", OnnxRuntimeRunner), ("cpu-openvino", OpenVinoRunner)):
        out = folder / target
        words = [sys.executable, "-m", "yolov12edge", "export", "--weights", options.weights]
        words += ["--int8", "--target", target, "--imgsz", options.imgsz, "--data", data]
        words += ["--calib-images", options.calib_images, "--seed", options.seed]
        words += ["--no-verify", "--no-bench", "--quiet", "--out", out]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
        label = f"yolov12edge, `--target {target}`"
        entries.append(Entry(label, out / "model.int8.onnx", runner))
    return entries


def modelopt(graph: Path, images: np.ndarray, folder: Path) -> list[Entry]:
    """ModelOpt's own defaults, and what its users do for detectors: the head's ends in float."""
    # It would ask TensorRT, or type stubs that look like it, for plugins: this graph has none.
    sys.modules["tensorrt"] = None  # type: ignore[assignment]
    from modelopt.onnx.quantization import quantize

    name = f"ModelOpt {version('nvidia-modelopt')}"
    ends = head_ends(graph)
    kinds: list[tuple[str, str, list[str]]] = [
        ("`max`", "max", []),
        ("`max`, head outputs and decoding in float", "max", ends),
        ("`entropy`, head outputs and decoding in float", "entropy", ends),
    ]
    entries = []
    for number, (words, method, excluded) in enumerate(kinds):
        path = folder / f"modelopt-{number}.onnx"
        with contextlib.redirect_stdout(sys.stderr):
            quantize(
                str(graph),
                calibration_data=images,
                calibration_method=method,
                calibration_eps=["cpu"],
                nodes_to_exclude=excluded,
                output_path=str(path),
                log_level="ERROR",
            )
        entries.append(Entry(f"{name}, {words}", path))
    return entries


def head_ends(graph: Path) -> list[str]:
    """Names of the convolutions that end a branch of the head, and of all nodes after them."""
    nodes = onnx.load(graph).graph.node
    flattened = {node.input[0] for node in nodes if node.name.endswith(("/flat", "/rows"))}
    return [node.name for node in nodes if ".decode/" in node.name or flattened & set(node.output)]


def nncf(python: Path, graph: Path, images: np.ndarray, folder: Path) -> list[Entry]:
    """NNCF's defaults, and its mixed preset with the decoding in float."""
    saved = folder / "images.npy"
    np.save(saved, images)
    words = [python, "-c", NNCF, graph, saved, folder, "performance,mixed"]
    done = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE)
    name = f"NNCF {done.stdout.decode().split()[-1]}"
    return [
        Entry(f"{name}, defaults", folder / "nncf-performance.xml", OpenVinoRunner),
        Entry(
            f"{name}, mixed preset, decoding in float", folder / "nncf-mixed.xml", OpenVinoRunner
        ),
    ]


def first(data: Dataset, count: int | None) -> Dataset:
    """The first images of a data set."""
    labels = None if data.labels is None else data.labels[:count]
    return Dataset(data.names, data.images[:count], labels)


def judge(
    detector: Detector, entries: list[Entry], data: Dataset, side: int
) -> dict[str, DriftReport]:
    """The drift of each entry against the checkpoint, by label."""
    with contextlib.ExitStack() as stack:
        runners = [entry.runner(entry.path) for entry in entries]
        for runner in runners:
            stack.callback(runner.close)
        candidates = [Candidate(runner, Letterbox(side, side)) for runner in runners]
        labelled = data if data.labels is not None else None
        reference = TorchRunner(detector, side, side)
        reports = measure_drifts(reference, candidates, data.images, labelled, names=detector.names)
    return {entry.label: report for entry, report in zip(entries, reports, strict=True)}


def print_table(reports: dict[str, DriftReport]) -> None:
    """As Markdown, for docs/quantization.md."""
    print("\n| INT8 by | mAP kept (95% interval) | self-mAP | found again |")
    print("|---|---|---|---|")
    for label, report in reports.items():
        low, high = report.drop_interval
        kept = f"{1 - report.drop:.2%} ({1 - high:.1%} to {1 - low:.1%})"
        print(f"| {label} | {kept} | {report.self_map:.4f} | {report.matched:.2%} |")


if __name__ == "__main__":
    main()
