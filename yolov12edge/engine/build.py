"""Build an engine from an ONNX file with one of the backends."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from yolov12edge.engine.build_log import BuildLog
from yolov12edge.engine.builder_api import BuilderApi
from yolov12edge.engine.inspector import engine_information
from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.engine.onnx_file import read_network
from yolov12edge.engine.options import BuildOptions, EngineBuild
from yolov12edge.engine.plan import BuiltPlan, build_plan
from yolov12edge.engine.record import BuildRecord, Source, new_record, write_record
from yolov12edge.errors import EdgeError, UnsupportedError, UsageError
from yolov12edge.files import atomic_path
from yolov12edge.run.names import PLAN_BACKENDS, PlanBackend
from yolov12edge.runtime.plan_file import read_plan_header
from yolov12edge.voice import SILENCE, Progress, Voice, no_progress

INTERPRETED = ("onnxruntime", "openvino")


def build_engine(
    onnx_path: Path,
    plan_path: Path,
    backend: PlanBackend,
    options: BuildOptions | None = None,
    progress: Progress = no_progress,
    voice: Voice = SILENCE,
) -> EngineBuild:
    """Build a plan and write it, raw and atomically, to `plan_path`.

    Args:
        onnx_path: a detector's ONNX file; its types are the engine's types.
        plan_path: where the plan goes.
        backend: "tensorrt" (on a machine with the target's GPU) or "tensorrt_rtx" (anywhere).
        options: see BuildOptions.
        progress: called with (label, percent, 100).
        voice: takes remarks: what a DLA covers, memory that may be short, retries.

    Raises:
        UsageError: no such file, batch sizes that do not fit the graph, options that make no sense.
        CheckpointError: not an ONNX file of a detector.
        ExportError: the library cannot parse or build it, or the DLA can run too little of it.
        UnsupportedError: the library or the GPU is not here, or lacks an option.
        KeyboardInterrupt: Ctrl-C; nothing is written.
    """
    options = options or BuildOptions()
    monitor = BuildMonitor("engine", progress)
    with monitor.heeding_interrupts():
        network = read_network(onnx_path)
        batch = network.batch_range(options.batch)
        api = _builder_api(backend)
        started = time.perf_counter()
        plan = build_plan(api, network, batch, options, monitor, voice)
        seconds = time.perf_counter() - started
    monitor.complete()
    with atomic_path(plan_path) as temporary:
        temporary.write_bytes(plan.content)
        header = read_plan_header(temporary)
    digest = hashlib.sha256(plan.content).hexdigest()
    capabilities = header.compute_capabilities or _built_for(api)
    record = _record(api, backend, options, plan, digest, capabilities)
    write_record(Path(plan_path), record)
    return EngineBuild(
        path=Path(plan_path),
        backend=backend,
        version=header.version or api.library.__version__,
        compute_capabilities=capabilities,
        sha256=digest,
        size=plan.content.nbytes,
        seconds=seconds,
        network_layers=plan.layers,
        batch=batch,
        options=options,
        optimization_level=plan.level,
        gpu=_gpu_name(api),
        dla=plan.dla,
        warnings=plan.warnings,
        record=record,
    )


def builder_available(
    backend: str, compute_capabilities: tuple[int, ...] = (), version: str | None = None
) -> tuple[bool, str]:
    """Whether this machine can build such engines, and why (not), in one line.

    Args:
        backend: a recipe's backend.
        compute_capabilities: GPU architectures to build for, 86 for SM 8.6; empty for any.
        version: the version that the target runs, as "10.3"; None for any. An engine loads only
            in the version that built it.
    """
    if backend in INTERPRETED:
        return False, f"{backend} runs the ONNX file as it is: there is no engine to build"
    try:
        api = _builder_api(backend)
        api.check_capabilities(compute_capabilities)
    except UnsupportedError as error:
        return False, error.message
    installed: str = api.library.__version__
    if version is not None and not f"{installed}.".startswith(f"{version}."):
        return False, f"the target has {api.title} {version}, this machine {installed}"
    where = "builds without a GPU" if backend == "tensorrt_rtx" else "builds on this GPU"
    return True, f"{api.title} {installed} {where}"


def kernels_told() -> str:
    """What this machine's builders tell of the kernels that they make, in one line."""
    told = []
    for backend in PLAN_BACKENDS:
        try:
            api = _builder_api(backend)
        except UnsupportedError:
            continue
        sms = ", ".join(f"SM{sm}" for sm in api.capabilities())
        told.append(
            f"{api.title} {api.library.__version__} builds for {sms} here, and tells what kernels "
            "the engine has"
        )
    return "; ".join(told) or 'no builder here tells of any: pip install "yolov12edge[rtx]"'


def _record(
    api: BuilderApi,
    backend: PlanBackend,
    options: BuildOptions,
    plan: BuiltPlan,
    digest: str,
    capabilities: tuple[int, ...],
) -> BuildRecord | None:
    """What the builder made of the network, as far as it was asked to tell.

    TensorRT whose log does not tell is asked again: the GPU that can load the plan is this one.
    """
    if options.profiling_verbosity != "detailed":
        return None
    source: Source = "builder log"
    log = plan.log
    if backend == "tensorrt" and not log.layers:
        source, log = "engine inspector", _inspected(plan, api)
    return new_record(source, backend, api.library.__version__, capabilities, digest, log)


def _inspected(plan: BuiltPlan, api: BuilderApi) -> BuildLog:
    """What TensorRT's inspector tells of the new plan, since the GPU it is for is this one."""
    try:
        text = engine_information(plan.content, "the new plan", "tensorrt", api.library)
        layers = json.loads(text, strict=False)["Layers"]
    except (EdgeError, AttributeError, KeyError, TypeError, ValueError) as error:
        return BuildLog(unread=f"the engine inspector cannot be asked: {error}")
    return BuildLog(tuple(layers))


def _builder_api(backend: str) -> BuilderApi:
    if backend == "tensorrt_rtx":
        from yolov12edge.engine.tensorrt_rtx import TensorRTRTX

        return TensorRTRTX()
    if backend == "tensorrt":
        from yolov12edge.engine.tensorrt import TensorRT

        return TensorRT()
    raise UsageError(f"unknown backend {backend!r}", f"use one of: {', '.join(PLAN_BACKENDS)}")


def _built_for(api: BuilderApi) -> tuple[int, ...]:
    gpu = getattr(api, "gpu", None)
    return (gpu.compute_capability,) if gpu is not None else ()


def _gpu_name(api: BuilderApi) -> str | None:
    gpu = getattr(api, "gpu", None)
    return gpu.name if gpu is not None else None
