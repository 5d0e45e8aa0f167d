"""What runs a program and talks to it: pipes that are read, written and bounded."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

PIECE = 1 << 16
_MOST_ERRORS = 1 << 16


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process if it runs, and close its pipes."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def pieces(file: Path, offset: int = 0) -> Iterator[bytes]:
    """The bytes of a file from `offset` on."""
    with file.open("rb") as opened:
        opened.seek(offset)
        while piece := opened.read(PIECE):
            yield piece


class Collected(threading.Thread):
    """Reads a pipe to its end; the last bytes of it are kept."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self.content = bytearray()

    def run(self) -> None:
        """Read until the pipe ends."""
        with contextlib.suppress(OSError, ValueError):
            while piece := os.read(self._pipe.fileno(), PIECE):
                self.content += piece
                del self.content[:-_MOST_ERRORS]


def output_of(process: subprocess.Popen[bytes], pipe: int) -> Iterator[bytes]:
    """What a process writes, until it ends: the shared connection holds its pipes open longer."""
    end = float("inf")
    while time.monotonic() < end:
        if select.select([pipe], [], [], 0.1)[0]:
            piece = os.read(pipe, PIECE)
            if not piece:
                return
            yield piece
        elif process.poll() is not None and end == float("inf"):
            end = time.monotonic() + (2 if process.returncode >= 0 else 0)


def write(pipe: IO[bytes], source: Iterable[bytes], failures: list[BaseException]) -> None:
    """Write pieces into a pipe and close it; an error of their source ends up in `failures`."""
    try:
        for piece in source:
            pipe.write(piece)
        pipe.close()
    except (OSError, ValueError):
        # The other side ended first; its exit code and its words say why.
        pass
    except BaseException as error:
        failures.append(error)
        with contextlib.suppress(OSError):
            pipe.close()


def stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    """Kill a process that took too long, and note it."""
    late.set()
    process.kill()
