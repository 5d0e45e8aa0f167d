"""GPU clocks, temperature and power through NVML, where nvidia-ml-py and a driver are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict


class GpuState(BaseModel):
    """A GPU and its state when asked; None where the driver does not tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    compute_capability: int | None
    driver: str | None
    memory: int | None
    graphics_mhz: int | None = None
    memory_mhz: int | None = None
    temperature: int | None = None
    power_watts: float | None = None


def read_gpus() -> tuple[GpuState, ...]:
    """The state of each GPU now; empty without nvidia-ml-py, without a driver, and on Jetson."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, or any of NVML's own errors: it is a nicety, never a need
        return ()
    try:
        return tuple(_read(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _read(nvml: Any, index: int) -> GpuState:
    gpu = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except nvml.NVMLError:
            return None

    capability = ask(nvml.nvmlDeviceGetCudaComputeCapability, gpu)
    memory = ask(nvml.nvmlDeviceGetMemoryInfo, gpu)
    power = ask(nvml.nvmlDeviceGetPowerUsage, gpu)
    return GpuState(
        name=str(ask(nvml.nvmlDeviceGetName, gpu)),
        compute_capability=capability[0] * 10 + capability[1] if capability else None,
        driver=ask(nvml.nvmlSystemGetDriverVersion),
        memory=memory.total if memory else None,
        graphics_mhz=ask(nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_GRAPHICS),
        memory_mhz=ask(nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_MEM),
        temperature=ask(nvml.nvmlDeviceGetTemperature, gpu, nvml.NVML_TEMPERATURE_GPU),
        power_watts=power / 1000 if power is not None else None,
    )
