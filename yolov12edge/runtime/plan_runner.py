"""Running a plan: one implementation for TensorRT and TensorRT-RTX.

Both libraries share the name-based API (set_tensor_address, execute_async_v3) from TensorRT 8.5
on; nothing older or newer is used. Written without a GPU at hand: the checks before loading run
everywhere, the execution is tested against stand-ins of the library and of the CUDA driver.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from yolov12edge.errors import CheckpointError, UnsupportedError
from yolov12edge.runtime.cuda import Gpu, Stream, driver
from yolov12edge.runtime.metadata import MAX_MANIFEST_BYTES
from yolov12edge.runtime.plan_file import PlanHeader, read_plan, read_plan_header
from yolov12edge.runtime.runner import ClosingRunner, FloatArray, check_images, run_in_batches
from yolov12edge.runtime.tensorrt_log import log_of

TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}


@dataclass(frozen=True)
class PlanOrigin:
    """Where a plan comes from: its header completed by the manifest beside it.

    Attributes:
        version: library version that built it, or None where nobody knows.
        compute_capabilities: architectures built for, 86 for SM 8.6; empty where nobody knows.
        portable: built to run on other architectures too (hardware compatibility).
        version_compatible: built to be loaded by later library versions.
    """

    version: str | None
    compute_capabilities: tuple[int, ...]
    portable: bool = False
    version_compatible: bool = False


def plan_origin(path: Path, header: PlanHeader, plan: bytes) -> PlanOrigin:
    """Merge the header with `manifest.json` beside the plan, where that describes this file.

    Raises:
        CheckpointError: the manifest describes this file name with another SHA-256.
    """
    engine = _manifest_engine(path)
    if engine is None:
        return PlanOrigin(header.version, header.compute_capabilities)
    recorded = engine.get("sha256")
    if recorded and recorded != hashlib.sha256(plan).hexdigest():
        raise CheckpointError(
            f"{path} is not the plan that its manifest.json describes: the SHA-256 differs",
            "build it again, or remove the manifest if you replaced the plan on purpose",
        )
    listed = engine.get("sm")
    version = engine.get("version")
    return PlanOrigin(
        header.version or (version if isinstance(version, str) else None),
        header.compute_capabilities or (tuple(listed) if isinstance(listed, list) else ()),
        portable=engine.get("hardware_compatibility") not in (None, "none"),
        version_compatible=engine.get("version_compatible") is True,
    )


def _manifest_engine(path: Path) -> dict[str, Any] | None:
    """The `engine` entry of the manifest beside a plan where it is about this file, else None."""
    manifest = Path(path).parent / "manifest.json"
    if not manifest.is_file() or manifest.stat().st_size > MAX_MANIFEST_BYTES:
        return None
    try:
        document = json.loads(manifest.read_bytes())
    except (ValueError, RecursionError):
        return None
    engine = document.get("engine") if isinstance(document, dict) else None
    if isinstance(engine, dict) and engine.get("file") == Path(path).name:
        return engine
    return None


def check_backend(path: Path, name: str) -> None:
    """Refuse what is not a whole plan of this backend; reads its first bytes only.

    Raises:
        UsageError, CheckpointError: no such file, or not a whole plan.
        UnsupportedError: another backend's plan.
    """
    backend = read_plan_header(path).backend
    if backend != name:
        raise UnsupportedError(
            f"{path} is a {TITLES[backend]} plan, which {TITLES[name]} cannot load",
            f"open it with --runtime {backend}",
        )


def check_version(path: Path, origin: PlanOrigin, title: str, installed: str) -> None:
    """Refuse a plan of another library version; the build number after the third dot may differ.

    Raises:
        UnsupportedError: the versions differ and the plan is not version compatible.
    """
    if origin.version is None or origin.version_compatible:
        return
    built = origin.version.split(".")[:3]
    here = installed.split(".")[: len(built)]
    if built != here:
        raise UnsupportedError(
            f"{path} was built by {title} {origin.version}; this machine has {installed}",
            f"build it again here, or install {title} {origin.version}",
        )


def check_gpu(path: Path, origin: PlanOrigin, gpu: Gpu) -> None:
    """Refuse a plan of other GPU architectures.

    Raises:
        UnsupportedError: the GPU's compute capability is not among the plan's.
    """
    wanted = origin.compute_capabilities
    if not wanted or origin.portable or gpu.compute_capability in wanted:
        return
    listed = ", ".join(f"SM{sm}" for sm in wanted)
    raise UnsupportedError(
        f"{path} was built for {listed}; this GPU ({gpu.name}) is SM{gpu.compute_capability}",
        "build it for this GPU: yolov12edge build model.onnx --target with its recipe",
    )


class PlanRunner(ClosingRunner):
    """Runs a plan on one GPU; a Runner.

    Args:
        name: "tensorrt" or "tensorrt_rtx".
        library: that library's Python module.
        path: that backend's plan file, with or without an Ultralytics prefix.
        device: index of the GPU.
        stream: a stream to run on; by default a new one on `device`.
        gpu: the GPU that `device` is; by default the driver is asked.

    Raises:
        UsageError, CheckpointError: no such file, not a whole plan, or not the manifest's.
        UnsupportedError: another library version, no GPU or another GPU architecture, or the
            library cannot load it.
    """

    def __init__(
        self,
        name: str,
        library: ModuleType,
        path: Path,
        device: int = 0,
        stream: Stream | None = None,
        gpu: Gpu | None = None,
    ) -> None:
        header, plan = read_plan(path)
        title = TITLES[name]
        origin = plan_origin(path, header, plan)
        check_version(path, origin, title, library.__version__)
        gpu = gpu or _gpu(device)
        check_gpu(path, origin, gpu)
        self.name = name
        self.version: str = library.__version__
        self.device = f"{gpu.name} (SM{gpu.compute_capability})"
        self.notes: tuple[str, ...] = (
            (f"{path} starts with an Ultralytics prefix, which other tools refuse",)
            if header.offset
            else ()
        )
        self._library = library
        self._log = log_of(library)
        self._stream = stream or Stream(device)
        try:
            self._load(path, title, plan)
            self._allocate(path)
        except BaseException:
            self._stream.close()
            raise

    def _load(self, path: Path, title: str, plan: bytes) -> None:
        with self._log.capture() as said:
            self._runtime: Any = self._library.Runtime(self._log.logger)
            self._engine: Any = self._runtime.deserialize_cuda_engine(plan)
            self._context: Any = self._engine and self._engine.create_execution_context()
        if self._context is None:
            raise UnsupportedError(
                f"{title} {self.version} cannot load {path}: {said.reason('it gave no reason')}",
                "build it again on this machine",
            )

    def _allocate(self, path: Path) -> None:
        """Fix the batch range and give every input and output its memory at the largest batch."""
        engine, mode = self._engine, self._library.TensorIOMode
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == mode.INPUT]
        outputs = [name for name in names if engine.get_tensor_mode(name) == mode.OUTPUT]
        shape = tuple(engine.get_tensor_shape(inputs[0])) if len(inputs) == 1 else ()
        if len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < 1 or not outputs:
            raise CheckpointError(
                f"{path} is not a detector: it takes {len(inputs)} inputs, the first {shape}",
                "pass a plan of one (batch, 3, height, width) image input",
            )
        self._input = inputs[0]
        self._output = "detections" if "detections" in outputs else outputs[0]
        self._smallest, self._largest = self._batch_range(shape[0])
        self.input_shape: tuple[int | None, int, int, int] = (
            shape[0] if shape[0] > 0 else None,
            *shape[1:],
        )
        self._context.set_input_shape(self._input, (self._largest, *shape[1:]))
        self._memory: dict[str, int] = {}
        self._host: dict[str, npt.NDArray[Any]] = {}
        for tensor in names:
            full = tuple(self._context.get_tensor_shape(tensor))
            dtype = np.dtype(self._library.nptype(engine.get_tensor_dtype(tensor)))
            self._memory[tensor] = self._stream.allocate(int(np.prod(full)) * dtype.itemsize)
            if tensor in (self._input, self._output):
                self._host[tensor] = self._stream.pinned(full, dtype)
        output = self._host[self._output].shape
        if len(output) != 3 or output[1] < 5:
            raise CheckpointError(
                f"{path} is not a detector: its output {self._output} has shape {output}",
                "pass a plan whose output is (batch, 4 + classes, anchors)",
            )
        self.num_classes: int = output[1] - 4

    def _batch_range(self, batch: int) -> tuple[int, int]:
        if batch > 0:
            return batch, batch
        smallest, _, largest = self._engine.get_tensor_profile_shape(self._input, 0)
        return int(smallest[0]), int(largest[0])

    def __call__(self, images: FloatArray) -> FloatArray:
        """Run (B, 3, H, W) RGB in 0..1 to (B, 4 + classes, A) cx, cy, w, h in pixels and scores.

        Any B: more than the plan's largest batch is split, less than its smallest filled up.

        Raises:
            UsageError: another height or width than the plan's.
            UnsupportedError: the GPU refused.
        """
        check_images(images, *self.input_shape[2:])
        self._stream.make_current()
        batch = self._largest if len(images) > self._largest else None
        return run_in_batches(self._run, images, batch)

    def _run(self, images: FloatArray) -> FloatArray:
        batch = max(len(images), self._smallest)
        source, target = self._host[self._input], self._host[self._output]
        source[: len(images)] = images
        source[len(images) : batch] = 0
        with self._log.capture() as said:
            accepted = self._context.set_input_shape(self._input, (batch, *source.shape[1:]))
            for tensor, address in self._memory.items():
                self._context.set_tensor_address(tensor, address)
            self._stream.upload(self._memory[self._input], source[:batch])
            started = accepted and self._context.execute_async_v3(self._stream.handle)
        if not started:
            raise UnsupportedError(
                f"{TITLES[self.name]} could not run: {said.reason('it gave no reason')}",
                "check the GPU's free memory and that the plan was built on this machine",
            )
        self._stream.download(target[:batch], self._memory[self._output])
        self._stream.synchronize()
        return target[: len(images)].astype(np.float32, copy=True)

    def close(self) -> None:
        """Free the GPU memory."""
        # TensorRT wants its objects gone before their context goes: youngest first.
        self._context = self._engine = self._runtime = None
        self._host.clear()
        self._stream.close()


def _gpu(device: int) -> Gpu:
    gpus = driver().gpus()
    if device >= len(gpus):
        raise UnsupportedError(
            f"this machine has {len(gpus)} NVIDIA GPUs, asked for number {device}",
            "run this on the machine that has the GPU, and check CUDA_VISIBLE_DEVICES",
        )
    return gpus[device]
