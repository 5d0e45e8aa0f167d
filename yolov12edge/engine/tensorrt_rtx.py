"""How TensorRT-RTX wants to be told: no GPU needed, a list of compute capabilities."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.engine.options import BuildOptions
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.runtime.tensorrt_rtx import load_library


class TensorRTRTX:
    """TensorRT-RTX 1.x; its networks are always strongly typed."""

    title = "TensorRT-RTX"

    def __init__(self, library: ModuleType | None = None) -> None:
        self.library = library or load_library()

    def network_flags(self) -> int:
        """Types come from the graph."""
        return 1 << int(self.library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def check_capabilities(self, wanted: tuple[int, ...]) -> None:
        """Any GPU architecture that this version knows can be built for, here and everywhere.

        Raises:
            UnsupportedError: it does not know one of them.
        """
        known = self.library.ComputeCapability.__members__
        unknown = [f"SM{sm}" for sm in wanted if f"SM{sm}" not in known]
        if unknown:
            listed = ", ".join(name for name in known if name.startswith("SM"))
            raise UnsupportedError(
                f"TensorRT-RTX {self.library.__version__} cannot build for {', '.join(unknown)}",
                f"it can for {listed}; for other GPUs use TensorRT (yolov12edge targets)",
            )

    def configure(self, config: Any, options: BuildOptions, network: OnnxNetwork) -> None:
        """Put the options into an IBuilderConfig.

        Raises:
            UnsupportedError: a compute capability this version cannot build for.
            UsageError: a timing cache, which here has no effect but would need a GPU.
        """
        library = self.library
        if options.timing_cache is not None:
            raise UsageError(
                "TensorRT-RTX keeps no timing cache: it tunes kernels when the engine is loaded",
                "leave out --timing-cache",
            )
        self.check_capabilities(options.compute_capabilities)
        if options.compute_capabilities:
            config.num_compute_capabilities = len(options.compute_capabilities)
        for index, sm in enumerate(options.compute_capabilities):
            config.set_compute_capability(getattr(library.ComputeCapability, f"SM{sm}"), index)
        if options.workspace is not None:
            config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace)
        if options.optimization_level is not None:
            config.builder_optimization_level = options.optimization_level
        if options.version_compatible:
            config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatibility != "none":
            raise UsageError(
                "a TensorRT-RTX plan takes a list of compute capabilities instead of a "
                "hardware compatibility level",
                "name the capabilities, or none at all for every GPU from Ampere on",
            )
        verbosity = options.profiling_verbosity.upper()
        config.profiling_verbosity = getattr(library.ProfilingVerbosity, verbosity)

    def watch(self, config: Any, monitor: BuildMonitor) -> None:
        """Have the build report to `monitor`."""
        # The library keeps no reference: this attribute must live as long as the build.
        self._monitor = monitor.adapter(self.library)
        config.progress_monitor = self._monitor

    def finish(self, config: Any, options: BuildOptions) -> None:
        """Nothing remains to be done."""
