"""What reading a graph costs by our index and by onnx-ir, and whether it stays the same file.

Loads model.onnx of one scale, builds the index that lints and quantization rules read, asks it for
every producer and every use, and writes the graph back; onnx-ir does the same.

    python benchmarks/graph_index.py
    python benchmarks/graph_index.py --scale x --rounds 20
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
from common import conditions

from yolov12edge import build_model
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.graph import GraphView


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="n", choices=list("nsmlx"))
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        export_onnx(build_model(options.scale).eval(), path, ExportOptions(640, 640))
        model = onnx.load(path)
        content = model.SerializeToString(deterministic=True)
    through = onnx_ir.to_proto(onnx_ir.from_proto(model)).SerializeToString(deterministic=True)
    times = in_turn({"ours": lambda: ask_ours(model), "onnx-ir": lambda: ask_ir(model)}, options)
    print(f"{conditions()}; scale {options.scale}, {len(model.graph.node)} nodes\n")
    print("| index | all producers and uses | a round trip keeps the bytes |\n|---|---|---|")
    print(f"| ours | {times['ours']:.1f} ms | the graph is not rewritten |")
    print(f"| onnx-ir {onnx_ir.__version__} | {times['onnx-ir']:.1f} ms | {through == content} |")
    print(f"\nimporting onnx-ir beside onnx takes {import_time():.2f} s more")


def ask_ours(model: onnx.ModelProto) -> int:
    view = GraphView(model)
    return sum(len(view.uses(name)) for node in view.nodes for name in node.output)


def ask_ir(model: onnx.ModelProto) -> int:
    graph = onnx_ir.from_proto(model).graph
    return sum(len(value.uses()) for node in graph for value in node.outputs)


def in_turn(
    contenders: dict[str, Callable[[], int]], options: argparse.Namespace
) -> dict[str, float]:
    """Median milliseconds of each, after a warm-up; they have to agree."""
    assert len({contender() for contender in contenders.values()}) == 1
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender()
            times[name].append(1e3 * (time.perf_counter() - started))
    return {name: float(np.median(found)) for name, found in times.items()}


def import_time() -> float:
    """Seconds that onnx-ir adds to a process that has onnx; median of five."""
    found = []
    for _ in range(5):
        ends = []
        for words in ("import onnx", "import onnx, onnx_ir"):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", words], check=True)
            ends.append(time.perf_counter() - started)
        found.append(ends[1] - ends[0])
    return float(np.median(found))


if __name__ == "__main__":
    main()
