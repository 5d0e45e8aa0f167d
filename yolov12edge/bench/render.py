"""A benchmark for the terminal, at 80 columns."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.bench.environment import Environment
from yolov12edge.bench.report import BenchReport, Timing
from yolov12edge.files import readable_size
from yolov12edge.tables import add_numbers, new_table, spaced


def render_bench(report: BenchReport) -> RenderableType:
    """Latency and stage tables, the environment and the verdict."""
    where = _where(report).append(f"\n{report.verdict}", "bold not dim")
    return spaced([_latency_table(report), _stage_table(report), where])


def _latency_table(report: BenchReport) -> Table:
    table = new_table(f"latency in ms, batch {report.batch}, {report.rounds} rounds")
    table.add_column("artifact", overflow="fold")
    table.add_column("runtime", no_wrap=True)
    add_numbers(table, "min", "p50", "p90", "p99", "img/s", "ratio")
    ratios = {ratio.name: f"{ratio.ratio:.2f}" for ratio in report.ratios}
    for timing in report.artifacts:
        latency = timing.latency_ms
        table.add_row(
            escape(timing.name),
            timing.runtime,
            *(f"{value:.2f}" for value in (latency.min, latency.p50, latency.p90, latency.p99)),
            f"{timing.throughput:.1f}",
            ratios.get(timing.name, "1"),
        )
    return table


def _stage_table(report: BenchReport) -> Table:
    table = new_table(f"stages in ms, {report.pictures}")
    table.add_column("artifact", overflow="fold")
    add_numbers(table, "preprocess", "infer", "postprocess", "file", "loaded")
    for timing in report.artifacts:
        table.add_row(escape(timing.name), *_stages(timing))
    return table


def _stages(timing: Timing) -> list[str]:
    stages, memory = timing.stages_ms, timing.memory
    return [
        *(
            "-" if value is None else f"{value:.2f}"
            for value in (stages.preprocess, stages.infer, stages.postprocess)
        ),
        *(
            "-" if size is None else readable_size(max(size, 0))
            for size in (memory.file, memory.loaded)
        ),
    ]


def _where(report: BenchReport) -> Text:
    environment = report.environment
    cpu = environment.cpu
    threads = environment.threads or "the runtimes' own"
    lines = [f"{cpu.model}, {cpu.available} of {cpu.logical} logical cores, threads: {threads}"]
    load = environment.load_average
    if load is not None and load > cpu.available / 2:
        lines.append(f"the machine was busy (load average {load:.1f}): trust ratios, not times")
    lines += [_gpu_line(environment)] if environment.gpus else []
    if environment.jetson is not None:
        lines.append(f"{environment.jetson.model}, power mode {environment.jetson.power_mode}")
    versions = {f"{timing.runtime} {timing.version}" for timing in report.artifacts}
    lines.append(", ".join(sorted(versions)) + f", Python {environment.python}")
    return Text("\n".join(lines), "dim")


def _gpu_line(environment: Environment) -> str:
    return "; ".join(
        f"{gpu.name} (SM{gpu.compute_capability}), driver {gpu.driver}" for gpu in environment.gpus
    )
