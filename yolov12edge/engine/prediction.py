"""How long an engine would take on a GPU: predicted from its kernels, measured by nobody.

A roofline by kernel (Williams, Waterman, Patterson, "Roofline", 2009): the longer of moving its
bytes and of its multiply-adds, after a time that every kernel takes whatever it does. Two figures
are fitted, to the five latencies that YOLOv12's authors published for an NVIDIA T4 (v1.0, n to x,
TensorRT 10, FP16): OVERHEAD_CYCLES and PEAK_SHARE; `benchmarks/prediction.py` fits them again and
sets the predictions beside all other published figures. The others are from the literature or
assumed, and say so.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from yolov12edge.documents import Document
from yolov12edge.engine.inspection_layers import EngineLayer
from yolov12edge.engine.traffic import Traffic, traffic_of
from yolov12edge.engine.work import NotTold, Work, runs, work_of
from yolov12edge.run.gpus import Gpu
from yolov12edge.runtime.layer_names import block_order

Bound = Literal["launch", "memory", "compute"]

# Fitted: what a kernel takes beyond its bytes and operations, to start, fill, drain and to leave
# multiprocessors idle; and the share of the peak rate that convolutions and products reach.
OVERHEAD_CYCLES = 8000
PEAK_SHARE = 0.6
# Assumed: the share of the memory's rate that kernels reach. 0.69 is measured on a T4 (Jia et al.,
# "Dissecting the NVidia Turing T4 GPU via Microbenchmarking", 2019), around 0.9 on later GPUs.
MEMORY_SHARE = 0.8
# Measured on a T4 (same source: 1270 GB/s), assumed for the others.
CACHE_BYTES_PER_CLOCK = 20
# Assumed: a product is cut into tiles, one for a multiprocessor at a time, and the builder chooses
# the sides that are done first. The largest reaches PEAK_SHARE; a smaller one loads more for each
# multiply-add, and is slower by as much.
_SIDES = (128, 64, 32, 16)
_TILES = tuple(
    (rows, columns, (rows * columns / (rows + columns)) / (_SIDES[0] / 2))
    for rows in _SIDES
    for columns in _SIDES
)
# Least and largest of predicted over published times (docs/bench.md).
SEEN_RATIOS = (0.61, 1.63)

LEFT_OUT = (
    "copies to the GPU and back, and the host's work",
    "kernels of several streams running at once: times are added up",
    "clocks below the boost clock, for power or heat",
    "exponentials and other element-wise work, and reading a tensor more than once",
    "TF32, and which tactic was chosen",
)


class KernelTime(Document):
    """One kernel, in microseconds.

    Attributes:
        launch_us: what every kernel takes.
        memory_us, compute_us: its bytes and its operations, which overlap.
        bound: the longest of the three.
        mover: see EngineLayer.
    """

    name: str
    block: str
    mover: bool
    launch_us: float
    memory_us: float
    compute_us: float
    bound: Bound

    @property
    def us(self) -> float:
        """What it takes in all."""
        return self.launch_us + max(self.memory_us, self.compute_us)


class BlockTime(Document):
    """The kernels of one block of the network."""

    block: str
    kernels: int
    predicted_ms: float


class Prediction(Document):
    """Predicted milliseconds of one run of an engine on one GPU.

    Attributes:
        gpu, gpu_title: the GPU by its name in the table, and in words.
        sm: its compute capability.
        predicted_ms: one run; the sum of the next three.
        launch_ms: what kernels take whatever they do.
        memory_ms, compute_ms: the rest, of kernels that wait longer for the one or the other.
        kernels, movers: how many, see EngineLayer.mover.
        movers_ms: the movers' part of predicted_ms.
        memory_bytes, cache_bytes: touched in the GPU's memory and in its cache.
        operations: two for each multiply-add.
        assumed: figures of this GPU that nobody published.
        left_out: what the prediction knows nothing of.
        seen_ratios: least and largest of predictions over times that others published.
    """

    kind: Literal["prediction"] = "prediction"
    gpu: str
    gpu_title: str
    sm: int
    predicted_ms: float
    launch_ms: float
    memory_ms: float
    compute_ms: float
    kernels: int
    movers: int
    movers_ms: float
    memory_bytes: int
    cache_bytes: int
    operations: int
    assumed: tuple[str, ...]
    left_out: tuple[str, ...] = LEFT_OUT
    seen_ratios: tuple[float, float] = SEEN_RATIOS
    blocks: tuple[BlockTime, ...]
    layers: tuple[KernelTime, ...]


class NotPredicted(Document):
    """There is no prediction, and why."""

    kind: Literal["not predicted"] = "not predicted"
    reason: str


def predict_time(
    layers: Sequence[EngineLayer],
    gpu: Gpu,
    *,
    overhead_cycles: float = OVERHEAD_CYCLES,
    peak_share: float = PEAK_SHARE,
) -> Prediction | NotPredicted:
    """Predict one run of an engine.

    Args:
        layers: the engine's, in the order they run, with the shapes and types of their tensors.
        gpu: where it would run.
        overhead_cycles: GPU cycles that every kernel takes.
        peak_share: share of the peak rate that multiply-adds reach, 0 to 1.
    """
    kernels = [layer for layer in layers if runs(layer)]
    if not kernels:
        return NotPredicted(reason="there are no kernels")
    works: list[Work] = []
    silent: Counter[str] = Counter()
    for kernel in kernels:
        try:
            works.append(_known_type(work_of(kernel)))
        except NotTold as error:
            silent[str(error)] += 1
    if silent:
        reason, count = silent.most_common(1)[0]
        return NotPredicted(reason=f"{count} of {len(kernels)} kernels {reason}")
    traffic = traffic_of(kernels, gpu.l2_mib * 2**20)
    launch = overhead_cycles / (gpu.clock_ghz * 1e3)
    times = [
        _time(kernel, work, moved, gpu, launch, peak_share)
        for kernel, work, moved in zip(kernels, works, traffic, strict=True)
    ]
    return _summed(times, works, traffic, gpu)


def _known_type(work: Work) -> Work:
    if work.multiply_adds and work.dtype not in ("fp32", "fp16", "bf16", "int8"):
        raise NotTold(f"multiply a type whose rate is not known ({work.dtype})")
    return work


def _time(
    kernel: EngineLayer, work: Work, moved: Traffic, gpu: Gpu, launch: float, peak_share: float
) -> KernelTime:
    cache_rate = CACHE_BYTES_PER_CLOCK * gpu.sms * gpu.clock_ghz
    memory = moved.memory / (MEMORY_SHARE * gpu.memory_gb_s * 1e3) + moved.cache / (
        cache_rate * 1e3
    )
    compute = 0.0
    if work.multiply_adds:
        rate = _rate(work, gpu) * peak_share * _filled(work, gpu.sms)
        compute = 2 * work.multiply_adds / (rate * 1e6)
    parts: dict[Bound, float] = {"launch": launch, "memory": memory, "compute": compute}
    return KernelTime(
        name=kernel.name,
        block=kernel.block,
        mover=kernel.mover,
        launch_us=launch,
        memory_us=memory,
        compute_us=compute,
        bound=max(parts, key=lambda part: parts[part]),
    )


def _rate(work: Work, gpu: Gpu) -> float:
    """Peak rate in 1e12 operations a second."""
    if work.unit == "cuda cores" or work.dtype == "fp32":
        return gpu.fp32_tflops
    return gpu.int8_tops if work.dtype == "int8" else gpu.fp16_tflops


def _filled(work: Work, sms: int) -> float:
    """Share of PEAK_SHARE that a product reaches for its size: waves, padding and small tiles."""
    if work.unit == "cuda cores":
        return 1.0
    spent = min(
        math.ceil(
            math.ceil(work.rows / rows) * math.ceil(work.columns / columns) * work.groups / sms
        )
        * (rows * columns / share)
        for rows, columns, share in _TILES
    )
    return work.rows * work.columns * work.groups / (spent * sms)


def _summed(
    times: Sequence[KernelTime], works: Sequence[Work], traffic: Sequence[Traffic], gpu: Gpu
) -> Prediction:
    blocks: dict[str, list[KernelTime]] = defaultdict(list)
    for time in times:
        blocks[time.block].append(time)
    by_memory = [time.memory_us for time in times if time.memory_us >= time.compute_us]
    by_compute = [time.compute_us for time in times if time.memory_us < time.compute_us]
    return Prediction(
        gpu=gpu.name,
        gpu_title=gpu.title,
        sm=gpu.sm,
        predicted_ms=_ms(times),
        launch_ms=sum(time.launch_us for time in times) / 1e3,
        memory_ms=sum(by_memory) / 1e3,
        compute_ms=sum(by_compute) / 1e3,
        kernels=len(times),
        movers=sum(time.mover for time in times),
        movers_ms=_ms([time for time in times if time.mover]),
        memory_bytes=sum(moved.memory for moved in traffic),
        cache_bytes=sum(moved.cache for moved in traffic),
        operations=sum(2 * work.multiply_adds for work in works),
        assumed=gpu.assumed,
        blocks=tuple(
            BlockTime(block=block, kernels=len(group), predicted_ms=_ms(group))
            for block, group in sorted(blocks.items(), key=lambda item: block_order(item[0]))
        ),
        layers=tuple(times),
    )


def _ms(times: Sequence[KernelTime]) -> float:
    return sum(time.us for time in times) / 1e3
