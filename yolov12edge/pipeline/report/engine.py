"""The engine in a report: what was built, what its builder made of the network, what to run."""

from __future__ import annotations

import shlex
from pathlib import Path

from yolov12edge.engine.inspection import EngineInspection
from yolov12edge.errors import EdgeError
from yolov12edge.files import readable_size
from yolov12edge.page import Block, Cell, Chart, Command, Fields, Note, Section
from yolov12edge.page.charts import INSTALL, BlockTraffic, block_traffic, can_draw
from yolov12edge.page.parts import State
from yolov12edge.pipeline.report.documents import RunDocuments
from yolov12edge.run.names import PLAN_FILE
from yolov12edge.run.recipe import Recipe, load_recipe


def engine_section(run: RunDocuments) -> Section:
    """The engine, or why there is none and what to run on the device."""
    manifest = run.manifest
    target, engine = manifest.target, manifest.engine
    recipe = _recipe(target.name)
    sm = ", ".join(f"SM{one}" for one in target.sm)
    wanted = " ".join(filter(None, (target.backend, target.version, sm)))
    title = f"{target.name}: {recipe.title}" if recipe else target.name
    rows: list[tuple[str, Cell | str]] = [("target", title), ("for", wanted)]
    blocks: list[Block] = []
    if engine is not None:
        built = ", ".join(f"SM{one}" for one in engine.sm)
        rows += [
            ("engine", f"{engine.file}, {readable_size(engine.bytes)}"),
            ("built with", f"{engine.backend} {engine.version} for {built}"),
            ("SHA-256", Cell(engine.sha256, code=True)),
        ]
        seen = run.inspection.engine
        rows += _seen(seen, run.inspection.engine_reason)
        blocks += [Fields(tuple(rows)), *_traffic(seen)]
        blocks.append(_verify(run.folder / engine.file, "verify it"))
        return Section("engine", "Engine", tuple(blocks), "built")
    rows.append(("no engine", manifest.reason or "the manifest does not say why"))
    blocks.append(Fields(tuple(rows)))
    if recipe is not None and recipe.builds_engine:
        plan = run.folder / PLAN_FILE
        command = recipe.build_command(run.artifact, plan, manifest.precision.name)
        if command is not None:
            blocks += [
                Command(command, "On the device, build it:"),
                _verify(plan, "then verify it"),
            ]
    return Section("engine", "Engine", tuple(blocks), "none")


def _seen(engine: EngineInspection | None, reason: str) -> list[tuple[str, Cell | str]]:
    """What the record of the build tells, in words."""
    if engine is None:
        return [("inside", reason)] if reason else []
    blocks = len(engine.attention)
    state: State = "good" if engine.fused == blocks else "bad"
    told = Cell(f"{engine.fused} of {blocks} fused", state) if blocks else Cell("not seen", "muted")
    rows: list[tuple[str, Cell | str]] = [
        ("attention", told),
        ("kernels", f"{engine.kernels}, of which {engine.movers} only move, convert or add up"),
    ]
    if engine.convolutions:
        types = (f"{number} {kind}" for kind, number in engine.convolutions.items())
        rows.append(("convolutions", ", ".join(types)))
    split = next((block for block in engine.attention if block.fusion != "fused"), None)
    if split is not None:
        rows.insert(1, ("the first that is not", f"{split.name}: {split.missed or split.fusion}"))
    if engine.quantizers:
        rows.append(("Q/DQ left standing", str(engine.quantizers)))
    return rows


def _traffic(engine: EngineInspection | None) -> list[Block]:
    """The picture of it: bytes by block."""
    if engine is None or engine.touched_bytes is None:
        return []
    if not can_draw():
        return [Note(f"Charts need matplotlib: {INSTALL}", "muted")]
    bars = []
    for block in engine.blocks:
        touched, moved = block.touched_bytes or 0, block.moved_bytes or 0
        own = [one for one in engine.attention if one.name.startswith(f"{block.block}.")]
        fused = sum(one.fusion == "fused" for one in own)
        mark = f"attention: {fused} of {len(own)} fused" if own else ""
        bars.append(BlockTraffic(block.block, (touched - moved) / 1e6, moved / 1e6, mark))
    caption = (
        f"{engine.touched_bytes / 1e6:.1f} MB in all, as the builder's log tells: every tensor of "
        "every kernel counted once"
    )
    return [Chart(block_traffic(bars), caption)]


def _recipe(name: str) -> Recipe | None:
    """A recipe that comes with the package; those of users are files that may be elsewhere."""
    try:
        return None if name.endswith((".yaml", ".yml")) else load_recipe(name)
    except EdgeError:
        return None


def _verify(plan: Path, what: str) -> Command:
    command = f"yolov12edge verify {shlex.quote(str(plan))} --data data.yaml"
    return Command(command, f"On the device, {what}:")
