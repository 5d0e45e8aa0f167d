"""Where a benchmark ran: what its figures depend on, as far as it can be read without rights."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

import psutil

from yolov12edge.bench.nvml import read_gpus
from yolov12edge.documents import Document
from yolov12edge.processor import read_processor
from yolov12edge.runtime.cuda import driver, find_gpus

LIBRARIES = (
    "yolov12edge",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu13-bindings",
    "torch",
)


class Cpu(Document):
    """The processor; `available` are the logical cores this process may use."""

    model: str
    cores: int | None
    logical: int | None
    available: int
    governor: str | None


class GpuDescription(Document):
    """A GPU as its driver names it; memory in bytes."""

    name: str
    compute_capability: int | None
    driver: str | None
    memory: int | None


class Jetson(Document):
    """A Jetson's board, L4T release and power mode."""

    model: str | None
    release: str | None
    power_mode: str | None


class Environment(Document):
    """Machine and libraries of a measurement: what stays as it is while it runs.

    Attributes:
        python: None where none ran: the C++ programs timed.
    """

    system: str
    python: str | None
    cpu: Cpu
    memory: int
    gpus: tuple[GpuDescription, ...]
    jetson: Jetson | None
    libraries: dict[str, str]
    omp_num_threads: str | None


def describe_environment(root: Path = Path("/")) -> Environment:
    """Describe this machine.

    Args:
        root: where /proc, /sys and /etc are, for tests.
    """
    return Environment(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=read_cpu(root),
        memory=psutil.virtual_memory().total,
        gpus=_gpus(),
        jetson=read_jetson(root),
        libraries=installed_libraries(),
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
    )


def installed_libraries(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Versions of the installed distributions among `names`; nothing is imported."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def read_jetson(root: Path = Path("/")) -> Jetson | None:
    """The Jetson this runs on, or None elsewhere.

    The power mode is the number that nvpmodel keeps in /var/lib/nvpmodel/status, with its name
    from /etc/nvpmodel.conf.
    """
    release = _text(root / "etc/nv_tegra_release")
    if release is None:
        return None
    model = _text(root / "proc/device-tree/model")
    return Jetson(
        model=model.rstrip("\0") if model else None,
        release=release.splitlines()[0].lstrip("# ") if release else None,
        power_mode=_power_mode(root),
    )


def _power_mode(root: Path) -> str | None:
    status = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status") or "")
    if status is None:
        return None
    number = int(status.group(1))
    modes = re.findall(
        r"POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", _text(root / "etc/nvpmodel.conf") or ""
    )
    names: dict[int, str] = {int(identity): name for identity, name in modes}
    return names.get(number, f"mode {number}")


def read_cpu(root: Path = Path("/")) -> Cpu:
    """The processor of this machine.

    Args:
        root: where /proc and /sys are.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return Cpu(
        model=read_processor(root / "proc/cpuinfo").model,
        cores=psutil.cpu_count(logical=False),
        logical=psutil.cpu_count(),
        available=len(affinity(0)) if affinity else psutil.cpu_count() or 1,
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def _gpus() -> tuple[GpuDescription, ...]:
    states = read_gpus()
    if states:
        return tuple(
            GpuDescription(
                name=state.name,
                compute_capability=state.compute_capability,
                driver=state.driver,
                memory=state.memory,
            )
            for state in states
        )
    return tuple(
        GpuDescription(
            name=gpu.name,
            compute_capability=gpu.compute_capability,
            driver=f"CUDA {driver().version()}",
            memory=gpu.memory,
        )
        for gpu in find_gpus()
    )


def _text(path: Path) -> str | None:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    return text.strip()
