"""Timing on a clock that the test turns, so that every figure is known beforehand."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from yolov12edge.bench import BenchReport, Contender, Settings, measure
from yolov12edge.bench.cores import Cores
from yolov12edge.data import Letterbox
from yolov12edge.errors import UsageError

Array = NDArray[np.float32]


class Clock:
    """Seconds that pass only when somebody lets them; `load` slows everything down alike."""

    def __init__(self) -> None:
        self.now = 0.0
        self.load = 1.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds * self.load


class FakeRunner:
    name = "fake"
    version = "1.0"
    device = "a test"
    input_shape = (None, 3, 32, 64)
    num_classes = 2

    def __init__(self, clock: Clock, seconds: float, journal: list[FakeRunner]) -> None:
        self.clock = clock
        self.seconds = seconds
        self.journal = journal
        self.inputs: list[Array] = []
        self.cold = 3

    def __call__(self, images: Array) -> Array:
        assert not gc.isenabled()
        self.journal.append(self)
        self.inputs.append(images)
        self.clock.spend(self.seconds * (5 if self.cold > 0 else 1))
        self.cold -= 1
        return np.zeros((len(images), 6, 10), np.float32)

    def close(self) -> None:
        pass


def race(seconds: list[float], **options: object) -> tuple[BenchReport, list[FakeRunner]]:
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    runners = {
        f"m{index}": FakeRunner(clock, value, journal) for index, value in enumerate(seconds)
    }
    settings = Settings(**({"runs": 50, "window": 0.0, "rest_ms": 0.0} | options))  # type: ignore[arg-type]
    return measure(runners, settings=settings, clock=clock), journal


def test_latency_throughput_and_counts() -> None:
    report, journal = race([0.010], batch=4, runs=52)
    timing = report.artifacts[0]
    latency = timing.latency_ms
    assert report.rounds == latency.n == 52
    for value in (latency.min, latency.mean, latency.p50, latency.p90, latency.p99, latency.max):
        assert value == pytest.approx(10)
    assert latency.std == pytest.approx(0, abs=1e-6)
    assert timing.throughput == pytest.approx(400)
    assert timing.input_shape == (None, 3, 32, 64)
    assert {images.shape for images in journal[0].inputs} == {(4, 3, 32, 64)}


def test_warm_up_goes_on_until_the_times_settle() -> None:
    report, _ = race([0.010])
    assert report.artifacts[0].warmup > 5
    assert report.artifacts[0].latency_ms.mean == pytest.approx(10)


def test_rounds_are_interleaved_in_changing_order() -> None:
    report, journal = race([0.01, 0.02, 0.03])
    warmups = sum(timing.warmup for timing in report.artifacts)
    # Two calls each: one to settle, one that is timed.
    calls = np.array([id(runner) for runner in journal[warmups:]]).reshape(-1, 2)
    assert (calls[:, 0] == calls[:, 1]).all()
    orders = {tuple(order) for order in calls[:, 0].reshape(-1, 3)}
    assert all(len(set(order)) == 3 for order in orders)
    assert len(orders) > 1


@pytest.mark.parametrize(("device", "expected"), [("a test", 0.02), ("CUDA, CPU", 0.0)])
def test_a_rest_lets_the_threads_of_others_fall_asleep(device: str, expected: float) -> None:
    """A runner's threads take a core from the next one for 15 ms; a GPU has none to take."""
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    awake_until, rests = [0.0], []

    class Polling(FakeRunner):
        def __call__(self, images: Array) -> Array:
            mine = len(self.journal) > 0 and self.journal[-1] is self
            self.clock.load = 2.0 if self.clock.now < awake_until[0] and not mine else 1.0
            result = super().__call__(images)
            awake_until[0] = self.clock.now + 0.015
            return result

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        clock.now += seconds

    runners = {name: Polling(clock, 0.01, journal) for name in "ab"}
    for runner in runners.values():
        runner.device = device
    settings = Settings(runs=20, window=0, rest_ms=20)
    report = measure(runners, settings=settings, clock=clock, sleep=sleep)
    assert rests == [expected] * 40
    assert report.ratios[0].ratio == pytest.approx(1)


def test_one_contender_needs_no_rest() -> None:
    clock = Clock()
    rests: list[float] = []
    settings = Settings(runs=5, window=0)
    measure({"a": FakeRunner(clock, 0.01, [])}, settings=settings, clock=clock, sleep=rests.append)
    assert rests == []


def test_ratios_do_not_feel_a_load_that_both_share() -> None:
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    rng = np.random.default_rng(3)

    class Loaded(FakeRunner):
        def __call__(self, images: Array) -> Array:
            self.clock.load = 1 + abs(np.sin(len(self.journal) / 100)) * 3
            self.clock.spend(rng.normal(0, 0.0001))
            return super().__call__(images)

    runners = {"base": Loaded(clock, 0.02, journal), "fast": Loaded(clock, 0.01, journal)}
    report = measure(runners, settings=Settings(runs=300, window=0, rest_ms=0), clock=clock)
    ratio = report.ratios[0]
    assert (ratio.name, ratio.baseline) == ("fast", "base")
    assert ratio.ratio == pytest.approx(0.5, rel=0.02)
    assert ratio.low < 0.5 < ratio.high
    assert ratio.high - ratio.low < 0.05
    assert report.artifacts[0].latency_ms.std > 5


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        ([0.02, 0.01], "fastest: m1, 2.00 times as fast as m0 (95% interval 2.00 to 2.00)"),
        ([0.01, 0.03, 0.02], "fastest: m0, 2.00 times as fast as m2 (95% interval 2.00 to 2.00)"),
        ([0.01], "m0: median 10.0 ms, 100.0 images/s"),
    ],
)
def test_the_verdict_names_the_fastest(seconds: list[float], says: str) -> None:
    assert race(seconds)[0].verdict == says


def test_the_verdict_admits_a_tie() -> None:
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    rng = np.random.default_rng(0)

    class Noisy(FakeRunner):
        def __call__(self, images: Array) -> Array:
            self.clock.spend(abs(rng.normal(0, 0.002)))
            return super().__call__(images)

    runners = {name: Noisy(clock, 0.01, journal) for name in ("a", "b")}
    report = measure(runners, settings=Settings(runs=200, window=0, rest_ms=0), clock=clock)
    assert report.verdict.startswith("no measurable difference between ")


def test_duration_decides_the_number_of_rounds() -> None:
    short, _ = race([0.01, 0.01], runs=None, duration=2.0)
    long, _ = race([0.01, 0.01], runs=None, duration=20.0)
    assert short.rounds == pytest.approx(2.0 / (2 * 0.01), abs=2)
    assert long.rounds == pytest.approx(10 * short.rounds, rel=0.05)


def test_stages_are_timed_on_the_given_pictures(tmp_path: Path) -> None:
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    runner = FakeRunner(clock, 0.01, journal)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"model")
    pictures = [np.full((40, 50, 3), value, np.uint8) for value in (10, 20, 30)]
    seen: list[Array] = []

    def postprocess(output: Array) -> None:
        seen.append(output)
        clock.spend(0.004)

    entry = Contender("model.onnx", runner, Letterbox(32, 64), path, loaded=5_000_000)
    settings = Settings(batch=2, runs=10, window=0)
    report = measure([entry], pictures, settings, postprocess=postprocess, clock=clock)
    timing = report.artifacts[0]
    assert timing.stages_ms.nms == pytest.approx(4)
    assert timing.stages_ms.infer == pytest.approx(10)
    assert seen[0].shape == (2, 6, 10)
    assert timing.memory.file == 5
    assert timing.memory.loaded == 5_000_000
    assert timing.sha256 == hashlib.sha256(b"model").hexdigest()
    assert report.pictures == "images: 3"
    middles = {
        round(float(images[index, 0, 16, 32]) * 255) for images in runner.inputs for index in (0, 1)
    }
    assert middles == {10, 20, 30}


def test_a_seed_gives_the_same_input_and_order() -> None:
    first, one = race([0.01, 0.02], seed=5)
    second, two = race([0.01, 0.02], seed=5)
    assert (one[0].inputs[0] == two[0].inputs[0]).all()
    assert [one.index(runner) for runner in one] == [two.index(runner) for runner in two]
    assert first.pictures == second.pictures == "noise from seed 5"


def test_the_report_survives_json() -> None:
    report, _ = race([0.01, 0.02])
    assert BenchReport.model_validate_json(report.model_dump_json()) == report
    assert report.model_dump()["schema_version"] == 1


def test_garbage_collection_is_back_on_afterwards() -> None:
    race([0.01])
    assert gc.isenabled()


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"runs": 0}, {"duration": 0.0}, {"streams": 0}, {"rest_ms": -1.0}]
)
def test_senseless_numbers(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        race([0.01], **options)


def test_nothing_or_the_same_twice() -> None:
    with pytest.raises(UsageError):
        measure({})
    runner = FakeRunner(Clock(), 0.01, [])
    with pytest.raises(UsageError):
        measure([Contender("a", runner), Contender("a", runner)])


@pytest.mark.parametrize(("noise", "patience", "longer"), [(0, 4, 1), (1, 1, 1), (1, 4, 4)])
def test_rounds_go_on_while_a_ratio_is_uncertain(
    noise: float, patience: float, longer: float
) -> None:
    """Times that never agree use all the patience there is; equal times use none of it."""
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    rng = np.random.default_rng(0)

    class Noisy(FakeRunner):
        def __call__(self, images: Array) -> Array:
            self.clock.load = rng.lognormal(0, noise)
            return super().__call__(images)

    runners = {name: Noisy(clock, 0.01, journal) for name in "ab"}
    settings = Settings(duration=0.6, least_runs=1, patience=patience, window=0.0, rest_ms=0.0)
    labels: list[tuple[str, int, int]] = []
    report = measure(
        runners, settings=settings, clock=clock, progress=lambda *step: labels.append(step)
    )
    calls = sum(timing.latency_ms.mean * 2 for timing in report.artifacts) / 1e3
    assert report.rounds == pytest.approx(longer * 1.2 / calls, rel=0.15)
    assert all(done <= total for _, done, total in labels)
    assert labels[-1][1] == labels[-1][2] == report.rounds


class SeenCores(Cores):
    """Cores that are quiet at the looks that a test says."""

    def __init__(self, *pattern: bool) -> None:
        super().__init__()
        self.pattern = pattern
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def look(self) -> None:
        self.count += 1

    def quiet(self) -> NDArray[np.bool_]:
        return np.resize(self.pattern, self.count)


@pytest.mark.parametrize(
    ("pattern", "longer"), [((True,), 1), ((False,), 4), ((False, False, False, True), 1)]
)
def test_rounds_go_on_while_the_cores_are_not_left_alone(
    pattern: tuple[bool, ...], longer: float
) -> None:
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    runners = {name: FakeRunner(clock, 0.01, journal) for name in "ab"}
    settings = Settings(duration=2.0, patience=4, window=0.0, rest_ms=0.0)
    cores = SeenCores(*pattern)
    report = measure(runners, settings=settings, clock=clock, cores=cores)
    assert report.rounds == pytest.approx(100 * longer, abs=1)
    assert len(cores) == 2 * report.rounds
    quiet = sum(one.quiet_calls or 0 for one in report.artifacts)
    assert quiet == sum(np.resize(pattern, 2 * report.rounds))
    assert len(report.doubts) == (1 if pattern == (False,) else 0)
    assert all(
        "the processor's cores were slowed in 100% of the calls" in one for one in report.doubts
    )


def test_quiet_calls_are_counted_for_each_artifact_apart() -> None:
    """One is quiet in every round, whichever comes first; the other never is."""
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    runners = {name: FakeRunner(clock, 0.01, journal) for name in "ab"}

    class Unfair(SeenCores):
        def look(self) -> None:
            super().look()
            self.at = [*getattr(self, "at", []), len(journal)]

        def quiet(self) -> NDArray[np.bool_]:
            return np.array([journal[at] is runners["a"] for at in self.at])

    report = measure(
        runners,
        settings=Settings(runs=30, window=0.0, rest_ms=0.0),
        clock=clock,
        cores=Unfair(),
    )
    assert [one.quiet_calls for one in report.artifacts] == [30, 0]


@pytest.mark.parametrize(("names", "device"), [("a", "a test"), ("ab", "CUDA")])
def test_nobody_looks_at_cores_that_do_not_matter(names: str, device: str) -> None:
    clock, journal = Clock(), []  # type: ignore[var-annotated]
    runners = {name: FakeRunner(clock, 0.01, journal) for name in names}
    for runner in runners.values():
        runner.device = device
    cores = SeenCores(True)
    report = measure(runners, settings=Settings(runs=5, window=0.0), clock=clock, cores=cores)
    assert len(cores) == 0
    assert {one.quiet_calls for one in report.artifacts} == {None}
