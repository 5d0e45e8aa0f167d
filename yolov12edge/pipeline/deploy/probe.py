"""Asking a device what it is and how it is at the moment."""

from __future__ import annotations

import re

from yolov12edge.bench.nvml import GpuState
from yolov12edge.bench.state import MachineState
from yolov12edge.bench.tegrastats import parse_tegrastats
from yolov12edge.errors import UnsupportedError
from yolov12edge.remote import Connection
from yolov12edge.remote.text import last_line, plain
from yolov12edge.run.device import DeviceProbe, new_probe

ROOM = "yolov12edge.pipeline.deploy"
_SECONDS = 60


def ask_probe(connection: Connection, folder: str, library: str | None) -> DeviceProbe:
    """Probe a device; nothing is written there.

    Args:
        folder: where a deploy will work.
        library: the folder of a runtime there, if the user named one.

    Raises:
        UnsupportedError: it has no POSIX sh, or does not answer.
    """
    words = [folder, library or ""]
    answer = connection.script(ROOM, "probe.sh", words, timeout=_SECONDS)
    lines = answer.text.splitlines()
    if "yolov12edge-probe 1" not in lines or "yolov12edge-probe end" not in lines:
        raise UnsupportedError(
            f"{connection.address.host} does not answer as a POSIX shell does: "
            + (last_line(answer.errors) or last_line(answer.output) or "it says nothing"),
            f"this has to work: ssh {connection.address.login} 'sh -c \"uname -m\"'",
        )
    return new_probe(_fields(lines))


def read_state(content: bytes) -> tuple[MachineState, tuple[str, ...]]:
    """Clocks, load and temperatures as state.sh told them; cooling devices that were at work."""
    told = _fields(plain(content).splitlines())
    zones = {
        name.removeprefix("zone "): float(value) / 1000
        for name, value in told.items()
        if name.startswith("zone ") and re.fullmatch(r"-?\d{1,7}", value)
    }
    cooling = tuple(
        f"cooling device {name.removeprefix('cooling ')} at level {value}"
        for name, value in told.items()
        if name.startswith("cooling ") and "fan" not in name.lower()
    )
    line = told.get("tegrastats")
    gpu = _gpu(told.get("nvidia_smi"))
    state = MachineState(
        load_average=_float(told.get("load")),
        cpu_mhz=_clock(told),
        cpu_celsius=_hottest(zones),
        gpus=(gpu,) if gpu else (),
        tegra=parse_tegrastats(line) if line else None,
    )
    return state, cooling


def _fields(lines: list[str]) -> dict[str, str]:
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return {name: value.strip() for name, value in pairs}


def _clock(told: dict[str, str]) -> float | None:
    """Mean of the cores, in MHz."""
    kilohertz = [float(one) for one in re.findall(r"\d+", told.get("cpu_khz", ""))]
    if kilohertz:
        return round(sum(kilohertz) / len(kilohertz) / 1000)
    megahertz = [float(one) for one in re.findall(r"\d+(?:\.\d+)?", told.get("cpu_mhz", ""))]
    return round(sum(megahertz) / len(megahertz)) if megahertz else None


def _hottest(zones: dict[str, float]) -> float | None:
    cpu = [value for name, value in zones.items() if re.search("cpu|pkg|core", name.lower())]
    return max(cpu or zones.values(), default=None)


def _gpu(line: str | None) -> GpuState | None:
    """What nvidia-smi says, in the order that state.sh asks for."""
    parts = [part.strip() for part in (line or "").split(",")]
    if len(parts) != 8:
        return None
    name, clock, memory_clock, celsius, watts, limit, driver, memory = parts
    total = _float(memory)
    return GpuState(
        name=name,
        compute_capability=None,
        driver=driver or None,
        memory=None if total is None else int(total) << 20,
        graphics_mhz=_int(clock),
        memory_mhz=_int(memory_clock),
        temperature=_int(celsius),
        power_watts=_float(watts),
        power_limit_watts=_float(limit),
    )


def _float(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"-?\d{1,9}(\.\d{1,6})?", text) else None


def _int(text: str | None) -> int | None:
    value = _float(text)
    return None if value is None else round(value)
