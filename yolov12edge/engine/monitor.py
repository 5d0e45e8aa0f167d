"""Progress of a build as one rising percentage, and Ctrl-C as a clean stop."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any, TypeVar

from yolov12edge.errors import EXIT_INTERRUPTED
from yolov12edge.voice import Progress

Result = TypeVar("Result")

POLL_SECONDS = 0.1


class BuildMonitor:
    """Turns nested phases of steps into (label, percent, 100) and asks to stop when told to.

    A library calls this from its own code, through which no Python exception may pass: an error
    of `progress` is kept in `error` and stops the build.

    Args:
        label: what the progress is of.
        progress: called with (label, percent done, 100) whenever the percentage rises.
    """

    def __init__(self, label: str, progress: Progress) -> None:
        self.error: BaseException | None = None
        self.interrupted = False
        self._label = label
        self._progress = progress
        self._percent = -1
        self._phases: dict[str, _Phase] = {}

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` steps begins inside `parent`."""
        self._phases[name] = _Phase(parent, max(steps, 1))
        self._report()

    def step(self, name: str, index: int) -> bool:
        """Step `index` of a phase is done; False asks the library to stop."""
        phase = self._phases.get(name)
        if phase is not None:
            phase.done = min(index + 1, phase.steps)
            self._report()
        return not self.interrupted and self.error is None

    def finish(self, name: str) -> None:
        """A phase is over, perhaps before all of its steps were."""
        self._phases.pop(name, None)

    def complete(self) -> None:
        """Everything is done."""
        self._phases = {"": _Phase(None, 1, done=1)}
        self._report()

    def run(self, build: Callable[[], Result], calls_back: bool) -> Result:
        """Run a build so that Ctrl-C ends it.

        Args:
            build: blocks until it is done, without holding Python's lock.
            calls_back: it calls `step`, which can stop it. TensorRT before 10 never does: it then
                runs beside this thread, which leaves it behind on Ctrl-C and has the process end
                without waiting for it.

        Raises:
            KeyboardInterrupt: Ctrl-C came while a build that never calls back was running.
        """
        if calls_back or threading.current_thread() is not threading.main_thread():
            return build()
        outcome: list[Result] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                outcome.append(build())
            except BaseException as error:
                failure.append(error)

        worker = threading.Thread(target=work, name="build", daemon=True)
        worker.start()
        while worker.is_alive():
            worker.join(POLL_SECONDS)
            if self.interrupted and worker.is_alive():
                # C++ destructors would run below the build that goes on.
                atexit.register(os._exit, EXIT_INTERRUPTED)
                raise KeyboardInterrupt
        if failure:
            raise failure[0]
        return outcome[0]

    def _report(self) -> None:
        percent = int(100 * sum(self._done(None)))
        if percent <= self._percent or self.error is not None:
            return
        self._percent = percent
        try:
            self._progress(self._label, percent, 100)
        except BaseException as error:
            self.error = error

    def _done(self, parent: str | None) -> Iterator[float]:
        """Share of each phase directly below `parent`: its steps and those of the one under way."""
        for name, phase in self._phases.items():
            if phase.parent == parent:
                under_way = max(self._done(name), default=0.0)
                yield min((phase.done + under_way) / phase.steps, 1.0)

    def adapter(self, library: ModuleType) -> Any:
        """This monitor as the library's IProgressMonitor."""
        monitor = self

        class Monitor(library.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                monitor.start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return monitor.step(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                monitor.finish(phase_name)

        return Monitor()

    @contextlib.contextmanager
    def heeding_interrupts(self) -> Iterator[None]:
        """Let Ctrl-C end the block at the build's next step, then raise KeyboardInterrupt.

        Python's own handler would raise inside a call-back (a log line is one) or the library's
        import, and an exception cannot cross C++: it would be lost, or end the process.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def remember(number: int, frame: FrameType | None) -> None:
            self.interrupted = True

        previous = signal.signal(signal.SIGINT, remember)
        try:
            yield
        except Exception:
            # A stopped build is reported as a failed one.
            if not self.interrupted:
                raise
        finally:
            signal.signal(signal.SIGINT, previous)
        if self.interrupted:
            raise KeyboardInterrupt


class _Phase:
    def __init__(self, parent: str | None, steps: int, done: int = 0) -> None:
        self.parent = parent
        self.steps = steps
        self.done = done
