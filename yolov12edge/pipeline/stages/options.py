"""The ONNX graph that a target wants in a precision."""

from __future__ import annotations

from yolov12edge.export import ExportOptions
from yolov12edge.export.lints.registry import ANY_VERSION
from yolov12edge.run.form import GraphForm
from yolov12edge.run.recipe import Precision, Recipe


def graph_options(
    recipe: Recipe,
    precision: Precision,
    size: tuple[int, int],
    *,
    batch: int | None = 1,
    swap_attention: bool = True,
) -> ExportOptions:
    """How a graph for a target is written.

    Args:
        recipe: of the target.
        precision: that the graph will have in the end.
        size: height and width of the input.
        batch: fixed, or None for a symbolic one.
        swap_attention: as `ExportOptions` has it.

    Raises:
        UsageError: no graph of that size.
    """
    return ExportOptions(
        height=size[0],
        width=size[1],
        batch=batch,
        opset=recipe.opset,
        variant=recipe.attention,
        swap_attention=swap_attention,
        form=_form(recipe, precision),
        tensorrt=(recipe.version or ANY_VERSION) if recipe.backend == "tensorrt" else None,
    )


def _form(recipe: Recipe, precision: Precision) -> GraphForm:
    """The recipe's; INT8's rules know the plain forms, and none was better (quantization.md)."""
    if precision != "int8":
        return recipe.graph
    return GraphForm(activation=recipe.graph.activation)
