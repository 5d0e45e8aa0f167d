"""GPU clocks, temperature, throttling and power through NVML, where a driver is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from yolov12edge.documents import Document

# Bits of nvmlClocksEventReasons that mean the GPU could not run as fast as it was asked to; idling
# (1) and clocks set by the user (2) are no throttling.
_REASONS = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clock",
    0x200: "board limit",
    0x400: "reliability",
}


class GpuState(Document):
    """A GPU and its state when asked; None where the driver does not tell.

    Attributes:
        throttled: why its clocks were held down at that moment.
    """

    name: str
    compute_capability: int | None
    driver: str | None
    memory: int | None
    graphics_mhz: int | None = None
    memory_mhz: int | None = None
    temperature: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    throttled: tuple[str, ...] = ()


def read_gpus() -> tuple[GpuState, ...]:
    """The state of each GPU now; empty without nvidia-ml-py, without a driver, and on Jetson."""
    with _library() as nvml:
        if nvml is None:
            return ()
        return tuple(_read(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))


def energy_counter(index: int = 0) -> Callable[[], float] | None:
    """A function that reads the joules a GPU has used since the driver started, or None.

    GPUs from Volta on have the counter.
    """
    if _ask_once(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu), index) is None:
        return None
    return _reader(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3, index)


def power_gauge(index: int = 0) -> Callable[[], float] | None:
    """A function that reads the watts a GPU draws now, or None."""
    if _ask_once(lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu), index) is None:
        return None
    return _reader(lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3, index)


def throttle_reasons(mask: int) -> tuple[str, ...]:
    """What an nvmlClocksEventReasons mask says, in words."""
    return tuple(reason for bit, reason in _REASONS.items() if mask & bit)


def _ask_once(question: Callable[[Any, Any], Any], index: int) -> Any:
    with _library() as nvml, contextlib.suppress(Exception):
        return question(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) if nvml else None
    return None


def _reader(question: Callable[[Any, Any], float], index: int) -> Callable[[], float]:
    import pynvml

    # Stays initialized for the life of the process: reading must not cost a start each time.
    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
    return lambda: question(pynvml, gpu)


@contextlib.contextmanager
def _library() -> Iterator[Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or any of NVML's own errors: it is a nicety, never a need
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _read(nvml: Any, index: int) -> GpuState:
    gpu = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(name: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, name)(*arguments)
        # A function that this version of NVML lacks raises an error of its own kind.
        except (nvml.NVMLError, AttributeError):
            return None

    capability = ask("nvmlDeviceGetCudaComputeCapability", gpu)
    memory = ask("nvmlDeviceGetMemoryInfo", gpu)
    power = ask("nvmlDeviceGetPowerUsage", gpu)
    limit = ask("nvmlDeviceGetEnforcedPowerLimit", gpu)
    mask = ask("nvmlDeviceGetCurrentClocksEventReasons", gpu)
    if mask is None:
        mask = ask("nvmlDeviceGetCurrentClocksThrottleReasons", gpu)
    return GpuState(
        name=str(ask("nvmlDeviceGetName", gpu)),
        compute_capability=capability[0] * 10 + capability[1] if capability else None,
        driver=ask("nvmlSystemGetDriverVersion"),
        memory=memory.total if memory else None,
        graphics_mhz=ask("nvmlDeviceGetClockInfo", gpu, nvml.NVML_CLOCK_GRAPHICS),
        memory_mhz=ask("nvmlDeviceGetClockInfo", gpu, nvml.NVML_CLOCK_MEM),
        temperature=ask("nvmlDeviceGetTemperature", gpu, nvml.NVML_TEMPERATURE_GPU),
        power_watts=power / 1000 if power is not None else None,
        power_limit_watts=limit / 1000 if limit is not None else None,
        throttled=throttle_reasons(mask or 0),
    )
