"""ONNX Runtime's GPU providers: what they are told, and what is said where they are not there."""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime
import pytest
from onnx import helper

from tests.runtime.patch_model import save
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.runtime import RUNTIMES, open_runner
from yolov12edge.runtime import onnxruntime as module
from yolov12edge.runtime.onnxruntime_providers import GPU_RUNTIMES, gpu_providers

NAMES = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt_rtx": "NvTensorRTRTXExecutionProvider",
}
EVERYTHING = (*NAMES.values(), "CPUExecutionProvider")


def test_the_providers_are_onnx_runtime_s() -> None:
    assert {runtime.partition(":")[2] for runtime in GPU_RUNTIMES} == NAMES.keys()
    assert set(EVERYTHING) <= set(onnxruntime.get_all_providers())


@pytest.mark.parametrize("runtime", GPU_RUNTIMES)
def test_an_absent_provider_is_one_line(tmp_path, monkeypatch, runtime):
    assert runtime in RUNTIMES
    wanted = NAMES[runtime.partition(":")[2]]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UnsupportedError, match=f"has no {wanted}") as caught:
        open_runner(save(tmp_path / "m.onnx"), runtime)
    assert caught.value.exit_code == 7
    assert "onnxruntime-gpu" in caught.value.hint
    assert "\n" not in caught.value.message


def test_an_unknown_provider_lists_the_known_ones(tmp_path):
    with pytest.raises(UsageError) as caught:
        open_runner(save(tmp_path / "m.onnx"), "onnxruntime:rocm")
    assert "onnxruntime:tensorrt" in caught.value.hint


class Session:
    """Stands in for InferenceSession: on the CPU, but telling what it was given."""

    def __init__(self, model: str, options: Any, providers: list[Any], starts: bool = True) -> None:
        self.given = providers
        self.names = [name for name, _ in providers] if starts else ["CPUExecutionProvider"]
        self.session = REAL(model, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return self.names

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


REAL = onnxruntime.InferenceSession


@pytest.mark.parametrize("runtime", GPU_RUNTIMES)
def test_a_provider_leads_and_the_cpu_is_last(tmp_path, monkeypatch, runtime):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: EVERYTHING)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    runner = open_runner(save(tmp_path / "m.onnx"), runtime.replace("_", "-"))
    given = runner._session.given
    assert runner.name == runtime
    assert given[0][0] == NAMES[runtime.partition(":")[2]]
    assert given[-1] == ("CPUExecutionProvider", {})
    assert runner.device.endswith("CPU")


def test_a_session_that_falls_back_to_the_cpu_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: EVERYTHING)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda *given, **named: Session(*given, **named, starts=False),
    )
    with pytest.raises(UnsupportedError, match="could not start CUDAExecutionProvider"):
        open_runner(save(tmp_path / "m.onnx"), "onnxruntime:cuda")


def quantized(path):
    model = onnx.load(save(path))
    model.graph.node.append(helper.make_node("QuantizeLinear", ["images", "s", "z"], ["unused"]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("make", "half", "int8"),
    [
        (lambda path: save(path), "0", "0"),
        (lambda path: save(path, half=True), "1", "0"),
        (quantized, "1", "1"),
    ],
    ids=["fp32", "fp16", "int8"],
)
def test_tensorrt_is_allowed_what_the_graph_says(tmp_path, monkeypatch, make, half, int8):
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path))
    path = make(tmp_path / "m.onnx")
    (name, options), cuda, _ = gpu_providers("onnxruntime:tensorrt", path, EVERYTHING)
    assert name == "TensorrtExecutionProvider"
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == (half, int8)
    assert options["trt_engine_cache_path"].startswith(str(tmp_path))
    assert cuda[0] == "CUDAExecutionProvider"
    assert all(isinstance(value, str) for value in options.values())


def test_the_cpu_needs_no_gpu_package(tmp_path):
    assert (
        open_runner(save(tmp_path / "m.onnx")).name
        == module.OnnxRuntimeRunner(save(tmp_path / "m.onnx")).name
        == "onnxruntime"
    )
