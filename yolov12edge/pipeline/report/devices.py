"""A section for each device that a run was deployed to: what it is, what it proved, how fast."""

from __future__ import annotations

from yolov12edge.bench import BenchReport
from yolov12edge.bench.state import MachineState
from yolov12edge.evaluate import DriftReport
from yolov12edge.files import readable_size
from yolov12edge.page import Block, Cell, Column, Fields, Note, Section, Table
from yolov12edge.page.parts import State
from yolov12edge.pipeline.report.documents import DeviceDocuments, RunDocuments
from yolov12edge.pipeline.report.text import NOTHING, count, number, percent
from yolov12edge.run.device import DeviceRecord
from yolov12edge.run.manifest import DeviceSection


def device_sections(run: RunDocuments) -> tuple[Section, ...]:
    """The devices, in the order of their names."""
    return tuple(
        _device(name, run.manifest.devices[name], documents)
        for name, documents in sorted(run.devices.items())
    )


def _device(name: str, device: DeviceSection, documents: DeviceDocuments) -> Section:
    record, drift, bench = documents.record, documents.drift, documents.bench
    blocks: list[Block] = [_verdict(name, device, drift), Fields(tuple(_facts(device, record)))]
    if record is not None:
        blocks += [Note(f"{line[:1].upper()}{line[1:]}.", "caution") for line in record.doubts]
        blocks.append(_steps(record))
    if drift is not None:
        blocks.append(_drift(drift))
    if bench is not None:
        blocks += _bench(bench)
    return Section(
        f"device-{name}", f"Device {name}", tuple(blocks), "passed" if device.passed else "failed"
    )


def _verdict(name: str, device: DeviceSection, drift: DriftReport | None) -> Note:
    if not device.passed:
        return Note(f"Not proved on {name}: {device.failure or 'it does not say why'}.", "bad")
    if drift is None:
        text = f"Built and self-tested on {name}. Its drift was not judged there: no images."
        return Note(text, "caution")
    made = "its plan was built there" if device.plan is not None else "compiled there"
    text = (
        f"Proved on {name}: {made}, its self-test passed, and what it detected on "
        f"{count(drift.images, 'image')} passed the drift gate, judged where the run was deployed "
        "from."
    )
    return Note(text, "good")


def _facts(device: DeviceSection, record: DeviceRecord | None) -> list[tuple[str, Cell | str]]:
    rows: list[tuple[str, Cell | str]] = [
        ("machine", device.title),
        ("reached as", Cell(device.host, code=True)),
        ("deployed", device.created),
    ]
    if device.runtime:
        rows.append(("runtime", device.runtime))
    if record is not None:
        probe = record.probe
        memory = readable_size(probe.memory) if probe.memory is not None else NOTHING
        rows.append(("system", f"{probe.system}, {probe.kernel}, {probe.architecture}"))
        rows.append(("processor", f"{probe.processor or probe.architecture}, {probe.cores} cores"))
        rows.append(("memory", memory))
        for title, value in (
            ("JetPack", probe.jetpack),
            ("power mode", probe.power_mode),
            ("GPU", probe.gpu),
            ("TensorRT", probe.tensorrt),
            ("CUDA", probe.cuda),
            ("compiler", probe.compiler),
        ):
            if value:
                rows.append((title, value))
        rows.append(("folder there", Cell(record.folder, code=True)))
    if device.plan is not None:
        plan = device.plan
        rows.append(("plan", f"{plan.backend} {plan.version}, {readable_size(plan.bytes)}"))
        rows.append(("its SHA-256", Cell(plan.sha256, code=True)))
    if device.attention is not None:
        rows.append(("attention", device.attention.removeprefix("attention: ")))
    return rows


def _steps(record: DeviceRecord) -> Table:
    rows = tuple(
        (
            stage.name,
            Cell(stage.outcome, _state(stage.passed)),
            "before" if stage.again else number(stage.seconds, ".1f"),
        )
        for stage in record.stages
    )
    columns = (Column("step"), Column("outcome"), Column("seconds", True))
    return Table(columns, rows, "what was done there")


def _state(passed: bool | None) -> State:
    return "" if passed is None else "good" if passed else "bad"


def _drift(drift: DriftReport) -> Table:
    set_of = f" of {drift.spread_over}" if drift.spread_over is not None else ""
    rows: list[tuple[Cell | str, ...]] = [
        ("self-mAP50-95", NOTHING, number(drift.self_map, ".4f"), NOTHING),
        (
            f"detections above {drift.settings.truth_score}",
            str(drift.detections.reference),
            str(drift.detections.artifact),
            f"{percent(drift.matched)} matched",
        ),
        ("mean IoU of matched", NOTHING, number(drift.mean_iou, ".4f"), NOTHING),
        ("score shift", NOTHING, number(drift.score_shift, "+.4f"), NOTHING),
    ]
    if drift.map_reference is not None:
        before, after = drift.map_reference, drift.map_artifact
        kept = percent(after / before) if before and after is not None else NOTHING
        rows.insert(0, ("mAP50-95", number(before, ".4f"), number(after, ".4f"), f"{kept} kept"))
    columns = (
        Column("figure"),
        *(Column(title, True) for title in ("checkpoint", "device", "kept")),
    )
    caption = f"what it keeps of the checkpoint, on {drift.images}{set_of} images"
    return Table(columns, tuple(rows), caption)


def _bench(bench: BenchReport) -> list[Block]:
    ratios = {ratio.name: ratio for ratio in bench.ratios}
    rows = []
    for one in bench.artifacts:
        latency, ratio = one.latency_ms, ratios.get(one.name)
        rows.append(
            (
                one.name,
                *(f"{value:.2f}" for value in (latency.min, latency.p50, latency.p90, latency.p99)),
                f"{one.throughput:.1f}",
                f"{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else NOTHING,
            )
        )
    titles = ("min", "p50", "p90", "p99", "images/s", "ratio")
    columns = (Column("artifact"), *(Column(title, True) for title in titles))
    turns = "timed in turn" if bench.settings.interleaved else "timed alone"
    caption = f"latency in ms there, by the C++ program, {turns}; ratio with 95% interval"
    blocks: list[Block] = [Note(f"{bench.verdict[:1].upper()}{bench.verdict[1:]}.")]
    blocks.append(Table(columns, tuple(rows), caption))
    blocks += [Note(f"{line[:1].upper()}{line[1:]}.", "caution") for line in bench.doubts]
    blocks += [Note(f"Clocks were held down: {line}", "bad") for line in bench.throttled]
    states = (_moment(bench.before), _moment(bench.after))
    if any(states):
        blocks.append(
            Fields(tuple(zip(("before", "after"), (one or NOTHING for one in states), strict=True)))
        )
    return blocks


def _moment(state: MachineState) -> str:
    """Load, clocks and temperatures, as far as they are known."""
    told = []
    if state.load_average is not None:
        told.append(f"load {state.load_average:.2f}")
    if state.cpu_mhz is not None:
        told.append(f"CPU {state.cpu_mhz:.0f} MHz")
    if state.cpu_celsius is not None:
        told.append(f"{state.cpu_celsius:.0f} \N{DEGREE SIGN}C")
    for gpu in state.gpus:
        told.append(f"{gpu.name} {number(gpu.graphics_mhz, '.0f')} MHz")
    if state.tegra is not None:
        told.append(f"GPU {number(state.tegra.gpu_mhz, '.0f')} MHz")
        hottest = max(state.tegra.celsius.values(), default=None)
        told.append(
            f"{number(hottest, '.0f')} \N{DEGREE SIGN}C, {number(state.tegra.watts, '.1f')} W"
        )
    return ", ".join(told)
