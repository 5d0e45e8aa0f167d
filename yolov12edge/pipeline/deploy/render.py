"""A deploy for people, in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from yolov12edge.pipeline.deploy.job import DeployOutcome, DeviceOutcome
from yolov12edge.pipeline.deploy.record import size_text
from yolov12edge.run.device import DeviceProbe, DeviceRecord, Stage, target_for
from yolov12edge.run.names import DEVICES_FOLDER
from yolov12edge.tables import add_numbers, new_fields, new_table, spaced


def render_deploy(outcome: DeployOutcome) -> RenderableType:
    """A table of steps for each device, and where its documents are."""
    parts: list[RenderableType] = [
        _device(one, one.record) for one in outcome.devices if one.record is not None
    ]
    return spaced([*parts, _verdicts(outcome)])


def _verdicts(outcome: DeployOutcome) -> Table:
    """A word for each device, and why, or where to look."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in outcome.devices:
        good = one.error is None
        word = Text("PASSED" if good else "FAILED", "bold green" if good else "bold red")
        text = Text(f"{one.name}: ")
        if one.error is not None:
            text = Text(one.error.message)
        elif one.record is not None:
            text.append(_proof(one.record))
        table.add_row(word, text)
        if one.record is not None:
            table.add_row("", str(outcome.run / DEVICES_FOLDER / one.name))
    return table


def _device(one: DeviceOutcome, record: DeviceRecord) -> Table:
    table = new_table(f"{one.name}: {record.section.title}")
    table.add_column("step", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    add_numbers(table, "seconds")
    for stage in record.stages:
        seconds = "before" if stage.again else _seconds(stage)
        table.add_row(stage.name, Text(stage.outcome, _style(stage)), seconds)
    return table


def _seconds(stage: Stage) -> str:
    return "" if stage.seconds is None else f"{stage.seconds:.1f}"


def _style(stage: Stage) -> str:
    return {True: "green", False: "bold red", None: ""}[stage.passed]


def _proof(record: DeviceRecord) -> str:
    what = ["self-test"]
    if record.section.accuracy is not None:
        what.append("drift gate")
    runtime = record.section.runtime
    return f"{' and '.join(what)} on the device" + (f", {runtime}" if runtime else "")


def render_probes(found: Mapping[str, DeviceProbe]) -> RenderableType:
    """What devices are, and which target serves each."""
    return spaced([_probe(name, probe) for name, probe in found.items()])


def _probe(name: str, probe: DeviceProbe) -> Table:
    target, why = target_for(probe)
    features = [one for one in _TELLING if one in probe.features]
    rows = {
        "machine": f"{probe.title}, {probe.architecture}, {probe.cores} cores",
        "system": f"{probe.system}, {probe.kernel}",
        "processor": ", ".join(features),
        "memory": f"{size_text(probe.memory_free)} of {size_text(probe.memory)} free",
        "disk": f"{size_text(probe.disk_free)} free",
        "JetPack": " ".join(filter(None, (probe.jetpack, probe.l4t and f"(L4T {probe.l4t})"))),
        "power mode": probe.power_mode or "",
        "governor": probe.governor or "",
        "GPU": _gpu(probe),
        "TensorRT": " ".join(filter(None, (probe.tensorrt, probe.trtexec))),
        "CUDA": probe.cuda or "",
        "OpenVINO": " ".join(filter(None, (probe.openvino_version, probe.openvino))),
        "ONNX Runtime": " ".join(filter(None, (probe.onnxruntime_version, probe.onnxruntime))),
        "compiler": probe.compiler or "none",
        "cmake": probe.cmake or "none",
        "target": f"{target}: {why}",
    }
    table = new_fields(name)
    for title, value in rows.items():
        if value:
            table.add_row(title, escape(value))
    return table


def _gpu(probe: DeviceProbe) -> str:
    if probe.gpu is None and probe.compute_capability is None:
        return ""
    sm = f"SM{probe.compute_capability}" if probe.compute_capability else ""
    driver = f"driver {probe.driver}" if probe.driver else ""
    return ", ".join(filter(None, (probe.gpu, sm, driver)))


# What of a processor's features decides how fast, and how right, INT8 is.
_TELLING = (
    *("sse4_2", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "sve", "bf16"),
)
