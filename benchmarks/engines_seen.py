"""What TensorRT-RTX makes of graphs, with no GPU: kernels, movers, bytes, fused attention, times.

    python benchmarks/engines_seen.py forms --scales n s m l x
    python benchmarks/engines_seen.py fusion
    python benchmarks/engines_seen.py prediction --public /tmp/public

`forms` builds every form that the exporter can give a graph, alone and as the recipes combine them.
`fusion` asks of every scale, layout, size and architecture whether attention is fused. Both take
random weights, which change no kernel. `prediction` holds the model of time against what others
measured on a T4. The public exporter's graphs are yolo12n.onnx to yolo12x.onnx in FP16, made in an
environment of their own:

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

from common import conditions, half_precision

from yolov12edge import build_model
from yolov12edge.engine import BatchRange, BuildOptions, build_engine
from yolov12edge.engine.gpus import BY_NAME, GPUS
from yolov12edge.engine.inspection import EngineInspection
from yolov12edge.engine.prediction import predict
from yolov12edge.errors import ExportError
from yolov12edge.export import AttentionVariant, ExportOptions, export_onnx
from yolov12edge.run.form import GraphForm
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime.tensorrt_rtx import load_library

ARCHITECTURES = (75, 86, 89, 120)
PLAIN = GraphForm()
# Milliseconds on a T4, TensorRT 10, FP16, 640 px: the authors' README (v1.0), and the same network
# measured again by its second implementer (ultralytics#19728, turbo).
PUBLISHED = {"n": 1.64, "s": 2.61, "m": 4.86, "l": 6.77, "x": 11.79}
MEASURED_AGAIN = {"n": 2.3, "s": 4.1, "m": 7.5, "l": 11.8, "x": 21.4}


@dataclass(frozen=True)
class Candidate:
    """One way to say a graph."""

    name: str
    variant: AttentionVariant
    form: GraphForm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("forms", "fusion", "prediction"):
        command = commands.add_parser(name)
        command.add_argument("--scales", nargs="+", default=["n"], choices=list("nsmlx"))
        command.add_argument("--layout", default="turbo", choices=["turbo", "v1"])
        command.add_argument("--public", type=Path, help="folder of the public exporter's graphs")
    options = parser.parse_args()
    print(conditions(), f"tensorrt-rtx {load_library().__version__}")
    with tempfile.TemporaryDirectory() as folder:
        {"forms": forms, "fusion": fusion, "prediction": prediction}[options.command](
            options, Path(folder)
        )


def forms(options: argparse.Namespace, folder: Path) -> None:
    """A row a candidate and architecture."""
    print("| scale | graph | SM | kernels | movers | MB | moved MB | fused | predicted ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for scale in options.scales:
        graphs = {
            one.name: written(scale, options.layout, 640, one, folder) for one in candidates()
        }
        public = options.public and options.public / f"yolo12{scale}.onnx"
        if public:
            graphs["public exporter's"] = public
        for (name, path), sm in itertools.product(graphs.items(), ARCHITECTURES):
            try:
                found = seen(path, sm, folder)
            except ExportError:
                print(f"| {scale} | {name} | {sm} | cannot be built | | | | | |", flush=True)
                continue
            gpu = next(gpu for gpu in GPUS if gpu.sm == sm)
            time = predict(found.layers, gpu).milliseconds
            sizes = (found.touched_bytes, found.moved_bytes)
            touched, moved = ((size or 0) / 1e6 for size in sizes)
            print(
                f"| {scale} | {name} | {sm} | {found.kernels} | {found.movers} | {touched:.1f} | "
                f"{moved:.1f} | {found.fused} of {len(found.attention)} | {time:.3f} {gpu.title} |",
                flush=True,
            )


def candidates() -> Iterator[Candidate]:
    """Attention first, then one form at a time on top of it, then what the recipes combine."""
    yield Candidate("packed, plain", "packed", PLAIN)
    yield Candidate("rows", "rows", PLAIN)
    yield Candidate("separate", "separate", PLAIN)
    yield Candidate("shared-rows", "shared-rows", PLAIN)
    single = {
        "stem": ["cells"],
        "halves": ["whole"],
        "upsampling": ["after", "transposed"],
        "residuals": ["subtract"],
        "pointwise": ["transposed"],
        "depthwise": ["eights"],
        "decoding": ["expectation"],
    }
    for part, choices in single.items():
        for choice in choices:
            form = GraphForm.model_validate({part: choice})
            yield Candidate(f"shared-rows, {part} {choice}", "shared-rows", form)
    for target in ("rtx-ampere", "turing"):
        recipe = load_recipe(target)
        yield Candidate(f"recipe {target}", recipe.attention, recipe.graph)


def fusion(options: argparse.Namespace, folder: Path) -> None:
    """Every scale, layout, size and batch, on every architecture; what is not fused is named."""
    recipes = {75: "turing", 86: "rtx-ampere", 89: "rtx-ada", 120: "rtx-blackwell"}
    print("| scale | layout | size | batch | " + " | ".join(f"SM{sm}" for sm in recipes) + " |")
    print("|---|---|---|---|" + "---|" * len(recipes))
    sizes, batches = (320, 480, 640, 960, 1280), (1, None)
    for scale, layout, size, batch in itertools.product(
        options.scales, ("turbo", "v1"), sizes, batches
    ):
        cells = []
        for sm, target in recipes.items():
            recipe = load_recipe(target)
            one = Candidate(target, recipe.attention, recipe.graph)
            path = written(scale, layout, size, one, folder, batch)
            found = seen(path, sm, folder, batch is None)
            cells.append(f"{found.fused} of {len(found.attention)}")
        head = [scale, layout, str(size), "1" if batch else "1 to 4"]
        print(f"| {' | '.join([*head, *cells])} |", flush=True)


def prediction(options: argparse.Namespace, folder: Path) -> None:
    """The public exporter's graphs on a T4, predicted, beside what was published of them."""
    print("| scale | predicted ms | published | ratio | measured again | ratio | ours, predicted |")
    print("|---|---|---|---|---|---|---|")
    t4, recipe = BY_NAME["t4"], load_recipe("turing")
    for scale in options.scales:
        public = options.public / f"yolo12{scale}.onnx"
        ours = written(
            scale, "v1", 640, Candidate("turing", recipe.attention, recipe.graph), folder
        )
        theirs, own = (
            predict(seen(path, 75, folder).layers, t4).milliseconds for path in (public, ours)
        )
        first, second = PUBLISHED[scale], MEASURED_AGAIN[scale]
        print(
            f"| {scale} | {theirs:.2f} | {first} | {theirs / first:.2f} | {second} | "
            f"{theirs / second:.2f} | {own:.2f} |",
            flush=True,
        )


def written(
    scale: str, layout: str, size: int, one: Candidate, folder: Path, batch: int | None = 1
) -> Path:
    """A FP16 graph of random weights."""
    path = folder / f"{scale}-{layout}-{size}-{batch}-{one.name.replace(' ', '-')}.onnx"
    if not path.exists():
        model = build_model(scale, layout).eval()
        options = ExportOptions(size, size, batch=batch, variant=one.variant, form=one.form)
        export_onnx(model, path, options)
        half_precision(path, path)
    return path


def seen(path: Path, sm: int, folder: Path, dynamic: bool = False) -> EngineInspection:
    """What the builder makes of a file."""
    batch = BatchRange(1, 2, 4) if dynamic else None
    options = BuildOptions(compute_capabilities=(sm,), batch=batch)
    built = build_engine(path, folder / "engine.plan", "tensorrt_rtx", options)
    found = built.records[0].inspect(path)
    assert found is not None, built.records[0].unread
    return found


if __name__ == "__main__":
    main()
