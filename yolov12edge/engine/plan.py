"""From an ONNX file to a plan's bytes, the part TensorRT and TensorRT-RTX have in common."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from yolov12edge.engine.build_log import MARK, BuildLog, read_build_log
from yolov12edge.engine.builder_api import BuilderApi
from yolov12edge.engine.dla import DlaCoverage
from yolov12edge.engine.memory import check_memory
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import OnnxNetwork
from yolov12edge.engine.options import BatchRange, BuildOptions
from yolov12edge.engine.parse_errors import parse_error
from yolov12edge.errors import ExportError, UnsupportedError
from yolov12edge.runtime.tensorrt_log import Captured, log_of
from yolov12edge.voice import SILENCE, Voice

DEFAULT_LEVEL = 3
HIGHEST_LEVEL = 5
MOST_RETRIES = 3


@dataclass(frozen=True)
class BuiltPlan:
    """A plan's bytes (the library's own memory) and how it came about.

    Attributes:
        content: the plan.
        layers: of the parsed network.
        level: optimization level it was built at; None for the library's default.
        dla: what runs on the DLA, where that was asked for.
        warnings: what the library warned of.
        log: the kernels it spoke of.
    """

    content: memoryview
    layers: int
    level: int | None
    dla: DlaCoverage | None
    warnings: tuple[str, ...]
    log: BuildLog


def build_plan(
    api: BuilderApi,
    network: OnnxNetwork,
    batch: BatchRange,
    options: BuildOptions,
    monitor: BuildMonitor,
    voice: Voice = SILENCE,
) -> BuiltPlan:
    """Parse, configure and build; where that fails, again at other optimization levels.

    Args:
        voice: takes remarks: what a DLA covers, memory that may be short, retries.

    Raises:
        ExportError: the library cannot parse or cannot build it; names the node and the reason.
            Or the DLA can run too little of it.
        UsageError, UnsupportedError: options that make no sense, or that this library lacks.
    """
    library = api.library
    title = f"{api.title} {library.__version__}"
    api.check_options(options, network)
    for warning in check_memory(network.path, options.workspace, api.gpu_memory()):
        voice.warn(warning)
    log = log_of(library)
    with log.capture(MARK) as said:
        builder = library.Builder(log.logger)
        definition = builder.create_network(api.network_flags(options))
        parser = library.OnnxParser(definition, log.logger)
        if not parser.parse_from_file(str(network.path)):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            raise parse_error(title, network, errors, said.reason("it gave no reason"))
        api.adapt(definition, options, network)
        dla: DlaCoverage | None = None
        for level, following in _ladder(api, options):
            said.errors.clear()
            said.details.clear()
            config = builder.create_builder_config()
            api.configure(config, options, network, level)
            if dla is None:
                dla = _check_dla(api, builder, definition, config, options, voice)
            api.watch(config, monitor)
            if network.input_shape[0] is None:
                _add_profile(builder, config, network, batch)
            build = functools.partial(builder.build_serialized_network, definition, config)
            memory: Any = monitor.run(build, api.reports_progress)
            if monitor.error is not None:
                raise monitor.error
            if memory is not None:
                api.finish(config, options)
                return _built(memory, definition, level, dla, said)
            if monitor.interrupted or following is None or _hopeless(said.errors):
                break
            voice.warn(
                f"{title} failed at optimization level {_named(level)}: {_reason(said)}; "
                f"trying level {following}"
            )
        raise ExportError(
            f"{title} cannot build {network.path}: {_reason(said)}",
            _build_hint(said.errors, options),
        )


def _built(
    memory: Any, definition: Any, level: int | None, dla: DlaCoverage | None, said: Captured
) -> BuiltPlan:
    log = read_build_log(said.details)
    warnings = tuple(said.warnings)
    return BuiltPlan(memoryview(memory), definition.num_layers, level, dla, warnings, log)


def set_common_options(library: ModuleType, config: Any, options: BuildOptions) -> None:
    """Put what every version of both libraries has into an IBuilderConfig.

    Raises:
        UnsupportedError: a tactic source this version lacks.
    """
    if options.workspace is not None:
        config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, options.workspace)
    verbosity = options.profiling_verbosity.upper()
    config.profiling_verbosity = getattr(library.ProfilingVerbosity, verbosity)
    if options.tactic_sources is not None:
        config.set_tactic_sources(_tactic_mask(library, options.tactic_sources))


def _tactic_mask(library: ModuleType, names: Sequence[str]) -> int:
    known: dict[str, Any] = library.TacticSource.__members__
    wanted = [name.upper().replace("-", "_") for name in names]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UnsupportedError(
            f"this version ({library.__version__}) has no tactic source {unknown[0].lower()}",
            f"it has: {', '.join(name.lower() for name in known)}",
        )
    return sum(1 << int(known[name]) for name in dict.fromkeys(wanted))


def _ladder(api: BuilderApi, options: BuildOptions) -> Iterator[tuple[int | None, int | None]]:
    """(level, the one after it or None): what was asked for, then upwards, then downwards.

    Upwards first, because low levels leave out the kernels that a build fails for want of.
    """
    first = options.optimization_level
    levels: list[int | None] = [first]
    if options.retry and api.has_levels:
        start = DEFAULT_LEVEL if first is None else first
        others = [*range(start + 1, HIGHEST_LEVEL + 1), *range(start - 1, -1, -1)]
        levels += others[:MOST_RETRIES]
    return zip(levels, [*levels[1:], None], strict=True)


def _check_dla(
    api: BuilderApi,
    builder: Any,
    definition: Any,
    config: Any,
    options: BuildOptions,
    voice: Voice,
) -> DlaCoverage | None:
    coverage = api.coverage(builder, definition, config, options)
    if coverage is not None:
        voice.info(coverage.table())
        coverage.check(options.dla_min_coverage)
    return coverage


def _add_profile(builder: Any, config: Any, network: OnnxNetwork, batch: BatchRange) -> None:
    profile = builder.create_optimization_profile()
    image = network.input_shape[1:]
    profile.set_shape(
        network.input_name,
        (batch.smallest, *image),
        (batch.optimal, *image),
        (batch.largest, *image),
    )
    config.add_optimization_profile(profile)


def _named(level: int | None) -> str:
    return f"{DEFAULT_LEVEL} (the default)" if level is None else str(level)


def _reason(said: Captured) -> str:
    return said.reason("it gave no reason")


def _hopeless(errors: Sequence[str]) -> bool:
    """No other optimization level would change this."""
    text = " ".join(errors).lower()
    return any(word in text for word in ("memory", "workspace", "cuda", "gemm is not supported"))


def _build_hint(errors: Sequence[str], options: BuildOptions) -> str:
    text = " ".join(errors).lower()
    if "workspace" in text and options.workspace is not None:
        return f"pass a larger --workspace than {options.workspace >> 20} MiB, or none"
    if "memory" in text or "workspace" in text:
        return "free GPU memory, or pass another --workspace"
    if "fp32 gemm is not supported" in text:
        return "this GPU has no FP32 matrix products here: export with --fp16"
    if "cuda" in text:
        return "check the NVIDIA driver, or name the target's GPU with --target"
    return "see what the graph holds: yolov12edge inspect model.onnx"
