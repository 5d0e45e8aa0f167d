"""How each TensorRT from 8.5 to 11 wants to be told; every version difference is in this file.

| from | what changes here |
|---|---|
| 8.6  | optimization levels, hardware and version compatibility |
| 10.0 | batch always explicit; strongly typed networks, so precision flags go; progress monitor |
| 10.9 | hardware compatibility within one compute capability |
| 11.0 | always strongly typed; FP16 and INT8 flags, layer precisions, cuBLAS and cuDNN are gone |

A DLA wants the flags until 10; 10.8 to 11.3 have no DLA, which the library says by counting none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from yolov12edge.engine.dla import DlaCoverage, measure_coverage
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork, float32_nodes
from yolov12edge.engine.options import BuildOptions
from yolov12edge.engine.plan import set_common_options
from yolov12edge.errors import UnsupportedError, UsageError
from yolov12edge.files import write_bytes
from yolov12edge.runtime.cuda import Gpu, driver
from yolov12edge.runtime.cuda_stream import Stream
from yolov12edge.runtime.plan_origin import AMPERE
from yolov12edge.runtime.tensorrt import load_library

Memory = Callable[[Gpu], tuple[int, int]]


class TensorRT:
    """TensorRT 8.5 to 11 on the first GPU of this machine.

    Args:
        library: its Python module; by default the installed one.
        gpu: the GPU to build on; by default the driver is asked.
        memory: tells (free, total) bytes of a GPU.

    Raises:
        UnsupportedError: no TensorRT, or no GPU.
    """

    title = "TensorRT"

    def __init__(
        self,
        library: ModuleType | None = None,
        gpu: Gpu | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.library = library or load_library()
        self.gpu = gpu or _first_gpu()
        self.version = tuple(int(part) for part in self.library.__version__.split(".")[:2])
        self._memory = memory or _memory_of

    @property
    def has_levels(self) -> bool:
        """8.5 has none."""
        return self.version >= (8, 6)

    @property
    def reports_progress(self) -> bool:
        """8.x cannot."""
        return self.version >= (10, 0)

    def strongly_typed(self, options: BuildOptions) -> bool:
        """Types come from the graph; before 10, and for a DLA before 11, flags allow them."""
        oldest = (10, 0) if options.dla_core is None else (11, 0)
        return self.version >= oldest

    def network_flags(self, options: BuildOptions) -> int:
        """EXPLICIT_BATCH in 8.x; STRONGLY_TYPED in 10, where types come from the graph."""
        flags = self.library.NetworkDefinitionCreationFlag
        if self.version < (10, 0):
            return 1 << int(flags.EXPLICIT_BATCH)
        if self.version < (11, 0) and self.strongly_typed(options):
            return 1 << int(flags.STRONGLY_TYPED)
        return 0

    def capabilities(self) -> tuple[int, ...]:
        """The GPU at hand."""
        return (self.gpu.compute_capability,)

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

    def check_options(self, options: BuildOptions, network: OnnxNetwork) -> None:
        """Refuse what this version or GPU lacks.

        Raises:
            UnsupportedError: an option this version lacks, or another GPU than asked for.
            UsageError: a DLA for a graph with a dynamic batch or in float32.
        """
        self.check_capabilities(options.compute_capabilities)
        if options.optimization_level is not None:
            self._need((8, 6), "optimization levels")
        if options.version_compatible:
            self._need((8, 6), "version compatibility")
        if options.hardware_compatibility != "none":
            self._need((8, 6), "hardware compatibility")
            self._compatibility(options)
            if options.hardware_compatibility == "ampere_plus" and self._older_than_ampere():
                raise UnsupportedError(
                    f"ampere_plus needs an Ampere GPU to build on, {self.gpu.name} is "
                    f"SM{self.gpu.compute_capability}",
                    "leave out --hardware-compatibility",
                )
        if options.dla_core is None:
            return
        if network.input_shape[0] is None:
            raise UsageError(
                "a DLA takes one fixed batch, and this graph's is dynamic",
                "export it with --batch N",
            )
        if not (network.float16 or network.quantized):
            raise UsageError(
                "a DLA computes in FP16 or INT8, and this graph is FP32", "export it with --fp16"
            )

    def gpu_memory(self) -> tuple[int, int] | None:
        """(free, total) bytes of the GPU to build on."""
        return self._memory(self.gpu)

    def adapt(self, definition: Any, options: BuildOptions, network: OnnxNetwork) -> None:
        """Pin what the graph keeps in float32, where flags would let the builder take FP16."""
        if self.strongly_typed(options) or not network.float16:
            return
        float32 = self.library.DataType.FLOAT
        kept = float32_nodes(network.path)
        for index in range(definition.num_layers):
            layer = definition.get_layer(index)
            if layer.name in kept and layer.type.name not in _UNTYPED_LAYERS:
                layer.precision = float32
                for output in range(layer.num_outputs):
                    layer.set_output_type(output, float32)

    def configure(
        self, config: Any, options: BuildOptions, network: OnnxNetwork, level: int | None
    ) -> None:
        """Put the options into an IBuilderConfig."""
        library = self.library
        set_common_options(library, config, options)
        if not self.strongly_typed(options):
            self._allow_precisions(config, network)
        if level is not None:
            config.builder_optimization_level = level
        if options.version_compatible:
            config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatibility != "none":
            config.hardware_compatibility_level = self._compatibility(options)
        if options.dla_core is not None:
            config.default_device_type = library.DeviceType.DLA
            config.DLA_core = options.dla_core
            config.set_flag(library.BuilderFlag.GPU_FALLBACK)
        if options.timing_cache is not None:
            self._load_timing_cache(config, self.timing_cache_file(options.timing_cache))

    def coverage(
        self, builder: Any, definition: Any, config: Any, options: BuildOptions
    ) -> DlaCoverage | None:
        """What the DLA can run, where one was asked for.

        Raises:
            UnsupportedError: there is no such core, or this version has no DLA.
        """
        if options.dla_core is None:
            return None
        cores = builder.num_DLA_cores
        if options.dla_core >= cores:
            raise UnsupportedError(
                f"TensorRT {self.library.__version__} finds {cores} DLA cores on {self.gpu.name}, "
                f"asked for number {options.dla_core}",
                "Xavier, Orin NX and AGX Orin have two, with TensorRT to 10.7 or from 11.4.1 on; "
                "build without --dla",
            )
        return measure_coverage(definition, config)

    def watch(self, config: Any, monitor: BuildMonitor) -> None:
        """Have the build report to `monitor`, where this version can."""
        if self.reports_progress:
            # The library keeps no reference: this attribute must live as long as the build.
            self._monitor = monitor.adapter(self.library)
            config.progress_monitor = self._monitor

    def finish(self, config: Any, options: BuildOptions) -> None:
        """Write the timing cache."""
        if options.timing_cache is not None:
            cache = config.get_timing_cache()
            if cache is not None:
                path = self.timing_cache_file(options.timing_cache)
                write_bytes(path, bytes(cache.serialize()))

    def timing_cache_file(self, path: Path) -> Path:
        """`path` if it has a suffix; else, in that folder, a name with version and GPU."""
        if path.suffix:
            return path
        gpu = re.sub(r"[^a-z0-9]+", "-", self.gpu.name.lower()).strip("-")
        version = self.library.__version__
        return path / f"tensorrt-{version}-{gpu}-sm{self.gpu.compute_capability}.cache"

    def _allow_precisions(self, config: Any, network: OnnxNetwork) -> None:
        """Flags for a builder that picks types: FP16 and INT8, float32 where it is pinned."""
        flags = self.library.BuilderFlag
        if network.float16 or network.quantized:
            # What is not quantized runs in FP16, as trtexec --fp16 --int8 has it.
            config.set_flag(flags.FP16)
        if network.float16:
            config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
        if network.quantized:
            config.set_flag(flags.INT8)

    def _older_than_ampere(self) -> bool:
        return self.gpu.compute_capability < AMPERE

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

    def _load_timing_cache(self, config: Any, path: Path) -> None:
        known = path.read_bytes() if path.is_file() else b""
        # A cache of another GPU or version is refused by the library; then it starts empty.
        if not known or not config.set_timing_cache(config.create_timing_cache(known), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)


# Layers that move or convert data: a precision on them would add conversions.
_UNTYPED_LAYERS = (
    "CAST",
    "CONSTANT",
    "IDENTITY",
    "QUANTIZE",
    "DEQUANTIZE",
    "SHAPE",
    "SHUFFLE",
    "SLICE",
    "CONCATENATION",
    "GATHER",
)


def _first_gpu() -> Gpu:
    gpus = driver().gpus()
    if not gpus:
        raise UnsupportedError(
            "TensorRT builds on a GPU and this machine has none",
            "run build on the machine that has the GPU",
        )
    return gpus[0]


def _memory_of(gpu: Gpu) -> tuple[int, int]:
    with Stream(gpu.index) as stream:
        return stream.memory()
