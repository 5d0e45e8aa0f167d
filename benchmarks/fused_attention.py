"""Whether TensorRT-RTX fuses attention: every scale, layout, size, batch and architecture, no GPU.

    python benchmarks/fused_attention.py
    python benchmarks/fused_attention.py --scales n --sizes 320 640 --layouts v1
    python benchmarks/fused_attention.py --plain     the form of INT8 and of all other targets

Weights are random: kernels depend on types and shapes. What is not fused is named below the table.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import conditions, half_precision

from yolov12edge import build_model
from yolov12edge.engine import BatchRange, BuildOptions, build_engine
from yolov12edge.engine.fusion import FusionReport
from yolov12edge.export import ExportOptions, export_onnx
from yolov12edge.run.form import GraphForm
from yolov12edge.run.recipe import load_recipe
from yolov12edge.runtime.tensorrt_rtx import load_library

# The targets whose graphs are built, by architecture; all but Turing's are the same graph.
TARGETS = {75: "turing", 86: "rtx-ampere", 89: "rtx-ada", 120: "rtx-blackwell"}
RANGE = BatchRange(1, 2, 4)


@dataclass(frozen=True)
class Case:
    """One graph.

    Attributes:
        dynamic: its batch is 1 to 4, else 1.
    """

    scale: str
    layout: str
    size: int
    dynamic: bool

    @property
    def batch(self) -> str:
        """As `build` takes it."""
        return str(RANGE) if self.dynamic else "1"

    def __str__(self) -> str:
        return f"{self.scale}, {self.layout}, {self.size} px, batch {self.batch}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scales", nargs="+", default=list("nsmlx"), choices=list("nsmlx"))
    parser.add_argument("--layouts", nargs="+", default=["turbo", "v1"], choices=["turbo", "v1"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[320, 640, 1280])
    parser.add_argument("--plain", action="store_true", help="not in the forms of the recipes")
    options = parser.parse_args()
    print(f"{conditions()}, tensorrt-rtx {load_library().__version__}\n")
    print("| scale | layout | size | batch | " + " | ".join(f"SM{sm}" for sm in TARGETS) + " |")
    print("|---|---|---|---|" + "---|" * len(TARGETS))
    missed: list[str] = []
    for words in itertools.product(options.scales, options.layouts, options.sizes, (False, True)):
        case = Case(*words)
        with tempfile.TemporaryDirectory() as name:
            seen = {}
            for sm in TARGETS:
                graph = write_graph(case, Path(name), None if options.plain else sm)
                seen[sm] = look(case, graph, sm)
        cells = [case.scale, case.layout, str(case.size), case.batch]
        print(f"| {' | '.join([*cells, *map(said, seen.values())])} |", flush=True)
        missed += [f"{case}, SM{sm}: {line}" for sm, one in seen.items() for line in one.warnings]
    print("\n" + ("\n".join(missed) or "Nothing is split."))


def said(found: FusionReport) -> str:
    return found.text if found.verdict == "not seen" else f"{found.fused} of {found.blocks}"


def write_graph(case: Case, folder: Path, sm: int | None) -> Path:
    """Its ONNX file in FP16, in the form of the target with architecture `sm`; None for plain."""
    recipe = load_recipe(TARGETS[sm]) if sm is not None else None
    form, variant = (recipe.graph, recipe.attention) if recipe else (GraphForm(), "packed")
    path = folder / f"{variant}-{form.depthwise}.fp16.onnx"
    if not path.exists():
        batch = None if case.dynamic else 1
        options = ExportOptions(case.size, case.size, batch=batch, variant=variant, form=form)
        export_onnx(build_model(case.scale, case.layout).eval(), path, options)
        half_precision(path, path)
    return path


def look(case: Case, graph: Path, sm: int) -> FusionReport:
    """What the builder makes of it for one architecture."""
    options = BuildOptions(compute_capabilities=(sm,), batch=RANGE if case.dynamic else None)
    return build_engine(graph, graph.with_name("engine.plan"), "tensorrt_rtx", options).fusion


if __name__ == "__main__":
    main()
