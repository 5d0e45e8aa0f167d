"""A Jetson's load, clocks, temperatures and power, from the text that tegrastats prints.

There is no NVML on Jetson (before JetPack 7) and tegrastats prints one line a moment, whose fields
differ between boards and releases: GR3D_FREQ with or without load or clock, power rails with or
without a unit, names of thermal zones in either case. Everything that is not known is left out.
"""

from __future__ import annotations

import re
import subprocess
import threading
from types import TracebackType

from pydantic import Field

from yolov12edge.documents import Document

# The rail that feeds the whole module; AGX Orin has none, there its three inputs add up.
_WHOLE = ("VDD_IN", "POM_5V_IN", "VIN")
_INPUTS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


class TegraState(Document):
    """One line of tegrastats; None or empty where the board does not tell.

    Attributes:
        ram_used, ram_total: bytes.
        gpu_load: percent of the GPU's time in use, at its clock of that moment.
        gpu_mhz: the GPU's clock, the fastest where there are several clusters.
        memory_mhz: the memory controller's clock.
        celsius: temperature by thermal zone, in lower case.
        milliwatts: power of each rail now.
    """

    ram_used: int | None = None
    ram_total: int | None = None
    gpu_load: int | None = None
    gpu_mhz: int | None = None
    memory_mhz: int | None = None
    celsius: dict[str, float] = Field(default_factory=dict)
    milliwatts: dict[str, int] = Field(default_factory=dict)

    @property
    def watts(self) -> float | None:
        """Power of the whole module; None where no rail, or set of rails, covers it."""
        for rail in _WHOLE:
            if rail in self.milliwatts:
                return self.milliwatts[rail] / 1000
        if all(rail in self.milliwatts for rail in _INPUTS):
            return sum(self.milliwatts[rail] for rail in _INPUTS) / 1000
        return None

    @property
    def sensor(self) -> str:
        """The rails that `watts` is made of."""
        whole = [rail for rail in _WHOLE if rail in self.milliwatts]
        return whole[0] if whole else " + ".join(_INPUTS)


def parse_tegrastats(line: str) -> TegraState:
    """Read one line; what is not in it stays None."""
    ram = re.search(r"\bRAM (\d+)/(\d+)MB", line)
    load = re.search(r"\bGR3D_FREQ (\d+)%", line)
    clock = re.search(r"\bGR3D_FREQ (?:\d+%)?@(\[[\d,]+\]|\d+)", line)
    memory = re.search(r"\bEMC_FREQ (?:\d+%)?@(\d+)", line)
    return TegraState(
        ram_used=int(ram[1]) * 1_000_000 if ram else None,
        ram_total=int(ram[2]) * 1_000_000 if ram else None,
        gpu_load=int(load[1]) if load else None,
        gpu_mhz=max(map(int, clock[1].strip("[]").split(","))) if clock else None,
        memory_mhz=int(memory[1]) if memory else None,
        celsius={
            zone.lower(): float(degrees)
            for zone, degrees in re.findall(r"\b([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C\b", line)
        },
        milliwatts={
            rail: int(now)
            for rail, now in re.findall(
                r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|VIN) (-?\d+)(?:mW)?/-?\d+(?:mW)?", line
            )
        },
    )


class Tegrastats:
    """tegrastats running beside a measurement; its lines are kept until it is stopped.

    Args:
        interval: milliseconds between lines.
        command: the program, for tests.
    """

    def __init__(self, interval: int = 100, command: str = "tegrastats") -> None:
        self.states: list[TegraState] = []
        self._process = subprocess.Popen(
            [command, "--interval", str(interval)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.states.append(parse_tegrastats(line))

    def stop(self) -> None:
        """End it and wait for its last line."""
        self._process.terminate()
        self._process.wait()
        self._reader.join(timeout=1)

    def __enter__(self) -> Tegrastats:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
