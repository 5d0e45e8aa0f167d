"""What TensorRT and TensorRT-RTX say: collected instead of printed, and made one line."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_ORIGIN = re.compile(r"[\s,]*\bIn \S+ at /\S+?:\d+")
# A builder lists an engine's kernels in one message; of what else is marked the last will do.
_MOST_DETAILS = 8
_CALLER = re.compile(r"^.*?Error Code \d+: ")


class LibraryLog:
    """The one logger of a library in this process.

    TensorRT keeps a pointer to the first logger it is given for as long as the process lives,
    so there is one a library, never freed, and whoever wants to listen uses `capture`.

    Attributes:
        logger: the object to pass to Builder, Runtime and OnnxParser.
    """

    def __init__(self, library: ModuleType) -> None:
        self._listeners: list[Captured] = []
        hear = self._hear

        class Logger(library.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, message: str) -> None:
                hear(severity.name, message)

        self.logger: Any = Logger()

    def _hear(self, severity: str, message: str) -> None:
        for listener in self._listeners:
            listener.add(severity, message)

    @contextlib.contextmanager
    def capture(self, marked: str | None = None) -> Iterator[Captured]:
        """Collect what is said inside the block.

        Args:
            marked: keep details that contain this.
        """
        captured = Captured(marked)
        self._listeners.append(captured)
        try:
            yield captured
        finally:
            self._listeners.remove(captured)


class Captured:
    """Warnings and errors in the order they came, each text once, and what is said of kernels.

    Args:
        marked: what a detail must contain to be kept.

    Attributes:
        details: the last of those, as they came.
    """

    def __init__(self, marked: str | None = None) -> None:
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.details: list[str] = []
        self._marked = marked

    def add(self, severity: str, message: str) -> None:
        """Keep `message` if it is a warning, an error or a marked detail."""
        if severity in ("VERBOSE", "INFO"):
            # A build says some ten thousand of these.
            if self._marked is not None and self._marked in message:
                self.details.append(message)
                del self.details[:-_MOST_DETAILS]
            return
        kept = {
            "WARNING": self.warnings,
            "ERROR": self.errors,
            "INTERNAL_ERROR": self.errors,
        }.get(severity)
        text = one_line(message)
        if kept is not None and text not in kept:
            kept.append(text)

    def reason(self, otherwise: str) -> str:
        """The first error, or `otherwise` where the library gave none."""
        return self.errors[0] if self.errors else otherwise


@functools.cache
def log_of(library: ModuleType) -> LibraryLog:
    """The process's log of `library`."""
    return LibraryLog(library)


def one_line(message: str) -> str:
    """A library message without line breaks, the function that spoke and its source file."""
    text = " ".join(message.split())
    return _CALLER.sub("", _ORIGIN.sub("", text))
