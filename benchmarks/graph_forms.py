"""What TensorRT-RTX makes of every form of the graph, with no GPU: kernels, movers, bytes, times.

    python benchmarks/graph_forms.py forms --scales n s m l x --public /tmp/public
    python benchmarks/graph_forms.py files model.int8.onnx yolo12n.int8.onnx

`forms` builds every form that the exporter can give a graph, alone and as the recipes combine them,
two other ways to write SiLU, and beside them the public exporter's graph. Weights are random, which
changes no kernel. `files` takes ONNX files as they are. Times are predicted (docs/bench.md). The
public exporter's graphs, yolo12n.onnx to yolo12x.onnx in FP16, are made in an environment of their
own:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install ultralytics==8.4.190 onnx onnxslim onnxconverter-common
    /tmp/peer/bin/yolo export model=yolo12n.yaml format=onnx imgsz=640 opset=17
    /tmp/peer/bin/python -c 'import onnx; from onnxconverter_common import float16 as f
        onnx.save(f.convert_float_to_float16(onnx.load("yolo12n.onnx"), keep_io_types=True), ...)'
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from common import conditions, half_precision
from onnx import helper, numpy_helper

from yolov12edge import build_model
from yolov12edge.engine import BuildOptions, build_engine
from yolov12edge.engine.prediction import Prediction, predict_time
from yolov12edge.errors import ExportError
from yolov12edge.export import AttentionVariant, ExportOptions, export_onnx
from yolov12edge.run.form import GraphForm
from yolov12edge.run.gpus import load_gpu
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime.tensorrt_rtx import load_library

SIDE = 640
GPUS = {75: "t4", 86: "rtx-3080", 89: "rtx-4090", 120: "rtx-5090"}
PLAIN = GraphForm()
COLUMNS = (
    "graph", "SM", "kernels", "movers", "MB", "moved MB", "fused", "convolutions", "Q/DQ alone",
    "predicted ms",
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One way to say a graph."""

    name: str
    variant: AttentionVariant
    form: GraphForm


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    forms_command, files_command = (commands.add_parser(name) for name in ("forms", "files"))
    for command in (forms_command, files_command):
        command.add_argument("--sm", nargs="+", type=int, default=list(GPUS), choices=list(GPUS))
    forms_command.add_argument("--scales", nargs="+", default=["n"], choices=list("nsmlx"))
    forms_command.add_argument("--layout", default="turbo", choices=["turbo", "v1"])
    forms_command.add_argument("--public", type=Path, help="folder of the public graphs")
    forms_command.add_argument("--short", action="store_true", help="plain and the recipes' only")
    files_command.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    titles = ", ".join(load_gpu(GPUS[sm]).title for sm in options.sm)
    print(f"{conditions()}, tensorrt-rtx {load_library().__version__}; predicted for {titles}\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graphs = forms(options, folder) if options.command == "forms" else given(options.files)
        for (title, path), sm in itertools.product(graphs, options.sm):
            print(f"| {title} | {sm} | {' | '.join(row(path, sm, folder))} |", flush=True)


def given(files: list[Path]) -> Iterator[tuple[str, Path]]:
    yield from ((file.name, file) for file in files)


def forms(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    for scale in options.scales:
        for one in candidates(options.short):
            path = write_graph(scale, options.layout, one, folder)
            yield f"{scale}, {one.name}", path
        if not options.short:  # of the last candidate, which is what RTX recipes take
            for activation in ("tanh", "Swish"):
                target = folder / f"{scale}-{activation}.onnx"
                activate(path, target, activation)
                yield f"{scale}, {one.name}, SiLU by {activation}", target
        if options.public:
            yield f"{scale}, public exporter's", options.public / f"yolo12{scale}.onnx"


def candidates(short: bool) -> Iterator[Candidate]:
    """Attention first, then one form at a time on top of it, then what the recipes combine."""
    yield Candidate("`packed`, plain", "packed", PLAIN)
    single = {
        "stem": ["cells"],
        "halves": ["whole"],
        "upsampling": ["after", "transposed"],
        "residuals": ["subtract"],
        "pointwise": ["transposed"],
        "depthwise": ["eights"],
        "decoding": ["expectation"],
    }
    if not short:
        for variant in ("rows", "separate", "shared-rows"):
            yield Candidate(f"`{variant}`, plain", variant, PLAIN)
        for part, choice in [(part, one) for part, choices in single.items() for one in choices]:
            form = GraphForm.model_validate({part: choice})
            yield Candidate(f"`shared-rows`, {part} {choice}", "shared-rows", form)
    for target in ("turing", "rtx-ampere"):
        recipe = load_recipe(target)
        yield Candidate(f"**{target}**", recipe.attention, recipe.graph)


def write_graph(scale: str, layout: str, one: Candidate, folder: Path) -> Path:
    """Its ONNX file in FP16."""
    path = folder / f"{scale}-{one.name.strip('*').replace(' ', '-')}.onnx"
    model = build_model(scale, layout).eval()
    export_onnx(model, path, ExportOptions(SIDE, SIDE, variant=one.variant, form=one.form))
    half_precision(path, path)
    return path


def activate(source: Path, target: Path, form: str) -> None:
    """Write SiLU in another way: x/2 (1 + tanh(x/2)), or as the operator Swish of opset 24."""
    model = onnx.load(source)
    made = {output: node for node in model.graph.node for output in node.output}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        gates = [made.get(name) for name in node.input]
        gate = next((one for one in gates if one is not None and one.op_type == "Sigmoid"), None)
        if node.op_type != "Mul" or gate is None or gate.input[0] not in node.input:
            nodes.append(node)
            continue
        nodes.remove(gate)
        x, y = gate.input[0], node.output[0]
        if form == "Swish":
            nodes.append(helper.make_node("Swish", [x], [y], y))
            continue
        half, curve, product = (f"{y}_{part}" for part in ("half", "curve", "product"))
        nodes += [
            helper.make_node("Mul", [x, "one_half"], [half], half),
            helper.make_node("Tanh", [half], [curve], curve),
            helper.make_node("Mul", [half, curve], [product], product),
            helper.make_node("Add", [product, half], [y], y),
        ]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    half_value = numpy_helper.from_array(np.array(0.5, np.float16), "one_half")
    model.graph.initializer.append(half_value)
    if form == "Swish":
        model.opset_import[0].version, model.ir_version = 24, 10
    onnx.save(model, target)


def row(path: Path, sm: int, folder: Path) -> list[str]:
    """What the builder makes of a file for one architecture."""
    options = BuildOptions(compute_capabilities=(sm,))
    try:
        built = build_engine(path, folder / "engine.plan", "tensorrt_rtx", options)
    except ExportError:
        return ["cannot be built", *[""] * (len(COLUMNS) - 3)]
    assert built.record is not None
    found = built.record.inspect(path)
    assert found is not None, built.record.unread
    time = predict_time(found.layers, load_gpu(GPUS[sm]))
    sizes = (found.touched_bytes, found.moved_bytes)
    return [
        str(found.kernels),
        str(found.movers),
        *(f"{(size or 0) / 1e6:.1f}" for size in sizes),
        f"{found.fused} of {len(found.attention)}",
        ", ".join(f"{count} {kind}" for kind, count in sorted(found.convolutions.items())),
        str(found.quantizers),
        f"{time.predicted_ms:.3f}" if isinstance(time, Prediction) else time.reason,
    ]


if __name__ == "__main__":
    main()
