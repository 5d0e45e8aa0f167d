"""What a probe tells, which target serves a device, and what stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.processor import EXACT_LEVELS, LEVELS
from yolov12edge.run.device import (
    DeviceProbe,
    arithmetic_doubt,
    doubts,
    new_probe,
    obstacles,
    read_probe,
    target_for,
)
from yolov12edge.run.manifest import ProductsSection
from yolov12edge.run.recipe import list_recipes, load_recipe

TOOLS = "tar sha256sum setsid tail head xargs awk"
# As probe.sh prints it; the texts of /proc/device-tree/model and /etc/nv_tegra_release are public.
ORIN = {
    "hostname": "orin",
    "architecture": "aarch64",
    "kernel": "Linux 5.15.148-tegra",
    "system": "Ubuntu 22.04.5 LTS",
    "board": "NVIDIA Jetson Orin Nano Developer Kit",
    "l4t": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
    "jetpack": "6.2+b77",
    "power_mode": "15W",
    "tensorrt": "10.3.0.30-1+cuda12.5",
    "trtexec": "/usr/src/tensorrt/bin/trtexec",
    "cores": "6",
    "features": "fp asimd evtstrm aes asimdhp asimddp",
    "memory_kib": "7801592",
    "memory_free_kib": "5200000",
    "disk_free_kib": "30000000",
    "compiler": "g++ 11.4.0",
    "cmake": "3.22.1",
    "make": "make",
    "tools": TOOLS,
}
BOX = {
    "hostname": "box",
    "architecture": "x86_64",
    "cores": "4",
    "compiler": "g++ 12.2.0",
    "cmake": "3.25.1",
    "make": "make",
    "tools": TOOLS,
}


def test_a_jetson_is_understood() -> None:
    probe = new_probe(ORIN)
    assert probe.tensorrt == "10.3.0"
    assert (probe.l4t, probe.jetpack, probe.compute_capability) == ("36.4.3", "6.2", 87)
    assert (probe.cores, probe.memory) == (6, 7801592 << 10)
    assert "asimddp" in probe.features
    assert probe.title == "NVIDIA Jetson Orin Nano Developer Kit"


@pytest.mark.parametrize(
    ("told", "target"),
    [
        (ORIN, "orin-nano"),
        (ORIN | {"board": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"}, "orin-nx"),
        (ORIN | {"board": "Jetson AGX Orin Developer Kit"}, "agx-orin"),
        (ORIN | {"board": "NVIDIA Jetson AGX Thor Developer Kit"}, "thor"),
        (
            ORIN | {"board": "NVIDIA Jetson Xavier NX Developer Kit", "tensorrt": "8.5.2-1"},
            "xavier-nx",
        ),
        (ORIN | {"tensorrt": "8.6.2.3-1+cuda12.2"}, "tensorrt-local"),
        (BOX, "cpu-openvino"),
        (BOX | {"openvino": "/opt/x", "openvino_version": "2026.4.1"}, "cpu-openvino"),
        (BOX | {"onnxruntime": "/opt/onnxruntime"}, "cpu-onnxruntime"),
        (BOX | {"architecture": "aarch64"}, "cpu-onnxruntime"),
        (
            BOX | {"gpu": "Tesla T4", "compute_capability": "75", "trtexec": "/x/trtexec"},
            "t4",
        ),
        (
            BOX | {"gpu": "NVIDIA RTX A4000", "compute_capability": "86", "trtexec": "/x"},
            "tensorrt-local",
        ),
        (BOX | {"gpu": "NVIDIA RTX A4000", "compute_capability": "86"}, "cpu-openvino"),
    ],
)
def test_the_target_that_serves_it(told: dict[str, str], target: str) -> None:
    chosen, why = target_for(new_probe(told))
    assert chosen == target
    assert chosen in list_recipes()
    assert new_probe(told).hostname in why


def test_a_fit_device_has_no_obstacle() -> None:
    assert obstacles("tensorrt", new_probe(ORIN)) == []
    assert doubts(load_recipe("orin-nano"), new_probe(ORIN)) == []


@pytest.mark.parametrize(
    ("backend", "change", "message", "hint"),
    [
        ("tensorrt", {"trtexec": ""}, "has no trtexec", "libnvinfer-bin"),
        ("openvino", {}, "has no OpenVINO", "--library"),
        ("onnxruntime", {}, "has no ONNX Runtime", "~/onnxruntime"),
        ("tensorrt", {"cmake": ""}, "has no cmake", "apt install"),
        ("tensorrt", {"cmake": "3.10.2"}, "has cmake 3.10.2", "3.16"),
        ("tensorrt", {"compiler": ""}, "has no C++ compiler", "apt install"),
        ("tensorrt", {"make": ""}, "has no make", "apt install"),
        ("tensorrt", {"tools": "tar head tail"}, "has no awk, sha256sum, xargs", "coreutils"),
    ],
)
def test_what_stands_in_the_way(
    backend: str, change: dict[str, str], message: str, hint: str
) -> None:
    found = obstacles(backend, new_probe(ORIN | change))
    assert message in found[0][0]
    assert hint in found[0][1]


def test_another_tensorrt_or_gpu_than_the_targets_is_a_doubt() -> None:
    lines = doubts(load_recipe("xavier-nx"), new_probe(ORIN))
    assert lines == [
        "the target xavier-nx is for TensorRT 8.5, orin has 10.3.0",
        "the target xavier-nx is for SM72, orin has SM87",
    ]


def test_int8_for_vnni_is_a_doubt_on_a_processor_without_it() -> None:
    vnni = ProductsSection(largest=64770, limit=32767, right_on=list(EXACT_LEVELS))
    anywhere = ProductsSection(largest=32640, limit=32767, right_on=list(LEVELS))
    atom = new_probe({"hostname": "box", "architecture": "x86_64", "features": "ssse3 sse4_2"})
    assert atom.int8_level == "sse4.2"
    assert "saturates on sse4.2, which is what box has" in (arithmetic_doubt(vnni, atom) or "")
    assert arithmetic_doubt(anywhere, atom) is None
    assert arithmetic_doubt(None, atom) is None
    assert arithmetic_doubt(vnni, new_probe(ORIN)) is None


@pytest.mark.parametrize("told", [{}, {"hostname": "x"}, {"architecture": "x86_64"}])
def test_a_device_that_says_nothing(told: dict[str, str]) -> None:
    with pytest.raises(UnsupportedError, match="does not say what it is"):
        new_probe(told)


def test_figures_that_are_none_are_left_out() -> None:
    probe = new_probe(BOX | {"memory_kib": "much", "cores": "-3", "tensorrt": "x"})
    assert (probe.memory, probe.cores, probe.tensorrt) == (None, 1, None)


def test_a_saved_probe_is_the_same(tmp_path: Path) -> None:
    probe = new_probe(ORIN)
    (tmp_path / "device.json").write_text(probe.to_json())
    assert read_probe(tmp_path / "device.json") == probe
    (tmp_path / "record.json").write_text(f'{{"probe": {probe.to_json()}, "host": "x"}}')
    assert read_probe(tmp_path / "record.json") == probe


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"hostname": 3}', "[" * 100000])
def test_what_is_no_probe(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UsageError, match="is no probe of a device"):
        read_probe(tmp_path / "x.json")
    with pytest.raises(UsageError, match="cannot read"):
        read_probe(tmp_path / "absent.json")


def test_later_versions_may_say_more() -> None:
    assert DeviceProbe.model_validate(new_probe(BOX).model_dump() | {"npu": "yes"}).cores == 4
