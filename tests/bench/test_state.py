from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench.test_tegrastats import AGX_ORIN_JETPACK_7
from yolov12edge.bench.nvml import GpuState, energy_counter, read_gpus, throttle_reasons
from yolov12edge.bench.state import MachineState, read_state, throttling
from yolov12edge.bench.tegrastats import parse_tegrastats

GPU = GpuState(name="RTX 3080", compute_capability=86, driver="580", memory=10)


def fake_nvml(**answers: Any) -> SimpleNamespace:
    """The part of pynvml that is used; functions that are not given raise NVML's error."""

    class NVMLError(Exception):
        pass

    def refuse(*_: Any) -> Any:
        raise NVMLError

    names = (
        "nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlSystemGetDriverVersion", "nvmlDeviceGetClockInfo", "nvmlDeviceGetTemperature",
        "nvmlDeviceGetName",
    )  # fmt: skip
    functions: dict[str, Any] = dict.fromkeys(names, refuse)
    functions |= {name: lambda *_, value=value: value for name, value in answers.items()}
    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_GRAPHICS=0,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        **functions,
    )


def test_a_gpu_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "nvmlDeviceGetName": "NVIDIA L4",
        "nvmlDeviceGetCudaComputeCapability": (8, 9),
        "nvmlDeviceGetPowerUsage": 71_500,
        "nvmlDeviceGetEnforcedPowerLimit": 72_000,
        "nvmlDeviceGetCurrentClocksEventReasons": 0x24,
        "nvmlDeviceGetClockInfo": 1500,
        "nvmlDeviceGetTemperature": 83,
    }
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**answers))
    (gpu,) = read_gpus()
    assert (gpu.name, gpu.compute_capability, gpu.driver) == ("NVIDIA L4", 89, None)
    assert (gpu.power_watts, gpu.power_limit_watts) == (71.5, 72.0)
    assert (gpu.graphics_mhz, gpu.temperature) == (1500, 83)
    assert gpu.throttled == ("power cap", "software thermal slowdown")


def test_the_energy_counter_is_in_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    assert energy_counter() is None
    counting = fake_nvml(nvmlDeviceGetTotalEnergyConsumption=123_456)
    monkeypatch.setitem(sys.modules, "pynvml", counting)
    counter = energy_counter()
    assert counter is not None
    assert counter() == 123.456


def test_masks_name_the_bits_of_nvml_that_mean_throttling() -> None:
    """Against the constants that nvidia-ml-py carries; idling and user clocks are none."""
    nvml = pytest.importorskip("pynvml")
    assert throttle_reasons(nvml.nvmlClocksEventReasonNone) == ()
    assert throttle_reasons(nvml.nvmlClocksEventReasonGpuIdle) == ()
    assert throttle_reasons(nvml.nvmlClocksEventReasonApplicationsClocksSetting) == ()
    for name, reason in {
        "SwPowerCap": "power cap",
        "HwSlowdown": "hardware slowdown",
        "SwThermalSlowdown": "software thermal slowdown",
        "HwThermalSlowdown": "hardware thermal slowdown",
        "HwPowerBrakeSlowdown": "power brake",
    }.items():
        assert throttle_reasons(getattr(nvml, f"nvmlClocksEventReason{name}")) == (reason,)


def test_this_machines_state_can_be_read() -> None:
    state = read_state()
    assert state.load_average == pytest.approx(os.getloadavg()[0], abs=1)
    assert state.gpus or throttling(state, state) == []


def test_nvmls_reasons_are_reported() -> None:
    after = MachineState(gpus=(GPU.model_copy(update={"throttled": ("power cap",)}),))
    assert throttling(MachineState(), after) == ["RTX 3080: power cap"]


def test_a_jetson_whose_clock_fell(tmp_path: Path) -> None:
    fast = parse_tegrastats(AGX_ORIN_JETPACK_7)
    slow = fast.model_copy(update={"gpu_mhz": 900})
    before, after = MachineState(tegra=fast), MachineState(tegra=slow)
    assert throttling(before, before, tmp_path) == []
    assert throttling(before, after, tmp_path) == ["GPU clock fell from 1300 to 900 MHz"]


def test_a_jetsons_cooling_devices(tmp_path: Path) -> None:
    for index, (kind, level) in enumerate((("pwm-fan", 3), ("gpu-throttle", 2), ("cpu-hot", 0))):
        folder = tmp_path / f"sys/class/thermal/cooling_device{index}"
        folder.mkdir(parents=True)
        (folder / "type").write_text(f"{kind}\n")
        (folder / "cur_state").write_text(f"{level}\n")
    state = MachineState(tegra=parse_tegrastats(AGX_ORIN_JETPACK_7))
    assert throttling(state, state, tmp_path) == ["cooling device gpu-throttle at level 2"]
