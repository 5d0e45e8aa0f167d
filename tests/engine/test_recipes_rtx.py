"""What TensorRT-RTX makes of the graphs that its recipes ask for: the builder is the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolov12edge import build_model
from yolov12edge.engine import BuildOptions, EngineBuild, build_engine
from yolov12edge.engine.inspection import EngineInspection
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import convert_to_fp16
from yolov12edge.run.recipe import Recipe, load_recipe

pytest.importorskip("tensorrt_rtx_bindings")
SIDE = 640


def half_graph(recipe: Recipe, folder: Path) -> Path:
    pytest.importorskip("modelopt")
    options = ExportOptions(
        SIDE, SIDE, opset=recipe.opset, variant=recipe.attention, form=recipe.graph
    )
    export_onnx(build_model("n").eval(), folder / "model.onnx", options)
    half = folder / "model.fp16.onnx"
    convert_to_fp16(folder / "model.onnx", half, [probe_picture(SIDE, SIDE)[0]])
    return half


def build(recipe: Recipe, half: Path) -> EngineBuild:
    options = BuildOptions(compute_capabilities=recipe.compute_capabilities)
    return build_engine(half, half.with_name("engine.plan"), "tensorrt_rtx", options)


def seen(built: EngineBuild) -> EngineInspection:
    assert built.record is not None
    found = built.record.inspect(built.path)
    assert found is not None, built.record.unread
    return found


@pytest.mark.parametrize(
    ("name", "kernels", "movers", "megabytes"),
    # In all and at most; plain graphs make 173, 44 and 174 of these, and 181, 42 and 280 for SM75.
    [("rtx-ampere", 150, 20, 136), ("rtx-ada", 150, 20, 136), ("turing", 165, 20, 156)],
)
def test_the_forms_are_worth_what_the_documentation_says(
    tmp_path: Path, name: str, kernels: int, movers: int, megabytes: float
) -> None:
    recipe = load_recipe(name)
    found = seen(build(recipe, half_graph(recipe, tmp_path)))
    assert found.touched_bytes is not None
    assert (found.fused, len(found.attention)) == (8, 8)
    assert found.kernels <= kernels
    assert found.movers <= movers
    assert found.touched_bytes <= megabytes * 1e6
    assert found.quantizers == 0


@pytest.mark.parametrize("activation", ["tanh", "swish"])
def test_the_builder_takes_every_activation(tmp_path: Path, activation: str) -> None:
    recipe = load_recipe("rtx-ampere")
    opset = 24 if activation == "swish" else 17
    form = recipe.graph.model_copy(update={"activation": activation})
    options = ExportOptions(96, 96, opset=opset, variant=recipe.attention, form=form)
    export_onnx(build_model("n").eval(), tmp_path / "model.onnx", options)
    assert build(recipe, tmp_path / "model.onnx").size > 0
