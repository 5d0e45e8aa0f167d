"""Engines and differences for people, in 80 columns."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.engine.inspection import AttentionFusion, BlockCost, EngineInspection
from yolov12edge.files import readable_size
from yolov12edge.pipeline.inspect.diff import InspectionDiff
from yolov12edge.tables import add_numbers, new_fields, new_table, spaced

_SHOWN = 60
_WIDEST = 24
_STYLES = {"fused": "green", "split": "bold red", "hidden": "yellow"}


def render_engine(found: EngineInspection, title: str | None = None) -> RenderableType:
    """An engine's sums, its attention blocks and what every block of the network became."""
    facts = new_fields(title or found.path)
    for name, value in _facts(found).items():
        if value:
            facts.add_row(name, Text(value))
    parts: list[RenderableType] = [facts]
    if found.attention:
        parts.append(_attention(found.attention))
    parts.append(_blocks(found))
    return spaced(parts)


def render_diff(found: InspectionDiff) -> RenderableType:
    """The facts in which two artifacts differ, side by side."""
    if not found.differences:
        return Text(f"no difference in {found.same} facts between {found.before} and {found.after}")
    table = new_table(f"{found.of}s: {len(found.differences)} facts differ, {found.same} agree")
    table.add_column("fact", overflow="fold")
    table.add_column(escape(found.before), overflow="fold", max_width=_WIDEST)
    table.add_column(escape(found.after), overflow="fold", max_width=_WIDEST)
    for one in found.differences[:_SHOWN]:
        table.add_row(escape(one.fact), _value(one.before), _value(one.after))
    if len(found.differences) > _SHOWN:
        table.add_row(f"... and {len(found.differences) - _SHOWN} more (all with --json)", "", "")
    return table


def _facts(found: EngineInspection) -> dict[str, str]:
    seen = f"{found.fused} of {len(found.attention)} attention blocks"
    unseen = f"{found.mha_kernels} kernels for a whole attention; to which block they belong is "
    return {
        "layers": ""
        if _by_kernel(found) and found.ms is None
        else f"{len(found.layers)}" + _ms(found.ms, ", {} ms one by one"),
        "detail": "" if found.detailed else _NAMES_ONLY,
        "precision": _shares(found.precisions),
        "fused": seen if found.attention else unseen + "not told" if found.mha_kernels else "",
        "kernels": _kernels(found),
        "movers": _movers(found),
        "convolutions": _shares(found.convolutions),
        "streams": f"{found.streams}, {found.waits} waits" if found.streams else "",
        **_moves(found),
        "weights": readable_size(found.weight_bytes) if found.weight_bytes else "",
        "activations": f"{readable_size(found.activation_bytes)} written by all layers"
        if found.activation_bytes
        else "",
    }


def _moves(found: EngineInspection) -> dict[str, str]:
    standing = f"{found.quantizers} Q/DQ left standing"
    together = _ms(found.reformat_ms, ", {} ms together")
    if not _by_kernel(found) or together:
        return {"reformats": f"{found.reformats}, and {standing}{together}"}
    return {
        "Q/DQ": f"{found.quantizers} kernels left standing"
        if found.quantizers
        else "none left standing"
    }


_NAMES_ONLY = (
    "names only: build with --profiling-verbosity detailed to see precisions, bytes and blocks"
)


def _attention(blocks: list[AttentionFusion]) -> Table:
    table = new_table("attention")
    table.add_column("block", overflow="fold")
    table.add_column("fusion", no_wrap=True)
    timed = any(block.ms is not None for block in blocks)
    add_numbers(table, "kernels", *(["ms"] if timed else []))
    missed = any(block.missed for block in blocks)
    if missed:
        table.add_column("instead of one", overflow="fold")
    for block in blocks:
        fusion = Text(block.fusion, _STYLES[block.fusion])
        more = [_ms(block.ms)] * timed + [escape(block.missed)] * missed
        table.add_row(escape(block.name), fusion, str(block.kernels), *more)
    return table


def _blocks(found: EngineInspection) -> Table:
    table = new_table("by model block")
    if _by_kernel(found):
        return _kernels_by_block(table, found)
    table.add_column("block", no_wrap=True)
    table.add_column("precision", overflow="fold")
    add_numbers(table, "layers", "moves", "weights", "written", "ms", "share")
    for block in found.blocks:
        table.add_row(block.block, *_cells(block, found.ms))
    return table


def _by_kernel(found: EngineInspection) -> bool:
    """Whether the kernels are told, as a builder's log tells them: with streams, or all tensors."""
    return found.touched_bytes is not None or (found.detailed and found.streams > 0)


def _kernels_by_block(table: Table, found: EngineInspection) -> Table:
    """What each block is made of, touches and moves."""
    timed, standing = found.ms is not None, found.quantizers > 0
    table.add_column("block", no_wrap=True)
    table.add_column("convolutions", overflow="fold")
    table.add_column("attention", no_wrap=True)
    more = ["Q/DQ"] * standing + ["MB", "moved"] + ["ms"] * timed
    add_numbers(table, "kernels", "movers", *more)
    for block in found.blocks:
        table.add_row(
            block.block,
            ", ".join(f"{count} {name}" for name, count in block.convolutions.items()) or "-",
            _fused(found, block.block),
            str(block.layers),
            str(block.movers),
            *([str(block.quantizers)] * standing),
            _megabytes(block.touched_bytes),
            _megabytes(block.moved_bytes),
            *([_ms(block.ms) or "-"] * timed),
        )
    return table


def _fused(found: EngineInspection, block: str) -> Text:
    own = [one for one in found.attention if one.name.startswith(f"{block}.")]
    fused = sum(one.fusion == "fused" for one in own)
    style = "green" if fused == len(own) else "bold red"
    return Text(f"{fused} of {len(own)} fused", style) if own else Text("")


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"


def _kernels(found: EngineInspection) -> str:
    if not found.detailed or found.touched_bytes is None:
        return f"{found.kernels}" if found.detailed else ""
    return f"{found.kernels}, {_megabytes(found.touched_bytes)} MB touched"


def _movers(found: EngineInspection) -> str:
    if not found.detailed:
        return ""
    moved = "" if found.moved_bytes is None else f", {_megabytes(found.moved_bytes)} MB"
    return f"{found.movers} kernels that only move, convert or add up{moved}"


def _cells(block: BlockCost, total: float | None) -> list[str]:
    share = f"{block.ms / total:.1%}" if total and block.ms is not None else "-"
    return [
        ", ".join(f"{name} {count}" for name, count in block.precisions.items()) or "-",
        str(block.layers),
        str(block.reformats),
        readable_size(block.weight_bytes) if block.weight_bytes else "-",
        readable_size(block.activation_bytes) if block.activation_bytes else "-",
        _ms(block.ms) or "-",
        share,
    ]


def _ms(value: float | None, text: str = "{}") -> str:
    return text.format(f"{value:.3f}") if value is not None else ""


def _shares(counts: dict[str, int]) -> str:
    total = sum(counts.values()) or 1
    return ", ".join(f"{count} {name} ({count / total:.1%})" for name, count in counts.items())


def _value(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
