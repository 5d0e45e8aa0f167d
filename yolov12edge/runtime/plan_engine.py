"""A plan on a GPU: the engine, loaded once, of which any number of contexts run.

One implementation for TensorRT and TensorRT-RTX. Both share the name-based API (set_tensor_address,
execute_async_v3) from TensorRT 8.5 on; nothing older or newer is relied on.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov12edge.download import cache_folder
from yolov12edge.errors import CheckpointError, UnsupportedError
from yolov12edge.files import write_bytes
from yolov12edge.runtime.cuda import Driver, Gpu, driver
from yolov12edge.runtime.cuda_stream import Stream, Wait
from yolov12edge.runtime.graph_io import find_output
from yolov12edge.runtime.plan_context import PlanContext
from yolov12edge.runtime.plan_origin import TITLES, ExaminedPlan, check_gpu, check_version
from yolov12edge.runtime.tensorrt_log import log_of


class PlanEngine:
    """A plan loaded on one GPU; a plan's weights are there once, however many contexts run it.

    Args:
        plan: what `examine_plan` found.
        library: the Python module of its backend.
        device: index of the GPU.
        gpu: the GPU that `device` is; by default the driver is asked.
        api: the driver; the machine's own by default.

    Attributes:
        name: "tensorrt" or "tensorrt_rtx".
        version: the library's version.
        gpu: where it is loaded.
        input, output: names of the image tensor and of the detections.
        image: height and width in pixels.
        smallest, largest: batch sizes it accepts.

    Raises:
        CheckpointError: not a detector.
        UnsupportedError: another library version, no GPU or another architecture, or the library
            cannot load it.
    """

    def __init__(
        self,
        plan: ExaminedPlan,
        library: ModuleType,
        device: int = 0,
        gpu: Gpu | None = None,
        api: Driver | None = None,
    ) -> None:
        self.name = plan.backend
        self.title = TITLES[plan.backend]
        self.version: str = library.__version__
        check_version(plan.path, plan.origin, self.title, self.version)
        self.gpu = gpu or find_gpu(device)
        check_gpu(plan.path, plan.origin, self.gpu)
        self.plan = plan
        self.path = plan.path
        self.library = library
        self._api = api
        self._device = device
        self.log = log_of(library)
        self._contexts: list[PlanContext] = []
        self._runtime: Any = None
        self._engine: Any = None
        self._runtime_config: Any = None
        self._runtime_cache: Any = None
        # Keeps the CUDA context alive as long as the engine.
        self._stream = Stream(device, api)
        try:
            self._load()
            self._describe()
        except BaseException:
            self.close()
            raise

    def context(self, *, cuda_graph: bool = False, wait: Wait = "auto") -> PlanContext:
        """A new executor with a stream and buffers of its own; closed with the engine.

        Args:
            cuda_graph: replay the kernels as one graph, captured once for each batch size.
            wait: how the host waits for the GPU.
        """
        with self.log.capture() as said:
            context = (
                self._engine.create_execution_context(self._runtime_config)
                if self._runtime_config is not None
                else self._engine.create_execution_context()
            )
        if context is None:
            raise self._refusal(said.reason("it gave no reason"))
        made = PlanContext(self, context, Stream(self._device, self._api), cuda_graph, wait)
        self._contexts.append(made)
        return made

    def close(self) -> None:
        """Free the GPU memory, the contexts' too; keeps the kernels that TensorRT-RTX compiled."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        self._save_runtime_cache()
        # TensorRT wants its objects gone before their CUDA context goes: youngest first.
        self._runtime_cache = None
        self._runtime_config = None
        self._engine = None
        self._runtime = None
        self._stream.close()

    def _load(self) -> None:
        with self.log.capture() as said:
            self._runtime = self.library.Runtime(self.log.logger)
            if self._runtime is not None:
                self._prepare_runtime()
                self._engine = self._runtime.deserialize_cuda_engine(self.plan.content)
        if self._engine is None:
            raise self._refusal(said.reason("it gave no reason"))
        if self.name == "tensorrt_rtx":
            self._use_runtime_cache()

    def _prepare_runtime(self) -> None:
        origin = self.plan.origin
        if origin.version_compatible and hasattr(self._runtime, "engine_host_code_allowed"):
            # Such a plan brings host code along. It is run only from plans whose SHA-256 the
            # manifest vouches for: only that makes `version_compatible` known.
            self._runtime.engine_host_code_allowed = True
        if origin.dla_core is not None:
            self._runtime.DLA_core = origin.dla_core

    def _describe(self) -> None:
        engine, modes = self._engine, self.library.TensorIOMode
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == modes.INPUT]
        shape = tuple(engine.get_tensor_shape(inputs[0])) if len(inputs) == 1 else ()
        if len(shape) != 4 or shape[1] != 3 or shape[2] <= 0 or shape[3] <= 0:
            listed = {name: tuple(engine.get_tensor_shape(name)) for name in inputs}
            raise CheckpointError(
                f"{self.plan.path} is not a detector: its inputs are {listed}",
                "pass a plan with one (batch, 3, height, width) input",
            )
        outputs = {name: engine.get_tensor_shape(name) for name in names if name not in inputs}
        self.names = tuple(names)
        self.input = inputs[0]
        self.output = find_output(self.plan.path, outputs)
        self.image: tuple[int, int] = (shape[2], shape[3])
        self.dynamic = shape[0] <= 0
        self.smallest, self.largest = shape[0], shape[0]
        if self.dynamic:
            smallest, _, largest = engine.get_tensor_profile_shape(self.input, 0)
            self.smallest, self.largest = int(smallest[0]), int(largest[0])

    def dtype(self, tensor: str) -> np.dtype[Any]:
        """NumPy's type of a tensor."""
        kind: np.dtype[Any] = np.dtype(self.library.nptype(self._engine.get_tensor_dtype(tensor)))
        return kind

    def _refusal(self, reason: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self.title} {self.version} cannot load {self.plan.path}: {reason}",
            "build it again on this machine, or copy it again in binary mode",
        )

    def _use_runtime_cache(self) -> None:
        """TensorRT-RTX compiles kernels when a plan first runs; keep them for the next time."""
        self._runtime_config = self._engine.create_runtime_config()
        self._runtime_cache = self._runtime_config.create_runtime_cache()
        path = self._runtime_cache_file()
        if path.is_file():
            # The library refuses a cache of another GPU, driver or version by itself.
            self._runtime_cache.deserialize(path.read_bytes())
        self._runtime_config.set_runtime_cache(self._runtime_cache)

    def _save_runtime_cache(self) -> None:
        if self._runtime_cache is not None:
            with contextlib.suppress(OSError):
                content = bytes(self._runtime_cache.serialize())
                write_bytes(self._runtime_cache_file(), content)

    def _runtime_cache_file(self) -> Path:
        key = f"{self.plan.sha256[:16]}-sm{self.gpu.compute_capability}-{self.version}.cache"
        return cache_folder() / "tensorrt_rtx" / key


def find_gpu(device: int) -> Gpu:
    """The GPU with this index.

    Raises:
        UnsupportedError: no driver, or not that many GPUs.
    """
    gpus = driver().gpus()
    if device >= len(gpus):
        raise UnsupportedError(
            f"this machine has {len(gpus)} NVIDIA GPUs, asked for number {device}",
            "run this on the machine that has the GPU, and check CUDA_VISIBLE_DEVICES",
        )
    return gpus[device]
