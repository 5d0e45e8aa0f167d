"""How close each block of a healthy FP32 and FP16 graph stays to the checkpoint's.

Follows images through the checkpoint and the graph, as `yolov12edge verify` does with one, and
prints the signal-to-error ratio of the worst block: the gate's floors (80 and 30 dB) lie below.

    python benchmarks/block_errors.py
    python benchmarks/block_errors.py --weights cells.pt --data cells/data.yaml --imgsz 320

The first line takes the demo's detector, on scenes drawn here.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from common import DEMO_SIDE, DEMO_WEIGHTS, conditions, demo_scenes

from yolov12edge import load_model
from yolov12edge.data import Letterbox, load_dataset, read_image, to_batch
from yolov12edge.evaluate.blocks import trace_blocks
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.model import Detector
from yolov12edge.quantize import convert_to_fp16

CALIBRATING = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", type=Path, help="its val split is followed")
    parser.add_argument("--imgsz", type=int, default=DEMO_SIDE)
    parser.add_argument("--images", type=int, default=4, help="followed of the val split")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = options.data or demo_scenes(folder / "scenes", CALIBRATING, options.images)
        letterbox = Letterbox(options.imgsz, options.imgsz)
        files = load_dataset(data, "val").images
        pictures = [to_batch([letterbox(read_image(path))[0]]) for path in files]
        weights = options.weights or DEMO_WEIGHTS
        print(f"{conditions()}; {options.imgsz} px, {options.images} images\n")
        print("| detector | precision | worst block | signal to error |\n|---|---|---|---|")
        print_rows(weights.name, load_model(weights).eval(), pictures, options, folder)


def print_rows(
    label: str,
    detector: Detector,
    pictures: list[np.ndarray],
    options: argparse.Namespace,
    folder: Path,
) -> None:
    graphs = {"FP32": folder / "fp32.onnx", "FP16": folder / "fp16.onnx"}
    export_onnx(detector, graphs["FP32"], ExportOptions(options.imgsz, options.imgsz))
    convert_to_fp16(graphs["FP32"], graphs["FP16"], [image[0] for image in pictures[:CALIBRATING]])
    for precision, graph in graphs.items():
        blocks = [
            block
            for image in pictures[: options.images]
            for block in trace_blocks(detector, graph, image).blocks
        ]
        worst = min(blocks, key=lambda block: block.sqnr_db)
        print(f"| {label} | {precision} | {worst.block} | {worst.sqnr_db:.1f} dB |", flush=True)


if __name__ == "__main__":
    main()
