"""Time artifacts side by side: warmed up, interleaved, paired."""

from __future__ import annotations

import contextlib
import datetime
import gc
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov12edge.bench.environment import describe_environment
from yolov12edge.bench.report import BenchReport, Memory, Ratio, Stages, Timing
from yolov12edge.bench.statistics import paired_ratio, settled, summarize
from yolov12edge.data import Letterbox, to_batch
from yolov12edge.errors import UsageError
from yolov12edge.files import sha256_file
from yolov12edge.runtime.runner import FloatArray, Runner

Picture = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]
Clock = Callable[[], float]

BURST = 5
FEWEST_ROUNDS = 5
MOST_WARMUPS = 50
STAGE_RUNS = 10
MOST_BATCHES = 8
GENERATED_HEIGHT, GENERATED_WIDTH = 480, 640


@dataclass(frozen=True)
class Contender:
    """One artifact to time.

    Attributes:
        name: shown in the report.
        runner: runs it.
        letterbox: how pictures are fitted to it; None is the usual one at its size.
        path: its file.
        loaded: bytes that the process grew by while loading it.
    """

    name: str
    runner: Runner
    letterbox: Letterbox | None = None
    path: Path | None = None
    loaded: int | None = None


def measure(
    contenders: Mapping[str, Runner] | Sequence[Contender],
    pictures: Sequence[Picture] | None = None,
    *,
    batch: int = 1,
    duration: float = 5.0,
    runs: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    postprocess: Callable[[FloatArray], object] | None = None,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> BenchReport:
    """Time every contender in the same rounds; the first one is the baseline.

    A round times each contender in a random order, after one untimed call, `BURST` times: the
    untimed call absorbs the other's threads and caches, the round's median is paired with the
    baseline's. A call goes from images in host memory to detections in host memory.

    Args:
        contenders: named runners, or Contender with more to say.
        pictures: RGB uint8 (h, w, 3) to look at; None generates noise from `seed`.
        batch: images a call.
        duration: seconds to spend on each contender, when `runs` is None.
        runs: timed calls of each contender, rounded up to whole rounds.
        seed: of the order, the bootstrap and generated pictures.
        threads: what the runners were asked to use; only recorded.
        postprocess: takes one call's (B, 4 + classes, A) output; timed as the third stage.
        progress: called with (label, done, total).
        clock: seconds, for tests.

    Raises:
        UsageError: nothing to time, a name twice, or a number that makes no sense.
    """
    entries = _entries(contenders)
    if batch < 1 or duration <= 0 or (runs is not None and runs < 1):
        raise UsageError(
            "batch and runs start at 1 and the duration is more than 0",
            "see: yolov12edge bench --help",
        )
    rng = np.random.default_rng(seed)
    shown = list(pictures) if pictures else _generated(rng)
    tracks = [_Track(entry, _batches(entry, shown, batch), clock) for entry in entries]
    environment = describe_environment(threads)
    with _without_garbage_collection():
        for done, track in enumerate(tracks):
            _report(progress, "warm-up", done, len(tracks))
            track.warm_up()
        _report(progress, "warm-up", len(tracks), len(tracks))
        rounds = _run_rounds(tracks, rng, duration, runs, clock, progress)
        timings = tuple(_timing(track, batch, shown, postprocess) for track in tracks)
    ratios = tuple(
        paired_ratio(track.name, tracks[0].name, track.rounds, tracks[0].rounds, seed)
        for track in tracks[1:]
    )
    return BenchReport(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        batch=batch,
        rounds=rounds,
        seed=seed,
        pictures=f"images: {len(shown)}" if pictures else f"noise from seed {seed}",
        artifacts=timings,
        ratios=ratios,
        verdict=_verdict(timings, ratios, tracks, seed),
        environment=environment,
    )


class _Track:
    """One contender's course through the rounds."""

    def __init__(self, entry: Contender, batches: list[FloatArray], clock: Clock) -> None:
        self.entry = entry
        self.name = entry.name
        self.times: list[float] = []
        self.rounds: list[float] = []
        self.warmup = 0
        self._batches = itertools.cycle(batches)
        self._clock = clock

    def call(self) -> float:
        """One call; returns its milliseconds."""
        images = next(self._batches)
        start = self._clock()
        self.output = self.entry.runner(images)
        return (self._clock() - start) * 1e3

    def warm_up(self) -> None:
        """Call until the times settle, at most MOST_WARMUPS times."""
        times: list[float] = []
        while len(times) < MOST_WARMUPS and not settled(times):
            times.append(self.call())
        self.warmup = len(times)

    def round(self) -> None:
        """One untimed call, then BURST timed ones."""
        self.call()
        burst = [self.call() for _ in range(BURST)]
        self.times += burst
        self.rounds.append(float(np.median(burst)))


def _entries(contenders: Mapping[str, Runner] | Sequence[Contender]) -> list[Contender]:
    if isinstance(contenders, Mapping):
        entries = [Contender(name, runner) for name, runner in contenders.items()]
    else:
        entries = list(contenders)
    names = [entry.name for entry in entries]
    if not names or len(set(names)) < len(names):
        raise UsageError(
            "nothing to time, or the same artifact twice", "pass different artifacts to bench"
        )
    return entries


def _generated(rng: np.random.Generator) -> list[Picture]:
    shape = (GENERATED_HEIGHT, GENERATED_WIDTH, 3)
    return [rng.integers(0, 256, shape, np.uint8) for _ in range(2)]


def _letterbox(entry: Contender) -> Letterbox:
    return entry.letterbox or Letterbox(*entry.runner.input_shape[2:])


def _batches(entry: Contender, pictures: list[Picture], batch: int) -> list[FloatArray]:
    """Up to MOST_BATCHES different inputs; pictures repeat where there are too few."""
    letterbox = _letterbox(entry)
    wanted = min(MOST_BATCHES, max(1, -(-len(pictures) // batch))) * batch
    fitted = [letterbox(picture)[0] for picture in pictures[:wanted]]
    stream = itertools.islice(itertools.cycle(fitted), wanted)
    images = list(stream)
    return [to_batch(images[start : start + batch]) for start in range(0, wanted, batch)]


def _run_rounds(
    tracks: list[_Track],
    rng: np.random.Generator,
    duration: float,
    runs: int | None,
    clock: Clock,
    progress: Progress | None,
) -> int:
    """Run rounds until there are enough; returns how many."""
    start = clock()
    done = 0
    while True:
        for index in rng.permutation(len(tracks)):
            tracks[index].round()
        done += 1
        if runs is not None:
            wanted = -(-runs // BURST)
        else:
            pace = max(clock() - start, 1e-9) / done
            wanted = max(FEWEST_ROUNDS, int(duration * len(tracks) / pace))
        _report(progress, "rounds", min(done, wanted), wanted)
        if done >= wanted:
            return done


def _timing(
    track: _Track,
    batch: int,
    pictures: list[Picture],
    postprocess: Callable[[FloatArray], object] | None,
) -> Timing:
    entry, runner = track.entry, track.entry.runner
    latency = summarize(track.times)
    letterbox = _letterbox(entry)
    some = list(itertools.islice(itertools.cycle(pictures), batch))
    output = track.output
    return Timing(
        name=entry.name,
        sha256=sha256_file(entry.path) if entry.path else None,
        runtime=runner.name,
        version=runner.version,
        device=runner.device,
        input_shape=runner.input_shape,
        warmup=track.warmup,
        latency_ms=latency,
        throughput=batch * 1e3 / latency.p50,
        stages_ms=Stages(
            preprocess=_median_ms(
                lambda: to_batch([letterbox(picture)[0] for picture in some]), track
            ),
            infer=latency.p50,
            postprocess=_median_ms(lambda: postprocess(output), track) if postprocess else None,
        ),
        memory=Memory(file=entry.path.stat().st_size if entry.path else None, loaded=entry.loaded),
    )


def _median_ms(stage: Callable[[], object], track: _Track) -> float:
    times = []
    for _ in range(STAGE_RUNS + 1):
        start = track._clock()
        stage()
        times.append((track._clock() - start) * 1e3)
    return float(np.median(times[1:]))


def _verdict(
    timings: tuple[Timing, ...], ratios: tuple[Ratio, ...], tracks: list[_Track], seed: int
) -> str:
    """The fastest, and against the baseline (or the runner-up, if the baseline is the fastest)."""
    ranked = sorted(timings, key=lambda timing: timing.latency_ms.p50)
    first = ranked[0]
    if len(ranked) == 1:
        return (
            f"{first.name}: median {first.latency_ms.p50:.1f} ms, {first.throughput:.1f} images/s"
        )
    rounds = {track.name: track.rounds for track in tracks}
    other = tracks[0].name if first.name != tracks[0].name else ranked[1].name
    ratio = paired_ratio(first.name, other, rounds[first.name], rounds[other], seed)
    if not ratio.significant:
        return (
            f"no measurable difference between {first.name} and {other} "
            f"(ratio {ratio.ratio:.3f}, 95% interval {ratio.low:.3f} to {ratio.high:.3f})"
        )
    return (
        f"fastest: {first.name}, {1 / ratio.ratio:.2f} times as fast as {other} "
        f"(95% interval {1 / ratio.high:.2f} to {1 / ratio.low:.2f})"
    )


def _report(progress: Progress | None, label: str, done: int, total: int) -> None:
    if progress is not None:
        progress(label, done, total)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep Python's collector from running inside a timed call."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
