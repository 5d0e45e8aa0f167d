"""How fast: the bench section of a report."""

from __future__ import annotations

import shlex

from yolov12edge.bench import BenchReport
from yolov12edge.bench.report import Timing
from yolov12edge.bench.verdict import int8_text
from yolov12edge.files import readable_size
from yolov12edge.page import Block, Cell, Chart, Column, Command, Fields, Note, Section, Table
from yolov12edge.page.charts import INSTALL, LatencyRange, can_draw, latency_ranges
from yolov12edge.pipeline.report.documents import RunDocuments
from yolov12edge.pipeline.report.text import NOTHING, number
from yolov12edge.run.names import BENCH_FILE

_STAGES = ("decode", "letterbox", "copies", "infer", "nms", "total")


def bench_section(run: RunDocuments) -> Section:
    """Figures of bench.json, or how to get them."""
    bench = run.bench
    if bench is None:
        out = shlex.quote(str(run.folder / BENCH_FILE))
        files = " ".join(
            shlex.quote(str(run.folder / name))
            for name in run.manifest.files
            if name.endswith((".onnx", ".plan"))
        )
        blocks: tuple[Block, ...] = (
            Note("Nothing was timed here.", "muted"),
            Command(f"yolov12edge bench {files} --out {out}", "To time it on its device:"),
        )
        return Section("bench", "Speed", blocks, "not measured")
    return Section(
        "bench",
        "Speed",
        (
            Note(_sentence(bench.verdict), "" if bench.throttled else "good"),
            *(_int8(bench)),
            *(
                Note(f"Clocks were held down while timing: {line}", "bad")
                for line in bench.throttled
            ),
            *_doubts(run, bench),
            *_chart(bench),
            _latency(bench),
            _stages(bench),
            *_windows(bench),
            _environment(bench),
            *(Note(text, "muted") for text in bench.notes),
        ),
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _int8(bench: BenchReport) -> list[Note]:
    known = {timing.name for timing in bench.artifacts}
    return [
        Note(_sentence(int8_text(one, bench.artifacts)), "good" if one.earned else "caution")
        for one in bench.int8
        if one.against in known and one.ratio > 0 and one.low > 0
    ]


def _doubts(run: RunDocuments, bench: BenchReport) -> list[Note]:
    notes = [Note(_sentence(doubt), "caution") for doubt in bench.doubts]
    if run.unrecorded(BENCH_FILE):
        text = f"{BENCH_FILE} was added after the export: the manifest holds no hash of it."
        notes.append(Note(text, "caution"))
    return notes


def _chart(bench: BenchReport) -> list[Block]:
    if not can_draw():
        return [Note(f"Charts need matplotlib: {INSTALL}", "muted")]
    ranges = [
        LatencyRange(
            one.name, one.latency_ms.min, one.latency_ms.p50, one.latency_ms.p90, one.latency_ms.p99
        )
        for one in bench.artifacts
    ]
    caption = "latency: least to 99th percentile, thick from the median (dot) to the 90th"
    return [Chart(latency_ranges(ranges), caption)] if ranges else []


def _latency(bench: BenchReport) -> Table:
    ratios = {ratio.name: ratio for ratio in bench.ratios}
    rows = []
    for one in bench.artifacts:
        latency, ratio = one.latency_ms, ratios.get(one.name)
        steps = (latency.min, latency.p50, latency.p90, latency.p99)
        rows.append(
            (
                one.name,
                f"{one.runtime} {one.version}, {one.device}",
                *(f"{value:.2f}" for value in steps),
                f"{one.throughput:.1f}",
                f"{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else NOTHING,
            )
        )
    turns = (
        f"{bench.rounds} rounds in turn" if bench.settings.interleaved else "one after the other"
    )
    first = f"; ratio to {bench.artifacts[0].name} with 95% interval" if bench.ratios else ""
    return Table(
        (
            Column("artifact"),
            Column("runtime"),
            *(Column(title, True) for title in ("min", "p50", "p90", "p99", "images/s", "ratio")),
        ),
        tuple(rows),
        f"latency in ms, batch {bench.settings.batch}, {turns}{first}",
    )


def _stages(bench: BenchReport) -> Table:
    rows = tuple(
        (
            one.name,
            *(number(getattr(one.stages_ms, stage), ".2f") for stage in _STAGES),
            NOTHING if one.memory.file is None else readable_size(one.memory.file),
            NOTHING if one.memory.loaded is None else readable_size(max(one.memory.loaded, 0)),
        )
        for one in bench.artifacts
    )
    columns = (
        Column("artifact"),
        *(Column("all" if stage == "total" else stage, True) for stage in _STAGES),
        Column("file", True),
        Column("loaded", True),
    )
    return Table(columns, rows, f"stages in ms, {bench.pictures}")


def _windows(bench: BenchReport) -> list[Block]:
    rows = tuple(_window(one) for one in bench.artifacts if one.window is not None)
    titles = ("streams", "images/s", "watts", "images/J")
    columns = (Column("artifact"), *(Column(title, True) for title in titles))
    return [Table(columns, rows, "throughput without pauses")] if rows else []


def _window(one: Timing) -> tuple[Cell | str, ...]:
    window = one.window
    assert window is not None
    return (
        one.name,
        str(window.streams),
        f"{window.images_per_second:.1f}",
        number(window.watts, ".2f"),
        number(window.images_per_joule, ".2f"),
    )


def _environment(bench: BenchReport) -> Fields:
    environment, settings = bench.environment, bench.settings
    cpu, jetson = environment.cpu, environment.jetson
    rows = [
        ("timed", bench.created),
        ("processor", f"{cpu.model}, {cpu.available} of {cpu.logical} logical cores"),
        ("threads", str(settings.threads or "the runtimes' own")),
        ("memory", readable_size(environment.memory)),
    ]
    rows += [
        ("GPU", f"{gpu.name} (SM{gpu.compute_capability}), driver {gpu.driver}")
        for gpu in environment.gpus
    ]
    if jetson is not None:
        rows.append(("Jetson", f"{jetson.model}, power mode {jetson.power_mode}, {jetson.release}"))
    if any(one.transfers is not None for one in bench.artifacts):
        words = (
            f"{'with' if settings.transfers else 'without'} transfers",
            "CUDA graph" if settings.cuda_graph else "no CUDA graph",
            f"host waits: {settings.wait}",
        )
        rows.append(("GPU calls", ", ".join(words)))
    libraries = ", ".join(f"{name} {text}" for name, text in environment.libraries.items())
    made_by = f"Python {environment.python}" if environment.python else "C++, without Python"
    rows += [
        ("system", f"{environment.system}, {made_by}"),
        ("libraries", libraries),
    ]
    return Fields(tuple(rows))
