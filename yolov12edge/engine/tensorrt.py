"""How each TensorRT from 8.5 to 11 wants to be told; every version difference is in this file.

| from | what changes here |
|---|---|
| 8.6  | optimization levels, hardware and version compatibility |
| 10.0 | batch always explicit; strongly typed networks, so precision flags go; progress monitor |
| 11.0 | networks are strongly typed with or without the flag; FP16 and INT8 flags are gone |

Written without such a GPU at hand; tested against stand-ins with each version's attributes.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.engine.options import BuildOptions
from yolov12edge.errors import UnsupportedError
from yolov12edge.files import write_bytes
from yolov12edge.runtime.cuda import Gpu, driver
from yolov12edge.runtime.tensorrt import load_library


class TensorRT:
    """TensorRT 8.5 to 11 on the first GPU of this machine.

    Raises:
        UnsupportedError: no TensorRT, or no GPU.
    """

    title = "TensorRT"

    def __init__(self, library: ModuleType | None = None, gpu: Gpu | None = None) -> None:
        self.library = library or load_library()
        self.gpu = gpu or _first_gpu()
        self.version = tuple(int(part) for part in self.library.__version__.split(".")[:2])

    @property
    def strongly_typed(self) -> bool:
        """Types come from the graph; before 10 flags allow them and the builder picks."""
        return self.version >= (10, 0)

    def network_flags(self) -> int:
        """EXPLICIT_BATCH before 10; STRONGLY_TYPED from 10 on, as long as it has a flag."""
        flags = self.library.NetworkDefinitionCreationFlag
        if not self.strongly_typed:
            return 1 << int(flags.EXPLICIT_BATCH)
        return 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0

    def check_capabilities(self, wanted: tuple[int, ...]) -> None:
        """TensorRT builds for the GPU at hand.

        Raises:
            UnsupportedError: that GPU is none of those wanted.
        """
        if wanted and self.gpu.compute_capability not in wanted:
            listed = ", ".join(f"SM{sm}" for sm in wanted)
            raise UnsupportedError(
                f"this target is {listed}; the GPU here ({self.gpu.name}) is "
                f"SM{self.gpu.compute_capability}, and TensorRT builds for the GPU at hand",
                "run build on the target itself, or use --target tensorrt-local",
            )

    def configure(self, config: Any, options: BuildOptions, network: OnnxNetwork) -> None:
        """Put the options into an IBuilderConfig.

        Raises:
            UnsupportedError: an option this version lacks, or another GPU than asked for.
        """
        library = self.library
        self.check_capabilities(options.compute_capabilities)
        if options.workspace is not None:
            config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace)
        if not self.strongly_typed:
            if network.float16:
                config.set_flag(library.BuilderFlag.FP16)
            if network.quantized:
                config.set_flag(library.BuilderFlag.INT8)
        if options.optimization_level is not None:
            self._need((8, 6), "optimization levels")
            config.builder_optimization_level = options.optimization_level
        if options.version_compatible:
            self._need((8, 6), "version compatibility")
            config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatibility != "none":
            self._need((8, 6), "hardware compatibility")
            config.hardware_compatibility_level = self._compatibility(options)
        verbosity = options.profiling_verbosity.upper()
        config.profiling_verbosity = getattr(library.ProfilingVerbosity, verbosity)
        if options.timing_cache is not None:
            self._load_timing_cache(config, options)

    def watch(self, config: Any, monitor: BuildMonitor) -> None:
        """Have the build report to `monitor`, where this version can."""
        if hasattr(self.library, "IProgressMonitor"):
            # The library keeps no reference: this attribute must live as long as the build.
            self._monitor = monitor.adapter(self.library)
            config.progress_monitor = self._monitor

    def finish(self, config: Any, options: BuildOptions) -> None:
        """Write the timing cache."""
        if options.timing_cache is not None:
            cache = config.get_timing_cache()
            if cache is not None:
                write_bytes(options.timing_cache, bytes(cache.serialize()))

    def _compatibility(self, options: BuildOptions) -> Any:
        levels = self.library.HardwareCompatibilityLevel
        name = options.hardware_compatibility.upper()
        if not hasattr(levels, name):
            raise UnsupportedError(
                f"TensorRT {self.library.__version__} has no hardware compatibility {name.lower()}",
                "use ampere_plus or none",
            )
        return getattr(levels, name)

    def _need(self, oldest: tuple[int, int], what: str) -> None:
        if self.version < oldest:
            raise UnsupportedError(
                f"TensorRT {self.library.__version__} has no {what}",
                f"they came with {oldest[0]}.{oldest[1]}; leave the option out",
            )

    def _load_timing_cache(self, config: Any, options: BuildOptions) -> None:
        path = options.timing_cache
        known = path.read_bytes() if path is not None and path.is_file() else b""
        # A cache of another GPU or version is refused by the library; then it starts empty.
        if not known or not config.set_timing_cache(config.create_timing_cache(known), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)


def _first_gpu() -> Gpu:
    gpus = driver().gpus()
    if not gpus:
        raise UnsupportedError(
            "TensorRT builds on a GPU and this machine has none",
            "run build on the machine that has the GPU",
        )
    return gpus[0]
