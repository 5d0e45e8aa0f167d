"""bench.json of a device, out of what its C++ program timed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolov12edge.bench import BenchReport, Settings
from yolov12edge.bench.environment import Cpu, Environment, GpuDescription, Jetson
from yolov12edge.bench.report import Latency, Memory, Ratio, Stages, Timing
from yolov12edge.bench.state import MachineState, throttling
from yolov12edge.bench.statistics import paired_ratio
from yolov12edge.bench.verdict import doubts, int8_text, int8_verdicts, verdict
from yolov12edge.errors import DataError
from yolov12edge.pipeline.deploy.findings import split_runtime
from yolov12edge.pipeline.deploy.payload import Model
from yolov12edge.remote.text import plain
from yolov12edge.run.device import DeviceProbe
from yolov12edge.run.manifest import now

MOST_BYTES = 32 << 20
_MOST_CALLS = 1_000_000


def read_bench(
    path: Path,
    models: Sequence[tuple[str, Model]],
    backend: str,
    probe: DeviceProbe,
    settings: Settings,
    states: tuple[MachineState, MachineState],
    cooling: Sequence[str],
) -> BenchReport:
    """The benchmark that a device's `bench` printed.

    Args:
        models: names to show and models, the one that was asked for first, then what it was timed
            in turn with.
        states: before and after.
        cooling: what held clocks down, as the device's kernel says.

    Raises:
        DataError: it is not what `bench` prints.
    """
    timings, times = _read(path, models, backend, probe)
    before, after = states
    # The first is the baseline: what INT8 is held against.
    order = list(reversed(timings))
    int8 = int8_verdicts(order, times)
    ratios = _ratios(order, times)
    # The cooling devices that `throttling` looks for are this machine's own: none of them counts.
    held_down = (*throttling(before, after, Path("/nonexistent")), *cooling)
    return BenchReport(
        created=now(),
        settings=settings,
        rounds=len(next(iter(times.values()), ())) or order[0].latency_ms.n,
        pictures="noise",
        artifacts=tuple(order),
        ratios=tuple(ratios),
        int8=int8,
        verdict="; ".join([verdict(order, times), *(int8_text(one, order) for one in int8)]),
        throttled=held_down,
        before=before,
        after=after,
        environment=_environment(probe, order),
        doubts=(*doubts(order, ratios), *_busy(before, probe)),
        notes=("timed by the bundle's C++ program on the device",),
    )


def _busy(before: MachineState, probe: DeviceProbe) -> list[str]:
    load = before.load_average
    if load is None or load <= probe.cores / 2:
        return []
    return [f"the device was busy (load average {load:.1f}): trust ratios, not times"]


def _read(
    path: Path, models: Sequence[tuple[str, Model]], backend: str, probe: DeviceProbe
) -> tuple[list[Timing], dict[str, list[float]]]:
    """Figures of each model, and its times in the rounds; no times of a model alone."""
    try:
        document = json.loads(path.read_text("utf-8"))
        parts = [document, *([document["against"]] if len(models) > 1 else [])]
        stages = document["stages_ms"]
        timings = [
            _timing(name, model, part, backend, probe, stages)
            for (name, model), part in zip(models, parts, strict=True)
        ]
        if len(models) == 1:
            return timings, {}
        named = zip(models, parts, strict=True)
        return timings, {name: _times(part["times_ms"]) for (name, _), part in named}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"what the device timed cannot be read: {plain(str(error))[:200]}",
            "run the same command again; bench.log in the device's folder has what it said",
        ) from error


def _ratios(order: Sequence[Timing], times: Mapping[str, Sequence[float]]) -> list[Ratio]:
    if len(order) < 2:
        return []
    base, other = order[0].name, order[1].name
    ratio = paired_ratio(other, base, times[other], times[base])
    return [] if ratio is None else [ratio]


def _timing(
    name: str, model: Model, part: Any, backend: str, probe: DeviceProbe, stages: Any
) -> Timing:
    text = plain(str(part["runtime"]))[:200]
    runtime, version = split_runtime(text, backend)
    latency = Latency.model_validate(
        {field: part["latency_ms"][field] for field in Latency.model_fields}
    )
    if not all(math.isfinite(value) and value >= 0 for value in latency.model_dump().values()):
        raise ValueError("times that are none")
    return Timing(
        name=name,
        sha256=model.sha256,
        precision=model.precision,
        runtime=runtime,
        version=version,
        device=probe.gpu or probe.title,
        input_shape=tuple(part["input_shape"]),
        warmup=part["warmup"],
        transfers=None,
        cuda_graph=None,
        wait=None,
        latency_ms=latency,
        throughput=part["throughput"],
        window=None,
        stages_ms=Stages(
            decode=None,
            letterbox=stages["preprocess"],
            copies=0.0,
            infer=latency.p50,
            nms=stages["postprocess"],
        ),
        memory=Memory(file=model.size, loaded=None),
    )


def _times(values: Any) -> list[float]:
    times = [float(value) for value in values]
    if not 0 < len(times) <= _MOST_CALLS or not all(0 < one < math.inf for one in times):
        raise ValueError("times that are none")
    return times


def _environment(probe: DeviceProbe, timings: Sequence[Timing]) -> Environment:
    gpus: tuple[GpuDescription, ...] = ()
    if probe.gpu is not None:
        gpus = (
            GpuDescription(
                name=probe.gpu,
                compute_capability=probe.compute_capability,
                driver=probe.driver,
                memory=None,
            ),
        )
    jetson = None
    if probe.l4t is not None or re.search("jetson", probe.board or "", re.IGNORECASE):
        release = " ".join(
            filter(None, (f"L4T {probe.l4t}" if probe.l4t else "", f"JetPack {probe.jetpack}"))
        )
        jetson = Jetson(model=probe.board, release=release, power_mode=probe.power_mode)
    return Environment(
        system=f"{probe.system}, {probe.kernel}",
        python=None,
        cpu=Cpu(
            model=probe.processor or probe.architecture,
            cores=None,
            logical=probe.cores,
            available=probe.cores,
            governor=probe.governor,
        ),
        memory=probe.memory or 0,
        gpus=gpus,
        jetson=jetson,
        libraries={timings[0].runtime: timings[0].version},
        omp_num_threads=None,
    )
