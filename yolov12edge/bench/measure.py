"""Time artifacts side by side: warmed up, in turn, call by call."""

from __future__ import annotations

import contextlib
import datetime
import functools
import gc
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from yolov12edge.bench.contender import Clock, Contender, Track, on_gpu
from yolov12edge.bench.cores import Cores
from yolov12edge.bench.environment import describe_environment
from yolov12edge.bench.power import find_meter
from yolov12edge.bench.report import BenchReport, Memory, Ratio, Throughput, Timing
from yolov12edge.bench.settings import Settings
from yolov12edge.bench.stages import Picture, time_stages
from yolov12edge.bench.state import MachineState, read_state, throttling
from yolov12edge.bench.statistics import certain, enough_quiet, paired_ratio, summarize
from yolov12edge.bench.throughput import measure_throughput
from yolov12edge.bench.verdict import doubts, int8_text, int8_verdicts, verdict
from yolov12edge.data import Letterbox, to_batch
from yolov12edge.errors import UsageError
from yolov12edge.files import sha256_file
from yolov12edge.runtime.runner import FloatArray, Runner
from yolov12edge.voice import Progress, no_progress

MOST_BATCHES = 8
GENERATED_HEIGHT, GENERATED_WIDTH = 480, 640


def measure(
    contenders: Mapping[str, Runner] | Sequence[Contender],
    pictures: Sequence[Picture] | None = None,
    settings: Settings | None = None,
    *,
    files: Sequence[Path] = (),
    postprocess: Callable[[FloatArray], object] | None = None,
    progress: Progress = no_progress,
    cores: Cores | None = None,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> BenchReport:
    """Time every contender in the same rounds; the first one is the baseline.

    A round calls each contender once, in a random order. Before it there is a rest, in which the
    others' threads fall asleep, and an untimed call, which fills caches. A call goes from images
    in host memory to detections in host memory, unless the settings leave transfers out. Rounds go
    on, as far as the settings' patience goes, until all ratios are certain and enough calls fell
    into times in which nothing slowed the cores. How ratios are made of the rounds:
    `bench.statistics`.

    Args:
        contenders: named runners, or Contender with more to say.
        pictures: RGB uint8 (h, w, 3) to look at; None generates noise from the seed.
        settings: how to time; the defaults if None.
        files: the pictures' files, on which decoding is timed.
        postprocess: takes one call's (B, 4 + classes, A) output; timed as the last stage.
        progress: called with (label, done, total).
        cores: looked at before each turn, where artifacts that run on the CPU take turns.
        clock: seconds, for tests.
        sleep: waits so many seconds, for tests.

    Raises:
        UsageError: nothing to time, or a name twice.
    """
    settings = settings or Settings()
    rng = np.random.default_rng(settings.seed)
    shown = list(pictures) if pictures else _generated(rng)
    tracks = [
        Track(entry, _batches(entry, shown, settings.batch), settings, clock)
        for entry in _entries(contenders)
    ]
    before = read_state()
    with _without_garbage_collection():
        _warm_up(tracks, progress)
        if settings.interleaved:
            cores = cores if len(tracks) > 1 and _on_cpu(tracks) else None
            rest = functools.partial(sleep, settings.rest_ms / 1e3 if _on_cpu(tracks) else 0.0)
            rounds = _in_turn(tracks, rng, settings, clock, progress, rest, cores)
        else:
            cores = None
            rounds = max(_alone(track, settings, clock, progress) for track in tracks)
        after = read_state()
        throttled = throttling(before, after)
        timings = tuple(
            _timing(track, shown, files, postprocess, _window(track), cores) for track in tracks
        )
    looked_at = f"images: {len(shown)}" if pictures else f"noise from seed {settings.seed}"
    return _report(tracks, timings, settings, rounds, looked_at, before, after, throttled)


def _report(
    tracks: Sequence[Track],
    timings: tuple[Timing, ...],
    settings: Settings,
    rounds: int,
    looked_at: str,
    before: MachineState,
    after: MachineState,
    throttled: Sequence[str],
) -> BenchReport:
    """What was timed, what follows from it, and how far it can be trusted."""
    times = {track.name: track.times for track in tracks} if settings.interleaved else {}
    int8 = int8_verdicts(timings, times)
    ratios = _ratios(times)
    return BenchReport(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        settings=settings,
        rounds=rounds,
        pictures=looked_at,
        artifacts=timings,
        ratios=ratios,
        int8=int8,
        verdict="; ".join([verdict(timings, times), *(int8_text(one, timings) for one in int8)]),
        throttled=tuple(throttled),
        before=before,
        after=after,
        environment=describe_environment(),
        doubts=tuple(doubts(timings, ratios, before.load_average)),
        notes=tuple(track.note for track in tracks if track.note),
    )


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
    images = list(itertools.islice(itertools.cycle(fitted), wanted))
    return [to_batch(images[start : start + batch]) for start in range(0, wanted, batch)]


def _warm_up(tracks: Sequence[Track], progress: Progress) -> None:
    for done, track in enumerate(tracks):
        progress("warm-up", done, len(tracks))
        track.warm_up()
    progress("warm-up", len(tracks), len(tracks))


def _in_turn(
    tracks: list[Track],
    rng: np.random.Generator,
    settings: Settings,
    clock: Clock,
    progress: Progress,
    rest: Callable[[], None],
    cores: Cores | None,
) -> int:
    """Rounds of one timed call each until there are enough; returns how many."""
    start = clock()
    several = len(tracks) > 1
    done = 0
    limit: float | None = None
    while True:
        for index in rng.permutation(len(tracks)):
            if several:
                rest()
            if cores is not None:
                tracks[index].looks.append(len(cores))
                cores.look()
            tracks[index].turn(settle=several)
        done += 1
        pace = (clock() - start) / done
        wanted = _wanted(settings, pace / len(tracks))
        if done < wanted:
            progress("rounds", done, wanted)
            continue
        spent = clock() - start
        limit = limit or spent * settings.patience
        good = _certain(tracks) and _quiet_enough(tracks, cores)
        if settings.runs is not None or spent >= limit or good:
            progress("rounds", done, done)
            return done
        progress("rounds, until ratios are certain", done, int(done * limit / spent))


def _certain(tracks: Sequence[Track]) -> bool:
    """Whether the interval of every ratio is narrow."""
    return all(map(certain, _ratios({track.name: track.times for track in tracks})))


def _quiet_enough(tracks: Sequence[Track], cores: Cores | None) -> bool:
    """Whether the calls that make the ratios can all have been left alone."""
    return cores is None or all(
        enough_quiet(len(track.times), _quiet_calls(track, cores)) for track in tracks
    )


def _quiet_calls(track: Track, cores: Cores) -> int:
    return int(cores.quiet()[track.looks].sum())


def _on_cpu(tracks: Sequence[Track]) -> bool:
    return any(not on_gpu(track.entry.runner) for track in tracks)


def _alone(track: Track, settings: Settings, clock: Clock, progress: Progress) -> int:
    """One contender's calls, back to back; returns how many."""
    start = clock()
    while True:
        track.turn(settle=False)
        done = len(track.times)
        wanted = _wanted(settings, (clock() - start) / done)
        progress(track.name, min(done, wanted), wanted)
        if done >= wanted:
            return done


def _wanted(settings: Settings, seconds_a_call: float) -> int:
    """Timed calls of each contender, from what one takes."""
    if settings.runs is not None:
        return settings.runs
    return max(settings.least_runs, int(settings.duration / max(seconds_a_call, 1e-9)))


def _ratios(times: Mapping[str, Sequence[float]]) -> tuple[Ratio, ...]:
    names = list(times)
    found = [paired_ratio(name, names[0], times[name], times[names[0]]) for name in names[1:]]
    return tuple(ratio for ratio in found if ratio is not None)


def _window(track: Track) -> Throughput | None:
    settings = track.settings
    if settings.window == 0 and settings.streams == 1:
        return None
    with contextlib.ExitStack() as stack:
        return measure_throughput(
            track.callers(stack),
            settings.batch,
            settings.window or settings.duration,
            find_meter(on_gpu(track.entry.runner)),
            track.clock,
        )


def _timing(
    track: Track,
    pictures: list[Picture],
    files: Sequence[Path],
    postprocess: Callable[[FloatArray], object] | None,
    window: Throughput | None,
    cores: Cores | None,
) -> Timing:
    entry, runner, settings = track.entry, track.entry.runner, track.settings
    latency = summarize(track.times)
    return Timing(
        name=entry.name,
        sha256=sha256_file(entry.path) if entry.path else None,
        precision=entry.precision,
        runtime=runner.name,
        version=runner.version,
        device=runner.device,
        input_shape=runner.input_shape,
        warmup=track.warmup,
        transfers=track.transfers,
        cuda_graph=track.cuda_graph,
        wait=settings.wait if track.gpu else None,
        latency_ms=latency,
        quiet_calls=_quiet_calls(track, cores) if cores is not None else None,
        throughput=(window.images_per_second if window else settings.batch * 1e3 / latency.p50),
        window=window,
        stages_ms=time_stages(track, _letterbox(entry), pictures, files, postprocess),
        memory=Memory(file=entry.path.stat().st_size if entry.path else None, loaded=entry.loaded),
    )


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
