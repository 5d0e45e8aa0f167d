"""What the commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from yolov12edge.files import json_text
from yolov12edge.voice import Progress

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1


class Advance(Protocol):
    """Moves a progress bar on by `n` steps."""

    def __call__(self, n: int = 1) -> None:
        """Move on by `n` steps."""


class Output:
    """One command's voice.

    Args:
        json: the result is printed as JSON.
        quiet: no remarks and no progress on stderr; warnings stay.
    """

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._bars: Console | None = None

    def info(self, text: str) -> None:
        """A remark on stderr."""
        if not self.quiet:
            self._stderr().print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning on stderr, also when quiet."""
        self._stderr().print(
            f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """A bar of `total` steps on stderr; nothing when quiet or when stderr is no terminal."""
        with self.tracker() as report:
            done = 0

            def advance(n: int = 1) -> None:
                nonlocal done
                done += n
                report(label, done, total)

            yield advance

    @contextlib.contextmanager
    def tracker(self) -> Iterator[Progress]:
        """Bars for library code that reports (label, done, total); one bar a label."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda label, done, total: None
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=_console(stderr=True),
            transient=True,
        )
        tasks: dict[str, Any] = {}
        with bars, self._above(bars.console):

            def report(label: str, done: int, total: int) -> None:
                if label not in tasks:
                    tasks[label] = bars.add_task(label, total=total)
                bars.update(tasks[label], completed=done, total=total)

            yield report

    @contextlib.contextmanager
    def _above(self, bars: Console) -> Iterator[None]:
        """Print remarks above the bars of a console, not through them."""
        self._bars = bars
        try:
            yield
        finally:
            self._bars = None

    def _stderr(self) -> Console:
        return self._bars or _console(stderr=True)

    def result(self, document: dict[str, Any], text: object = "") -> None:
        """The command's result: `document` with a schema version, or `text` for people.

        Args:
            document: what --json prints; must be serialisable.
            text: a string or anything rich can render.
        """
        if self.json:
            print_json(document)
        elif text != "":
            # Tables fit the window; lines of text are left whole, for pipes and for copying paths.
            whole = isinstance(text, str)
            _console(stderr=False).print(text, highlight=False, soft_wrap=whole)


class WarningHandler(logging.Handler):
    """Shows what library code warns of as the commands show their own warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one warning on stderr."""
        Output().warn(record.getMessage())

    @classmethod
    def install(cls) -> None:
        """Listen to this package's loggers; once a process."""
        logger = logging.getLogger("yolov12edge")
        if not any(isinstance(handler, cls) for handler in logger.handlers):
            logger.addHandler(cls(logging.WARNING))


class JsonDocument:
    """Whether this run of `main` has printed its one JSON document.

    A command that printed its result and then fails has had it: the error is on stderr only.
    """

    printed = False


def print_json(document: dict[str, Any]) -> None:
    """Print `document` with its schema version as the one JSON document on stdout."""
    JsonDocument.printed = True
    versioned = {"schema_version": SCHEMA_VERSION} | document
    sys.stdout.write(json_text(versioned, sys.stdout.encoding or "utf-8") + "\n")
    sys.stdout.flush()


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=False)
