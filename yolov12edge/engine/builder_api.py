"""What a build asks of a library, and whom it talks to."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

from yolov12edge.engine.dla import DlaCoverage
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.engine.options import BuildOptions


class BuilderApi(Protocol):
    """What one library, in one version, wants said differently.

    Attributes:
        title: the library's name for people.
        library: its Python module.
        has_levels: there are optimization levels.
        reports_progress: a build calls back, and can be stopped that way.
    """

    title: str
    library: ModuleType

    @property
    def has_levels(self) -> bool:
        """There are optimization levels."""

    @property
    def reports_progress(self) -> bool:
        """A build calls back, and can be stopped that way."""

    def network_flags(self, options: BuildOptions) -> int:
        """Flags for Builder.create_network."""

    def capabilities(self) -> tuple[int, ...]:
        """GPU architectures that it can build for here, 86 for SM 8.6."""

    def check_capabilities(self, wanted: tuple[int, ...]) -> None:
        """Raise UnsupportedError unless it can build for these GPU architectures here."""

    def check_options(self, options: BuildOptions, network: OnnxNetwork) -> None:
        """Raise before anything is parsed where an option makes no sense or is not to be had."""

    def gpu_memory(self) -> tuple[int, int] | None:
        """(free, total) bytes of the GPU to build on; None where none is needed."""

    def adapt(self, definition: Any, options: BuildOptions, network: OnnxNetwork) -> None:
        """Write into a parsed network what the graph says and the parser does not keep."""

    def configure(
        self, config: Any, options: BuildOptions, network: OnnxNetwork, level: int | None
    ) -> None:
        """Put the options into an IBuilderConfig."""

    def coverage(
        self, builder: Any, definition: Any, config: Any, options: BuildOptions
    ) -> DlaCoverage | None:
        """What a DLA can run, where one was asked for."""

    def watch(self, config: Any, monitor: BuildMonitor) -> None:
        """Have the build report to `monitor`, where the library can."""

    def finish(self, config: Any, options: BuildOptions) -> None:
        """What remains to be done after a successful build."""
