"""What a benchmark says: bench.json."""

from __future__ import annotations

from typing import Literal

from yolov12edge.bench.environment import Environment
from yolov12edge.bench.profile import Profile
from yolov12edge.bench.settings import Settings
from yolov12edge.bench.state import MachineState
from yolov12edge.documents import Document

Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]


class Latency(Document):
    """Milliseconds of one call, from images in host memory to detections in host memory."""

    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    std: float
    n: int


class Stages(Document):
    """Median milliseconds of the steps around a call; None where a step was not timed.

    Attributes:
        decode: reading and decoding the picture files of one batch.
        letterbox: fitting them to the input.
        copies: pixels to the input's layout and type, and on a GPU to its memory and back.
        infer: the network alone.
        nms: the detections out of its output.
    """

    decode: float | None
    letterbox: float
    copies: float
    infer: float
    nms: float | None

    @property
    def total(self) -> float:
        """The stages that were timed, one after the other."""
        return sum(
            value or 0.0
            for value in (self.decode, self.letterbox, self.copies, self.infer, self.nms)
        )


class Memory(Document):
    """Bytes: the file, and what the process grew by when it was loaded (None if not known)."""

    file: int | None
    loaded: int | None


class Throughput(Document):
    """A window in which `streams` callers ran one after another call without a pause.

    Attributes:
        images_per_second: images done over the window's wall time.
        joules_per_image, images_per_joule, watts: from a power sensor; None without one.
        sensor: which sensor and what it covers.
    """

    streams: int
    seconds: float
    images: int
    images_per_second: float
    watts: float | None = None
    joules_per_image: float | None = None
    images_per_joule: float | None = None
    sensor: str | None = None


class Timing(Document):
    """One artifact's figures.

    Attributes:
        name: as given by the user.
        sha256: of its file, if it is one.
        precision: what most of it computes in, if known.
        input_shape: the runner's (batch or None, 3, height, width).
        warmup: untimed calls before the first timed one.
        quiet_calls: timed calls while nothing slowed the cores; None where nobody looked.
        transfers, cuda_graph, wait: as asked and done; None where the runtime has no such choice.
        throughput: images a second, from the window if there was one, else from the median.
    """

    name: str
    sha256: str | None
    precision: Precision | None
    runtime: str
    version: str
    device: str
    input_shape: tuple[int | None, int, int, int]
    warmup: int
    transfers: bool | None
    cuda_graph: bool | None
    wait: str | None
    latency_ms: Latency
    quiet_calls: int | None = None
    throughput: float
    window: Throughput | None
    stages_ms: Stages
    memory: Memory


class Ratio(Document):
    """Time of an undisturbed call of `name` over that of `baseline`; below 1 is faster.

    `low` and `high` bound the 95% interval; how it is made: `bench.statistics`.
    """

    name: str
    baseline: str
    ratio: float
    low: float
    high: float
    rounds: int

    @property
    def significant(self) -> bool:
        """The interval leaves 1 out."""
        return not self.low <= 1 <= self.high


class Int8Verdict(Document):
    """Whether INT8 is worth its drift: only if it is measurably faster than the float artifact."""

    name: str
    against: str
    ratio: float
    low: float
    high: float
    earned: bool


class BenchReport(Document):
    """bench.json.

    Attributes:
        settings: every choice that changes a figure.
        rounds: in each every artifact is timed once, in a random order.
        pictures: what was looked at.
        artifacts: figures, the baseline first.
        ratios: every other artifact against the baseline; empty unless they took turns.
        int8: INT8 against FP16 (or FP32) in the same runtime, where both were timed.
        verdict: the outcome in one line.
        throttled: why clocks were held down while timing; empty if they were not, or nobody knows.
        before, after: clocks, temperatures and load at both ends.
        environment: where and with what it was measured.
        profiles: time by layer and by block, where it was asked for.
        doubts: why figures may be off: wide intervals, other work on the machine.
        notes: what could not be done as asked.
    """

    schema_version: Literal[1] = 1
    created: str
    settings: Settings
    rounds: int
    pictures: str
    artifacts: tuple[Timing, ...]
    ratios: tuple[Ratio, ...]
    int8: tuple[Int8Verdict, ...]
    verdict: str
    throttled: tuple[str, ...]
    before: MachineState
    after: MachineState
    environment: Environment
    profiles: tuple[Profile, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
