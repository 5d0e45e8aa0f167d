from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from tests.bench.test_tegrastats import ORIN_NANO_JETPACK_6
from yolov12edge.bench.power import CounterMeter, GaugeMeter, TegraMeter, find_meter


def test_a_counter_is_read_twice() -> None:
    values = iter([100.0, 130.5])
    meter = CounterMeter(lambda: next(values), "counter")
    meter.start()
    energy = meter.stop()
    assert energy is not None
    assert (energy.joules, energy.sensor) == (30.5, "counter")


def test_a_counter_that_wrapped() -> None:
    values = iter([990.0, 15.0])
    meter = CounterMeter(lambda: next(values), "counter", wrap=1000.0)
    meter.start()
    energy = meter.stop()
    assert energy is not None
    assert energy.joules == 25.0


def test_a_counter_that_stands_still_says_nothing() -> None:
    meter = CounterMeter(lambda: 7.0, "counter")
    meter.start()
    assert meter.stop() is None


def test_a_gauge_is_summed_by_the_trapezoid_rule() -> None:
    """Power that rises by 10 W a second: over t seconds from 0 that is 5 t^2 joules."""
    ticks = itertools.count()
    now = [0.0]

    def clock() -> float:
        now[0] = next(ticks) * 0.5
        return now[0]

    meter = GaugeMeter(lambda: 10 * now[0], "gauge", interval=0.001, clock=clock)
    meter.start()
    energy = meter.stop()
    assert energy is not None
    assert energy.joules == pytest.approx(5 * now[0] ** 2)


def test_a_gauge_that_fails_ends_nothing() -> None:
    def broken() -> float:
        raise OSError

    meter = GaugeMeter(broken, "gauge")
    meter.start()
    assert meter.stop() is None


def test_rapl_where_it_may_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert find_meter(False, tmp_path) is None
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text("1000000\n")
    meter = find_meter(False, tmp_path)
    assert meter is not None
    meter.start()
    (folder / "energy_uj").write_text("3500000\n")
    energy = meter.stop()
    assert energy is not None
    assert energy.joules == pytest.approx(2.5)
    assert "package" in energy.sensor


def test_a_jetson_measures_its_rails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tegrastats"
    program.write_text(f'#!/bin/sh\nwhile :; do echo "{ORIN_NANO_JETPACK_6}"; sleep 0.01; done\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    meter = find_meter(True)
    assert isinstance(meter, TegraMeter)
    meter.start()
    while not meter._tegrastats.states:
        pass
    energy = meter.stop()
    assert energy is not None
    assert energy.sensor == "tegrastats VDD_IN"
    assert energy.joules > 0
