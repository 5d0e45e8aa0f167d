"""ONNX Runtime's GPU providers, and what each is told about a graph.

Precision lives in the graph, so none is chosen here; TensorRT 8's provider has to be allowed what
the graph already says, and the later ones ignore it. Option names: ONNX Runtime's pages on its
CUDA, TensorRT and TensorRT-RTX execution providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolov12edge.download import cache_folder
from yolov12edge.errors import EdgeError, UnsupportedError, UsageError

Provider = tuple[str, dict[str, str]]

PREFIX = "onnxruntime:"
NAMES = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt_rtx": "NvTensorRTRTXExecutionProvider",
}
CPU: Provider = ("CPUExecutionProvider", {})
GPU_RUNTIMES = tuple(f"{PREFIX}{kind}" for kind in NAMES)


def gpu_providers(runtime: str, path: Path, available: Sequence[str]) -> list[Provider]:
    """Providers and their options for `runtime`, best first; what they cannot do runs on the CPU.

    Args:
        runtime: one of `GPU_RUNTIMES`.
        path: the .onnx file.
        available: what the installed ONNX Runtime has.

    Raises:
        UsageError: no such runtime.
        UnsupportedError: the installed ONNX Runtime lacks that provider.
    """
    kind = runtime.removeprefix(PREFIX)
    if kind not in NAMES:
        raise UsageError(f"unknown runtime {runtime!r}", f"use one of: {', '.join(GPU_RUNTIMES)}")
    if NAMES[kind] not in available:
        raise UnsupportedError(
            f"this ONNX Runtime has no {NAMES[kind]}, only {', '.join(available)}",
            "pip install onnxruntime-gpu in place of onnxruntime (on Jetson: NVIDIA's own wheel)",
        )
    if kind == "cuda":
        return [_cuda(), CPU]
    if kind == "tensorrt_rtx":
        folder = str(cache_folder() / "onnxruntime_tensorrt_rtx")
        return [(NAMES[kind], {"device_id": "0", "nv_runtime_cache_path": folder}), _cuda(), CPU]
    return [(NAMES[kind], _tensorrt_options(path)), _cuda(), CPU]


def check_provider(path: Path, wanted: str, used: Sequence[str]) -> None:
    """Refuse a session that fell back to the CPU, as ONNX Runtime does without a word.

    Raises:
        UnsupportedError: `wanted` is not the provider that leads the session.
    """
    if used[0] != wanted:
        raise UnsupportedError(
            f"ONNX Runtime could not start {wanted} for {path} and would have used {used[0]}",
            "check the GPU, its driver, and that CUDA, cuDNN and TensorRT have the versions that "
            "this ONNX Runtime was built for",
        )


def _cuda() -> Provider:
    # EXHAUSTIVE times cuDNN's algorithms once; it is the default, and said here for the record.
    return NAMES["cuda"], {"device_id": "0", "cudnn_conv_algo_search": "EXHAUSTIVE"}


def _tensorrt_options(path: Path) -> dict[str, str]:
    half, quantized = _precisions(path)
    folder = str(cache_folder() / "onnxruntime_tensorrt")
    return {
        "device_id": "0",
        "trt_fp16_enable": str(int(half or quantized)),
        "trt_int8_enable": str(int(quantized)),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
    }


def _precisions(path: Path) -> tuple[bool, bool]:
    """Whether a graph computes in FP16 somewhere, and whether in INT8."""
    from yolov12edge.graph import GraphView, load_graph
    from yolov12edge.graph.precisions import is_quantized, uses_half

    try:
        view = GraphView(load_graph(path, weights=False))
    except EdgeError:
        return False, False  # opening it says what is wrong
    return uses_half(view), is_quantized(view)
