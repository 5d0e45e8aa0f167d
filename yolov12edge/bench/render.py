"""A benchmark for the terminal, at 80 columns."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.bench.profile import Profile
from yolov12edge.bench.report import BenchReport, Timing
from yolov12edge.bench.settings import Settings
from yolov12edge.bench.state import MachineState
from yolov12edge.files import readable_size
from yolov12edge.tables import add_numbers, new_table, spaced

_SLOWEST = 8
_NAME = 44


def render_bench(report: BenchReport) -> RenderableType:
    """Latency, stage and energy tables, the environment and the verdict."""
    tables = [_latency_table(report), _stage_table(report)]
    if any(timing.window for timing in report.artifacts):
        tables.append(_window_table(report))
    tables += [_profile_table(profile) for profile in report.profiles]
    where = _where(report)
    for note in report.notes:
        where.append(f"\n{note}")
    for doubt in report.doubts:
        where.append(f"\n{doubt}", "yellow not dim")
    for line in report.throttled:
        where.append(f"\nthrottled: {line}", "bold red not dim")
    where.append(f"\n{report.verdict}", "bold not dim")
    return spaced([*tables, where])


def _latency_table(report: BenchReport) -> Table:
    rounds = f"{report.rounds} rounds" if report.settings.interleaved else "one after the other"
    table = new_table(f"latency in ms, batch {report.settings.batch}, {rounds}")
    table.add_column("artifact", overflow="fold")
    table.add_column("runtime", no_wrap=True)
    add_numbers(table, "min", "p50", "p90", "p99", "img/s", "ratio")
    ratios = {ratio.name: f"{ratio.ratio:.2f}" for ratio in report.ratios}
    first = report.artifacts[0].name
    for timing in report.artifacts:
        latency = timing.latency_ms
        table.add_row(
            escape(timing.name),
            timing.runtime,
            *(f"{value:.2f}" for value in (latency.min, latency.p50, latency.p90, latency.p99)),
            f"{timing.throughput:.1f}",
            "1" if timing.name == first else ratios.get(timing.name, "-"),
        )
    return table


def _stage_table(report: BenchReport) -> Table:
    table = new_table(f"stages in ms, {report.pictures}")
    table.add_column("artifact", overflow="fold")
    add_numbers(table, "decode", "letterbox", "copies", "infer", "nms", "all", "file")
    for timing in report.artifacts:
        table.add_row(escape(timing.name), *_stages(timing))
    return table


def _stages(timing: Timing) -> list[str]:
    stages, size = timing.stages_ms, timing.memory.file
    steps = (stages.decode, stages.letterbox, stages.copies, stages.infer, stages.nms, stages.total)
    return [
        *("-" if value is None else f"{value:.2f}" for value in steps),
        "-" if size is None else readable_size(size),
    ]


def _window_table(report: BenchReport) -> Table:
    streams = report.settings.streams
    table = new_table(f"throughput, {streams} stream{'s' if streams > 1 else ''}")
    table.add_column("artifact", overflow="fold")
    add_numbers(table, "img/s", "seconds", "watts", "img/J", "loaded")
    for timing in report.artifacts:
        window, loaded = timing.window, timing.memory.loaded
        if window is None:
            continue
        table.add_row(
            escape(timing.name),
            f"{window.images_per_second:.1f}",
            f"{window.seconds:.1f}",
            *(
                "-" if value is None else f"{value:.2f}"
                for value in (window.watts, window.images_per_joule)
            ),
            "-" if loaded is None else readable_size(max(loaded, 0)),
        )
    return table


def _profile_table(profile: Profile) -> Table:
    table = new_table(
        f"{profile.artifact} in {profile.runtime}: {profile.ms:.2f} ms layer by layer, "
        f"attention {profile.attention_share:.0%}"
    )
    table.add_column("block", no_wrap=True)
    add_numbers(table, "layers", "ms", "attention", "share")
    for block in profile.blocks:
        table.add_row(
            block.block,
            str(block.layers),
            f"{block.ms:.3f}",
            f"{block.attention_ms:.3f}" if block.attention_ms else "-",
            f"{block.share:.1%}",
        )
    slowest = sorted(profile.layers, key=lambda layer: layer.ms, reverse=True)[:_SLOWEST]
    for layer in slowest:
        table.add_row(escape(_short(layer.name)), "", f"{layer.ms:.3f}", "", "")
    return table


def _short(name: str) -> str:
    """The end of a long layer name, where its operation stands."""
    return name if len(name) <= _NAME else ".." + name[2 - _NAME :]


def _where(report: BenchReport) -> Text:
    environment, settings = report.environment, report.settings
    cpu = environment.cpu
    threads = settings.threads or "the runtimes' own"
    lines = [f"{cpu.model}, {cpu.available} of {cpu.logical} logical cores, threads: {threads}"]
    looked = [one for one in report.artifacts if one.quiet_calls is not None]
    if looked:
        share = sum(one.quiet_calls or 0 for one in looked) / (report.rounds * len(looked))
        lines.append(f"the cores were left alone in {share:.0%} of the calls")
    lines += [
        f"{gpu.name} (SM{gpu.compute_capability}), driver {gpu.driver}" for gpu in environment.gpus
    ]
    if environment.jetson is not None:
        lines.append(f"{environment.jetson.model}, power mode {environment.jetson.power_mode}")
    lines += [line for line in (_clocks(report.before, report.after), _calls(report)) if line]
    versions = {f"{timing.runtime} {timing.version}" for timing in report.artifacts}
    made_by = f"Python {environment.python}" if environment.python else "C++, without Python"
    lines.append(", ".join([*sorted(versions), made_by]))
    sensors = {timing.window.sensor for timing in report.artifacts if timing.window}
    lines += [f"power: {sensor}" for sensor in sorted(filter(None, sensors))]
    return Text("\n".join(lines), "dim")


def _calls(report: BenchReport) -> str:
    """How GPU calls were made; nothing where no GPU took part."""
    if not any(timing.transfers is not None for timing in report.artifacts):
        return _preset(report.settings)
    settings = report.settings
    words = [
        "with transfers" if settings.transfers else "without transfers",
        "CUDA graph" if settings.cuda_graph else "no CUDA graph",
        "polling" if settings.wait == "spin" else "blocking wait",
        _preset(settings),
    ]
    return ", ".join(filter(None, words))


def _preset(settings: Settings) -> str:
    return f"as {settings.like} defines it" if settings.like else ""


def _clocks(before: MachineState, after: MachineState) -> str:
    parts = [
        _gpu_line(one.graphics_mhz, two.graphics_mhz, one.temperature, two.temperature)
        for one, two in zip(before.gpus, after.gpus, strict=False)
    ]
    one, two = before.tegra, after.tegra
    if one is not None and two is not None:
        cold, hot = (max(state.celsius.values(), default=None) for state in (one, two))
        parts.append(_gpu_line(one.gpu_mhz, two.gpu_mhz, cold, hot))
    return "; ".join(parts)


def _gpu_line(slow: float | None, fast: float | None, cold: float | None, hot: float | None) -> str:
    return f"GPU clock {_change(slow, fast)} MHz, {_change(cold, hot)} C"


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "?"
    return f"{before:.0f} to {after:.0f}" if before != after else f"{before:.0f}"
