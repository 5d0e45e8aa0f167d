"""How far an artifact is from its checkpoint: the comparison and the drift section of a report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from yolov12edge.evaluate import DriftReport
from yolov12edge.evaluate.report import ClassDrift, TensorError
from yolov12edge.files import readable_size
from yolov12edge.page import (
    Block,
    Cell,
    Chart,
    Column,
    Command,
    Fields,
    Note,
    Section,
    Table,
)
from yolov12edge.page.charts import INSTALL, Bar, can_draw, class_bars
from yolov12edge.pipeline.report.documents import RunDocuments
from yolov12edge.pipeline.report.text import NOTHING, number, percent
from yolov12edge.pipeline.report.verdict import judge_text
from yolov12edge.pipeline.stages.verify import accuracy_of
from yolov12edge.run.names import (
    BENCH_FILE,
    DRIFT_FILE,
    ONNX_FILES,
    PLAN_FILE,
)

_CLASSES_DRAWN = 20
_CLASSES_OPEN = 24
_MOST_CLASSES = 1000


def comparison_section(run: RunDocuments) -> Section:
    """One row an artifact, the checkpoint first: accuracy, size and latency where measured."""
    timed = {one.name: one.latency_ms.p50 for one in run.bench.artifacts} if run.bench else {}
    sizes = {file.name: file.bytes for file in run.inspection.files}
    checkpoint = (
        f"checkpoint, {run.manifest.source.file}",
        "FP32",
        number(run.drift.map_reference) if run.drift else NOTHING,
        *(NOTHING,) * 4,
        number(timed.get("checkpoint"), ".2f"),
    )
    names = {file: precision.upper() for precision, file in ONNX_FILES.items()}
    rows = [
        (
            name,
            what,
            *_accuracy(run, name),
            readable_size(sizes[name] or 0),
            number(timed.get(name), ".2f"),
        )
        for name, what in {**names, PLAN_FILE: "engine"}.items()
        if name in sizes
    ]
    columns = (
        Column("artifact"),
        Column("precision"),
        *(Column(t, True) for t in ("mAP50-95", "self-mAP", "found again", "gate", "size", "ms")),
    )
    blocks: list[Block] = [Table(columns, (checkpoint, *rows))]
    if timed:
        blocks.append(Note(f"ms: median of a call on the machine below ({BENCH_FILE}).", "muted"))
    return Section("comparison", "Comparison", tuple(blocks))


def _accuracy(run: RunDocuments, name: str) -> tuple[Cell | str, ...]:
    """mAP, self-mAP, found again and gate: from drift.json where that judges the file."""
    found = run.manifest.accuracy.get(name)
    if run.drift is not None and name == run.judged.name:
        found = accuracy_of(run.drift)
    if found is None:
        return (NOTHING,) * 4
    return (
        number(found.map),
        number(found.self_map),
        percent(found.matched),
        Cell("passed", "good") if found.passed else Cell("failed", "bad"),
    )


def drift_section(run: RunDocuments) -> Section:
    """Figures of drift.json, or how to get them."""
    drift = run.drift
    if drift is None:
        folder, out = (shlex.quote(str(path)) for path in (run.folder, run.folder / DRIFT_FILE))
        command = f"yolov12edge verify {folder} --data data.yaml --out {out}"
        blocks: tuple[Block, ...] = (
            Note(f"The drift of {run.artifact.name} was not measured.", "caution"),
            Command(command, "To measure it where the checkpoint is:"),
        )
        return Section("drift", "Drift", blocks, "not measured")
    return Section(
        "drift",
        "Drift",
        (
            *_late(run),
            _figures(drift),
            *_classes(drift),
            *_tensors(drift),
            *_worst(drift),
        ),
    )


def _late(run: RunDocuments) -> list[Note]:
    if not run.unrecorded(DRIFT_FILE):
        return []
    text = f"{DRIFT_FILE} was added after the export: the manifest holds no hash of it."
    return [Note(text, "caution")]


def _figures(drift: DriftReport) -> Fields:
    settings, counts = drift.settings, drift.detections
    labels = "no labels" if drift.objects is None else f"{drift.objects} labelled objects"
    rows = [("images", f"{drift.images}, {labels}")]
    if drift.objects is not None:
        rows += [
            (name, f"{number(before)} in the checkpoint, {number(after)} in the artifact")
            for name, before, after in (
                ("mAP50-95", drift.map_reference, drift.map_artifact),
                ("mAP50", drift.map50_reference, drift.map50_artifact),
            )
        ]
    score = settings.truth_score
    rows += [
        ("self-mAP50-95, self-mAP50", f"{number(drift.self_map)}, {number(drift.self_map50)}"),
        (
            f"detections above {score}",
            f"{counts.reference} in the checkpoint, {counts.artifact} in the artifact",
        ),
        ("found again", f"{percent(drift.matched)}, mean IoU {number(drift.mean_iou)}"),
        ("score shift", number(drift.score_shift, "+.4f")),
        (
            "restoring threshold",
            f"{number(drift.restoring_threshold)} in place of {score} gives as many detections "
            "as the checkpoint",
        ),
        ("judge", judge_text(drift)),
        (
            "settings",
            f"confidence {settings.confidence}, NMS IoU {settings.iou}, match IoU "
            f"{settings.match_iou}, {settings.resamples} resamples, seed {settings.seed}",
        ),
    ]
    return Fields(tuple(rows))


def _classes(drift: DriftReport) -> list[Block]:
    """Average precision by class, the most lost first in the drawing."""
    classes = drift.per_class[:_MOST_CLASSES]
    if not classes:
        return []
    labelled = drift.objects is not None
    columns = [Column("class"), Column("self-AP", True)]
    if labelled:
        titles = ("AP50-95 checkpoint", "AP50-95 artifact", "change")
        columns[1:1] = [Column(title, True) for title in titles]
    rows = tuple(_class_row(one, labelled) for one in classes)
    folded = f"all {len(classes)} classes" if len(classes) > _CLASSES_OPEN else None
    if len(classes) < len(drift.per_class):
        folded = f"the first {len(classes)} of {len(drift.per_class)} classes"
    table = Table(tuple(columns), rows, "average precision by class", folded)
    return [*_class_chart(classes, labelled), table]


def _class_row(one: ClassDrift, labelled: bool) -> tuple[Cell | str, ...]:
    if not labelled:
        return (one.name, number(one.self_map))
    before, after = one.map_reference, one.map_artifact
    change = None if before is None or after is None else after - before
    return (one.name, number(before), number(after), number(change, "+.4f"), number(one.self_map))


def _class_chart(classes: Sequence[ClassDrift], labelled: bool) -> list[Block]:
    if not can_draw():
        return [Note(f"Charts need matplotlib: {INSTALL}", "muted")]
    if labelled:
        bars = [Bar(one.name, one.map_reference, one.map_artifact) for one in classes]
    else:
        bars = [Bar(one.name, 1.0, one.self_map) for one in classes]
    bars = [bar for bar in bars if bar.reference is not None and bar.artifact is not None]
    if not bars:
        return []
    caption = "average precision by class"
    if len(bars) > _CLASSES_DRAWN:
        bars = sorted(bars, key=lambda bar: (bar.artifact or 0) - (bar.reference or 0))
        bars = bars[:_CLASSES_DRAWN]
        caption = f"the {len(bars)} classes that lose most, of {len(classes)}"
    if not labelled:
        caption += ", with the checkpoint's detections as truth"
    return [Chart(class_bars(bars, "checkpoint", "artifact"), caption)]


def _tensors(drift: DriftReport) -> list[Block]:
    if drift.tensors is None:
        text = (
            "Output tensors were not compared: reference and artifact take images of other sizes."
        )
        return [Note(text, "muted")]
    groups = {"all levels": drift.tensors, **(drift.levels or {})}
    rows = tuple(
        (level, name, *_error(error))
        for level, part in groups.items()
        for name, error in part.items()
    )
    columns = (
        Column("level"),
        Column("output"),
        *(Column(title, True) for title in ("signal to error", "cosine", "largest error")),
    )
    return [Table(columns, rows, "error of the output tensors, before NMS; boxes in pixels")]


def _error(error: TensorError) -> tuple[str, ...]:
    exact = error.sqnr_db is None
    return (
        "exact" if exact else f"{error.sqnr_db:.1f} dB",
        f"{error.cosine:.6f}",
        f"{error.max_abs:.3g}",
    )


def _worst(drift: DriftReport) -> list[Block]:
    if not drift.worst:
        return [Note("No image on which the two differ in what they find.", "muted")]
    rows = tuple(
        (
            one.image,
            str(one.reference),
            Cell(str(one.matched), "bad" if one.matched < one.reference else ""),
            Cell(str(one.extra), "bad" if one.extra else ""),
            number(one.mean_iou, ".3f"),
        )
        for one in drift.worst
    )
    titles = ("checkpoint finds", "found again", "extra", "mean IoU")
    columns = (Column("image"), *(Column(title, True) for title in titles))
    return [Table(columns, rows, "images that differ most")]
