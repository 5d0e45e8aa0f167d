"""ONNX Runtime as a runtime, and a check that it may judge FP16 graphs.

ONNX Runtime 1.24 has been seen to compute FP16 Sigmoid on a CPU with errors of up to 39%, so that a
graph with FP16 inside that is right elsewhere looked broken there; the same version is right on
other CPUs, and 1.31 was right on both. So neither the version nor its fix is a proof:
`judge_is_trustworthy` runs one Sigmoid on the CPU at hand and measures.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolov12edge.errors import CheckpointError
from yolov12edge.libraries import load_onnxruntime
from yolov12edge.runtime.graph_io import find_output, resolve_input
from yolov12edge.runtime.onnxruntime_providers import (
    CPU,
    Provider,
    check_provider,
    gpu_providers,
)
from yolov12edge.runtime.runner import ClosingRunner, FloatArray, check_images, run_in_batches

# FP16 has 11 significant bits; two roundings in a row stay below this.
FP16_TOLERANCE = 2e-3

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxRuntimeRunner(ClosingRunner):
    """An ONNX detector in ONNX Runtime, from this package or another exporter.

    Args:
        path: the .onnx file.
        runtime: "onnxruntime" for the CPU, or one of `onnxruntime_providers.GPU_RUNTIMES`.
        threads: CPU threads; ONNX Runtime's own choice if None.
        size: (height, width) to use where the graph leaves them open.

    Raises:
        CheckpointError: the file is damaged or not a detector with one image input and one
            (B, 4 + classes, A) output.
        UsageError: `size` is missing where it is needed, or differs from a fixed input.
        UnsupportedError: ONNX Runtime or the provider is not there, or does not start.
    """

    def __init__(
        self,
        path: Path,
        runtime: str = "onnxruntime",
        threads: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        onnxruntime = load_onnxruntime()
        self._path = path
        self.name = runtime
        providers = [CPU]
        if runtime != "onnxruntime":
            providers = gpu_providers(runtime, path, onnxruntime.get_available_providers())
        self._session = _open_session(str(path), providers, threads)
        check_provider(path, providers[0][0], self._session.get_providers())
        self.version = str(onnxruntime.__version__)
        self.device = ", ".join(
            name.removesuffix("ExecutionProvider") for name in self._session.get_providers()
        )
        self._input = _only_input(path, self._session.get_inputs())
        self._output = find_output(
            path, {node.name: node.shape for node in self._session.get_outputs()}
        )
        self._dtype = _DTYPES[self._input.type]
        self.input_shape = resolve_input(path, self._input.shape, size)
        self.num_classes = self._count_classes()

    def __call__(self, images: FloatArray) -> FloatArray:
        """(B, 3, H, W) RGB in 0..1 to (B, 4 + classes, A), any B.

        Raises:
            UsageError: the images have another size than the model.
        """
        check_images(images, *self.input_shape[2:])
        return run_in_batches(self._infer, images, self.input_shape[0])

    def close(self) -> None:
        """Release the session."""
        del self._session

    def _infer(self, images: FloatArray) -> FloatArray:
        feed = {self._input.name: images.astype(self._dtype, copy=False)}
        try:
            (result,) = self._session.run([self._output], feed)
        # ONNX Runtime's exceptions share no base class.
        except Exception as error:
            raise CheckpointError(
                f"ONNX Runtime cannot run {self._path}: {_reason(error)}", "export the model again"
            ) from error
        return np.asarray(result, dtype=np.float32)

    def _count_classes(self) -> int:
        shape = next(
            node.shape for node in self._session.get_outputs() if node.name == self._output
        )
        if isinstance(shape[1], int):
            return shape[1] - 4
        batch, *rest = self.input_shape
        return int(self._infer(np.zeros((batch or 1, *rest), np.float32)).shape[1]) - 4


@functools.cache
def judge_is_trustworthy() -> tuple[bool, str]:
    """Whether the ONNX Runtime installed here computes FP16 on the CPU well enough to judge.

    Runs one FP16 Sigmoid over -16 to 16 and compares it with NumPy's float64.

    Returns:
        (verdict, reason); the reason is one line fit for a report.

    Raises:
        UnsupportedError: ONNX Runtime is not installed.
    """
    x = np.linspace(-16, 16, 4097).astype(np.float16)
    expected = 1 / (1 + np.exp(-x.astype(np.float64)))
    session = _open_session(_sigmoid_model(len(x)), [CPU], threads=1)
    (found,) = session.run(None, {"x": x})
    error = np.abs(found.astype(np.float64) - expected) / expected
    # Below 2**-14 FP16 is subnormal: relative errors are large there and no score is that small.
    worst = float(error[expected > 2.0**-14].max())
    version = load_onnxruntime().__version__
    if worst <= FP16_TOLERANCE:
        return True, f"ONNX Runtime {version} computes FP16 Sigmoid right (within {worst:.1e})"
    return False, (
        f"ONNX Runtime {version} computes FP16 Sigmoid wrong by up to {worst:.0%} on this CPU; "
        "its verdicts on FP16 graphs do not count"
    )


def _open_session(model: str | bytes, providers: Sequence[Provider], threads: int | None) -> Any:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model, options, providers=list(providers))
    except Exception as error:
        name = model if isinstance(model, str) else "the model"
        raise CheckpointError(
            f"ONNX Runtime cannot load {name}: {_reason(error)}", "export the model again"
        ) from error


def _reason(error: Exception) -> str:
    """First line of an ONNX Runtime error without "[ONNXRuntimeError] : number : CODE : "."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" : ", 3)[-1]


def _only_input(path: Path, inputs: Sequence[Any]) -> Any:
    if len(inputs) != 1:
        raise CheckpointError(
            f"{path} has {len(inputs)} inputs, expected one image",
            "export the detector with one planar RGB image input",
        )
    if inputs[0].type not in _DTYPES:
        raise CheckpointError(
            f"{path} takes {inputs[0].type}, expected float32 images in 0..1",
            "export the model with float input",
        )
    return inputs[0]


def _sigmoid_model(length: int) -> bytes:
    from onnx import TensorProto, helper

    half, shape = TensorProto.FLOAT16, [length]
    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["x"], ["y"])],
        "sigmoid",
        [helper.make_tensor_value_info("x", half, shape)],
        [helper.make_tensor_value_info("y", half, shape)],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
