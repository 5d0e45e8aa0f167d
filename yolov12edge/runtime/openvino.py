"""OpenVINO as a runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov12edge.errors import CheckpointError, UnsupportedError
from yolov12edge.runtime.graph_io import find_output, resolve_input
from yolov12edge.runtime.runner import ClosingRunner, FloatArray, check_images, run_in_batches

# The kernel that OpenVINO names for a layer that is part of another.
_FUSED = "undef"


class OpenVinoRunner(ClosingRunner):
    """An ONNX detector in OpenVINO on the CPU.

    Args:
        path: the .onnx file.
        threads: CPU threads; OpenVINO's own choice if None.
        size: (height, width) to use where the graph leaves them open.
        precision: what float32 layers compute in: "f32", or "bf16" where the CPU has it.
        profile: time every layer, for `layer_times`.

    Raises:
        UnsupportedError: OpenVINO is not installed.
        CheckpointError: the file is damaged or not a detector with one image input and one
            (B, 4 + classes, A) output.
        UsageError: `size` is missing where it is needed, or differs from a fixed input.
    """

    name = "openvino"

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        size: tuple[int, int] | None = None,
        precision: str = "f32",
        profile: bool = False,
    ) -> None:
        openvino = _import_openvino()
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "PERF_COUNT": profile,
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        try:
            model = core.read_model(str(path))
            if len(model.inputs) != 1:
                raise CheckpointError(
                    f"{path} has {len(model.inputs)} inputs, expected one image",
                    "export the detector with one planar RGB image input",
                )
            self.input_shape = resolve_input(path, _sides(model.inputs[0]), size)
            output = find_output(path, {port.any_name: _sides(port) for port in model.outputs})
            batch, *rest = self.input_shape
            model.reshape([-1 if batch is None else batch, *rest])
            self._compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise CheckpointError(
                f"OpenVINO cannot load {path}: {_reason(error)}", "export the model again"
            ) from error
        self.version = str(openvino.__version__).partition("-")[0]
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME"))
        self._path = path
        self._output = self._compiled.output(output)
        classes = self._output.partial_shape[1]
        self.num_classes = (
            classes.get_length() if classes.is_static else self._probe().shape[1]
        ) - 4

    def __call__(self, images: FloatArray) -> FloatArray:
        """(B, 3, H, W) RGB in 0..1 to (B, 4 + classes, A), any B.

        Raises:
            UsageError: the images have another size than the model.
        """
        check_images(images, *self.input_shape[2:])
        return run_in_batches(self._infer, images, self.input_shape[0])

    def layer_times(self, images: FloatArray) -> list[tuple[str, str, float]]:
        """Run once and tell every layer: (name, kernel, milliseconds), the same ones each time.

        Needs `profile`. Layers that were fused into others are left out. OpenVINO counts whole
        microseconds and says of what takes less that it did not run: it takes 0 here.
        """
        request = self._compiled.create_infer_request()
        request.infer([images])
        return [
            (layer.node_name, layer.exec_type, layer.real_time.total_seconds() * 1e3)
            for layer in request.profiling_info
            if layer.exec_type != _FUSED
        ]

    def close(self) -> None:
        """Release the compiled model."""
        del self._compiled

    def _infer(self, images: FloatArray) -> FloatArray:
        try:
            result = self._compiled([images])[self._output]
        except RuntimeError as error:
            raise CheckpointError(
                f"OpenVINO cannot run {self._path}: {_reason(error)}", "export the model again"
            ) from error
        # The result's memory belongs to the compiled model and is overwritten by the next call.
        return np.array(result, dtype=np.float32)

    def _probe(self) -> FloatArray:
        batch, *rest = self.input_shape
        return self._infer(np.zeros((batch or 1, *rest), np.float32))


@dataclass(frozen=True)
class CompiledGraph:
    """Any ONNX graph, compiled.

    Attributes:
        run: takes the values of all inputs to those of all outputs, in the order of the names.
        inputs, outputs: their names.
    """

    run: Callable[[Sequence[FloatArray]], list[FloatArray]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def compile_graph(path: Path, threads: int | None = None) -> CompiledGraph:
    """Compile any ONNX graph, in float32 and INT8 as `OpenVinoRunner` runs it.

    Args:
        path: the .onnx file.
        threads: CPU threads; OpenVINO's own choice if None.
    """
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = _import_openvino().Core().compile_model(str(path), "CPU", options)

    def run(values: Sequence[FloatArray]) -> list[FloatArray]:
        found = compiled(list(values))
        return [np.array(found[port], np.float32) for port in compiled.outputs]

    return CompiledGraph(
        run,
        tuple(port.any_name for port in compiled.inputs),
        tuple(port.any_name for port in compiled.outputs),
    )


def _import_openvino() -> ModuleType:
    try:
        import openvino
    except ImportError as error:
        raise UnsupportedError(
            "OpenVINO is not installed", "pip install 'yolov12edge[openvino]'"
        ) from error
    module: ModuleType = openvino
    return module


def _sides(port: Any) -> list[int | None]:
    return [side.get_length() if side.is_static else None for side in port.partial_shape]


def _reason(error: RuntimeError) -> str:
    """The last line that says something: OpenVINO puts source locations first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
