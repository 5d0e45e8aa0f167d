"""Error families, one exit code each.

Every error carries one line that says what is wrong and one that says what to do; the
command line prints both and exits with the family's code.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of all errors this package raises on purpose.

    Args:
        message: one line, what is wrong.
        hint: one line, what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


EXIT_INTERRUPTED = 130


class Interrupted(EdgeError):
    """Somebody stopped a long job, which kept what it had done (exit 130)."""

    exit_code = EXIT_INTERRUPTED


class UsageError(EdgeError):
    """The command line or an argument makes no sense (exit 2)."""

    exit_code = 2


class DataError(EdgeError):
    """Images, labels or calibration data are missing or broken (exit 3)."""

    exit_code = 3


class CheckpointError(EdgeError):
    """A checkpoint or model cannot be read or is not a YOLOv12 (exit 4)."""

    exit_code = 4


class ExportError(EdgeError):
    """Export, quantization or an engine build failed (exit 5)."""

    exit_code = 5


class GateFailed(EdgeError):
    """A drift or latency budget was exceeded (exit 6)."""

    exit_code = 6


class UnsupportedError(EdgeError):
    """This machine lacks the runtime, the GPU or the engine version (exit 7)."""

    exit_code = 7
