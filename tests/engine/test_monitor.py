from __future__ import annotations

import os
import signal
import threading

import pytest

from yolov12edge.engine.monitor import BuildMonitor
from yolov12edge.voice import no_progress


def test_nested_phases_add_up_to_a_rising_percentage() -> None:
    seen: list[int] = []
    monitor = BuildMonitor("engine", lambda label, done, total: seen.append(done))
    monitor.start("outer", None, 2)
    monitor.start("inner", "outer", 4)
    for step in range(4):
        assert monitor.step("inner", step)
    monitor.finish("inner")
    monitor.step("outer", 0)
    monitor.start("inner", "outer", 2)
    monitor.step("inner", 0)
    monitor.finish("inner")
    monitor.step("outer", 1)
    monitor.finish("outer")
    monitor.complete()
    assert seen == [0, 12, 25, 37, 50, 75, 100]


def test_unknown_phases_and_too_many_steps_do_no_harm() -> None:
    seen: list[int] = []
    monitor = BuildMonitor("engine", lambda label, done, total: seen.append(done))
    assert monitor.step("never started", 3)
    monitor.finish("never started")
    monitor.start("empty", None, 0)
    monitor.step("empty", 9)
    assert max(seen) <= 100


def test_an_interrupt_wins_over_the_error_it_causes() -> None:
    monitor = BuildMonitor("engine", no_progress)

    def build() -> None:
        with monitor.heeding_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            assert monitor.step("x", 0) is False
            raise RuntimeError("build failed")

    with pytest.raises(KeyboardInterrupt):
        build()


def test_other_errors_come_through_and_the_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    monitor = BuildMonitor("engine", no_progress)
    with pytest.raises(RuntimeError), monitor.heeding_interrupts():
        raise RuntimeError("build failed")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    done: list[bool] = []

    def build() -> None:
        with BuildMonitor("engine", no_progress).heeding_interrupts():
            done.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert done == [True]


def test_a_build_that_never_calls_back_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT 8: Ctrl-C has to work although nothing asks whether to go on."""
    at_exit: list[tuple[object, ...]] = []
    monkeypatch.setattr("atexit.register", lambda *call: at_exit.append(call))
    monitor = BuildMonitor("engine", no_progress)
    go_on = threading.Event()
    started = threading.Event()

    def build() -> bool:
        started.set()
        return go_on.wait(20)

    def interrupt() -> None:
        started.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt), monitor.heeding_interrupts():
        monitor.run(build, calls_back=False)
    assert at_exit == [(os._exit, 130)]
    go_on.set()


def test_a_build_beside_this_thread_gives_its_result_or_its_error() -> None:
    monitor = BuildMonitor("engine", no_progress)
    assert monitor.run(lambda: 7, calls_back=False) == 7
    with pytest.raises(ZeroDivisionError):
        monitor.run(lambda: 1 // 0, calls_back=False)
