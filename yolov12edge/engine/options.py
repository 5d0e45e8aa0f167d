"""What to build: the options of an engine build and its result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from yolov12edge.engine.dla import DlaCoverage
from yolov12edge.engine.fusion import FusionReport, attention_fusion
from yolov12edge.engine.record import BuildRecord
from yolov12edge.errors import UsageError
from yolov12edge.run.manifest import DlaSection, EngineSection
from yolov12edge.run.names import PlanBackend
from yolov12edge.runtime.plan_origin import this_platform

HardwareCompatibility = Literal["none", "ampere_plus", "same_compute_capability"]
ProfilingVerbosity = Literal["none", "layer_names_only", "detailed"]


@dataclass(frozen=True)
class BatchRange:
    """Batch sizes an engine accepts; it is tuned for `optimal`."""

    smallest: int
    optimal: int
    largest: int

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.optimal <= self.largest:
            raise UsageError(
                f"batch {self} is not a range: it needs 1 <= MIN <= OPT <= MAX",
                "write one number, or MIN:OPT:MAX, for example 1:4:8",
            )

    @classmethod
    def parse(cls, text: str) -> BatchRange:
        """Read "4" or "1:4:8".

        Raises:
            UsageError: neither form, or not rising.
        """
        parts = text.split(":")
        if len(parts) not in (1, 3) or not all(part.strip().isdecimal() for part in parts):
            raise UsageError(
                f"cannot read the batch {text!r}",
                "write one number, or MIN:OPT:MAX, for example 1:4:8",
            )
        numbers = [int(part) for part in parts]
        return cls(*(numbers * 3 if len(numbers) == 1 else numbers))

    @property
    def fixed(self) -> bool:
        """One size only."""
        return self.smallest == self.largest

    def __str__(self) -> str:
        if self.fixed:
            return str(self.optimal)
        return f"{self.smallest}:{self.optimal}:{self.largest}"


@dataclass(frozen=True)
class BuildOptions:
    """How to build; precision is not here because it is in the graph.

    Attributes:
        compute_capabilities: GPU architectures, 86 for SM 8.6. Empty: TensorRT builds for the GPU
            at hand, TensorRT-RTX for every GPU from Ampere on.
        batch: batch sizes, for a graph with a dynamic batch; a fixed graph knows its own.
        workspace: most bytes of scratch memory on the GPU; None lets the library decide.
        optimization_level: 0 (quick build) to 5 (fast engine); None is the library's default, 3.
        retry: try other optimization levels where the build fails at the one asked for.
        timing_cache: measured kernels, read if they are there and written after the build; makes
            the next build on the same GPU and version quick. A folder gets one file for each
            version and GPU, anything with a suffix is the file itself. TensorRT only.
        tactic_sources: where kernels may come from, as "jit_convolutions"; None is the library's
            choice. Fewer sources need less memory.
        hardware_compatibility: run on more GPUs than the one built on, at some cost in speed.
        version_compatible: load in later library versions too, at some cost in speed.
        profiling_verbosity: how much about layers an engine inspector can see; no cost in speed.
        dla_core: build for this DLA core, with the GPU for what it cannot do; None for the GPU.
        dla_min_coverage: least share of the layers that the DLA must be able to run.
    """

    compute_capabilities: tuple[int, ...] = ()
    batch: BatchRange | None = None
    workspace: int | None = None
    optimization_level: int | None = None
    retry: bool = True
    timing_cache: Path | None = None
    tactic_sources: tuple[str, ...] | None = None
    hardware_compatibility: HardwareCompatibility = "none"
    version_compatible: bool = False
    profiling_verbosity: ProfilingVerbosity = "detailed"
    dla_core: int | None = None
    dla_min_coverage: float = 0.5


@dataclass(frozen=True)
class EngineBuild:
    """A built engine.

    Attributes:
        path: the plan, raw bytes without any prefix.
        backend: the library that built it and can load it.
        version: that library's version.
        compute_capabilities: GPU architectures it was built for, 86 for SM 8.6.
        sha256: of the plan's bytes, in hex.
        size: of the plan, in bytes.
        seconds: what the build took.
        network_layers: layers of the parsed network, before any were fused.
        batch: batch sizes it accepts.
        options: what was asked for.
        optimization_level: the level that it was built at; None for the library's default.
        gpu: name of the GPU it was built on; None where none was needed.
        dla: what runs on the DLA, where that was asked for.
        warnings: what the library warned of.
        record: what it made of the network; None where it was not asked for details.
    """

    path: Path
    backend: PlanBackend
    version: str
    compute_capabilities: tuple[int, ...]
    sha256: str
    size: int
    seconds: float
    network_layers: int
    batch: BatchRange
    options: BuildOptions
    optimization_level: int | None
    gpu: str | None
    dla: DlaCoverage | None
    warnings: tuple[str, ...]
    record: BuildRecord | None = None

    @cached_property
    def fusion(self) -> FusionReport:
        """Whether its attention is fused."""
        return attention_fusion(self.record, self.path)

    def section(self) -> EngineSection:
        """The `engine` entry of a run folder's manifest; runtimes compare it before loading."""
        options, dla = self.options, None
        if self.dla is not None:
            dla = DlaSection(core=options.dla_core, coverage=self.dla.share)
        sources = options.tactic_sources
        return EngineSection(
            file=self.path.name,
            sha256=self.sha256,
            bytes=self.size,
            backend=self.backend,
            version=self.version,
            sm=list(self.compute_capabilities),
            batch=str(self.batch),
            network_layers=self.network_layers,
            seconds=round(self.seconds, 3),
            platform=this_platform(),
            gpu=self.gpu,
            optimization_level=self.optimization_level,
            workspace=options.workspace,
            tactic_sources=None if sources is None else list(sources),
            profiling_verbosity=options.profiling_verbosity,
            dla=dla,
            hardware_compatibility=options.hardware_compatibility,
            version_compatible=options.version_compatible,
            warnings=list(self.warnings),
        )
