"""The machine's state at a moment: what may change while something is timed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import psutil

from yolov12edge.bench.nvml import GpuState, read_gpus
from yolov12edge.bench.tegrastats import TegraState, Tegrastats
from yolov12edge.documents import Document

_TEGRASTATS_PATIENCE = 2.0
# A clock this far below what it was when the run began, at a higher temperature, was held down.
_HELD_DOWN = 0.9


class MachineState(Document):
    """Load, clocks and temperatures; None or empty where they cannot be read.

    Attributes:
        cpu_mhz: mean clock of the cores.
        cpu_celsius: the hottest of the processor's sensors.
    """

    load_average: float | None = None
    cpu_mhz: float | None = None
    cpu_celsius: float | None = None
    gpus: tuple[GpuState, ...] = ()
    tegra: TegraState | None = None


def read_state() -> MachineState:
    """The state now; on a Jetson this takes a tenth of a second, elsewhere nothing to speak of."""
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return MachineState(
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        cpu_mhz=float(round(frequency.current)) if frequency else None,
        cpu_celsius=_cpu_celsius(),
        gpus=read_gpus(),
        tegra=_tegra(),
    )


def throttling(before: MachineState, after: MachineState, root: Path = Path("/")) -> list[str]:
    """Why clocks were held down, as far as the two ends of a run tell.

    NVML names the reasons; a Jetson only shows a clock that fell although the GPU was busy, and
    the kernel's cooling devices that are at work.
    """
    found = [f"{gpu.name}: {reason}" for gpu in after.gpus for reason in gpu.throttled]
    one, two = before.tegra, after.tegra
    if one and two and one.gpu_mhz and two.gpu_mhz and two.gpu_mhz < _HELD_DOWN * one.gpu_mhz:
        found.append(f"GPU clock fell from {one.gpu_mhz} to {two.gpu_mhz} MHz")
    if two is not None:
        found += _cooling(root)
    return found


def _cooling(root: Path) -> list[str]:
    found = []
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        try:
            kind = (device / "type").read_text().strip()
            level = int((device / "cur_state").read_text())
        except (OSError, ValueError):
            continue
        if level > 0 and "fan" not in kind:
            found.append(f"cooling device {kind} at level {level}")
    return found


def _cpu_celsius() -> float | None:
    read = getattr(psutil, "sensors_temperatures", None)
    try:
        sensors = read() if read else {}
    except (OSError, RuntimeError):
        return None
    cpu = [
        one.current
        for name in ("coretemp", "k10temp", "cpu_thermal", "cpu-thermal")
        for one in sensors.get(name, [])
    ]
    return max(cpu) if cpu else None


def _tegra() -> TegraState | None:
    if not shutil.which("tegrastats"):
        return None
    with Tegrastats() as tegrastats:
        end = time.monotonic() + _TEGRASTATS_PATIENCE
        while not tegrastats.states and time.monotonic() < end:
            time.sleep(0.02)
        return tegrastats.states[0] if tegrastats.states else None
