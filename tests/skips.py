"""Skips that cannot hide: every run says how many and why, and `--strict-skips` fails on most.

A plugin of pytest that `tests/conftest.py` loads. A reason in `EXPECTED` names what a machine
cannot be given: hardware, rights, what is not ours to ship. What CI installs is not among them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

NO_GPU = "no GPU"
NO_SHARED = "no ../shared"
NO_MOUNT = "no right to mount"
NO_FMA = "no FMA in this CPU"
NO_X86 = "not an x86 processor"
NO_LESSER = "this processor plays no lesser one"
# NVIDIA's own headers and compiler; the stand-ins that replace them compile in every run.
NVIDIA = ("TENSORRT_ROOT is not set", "no CUDA headers here", "nvcc is not installed")
EXPECTED = (NO_GPU, NO_SHARED, NO_MOUNT, NO_FMA, NO_X86, NO_LESSER, *NVIDIA)

_IMPORT = re.compile(r"could not import '(\w+)")


@dataclass(frozen=True)
class Skip:
    """A test or a whole file that was not run, or a test that may fail, which proves as little."""

    name: str
    reason: str

    @classmethod
    def of(cls, report: pytest.TestReport | pytest.CollectReport) -> Skip:
        """The skip that a report tells of."""
        if hasattr(report, "wasxfail"):
            return cls(report.nodeid, f"xfail {report.wasxfail.removeprefix('reason: ')}")
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        missing = _IMPORT.search(reason)
        return cls(
            report.nodeid,
            f"no {missing.group(1)}" if missing else reason.removeprefix("Skipped: "),
        )


class SkipCounter:
    """Collects the skips of a run; with xdist, those of all its workers."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.skips: list[Skip] = []

    @property
    def unexpected(self) -> list[Skip]:
        """Skips that `--strict-skips` fails on."""
        return [skip for skip in self.skips if skip.reason not in EXPECTED] if self.strict else []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.skips.append(Skip.of(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skips.append(Skip.of(report))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for skip in self.unexpected:
            terminalreporter.write_line(f"SKIPPED {skip.name}: {skip.reason}", red=True)
        if self.unexpected:
            terminalreporter.write_line(
                f"{len(self.unexpected)} skipped for a reason that is not in tests/skips.py",
                red=True,
            )
        counts = Counter(skip.reason for skip in self.skips).most_common()
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
        terminalreporter.write_line(
            f"skipped: {len(self.skips)} ({reasons})" if reasons else "skipped: none"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="fail where a test is skipped for a reason that is not in tests/skips.py",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCounter(config.getoption("strict_skips")))
