"""What `inspect` found, for people, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.engine.inspection import EngineInspection
from yolov12edge.files import readable_size
from yolov12edge.pipeline.inspect.artifact import Inspection, RunInspection
from yolov12edge.pipeline.inspect.checkpoint import CheckpointInspection
from yolov12edge.pipeline.inspect.onnx import OnnxInspection, TensorSummary
from yolov12edge.pipeline.inspect.plan import PlanInspection
from yolov12edge.pipeline.inspect.render_engine import render_engine
from yolov12edge.run.manifest import DeviceSection
from yolov12edge.runtime.plan_origin import TITLES
from yolov12edge.tables import add_numbers, new_fields, new_table, spaced

_WIDTH = 66
_SHOWN = 8


def render_inspection(found: Inspection) -> RenderableType:
    """An inspection as a list of named facts, with a table where there are several files."""
    if isinstance(found, OnnxInspection):
        return _onnx(found)
    if isinstance(found, PlanInspection):
        return _plan(found)
    if isinstance(found, EngineInspection):
        return render_engine(found)
    if isinstance(found, RunInspection):
        return _run(found)
    return _checkpoint(found)


def _checkpoint(found: CheckpointInspection) -> Table:
    shape = "batch norms folded" if found.fused else "batch norms kept"
    epoch = "" if found.epoch is None else f", stopped after epoch {found.epoch}"
    size = found.image_size
    return _fields(
        found.path,
        {
            "kind": f"checkpoint ({found.form}{epoch}), {readable_size(found.bytes)}",
            "sha256": found.sha256,
            "model": _model(found.scale, found.layout),
            "classes": _classes(found.num_classes, found.names),
            "weights": f"{found.parameters:,} parameters in {found.dtype}, {shape}",
            "trained at": f"{size} x {size} px" if size else "",
            "licence": found.license or "",
            "notes": "\n".join(found.notes),
        },
    )


def _onnx(found: OnnxInspection) -> RenderableType:
    model: Any = (found.metadata or {}).get("model")
    known = isinstance(model, dict) and {"scale", "layout", "num_classes"} <= model.keys()
    network = _model(model["scale"], model["layout"], model.get("imgsz")) if known else ""
    facts = {
        "kind": f"ONNX, opset {found.opset}, {readable_size(found.bytes)}",
        "sha256": found.sha256,
        "made by": found.producer,
        "model": network or "not said: no metadata of this package",
        "classes": _classes(model["num_classes"], model.get("names")) if known else "",
        "input": "\n".join(map(_tensor, found.inputs)),
        "output": "\n".join(map(_tensor, found.outputs)),
        "nodes": f"{found.nodes}: " + _counts(found.operators),
        "precision": _shares(found.precision),
        "attention": _attention(found),
        "lints": _lints(found),
    }
    return _fields(found.path, facts)


def _plan(found: PlanInspection) -> RenderableType:
    title = TITLES[found.backend]
    prefix = f"yes, {found.prefix_bytes} bytes; take it off with --strip FILE"
    facts = _fields(
        found.path,
        {
            "kind": f"{title} plan, {readable_size(found.bytes)}",
            "sha256": found.sha256,
            "built by": f"{title} {found.version or '(version unknown)'}",
            "built for": _architectures(found.sm) or "one GPU, the file does not say which",
            "prefix": prefix if found.prefix is not None else "none, raw plan bytes",
            "manifest": f"{found.manifest}: the hash agrees" if found.manifest else "none",
            "runs here": f"{'yes' if found.runs_here else 'no'}, {found.reason}",
            "layers": "" if found.engine else f"not known: {found.engine_reason}",
        },
    )
    if found.engine is None:
        return facts
    return spaced([facts, render_engine(found.engine, f"layers, {found.engine_reason}")])


def _run(found: RunInspection) -> RenderableType:
    manifest = found.manifest
    model, precision, target, engine = (
        manifest.model,
        manifest.precision,
        manifest.target,
        manifest.engine,
    )
    source = manifest.source
    network = _model(model.scale, model.layout, model.imgsz)
    where = ", ".join(
        filter(None, (f"{target.backend} {target.version}", _architectures(target.sm)))
    )
    built = (
        f"{engine.file}, {TITLES.get(engine.backend, engine.backend)} {engine.version} for "
        f"{_architectures(engine.sm)}, {readable_size(engine.bytes)}"
        if engine
        else f"none: {manifest.reason}"
    )
    facts = _fields(
        found.path,
        {
            "kind": f"run folder of {manifest.created}, yolov12edge {manifest.tool.version}",
            "model": f"{network}, {model.parameters:,} parameters",
            "classes": _classes(model.num_classes, model.names),
            "input": f"{manifest.input.name} {manifest.input.dtype} {_shape(manifest.input.shape)}",
            "output": (
                f"{manifest.output.name} {manifest.output.dtype} {_shape(manifest.output.shape)}"
            ),
            "precision": f"{precision.name}: {_shares(precision.nodes)}",
            "target": f"{target.name} ({where})",
            "engine": built,
            "checkpoint": ", ".join(filter(None, (source.file, source.form, source.license))),
            "verified": "yes, the drift gate passed" if manifest.verified else "no",
            "devices": "\n".join(_device(*one) for one in manifest.devices.items()),
        },
    )
    parts: list[RenderableType] = [facts, _files(found)]
    if found.engine is not None:
        parts.append(render_engine(found.engine, f"layers, {found.engine_reason}"))
    elif found.engine_reason:
        parts.append(Text(f"layers: {found.engine_reason}"))
    return spaced(parts)


def _device(name: str, device: DeviceSection) -> str:
    told = [f"{name}: {'passed' if device.passed else 'FAILED'} on {device.created[:10]}"]
    plan = device.plan
    size = f"{plan.file}, {readable_size(plan.bytes)}" if plan is not None else None
    told += filter(None, (device.runtime, device.failure, size, device.attention, device.int8))
    return "; ".join(told)


def _files(found: RunInspection) -> Table:
    table = new_table()
    table.add_column("file", overflow="fold")
    add_numbers(table, "size")
    table.add_column("sha256", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for file in found.files:
        size = "-" if file.bytes is None else readable_size(file.bytes)
        state = Text(file.state, "green" if file.state == "ok" else "bold red")
        table.add_row(escape(file.name), size, file.sha256[:12], state)
    return table


def _fields(title: str, facts: Mapping[str, str]) -> Table:
    table = new_fields(title)
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(value))
    return table


def _model(scale: Any, layout: Any, size: Any = None) -> str:
    at = f", {size[0]} x {size[1]} px" if isinstance(size, (list, tuple)) and len(size) == 2 else ""
    return f"YOLOv12-{scale}, layout {layout}{at}"


def _classes(count: int, names: Any) -> str:
    if not names:
        return f"{count}, without names"
    listed = ", ".join(str(name) for name in names[:_SHOWN])
    return f"{count}: {listed}" + (", ..." if len(names) > _SHOWN else "")


def _tensor(tensor: TensorSummary) -> str:
    return f"{tensor.name} {tensor.dtype} {_shape(tensor.shape)}"


def _shape(shape: list[int] | list[int | str]) -> str:
    return " x ".join(str(side) for side in shape)


def _architectures(sms: list[int]) -> str:
    return ", ".join(f"SM{sm}" for sm in sms)


def _counts(counts: Mapping[str, int]) -> str:
    """Counts by name; a name and its count stay on one line."""
    text = ", ".join(f"{name}\N{NO-BREAK SPACE}{count}" for name, count in counts.items())
    return "\n".join(textwrap.wrap(text, _WIDTH)).replace("\N{NO-BREAK SPACE}", " ")


def _shares(nodes: Mapping[str, int]) -> str:
    total = sum(nodes.values()) or 1
    return ", ".join(f"{count} {name} ({count / total:.1%})" for name, count in nodes.items())


def _attention(found: OnnxInspection) -> str:
    blocks = found.attention
    if not blocks:
        return "none found"
    open_blocks = sum(not block.obstacles for block in blocks)
    if open_blocks == len(blocks):
        return f"{len(blocks)} blocks, all in the form that engine builders fuse"
    return f"{len(blocks)} blocks, {open_blocks} in the form that engine builders fuse"


def _lints(found: OnnxInspection) -> str:
    if found.external_constants:
        return f"not run: {found.external_constants} constants are kept in other files"
    lines = [f"{lint.severity}, {lint.lint}: {lint.message}" for lint in found.lints[:_SHOWN]]
    if len(found.lints) > _SHOWN:
        lines.append(f"... and {len(found.lints) - _SHOWN} more (all with --json)")
    return "\n".join(lines) or "clean"
