"""Lines that tegrastats printed on real boards, as public repositories quote them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from yolov12edge.bench.tegrastats import Tegrastats, parse_tegrastats

NANO_JETPACK_4 = (
    "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [5%@1224,4%@1224,3%@1224,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@37C "
    "CPU@40C PMIC@50C GPU@40C AO@45C thermal@40C "
    "POM_5V_IN 1750/1628 POM_5V_GPU 0/0 POM_5V_CPU 366/406"
)
ORIN_NANO_JETPACK_6 = (
    "06-13-2026 14:17:07 RAM 3308/7607MB (lfb 32x4MB) SWAP 11/3804MB (cached 0MB) "
    "CPU [0%@1510] GR3D_FREQ 99% cpu@61.5C soc2@60.2C soc0@58.0C gpu@62.3C "
    "tj@62.4C soc1@59.9C VDD_IN 12517mW/10898mW VDD_CPU_GPU_CV 4959mW/3943mW "
    "VDD_SOC 2562mW/2282mW"
)
AGX_ORIN_JETPACK_7 = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201] "
    "EMC_FREQ 3%@3199 GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off VIC off OFA off "
    "NVDLA0 off NVDLA1 off PVA0_FREQ off APE 174 "
    "cpu@52.968C/52.968C soc2@48.406C/48.406C soc0@49.531C/49.531C gpu@47.625C/47.625C "
    "VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW "
    "VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
THOR_JETPACK_7 = (
    "RAM 4722/7844MB (lfb 1x512kB) EMC_FREQ 2%@1866 GR3D_FREQ @[1000,1000,1000] APE 150"
)


def test_nano_on_jetpack_4() -> None:
    state = parse_tegrastats(NANO_JETPACK_4)
    assert (state.ram_used, state.ram_total) == (1_923_000_000, 3_964_000_000)
    assert (state.gpu_load, state.gpu_mhz, state.memory_mhz) == (0, 76, 1600)
    assert state.celsius == {
        "pll": 37, "cpu": 40, "pmic": 50, "gpu": 40, "ao": 45, "thermal": 40,
    }  # fmt: skip
    assert state.milliwatts == {"POM_5V_IN": 1750, "POM_5V_GPU": 0, "POM_5V_CPU": 366}
    assert (state.watts, state.sensor) == (1.75, "POM_5V_IN")


def test_orin_nano_on_jetpack_6() -> None:
    state = parse_tegrastats(ORIN_NANO_JETPACK_6)
    assert (state.gpu_load, state.gpu_mhz, state.memory_mhz) == (99, None, None)
    assert state.celsius["tj"] == 62.4
    assert (state.watts, state.sensor) == (12.517, "VDD_IN")


def test_agx_orin_on_jetpack_7_adds_up_its_rails() -> None:
    state = parse_tegrastats(AGX_ORIN_JETPACK_7)
    assert (state.gpu_load, state.gpu_mhz, state.memory_mhz) == (12, 1300, 3199)
    assert state.celsius["gpu"] == 47.625
    assert state.watts == pytest.approx((5139 + 3268 + 5500) / 1000)
    assert state.sensor == "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"


def test_thor_tells_a_clock_but_no_load() -> None:
    state = parse_tegrastats(THOR_JETPACK_7)
    assert (state.gpu_load, state.gpu_mhz, state.watts) == (None, 1000, None)


@pytest.mark.parametrize("line", ["", "RAM", "GR3D_FREQ @[]", "VDD_IN mW", "\x00" * 30])
def test_other_text_says_nothing(line: str) -> None:
    state = parse_tegrastats(line)
    assert (state.watts, state.gpu_mhz, state.celsius) == (None, None, {})


def test_it_runs_beside_and_is_stopped(tmp_path: Path) -> None:
    program = tmp_path / "tegrastats"
    program.write_text(f'#!/bin/sh\nwhile :; do echo "{ORIN_NANO_JETPACK_6}"; sleep 0.02; done\n')
    program.chmod(0o755)
    with Tegrastats(command=str(program)) as running:
        end = time.monotonic() + 10
        while len(running.states) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    assert {state.watts for state in running.states[:3]} == {12.517}
    count = len(running.states)
    time.sleep(0.1)
    assert len(running.states) == count
