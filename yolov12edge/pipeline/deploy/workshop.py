"""Running steps in a deploy's folder on a device, and telling what they say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from yolov12edge.remote import Connection
from yolov12edge.remote.steps import StepResult, run_step, stop_step
from yolov12edge.run.device import Stage
from yolov12edge.voice import Progress, Voice

_PERCENT = re.compile(r"^\[ *(\d{1,3})%\]")
_COUNTED = re.compile(r"^(\d{1,9}) of (\d{1,9})$")


@dataclass
class Workshop:
    """A deploy's folder on a device.

    Attributes:
        folder: there.
        name: of the device, before each remark.
        log: whether everything that tools print is told.
        stages: what was done so far.
    """

    connection: Connection
    folder: str
    name: str
    voice: Voice
    progress: Progress
    log: bool
    stages: list[Stage] = field(default_factory=list)
    _running: str | None = None

    def run(
        self, name: str, label: str, key: str, script: str, needs: Sequence[str] = ()
    ) -> tuple[StepResult, float]:
        """Run a step; what it prints becomes progress, and remarks where they were asked for.

        Args:
            needs: files that it leaves; where one is gone the step is done again.

        Returns:
            how it ended, and the seconds it took.
        """
        started = time.perf_counter()
        self._running = name
        result = run_step(
            self.connection, self.folder, name, key, script, self._teller(label), needs
        )
        self._running = None
        return result, time.perf_counter() - started

    def stop(self) -> None:
        """End the step that runs, if one does."""
        if self._running is not None:
            stop_step(self.connection, self.folder, self._running)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files and folders below this one."""
        self.connection.run(["rm", "-rf", "--", *(f"{self.folder}/{path}" for path in paths)])

    def done(self, stage: Stage) -> None:
        """Write down a stage, and tell of it."""
        self.stages.append(stage)
        self.voice.info(f"{self.name}: {stage.outcome}")

    def _teller(self, label: str) -> Callable[[str], None]:
        title = f"{self.name}: {label}"

        def told(line: str) -> None:
            percent, counted = _PERCENT.match(line), _COUNTED.match(line)
            if percent:
                self.progress(title, int(percent[1]), 100)
            elif counted:
                self.progress(title, int(counted[1]), int(counted[2]))
            if self.log and line and not counted:
                self.voice.info(f"{self.name} | {line}")

        return told
