"""Whether the processor's cores are left alone while something is timed.

Other programs show in the system's own accounts. A neighbour on a core's other hardware thread,
often a tenant of another virtual machine, shows in none: it makes everything on that core slower,
for seconds or minutes, and one runtime more than another, so that even a ratio of two slowed
artifacts is false.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
from numpy.typing import NDArray

# A core that takes so many times its least is slowed. A neighbour costs 1.25 to 1.5, chance 1.05.
SLOWED = 1.15
# Cores' worth of other programs, for two cores; it is counted in ticks, an error for each core.
OTHERS = 0.35
MOST_CORES = 16
_STEPS = 4000
# A core that slept may need a few milliseconds to reach its clock.
_TRIES = 12
# Of a run's looks; the very fastest are luck.
_PERCENTILE = 10
_ANY = -1
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")


class Cores:
    """Looks at the cores now and then.

    A look times the same few instructions on each core that this process may use, the first
    `MOST_CORES` of them, on a thread of its own that moves from core to core; and it reads how much
    of them other programs used since the look before. It takes half a millisecond a core, a few
    where a core is slow: one that slept needs as long to reach its clock. Where threads cannot be
    moved (macOS, Windows) it times the core that the system picks.

    Args:
        fastest: milliseconds by core that earlier runs on this machine knew as its least. Without
            it a run that is slowed from end to end cannot tell.
    """

    def __init__(self, fastest: Mapping[int, float] | None = None) -> None:
        self._known = dict(fastest or {})
        self._least = dict(self._known)
        self._usable = _usable()
        self._cores = self._usable[:MOST_CORES]
        self._looks: list[list[float]] = []
        self._others: list[float] = []
        self._last = self._used()
        self._thread = ThreadPoolExecutor(1, "cores")

    def __len__(self) -> int:
        """How many looks there were."""
        return len(self._looks)

    def look(self) -> None:
        """Time every core once."""
        now, before = self._used(), self._last
        self._others.append((now[1] - before[1]) / max(now[0] - before[0], 1e-9))
        self._looks.append(self._thread.submit(self._times).result())
        self._last = self._used()

    def fastest(self) -> dict[int, float]:
        """Milliseconds by core, of this run's looks alone."""
        if not self._looks:
            return {}
        least = np.percentile(np.array(self._looks), _PERCENTILE, axis=0)
        return dict(zip(self._cores, map(float, least), strict=True))

    def quiet(self) -> NDArray[np.bool_]:
        """Of each look, whether the cores were left alone from then to the look after it.

        That is: each was at full speed at both, and other programs used little of them between.
        """
        if not self._looks:
            return np.zeros(0, np.bool_)
        here = self.fastest()
        least = np.array([min(here[core], self._known.get(core, np.inf)) for core in self._cores])
        slowest: NDArray[np.float64] = (np.array(self._looks) / least).max(axis=1)
        slower = np.maximum(slowest, np.append(slowest[1:], slowest[-1]))
        others = np.append(self._others[1:], 0.0)
        few = others <= OTHERS * max(1.0, len(self._usable) / 2) ** 0.5
        return np.asarray((slower <= SLOWED) & few)

    def _used(self) -> tuple[float, float]:
        """Seconds: now, and of the cores' time so far what this process did not use."""
        times = psutil.cpu_times(percpu=True)
        mine = [times[core] for core in self._usable if 0 <= core < len(times)] or times
        busy = sum(sum(getattr(one, kind, 0.0) for kind in _BUSY) for one in mine)
        return time.perf_counter(), busy - time.process_time()

    def _times(self) -> list[float]:
        return [self._time(core) for core in self._cores]

    def _time(self, core: int) -> float:
        """The least milliseconds that two tries in a row kept to; ends early at full speed."""
        full = self._least.get(core, np.inf)
        least, last = np.inf, _work(core)
        for _ in range(_TRIES):
            last, before = _work(core), last
            least = min(least, max(last, before))
            if least <= SLOWED * full:
                break
        self._least[core] = min(full, least)
        return float(least)


def _usable() -> tuple[int, ...]:
    if not hasattr(os, "sched_setaffinity"):
        return (_ANY,)
    return tuple(sorted(os.sched_getaffinity(0)))


def _work(core: int) -> float:
    """Milliseconds of a fixed piece of work on a core, which the calling thread moves to."""
    if core != _ANY:
        # Some sandboxes forbid it, and a core can be taken away.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    total = 0
    start = time.perf_counter()
    for step in range(_STEPS):
        total += step * step
    return (time.perf_counter() - start) * 1e3
