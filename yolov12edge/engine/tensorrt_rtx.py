"""How TensorRT-RTX wants to be told: no GPU needed, a list of compute capabilities."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from yolov12edge.engine.dla import DlaCoverage
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.engine.options import BuildOptions
from yolov12edge.engine.plan import set_common_options
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.runtime.tensorrt_rtx import load_library


class TensorRTRTX:
    """TensorRT-RTX 1.x; its networks are always strongly typed."""

    title = "TensorRT-RTX"
    has_levels = True
    reports_progress = True

    def __init__(self, library: ModuleType | None = None) -> None:
        self.library = library or load_library()

    def network_flags(self, options: BuildOptions) -> int:
        """Types come from the graph."""
        return 1 << int(self.library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def capabilities(self) -> tuple[int, ...]:
        """Every GPU architecture that this version can build for, 86 for SM 8.6."""
        names = self.library.ComputeCapability.__members__
        return tuple(sorted(int(name[2:]) for name in names if name.startswith("SM")))

    def check_capabilities(self, wanted: tuple[int, ...]) -> None:
        """Any GPU architecture that this version knows can be built for, here and everywhere.

        Raises:
            UnsupportedError: it does not know one of them.
        """
        unknown = [f"SM{sm}" for sm in wanted if sm not in self.capabilities()]
        if unknown:
            listed = ", ".join(f"SM{sm}" for sm in self.capabilities())
            raise UnsupportedError(
                f"TensorRT-RTX {self.library.__version__} cannot build for {', '.join(unknown)}",
                f"it can for {listed}; for other GPUs use TensorRT (yolov12edge targets)",
            )

    def check_options(self, options: BuildOptions, network: OnnxNetwork) -> None:
        """Refuse what this library does otherwise.

        Raises:
            UnsupportedError: a compute capability this version cannot build for.
            UsageError: an option that only TensorRT has.
        """
        if options.timing_cache is not None:
            raise UsageError(
                "TensorRT-RTX keeps no timing cache: it tunes kernels when the engine is loaded",
                "leave out --timing-cache",
            )
        if options.hardware_compatibility != "none":
            raise UsageError(
                "a TensorRT-RTX plan takes a list of compute capabilities instead of a "
                "hardware compatibility level",
                "name the capabilities, or none at all for every GPU from Ampere on",
            )
        if options.dla_core is not None:
            raise UsageError(
                "TensorRT-RTX runs on GeForce and RTX GPUs, which have no DLA",
                "leave out --dla, or build for a Jetson target",
            )
        self.check_capabilities(options.compute_capabilities)

    def gpu_memory(self) -> None:
        """No GPU is needed."""

    def adapt(self, definition: Any, options: BuildOptions, network: OnnxNetwork) -> None:
        """Nothing: the parser keeps every type of the graph."""

    def configure(
        self, config: Any, options: BuildOptions, network: OnnxNetwork, level: int | None
    ) -> None:
        """Put the options into an IBuilderConfig."""
        library = self.library
        set_common_options(library, config, options)
        if options.compute_capabilities:
            config.num_compute_capabilities = len(options.compute_capabilities)
        for index, sm in enumerate(options.compute_capabilities):
            config.set_compute_capability(getattr(library.ComputeCapability, f"SM{sm}"), index)
        if level is not None:
            config.builder_optimization_level = level
        if options.version_compatible:
            config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)

    def coverage(
        self, builder: Any, definition: Any, config: Any, options: BuildOptions
    ) -> DlaCoverage | None:
        """None: there is no DLA."""
        return None

    def watch(self, config: Any, monitor: BuildMonitor) -> None:
        """Have the build report to `monitor`."""
        # The library keeps no reference: this attribute must live as long as the build.
        self._monitor = monitor.adapter(self.library)
        config.progress_monitor = self._monitor

    def finish(self, config: Any, options: BuildOptions) -> None:
        """Nothing remains to be done."""
