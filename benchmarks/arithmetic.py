"""How much of a detector's arithmetic each INT8 rule leaves in float.

Counts the multiply-adds of all convolutions and products of the exported graph. Nothing runs, so
the figures are the same everywhere; weights do not matter.

    python benchmarks/arithmetic.py --scale n --imgsz 640
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections import Counter
from pathlib import Path

import onnx

from yolov12edge import build_model
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.quantize import DIALECTS, plan_quantization


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="n")
    parser.add_argument("--layout", default="v1")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--dialect", choices=list(DIALECTS), default="tensorrt")
    options = parser.parse_args()

    model = build_model(options.scale, options.layout, options.classes).eval()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        export_onnx(model, path, ExportOptions(options.imgsz, options.imgsz))
        graph = onnx.shape_inference.infer_shapes(onnx.load(path))
    counts = multiply_adds(graph)
    kept = plan_quantization(graph, DIALECTS[options.dialect]).kept
    # Of "name: why" the name.
    rules = {name: kept.get(name, "none, INT8").partition(":")[0] for name in counts}
    nodes = Counter(rules.values())
    shares: Counter[str] = Counter()
    for name, count in counts.items():
        shares[rules[name]] += count
    whole = sum(shares.values())
    print(f"scale {options.scale}, {options.layout}, {options.imgsz} px, {options.dialect}\n")
    print("| left in float by | convolutions and products | GFLOP | share |\n|---|---|---|---|")
    for rule, count in [*shares.most_common(), ("all", whole)]:
        number = len(counts) if rule == "all" else nodes[rule]
        print(f"| {rule} | {number} | {2 * count / 1e9:.3f} | {count / whole:.1%} |")


def multiply_adds(model: onnx.ModelProto) -> dict[str, int]:
    """Of each convolution and product, by node name."""
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.value_info]
    shapes = {v.name: [side.dim_value for side in v.type.tensor_type.shape.dim] for v in values}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    counts = {}
    for node in graph.node:
        if node.op_type == "Conv":
            # Each output value is a sum over the weights of its filter.
            summands = math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            summands = shapes[node.input[0]][-1]
        else:
            continue
        counts[node.name] = math.prod(shapes[node.output[0]]) * summands
    return counts


if __name__ == "__main__":
    main()
