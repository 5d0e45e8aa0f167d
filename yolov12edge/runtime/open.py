"""Open any artifact with the runtime it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolov12edge.data.letterbox import Letterbox
from yolov12edge.errors import CheckpointError, UsageError
from yolov12edge.run.names import (
    ONNX_SUFFIXES,
    PLAN_SUFFIXES,
    TORCH_SUFFIXES,
)
from yolov12edge.runtime.golden_gate import check_artifact
from yolov12edge.runtime.metadata import artifact_info
from yolov12edge.runtime.onnxruntime_providers import GPU_RUNTIMES
from yolov12edge.runtime.runner import Runner

RUNTIMES = {
    "torch": TORCH_SUFFIXES,
    "onnxruntime": ONNX_SUFFIXES,
    **dict.fromkeys(GPU_RUNTIMES, ONNX_SUFFIXES),
    "openvino": ONNX_SUFFIXES,
    "tensorrt": PLAN_SUFFIXES,
    "tensorrt_rtx": PLAN_SUFFIXES,
}


@dataclass(frozen=True)
class Artifact:
    """An opened artifact with what it says about itself.

    Attributes:
        runner: runs it.
        letterbox: how to fit images to it.
        names: class names, if known.
    """

    runner: Runner
    letterbox: Letterbox
    names: tuple[str, ...] | None


def open_runner(
    path: Path,
    runtime: str | None = None,
    threads: int | None = None,
    imgsz: tuple[int, int] | None = None,
) -> Runner:
    """Load an artifact into the runtime that its suffix asks for.

    Args:
        path: .pt, .pth, .safetensors (torch), .onnx (ONNX Runtime, or OpenVINO), .plan or .engine
            (TensorRT or TensorRT-RTX, told apart by their bytes).
        runtime: one of `RUNTIMES`; chosen by the file if None.
        threads: CPU threads; the runtime's own choice if None.
        imgsz: (height, width) for artifacts that leave it open; a checkpoint otherwise runs at the
            size it was trained at, or 640 x 640.

    Raises:
        UsageError: no such file, a folder, or a runtime that cannot run this kind of file.
        CheckpointError: the file is empty, damaged or not a detector.
        UnsupportedError: the runtime is not installed or needs a GPU that is not here.
    """
    path = Path(path)
    _check_file(path)
    runtime = _choose(path, runtime)
    if runtime == "torch":
        from yolov12edge.runtime.torch import open_torch

        return open_torch(path, threads=threads, size=imgsz)
    if runtime == "onnxruntime" or runtime in GPU_RUNTIMES:
        from yolov12edge.runtime.onnxruntime import OnnxRuntimeRunner

        return OnnxRuntimeRunner(path, runtime, threads=threads, size=imgsz)
    if runtime == "openvino":
        from yolov12edge.runtime.openvino import OpenVinoRunner

        return OpenVinoRunner(path, threads=threads, size=imgsz)
    if runtime == "tensorrt":
        from yolov12edge.runtime.tensorrt import open_tensorrt

        return open_tensorrt(path)
    from yolov12edge.runtime.tensorrt_rtx import open_tensorrt_rtx

    return open_tensorrt_rtx(path)


def open_artifact(
    path: Path,
    runtime: str | None = None,
    threads: int | None = None,
    imgsz: tuple[int, int] | None = None,
    *,
    golden: bool = True,
) -> Artifact:
    """`open_runner`, with the letterbox and the class names that the artifact asks for.

    Where an artifact says nothing, images are centred on 114 gray, as YOLOv12 was trained. On a GPU
    the golden inputs beside the artifact are run once; on a CPU, where another one judged the run.

    Args:
        golden: False leaves the golden inputs to the caller.

    Raises:
        EdgeError: as `open_runner`, or CheckpointError where metadata and artifact disagree.
        GateFailed: the artifact computes something else than its checkpoint on the golden inputs.
    """
    runner = open_runner(path, runtime, threads, imgsz)
    try:
        artifact = _described(path, runner)
        if golden:
            check_artifact(path, runner, artifact.letterbox)
    except BaseException:
        runner.close()
        raise
    return artifact


def _described(path: Path, runner: Runner) -> Artifact:
    """A runner with what its file says about itself."""
    _, _, height, width = runner.input_shape
    if runner.name == "torch":
        return Artifact(runner, Letterbox(height, width), getattr(runner, "names", None))
    info = artifact_info(path)
    if info is None:
        return Artifact(runner, Letterbox(height, width), None)
    if (info.letterbox.height, info.letterbox.width) != (height, width):
        raise CheckpointError(
            f"{path} takes {height}x{width} images, but its metadata says "
            f"{info.letterbox.height}x{info.letterbox.width}",
            "export the artifact again",
        )
    return Artifact(runner, info.letterbox, info.names)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "give the artifact's file")
    if not path.is_file():
        raise UsageError(f"no such file: {path}", "check the path")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty", "export or copy the file again")


def _choose(path: Path, runtime: str | None) -> str:
    suffix = path.suffix.lower()
    if runtime is not None:
        runtime = runtime.replace("-", "_")
        if runtime not in RUNTIMES:
            raise UsageError(f"unknown runtime {runtime!r}", f"use one of: {', '.join(RUNTIMES)}")
        if suffix not in RUNTIMES[runtime]:
            raise UsageError(
                f"{runtime} cannot run {path.name}",
                f"it runs {', '.join(RUNTIMES[runtime])} files",
            )
        return runtime
    if suffix in PLAN_SUFFIXES:
        from yolov12edge.runtime.plan_file import read_plan_header

        return read_plan_header(path).backend
    for name, suffixes in RUNTIMES.items():
        if suffix in suffixes:
            return name
    known = ", ".join((*TORCH_SUFFIXES, *ONNX_SUFFIXES, *PLAN_SUFFIXES))
    raise UsageError(f"{path.name} is no artifact that can be run", f"known suffixes: {known}")
