from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from yolov12edge.engine import build as build_module
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.pipeline import doctor
from yolov12edge.pipeline.doctor import DoctorReport, TargetState, examine
from yolov12edge.run.recipe import list_recipes
from yolov12edge.runtime.cuda import Gpu

ORIN = Gpu(0, "Orin", 87, 8 << 30)
ADA = Gpu(0, "RTX 4090", 89, 24 << 30)


def states(report: DoctorReport) -> dict[str, TargetState]:
    return {state.name: state for state in report.targets}


def machine(monkeypatch: pytest.MonkeyPatch, gpus: tuple[Gpu, ...], **versions: str | None) -> None:
    """Make this machine one with these GPUs and these library versions (None: not installed)."""
    monkeypatch.setattr(doctor, "find_gpus", lambda: gpus)
    libraries: dict[str, Any] = {}
    for backend, version in versions.items():
        libraries[backend] = ModuleType(backend)
        libraries[backend].__version__ = version

        def load(backend: str = backend) -> ModuleType:
            if libraries[backend].__version__ is None:
                raise UnsupportedError(f"{backend} is not installed", "install it")
            return libraries[backend]  # type: ignore[no-any-return]

        monkeypatch.setattr(getattr(doctor, backend), "load_library", load)

    def builder_api(backend: str) -> Any:
        from yolov12edge.engine.tensorrt import TensorRT
        from yolov12edge.engine.tensorrt_rtx import TensorRTRTX

        library = getattr(doctor, backend).load_library()
        if backend == "tensorrt_rtx":
            return TensorRTRTX(library)
        if not gpus:
            raise UnsupportedError("this machine has no NVIDIA driver", "go elsewhere")
        return TensorRT(library, gpus[0])

    monkeypatch.setattr(build_module, "_builder_api", builder_api)


def test_a_laptop_without_a_gpu_builds_rtx_plans_and_runs_onnx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    monkeypatch.setattr(doctor, "find_gpus", tuple)
    report = examine()
    found = states(report)
    assert set(found) == set(list_recipes())
    assert found["cpu-onnxruntime"].summary == "build and run"
    assert found["rtx-ampere"].summary == "build"
    assert found["rtx-ampere"].reason == "this machine has no NVIDIA GPU"
    assert "builds for SM75, SM80, SM86" in report.kernels
    assert report.kernels.endswith("here, and tells what kernels the engine has")
    assert DoctorReport.model_validate_json(report.model_dump_json()) == report


def test_without_a_builder_nobody_tells_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (), tensorrt=None, tensorrt_rtx=None)
    assert examine().kernels == 'no builder here tells of any: pip install "yolov12edge[rtx]"'


def test_an_orin_with_jetpack_6_does_its_own_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (ORIN,), tensorrt="10.3.0", tensorrt_rtx=None)
    found = states(examine())
    assert examine().kernels.startswith("TensorRT 10.3.0 builds for SM87 here")
    for name in ("orin-nano", "orin-nx", "agx-orin", "tensorrt-local"):
        assert found[name].summary == "build and run", name
    assert found["xavier-nx"].summary == "neither"
    assert found["l4"].summary == "neither"
    assert "SM89" in found["l4"].reason
    assert found["rtx-ada"].reason == "tensorrt_rtx is not installed"


def test_another_tensorrt_version_neither_builds_nor_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (ORIN,), tensorrt="10.13.0.35", tensorrt_rtx=None)
    found = states(examine(["orin-nano", "tensorrt-local"]))
    assert found["orin-nano"].summary == "neither"
    assert found["orin-nano"].reason == "the target has TensorRT 10.3, this machine 10.13.0.35"
    assert found["tensorrt-local"].summary == "build and run"


def test_a_desktop_gpu_runs_the_plans_of_its_own_architecture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rtx = pytest.importorskip("tensorrt_rtx_bindings")
    machine(monkeypatch, (ADA,), tensorrt=None)
    monkeypatch.setattr(doctor.tensorrt_rtx, "load_library", lambda: rtx)
    found = states(examine(["rtx-ada", "rtx-ampere"]))
    assert found["rtx-ada"].summary == "build and run"
    assert found["rtx-ampere"].summary == "build"
    assert found["rtx-ampere"].reason == "needs SM86, the GPU here is SM89"


def test_missing_parts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (), tensorrt=None, tensorrt_rtx=None)
    report = examine(["orin-nano", "cpu-onnxruntime"])
    assert report.missing([]) == ()
    assert report.missing(["orin-nano", "cpu-onnxruntime"]) == (
        "orin-nano: tensorrt is not installed",
    )


def test_a_judge_that_errs_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from yolov12edge.runtime import onnxruntime

    monkeypatch.setattr(onnxruntime, "judge_is_trustworthy", lambda: (False, "wrong by 39%"))
    assert examine([]).missing([]) == ("wrong by 39%",)


def test_unknown_targets_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no target named"):
        examine(["oin-nano"])


def test_torch_is_not_imported() -> None:
    script = "import sys; from yolov12edge.pipeline.doctor import examine; examine(); "
    script += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
