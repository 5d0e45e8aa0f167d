"""What TensorRT-RTX makes of the graphs that its recipes ask for: the builder is the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolov12edge import build_model
from yolov12edge.engine import BatchRange, BuildOptions, EngineBuild, build_engine
from yolov12edge.engine.inspection import EngineInspection
from yolov12edge.export import ExportOptions, export_onnx, probe_picture
from yolov12edge.quantize import convert_to_fp16
from yolov12edge.run.recipe import Recipe, load_recipe

pytest.importorskip("tensorrt_rtx_bindings")
RECIPES = ("turing", "rtx-ampere", "rtx-ada", "rtx-blackwell")


def half_graph(
    recipe: Recipe, folder: Path, scale: str, layout: str, size: int, batch: int | None = 1
) -> Path:
    pytest.importorskip("modelopt")
    options = ExportOptions(
        size, size, batch=batch, opset=recipe.opset, variant=recipe.attention, form=recipe.graph
    )
    export_onnx(build_model(scale, layout).eval(), folder / "model.onnx", options)
    half = folder / "model.fp16.onnx"
    convert_to_fp16(folder / "model.onnx", half, [probe_picture(size, size)[0]])
    return half


def build(recipe: Recipe, half: Path, batch: BatchRange | None = None) -> EngineBuild:
    options = BuildOptions(compute_capabilities=recipe.compute_capabilities, batch=batch)
    return build_engine(half, half.with_name("engine.plan"), "tensorrt_rtx", options)


def seen(built: EngineBuild) -> EngineInspection:
    found = built.records[0].inspect(built.path)
    assert found is not None, built.records[0].unread
    return found


@pytest.mark.parametrize(
    ("name", "kernels", "movers", "megabytes"),
    # In all and at most; plain graphs make 173, 45 and 174 of these, and 181, 53 and 280 for SM75.
    [("rtx-ampere", 150, 20, 136), ("rtx-ada", 150, 20, 136), ("turing", 165, 33, 156)],
)
def test_the_forms_are_worth_what_the_documentation_says(
    tmp_path: Path, name: str, kernels: int, movers: int, megabytes: float
) -> None:
    recipe = load_recipe(name)
    found = seen(build(recipe, half_graph(recipe, tmp_path, "n", "turbo", 640)))
    assert found.touched_bytes is not None
    assert (found.fused, len(found.attention)) == (8, 8)
    assert found.kernels <= kernels
    assert found.movers <= movers
    assert found.touched_bytes <= megabytes * 1e6
    assert found.quantizers == 0


# One export each, on several architectures; benchmarks/engines_seen.py goes through them all.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "layout", "size", "batch", "names"),
    [
        ("n", "turbo", 320, None, ("rtx-ampere", "rtx-blackwell")),
        ("n", "v1", 1280, 1, ("rtx-ada",)),
        ("n", "turbo", 1280, 1, ("turing",)),
        ("s", "v1", 640, 1, ("rtx-ampere", "rtx-blackwell")),
        ("m", "turbo", 320, 1, ("rtx-ada",)),
        ("l", "v1", 320, 1, ("rtx-ampere",)),
        ("x", "turbo", 320, None, ("rtx-blackwell",)),
    ],
)
def test_attention_is_fused(
    tmp_path: Path, scale: str, layout: str, size: int, batch: int | None, names: tuple[str, ...]
) -> None:
    half = half_graph(load_recipe(names[0]), tmp_path, scale, layout, size, batch)
    blocks = 16 if scale in "lx" else 8
    for name in names:
        recipe = load_recipe(name)
        built = build(recipe, half, BatchRange(1, 2, 4) if batch is None else None)
        (sm,) = recipe.compute_capabilities
        assert built.fusion.line == f"attention: {blocks} of {blocks} fused (SM{sm})"
