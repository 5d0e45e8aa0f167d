"""What a benchmark says: bench.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from yolov12edge.bench.environment import Environment


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(_Part):
    """Milliseconds of one call, from images in host memory to detections in host memory."""

    min: float
    mean: float
    p50: float
    p90: float
    p99: float
    std: float
    n: int


class Stages(_Part):
    """Median milliseconds of each stage for one batch; None where a stage was not measured."""

    preprocess: float | None
    infer: float
    postprocess: float | None


class Memory(_Part):
    """Bytes: the file, and what the process grew by while loading it.

    The first artifact that a runtime loads brings the runtime's own libraries along.
    """

    file: int | None
    loaded: int | None


class Timing(_Part):
    """One artifact's figures.

    Attributes:
        name: as given on the command line.
        sha256: of the file that was timed, so that its drift report can be matched.
        runtime: what ran it, and its version.
        device: where it ran.
        input_shape: (batch or None, 3, height, width) of the artifact.
        warmup: calls before the clock started.
        latency_ms: of one call with `batch` images.
        throughput: images a second at the median latency.
        stages_ms: preprocess, infer, postprocess of one batch.
        memory: see Memory.
    """

    name: str
    sha256: str | None
    runtime: str
    version: str
    device: str
    input_shape: tuple[int | None, int, int, int]
    warmup: int
    latency_ms: Latency
    throughput: float
    stages_ms: Stages
    memory: Memory


class Ratio(_Part):
    """Latency of `name` over that of `baseline`, from paired rounds; below 1 is faster.

    `low` and `high` bound the bootstrap 95% interval.
    """

    name: str
    baseline: str
    ratio: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """The interval leaves 1 out."""
        return not self.low <= 1 <= self.high


class BenchReport(_Part):
    """bench.json.

    Attributes:
        batch: images a call.
        rounds: interleaved rounds; each times every artifact in a random order.
        seed: of that order, of the bootstrap and of generated pictures.
        pictures: what was looked at.
        artifacts: figures, the baseline first.
        ratios: every other artifact against the baseline.
        verdict: the outcome in one line.
        environment: where and with what it was measured.
    """

    schema_version: Literal[1] = 1
    created: str
    batch: int
    rounds: int
    seed: int
    pictures: str
    artifacts: tuple[Timing, ...]
    ratios: tuple[Ratio, ...]
    verdict: str
    environment: Environment
