"""What a run is made of: precision, calibration, engine and provenance in a report."""

from __future__ import annotations

from collections import Counter, defaultdict

from yolov12edge.files import readable_size
from yolov12edge.page import Block, Cell, Chart, Column, Fields, Items, Note, Section, Table
from yolov12edge.page.charts import INSTALL, LayerLosses, can_draw, layer_losses
from yolov12edge.pipeline.report.documents import RunDocuments
from yolov12edge.pipeline.report.text import NOTHING, count, items
from yolov12edge.run.manifest import CalibrationSection, LearningSection

_MOST_RULES = 60


def precision_section(run: RunDocuments) -> Section:
    """Nodes by precision, and what stayed in float by the rule that kept it there."""
    precision = run.manifest.precision
    total = sum(precision.nodes.values())
    rows = tuple(
        (name.upper(), str(nodes), Cell(f"{nodes / total:.0%}", share=_share(nodes / total)))
        for name, nodes in precision.nodes.items()
        if total > 0
    )
    columns = (Column("precision"), Column("nodes", True), Column("share"))
    blocks: list[Block] = [Table(columns, rows, f"nodes of {run.artifact.name}")] if rows else []
    kept = precision.kept_in_float
    if kept:
        reasons = Counter(_rule_of(reason) for reason in kept.values()).most_common(_MOST_RULES)
        lines = tuple((rule, why, str(nodes)) for (rule, why), nodes in reasons)
        head = (Column("rule"), Column("why"), Column("nodes", True))
        blocks.append(Table(head, lines, f"{count(len(kept), 'node')} kept in float"))
        blocks += _nodes(kept)
    else:
        blocks.append(Note("Nothing is recorded as kept in float.", "muted"))
    return Section("precision", f"Precision: {precision.name.upper()}", tuple(blocks))


def _rule_of(reason: str) -> tuple[str, str]:
    """A reason is written "rule: why"; one without a rule is all why."""
    rule, colon, why = reason.partition(": ")
    return (rule, why) if colon else ("", reason)


def _nodes(kept: dict[str, str]) -> list[Items]:
    """One folded list a rule; its nodes say why where the rule has several reasons."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for node, reason in kept.items():
        rule, why = _rule_of(reason)
        found[rule].append((node, why))
    lists = []
    for rule, nodes in list(found.items())[:_MOST_RULES]:
        several = len({why for _, why in nodes}) > 1
        names = [f"{node}: {why}" if several else node for node, why in nodes]
        lists.append(items(f"{rule or 'other'}: {count(len(nodes), 'node')}", names))
    return lists


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def calibration_section(run: RunDocuments) -> Section:
    """Which images decided, how, and whether their list is the one of the manifest."""
    section, listed = run.manifest.calibration, run.calibration
    if section is None:
        text = "This precision needs no calibration images."
        return Section("calibration", "Calibration", (Note(text, "muted"),), "none")
    rows: list[tuple[str, Cell | str]] = [
        ("images", _images(section)),
        ("method", section.method),
        ("seed", str(section.seed)),
        ("SHA-256 of the set", Cell(section.sha256, code=True)),
    ]
    if listed is not None:
        rows.insert(1, ("source", listed.source))
    if section.domain_gap is not None:
        gap = f"{section.domain_gap:.2f} between calibration and verification images"
        rows.append(("domain gap", gap))
    blocks: list[Block] = [Fields(tuple(rows))]
    if section.trials:
        worst = max(section.trials.values())
        trials = tuple(
            (
                Cell(name, "good" if name == section.method else ""),
                Cell(f"{loss:.4f}", share=_share(loss / worst) if worst > 0 else None),
            )
            for name, loss in sorted(section.trials.items(), key=lambda item: item[1])
        )
        columns = (Column("method"), Column("loss on held-back images"))
        blocks.append(Table(columns, trials, "methods that were tried; less is better"))
    if section.learning is not None:
        blocks += _learning(section.learning)
    if listed is not None:
        same = listed.digest == section.sha256
        if not same:
            blocks.append(Note("The list of images is not the one of the manifest.", "bad"))
        names = [f"{image.sha256[:12]}  {image.file}" for image in listed.images]
        blocks.append(items(f"{count(len(names), 'image')} with their SHA-256", names))
    return Section("calibration", "Calibration", tuple(blocks))


def _learning(section: LearningSection) -> list[Block]:
    """What INT8 costs in each layer, before and after learning, as a picture."""
    total = sum(one.activations_after + one.weights_after for one in section.losses.values())
    text = (
        f"Rounding was learned on {count(section.images, 'image')} (effort {section.effort}) in "
        f"{count(section.convolutions, 'convolution')}; {section.withdrawn} got worse on images "
        "that taught nothing and stay as they were."
    )
    if section.losses:
        text += f" INT8 costs {total:.2f} times what it costs by rules alone."
    blocks: list[Block] = [Note(text, "muted")]
    if not section.losses:
        return blocks
    if not can_draw():
        return [*blocks, Note(f"Charts need matplotlib: {INSTALL}", "muted")]
    layers = [
        LayerLosses(
            name,
            (one.activations_before, one.weights_before),
            (one.activations_after, one.weights_after),
        )
        for name, one in section.losses.items()
    ]
    caption = "squared error that INT8 makes in scores and boxes, by layer, without labels"
    return [*blocks, Chart(layer_losses(layers), caption)]


def _images(section: CalibrationSection) -> str:
    if not section.held_back:
        return str(section.images)
    return f"{section.images}, and {section.held_back} more held back to choose the method"


def provenance_section(run: RunDocuments) -> Section:
    """The checkpoint, the proof of the export, who made it, and every file with its hash."""
    manifest = run.manifest
    model, source = manifest.model, manifest.source
    libraries = ", ".join(f"{name} {text}" for name, text in manifest.tool.libraries.items())
    height, width = model.imgsz
    rows: list[tuple[str, Cell | str]] = [
        ("model", f"YOLOv12-{model.scale}, layout {model.layout}, {model.parameters:,} parameters"),
        ("classes", f"{model.num_classes}: {_few(model.names)}"),
        (
            "input",
            f"{_tensor(manifest.input.name, manifest.input.shape)}, {height}x{width} pixels, "
            f"{manifest.input.dtype} {manifest.input.color}",
        ),
        (
            "output",
            f"{_tensor(manifest.output.name, manifest.output.shape)}, "
            f"{manifest.output.dtype} {manifest.output.layout}",
        ),
        ("checkpoint", source.path),
        ("its SHA-256", Cell(source.sha256, code=True)),
        ("its form", f"{source.form}, layout {source.layout}"),
        ("its licence", source.license or "not stated"),
        ("made by", f"yolov12edge {manifest.tool.version} with {libraries}"),
        ("made", manifest.created),
    ]
    return Section("provenance", "Provenance", (Fields(tuple(rows)), _proof(run), _files(run)))


def _tensor(name: str, shape: list[int]) -> str:
    return f"{name} ({', '.join(map(str, shape))})"


def _few(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _proof(run: RunDocuments) -> Table:
    parity = run.manifest.parity
    rows: list[tuple[str, ...]] = [
        (
            one.step,
            one.why_not or one.why,
            str(one.changed),
            f"{one.box_error:.1e}",
            f"{one.score_error:.1e}",
        )
        for one in parity.steps
    ]
    final = "model.onnx in ONNX Runtime against the checkpoint, float32"
    errors = (parity.onnx_box_error, parity.onnx_score_error)
    rows.append(("export", final, NOTHING, *(f"{error:.1e}" for error in errors)))
    columns = (
        Column("step"),
        Column("what"),
        *(Column(title, True) for title in ("modules", "box error, px", "score error")),
    )
    return Table(columns, tuple(rows), "proof of the export: rewrite steps in float64")


def _files(run: RunDocuments) -> Table:
    rows = tuple(
        (
            file.name,
            NOTHING if file.bytes is None else readable_size(file.bytes),
            Cell(file.sha256, code=True),
            Cell(file.state, "good" if file.state == "ok" else "bad"),
        )
        for file in run.inspection.files
    )
    columns = (Column("file"), Column("size", True), Column("SHA-256"), Column("check"))
    return Table(columns, rows, "files of the run, compared with the manifest just now")
