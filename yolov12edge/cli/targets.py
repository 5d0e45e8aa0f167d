"""`yolov12edge targets`: the recipes, listed or one resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from yolov12edge.cli.options import JsonOption, QuietOption
from yolov12edge.cli.output import Output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yolov12edge.run.recipe import Recipe


def command(
    name: Annotated[
        Optional[str],  # noqa: UP045 - typer reads annotations at run time
        typer.Argument(
            metavar="NAME", help="A target, or a recipe's YAML file; without it all are listed."
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the targets, or show what one stands for and why."""
    from yolov12edge.run.recipe import list_recipes, load_recipe

    output = Output(json, quiet)
    if name is not None:
        recipe = load_recipe(name)
        output.result(recipe.model_dump(mode="json"), _one(recipe))
        return
    recipes = [load_recipe(known) for known in list_recipes()]
    document: dict[str, Any] = {"targets": [recipe.model_dump(mode="json") for recipe in recipes]}
    output.result(document, _all(recipes))


def _all(recipes: list[Recipe]) -> RenderableType:
    from rich.markup import escape

    from yolov12edge.tables import new_table

    table = new_table()
    for column in ("target", "hardware", "runs on", "precision"):
        table.add_column(column)
    for recipe in recipes:
        backend = f"{recipe.backend} {recipe.version or ''}".strip()
        table.add_row(recipe.name, escape(recipe.title), backend, recipe.precision.default)
    return table


def _one(recipe: Recipe) -> RenderableType:
    from rich.markup import escape

    from yolov12edge.tables import new_table

    why = recipe.why
    sms = ", ".join(f"SM{sm}" for sm in recipe.compute_capabilities)
    allowed = ", ".join(recipe.precision.allowed)
    table = new_table(f"{recipe.name}: {recipe.title}")
    for column in ("choice", "value", "why"):
        table.add_column(column)
    table.add_row("backend", recipe.backend, escape(why.backend))
    table.add_row("version", recipe.version or "any", escape(why.version))
    if recipe.jetpack:
        table.add_row("JetPack", escape(recipe.jetpack), "")
    if sms:
        table.add_row("GPU", sms, "")
    if recipe.gpus:
        table.add_row("predicted for", ", ".join(recipe.gpus), "the first unless --gpu names one")
    table.add_row("opset", f"{recipe.opset} (up to {recipe.opset_ceiling})", escape(why.opset))
    table.add_row("precision", f"{recipe.precision.default} (of {allowed})", escape(why.precision))
    table.add_row("attention", recipe.attention, escape(why.attention))
    chosen = recipe.graph.model_dump(exclude_defaults=True)
    if chosen:
        forms = ", ".join(f"{part} {choice}" for part, choice in chosen.items())
        table.add_row("graph", forms, escape(why.graph or ""))
    if recipe.build_hint:
        table.add_row("build", "", escape(recipe.build_hint))
    for note in recipe.notes:
        table.add_row("note", "", escape(note))
    return table
