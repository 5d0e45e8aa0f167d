"""How long each layer of a loaded model takes, as its runtime measures it.

Every runtime times layers with events or clocks around each, which costs time itself and keeps
layers from overlapping: their sum is more than a call takes. Shares are what they are good for.
Layers of equal names are told apart by their place, which is the same in every run.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from yolov12edge.errors import UnsupportedError
from yolov12edge.libraries import load_onnxruntime
from yolov12edge.runtime.layer_names import nodes_of
from yolov12edge.runtime.onnxruntime_providers import CPU, GPU_RUNTIMES, gpu_providers
from yolov12edge.runtime.openvino import OpenVinoRunner
from yolov12edge.runtime.plan_engine import PlanEngine
from yolov12edge.runtime.runner import FloatArray

_KERNEL_TIME = re.compile(r"(_nchwc)?_kernel_time$")
_WARMUPS = 3
# How OpenVINO's kernels are named where there may be none: views, inputs and outputs.
_WITHOUT_KERNEL = "unknown"


@dataclass(frozen=True)
class LayerTimes:
    """One layer of a runtime.

    Attributes:
        name: the runtime's.
        kind: what the runtime calls its operation, or the kernel it chose.
        nodes: graph nodes it was made of.
        milliseconds: of every run.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    milliseconds: tuple[float, ...]


def time_onnxruntime_layers(
    path: Path,
    images: FloatArray,
    runs: int,
    threads: int | None = None,
    runtime: str = "onnxruntime",
) -> list[LayerTimes]:
    """Layers of an .onnx file in ONNX Runtime, in the order they run.

    Args:
        path: the file.
        images: one call's (B, 3, H, W) input.
        runs: calls to time, after a few that are not.
        threads: CPU threads; ONNX Runtime's own choice if None.
        runtime: "onnxruntime", or one of its GPU providers.

    Raises:
        UnsupportedError: ONNX Runtime is not installed, or lacks that provider.
    """
    onnxruntime = load_onnxruntime()
    providers = [CPU]
    if runtime in GPU_RUNTIMES:
        providers = gpu_providers(runtime, path, onnxruntime.get_available_providers())

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        if threads is not None:
            options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        entry = session.get_inputs()[0]
        half = entry.type == "tensor(float16)"
        feed = {entry.name: images.astype("float16" if half else "float32", copy=False)}
        for _ in range(_WARMUPS + runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    return _from_events(events, runs)


def _from_events(events: list[dict[str, Any]], runs: int) -> list[LayerTimes]:
    """The last `runs` runs of every node in ONNX Runtime's trace; "dur" is in microseconds."""
    kinds: dict[str, str] = {}
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = _KERNEL_TIME.sub("", event["name"])
            # Nodes that the runtime put in share a name: their number tells them apart.
            arguments = event.get("args", {})
            key = name if "/" in name else f"{name} #{arguments.get('node_index', '')}"
            kinds.setdefault(key, str(arguments.get("op_name", "")))
            times[key].append(event["dur"] / 1e3)
    return [
        LayerTimes(name, kinds[name], nodes_of(name), tuple(found[-runs:]))
        for name, found in times.items()
    ]


def time_openvino_layers(
    path: Path,
    images: FloatArray,
    runs: int,
    threads: int | None = None,
    size: tuple[int, int] | None = None,
) -> list[LayerTimes]:
    """Layers of an .onnx file in OpenVINO that were run, in the order they run.

    Args:
        path: the file.
        images: one call's (B, 3, H, W) input.
        runs: calls to time, after a few that are not.
        threads: CPU threads; OpenVINO's own choice if None.
        size: (height, width) where the file leaves it open.
    """
    with OpenVinoRunner(path, threads, size, profile=True) as runner:
        for _ in range(_WARMUPS):
            runner.layer_times(images)
        found = [runner.layer_times(images) for _ in range(runs)]
    layers = [
        LayerTimes(name, kind, nodes_of(name), tuple(run[place][2] for run in found))
        for place, (name, kind, _) in enumerate(found[-1])
    ]
    return [
        layer
        for layer in layers
        if any(layer.milliseconds) or not layer.kind.startswith(_WITHOUT_KERNEL)
    ]


def time_plan_layers(engine: PlanEngine, images: FloatArray, runs: int) -> list[LayerTimes]:
    """Layers of a plan, by TensorRT's IProfiler, in the order they run.

    Args:
        engine: the loaded plan.
        images: at most its largest batch.
        runs: calls to time, after a few that are not.

    Raises:
        UnsupportedError: the library reports no layers.
    """
    profiler = _profiler(engine.library)
    context = engine.context()
    try:
        for _ in range(_WARMUPS):
            context(images)
        context.attach_profiler(profiler)
        for _ in range(runs):
            profiler.begin()
            context(images)
    finally:
        context.close()
    if not profiler.runs or not profiler.runs[-1]:
        raise UnsupportedError(
            f"{engine.title} {engine.version} reports no layer times", "use trtexec --exportProfile"
        )
    return [
        LayerTimes(name, "", nodes_of(name), tuple(run[place][1] for run in profiler.runs))
        for place, (name, _) in enumerate(profiler.runs[-1])
    ]


def _profiler(library: ModuleType) -> Any:
    """A listener of the library's own kind that keeps (layer, milliseconds) of every run."""

    class Profiler(library.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.runs: list[list[tuple[str, float]]] = []

        def begin(self) -> None:
            self.runs.append([])

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            if self.runs:
                self.runs[-1].append((layer_name, ms))

    return Profiler()
