from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from yolov12edge.bench import describe_environment
from yolov12edge.bench.environment import installed_libraries, read_jetson


def place(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_this_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    environment = describe_environment()
    assert environment.python == platform.python_version()
    assert environment.memory == psutil.virtual_memory().total
    assert environment.cpu.available == len(os.sched_getaffinity(0))
    assert environment.cpu.model
    assert environment.omp_num_threads == "3"
    assert environment.libraries["numpy"]


def test_only_installed_libraries_are_listed() -> None:
    assert set(installed_libraries(("numpy", "no-such-package"))) == {"numpy"}


def test_no_jetson_no_mode(tmp_path: Path) -> None:
    assert read_jetson(tmp_path) is None


def test_a_jetsons_power_mode_has_its_name(tmp_path: Path) -> None:
    """The files as JetPack 6 writes them on an Orin Nano."""
    (tmp_path / "proc" / "device-tree").mkdir(parents=True)
    (tmp_path / "proc" / "device-tree" / "model").write_text("NVIDIA Jetson Orin Nano\0")
    place(
        tmp_path,
        etc__nv_tegra_release="# R36 (release), REVISION: 4.0, GCID: 37537400\n# KERNEL: oot\n",
        etc__nvpmodel_conf="",
        var__lib__nvpmodel__status="pmode:0001",
    )
    (tmp_path / "etc" / "nvpmodel.conf").write_text(
        "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=7W >\n"
    )
    jetson = read_jetson(tmp_path)
    assert jetson is not None
    assert jetson.model == "NVIDIA Jetson Orin Nano"
    assert jetson.release == "R36 (release), REVISION: 4.0, GCID: 37537400"
    assert jetson.power_mode == "7W"


def test_an_unnamed_mode_is_a_number(tmp_path: Path) -> None:
    place(tmp_path, etc__nv_tegra_release="# R36", var__lib__nvpmodel__status="pmode:0008")
    jetson = read_jetson(tmp_path)
    assert jetson is not None
    assert jetson.power_mode == "mode 8"
