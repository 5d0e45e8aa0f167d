"""Looks at the cores: real ones, with a real busy neighbour, and made-up times for the rules."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from yolov12edge.bench import cores as module
from yolov12edge.bench.cores import Cores

FULL = 0.2
# What was measured: chance makes a look up to 1.05 times longer, a neighbour 1.25 times or more.
CHANCE, NEIGHBOUR = 1.05, 1.25


class Machine:
    """Cores whose times and other programs the test sets."""

    def __init__(self) -> None:
        self.times = [FULL, FULL]
        self.others = 0.0
        self.busy = 0.0

    def work(self, core: int) -> float:
        return self.times[core]

    def pass_time(self, seconds: float) -> None:
        self.busy += seconds * self.others


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(module, "_usable", lambda: tuple(range(len(found.times))))
    monkeypatch.setattr(module, "_work", found.work)
    return found


class Looks:
    """Cores on that machine, a tenth of a second apart."""

    def __init__(
        self,
        machine: Machine,
        monkeypatch: pytest.MonkeyPatch,
        fastest: dict[int, float] | None = None,
    ) -> None:
        self.machine = machine
        self.now = 0.0
        monkeypatch.setattr(Cores, "_used", lambda _: (self.now, self.machine.busy))
        self.cores = Cores(fastest)

    def take(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.1
            self.machine.pass_time(0.1)
            self.cores.look()


def test_a_slowed_core_spoils_the_calls_before_and_after_the_look(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(machine, monkeypatch)
    looks.take(20)
    machine.times = [FULL, FULL * NEIGHBOUR]
    looks.take(1)
    machine.times = [FULL, FULL * CHANCE]
    looks.take(20)
    quiet = looks.cores.quiet()
    assert len(quiet) == len(looks.cores) == 41
    assert [index for index, one in enumerate(quiet) if not one] == [19, 20]


def test_only_earlier_runs_know_that_a_run_was_slowed_from_end_to_end(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.times = [FULL, FULL * 1.3]
    for fastest, expected in (({}, True), ({0: FULL, 1: FULL}, False), ({0: FULL}, True)):
        looks = Looks(machine, monkeypatch, fastest)
        looks.take(10)
        assert (looks.cores.quiet() == expected).all()
    assert looks.cores.fastest() == pytest.approx({0: FULL, 1: FULL * 1.3})


def test_the_very_fastest_look_is_luck(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(machine, monkeypatch)
    machine.times = [FULL / 2, FULL / 2]
    looks.take(1)
    machine.times = [FULL, FULL]
    looks.take(40)
    assert looks.cores.fastest() == pytest.approx({0: FULL, 1: FULL})
    assert looks.cores.quiet().all()


@pytest.mark.parametrize(
    ("cores", "share", "expected"),
    [
        (1, 0.3, True),
        (1, 0.4, False),
        (2, 0.3, True),
        (2, 0.4, False),
        # The ticks of each core have an error of their own: of four times as many, twice as much.
        (8, 0.6, True),
        (8, 0.8, False),
    ],
)
def test_other_programs_spoil_the_calls_that_they_ran_beside(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    share: float,
    expected: bool,
) -> None:
    machine.times = [FULL] * cores
    looks = Looks(machine, monkeypatch)
    looks.take(5)
    machine.others = share
    looks.take(5)
    machine.others = 0.0
    looks.take(5)
    assert looks.cores.quiet().tolist() == [True] * 4 + [expected] * 5 + [True] * 6


def test_a_core_that_slept_gets_the_time_to_reach_its_clock(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five tries at half its clock after each sleep; only the first look knows no better."""
    tries: list[int] = []

    def waking(core: int) -> float:
        tries.append(core)
        return FULL * 2 if tries.count(core) <= 5 else FULL

    monkeypatch.setattr(module, "_work", waking)
    looks = Looks(machine, monkeypatch, {0: FULL, 1: FULL})
    for _ in range(10):
        tries.clear()
        looks.take(1)
        assert tries == [0] * 7 + [1] * 7
    assert looks.cores.quiet().all()
    assert looks.cores.fastest() == pytest.approx({0: FULL, 1: FULL})


def test_a_slow_core_is_not_waited_for_without_end(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single fast try between slow ones is chance."""
    tries: list[int] = []

    def slowed(core: int) -> float:
        tries.append(core)
        return FULL if len(tries) % 2 else FULL * 1.4

    monkeypatch.setattr(module, "_work", slowed)
    looks = Looks(machine, monkeypatch, {0: FULL, 1: FULL})
    looks.take(1)
    assert len(tries) <= 30
    assert not looks.cores.quiet().any()


def test_nothing_was_looked_at() -> None:
    assert len(Cores()) == 0
    assert Cores().quiet().shape == (0,)
    assert Cores().fastest() == {}


def test_a_look_at_the_real_cores_leaves_the_caller_where_it_may_run() -> None:
    allowed = os.sched_getaffinity(0)
    cores = Cores()
    for _ in range(5):
        cores.look()
    assert os.sched_getaffinity(0) == allowed
    assert set(cores.fastest()) == set(sorted(allowed)[:16])
    assert all(0 < least < 1000 for least in cores.fastest().values())


def test_a_core_that_may_not_be_moved_to_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    cores = Cores()
    cores.look()
    assert len(cores.fastest()) > 0


def test_a_real_busy_program_is_seen() -> None:
    cores = Cores()
    cores.look()
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(min(4, len(os.sched_getaffinity(0))))
    ]
    try:
        for _ in range(4):
            time.sleep(0.4)
            cores.look()
    finally:
        for one in busy:
            one.kill()
            one.wait()
    assert not cores.quiet()[1:4].any()
